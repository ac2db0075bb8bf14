"""Ranking of images by the score of a class: ROC and precision-recall curves. Labels and probabilities as in `metrics`.

A curve compares one class with all others. Images with equal scores cannot be separated by a threshold and enter
together, as in scikit-learn. Points that a drawn curve does not need are left out.
"""

import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import checked_labels, checked_probabilities

_ROUNDING = 1e-12  # of a sum of steps: 43 steps of 1/43 are 2e-16 above 1, ten of 1/10 are 1e-16 below
_COLUMNS = 64  # classes whose scores are copied at a time: 26 MB for 50,000 images


@dataclass(frozen=True)
class Roc:
    """Receiver operating characteristic from (0, 0) to (1, 1) with P points, in the order of falling thresholds."""

    false_positive_rate: np.ndarray  # (P,) in [0, 1]; NaN where there is no image of another class
    true_positive_rate: np.ndarray  # (P,) in [0, 1]; NaN where there is no image of the class
    thresholds: np.ndarray  # (P,) lowest score that is predicted as the class; the first is inf
    area: float | None  # area under the curve; None where either rate is undefined


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision against recall: P points in the order of rising thresholds, then the point (recall 0, precision 1)."""

    precision: np.ndarray  # (P + 1,) in [0, 1]
    recall: np.ndarray  # (P + 1,) in [0, 1], falling; NaN where there is no image of the class
    thresholds: np.ndarray  # (P,) rising
    average_precision: float | None  # sum of precision times increase of recall; None without an image of the class


def roc(labels, probabilities, index: int) -> Roc:
    """ROC curve of class `index` against the rest. Without images of the class, or of others, rates are NaN.

    Raises InputError for labels or an index out of range, or values that are not probabilities.
    Source: T. Fawcett, An Introduction to ROC Analysis, Pattern Recognition Letters 27 (2006).
    """
    from sklearn.metrics import auc, roc_curve  # takes half a second

    own, scores = _binary(labels, probabilities, index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an undefined rate is NaN
        false_rate, true_rate, thresholds = roc_curve(own, scores)
    area = float(auc(false_rate, true_rate)) if 0 < own.sum() < len(own) else None
    return Roc(false_rate, true_rate, thresholds, area)


def precision_recall(labels, probabilities, index: int) -> PrecisionRecall:
    """Precision-recall curve of class `index` against the rest. Without images of the class, recall is NaN.

    Average precision is a sum over steps, because linear interpolation would overestimate the area (Davis and Goadrich,
    ICML 2006).

    Raises InputError for labels or an index out of range, or values that are not probabilities.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    own, scores = _binary(labels, probabilities, index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # without images of the class
        precision, recall, thresholds = precision_recall_curve(own, scores, drop_intermediate=True)
    if not own.any():
        return PrecisionRecall(precision, np.full(len(recall), np.nan), thresholds, None)
    average = _rounded(float(average_precision_score(own, scores)))
    return PrecisionRecall(precision, recall, thresholds, average)


def _rounded(average: float) -> float:
    """1 for an average precision that only the rounding of its sum keeps from it."""
    return 1.0 if average > 1 - _ROUNDING else average


def areas(labels, probabilities, level: float = 0.95) -> list[dict]:
    """The areas of each of the C classes against the others: `roc_area`, `average_precision`, each with `_interval`.

    An area is in [0, 1], and None where `roc` and `precision_recall` have None; they give the same numbers. An interval
    is [low, high], see `_roc_area_interval` and `_average_precision_interval`.

    Raises InputError for labels out of range or values that are not probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    labels, classes = checked_labels(labels, probabilities), probabilities.shape[1]
    found = []
    for start in range(0, classes, _COLUMNS):
        block = np.ascontiguousarray(
            probabilities[:, start : start + _COLUMNS].T
        )  # a column alone is read 4 times slower
        found += [areas_of(labels == start + i, scores, level) for i, scores in enumerate(block)]
    return found


def areas_of(own: np.ndarray, scores: np.ndarray, level: float) -> dict:
    """The areas of one class as `areas` gives them, from (N,) bool, whether an image has it, and (N,) its scores."""
    order = np.argsort(scores)
    own, scores = own[order], scores[order]
    images = int(own.sum())
    area = average = None
    if images:
        hits, others = _at_thresholds(own, scores)
        area = None if images == len(own) else _roc_area(hits, others)
        average = _average_precision(hits, others)
    return {
        "roc_area": area,
        "roc_area_interval": _roc_area_interval(scores[own], scores[~own], level),
        "average_precision": average,
        "average_precision_interval": _average_precision_interval(average, images, level),
    }


def average_precision(own: np.ndarray, scores: np.ndarray) -> float | None:
    """The average precision of a class from (N,) bool, whether an image has it, and (N,) its scores; None if none has.

    It is scikit-learn's `average_precision_score`.
    """
    order = np.argsort(scores)
    return _average_precision(*_at_thresholds(own[order], scores[order])) if own.any() else None


def _at_thresholds(own: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of the class, and of the others, with at least each distinct score, from the highest; scores rise."""
    last = np.append(np.flatnonzero(np.diff(scores[::-1])), len(scores) - 1)
    hits = np.cumsum(own[::-1])[last].astype(np.float64)
    return hits, 1 + last - hits


def _roc_area(hits: np.ndarray, others: np.ndarray) -> float:
    """The area by the trapezoidal rule over the corners of the curve."""
    if len(hits) > 2:
        corner = np.concatenate([[True], (np.diff(others, 2) != 0) | (np.diff(hits, 2) != 0), [True]])
        hits, others = hits[corner], others[corner]
    hits, others = np.append(0.0, hits), np.append(0.0, others)
    return float(np.trapezoid(hits / hits[-1], others / others[-1]))


def _average_precision(hits: np.ndarray, others: np.ndarray) -> float:
    """The sum of precision times increase of recall, in the order of rising thresholds."""
    precision, recall = (hits / (hits + others))[::-1], np.append((hits / hits[-1])[::-1], 0.0)
    return _rounded(float(max(0.0, -np.sum(np.diff(recall) * precision))))


def _roc_area_interval(own: np.ndarray, others: np.ndarray, level: float) -> list[float] | None:
    """Interval of the area under the ROC curve, from the scores of the class and of the others, each in rising order.

    The variance is DeLong's, which assumes no distribution of the scores. The interval is symmetric on the logit
    scale, so that it stays inside [0, 1]. None for an area of 0, 1 or None and for fewer than two images of the class
    or of the others, because the variance is then 0 or unknown.

    Sources: E. R. DeLong et al., Comparing the Areas under Two or More Correlated ROC Curves, Biometrics 44 (1988);
    M. S. Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2, for the logit scale.
    """
    if min(len(own), len(others)) < 2:
        return None
    above, below = _share_below(others, own), 1 - _share_below(own, others)  # DeLong's V10 and V01
    variance = above.var(ddof=1) / len(own) + below.var(ddof=1) / len(others)
    return logit_interval(float(above.mean()), math.sqrt(variance), level)


def separation(own: np.ndarray, others: np.ndarray, level: float = 0.95) -> tuple[float, list[float] | None]:
    """The area under the ROC curve of scores (N,) that should be higher than `others` (M,), and its interval."""
    own, others = np.sort(own), np.sort(others)
    return float(np.mean(_share_below(others, own))), _roc_area_interval(own, others, level)


def _average_precision_interval(average: float | None, images: int, level: float) -> list[float] | None:
    """Interval of the average precision of a class with this number of images, as [low, high] in [0, 1].

    It is the logit interval of Boyd et al., with the variance of a binomial proportion over the images of the class.
    None where the average precision is 1 or None.

    Source: K. Boyd et al., Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals, ECML 2013.
    """
    if average is None:
        return None
    return logit_interval(average, math.sqrt(average * (1 - average) / images), level)


def top_and_bottom(probabilities, index: int, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Indices of up to `n` images with the largest scores of class `index`, and of up to `n` with the smallest.

    Images of every true class are ranked. The most extreme score comes first; ties keep the order of the images. With
    fewer than 2n images some are in both.

    Raises InputError for an index out of range or values that are not probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    scores = probabilities[:, _checked_index(index, probabilities)]
    return np.argsort(-scores, kind="stable")[:n], np.argsort(scores, kind="stable")[:n]


def highest_losses(labels, probabilities, n: int) -> np.ndarray:
    """Indices of up to `n` images, right or wrong, by rising probability of the true class; ties keep their order.

    Raises InputError for labels out of range or values that are not probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")[:n]


def _binary(labels, probabilities, index: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool, whether an image is of class `index`, and (N,) its score of this class."""
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    return labels == index, probabilities[:, _checked_index(index, probabilities)]


def _share_below(sorted_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each of `scores` the share of `sorted_scores` that are lower; equal scores count half."""
    ends = [np.searchsorted(sorted_scores, scores, side) for side in ("left", "right")]
    return (ends[0] + ends[1]) / (2 * len(sorted_scores))


def logit_interval(value: float, error: float, level: float) -> list[float] | None:
    """Interval of a proportion with its standard error; None at 0 and 1, where the logit is infinite."""
    if not 0 < value < 1:
        return None
    half = NormalDist().inv_cdf((1 + level) / 2) * error / (value * (1 - value))
    odds = value / (1 - value)
    low, high = odds * math.exp(-half), odds * math.exp(min(half, 700.0))  # e^709 is the largest float
    return [low / (1 + low), high / (1 + high)]


def _checked_index(index: int, probabilities: np.ndarray) -> int:
    classes = probabilities.shape[1]
    if not 0 <= index < classes:
        raise InputError(f"class index {index} for probabilities of {classes} classes; expected 0 to {classes - 1}")
    return index
