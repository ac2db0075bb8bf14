"""A model's predictions for every image of a split, and their file `predictions.csv`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_cnn.csv_tables import CsvWriter, csv_rows
from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import ROUNDING, check_classes, checked_labels, checked_probabilities
from keras_cnn.run_folder import replacing

COLUMNS = ("id", "path", "true", "predicted", "correct")


@dataclass(frozen=True)
class Predictions:
    """The probabilities of C classes for N images in a fixed order."""

    ids: tuple[str, ...]  # (N,) unique and stable, see data.Split
    paths: tuple[str, ...]  # (N,) of the image files; "" for images from an array
    classes: tuple[str, ...]
    labels: np.ndarray  # (N,) integers, the true classes
    probabilities: np.ndarray  # (N, C) float64

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) predicted classes; the lower class where two share the largest probability."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool: whether the prediction is the true class."""
        return self.predicted == self.labels


def write_predictions(path, ids, paths, labels, probabilities, *, classes: Sequence[str]) -> None:
    """Writes a row for each image: id, path, true, predicted, correct (1 or 0), then `p_<class>` for every class.

    The file is UTF-8, quoted as in RFC 4180; bytes of a file name that are not UTF-8 appear as `\\udcXX`. Probabilities
    have nine significant digits, from which a float32 is restored exactly. Texts that a spreadsheet would run as a
    formula have an apostrophe in front. The file is replaced atomically.

    Raises InputError for different numbers of images, labels out of range, or values that are not probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    check_classes(classes, probabilities)
    for name, values in (("ids", ids), ("paths", paths)):
        if len(values) != len(labels):
            raise InputError(
                f"write_predictions: {len(values)} {name} for {len(labels)} labels; expected the same number"
            )
    with replacing(Path(path)) as temporary, open_csv(temporary) as file:
        rows = CsvWriter(file)
        rows.writerow([*COLUMNS, *(f"p_{name}" for name in classes)])
        for image, where, true, row in zip(ids, paths, labels, probabilities, strict=True):
            predicted = row.argmax()
            values = (f"{p:.9g}" for p in row)
            texts = (str(text) for text in (image, where, classes[true], classes[predicted]))
            rows.writerow([*texts, int(predicted == true), *values])


def open_csv(path: Path):
    """The file opened to write CSV; bytes of a file name that are not UTF-8 appear as `\\udcXX`."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def read_predictions(path: Path) -> Predictions:
    """Reads a file that `write_predictions` wrote. Raises InputError, naming file and line, for any other file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv_rows(file))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read the predictions: {error}") from None
    head = lines[0] if lines else []
    named = head[len(COLUMNS) :]
    if tuple(head[: len(COLUMNS)]) != COLUMNS or not named or not all(name.startswith("p_") for name in named):
        raise InputError(f"{path}: line 1 is {','.join(head)[:80]!r}; expected {','.join(COLUMNS)},p_<class>,...")
    classes = tuple(name.removeprefix("p_") for name in named)
    columns = {name: i for i, name in enumerate(classes)}
    if len(columns) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise InputError(f"{path}: line 1 has column p_{twice} more than once; expected one column per class")
    rows = [_row(f"{path}: row {i}", line, columns) for i, line in enumerate(lines[1:], 1)]
    if not rows:
        raise InputError(f"{path}: no rows; expected one row per image")
    ids, paths, labels, probabilities = zip(*rows, strict=True)
    if len(set(ids)) < len(ids):
        twice, times = Counter(ids).most_common(1)[0]
        raise InputError(f"{path}: id {twice!r} occurs {times} times; expected each image once")
    return Predictions(ids, paths, classes, np.array(labels), np.array(probabilities))


def _row(place: str, line: list[str], classes: dict[str, int]) -> tuple[str, str, int, list[float]]:
    if len(line) != len(COLUMNS) + len(classes):
        raise InputError(
            f"{place} has {len(line)} fields; expected {len(COLUMNS) + len(classes)} (is the file incomplete?)"
        )
    if line[2] not in classes:
        raise InputError(f"{place}: true class {line[2]!r} has no column p_{line[2]}; classes: {', '.join(classes)}")
    try:
        values = [float(text) for text in line[len(COLUMNS) :]]
    except ValueError as error:
        raise InputError(f"{place}: {error}; expected probabilities") from None
    if not all(-ROUNDING <= value <= 1 + ROUNDING for value in values):  # NaN is in no range
        bad = next(i for i, value in enumerate(values) if not -ROUNDING <= value <= 1 + ROUNDING)
        raise InputError(f"{place}: p_{list(classes)[bad]} is {values[bad]}; expected a probability from 0 to 1")
    if line[3] not in classes or values[classes[line[3]]] < max(values):
        largest = list(classes)[values.index(max(values))]
        raise InputError(f"{place}: predicted class is {line[3]!r}, but p_{largest} is the largest; expected its class")
    return line[0], line[1], classes[line[2]], values
