"""Checks that labels, scores and probabilities are arrays of the right shape and range; otherwise InputError."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from keras_cnn.errors import InputError

ROUNDING = 1e-3  # a bfloat16 softmax lies this close to the range [0, 1]


def checked_scores(name: str, values) -> np.ndarray:
    """`values` as an (N, C) float64 array of finite numbers; `name` begins the error message. Raises InputError."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{name} have shape {values.shape}; expected (images, classes) with at least one of each")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{name}[{row}, {column}] is {values[row, column]} ({len(bad)} in all); expected finite numbers"
        )
    return values


def checked_probabilities(values) -> np.ndarray:
    """`values` as an (N, C) float64 array in [0, 1], up to rounding. Raises InputError."""
    values = checked_scores("probabilities", values)
    bad = np.argwhere((values < -ROUNDING) | (values > 1 + ROUNDING))
    if len(bad):
        row, column = bad[0]
        raise InputError(f"probabilities[{row}, {column}] is {values[row, column]}; expected 0 to 1 (logits?)")
    return values


def checked_labels(labels, scores: np.ndarray) -> np.ndarray:
    """`labels` as an (N,) array of integers that index the columns of `scores` (N, C). Raises InputError."""
    labels = np.asarray(labels)
    images, classes = scores.shape
    if labels.shape != (images,):
        raise InputError(f"labels have shape {labels.shape}, the outputs are of {images} images; expected ({images},)")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels are of type {labels.dtype}; expected integers, one class index per image")
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise InputError(f"labels[{bad[0]}] is {labels[bad[0]]} ({len(bad)} in all); expected 0 to {classes - 1}")
    return labels


def check_classes(classes: Sequence[str], scores: np.ndarray) -> None:
    """Raises InputError unless `classes` are C different names, one for each column of `scores` (N, C)."""
    if len(classes) != scores.shape[1]:
        raise InputError(
            f"{len(classes)} class names for outputs of {scores.shape[1]} classes; expected the same number"
        )
    name, times = Counter(classes).most_common(1)[0]
    if times > 1:
        raise InputError(f"class name {name!r} occurs {times} times; expected different names")
