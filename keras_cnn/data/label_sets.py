"""Labels of images in both forms: one class of each image, or a set of classes of each.

One class: (N,) integers that index the C classes. Several: (N, C) uint8, 1 for each class that an image has.
"""

from collections.abc import Sequence

import numpy as np


def has_sets(labels: np.ndarray) -> bool:
    """Whether an image may have several classes, or none."""
    return labels.ndim == 2


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) int64: the images of each class; an image with several is counted in each of them."""
    return labels.sum(axis=0, dtype=np.int64) if has_sets(labels) else np.bincount(labels, minlength=classes)


def label_numbers(labels: np.ndarray) -> np.ndarray:
    """(N,) integers that are equal for images with the same class, or with the same set of classes."""
    if not has_sets(labels):
        return labels
    if not len(labels):
        return np.zeros(0, np.int64)
    return np.unique(np.packbits(labels, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def no_class(labels: np.ndarray) -> np.ndarray:
    """(N,) int32 of -1: what has one class an image does not know that of images with several."""
    return np.full(len(labels), -1, np.int32)


def named(label: np.ndarray | int, classes: Sequence[str]) -> str:
    """The class of an image, or its classes joined by commas; "none" for an image without one."""
    if np.ndim(label) == 0:
        return classes[int(label)]
    return ", ".join(classes[place] for place in np.flatnonzero(label).tolist()) or "none"
