"""Out-of-distribution detection: whether a score tells images of known classes from images of none of them.

Both scores are high for images like those of the training. Sources: D. Hendrycks and K. Gimpel, A Baseline for
Detecting Misclassified and Out-of-Distribution Examples in Neural Networks, ICLR 2017, for the largest softmax
probability; W. Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020, for the energy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import checked_scores
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.ranking import separation

SCORES = {"max_softmax": "largest probability", "energy": "energy"}
KEPT = 0.95  # share of the known images that the threshold keeps
_BINS = 40


@dataclass(frozen=True)
class OutlierDetection:
    """How well a network's scores tell N images of known classes from M unknown images."""

    classes: tuple[str, ...]
    known: np.ndarray  #: (N, C) logits of images of the classes
    unknown: np.ndarray  #: (M, C) logits of images of none of them

    def scores(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(N,) and (M,): the score "max_softmax" or "energy" of the known and the unknown images.

        Raises InputError for another name.
        """
        if name not in SCORES:
            raise InputError(f"score {name!r}: expected one of {', '.join(SCORES)}")
        score = {"max_softmax": max_softmax, "energy": energy}[name]
        return score(self.known), score(self.unknown)

    def as_json(self) -> dict:
        """Plain numbers for outliers.json; intervals are at 95 %: DeLong's of ROC areas, Wilson's of shares.

        `roc_area` is the probability that a known image has a higher score than an unknown one; equal scores count
        half. Of the known images KEPT have at least the `threshold`; `accepted` is the share of the unknown images that
        have it too. `taken_for` has the share of the unknown images for each predicted class, the largest first.
        """
        predicted = np.bincount(self.unknown.argmax(axis=1), minlength=len(self.classes))
        order = np.argsort(-predicted, kind="stable")
        return {
            "known_images": len(self.known),
            "unknown_images": len(self.unknown),
            "kept": KEPT,
            "scores": {name: self._numbers(name) for name in SCORES},
            "taken_for": {self.classes[c]: int(predicted[c]) / len(self.unknown) for c in order if predicted[c]},
        }

    def _numbers(self, name: str) -> dict:
        known, unknown = self.scores(name)
        area, ends = separation(known, unknown)
        threshold = float(np.sort(known)[int((1 - KEPT) * len(known) + 1e-9)])
        accepted = int(np.sum(unknown >= threshold))
        edges = np.linspace(min(known.min(), unknown.min()), max(known.max(), unknown.max()), _BINS + 1)
        shares = [(np.histogram(values, edges)[0] / len(values)).tolist() for values in (known, unknown)]
        return {
            "roc_area": area,
            "roc_area_interval": ends,
            "threshold": threshold,
            "accepted": accepted / len(unknown),
            "accepted_interval": list(wilson(accepted, len(unknown))),
            "edges": edges.tolist(),
            "known": shares[0],
            "unknown": shares[1],
        }


def outlier_detection(known, unknown, classes: Sequence[str]) -> OutlierDetection:
    """The detection from the logits (N, C) of known and (M, C) of unknown images.

    Raises InputError for no images, for logits that are not finite, and for other numbers of classes.
    """
    known, unknown = checked_scores("known logits", known), checked_scores("unknown logits", unknown)
    if not known.shape[1] == unknown.shape[1] == len(classes):
        raise InputError(f"logits of {known.shape[1]} and {unknown.shape[1]} classes; expected {len(classes)} of both")
    return OutlierDetection(tuple(classes), known, unknown)


def max_softmax(logits: np.ndarray) -> np.ndarray:
    """(N,) in (0, 1]: the largest probability of each image."""
    return np.exp(logits.max(axis=1) - energy(logits))


def energy(logits: np.ndarray) -> np.ndarray:
    """(N,) the logarithm of the sum of e^logit over the classes: the negative of Liu et al.'s energy at T = 1."""
    logits = np.asarray(logits, np.float64)
    highest = logits.max(axis=1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
