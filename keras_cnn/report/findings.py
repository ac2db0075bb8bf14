"""Sentences that the data support, each with its size, its interval and the runs that it is based on.

The comparisons are fixed before any number is seen. Every config field that differs between finished runs on the same
images is tested by its values and, if it is numeric, for a trend. If no value is repeated, each run is compared with
the run that is best on validation. Within a run, its best and worst class, its worst confusion, its confidence and its
gap to the training images are tested. All tests form one family: a claim becomes a sentence only if it survives Holm's
correction at 5 % over the family. Its 95 % interval is for this one comparison. The overfitting onset is a
description without a test.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_cnn.analysis.claims import LEVEL, Claim, Conclusion, Interval, conclusions, excludes_zero, percent, points
from keras_cnn.analysis.matched import ComparedRuns, accuracy_of, between_runs
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.metrics import overfitting_onset
from keras_cnn.report.scores import Calibration, SplitScores, read_scores
from keras_cnn.run_folder.record import Record


def findings(records: Sequence[Record]) -> list[Conclusion]:
    """What the finished runs show: claims first, then comparisons that show no difference, then descriptions.

    Runs on different images (`data.source`) are not compared. Runs are compared on the test images if all runs of a
    source were tested, otherwise on the validation images, as for the trials of a sweep.
    """
    times = Counter(record.name for record in records)
    names = {id(r): r.name if times[r.name] == 1 else str(r.path) for r in records}
    sources: dict[str, list[Record]] = {}
    finished = [r for r in records if any(accuracy_of(r, split) is not None for split in ("test", "validation"))]
    for record in finished:
        sources.setdefault(str(record.config.get("data.source")), []).append(record)
    compared = [between_runs(_compared(runs, names)) for runs in sources.values()]
    claims = [claim for claims, _ in compared for claim in claims]
    claims += [claim for record in finished for claim in _within(record, names[id(record)])]
    incomparable = [conclusion for _, conclusions in compared for conclusion in conclusions]
    onsets = [onset for record in finished if (onset := _onset(record, names[id(record)]))]
    return [*conclusions(claims), *incomparable, *onsets]


def _compared(runs: Sequence[Record], names: Mapping[int, str]) -> ComparedRuns:
    tested = all(accuracy_of(run, "test") is not None for run in runs)
    split = "test" if tested else "validation"
    return ComparedRuns(tuple(run for run in runs if accuracy_of(run, split) is not None), names, split)


def _within(record: Record, name: str) -> Iterator[Claim]:
    test, train = read_scores(record.metrics, "")[0], _split(record, "train")
    if test.confusion is not None and len(test.classes) == len(test.confusion):
        classes = [score.name for score in test.classes]
        yield from _extremes(test.confusion, classes, name)
        yield from _worst_confusion(test.confusion, classes, name)
    calibrated, again = _calibrated(record, test)
    of_test = _measured(calibrated)
    if calibrated.calibration is not None and of_test:
        yield _confidence(calibrated.calibration, of_test, name, again)
    if (of_train := _measured(train)) and (of_test := _measured(test)):
        yield _gap(of_train, of_test, name)


def _measured(scores: SplitScores) -> tuple[float, int] | None:
    """The accuracy and the number of images that it was measured on, where both are known."""
    return (scores.accuracy, scores.images) if scores.accuracy is not None and scores.images else None


def _calibrated(record: Record, test: SplitScores) -> tuple[SplitScores, str]:
    """`test`, or if it has no calibration, the later evaluation as a whole; with the words that say so."""
    later = record.evaluations.get("test")
    if test.calibration is not None or not isinstance(later, dict):
        return test, ""
    return read_scores(later, "")[0], ", evaluated again"


def _split(record: Record, split: str) -> SplitScores:
    metrics = record.metrics.get(split)
    return read_scores(metrics, "")[0] if isinstance(metrics, dict) else SplitScores()


def _extremes(confusion: np.ndarray, classes: Sequence[str], name: str) -> Iterator[Claim]:
    """Claims that the classes with the highest and lowest recall differ, by simultaneous intervals of all classes."""
    counts = [(int(row[i]), int(row.sum()), classes[i]) for i, row in enumerate(confusion) if row.sum()]
    if len(counts) < 2:
        return
    low, high = (pick(counts, key=lambda c: c[0] / c[1]) for pick in (min, max))

    def intervals(level: float) -> tuple[Interval, Interval]:
        each = 1 - (1 - level) / len(counts)  # Bonferroni: the two were picked from all classes
        return wilson(*low[:2], each), wilson(*high[:2], each)

    of_low, of_high = intervals(LEVEL)
    sentence = (
        f"{name} recognises {high[2]} best and {low[2]} worst: {percent(high[0] / high[1], of_high)} of the images"
        f" of {high[2]} against {percent(low[0] / low[1], of_low)}, by intervals for all {len(counts)} classes at once"
    )
    yield Claim(
        about=("extremes", name),
        rejects=lambda alpha: excludes_zero(_between(*intervals(1 - alpha))),
        conclusion=Conclusion(
            sentence,
            "higher",
            high[0] / high[1] - low[0] / low[1],
            _between(of_low, of_high),
            (name,),
            f"recall on the test images; Wilson intervals simultaneous over {len(counts)} classes (Bonferroni)",
        ),
    )


def _between(low: Interval, high: Interval) -> Interval:
    """The interval of the difference between two numbers in these intervals."""
    return high[0] - low[1], high[1] - low[0]


def _worst_confusion(confusion: np.ndarray, classes: Sequence[str], name: str) -> Iterator[Claim]:
    """Claims that the most frequent mistake is more frequent than its reverse, given the images of both classes."""
    mistakes = confusion - np.diag(np.diag(confusion))
    i, j = map(int, np.unravel_index(mistakes.argmax(), mistakes.shape))
    there, back = int(mistakes[i, j]), int(mistakes[j, i])
    images = confusion.sum(axis=1)
    if not there or not images[j]:
        return
    from scipy.stats import binomtest

    expected = float(images[i] / (images[i] + images[j]))
    pairs = len(mistakes) * (len(mistakes) - 1) // 2
    p = pairs * float(binomtest(there, there + back, expected).pvalue)  # Bonferroni: picked from all pairs
    share, interval = there / (there + back), wilson(there, there + back)
    a, b = classes[i], classes[j]
    sentence = (
        f"{name} takes {a} for {b} more often than {b} for {a}: {there:,} against {back:,} images,"
        f" {percent(share, interval)} of their confusions where {100 * expected:.1f} % would be no preference"
    )
    yield Claim(
        about=("confusion", name),
        rejects=lambda alpha: p <= alpha,
        conclusion=Conclusion(
            sentence,
            "higher",
            share - expected,
            (interval[0] - expected, interval[1] - expected),
            (name,),
            f"exact binomial test, times the {pairs} pairs of classes (Bonferroni); Wilson interval",
        ),
    )


def _confidence(calibration: Calibration, measured: tuple[float, int], name: str, again: str) -> Claim:
    """Claims that mean confidence and accuracy differ. The confidences are given; the number of right images varies."""
    accuracy, images = measured
    bins = zip(calibration.counts, calibration.confidence, strict=True)
    mean = sum(count * (confidence or 0.0) for count, confidence in bins if count) / sum(calibration.counts)
    right = round(accuracy * images)

    def excess(level: float) -> Interval:
        low, high = wilson(right, images, level)
        return mean - high, mean - low

    size, interval = mean - accuracy, excess(LEVEL)
    if size < 0:
        what, shown, span = "underconfident", -size, (-interval[1], -interval[0])
    else:
        what, shown, span = "overconfident", size, interval
    side = "above" if size > 0 else "below"
    sentence = (
        f"{name} is {what}: its mean confidence lies {points(shown, span)} {side} its accuracy"
        f" on {images:,} test images{again}"
    )
    method = "mean confidence minus accuracy; Wilson interval of the accuracy, given the confidences"
    return Claim(
        about=("confidence", name),
        rejects=lambda alpha: excludes_zero(excess(1 - alpha)),
        conclusion=Conclusion(sentence, "higher" if size > 0 else "lower", size, interval, (name,), method),
    )


def _gap(train: tuple[float, int], test: tuple[float, int], name: str) -> Claim:
    """Claims that the accuracies on the training images and on the test images differ.

    Source: R. G. Newcombe, Interval Estimation for the Difference between Independent Proportions, Statistics in
    Medicine 17 (1998), method 10.
    """

    def interval(level: float) -> Interval:
        (a, (la, ha)), (b, (lb, hb)) = (
            (accuracy, wilson(round(accuracy * images), images, level)) for accuracy, images in (train, test)
        )
        return a - b - math.hypot(a - la, hb - b), a - b + math.hypot(ha - a, b - lb)

    size, (low, high) = train[0] - test[0], interval(LEVEL)
    shown = points(size, (low, high)) if size > 0 else points(-size, (-high, -low))
    sentence = (
        f"{name} scores {shown} {'higher' if size > 0 else 'lower'} on its training images than on the test images"
    )
    return Claim(
        about=("gap", name),
        rejects=lambda alpha: excludes_zero(interval(1 - alpha)),
        conclusion=Conclusion(
            sentence,
            "higher" if size > 0 else "lower",
            size,
            (low, high),
            (name,),
            f"accuracy on {train[1]:,} training and {test[1]:,} test images, both without augmentation or"
            " dropout; Newcombe's interval of the difference",
        ),
    )


def _onset(record: Record, name: str) -> Conclusion | None:
    rows = [r for r in record.history if {"epoch", "loss", "val_loss"} <= r.keys()]
    onset = overfitting_onset([row["loss"] for row in rows], [row["val_loss"] for row in rows])
    if onset is None:
        return None
    then, last = rows[onset - 1], rows[-1]
    sentence = (
        f"{name} overfits after epoch {then['epoch']}: until epoch {last['epoch']} its validation loss goes from"
        f" {then['val_loss']:.3f} to {last['val_loss']:.3f}, its training loss from {then['loss']:.3f} to"
        f" {last['loss']:.3f}"
    )
    method = "the last minimum of the validation loss, if three epochs follow and the training loss goes on falling"
    return Conclusion(sentence, "description", float(then["epoch"]), None, (name,), method)
