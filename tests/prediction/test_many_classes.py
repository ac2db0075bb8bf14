"""The table of `predict` for more than 40 classes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.prediction.session import check_array_replaceable
from keras_cnn.prediction.table import ImagePredictions

CLASSES = tuple(f"kind {i}" for i in range(50))


@pytest.fixture(scope="module")
def predicted() -> ImagePredictions:
    """Three images, of which the second could not be read."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(50, 0.3), 3)
    probabilities[1] = np.nan
    return ImagePredictions("net", CLASSES, ("a.jpg", "b.jpg", "c.jpg"), probabilities, {1: "damaged"})


def test_a_row_has_five_classes_and_the_array_has_all(predicted, tmp_path):
    predicted.to_csv(tmp_path / "new.csv")
    with (tmp_path / "new.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    listed = [name for place in range(1, 6) for name in (f"class_{place}", f"p_{place}")]
    assert list(rows[0]) == ["image", "predicted", "probability", "error", *listed] == list(predicted.table.columns)
    for i in (0, 2):
        best = np.argsort(-predicted.probabilities[i])[:5]
        assert [rows[i][f"class_{k}"] for k in range(1, 6)] == [CLASSES[c] for c in best] == list(predicted[i].classes)
        expected = predicted.probabilities[i, best].astype(np.float32)
        assert [np.float32(rows[i][f"p_{k}"]) for k in range(1, 6)] == expected.tolist()
        assert predicted.table.iloc[i][[f"class_{k}" for k in range(1, 6)]].tolist() == [CLASSES[c] for c in best]
    assert list(rows[1].values()) == ["b.jpg", "", "", "damaged", *[""] * 10]
    assert predicted.table.iloc[1].isna().sum() == 12
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), predicted.probabilities.astype(np.float32))
    assert json.loads((tmp_path / "new.json").read_text()) == {"classes": list(CLASSES)}


@pytest.mark.parametrize("name", ["new.npy", "new.json"])
def test_files_of_the_users_beside_a_new_table_are_kept(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: exists and is not replaced, expected no such file beside new\.csv"):
        check_array_replaceable(Path(tmp_path / "new.csv"), CLASSES)
    check_array_replaceable(tmp_path / "new.csv", CLASSES[:40])  # a column for each class: no array
    (tmp_path / "new.csv").write_text("an earlier result")
    check_array_replaceable(tmp_path / "new.csv", CLASSES)
