"""Confusion matrices of any number of classes as JSON."""

from typing import Any

import numpy as np

from keras_cnn.messages import MOST_CLASSES

_LARGEST = 20_000  # classes of a matrix that is read: 3.2 GB


def as_json(matrix: np.ndarray) -> list[list[int]] | dict[str, Any]:
    """The whole numbers (C, C) for JSON: the rows; of more than MOST_CLASSES classes the cells that are not 0.

    A million cells would take 8 MB; 50,000 images have at most as many cells that are not 0.
    """
    if len(matrix) <= MOST_CLASSES:
        return matrix.tolist()
    true, predicted = np.nonzero(matrix)
    cells = {"true": true, "predicted": predicted, "images": matrix[true, predicted]}
    return {"classes": len(matrix), **{name: values.tolist() for name, values in cells.items()}}


def from_json(value: Any) -> np.ndarray:
    """(C, C) int64, the numbers from which `as_json` made `value`.

    Raises ValueError, TypeError, KeyError or OverflowError for anything else.
    """
    if not isinstance(value, dict):
        matrix = _whole(value)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
            raise ValueError(f"found an array of {matrix.shape}, expected as many rows as columns")
        return matrix
    (classes,) = _whole([value["classes"]])
    true, predicted, images = (_whole(value[name]) for name in ("true", "predicted", "images"))
    if not len(true) == len(predicted) == len(images) or not 0 < classes <= _LARGEST:
        raise ValueError("lengths")
    places = np.concatenate([true, predicted])
    if len(places) and not 0 <= places.min() <= places.max() < classes:
        raise ValueError("a class out of range")
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, predicted), images)
    return matrix


def _whole(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all() or not (array == np.floor(array)).all():
        raise ValueError("expected whole numbers")
    return array.astype(np.int64)
