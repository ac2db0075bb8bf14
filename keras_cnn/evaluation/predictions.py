"""A model's predictions for every image of a split, and their table: `predictions.csv` or, of many, `.parquet`.

The table has a column for each class or, of more than MOST_CLASSES, the most probable five; see `probability_files`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_cnn.csv_tables import CsvWriter, csv_rows
from keras_cnn.errors import InputError
from keras_cnn.evaluation import prediction_parquet, probability_files
from keras_cnn.evaluation.checks import ROUNDING, blocks, check_classes, checked_labels, checked_probabilities
from keras_cnn.extras import install_line, missing_modules
from keras_cnn.messages import listed, logger
from keras_cnn.run_folder import replacing

COLUMNS = ("id", "path", "true", "predicted", "correct")
TABLES = ("predictions.csv", "predictions.parquet")  # of a folder, which has one of them
MOST_ROWS = 100_000  # of a CSV file, if pyarrow is installed: a million images of 1,000 classes take 0.3 GB


@dataclass(frozen=True)
class Predictions:
    """The probabilities of C classes for N images in a fixed order."""

    ids: tuple[str, ...]  # (N,) unique and stable, see data.Split
    paths: tuple[str, ...]  # (N,) of the image files; "" for images from an array
    classes: tuple[str, ...]
    labels: np.ndarray  # (N,) integers, the true classes
    probabilities: np.ndarray  # (N, C) float64; float32, mapped from the file, of more than MOST_CLASSES

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


def find_predictions(folder: Path) -> Path | None:
    """The table of predictions in a folder, if it has one."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def write_predictions(path, ids, paths, labels, probabilities, *, classes: Sequence[str]) -> Path:
    """Writes a table with a row for each image, and returns its path.

    The columns are id, path, true, predicted, correct (1 or 0), then the probabilities.
    Up to MOST_CLASSES classes, the probabilities are in a column `p_<class>` for each. Of more, `class_1`, `p_1` to
    `class_5`, `p_5` are the most probable, and files beside the table have them all, see `probability_files`.

    `path` is a CSV file: UTF-8, quoted as in RFC 4180; bytes of a file name that are not UTF-8 appear as `\\udcXX`.
    Probabilities have nine significant digits, from which a float32 is restored exactly. Texts that a spreadsheet would
    run as a formula have an apostrophe in front. More than MOST_ROWS rows are written as `.parquet` instead, with
    float32 and texts as they are, if pyarrow is installed. Each file is replaced atomically.

    Raises InputError for different numbers of images, labels out of range, or values that are not probabilities.
    """
    path, probabilities = Path(path), checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    check_classes(classes, probabilities)
    for name, values in (("ids", ids), ("paths", paths)):
        if len(values) != len(labels):
            raise InputError(
                f"write_predictions: {len(values)} {name} for {len(labels)} labels; expected the same number"
            )
    if probability_files.lists_few(classes):
        probability_files.write_array(path, probabilities, classes)
    as_parquet = len(labels) > MOST_ROWS and not missing_modules(["pyarrow"])
    if len(labels) > MOST_ROWS and not as_parquet:
        logger.info(f"note        {len(labels):,} predictions as CSV; smaller as .parquet: {install_line('parquet')}")
    table = path.with_suffix(".parquet") if as_parquet else path
    write = prediction_parquet.write if as_parquet else _write_csv
    write(table, ids, paths, labels, probabilities, classes=classes)
    path.with_suffix(".csv" if as_parquet else ".parquet").unlink(missing_ok=True)  # of an earlier run in this folder
    return table


def _write_csv(path: Path, ids, paths, labels, probabilities: np.ndarray, *, classes: Sequence[str]) -> None:
    few = probability_files.lists_few(classes)
    best = probability_files.most_probable(probabilities) if few else None
    with replacing(path) as temporary, open_csv(temporary) as file:
        rows = CsvWriter(file)
        rows.writerow([*COLUMNS, *(probability_files.LISTED_COLUMNS if few else (f"p_{name}" for name in classes))])
        for i, (image, where, true, row) in enumerate(zip(ids, paths, labels, probabilities, strict=True)):
            predicted = row.argmax()
            texts = (str(text) for text in (image, where, classes[true], classes[predicted]))
            cells = (f"{p:.9g}" for p in row) if best is None else listed_cells(row, best[i], classes)
            rows.writerow([*texts, int(predicted == true), *cells])


def listed_cells(row: np.ndarray, best: np.ndarray, classes: Sequence[str]) -> list[str]:
    """The most probable classes of a row (C,), by their indices `best`, each with its probability as float32."""
    return [text for c in best for text in (str(classes[c]), f"{np.float32(row[c]):.9g}")]


def open_csv(path: Path):
    """The file opened to write CSV; bytes of a file name that are not UTF-8 appear as `\\udcXX`."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def read_predictions(path: Path) -> Predictions:
    """Reads the table that `write_predictions` wrote, and the array beside it if there is one.

    Raises InputError, naming file and line, for any other file.
    """
    if path.suffix == ".parquet":
        head, columns = prediction_parquet.read(path)
        return _unique(path, _listed(path, columns) if _is_listed(head) else _of_columns(path, head, columns))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv_rows(file))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot read the predictions: {error}") from None
    head, rows = (lines[0], lines[1:]) if lines else ([], [])
    read = _listed_in_csv if _is_listed(head) else _all_in_csv
    return _unique(path, read(path, head, rows))


def _is_listed(head: Sequence[str]) -> bool:
    return tuple(head) == (*COLUMNS, *probability_files.LISTED_COLUMNS)


def _unique(path: Path, read: Predictions) -> Predictions:
    if len(set(read.ids)) < len(read.ids):
        twice, times = Counter(read.ids).most_common(1)[0]
        raise InputError(f"{path}: id {twice!r} occurs {times} times; expected each image once")
    return read


def _classes_of(path: Path, head: Sequence[str]) -> tuple[str, ...]:
    """The classes that a head names by its columns p_<class>."""
    named = head[len(COLUMNS) :]
    if tuple(head[: len(COLUMNS)]) != COLUMNS or not named or not all(name.startswith("p_") for name in named):
        raise InputError(f"{path}: line 1 is {','.join(head)[:80]!r}; expected {','.join(COLUMNS)},p_<class>,...")
    classes = tuple(name.removeprefix("p_") for name in named)
    if len(set(classes)) < len(classes):
        twice = Counter(classes).most_common(1)[0][0]
        raise InputError(f"{path}: line 1 has column p_{twice} more than once; expected one column per class")
    return classes


def _all_in_csv(path: Path, head: list[str], lines: list[list[str]]) -> Predictions:
    classes = _classes_of(path, head)
    columns = {name: i for i, name in enumerate(classes)}
    rows = [_row(f"{path}: row {i}", line, columns) for i, line in enumerate(lines, 1)]
    if not rows:
        raise InputError(f"{path}: no rows; expected one row per image")
    ids, paths, labels, probabilities = zip(*rows, strict=True)
    return Predictions(ids, paths, classes, np.array(labels), np.array(probabilities))


def _listed_in_csv(path: Path, head: list[str], lines: list[list[str]]) -> Predictions:
    for number, line in enumerate(lines, 1):
        if len(line) != len(head):
            raise InputError(f"{path}: row {number} has {len(line)} fields; expected {len(head)} (is it incomplete?)")
    columns = dict(zip(head, zip(*lines, strict=True), strict=True)) if lines else {}
    try:
        values = {name: np.array(columns[name], np.float32) for name in columns if name.startswith("p_")}
    except ValueError as error:
        raise InputError(f"{path}: {error}; expected probabilities") from None
    names = [name for name in columns if name.startswith("class_") or name in COLUMNS[2:4]]
    coded = {name: prediction_parquet.coded(columns[name]) for name in names}
    return _listed(path, columns | values | coded)


def _listed(path: Path, columns: dict) -> Predictions:
    """The predictions of a table with the most probable classes. InputError unless the array beside it has the same."""
    classes, probabilities = probability_files.read_array(path)
    rows = len(columns.get("id", ()))
    if rows != len(probabilities) or not rows:
        array = probability_files.array_file(path)
        raise InputError(f"{path}: {rows:,} rows, {array.name} has {len(probabilities):,}; expected one per image")
    codes = {n: _indices(path, n, columns[n], classes) for n in columns if n.startswith("class_") or n in COLUMNS[2:4]}
    every = np.arange(rows)
    for place in range(1, probability_files.LISTED + 1):
        differs = np.asarray(probabilities[every, codes[f"class_{place}"]]) != columns[f"p_{place}"]
        if differs.any():
            row, array = int(differs.argmax()), probability_files.array_file(path)
            found = probabilities[row, codes[f"class_{place}"][row]]
            raise InputError(
                f"{path}: row {row + 1}: p_{place} is {columns[f'p_{place}'][row]:.9g}, {array.name} has {found:.9g};"
                " expected the array that was written with the table"
            )
    _check_predicted(path, probabilities, codes["predicted"], classes)
    return Predictions(tuple(columns["id"]), tuple(columns["path"]), classes, codes["true"], probabilities)


def _of_columns(path: Path, head: list[str], columns: dict) -> Predictions:
    """The predictions of a table with a column for each class."""
    classes = _classes_of(path, head)
    probabilities = np.stack([np.asarray(columns[f"p_{name}"], np.float64) for name in classes], axis=1)
    if not len(probabilities):
        raise InputError(f"{path}: no rows; expected one row per image")
    checked_probabilities(probabilities)
    true, predicted = (_indices(path, name, columns[name], classes) for name in COLUMNS[2:4])
    _check_predicted(path, probabilities, predicted, classes)
    return Predictions(tuple(columns["id"]), tuple(columns["path"]), classes, true, probabilities)


def _indices(path: Path, name: str, column: prediction_parquet.Coded, classes: tuple[str, ...]) -> np.ndarray:
    """(N,) indices of the classes of a column of names."""
    place = {name: i for i, name in enumerate(classes)}
    unknown = next((text for text in column.names if text not in place), None)
    if unknown is not None:
        raise InputError(f"{path}: column {name}: {unknown!r} is none of the classes: {listed(classes)}")
    return np.array([place[text] for text in column.names], np.int64)[column.codes]


def _check_predicted(path: Path, probabilities: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> None:
    for rows in blocks(len(predicted)):
        block = np.asarray(probabilities[rows])
        lower = block[np.arange(len(block)), predicted[rows]] < block.max(axis=1)
        if lower.any():
            row = int(lower.argmax())
            best, found = classes[block[row].argmax()], classes[predicted[rows][row]]
            where = f"{path}: row {rows.start + row + 1}"
            raise InputError(f"{where}: predicted class is {found!r}, but p_{best} is the largest; expected its class")


def _row(place: str, line: list[str], classes: dict[str, int]) -> tuple[str, str, int, list[float]]:
    if len(line) != len(COLUMNS) + len(classes):
        raise InputError(
            f"{place} has {len(line)} fields; expected {len(COLUMNS) + len(classes)} (is the file incomplete?)"
        )
    if line[2] not in classes:
        raise InputError(
            f"{place}: true class {line[2]!r} has no column p_{line[2]}; classes: {listed(tuple(classes))}"
        )
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
