"""Conformal prediction sets: the classes that an image may be of, with a chosen probability that one is the true class.

A threshold is calibrated on images that the model was not trained on; the set of a new image has every class whose
score is at most the threshold. If both are drawn alike, the set holds the true class with a probability of at least
the level, whatever the model. This holds for the mean over images and calibration samples, not for a class or an image.

Labels are (N,) integers and probabilities (N, C) as in `metrics`. Sources: M. Sadinle et al., Least Ambiguous
Set-Valued Classifiers with Bounded Error Levels, JASA 114 (2019), for LAC; Y. Romano et al., Classification with Valid
and Adaptive Coverage, NeurIPS 2020, for APS; A. N. Angelopoulos and S. Bates, A Gentle Introduction to Conformal
Prediction (2021), for the threshold and the checks of the coverage.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from keras_cnn.csv_tables import CsvWriter
from keras_cnn.errors import InputError
from keras_cnn.evaluation.checks import blocks, checked_labels, checked_probabilities
from keras_cnn.evaluation.coverage import LEVEL, check_level
from keras_cnn.evaluation.intervals import Interval, paired_bootstrap, wilson
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.run_folder import replacing

METHODS = {"lac": "LAC", "aps": "APS"}
SPLITS, SEED = 100, 0  # random halves of the measured images that check the coverage
TABLE = "prediction_sets.csv"
_ROUNDING = 1e-9  # (n + 1) · level may be a rounding error above a whole number


@dataclass(frozen=True)
class PredictionSets:
    """The prediction sets of N images of C classes."""

    method: str  #: "lac" or "aps"
    level: float  #: promised share of sets that hold the true class
    threshold: float  #: largest score of a class in a set; inf, so that sets have all classes, of too few images
    calibration_images: int
    classes: tuple[str, ...]
    labels: np.ndarray  #: (N,) integers, the true classes
    members: np.ndarray  #: (N, C) bool, whether a class is in the set of an image
    scores: np.ndarray  #: (N,) of the true classes

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The names of the classes in each set."""
        return [tuple(self.classes[c] for c in np.flatnonzero(row)) for row in self.members]

    @cached_property
    def sizes(self) -> np.ndarray:
        """(N,) number of classes in each set, from 0."""
        return self.members.sum(axis=1)

    @cached_property
    def covered(self) -> np.ndarray:
        """(N,) bool: whether the set holds the true class."""
        return self.members[np.arange(len(self.labels)), self.labels]

    @property
    def coverage(self) -> float:
        """Share of the images whose set holds the true class, 0 to 1."""
        return float(self.covered.mean())

    @property
    def expected_range(self) -> Interval:
        """The range of 95 % of coverages on N images, over calibration samples of this size and samples of N images.

        The number of covered images is beta-binomial. A coverage below the range means that the images are not like
        those of the calibration.
        """
        return _coverage_range(len(self.labels), self.calibration_images, self.level)

    def as_json(self) -> dict:
        """Plain numbers for metrics.json; intervals are at 95 %: Wilson's of shares, else a bootstrap over images.

        `lowest_class` is the class with the lowest coverage of those with images. `splits` is `split_check`.
        """
        covered, images = int(self.covered.sum()), len(self.labels)
        return {
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "coverage": covered / images,
            "coverage_interval": list(wilson(covered, images)),
            "expected_range": list(self.expected_range),
            "mean_size": float(self.sizes.mean()),
            "mean_size_interval": list(paired_bootstrap(self.sizes)),
            "empty": float(np.mean(self.sizes == 0)),
            "single": float(np.mean(self.sizes == 1)),
            "lowest_class": self._lowest_class(),
            "splits": split_check(self.scores, self.level),
        }

    def _lowest_class(self) -> dict:
        images = np.bincount(self.labels, minlength=len(self.classes))
        covered = np.bincount(self.labels, weights=self.covered, minlength=len(self.classes)).astype(int)
        shares = np.divide(covered, images, out=np.full(len(images), np.inf), where=images > 0)
        lowest = int(shares.argmin())
        return {
            "class": self.classes[lowest],
            "coverage": float(shares[lowest]),
            "interval": list(wilson(int(covered[lowest]), int(images[lowest]))),
            "images": int(images[lowest]),
        }


def prediction_sets(
    labels,
    probabilities,
    calibration_labels,
    calibration_probabilities,
    *,
    classes: Sequence[str],
    ids: Sequence[str],
    calibration_ids: Sequence[str],
    method: str = "lac",
    level: float = LEVEL,
) -> PredictionSets:
    """The sets of N images, from the probabilities (M, C) and true classes (M,) of the images of the calibration.

    LAC gives the smallest sets on average; APS gives larger sets to hard images, to cover them as often as easy ones.
    APS is randomised, as published, by a number from each image's id, see `uniforms`.

    Raises InputError for another method or level, labels out of range and values that are not probabilities.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    check_level(level, "level")
    probabilities, known = checked_probabilities(probabilities), checked_probabilities(calibration_probabilities)
    labels, known_labels = checked_labels(labels, probabilities), checked_labels(calibration_labels, known)
    random = {"lac": lambda _: None, "aps": uniforms}[method]
    own, calibrating = random(ids), random(calibration_ids)
    _, calibration_scores = _members_and_scores(known, known_labels, math.inf, calibrating)
    limit = threshold(calibration_scores, level)
    members, scores = _members_and_scores(probabilities, labels, limit, own)
    return PredictionSets(method, level, limit, len(known), tuple(classes), labels, members, scores)


def threshold(scores: np.ndarray, level: float) -> float:
    """The ⌈(n + 1) · level⌉-th smallest of the (n,) scores of true classes; inf if there are too few images for it."""
    rank = _rank(len(scores), level)
    return math.inf if rank > len(scores) else float(np.partition(scores, rank - 1)[rank - 1])


def _rank(images: int, level: float) -> int:
    return max(1, math.ceil((images + 1) * level - _ROUNDING))


def lac_scores(probabilities: np.ndarray) -> np.ndarray:
    """(N, C) in [0, 1]: 1 minus the probability of each class."""
    return 1 - probabilities


def aps_scores(probabilities: np.ndarray, random: np.ndarray) -> np.ndarray:
    """(N, C) in [0, 1]: the probability of the classes above each class, and a `random` (N,) share of its own."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=1)
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, np.cumsum(falling, axis=1) - random[:, None] * falling, axis=1)
    return scores


def uniforms(ids: Sequence[str]) -> np.ndarray:
    """(N,) in [0, 1): a number for each image from the SHA-256 of its id, the same in every evaluation."""
    digests = b"".join(hashlib.sha256(i.encode("utf-8", "surrogateescape")).digest()[:8] for i in ids)
    return (np.frombuffer(digests, "<u8") >> np.uint64(11)) / 2.0**53


def _members_and_scores(
    probabilities: np.ndarray, labels: np.ndarray, limit: float, random: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) bool, whether a class is in the set of an image, and (N,) scores of the true classes."""
    members, own = np.empty(probabilities.shape, bool), np.empty(len(labels))
    for rows in blocks(len(labels)):
        block = probabilities[rows]
        scores = lac_scores(block) if random is None else aps_scores(block, random[rows])
        members[rows] = scores <= limit
        own[rows] = scores[np.arange(len(block)), labels[rows]]
    return members, own


def split_check(scores: np.ndarray, level: float) -> dict | None:
    """The coverage over SPLITS random halves of images: a threshold from one half, the coverage of the other.

    `scores` (N,) are those of the true classes. `expected` is the mean that the theory gives, and `expected_range` the
    range of 95 % of the splits; None for fewer than two images. Split r is drawn by `default_rng([SEED, r])`.
    """
    images, half = len(scores), len(scores) // 2
    if not half:
        return None
    coverages = []
    for split in range(SPLITS):
        shuffled = scores[np.random.default_rng([SEED, split]).permutation(images)]
        coverages.append(float(np.mean(shuffled[half:] <= threshold(shuffled[:half], level))))
    ends = _coverage_range(images - half, half, level)
    return {
        "number": SPLITS,
        "seed": SEED,
        "calibration_images": half,
        "mean": float(np.mean(coverages)),
        "std": float(np.std(coverages, ddof=1)),
        "expected": min(1.0, _rank(half, level) / (half + 1)),
        "expected_range": list(ends),
        "inside": sum(ends[0] <= value <= ends[1] for value in coverages),
    }


@cache
def _coverage_range(images: int, calibration_images: int, level: float) -> Interval:
    from scipy.stats import betabinom  # takes a second

    rank = _rank(calibration_images, level)
    if rank > calibration_images:
        return 1.0, 1.0
    low, high = betabinom.ppf([0.025, 0.975], images, rank, calibration_images + 1 - rank) / images
    return float(low), float(high)


def summary(several: Sequence[PredictionSets]) -> dict | None:
    """The numbers of each method for metrics.json; None without sets."""
    if not several:
        return None
    return {
        "level": several[0].level,
        "calibrated_on": "validation",
        "calibration_images": several[0].calibration_images,
        "methods": {sets.method: sets.as_json() for sets in several},
    }


def write_sets(path: Path, ids: Sequence[str], several: Sequence[PredictionSets]) -> None:
    """Writes a CSV table with a row for each image: id, true class, and the set of each method as a JSON list."""
    first = several[0]
    with replacing(path) as temporary, open_csv(temporary) as file:
        rows = CsvWriter(file)
        rows.writerow(["id", "true", *(sets.method for sets in several)])
        for i, (image, label) in enumerate(zip(ids, first.labels, strict=True)):
            names = ([first.classes[c] for c in np.flatnonzero(sets.members[i])] for sets in several)
            rows.writerow([str(image), first.classes[label], *(json.dumps(n, ensure_ascii=False) for n in names)])
