"""Comparison of two models on the same images with several labels: what changed, and how certain it is."""

from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation import bootstrap
from keras_cnn.evaluation.intervals import Interval, mcnemar_exact
from keras_cnn.evaluation.metrics import CONFIDENCE_LEVEL, scores_of
from keras_cnn.evaluation.multilabel.average_precision import influences, mean_average_precision
from keras_cnn.evaluation.multilabel.predictions import MultilabelPredictions

_EXAMPLES = 3


@dataclass(frozen=True)
class ScoreChange:
    """A score in [0, 1] before and after, and the interval of their difference over the images."""

    before: float
    after: float
    difference: float  # after - before
    interval: Interval


@dataclass(frozen=True, repr=False)
class MultilabelComparison:
    """Two models on the same N images of C classes."""

    images: int
    classes: tuple[str, ...]
    scores: dict[str, ScoreChange]  # map, macro_f1, micro_f1, exact_match
    average_precision: dict[str, ScoreChange]  # of each class with images
    newly_wrong: int  # images with every class right before and not after
    newly_right: int
    p: float  # McNemar's exact test of the exact matches

    def __repr__(self) -> str:
        change = self.scores["map"]
        low, high = change.interval
        scores = f"mAP {change.before:.4f} before, {change.after:.4f} after, difference {change.difference:+.4f}"
        return f"<MultilabelComparison of {self.images:,} images: {scores} [{low:+.4f}, {high:+.4f}]>"

    def as_json(self) -> dict:
        """Plain floats, integers, lists and dicts for JSON."""
        return asdict(self) | {"confidence_level": CONFIDENCE_LEVEL}


def compare(before: MultilabelPredictions, after: MultilabelPredictions) -> MultilabelComparison:
    """What changed from `before` to `after`: predictions of two models for the same images, in any order.

    The interval of a difference of average precisions is normal, with the standard error of the infinitesimal jackknife
    of the difference; the others are percentiles of the bootstrap over the images, which are the same for both models.

    Raises InputError for different images (by id), different true classes of an image, or different classes.
    """
    after = _aligned(before, after)
    labels = before.labels
    known = np.flatnonzero(labels.any(axis=0))
    if not len(known):
        raise InputError("cannot compare: no image has any of the classes; expected images with labels")
    scores = {"map": _ranking_change(labels, before.probabilities, after.probabilities)}
    scores |= _decision_changes(before, after)
    per_class = {
        before.classes[place]: _ranking_change(
            labels[:, [place]], before.probabilities[:, [place]], after.probabilities[:, [place]]
        )
        for place in known
    }
    wrong, right = int(np.sum(before.exact & ~after.exact)), int(np.sum(~before.exact & after.exact))
    return MultilabelComparison(
        len(before), before.classes, scores, per_class, wrong, right, mcnemar_exact(wrong, right)
    )


def _ranking_change(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> ScoreChange:
    old, new = mean_average_precision(labels, before), mean_average_precision(labels, after)
    error = float(np.sqrt(np.sum((influences(labels, after) - influences(labels, before)) ** 2)))
    half = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2) * error
    return ScoreChange(old, new, new - old, (new - old - half, new - old + half))


def _decision_changes(before: MultilabelPredictions, after: MultilabelPredictions) -> dict[str, ScoreChange]:
    measured = [_sums(each) for each in (before, after)]
    drawn: list[list[dict[str, np.ndarray]]] = [[], []]
    for counts in bootstrap.resampled(len(before)):
        for place, sums in enumerate(measured):
            drawn[place].append(_scores(counts @ sums, len(before.classes)))
    whole = [_scores(sums.sum(axis=0, keepdims=True), len(before.classes)) for sums in measured]
    changes = {}
    for name in whole[0]:
        old, new = (float(each[name][0]) for each in whole)
        a, b = (np.concatenate([part[name] for part in each]) for each in drawn)
        changes[name] = ScoreChange(old, new, new - old, bootstrap.percentile(b - a, CONFIDENCE_LEVEL))
    return changes


def _sums(predictions: MultilabelPredictions) -> np.ndarray:
    """(N, 3 C + 2): what each image adds to hits, images and predictions of each class, exact matches and images."""
    own, predicted = predictions.labels.astype(bool), predictions.predicted
    exact = predictions.exact[:, None]
    return np.concatenate([own & predicted, own, predicted, exact, np.ones_like(exact)], axis=1).astype(np.float64)


def _scores(sums: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    hits, own, predicted, rest = np.split(sums, [classes, 2 * classes, 3 * classes], axis=1)
    return {
        "macro_f1": scores_of(hits, own, predicted)["f1"].mean(axis=1),
        "micro_f1": scores_of(hits.sum(axis=1), own.sum(axis=1), predicted.sum(axis=1))["f1"],
        "exact_match": rest[:, 0] / rest[:, 1],
    }


def _aligned(before: MultilabelPredictions, after: MultilabelPredictions) -> MultilabelPredictions:
    """`after` with its images and classes in the order of `before`. Raises InputError where they differ."""
    if differing := sorted(set(before.classes) ^ set(after.classes)):
        owner = "first" if differing[0] in before.classes else "second"
        raise InputError(
            f"cannot compare: {len(differing)} classes are in one only, such as {differing[0]!r} in the {owner};"
            " expected the same classes"
        )
    if unknown := sorted(set(before.ids) ^ set(after.ids)):
        shown = ", ".join(unknown[:_EXAMPLES]) + (", ..." if len(unknown) > _EXAMPLES else "")
        raise InputError(
            f"cannot compare predictions of different images: {len(unknown):,} are in one only ({shown}), of"
            f" {len(before):,} and {len(after):,}; expected the same images"
        )
    row_of = {image: row for row, image in enumerate(after.ids)}
    rows, columns = [row_of[image] for image in before.ids], [after.classes.index(name) for name in before.classes]
    labels, predicted, probabilities = (
        values[rows][:, columns] for values in (after.labels, after.predicted, after.probabilities)
    )
    if len(different := np.flatnonzero((labels != before.labels).any(axis=1))):
        raise InputError(
            f"cannot compare: {len(different):,} images have other labels, such as {before.ids[different[0]]};"
            " expected the same"
        )
    return MultilabelPredictions(before.ids, before.paths, before.classes, labels, predicted, probabilities)
