import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.metrics import softmax
from keras_cnn.evaluation.predictions import Predictions, read_predictions, write_predictions

CLASSES = ("cat", "dog", "owl")
LABELS = np.array([0, 0, 0, 1])
LOGITS = np.array([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 1.0, 0.0]])
HEAD = "id,path,true,predicted,correct,p_cat,p_dog,p_owl"
ROW = "a,/data/a,cat,cat,1,0.5,0.3,0.2"


def test_predictions_can_be_read_back_whatever_the_names(tmp_path):
    path = tmp_path / "predictions.csv"
    classes = ("cat, wild", 'the "owl"', "猫")
    ids = ("a,b.jpg", "zwei\nZeilen.jpg", "über/猫.jpg", "bad\udcff.jpg")
    probabilities = softmax(LOGITS).astype(np.float32)
    write_predictions(path, ids, [Path("/data") / i for i in ids], LABELS, probabilities, classes=classes)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "path", "true", "predicted", "correct", *(f"p_{name}" for name in classes)]
    assert [row["id"] for row in rows] == [*ids[:3], "bad\\udcff.jpg"]
    assert rows[2]["path"] == "/data/über/猫.jpg"
    assert [row["true"] for row in rows] == ["cat, wild"] * 3 + ['the "owl"']
    assert [row["predicted"] for row in rows] == ["cat, wild", "cat, wild", 'the "owl"', 'the "owl"']
    assert [row["correct"] for row in rows] == ["1", "1", "0", "1"]
    read = np.array([[row[f"p_{name}"] for name in classes] for row in rows], np.float32)
    np.testing.assert_array_equal(read, probabilities)
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_failed_predictions_leave_the_old_file_and_nothing_else(tmp_path):
    class Unprintable:
        def __str__(self):
            raise RuntimeError("no name")

    path = tmp_path / "predictions.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="no name"):
        write_predictions(path, "abcd", ["", "", "", Unprintable()], LABELS, softmax(LOGITS), classes=CLASSES)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lengths_and_values_at_odds_are_refused_and_leave_no_file(tmp_path):
    path, probabilities = tmp_path / "p.csv", softmax(LOGITS)
    with pytest.raises(InputError, match="3 paths for 4 labels"):
        write_predictions(path, "abcd", "abc", LABELS, probabilities, classes=CLASSES)
    with pytest.raises(InputError, match=r"probabilities\[0, 0\] is 2.0; expected 0 to 1"):
        write_predictions(path, "abcd", "abcd", LABELS, LOGITS, classes=CLASSES)
    with pytest.raises(InputError, match="class name 'cat' occurs 2 times"):
        write_predictions(path, "abcd", "abcd", LABELS, probabilities, classes=("cat", "dog", "cat"))
    assert list(tmp_path.iterdir()) == []


def test_correct_and_predicted_take_the_lower_class_of_a_tie():
    probabilities = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7]])
    made = Predictions(tuple("abc"), ("",) * 3, CLASSES, np.array([0, 2, 2]), probabilities)
    assert len(made) == 3
    assert made.predicted.tolist() == [0, 1, 2]
    assert made.correct.tolist() == [True, False, True]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "predictions.csv"
    classes, ids = ("cat, wild", 'the "owl"', "猫"), ("a,b.jpg", "zwei\nZeilen.jpg", "über/猫.jpg", "d")
    probabilities = softmax(LOGITS).astype(np.float32)
    write_predictions(path, ids, ["", "/x/y", "", "d"], LABELS, probabilities, classes=classes)
    read = read_predictions(path)
    assert (read.ids, read.paths, read.classes) == (ids, ("", "/x/y", "", "d"), classes)
    assert read.labels.tolist() == LABELS.tolist()
    assert read.labels.dtype.kind == "i"
    np.testing.assert_array_equal(read.probabilities.astype(np.float32), probabilities)
    assert read.probabilities.dtype == np.float64
    assert read.predicted.tolist() == [0, 0, 1, 1]
    assert read.correct.tolist() == [True, True, False, True]


def test_two_probabilities_that_nine_digits_make_equal_are_no_contradiction(tmp_path):
    path = tmp_path / "predictions.csv"
    write_predictions(path, ["a"], [""], np.array([1]), np.array([[0.3, 0.35 - 1e-12, 0.35]]), classes=CLASSES)
    assert ",owl,0," in path.read_text()
    assert read_predictions(path).predicted.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1 is ''; expected id,path,true,predicted,correct,p_<class>,\.\.\."),
        ("image,label\nx,1\n", "line 1 is 'image,label'; expected id,path"),
        ("id,path,true,predicted,correct\n", "line 1 is 'id,path,true,predicted,correct'; expected"),
        (f"{HEAD},owl\n", "expected id,path,true,predicted,correct,p_<class>"),
        (f"{HEAD},p_cat\n{ROW},0\n", "line 1 has column p_cat more than once; expected one column per class"),
        (f"{HEAD}\n", "no rows; expected one row per image"),
        (f"{HEAD}\n{ROW}\nb,,dog,dog,1,0.1,0.", r"row 2 has 7 fields; expected 8 \(is the file incomplete\?\)"),
        (f"{HEAD}\n{ROW}\n\n", "row 2 has 0 fields; expected 8"),
        (f"{HEAD}\n{ROW},0.1\n", "row 1 has 9 fields; expected 8"),
        (
            f"{HEAD}\n{ROW.replace('cat,cat', 'cow,cat')}\n",
            "row 1: true class 'cow' has no column p_cow; classes: cat, ",
        ),
        (f"{HEAD}\n{ROW.replace('0.5', 'much')}\n", "row 1: could not convert string to float: 'much'; expected prob"),
        (f"{HEAD}\n{ROW}\n{ROW.replace('0.3', 'nan')}\n", "row 2: p_dog is nan; expected a probability from 0 to 1"),
        (f"{HEAD}\n{ROW.replace('0.5', '2.5')}\n", "row 1: p_cat is 2.5; expected a probability"),
        (f"{HEAD}\n{ROW.replace('0.2', '-inf')}\n", "row 1: p_owl is -inf; expected a probability"),
        (f"{HEAD}\n{ROW.replace('cat,cat', 'cat,dog')}\n", "row 1: predicted class is 'dog', but p_cat is the largest"),
        (f"{HEAD}\n{ROW.replace('cat,cat', 'cat,cow')}\n", "row 1: predicted class is 'cow', but p_cat is the largest"),
        (f"{HEAD}\n{ROW}\n{ROW}\n{ROW}\n", "id 'a' occurs 3 times; expected each image once"),
        (f"{HEAD}\n{ROW}".encode("utf-16"), "cannot read the predictions: 'utf-8' codec"),
    ],
)
def test_what_no_run_wrote_is_named_in_one_line(tmp_path, text, message):
    path = tmp_path / "predictions.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot read the predictions: .*No such file"):
        read_predictions(tmp_path / "none.csv")


def test_reading_takes_time_in_proportion_to_the_images(tmp_path):
    path, images = tmp_path / "predictions.csv", 60_000
    rows = [f"{i},,cat,cat,1,0.5,0.3,0.2" for i in range(images)]
    path.write_text("\n".join([HEAD, *rows, f"{images - 1},,cat,cat,1,0.5,0.3,0.2"]) + "\n")
    begin = time.monotonic()
    with pytest.raises(InputError, match=f"id '{images - 1}' occurs 2 times"):
        read_predictions(path)
    assert time.monotonic() - begin < 10  # 0.5 s; counting every id in a list took minutes
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    assert len(read_predictions(path)) == images


def test_reading_takes_time_in_proportion_to_the_classes(tmp_path):
    path, classes = tmp_path / "predictions.csv", 20_000
    head = ",".join(["id,path,true,predicted,correct", *(f"p_{c}" for c in range(classes))])
    row = ",".join([f"a,,{classes - 1},{classes - 1},1", *["0"] * (classes - 1), "1"])
    path.write_text(f"{head}\n{row}\n")
    assert read_predictions(path).labels.tolist() == [classes - 1]
    assert math.isclose(read_predictions(path).probabilities.sum(), 1)


def test_no_cell_is_a_formula_and_all_names_come_back(tmp_path):
    ids, paths, classes = ("=1+1.png", "-2.png", "'=3.png"), ("=1+1.png", "", "@x"), ("=1+1", "+b", "'=c")
    write_predictions(tmp_path / "predictions.csv", ids, paths, np.arange(3), np.eye(3), classes=classes)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    again = read_predictions(tmp_path / "predictions.csv")
    assert (again.ids, again.paths, again.classes) == (ids, paths, classes)
    assert again.correct.all()
