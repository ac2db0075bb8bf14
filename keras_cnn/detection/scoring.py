"""Mean average precision of detections by COCO's rules, with its bootstrap interval over images.

The rules are those of pycocotools' `COCOeval` for boxes, area `all` and 100 detections per image and class. In
order of decreasing confidence, each detection is matched to the unmatched true box that it overlaps most, at IoU of
0.5, 0.55, ... 0.95. Any number of detections may match a crowd; its IoU is the fraction of the detection inside it. A
detection that matches an ignored box counts as neither right nor wrong. Precision is made monotonically decreasing and
read at 101 recalls. Lin et al., Microsoft COCO, arXiv:1405.0312, and https://cocodataset.org/#detection-eval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_cnn.detection.boxes import Detections
from keras_cnn.evaluation.bootstrap import RESAMPLES, Interval, percentile, resampled

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100  # detections per image and class


@dataclass(frozen=True)
class TrueBoxes:
    """The true boxes of an image: (N, 4) x0, y0, x1, y1, their classes (N,) and bools (N,); see `AnnotatedImage`."""

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class over all images, the most confident first, and how they match.

    `images` (D,) are the image numbers of the detections. `right` and `counted` (10, D) tell, at each IoU, whether a
    detection matches a true box and whether it counts at all. `positives` (images,) counts the true boxes per image.
    """

    confidences: np.ndarray
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
class DetectionScores:
    """The matches of all classes over one set of images, and the measures computed from them."""

    classes: tuple[ClassMatches, ...]

    @cached_property
    def precisions(self) -> np.ndarray:
        """(classes, 10, 101) precision; nan for a class without a true box."""
        return np.stack([matches.precision for matches in self.classes])

    @property
    def map(self) -> float:
        """mAP@[.5:.95]: the mean over classes, IoU and recall; nan without a true box."""
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
        """(classes, 10) average precision at each IoU."""
        return self.precisions.mean(axis=2)

    def intervals(self, level: float = 0.95) -> dict[str, Interval | list[Interval | None]]:
        """Bootstrap intervals over images of `map` and `map50`, and for each class as `classes_map`, `classes_map50`.

        Resamples are those of `evaluation.bootstrap`. A class without a true box in a resample is left out of that
        resample's mean; the interval of a class is None if no resample has a true box of it.
        """
        images = len(self.classes[0].positives)
        parts = [self._resampled(counts) for counts in resampled(images, RESAMPLES)]
        by_class = np.concatenate(parts)  # (R, classes, 10)
        every = [percentile(values[~np.isnan(values)], level) if not np.isnan(values).all() else None
                 for values in (*by_class.mean(axis=2).T, *by_class[:, :, 0].T)]  # fmt: skip
        half = len(self.classes)
        with np.errstate(invalid="ignore"):
            overall = {
                "map": percentile(_row_means(by_class.mean(axis=2)), level),
                "map50": percentile(_row_means(by_class[:, :, 0]), level),
            }
        return overall | {"classes_map": every[:half], "classes_map50": every[half:]}

    def _resampled(self, counts: np.ndarray) -> np.ndarray:
        """(R, classes, 10) average precisions of the resamples in which image i occurs counts[r, i] times."""
        precisions = np.full((len(counts), len(self.classes), len(THRESHOLDS)), np.nan)
        for number, matches in enumerate(self.classes):
            if matches.positives.any():
                for level in range(len(THRESHOLDS)):
                    precisions[:, number, level] = _resampled_precision(matches, level, counts)
        return precisions


def score(truths: Sequence[TrueBoxes], detections: Sequence[Detections], classes: int) -> DetectionScores:
    """The scores of the detections of each image against its true boxes. Raises ValueError for unequal lengths."""
    if len(truths) != len(detections):
        raise ValueError(f"detections of {len(detections)} images for the true boxes of {len(truths)}")
    return DetectionScores(tuple(_matches(truths, detections, number) for number in range(classes)))


def _matches(truths: Sequence[TrueBoxes], detections: Sequence[Detections], number: int) -> ClassMatches:
    groups = []
    for image, (truth, guess) in enumerate(zip(truths, detections, strict=True)):
        mine = np.flatnonzero(guess.classes == number)
        best = mine[np.argsort(-guess.confidences[mine], kind="stable")][:MAX_DETECTIONS]
        true = np.flatnonzero(truth.classes == number)
        true = true[np.argsort(truth.ignored[true], kind="stable")]  # the ignored ones last
        groups.append((image, guess, best, truth, true))
    positives = np.array([np.count_nonzero(~truth.ignored[true]) for *_, truth, true in groups])
    right, counted = _matched([group[1:] for group in groups])
    confidences = np.concatenate([guess.confidences[best] for _, guess, best, _, _ in groups])
    images = np.concatenate([np.full(len(best), image) for image, _, best, _, _ in groups]).astype(np.int64)
    order = np.argsort(-confidences, kind="stable")
    return ClassMatches(confidences[order], images[order], right[:, order], counted[:, order], positives)


def _matched(groups: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """`right` and `counted`, (10, D), for the detections of all groups, one group after the other.

    All groups advance together by one detection, so that the loop is only as long as the longest group.
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
        place = width - 1 - chosen[..., ::-1].argmax(axis=2)  # the last of equal ones, as in COCOeval
        matched = chosen.max(axis=2) >= 0
        i, j = np.nonzero(matched)
        taken[rows[i], j, place[i, j]] = True
        right[rows, :, rank] = hits
        counted[rows, :, rank] = hits | ~matched
    flat = [(right[row, :, :size], counted[row, :, :size]) for row, size in enumerate(sizes)]
    all_right, all_counted = (np.concatenate([pair[part] for pair in flat], axis=1) for part in (0, 1))
    return all_right, all_counted


def overlap(detected: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, N) IoU of boxes x0, y0, x1, y1; for a crowd, the fraction of the detection inside it."""
    detected, true = np.asarray(detected, np.float64), np.asarray(true, np.float64)
    low = np.maximum(detected[:, None, :2], true[None, :, :2])
    high = np.minimum(detected[:, None, 2:], true[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    own, others = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (detected, true))
    union = np.where(crowd[None], own[:, None], own[:, None] + others[None] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0))


def _at_recalls(right: np.ndarray, counted: np.ndarray, total: int) -> np.ndarray:
    """(101,) precision at RECALLS of detections in order of decreasing confidence."""
    hits, misses = np.cumsum(right & counted), np.cumsum(~right & counted)
    recall = hits / total
    precision = hits / (hits + misses + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    reached = place < len(falling)
    return np.where(reached, falling[np.minimum(place, len(falling) - 1)] if len(falling) else 0.0, 0.0)


def _resampled_precision(matches: ClassMatches, level: int, counts: np.ndarray) -> np.ndarray:
    """(R,) average precision of resamples (see `_resampled`) at one IoU; nan for those without a true box.

    Precision peaks at right detections and is computed only there: the wrong ones between them are summed.
    """
    total = counts @ matches.positives
    right, wrong = matches.right[level], matches.counted[level] & ~matches.right[level]
    number = int(right.sum())
    if number == 0:
        return np.where(total > 0, 0.0, np.nan)
    hits = np.cumsum(counts[:, matches.images[right]], axis=1)
    before = np.cumsum(right)[wrong]  # right ones before each wrong one; those past the last right one are ignored
    misses = np.zeros((len(counts), number + 1))
    if wrong.any():
        starts = np.flatnonzero(np.diff(before, prepend=-1))
        misses[:, before[starts]] = np.add.reduceat(counts[:, matches.images[wrong]], starts, axis=1)
    misses = np.cumsum(misses, axis=1)[:, :number]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / total[:, None]
    precision = hits / (hits + misses + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, recall, side="right")  # recalls reached at each right detection
    average = (np.diff(reached, axis=1, prepend=0) * falling).sum(axis=1) / len(RECALLS)
    return np.where(total > 0, average, np.nan)


def _row_means(values: np.ndarray) -> np.ndarray:
    """The means of the rows, ignoring nans; rows with nothing but nans are left out."""
    return np.nanmean(values[~np.isnan(values).all(axis=1)], axis=1)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
