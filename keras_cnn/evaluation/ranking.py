"""Images ordered by a class's score, and the curves that follow. Labels (N,), probabilities (N, C) as in metrics.

A curve is of one class against all others. Images of the same score cannot be told apart and enter together, as in
scikit-learn; points that a drawn curve does not need are left out.
"""

from dataclasses import dataclass

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import checked_labels, checked_probabilities


@dataclass(frozen=True)
class Roc:
    """Receiver operating characteristic from (0, 0) to (1, 1); P points, the highest threshold first."""

    false_positive_rate: np.ndarray  # (P,) in [0, 1]; NaN where there is no image of another class
    true_positive_rate: np.ndarray  # (P,) in [0, 1]; NaN where there is no image of the class
    thresholds: np.ndarray  # (P,) an image is taken for the class if its score is at least this; the first is inf
    area: float | None  # under the curve; None where either rate is undefined


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision against recall; P points, the lowest threshold first, then the point (recall 0, precision 1)."""

    precision: np.ndarray  # (P + 1,) in [0, 1]
    recall: np.ndarray  # (P + 1,) in [0, 1], falling; NaN where there is no image of the class
    thresholds: np.ndarray  # (P,) rising
    average_precision: float | None  # sum of precision times step of recall; None without an image of the class


def roc(labels, probabilities, index: int) -> Roc:
    """ROC of class `index` against the rest. A class without images, or without others, has no curve: see `Roc`.

    Raises InputError for labels or an index out of range, or values that are no probabilities.
    Source: T. Fawcett, An Introduction to ROC Analysis, Pattern Recognition Letters 27 (2006).
    """
    thresholds, true, false = _counts(labels, probabilities, index)
    true_rate, false_rate = (_rate(np.concatenate([[0], counts])) for counts in (true, false))
    defined = true[-1] > 0 and false[-1] > 0
    area = float(np.trapezoid(true_rate, false_rate)) if defined else None
    corners = np.ones(len(true_rate), bool)  # the others lie on a straight line between their neighbours
    corners[2:-1] = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    thresholds = np.concatenate([[np.inf], thresholds])
    return Roc(false_rate[corners], true_rate[corners], thresholds[corners], area)


def precision_recall(labels, probabilities, index: int) -> PrecisionRecall:
    """Precision-recall curve of class `index` against the rest. A class without images has none: `PrecisionRecall`.

    Average precision is the sum over steps, not the area under straight lines, which flatters (Davis and Goadrich,
    ICML 2006).

    Raises InputError for labels or an index out of range, or values that are no probabilities.
    """
    thresholds, true, false = _counts(labels, probabilities, index)
    precision, recall = true / (true + false), _rate(true)
    average = float(np.sum(np.diff(recall, prepend=0) * precision)) if true[-1] else None
    ends = np.ones(len(true), bool)  # of the stretches of equal recall; between them precision only falls
    ends[1:-1] = (np.diff(true)[:-1] != 0) | (np.diff(true)[1:] != 0)
    precision, recall = precision[ends][::-1], recall[ends][::-1]
    last = 0.0 if true[-1] else np.nan
    return PrecisionRecall(np.append(precision, 1), np.append(recall, last), thresholds[ends][::-1], average)


def top_and_bottom(probabilities, index: int, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Indices of up to `n` images with the largest, and of `n` with the smallest, score of class `index`.

    All images take part, whatever their true class. The most extreme score comes first, ties in order. Among fewer
    than 2n images some stand in both.

    Raises InputError for an index out of range or values that are no probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    scores = probabilities[:, _checked_index(index, probabilities)]
    return np.argsort(-scores, kind="stable")[:n], np.argsort(scores, kind="stable")[:n]


def highest_losses(labels, probabilities, n: int) -> np.ndarray:
    """Indices of up to `n` images, right or wrong, whose true class is least probable; that first, ties in order.

    Raises InputError for labels out of range or values that are no probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")[:n]


def _counts(labels, probabilities, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different scores, falling, and how many images of the class, and of others, score at least as much; all (T,)."""
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    scores = probabilities[:, _checked_index(index, probabilities)]
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(labels[order] == index)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each run of equal scores
    return scores[last], hits[last], last + 1 - hits[last]


def _rate(counts: np.ndarray) -> np.ndarray:
    return counts / counts[-1] if counts[-1] else np.full(len(counts), np.nan)


def _checked_index(index: int, probabilities: np.ndarray) -> int:
    classes = probabilities.shape[1]
    if not 0 <= index < classes:
        raise InputError(f"class index {index} for probabilities of {classes} classes; expected 0 to {classes - 1}")
    return index
