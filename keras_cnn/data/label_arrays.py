"""Sets of labels given as arrays of 0 and 1, a row for each image and a column for each class."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_cnn.errors import InputError, require


def are_sets(labels: np.ndarray) -> bool:
    """Whether labels have a column for each of several classes."""
    return labels.ndim == 2 and labels.shape[1] > 1


def checked_sets(where: str, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(N, C) uint8 of each part, from arrays by their names.

    Raises InputError for parts with other columns, for values that are not 0 and 1, and if every image has exactly one
    class: then its number says the same, and the network gets a softmax.
    """
    checked, columns = {}, next(iter(labels.values())).shape[1]
    for name, array in labels.items():
        place = f"{where}: {name}" if where else name
        found, expected = f"found {array.dtype} {array.shape}", f"(N, {columns}), 1 for each class that an image has"
        require(array.ndim == 2 and array.shape[1] == columns and array.dtype.kind in "iub", place, found, expected)
        wrong = np.argwhere(~np.isin(array, (0, 1)))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(f"{place}[{row}, {column}]: found {array[row, column]}, expected 0 or 1")
        checked[name] = array.astype(np.uint8)
    if all((array.sum(axis=1) == 1).all() for array in checked.values()):
        first = next(iter(labels))
        raise InputError(
            f"{f'{where}: ' if where else ''}{first}: every image has exactly one class; expected (N,) numbers, which"
            f" {first}.argmax(axis=1) makes from one-hot rows"
        )
    return checked


def column_names(where: str, given: Sequence[str] | None, columns: int) -> tuple[str, ...]:
    """The names of the classes: those given, one for each column, or 0, 1, ..."""
    if given is None:
        return tuple(str(number) for number in range(columns))
    require(len(given) == columns, where, f"{len(given)} class names for {columns} columns", "one for each column")
    return tuple(map(str, given))
