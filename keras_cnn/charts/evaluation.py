"""Charts of an evaluation: confusion matrices, calibration, changes by class, and precision over recall."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from keras_cnn.charts import (
    FAINT,
    MUTED,
    BarColumn,
    BarRows,
    ChartAxis,
    HeatMap,
    Histogram,
    Plot,
    Series,
    colour,
    dash,
    marker,
)
from keras_cnn.figures.style import BLUE, ORANGE
from keras_cnn.messages import MOST_CLASSES

CHANGE_NOTE = "Images, after minus before. Blue is better: more on the diagonal or fewer elsewhere. Orange is worse."
RECALLS = [index / 100 for index in range(101)]  # of a detector's precisions
_PALE_ORANGE = "#ecb78c"
_PERCENT: dict[str, Any] = {"limits": (0, 101), "number": ".1f", "unit": " %"}
MISTAKES = 30  # kinds of mistake in the chart that takes the place of a matrix of more than MOST_CLASSES classes


# --- confusion --------------------------------------------------------------------------------------------------------


def frequent(matrix: np.ndarray, number: int | None = None) -> list[tuple[int, int, int]]:
    """The most frequent mistakes of (C, C) counts, or changes of them, as (true, predicted, images).

    Of equally frequent ones, the lower classes come first. `number` is the most of them; all by default.
    """
    true, predicted = np.nonzero(matrix)
    wrong = true != predicted
    true, predicted = true[wrong], predicted[wrong]
    images = matrix[true, predicted]
    order = np.argsort(-np.abs(images), kind="stable")[:number]
    return list(zip(true[order].tolist(), predicted[order].tolist(), images[order].tolist(), strict=True))


def confusion_drawing(counts: ArrayLike, names: Sequence[str]) -> HeatMap | BarRows:
    """The matrix or, of more than MOST_CLASSES classes, the most frequent mistakes."""
    return confusion(counts, names) if len(names) <= MOST_CLASSES else mistakes(counts, names)


def confusion_drawings(counts: ArrayLike, names: Sequence[str]) -> tuple[HeatMap | BarRows, ...]:
    """`confusion_pair` or, of more than MOST_CLASSES classes, the most frequent mistakes."""
    return confusion_pair(counts, names) if len(names) <= MOST_CLASSES else (mistakes(counts, names),)


def change_drawing(change: ArrayLike, names: Sequence[str]) -> HeatMap | BarRows:
    """`confusion_change` or, of more than MOST_CLASSES classes, the mistakes that have changed most."""
    if len(names) <= MOST_CLASSES:
        return confusion_change(change, names)
    cells = frequent(np.asarray(change), MISTAKES)
    return _bars(cells, names, "fewer mistakes, images", [-images for *_, images in cells], signed=True)


def mistakes(counts: ArrayLike, names: Sequence[str]) -> BarRows:
    """The most frequent mistakes of the counts (C, C), as shares of the images of the true class."""
    counts = np.asarray(counts)
    cells = frequent(counts, MISTAKES)
    shares = [100 * images / int(counts[true].sum()) for true, _, images in cells]
    return _bars(cells, names, "images of the true class, %", shares)


def mistakes_note(counts: ArrayLike) -> str:
    """How many of the mistakes a chart of the most frequent ones has; "" where a matrix has them all."""
    counts = np.asarray(counts)
    if len(counts) <= MOST_CLASSES:
        return ""
    cells, shown = frequent(counts), min(MISTAKES, len(frequent(counts)))
    total = sum(abs(images) for *_, images in cells)
    part = sum(abs(images) for *_, images in cells[:shown])
    return (
        f"The {shown} most frequent of {len(cells):,} kinds of mistake, with their images: {part:,} of {total:,} wrong"
        " images. True class → predicted class."
    )


def _bars(
    cells: Sequence[tuple[int, int, int]], names: Sequence[str], title: str, values: Sequence[float], **look: Any
) -> BarRows:
    unknown = [math.nan] * len(cells)
    rows = tuple(
        f"{names[true]} → {names[predicted]}: {images:{'+' if look else ''}}" for true, predicted, images in cells
    )
    return BarRows(rows, (BarColumn(title, values, unknown, unknown, **look),), long_names=True)


def confusion(counts: ArrayLike, names: Sequence[str]) -> HeatMap:
    """The counts (C, C) of images, shaded by their share of the row; a row is a true class, a column a predicted class.

    Raises ValueError unless there is a name for each row and column; so do the other functions.
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    return _matrix(  # multiplied first, so that 57.5 % is exact
        np.divide(100 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0),
        names,
        [[f"{count:,}" for count in row] for row in counts.tolist()],
        scale="root",
        limits=(0, 100),
        hover="true {row}<br>predicted {column}<br>{text} images, {value} % of the row",
    )


def confusion_pair(counts: ArrayLike, names: Sequence[str]) -> tuple[HeatMap, HeatMap]:
    """The counts (C, C) shaded by themselves, and each row in % of its images; cells of zero are blank."""
    counts = np.asarray(counts)
    texts = [[str(count) if count else "" for count in row] for row in counts.tolist()]
    images = _matrix(counts, names, texts, scale="root", limits=(0, max(1, np.max(counts))), heading="images")
    shares = np.nan_to_num(confusion(counts, names).values)
    percents = [[_whole_percent(share) for share in row] for row in shares]
    return images, _matrix(shares, names, percents, scale="root", limits=(0, 100), heading="% of the true class")


def confusion_change(change: ArrayLike, names: Sequence[str]) -> HeatMap:
    """Counts (C, C) after minus before, shaded by the improvement: more on the diagonal, fewer elsewhere."""
    change = np.asarray(change)
    return _matrix(
        np.where(np.eye(len(names), dtype=bool), change, -change),
        names,
        [[f"{count:+d}".replace("-", "−") if count else "" for count in row] for row in change.tolist()],
        scale="diverging",
        heading="change in images",
        hover="true {row}<br>predicted {column}<br>better by {value} images",
    )


def _matrix(values: np.ndarray, names: Sequence[str], texts: Sequence[Sequence[str]], **look: Any) -> HeatMap:
    if np.shape(values) != (len(names), len(names)):
        raise ValueError(f"a confusion matrix of shape {np.shape(values)} for {len(names)} class names")
    cells, names = tuple(map(tuple, texts)), tuple(names)
    return HeatMap(values, names, names, "true class", "predicted class", texts=cells, square=True, **look)


def _whole_percent(value: float) -> str:
    """Whole percent, halves rounded up; "<1" for shares between 0 and 1, ">99" between 99 and 100."""
    if value == 0:
        return ""
    if value < 1:
        return "<1"
    return ">99" if 99 < value < 100 else str(math.floor(value + 0.5))


# --- calibration ------------------------------------------------------------------------------------------------------


class Bins(Protocol):
    """The images of an evaluation in B bins by their confidence; values of empty bins are not read."""

    @property
    def edges(self) -> Any: ...  # (B + 1,) in [0, 1]
    @property
    def counts(self) -> Any: ...  # (B,)
    @property
    def confidence(self) -> Any: ...  # (B,) in [0, 1]
    @property
    def accuracy(self) -> Any: ...  # (B,) in [0, 1]


def calibration_points(bins: Bins, intervals: np.ndarray, name: str = "", **look: Any) -> Series:
    """Accuracy against confidence in %, a point for each bin with images, with the `intervals` (B, 2) of accuracy."""
    counts = np.asarray(bins.counts, int)
    confidence, accuracy = (100 * np.asarray(values, float) for values in (bins.confidence, bins.accuracy))
    known = (counts > 0) & np.isfinite(confidence + accuracy)
    low, high = 100 * np.reshape(intervals, (-1, 2))[known].T
    hover = [f"{name}: {count:,} images" for count in counts[known].tolist()]
    return Series(confidence[known], accuracy[known], low=low, high=high, hover=hover, **look)


def reliability(models: Sequence[Series], **look: Any) -> Plot:
    """Accuracy against confidence; calibrated models are on the diagonal.

    Source: A. Niculescu-Mizil and R. Caruana, Predicting Good Probabilities with Supervised Learning, ICML 2005.
    """
    label = "perfect calibration" if any(series.label for series in models) else ""
    diagonal = Series([0, 100], [0, 100], label, FAINT, "dashed", width=1.2)
    return Plot(
        ChartAxis("confidence, %", **_PERCENT), ChartAxis("accuracy, %", **_PERCENT), (diagonal, *models), **look
    )


def reliability_of_one(bins: Bins, intervals: np.ndarray, remark: str) -> tuple[Plot, Plot]:
    """The reliability diagram of one model with its distance to the diagonal, and the images of each bin."""
    points = calibration_points(bins, intervals, label="a bin, 95 % interval", marker="circle", size=4)
    gap: dict[str, Any] = {"low": np.minimum(points.x, points.y), "high": np.maximum(points.x, points.y)}
    gaps = Series(points.x, points.y, "difference", _PALE_ORANGE, width=3, **gap)
    counts = Histogram(100 * np.asarray(bins.edges), bins.counts)
    confidence = ChartAxis("confidence, %", limits=_PERCENT["limits"])
    return reliability([gaps, points], remark=remark), Plot(confidence, ChartAxis("images"), histogram=counts)


# --- changes by class -------------------------------------------------------------------------------------------------


class ClassChange(Protocol):
    """Accuracies of a class in [0, 1] before and after, and the interval of their difference; None without images."""

    @property
    def before(self) -> float | None: ...
    @property
    def after(self) -> float | None: ...
    @property
    def difference_interval(self) -> tuple[float, float] | None: ...


def class_changes(changes: Mapping[str, ClassChange]) -> Plot:
    """The change of each class's accuracy in points; marks are filled where the interval excludes 0."""
    names, (before, after) = tuple(changes), _accuracies(changes)
    low, high = 100 * np.array([change.difference_interval or (np.nan, np.nan) for change in changes.values()]).T
    difference, known, sure = after - before, np.isfinite(low + high), (low > 0) | (high < 0)
    series = []
    for shown, word, shade in ((difference > 0, "better", BLUE), (~(difference > 0), "worse", ORANGE)):
        for filled in (True, False):
            chosen = np.flatnonzero(known & shown & (sure == filled))
            if not len(chosen):
                continue
            series.append(
                Series(
                    difference[chosen],
                    chosen,
                    word if filled else "hollow: the interval includes 0",
                    shade,
                    marker="circle",
                    size=5.6,
                    hollow=not filled,
                    low=low[chosen],
                    high=high[chosen],
                    across=True,
                    hover=[
                        f"{names[i]}: {before[i]:.1f} % before, {after[i]:.1f} % after,"
                        f" {difference[i]:+.2f} points [{low[i]:+.2f}, {high[i]:+.2f}]"
                        for i in chosen
                    ],
                )
            )
    look: dict[str, Any] = {"verticals": ((0, ""),), "rows": names, "row_height": 28, "legend": False}
    return Plot(ChartAxis("points, after minus before"), ChartAxis(), tuple(series), **look)


def class_differences(changes: Mapping[str, ClassChange]) -> tuple[Plot, Plot]:
    """The accuracy of each class before and after, and `class_changes`; of many classes, those that changed most."""
    before, after = _accuracies(changes)
    names, remark = list(changes), ""
    if len(names) > MOST_CLASSES:
        largest_first = np.argsort(-np.nan_to_num(np.abs(after - before), nan=-1), kind="stable")
        shown = np.sort(largest_first[:MOST_CLASSES])
        changes = {names[i]: changes[names[i]] for i in shown}
        before, after, remark = (
            before[shown],
            after[shown],
            f"the {MOST_CLASSES} of {len(names)} classes that changed most",
        )
    rows = np.arange(len(changes))
    ends: dict[str, Any] = {"low": np.minimum(before, after), "high": np.maximum(before, after), "across": True}
    accuracies = (
        Series(before, rows, colour=MUTED, width=1, **ends),
        Series(before, rows, "before", MUTED, marker="circle", hollow=True),
        Series(after, rows, "after", MUTED, marker="circle"),
    )
    left = Plot(ChartAxis("accuracy, %"), ChartAxis(), accuracies, rows=tuple(changes), remark=remark)
    return left, class_changes(changes)


def _accuracies(changes: Mapping[str, ClassChange]) -> np.ndarray:
    """(2, C) the accuracies before and after in %, NaN for a class without images."""
    return 100 * np.array([(change.before, change.after) for change in changes.values()], float).T


# --- detectors --------------------------------------------------------------------------------------------------------


def precision_over_recall(precisions: Mapping[str, Sequence[float]], labels: Sequence[str], **look: Any) -> Plot:
    """A line for each class: its precisions at RECALLS; `labels` are its entries in the legend."""
    series = [
        Series(RECALLS, values, label, colour(place), dash(place))
        for place, (values, label) in enumerate(zip(precisions.values(), labels, strict=True))
    ]
    recall, precision = (
        ChartAxis("recall", limits=(0, 1.01), number=".2f"),
        ChartAxis("precision", limits=(0, 1.02), number=".3f"),
    )
    return Plot(recall, precision, tuple(series), **look)


def score_shares(title: str, row: Mapping[str, Any]) -> Plot:
    """Shares of known and unknown images over a score, from the `edges`, `known` and `unknown` of outliers.json."""
    edges = list(row["edges"])

    def series(name: str, colour_of: str) -> Series:
        shares = [100 * share for share in row[name]]
        return Series(edges, [*shares, shares[-1]], f"{name} images", colour_of, dash="solid", steps=True)

    return Plot(
        ChartAxis(title),
        ChartAxis("% of the images", number=".1f", unit=" %"),
        (series("known", BLUE), series("unknown", ORANGE)),
        verticals=((row["threshold"], "keeps 95 % of the known images"),),
    )


def corruption_curves(numbers: Mapping[str, Any]) -> Plot:
    """The error in percent over the strength, 0 without corruption, of each corruption in corruptions.json."""
    clean = 100 * numbers["clean_error"]
    series = tuple(
        Series(
            list(range(1 + len(row["errors"]))),
            [clean, *(100 * error for error in row["errors"])],
            name.replace("_", " "),
            colour(i),
            dash=dash(i),
            marker=marker(i),
        )
        for i, (name, row) in enumerate(numbers["corruptions"].items())
    )
    return Plot(
        ChartAxis("strength of the corruption", "whole"),
        ChartAxis("error, %", limits=(0, 100), number=".1f", unit=" %"),
        series,
    )
