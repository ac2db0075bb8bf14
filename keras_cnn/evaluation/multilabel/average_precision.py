"""Mean average precision of several classes, and how much it depends on which images there are."""

import math

import numpy as np

from keras_cnn.evaluation.ranking import average_precision, logit_interval


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean of scikit-learn's average precisions over the classes with images, from (N, C) each; NaN if none has."""
    values = [average_precision(own, column) for own, column in zip(labels.T.astype(bool), scores.T, strict=True)]
    return _mean(values)


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def influences(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) derivatives of the mean average precision with respect to the weight of each image; their sum is 0."""
    total, classes = np.zeros(len(labels)), 0
    for own, column in zip(labels.T.astype(bool), scores.T, strict=True):
        if own.any():
            total += _influences_of(own, column)
            classes += 1
    return total / max(1, classes)


def _influences_of(own: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The derivatives of one class's average precision.

    With T(s) images of the class and R(s) images in all that score at least s, and P images of the class, the average
    precision is the sum of T/R over its images, divided by P; an image adds to T and R of all that score no more.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_own, sorted_scores = own[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    hits, ranked = np.cumsum(sorted_own)[last].astype(np.float64), 1.0 + last
    of_class = np.diff(hits, prepend=0.0)
    from_here = np.cumsum((of_class / ranked)[::-1])[::-1]
    losses = np.cumsum((of_class * hits / ranked**2)[::-1])[::-1]
    average = float(np.sum(of_class * hits / ranked)) / hits[-1]
    place = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    values = np.empty(len(scores))
    values[order] = (sorted_own * (hits / ranked + from_here - average)[place] - losses[place]) / hits[-1]
    return values


def map_interval(value: float, influence: np.ndarray, level: float) -> list[float] | None:
    """The interval of a mean average precision, from the `influences` of its images; None at 0 and 1.

    Its standard error is that of the infinitesimal jackknife, the root of the sum of the squared influences, in which
    the classes of an image go together. It is symmetric on the logit scale, as that of one class.

    Source: B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), chapter 6.
    """
    error = float(np.sqrt(np.sum(influence**2)))
    return logit_interval(value, error, level) if error > 0 else None
