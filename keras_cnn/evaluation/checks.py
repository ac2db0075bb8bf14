"""Checks that labels, scores and probabilities are arrays of the right shape and range; otherwise InputError."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from keras_cnn.errors import InputError

ROUNDING = 1e-3  # a bfloat16 softmax lies this close to the range [0, 1]


BLOCK = 4096  # images computed at a time, so that temporary arrays stay small: 33 MB of float64 for 1,000 classes


def blocks(images: int) -> Iterator[slice]:
    """The images in blocks of BLOCK."""
    return (slice(start, min(start + BLOCK, images)) for start in range(0, images, BLOCK))


def checked_scores(name: str, values) -> np.ndarray:
    """`values` as an (N, C) array of finite numbers; `name` begins the error message. Raises InputError.

    It is float64, or float32 if `values` are, which is then not copied.
    """
    values = np.asarray(values)
    values = values if values.dtype == np.float32 else np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{name} have shape {values.shape}; expected (images, classes) with at least one of each")
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):  # NaN is the least and the largest number
        bad = np.argwhere(~np.isfinite(values))
        row, column = bad[0]
        raise InputError(
            f"{name}[{row}, {column}] is {values[row, column]} ({len(bad)} in all); expected finite numbers"
        )
    return values


def checked_probabilities(values) -> np.ndarray:
    """`values` as an (N, C) float64 array in [0, 1], up to rounding. Raises InputError."""
    values = checked_scores("probabilities", np.asarray(values, np.float64))
    if values.min() < -ROUNDING or values.max() > 1 + ROUNDING:
        row, column = np.argwhere((values < -ROUNDING) | (values > 1 + ROUNDING))[0]
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
