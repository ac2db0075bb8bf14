"""Mean average precision of detections as COCO counts it, with its bootstrap interval over images.

The rules are those of pycocotools' `COCOeval` for boxes, area `all` and 100 detections an image and class: detections
are matched in the order of their scores to the free true box that they overlap most, at IoU of 0.5, 0.55, ... 0.95; a
crowd may be matched by any number, its IoU being the share of the detection inside of it; what matches an ignored box
counts neither way; precision is read at 101 recalls, after making it fall monotonically. Lin et al., Microsoft COCO,
arXiv:1405.0312, and https://cocodataset.org/#detection-eval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_cnn.evaluation.bootstrap import RESAMPLES, Interval, percentile, resampled

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # detections an image and class


@dataclass(frozen=True)
class Truth:
    """The true boxes of an image: (N, 4) x0, y0, x1, y1, their classes (N,) and bools (N,); see `AnnotatedImage`."""

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class Found:
    """The detections of an image: boxes (D, 4) x0, y0, x1, y1, classes (D,), scores (D,)."""

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class ClassMatches:
    """What the detections of one class are, the highest score first.

    `images` (D,) are the images they are in, `right` and `counted` (10, D) whether each matches a true box at each IoU,
    and whether it counts at all; `positives` (images,) true boxes by image.
    """

    scores: np.ndarray
    images: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    positives: np.ndarray

    @cached_property
    def precision(self) -> np.ndarray:
        """(10, 101) precision at each IoU and recall; nan where there is no true box."""
        total = int(self.positives.sum())
        if total == 0:
            return np.full((len(THRESHOLDS), len(RECALLS)), np.nan)
        return np.stack(
            [_at_recalls(right, counted, total) for right, counted in zip(self.right, self.counted, strict=True)]
        )


@dataclass(frozen=True)
class Scores:
    """All classes' matches over one set of images."""

    classes: tuple[ClassMatches, ...]

    @cached_property
    def precisions(self) -> np.ndarray:
        """(classes, 10, 101) precision; nan for a class without a true box."""
        return np.stack([one.precision for one in self.classes])

    @property
    def map(self) -> float:
        """mAP@[.5:.95], the mean over classes, IoU and recall; nan without a true box."""
        return _mean(self.precisions)

    @property
    def map50(self) -> float:
        """mAP@0.5."""
        return _mean(self.precisions[:, 0])

    @property
    def map75(self) -> float:
        """mAP@0.75."""
        return _mean(self.precisions[:, 5])

    @property
    def average_precisions(self) -> np.ndarray:
        """(classes, 10)."""
        return self.precisions.mean(axis=2)

    def intervals(self, level: float = 0.95) -> dict[str, Interval | list[Interval | None]]:
        """Bootstrap intervals over images of `map` and `map50`, and a class: `classes_map`, `classes_map50`.

        Resamples are those of `evaluation.bootstrap`. A class that a resample has no box of is left out of its mean;
        an interval is None where no resample has one.
        """
        images = len(self.classes[0].positives)
        parts = [self._resampled(counts) for counts in resampled(images, RESAMPLES)]
        by_class = np.concatenate(parts)  # (R, classes, 10)
        every = [percentile(values[~np.isnan(values)], level) if not np.isnan(values).all() else None
                 for values in (*by_class.mean(axis=2).T, *by_class[:, :, 0].T)]  # fmt: skip
        half = len(self.classes)
        with np.errstate(invalid="ignore"):
            whole = {
                "map": percentile(_row_means(by_class.mean(axis=2)), level),
                "map50": percentile(_row_means(by_class[:, :, 0]), level),
            }
        return whole | {"classes_map": every[:half], "classes_map50": every[half:]}

    def _resampled(self, counts: np.ndarray) -> np.ndarray:
        """(R, classes, 10) average precisions of resamples that have each image so often, (R, images)."""
        found = np.full((len(counts), len(self.classes), len(THRESHOLDS)), np.nan)
        for number, one in enumerate(self.classes):
            if one.positives.any():
                for level in range(len(THRESHOLDS)):
                    found[:, number, level] = _resampled_precision(one, level, counts)
        return found


def score(truths: Sequence[Truth], found: Sequence[Found], classes: int) -> Scores:
    """Compares the detections of each image with its true boxes; `truths` and `found` have one entry an image.

    Raises ValueError where they have not equally many.
    """
    if len(truths) != len(found):
        raise ValueError(f"detections of {len(found)} images for the true boxes of {len(truths)}")
    return Scores(tuple(_matches(truths, found, number) for number in range(classes)))


def _matches(truths: Sequence[Truth], found: Sequence[Found], number: int) -> ClassMatches:
    groups = []
    for image, (truth, guess) in enumerate(zip(truths, found, strict=True)):
        mine = np.flatnonzero(guess.classes == number)
        best = mine[np.argsort(-guess.scores[mine], kind="stable")][:MOST]
        true = np.flatnonzero(truth.classes == number)
        true = true[np.argsort(truth.ignored[true], kind="stable")]  # the ignored ones last
        groups.append((image, guess, best, truth, true))
    positives = np.array([np.count_nonzero(~truth.ignored[true]) for *_, truth, true in groups])
    right, counted = _matched([group[1:] for group in groups])
    scores = np.concatenate([guess.scores[best] for _, guess, best, _, _ in groups])
    images = np.concatenate([np.full(len(best), image) for image, _, best, _, _ in groups]).astype(np.int64)
    order = np.argsort(-scores, kind="stable")
    return ClassMatches(scores[order], images[order], right[:, order], counted[:, order], positives)


def _matched(groups: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """(10, D) right and counted of all groups' detections, one group after the other.

    All groups go forward together, a detection each at a time: the loop is as long as the longest group.
    """
    ranks = max((len(best) for _, best, _, _ in groups), default=0)
    width = max((len(true) for *_, true in groups), default=0)
    sizes = np.array([len(best) for _, best, _, _ in groups], np.int64)
    overlaps = np.full((len(groups), ranks, width), -1.0)
    crowd = np.zeros((len(groups), width), bool)
    ignored = np.ones((len(groups), width), bool)
    for row, (guess, best, truth, true) in enumerate(groups):
        overlaps[row, : len(best), : len(true)] = overlap(guess.boxes[best], truth.boxes[true], truth.crowd[true])
        crowd[row, : len(true)], ignored[row, : len(true)] = truth.crowd[true], truth.ignored[true]
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[None, :, None]
    taken = np.zeros((len(groups), len(THRESHOLDS), width), bool)
    right = np.zeros((len(groups), len(THRESHOLDS), ranks), bool)
    counted = np.ones_like(right)
    for rank in range(ranks if width else 0):
        rows = np.flatnonzero(sizes > rank)
        here = overlaps[rows, rank][:, None]
        free = (here >= least) & (~taken[rows] | crowd[rows][:, None])
        real = np.where(free & ~ignored[rows][:, None], here, -1.0)
        other = np.where(free & ignored[rows][:, None], here, -1.0)
        hits = real.max(axis=2) >= 0
        chosen = np.where(hits[..., None], real, other)
        place = width - 1 - chosen[..., ::-1].argmax(axis=2)  # of equal ones the last, as in COCOeval
        some = chosen.max(axis=2) >= 0
        i, j = np.nonzero(some)
        taken[rows[i], j, place[i, j]] = True
        right[rows, :, rank] = hits
        counted[rows, :, rank] = hits | ~some
    flat = [(right[row, :, :size], counted[row, :, :size]) for row, size in enumerate(sizes)]
    return tuple(np.concatenate([pair[part] for pair in flat], axis=1) for part in (0, 1))


def overlap(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, N) IoU of boxes x0, y0, x1, y1; with a crowd the share of the detection that lies in it."""
    found, true = np.asarray(found, np.float64), np.asarray(true, np.float64)
    low = np.maximum(found[:, None, :2], true[None, :, :2])
    high = np.minimum(found[:, None, 2:], true[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    own, others = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (found, true))
    union = np.where(crowd[None], own[:, None], own[:, None] + others[None] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0))


def _at_recalls(right: np.ndarray, counted: np.ndarray, total: int) -> np.ndarray:
    """(101,) precision at RECALLS of detections in the order of their scores."""
    hits, misses = np.cumsum(right & counted), np.cumsum(~right & counted)
    recall = hits / total
    precision = hits / (hits + misses + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    reached = place < len(falling)
    return np.where(reached, falling[np.minimum(place, len(falling) - 1)] if len(falling) else 0.0, 0.0)


def _resampled_precision(one: ClassMatches, level: int, counts: np.ndarray) -> np.ndarray:
    """(R,) average precision at one IoU of resamples that have each image so often; nan where they have no true box.

    Precision is highest at right detections, so only there is it looked at: wrong ones are summed up between them.
    """
    total = counts @ one.positives
    right, wrong = one.right[level], one.counted[level] & ~one.right[level]
    number = int(right.sum())
    if number == 0:
        return np.where(total > 0, 0.0, np.nan)
    hits = np.cumsum(counts[:, one.images[right]], axis=1)
    before = np.cumsum(right)[wrong]  # right ones before each wrong one; beyond the last nothing is read
    misses = np.zeros((len(counts), number + 1))
    if wrong.any():
        starts = np.flatnonzero(np.diff(before, prepend=-1))
        misses[:, before[starts]] = np.add.reduceat(counts[:, one.images[wrong]], starts, axis=1)
    misses = np.cumsum(misses, axis=1)[:, :number]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / total[:, None]
    precision = hits / (hits + misses + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, recall, side="right")  # how many of them, at each right detection
    found = (np.diff(reached, axis=1, prepend=0) * falling).sum(axis=1) / len(RECALLS)
    return np.where(total > 0, found, np.nan)


def _row_means(values: np.ndarray) -> np.ndarray:
    """Means of the rows' numbers; rows without any are left out."""
    some = values[~np.isnan(values).all(axis=1)]
    return np.nanmean(some, axis=1)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
