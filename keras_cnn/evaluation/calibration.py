"""Calibration: whether predictions with probability 0.8 are right in 80 % of cases.

Labels, logits and probabilities are as in `metrics`.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import blocks, checked_labels, checked_probabilities, checked_scores
from keras_cnn.evaluation.intervals import wilson

BINS = 15
TEMPERATURES = (0.01, 100.0)  # beyond these, softmax(logits / T) is one-hot or uniform for any usual logits


@dataclass(frozen=True)
class Reliability:
    """Images in B bins of equal width by their confidence, which is the largest probability of an image."""

    edges: np.ndarray  # (B + 1,) from 0 to 1; a bin contains low < confidence <= high
    counts: np.ndarray  # (B,) images
    confidence: np.ndarray  # (B,) mean in [0, 1]; NaN in a bin without images
    accuracy: np.ndarray  # (B,) in [0, 1]; NaN in a bin without images
    error: float  # ECE: the mean of |accuracy - confidence| over bins, weighted by their images

    def as_json(self) -> dict:
        """Plain values for JSON; `value` is the ECE, and a bin without images has None."""
        return {
            "value": self.error,
            "bins": len(self.counts),
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "confidence": [None if math.isnan(v) else v for v in self.confidence.tolist()],
            "accuracy": [None if math.isnan(v) else v for v in self.accuracy.tolist()],
        }


@dataclass(frozen=True)
class ImageScores:
    """What the logits of N images of C classes say about each image, without an (N, C) array of probabilities."""

    predicted: np.ndarray  # (N,) the class of the largest logit, the lower of equal ones
    ranks: np.ndarray  # (N,) rank of the true class, from 0, see `metrics.true_class_ranks`
    losses: np.ndarray  # (N,) cross-entropy in nats
    distances: np.ndarray  # (N,) in [0, 2], see `squared_distances`
    confidence: np.ndarray  # (N,) largest probability
    right: np.ndarray  # (N,) bool, whether the class of the largest probability is the true one


def image_scores(labels, logits) -> ImageScores:
    """The scores of each image. Raises InputError for logits that are not finite and labels out of range."""
    logits = checked_scores("logits", logits)
    labels = checked_labels(labels, logits)
    images = len(labels)
    found = ImageScores(
        np.empty(images, np.int64),
        np.empty(images, np.int64),
        np.empty(images),
        np.empty(images),
        np.empty(images),
        np.empty(images, bool),
    )
    for rows in blocks(images):
        own, scores = labels[rows], np.asarray(logits[rows], np.float64)
        every = np.arange(len(own))
        log_p = log_softmax(scores)
        p = np.exp(log_p)
        found.predicted[rows] = scores.argmax(axis=1)
        found.ranks[rows] = ranks_of(own, scores)
        found.losses[rows] = -log_p[every, own]
        found.confidence[rows] = np.clip(p.max(axis=1), 0, 1)
        found.right[rows] = p.argmax(axis=1) == own
        p[every, own] -= 1
        found.distances[rows] = np.sum(p**2, axis=1)
    return found


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) logarithms of the probabilities; no finite logit overflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def ranks_of(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) ranks of the true class among the C scores of an image, from 0 for the largest; lower classes win ties."""
    own = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    return np.sum((scores > own) | ((scores == own) & before), axis=1)


def reliability(labels, probabilities, bins: int = BINS) -> Reliability:
    """The reliability diagram of top-label confidences and its expected calibration error (ECE) in [0, 1].

    The ECE depends on the number of bins, so that number belongs with the value. With few images it is biased upwards.

    Raises InputError for labels out of range, values that are not probabilities, or no bins.
    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equations 2 to 5.
    """
    if bins < 1:
        raise InputError(f"reliability: {bins} bins; expected at least 1")
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    confidence = np.clip(probabilities.max(axis=1), 0, 1)
    return reliability_of(confidence, probabilities.argmax(axis=1) == labels, bins)


def reliability_of(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability diagram of (N,) confidences in [0, 1], and (N,) whether the predictions are right."""
    edges = np.arange(bins + 1) / bins  # each correctly rounded: 3/15 is 0.2, which linspace misses
    place = _bins_of(confidence, edges)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0

    def mean_of(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(place, weights=values, minlength=bins)
        return np.divide(sums, counts, out=np.full(bins, np.nan), where=filled)

    stated, accuracy = mean_of(confidence), mean_of(right)
    error = np.sum(counts[filled] * np.abs(accuracy - stated)[filled]) / len(right)
    return Reliability(edges, counts, stated, accuracy, float(error))


def accuracy_intervals(accuracy: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(B, 2) Wilson's 95 % intervals, low and high, of the `accuracy` (B,) of bins with `counts` (B,) images.

    The accuracy of an empty bin may be NaN; its interval is (0, 1).
    """
    right = np.rint(np.nan_to_num(accuracy) * counts).astype(int)
    return np.array([wilson(min(int(hits), int(count)), int(count)) for hits, count in zip(right, counts, strict=True)])


def gaps(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """(N,) correctness (1 or 0) minus confidence in [0, 1], and (N,) the bin of each image, from 0.

    The ECE is the sum over bins of the absolute sum of their gaps, divided by N.
    """
    return right - confidence, _bins_of(confidence, np.arange(bins + 1) / bins)


def _bins_of(confidence: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(N,) bins of the confidences; a bin contains low < confidence <= high."""
    return np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)


def brier(labels, probabilities) -> float:
    """Brier score in [0, 2], lower is better: the mean over images of the squared distance to the one-hot truth.

    The squares are summed over the classes, as Brier defined it; for two classes that is twice the one-column score.

    Raises InputError for labels out of range or values that are not probabilities.
    Source: G. W. Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78 (1950).
    """
    return float(np.mean(squared_distances(labels, probabilities)))


def squared_distances(labels, probabilities) -> np.ndarray:
    """(N,) in [0, 2]: the squared distance of each image's probabilities to the one-hot truth; its mean is `brier`.

    Raises InputError for labels out of range or values that are not probabilities.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    distances = probabilities.copy()
    distances[np.arange(len(labels)), labels] -= 1
    return np.sum(distances**2, axis=1)


def fit_temperature(labels, logits) -> float:
    """The temperature T that minimises the mean cross-entropy of softmax(logits / T); fit it on validation images only.

    The loss is convex in 1 / T, so it has one minimum, which is found to 1e-9. T is searched in `TEMPERATURES`, 0.01
    to 100. If every prediction is right, the loss decreases as T goes to 0 and has no minimum: the lower bound is
    returned, which means that these images cannot calibrate the model. The upper bound is returned if the logits carry
    no information about the true class, and means the same. If the C logits of each image are equal, T has no effect
    and 1 is returned.

    Raises InputError for labels out of range or logits that are not finite.
    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    logits = checked_scores("logits", logits)
    labels = checked_labels(labels, logits)
    if not any(_gaps_of(labels, logits, rows).any() for rows in blocks(len(labels))):
        return 1.0
    coldest, hottest = TEMPERATURES
    if _slope(1 / hottest, labels, logits) >= 0:
        return hottest
    if _slope(1 / coldest, labels, logits) <= 0:
        return coldest
    from scipy.optimize import brentq  # takes a tenth of a second

    return 1 / cast(float, brentq(_slope, 1 / hottest, 1 / coldest, args=(labels, logits), xtol=1e-14))


def _gaps_of(labels: np.ndarray, logits: np.ndarray, rows: slice) -> np.ndarray:
    """The logits of images minus that of the true class; the loss of an image is log sum exp(gaps / T)."""
    own, scores = labels[rows], np.asarray(logits[rows], np.float64)
    return scores - scores[np.arange(len(own)), own][:, None]


def _slope(inverse: float, labels: np.ndarray, logits: np.ndarray) -> float:
    """The derivative of the mean loss with respect to 1 / T."""
    slopes = np.empty(len(labels))
    for rows in blocks(len(labels)):
        gaps = _gaps_of(labels, logits, rows)
        weights = np.exp(inverse * (gaps - gaps.max(axis=1, keepdims=True)))
        slopes[rows] = np.sum(weights * gaps, axis=1) / weights.sum(axis=1)
    return float(np.mean(slopes))
