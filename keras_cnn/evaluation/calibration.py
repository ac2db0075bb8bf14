"""Calibration: whether predictions with probability 0.8 are right in 80 % of cases.

Labels, logits and probabilities are as in `metrics`.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import checked_labels, checked_probabilities, checked_scores
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
    edges = np.arange(bins + 1) / bins  # each correctly rounded: 3/15 is 0.2, which linspace misses
    confidence, place = _in_bins(probabilities, edges)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0

    def mean_of(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(place, weights=values, minlength=bins)
        return np.divide(sums, counts, out=np.full(bins, np.nan), where=filled)

    stated, right = mean_of(confidence), mean_of(probabilities.argmax(axis=1) == labels)
    error = np.sum(counts[filled] * np.abs(right - stated)[filled]) / len(labels)
    return Reliability(edges, counts, stated, right, float(error))


def accuracy_intervals(accuracy: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(B, 2) Wilson's 95 % intervals, low and high, of the `accuracy` (B,) of bins with `counts` (B,) images.

    The accuracy of an empty bin may be NaN; its interval is (0, 1).
    """
    right = np.rint(np.nan_to_num(accuracy) * counts).astype(int)
    return np.array([wilson(min(int(hits), int(count)), int(count)) for hits, count in zip(right, counts, strict=True)])


def gaps(labels, probabilities, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """(N,) correctness (1 or 0) minus confidence, and (N,) the bin of each image, from 0.

    The ECE is the sum over bins of the absolute sum of their gaps, divided by N. Raises what `reliability` raises.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    confidence, place = _in_bins(probabilities, np.arange(bins + 1) / bins)
    return (probabilities.argmax(axis=1) == labels) - confidence, place


def _in_bins(probabilities: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) confidences in [0, 1] and (N,) their bins; a bin contains low < confidence <= high."""
    confidence = np.clip(probabilities.max(axis=1), 0, 1)
    return confidence, np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)


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
    gaps = logits - logits[np.arange(len(labels)), labels][:, None]  # loss of an image: log sum exp(gaps / T)
    if not gaps.any():
        return 1.0
    coldest, hottest = TEMPERATURES
    if _slope(1 / hottest, gaps) >= 0:
        return hottest
    if _slope(1 / coldest, gaps) <= 0:
        return coldest
    from scipy.optimize import brentq  # takes a tenth of a second

    return 1 / cast(float, brentq(_slope, 1 / hottest, 1 / coldest, args=(gaps,), xtol=1e-14))


def _slope(inverse: float, gaps: np.ndarray) -> float:
    """The derivative of the mean loss with respect to 1 / T."""
    weights = np.exp(inverse * (gaps - gaps.max(axis=1, keepdims=True)))
    return float(np.mean(np.sum(weights * gaps, axis=1) / weights.sum(axis=1)))
