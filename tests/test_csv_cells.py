import pytest

from keras_cnn.messages import csv_cell, from_csv_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_get_an_apostrophe_and_come_back(text):
    assert csv_cell(text) == f"'{text}"
    assert from_csv_cell(csv_cell(text)) == text


@pytest.mark.parametrize("text", ["", "cat", "a=1", "'", "'cat", "''", "1-2", "'=1", "''=1"])
def test_every_text_comes_back(text):
    assert from_csv_cell(csv_cell(text)) == text
    assert not csv_cell(text).startswith(("=", "+", "-", "@"))


def test_other_texts_are_unchanged():
    assert [csv_cell(text) for text in ("cat", "'cat", "a/=1.png")] == ["cat", "'cat", "a/=1.png"]
