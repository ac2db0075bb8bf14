import pytest

from keras_cnn.run_folder.csv_text import from_cell, to_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_get_an_apostrophe_and_come_back(text):
    assert to_cell(text) == f"'{text}"
    assert from_cell(to_cell(text)) == text


@pytest.mark.parametrize("text", ["", "cat", "a=1", "'", "'cat", "''", "1-2", "'=1", "''=1"])
def test_every_text_comes_back(text):
    assert from_cell(to_cell(text)) == text
    assert not to_cell(text).startswith(("=", "+", "-", "@"))


def test_other_texts_are_unchanged():
    assert [to_cell(text) for text in ("cat", "'cat", "a/=1.png")] == ["cat", "'cat", "a/=1.png"]
