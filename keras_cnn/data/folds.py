"""Folds of a cross-validation: each image is held out once. scikit-learn cuts them, stratified and never through a set.

A set are the images of one group or with the same pixels. The order in which scikit-learn sees them is that of the
SHA-256 of seed and id, and it draws no random number, so that the folds are the same on every machine.
"""

import re
import warnings
from collections.abc import Sequence

import numpy as np

from keras_cnn.data.label_sets import has_sets
from keras_cnn.data.splits import SourcePart, together
from keras_cnn.errors import InputError, require
from keras_cnn.messages import counted


def parse_fold(text: str) -> tuple[int, int]:
    """The number of a fold, from 1, and the number of folds: (2, 5) from "2/5". Raises InputError for another text."""
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise InputError(f"data.fold: found {text!r}, expected a fold such as 2/5, the second of five")
    return number, count


def hold_out(part: SourcePart, classes: Sequence[str], fold: str, seed: int) -> tuple[SourcePart, SourcePart]:
    """The images of `part` that are not in the fold, and those that are, each in their original order.

    Raises InputError for a fold that is none, or if a class has fewer images than folds.
    """
    number, count = parse_fold(fold)
    several = has_sets(part.split.labels)
    require(not several, "data.fold", f"found {fold} of images that may have several labels", "one class an image")
    sets, labels = together(part, seed), part.split.labels
    for label, title in enumerate(classes):
        images = int(np.count_nonzero(labels == label))
        if part.groups is None and images < count:
            few = f"class {title!r} has {counted(images, 'image')}, too few for {count} folds"
            raise InputError(f"{few}; expected one for each: fewer folds, or more images")
    held = fold_numbers(labels, sets, count) == number - 1
    return part.take(np.flatnonzero(~held)), part.take(np.flatnonzero(held))


def fold_numbers(labels: np.ndarray, sets: Sequence[np.ndarray], count: int) -> np.ndarray:
    """(N,) int64: the fold of each image, from 0, of `count` folds of about the same size and the same classes.

    labels: (N,) the class of each image.
    sets: the indices of all images, in sets that stay together.

    Most sets being single images, StratifiedKFold cuts the sets; else StratifiedGroupKFold cuts the images in sets.
    Raises InputError if there are fewer sets than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # takes half a second

    if len(sets) < count:
        raise InputError(
            f"{count} folds of {counted(len(sets), 'set')} of images that stay together; expected fewer folds"
        )
    sizes, order = np.array([len(members) for members in sets]), np.concatenate([np.asarray(s) for s in sets])
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    first = labels[order[starts]]
    are_pure = bool(np.all(labels[order] == np.repeat(first, sizes)))
    numbers = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer members than folds: our notes name them
        if are_pure and 2 * len(sets) > len(labels) and np.bincount(first).max() >= count:
            of_sets = np.empty(len(sets), np.int64)
            for fold, (_, held) in enumerate(StratifiedKFold(count).split(first, first)):
                of_sets[held] = fold
            numbers[order] = np.repeat(of_sets, sizes)
            return numbers
        members = np.repeat(np.arange(len(sets)), sizes)
        ordered = labels[order]
        if np.bincount(ordered).max() < count:
            raise InputError(f"{count} folds, but no class has as many images; expected fewer folds")
        for fold, (_, held) in enumerate(StratifiedGroupKFold(count).split(ordered, ordered, members)):
            numbers[order[held]] = fold
    return numbers
