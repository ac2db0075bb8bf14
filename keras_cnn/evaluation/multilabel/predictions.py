"""The predictions of images that may have several labels, and their table `predictions.csv`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_cnn.csv_tables import CsvWriter, csv_rows
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.multilabel.metrics import exact_matches
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.run_folder import replacing

COLUMNS = ("id", "path", "true", "predicted", "exact")
_OF_CLASS = ("true_", "predicted_", "p_")


@dataclass(frozen=True)
class MultilabelPredictions:
    """The probabilities of C classes for N images in a fixed order, each with any number of true classes."""

    ids: tuple[str, ...]  # (N,) unique and stable, see data.Split
    paths: tuple[str, ...]  # (N,) of the image files; "" for images from an array
    classes: tuple[str, ...]
    labels: np.ndarray  # (N, C) uint8, 1 for each true class
    predicted: np.ndarray  # (N, C) bool
    probabilities: np.ndarray  # (N, C) float64

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def exact(self) -> np.ndarray:
        """(N,) bool: whether every class of an image is right."""
        return exact_matches(self.labels, self.predicted)


def write_predictions(path: Path, predictions: MultilabelPredictions) -> Path:
    """Writes a table with a row for each image, atomically, and returns its path.

    The columns are id, path, the true and the predicted classes joined by commas, and exact (1 or 0); then for each
    class `true_<class>` and `predicted_<class>` (1 or 0) and `p_<class>`, its probability in nine significant digits.
    UTF-8, quoted as in RFC 4180; texts that a spreadsheet would run as a formula have an apostrophe in front.
    """
    classes = predictions.classes
    with replacing(path) as temporary, open_csv(temporary) as file:
        rows = CsvWriter(file)
        rows.writerow([*COLUMNS, *(f"{kind}{name}" for name in classes for kind in _OF_CLASS)])
        for i, image in enumerate(predictions.ids):
            own, guessed = predictions.labels[i], predictions.predicted[i]
            texts = [joined(own, classes), joined(guessed, classes), int(predictions.exact[i])]
            cells = zip(own.tolist(), guessed.tolist(), predictions.probabilities[i].tolist(), strict=True)
            values = [cell for true, label, p in cells for cell in (int(true), int(label), f"{p:.9g}")]
            rows.writerow([image, predictions.paths[i], *texts, *values])
    return path


def joined(row: np.ndarray, classes: Sequence[str]) -> str:
    """The classes of a row (C,) with commas; "" without any."""
    return ", ".join(classes[place] for place in np.flatnonzero(row).tolist())


def read_predictions(path: Path) -> MultilabelPredictions:
    """Reads the table that `write_predictions` wrote. Raises InputError, naming file and row, for any other file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = list(csv_rows(file)) or [[]]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read the predictions: {error}") from None
    classes = tuple(name.removeprefix("p_") for name in head[len(COLUMNS) + 2 :: 3])
    expected = [*COLUMNS, *(f"{kind}{name}" for name in classes for kind in _OF_CLASS)]
    if not classes or head != expected:
        raise InputError(
            f"{path}: line 1 is {','.join(head)[:80]!r}; expected {','.join(COLUMNS)}, then true_, predicted_ and p_ of"
            " each class, as of images with several labels"
        )
    require(bool(rows), str(path), "no rows", "a row for each image")
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            raise InputError(f"{path}: row {number} has {len(row)} fields; expected {len(head)} (is it incomplete?)")
    try:
        values = np.array([row[len(COLUMNS) :] for row in rows], np.float64).reshape(len(rows), len(classes), 3)
    except ValueError as error:
        raise InputError(f"{path}: {error}; expected 0, 1 and probabilities") from None
    _check(path, values)
    ids = tuple(row[0] for row in rows)
    require(len(set(ids)) == len(ids), str(path), "an image twice", "each image once")
    labels, predicted = values[..., 0].astype(np.uint8), values[..., 1] == 1
    return MultilabelPredictions(ids, tuple(row[1] for row in rows), classes, labels, predicted, values[..., 2])


def _check(path: Path, values: np.ndarray) -> None:
    marks, probabilities = values[..., :2], values[..., 2]
    wrong = ~np.isin(marks, (0, 1)).all(axis=(1, 2)) | ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1)
    if wrong.any():
        raise InputError(f"{path}: row {int(wrong.argmax()) + 1}: expected 0 or 1, and probabilities from 0 to 1")
