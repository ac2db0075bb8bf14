"""The probability from which a class counts as predicted, chosen for each class on validation images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_cnn.checking import check, placed

DEFAULT = 0.5


def choose_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(C,) thresholds with the largest F1 of each class, from sets of labels (N, C) and probabilities (N, C).

    A threshold lies halfway between the lowest probability that it accepts and the next lower one, or 0. Of equally
    good ones it is the one closest to 0.5; a class without images gets 0.5.
    """
    pairs = zip(labels.T.astype(bool), np.asarray(probabilities, np.float64).T, strict=True)
    return np.array([_best(own, scores) for own, scores in pairs])


def _best(own: np.ndarray, scores: np.ndarray) -> float:
    if not own.any():
        return DEFAULT
    order = np.argsort(-scores, kind="stable")
    own, scores = own[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of the images with each distinct score
    f1 = 2 * np.cumsum(own)[last] / (own.sum() + 1 + last)
    halfway = (scores[last] + np.append(scores[last[1:]], 0.0)) / 2
    best = np.flatnonzero(f1 == f1.max())
    return float(halfway[best[np.abs(halfway[best] - DEFAULT).argmin()]])


def read_thresholds(recorded: Any, classes: Sequence[str], place: str) -> np.ndarray:
    """(C,) thresholds from the mapping in a file. InputError, naming the `place`, unless each class has one."""
    values: Mapping[str, float] = check(placed(recorded, place), dict[str, float], "thresholds")
    for name in classes:
        check(placed(values.get(name), place), float, f"thresholds.{name}")
    return np.array([values[name] for name in classes])
