"""Comparison of two models on the same images: what changed, for which classes and images, and how certain it is."""

from dataclasses import dataclass, replace

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.evaluation.intervals import Interval, holm, mcnemar_exact, paired_bootstrap, wilson
from keras_cnn.evaluation.metrics import CONFIDENCE_LEVEL, confusion_matrix
from keras_cnn.evaluation.predictions import Predictions

_EXAMPLES = 3


@dataclass(frozen=True)
class Change:
    """Accuracies in [0, 1] before and after, on the same images; None where there are no images."""

    images: int
    before: float | None
    before_interval: Interval  # Wilson; (0, 1) without images
    after: float | None
    after_interval: Interval
    difference: float | None  # after - before
    difference_interval: Interval | None  # paired bootstrap over the images
    b: int  # images right before and wrong after
    c: int  # images wrong before and right after
    p: float | None  # exact McNemar
    p_holm: float | None = None  # p of a class, adjusted for the number of classes with images

    def as_json(self) -> dict:
        """Plain values for JSON."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        plain["mcnemar"] = {name: plain.pop(name) for name in ("b", "c", "p", "p_holm")}
        return plain


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two models on the same N images of C classes, in the order of the model before."""

    classes: tuple[str, ...]
    ids: tuple[str, ...]  # (N,)
    overall: Change
    per_class: dict[str, Change]  # over the images of the true class, so that the accuracies are recalls
    confusion_before: np.ndarray  # (C, C) counts; a row is a true class
    confusion_after: np.ndarray
    newly_wrong: np.ndarray  # indices of images right before and wrong after
    newly_right: np.ndarray  # indices of images wrong before and right after

    def __repr__(self) -> str:
        change = self.overall
        if change.difference is None or change.difference_interval is None:
            return "<Comparison of no images>"
        low, high = change.difference_interval
        accuracies = f"accuracy {change.before:.4f} before, {change.after:.4f} after"
        difference = f"difference {change.difference:+.4f} [{low:+.4f}, {high:+.4f}], McNemar p {change.p:.2g}"
        return f"<Comparison of {change.images:,} images: {accuracies}; {difference}>"

    @property
    def confusion_difference(self) -> np.ndarray:
        """(C, C) after - before; every row sums to 0."""
        return self.confusion_after - self.confusion_before

    @property
    def classes_tested(self) -> int:
        """Number of classes with images. Each has a p-value; `p_holm` is adjusted for this number of tests."""
        return sum(change.p is not None for change in self.per_class.values())

    def as_json(self) -> dict:
        """Plain floats, integers, lists and dicts for JSON, without NaN."""
        overall = self.overall.as_json()
        del overall["mcnemar"]["p_holm"]  # one test needs no adjustment
        return {
            **overall,
            "confidence_level": CONFIDENCE_LEVEL,
            "classes_tested": self.classes_tested,
            "per_class": {name: change.as_json() for name, change in self.per_class.items()},
            "confusion_before": confusions.as_json(self.confusion_before),
            "confusion_after": confusions.as_json(self.confusion_after),
            "confusion_difference": confusions.as_json(self.confusion_difference),
            "newly_wrong": [self.ids[i] for i in self.newly_wrong],
            "newly_right": [self.ids[i] for i in self.newly_right],
        }


def compare(before: Predictions, after: Predictions) -> Comparison:
    """What changed from `before` to `after`: predictions of two models for the same images, in any order.

    The intervals measure how much the difference depends on which images were tested. They do not measure how much it
    depends on the training seeds: that takes several runs of each model, see `repeats`.

    Raises InputError for different images (by id), different true classes of an image, or different classes.
    """
    after = _aligned(before, after)
    labels = np.asarray(before.labels)
    changes = {name: _change(before, after, labels == i) for i, name in enumerate(before.classes)}
    tested = [name for name, change in changes.items() if change.p is not None]
    for name, p in zip(tested, holm([changes[name].p for name in tested]), strict=True):
        changes[name] = replace(changes[name], p_holm=float(p))
    n = len(before.classes)
    return Comparison(
        classes=before.classes,
        ids=before.ids,
        overall=_change(before, after, np.ones(len(labels), bool)),
        per_class=changes,
        confusion_before=confusion_matrix(labels, before.predicted, n),
        confusion_after=confusion_matrix(labels, after.predicted, n),
        newly_wrong=np.flatnonzero(before.correct & ~after.correct),
        newly_right=np.flatnonzero(~before.correct & after.correct),
    )


def _change(before: Predictions, after: Predictions, chosen: np.ndarray) -> Change:
    was, now = before.correct[chosen], after.correct[chosen]
    n, old, new = len(was), int(was.sum()), int(now.sum())
    b, c = int(np.sum(was & ~now)), int(np.sum(~was & now))
    return Change(
        images=n,
        before=old / n if n else None,
        before_interval=wilson(old, n, CONFIDENCE_LEVEL),
        after=new / n if n else None,
        after_interval=wilson(new, n, CONFIDENCE_LEVEL),
        difference=(new - old) / n if n else None,
        difference_interval=paired_bootstrap(now.astype(float) - was, CONFIDENCE_LEVEL) if n else None,
        b=b,
        c=c,
        p=mcnemar_exact(b, c) if n else None,
    )


def _aligned(before: Predictions, after: Predictions) -> Predictions:
    """`after` with its images and classes in the order of `before`. Raises InputError where they differ."""
    if missing := sorted(set(before.classes) ^ set(after.classes)):
        owner = "first" if missing[0] in before.classes else "second"
        raise InputError(
            f"cannot compare: {len(missing)} classes are in one only, such as {missing[0]!r} in the {owner}; "
            "expected the same classes"
        )
    place = {image: i for i, image in enumerate(after.ids)}
    common = [(i, place[image]) for i, image in enumerate(before.ids) if image in place]
    ours, theirs = np.array(common, int).reshape(-1, 2).T
    column_of = {name: i for i, name in enumerate(after.classes)}
    columns = [column_of[name] for name in before.classes]
    labels = np.argsort(columns)[after.labels[theirs]]  # the new index of column j is its place in `columns`
    known = set(before.ids)
    different = {
        "only in the first": [image for image in before.ids if image not in place],
        "only in the second": [image for image in after.ids if image not in known],
        "with another true class": [before.ids[i] for i in ours[labels != before.labels[ours]]],
    }
    if any(different.values()):
        listed = "; ".join(f"{len(ids)} {what} ({_examples(ids)})" for what, ids in different.items() if ids)
        raise InputError(
            f"cannot compare predictions of different images: {listed}; of {len(before)} and {len(after)} images; "
            "expected the same images with the same true classes"
        )
    paths = tuple(after.paths[i] for i in theirs)
    probabilities = after.probabilities
    if not np.array_equal(theirs, np.arange(len(after))) or columns != list(range(len(columns))):
        probabilities = probabilities[theirs][:, columns]
    return Predictions(before.ids, paths, before.classes, labels, probabilities)


def _examples(ids: list[str]) -> str:
    return ", ".join(ids[:_EXAMPLES]) + (", ..." if len(ids) > _EXAMPLES else "")
