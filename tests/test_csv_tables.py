import io

import pandas as pd
import pytest

from keras_cnn.analysis.csv_files import read_table
from keras_cnn.analysis.sections import write_frame
from keras_cnn.csv_tables import CsvWriter, csv_cell, csv_rows, from_csv_cell

FORMULAS = ["=1+1", "+a", "-a", "-1+1", "-0x1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "-"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_get_an_apostrophe_and_come_back(text):
    assert csv_cell(text) == f"'{text}"
    assert from_csv_cell(csv_cell(text)) == text


@pytest.mark.parametrize("text", ["", "cat", "a=1", "'", "'cat", "''", "1-2", "a/=1.png", "-0.5", "+3", "-1e-5"])
def test_numbers_and_other_texts_stay_as_they_are(text):
    assert csv_cell(text) == from_csv_cell(text) == text


def test_a_table_of_formulas_is_read_as_it_was_written():
    file = io.StringIO()
    writer = CsvWriter(file)
    rows = [FORMULAS, ["a\nb", 'quo"te', "-0.5", ",", "'-1", "", *"vwxyz"]]
    for row in rows:
        writer.writerow(row)
    assert list(csv_rows(io.StringIO(file.getvalue(), newline=""))) == rows
    with pytest.raises(ValueError, match="expected"):
        list(csv_rows(['"a"b']))


def test_the_analysis_writes_no_formula_and_reads_back_texts_and_numbers(tmp_path):
    frame = pd.DataFrame({"=name": ["=cmd", "@x", "-relu"], "val_acc": [0.5, 0.25, 0.75], "shift": [-0.5, -1.0, 2.0]})
    text = write_frame(tmp_path / "runs.csv", frame).read_text()
    assert text == "'=name,val_acc,shift\n'=cmd,0.5,-0.5\n'@x,0.25,-1.0\n'-relu,0.75,2.0\n"
    table = read_table(tmp_path / "runs.csv", factors=["=name", "shift"])
    assert table["=name"].tolist() == ["=cmd", "@x", "-relu"]
    assert table["shift"].tolist() == [-0.5, -1.0, 2.0]
