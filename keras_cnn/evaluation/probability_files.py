"""The probabilities of many classes in files: the most probable few in a table, all of them as an array beside it.

Up to MOST_CLASSES classes a table has a column for each class. Of more, TABLE.npy has the probabilities, float32
(N, C) in the order of the rows, and TABLE.json the names of the classes in the order of its columns.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import ROUNDING, blocks
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.run_folder import read_json, replacing, write_json

LISTED = 5  # most probable classes in a row of the table
LISTED_COLUMNS = tuple(f"{kind}_{place}" for place in range(1, LISTED + 1) for kind in ("class", "p"))


def lists_few(classes: Sequence[str]) -> bool:
    """Whether a table of these classes has the most probable ones instead of a column for each."""
    return len(classes) > MOST_CLASSES


def array_file(table: Path) -> Path:
    """The file with all probabilities that belongs to a table."""
    return table.with_suffix(".npy")


def classes_file(table: Path) -> Path:
    """The file with the names of the classes that belongs to a table."""
    return table.with_suffix(".json")


def most_probable(probabilities: np.ndarray, number: int = LISTED) -> np.ndarray:
    """(N, number) the most probable of C classes, the largest first; the lower class where two are equal.

    Rows of NaN have the classes 0, 1, ...; `number` is at most C.
    """
    best = np.empty((len(probabilities), number), np.int64)
    for rows in blocks(len(probabilities)):
        left = np.nan_to_num(probabilities[rows], nan=0.0)
        for place in range(number):
            best[rows, place] = left.argmax(axis=1)
            left[np.arange(len(left)), best[rows, place]] = -np.inf
    return best


def write_array(table: Path, probabilities: np.ndarray, classes: Sequence[str]) -> None:
    """Writes TABLE.npy and TABLE.json, each atomically. `probabilities` are (N, C); NaN marks a row without any."""
    with replacing(array_file(table)) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=np.shape(probabilities))
        for rows in blocks(len(probabilities)):
            array[rows] = probabilities[rows]
        array.flush()
        del array  # closes the file, which Windows replaces only then
    write_json(classes_file(table), {"classes": list(classes)})


def read_array(table: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes and the (N, C) float32 probabilities of a table, mapped read-only.

    Raises InputError, naming the file, for what `write_array` did not write.
    """
    named, path = classes_file(table), array_file(table)
    try:
        classes = read_json(named, {"classes": list[str]})["classes"]
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{table}: cannot read {path.name} beside it: {error}") from None
    if array.dtype != np.float32 or array.ndim != 2 or array.shape[1] != len(classes):
        raise InputError(
            f"{path}: {array.dtype} of {array.shape}; expected float32 of (rows, {len(classes)}), the classes of"
            f" {named.name}"
        )
    if len(set(classes)) < len(classes):
        raise InputError(f"{named}: a class occurs more than once; expected different names")
    for rows in blocks(len(array)):
        block = array[rows]
        if not (block.min() >= -ROUNDING and block.max() <= 1 + ROUNDING):  # NaN is in no range
            row = rows.start + int(np.argmin(((block >= -ROUNDING) & (block <= 1 + ROUNDING)).all(axis=1)))
            raise InputError(f"{path}: row {row + 1} has a value outside 0 to 1; expected probabilities")
    return tuple(classes), array
