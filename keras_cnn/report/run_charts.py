"""The page's charts of runs, as data for the renderers of `charts`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_cnn.charts import FAINT, PALETTE, ChartAxis, Dash, HeatMap, Marker, Plot, Series
from keras_cnn.charts import page as chart_page
from keras_cnn.evaluation.calibration import accuracy_intervals
from keras_cnn.figures.style import BLUE, ORANGE
from keras_cnn.report.comparisons import StoredChange
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SplitScores, number

DASHES: tuple[Dash, ...] = ("solid", "dashed", "dotted", "dashdot")
MARKERS: tuple[Marker, ...] = ("circle", "square", "diamond", "triangle")
UNIFIED = 4  # largest number of runs whose values are shown in one box
_THICK, _THIN, _BACKGROUND = 1.9, 1.1, 0.6  # points of lines


def colour(run: int) -> str:
    """The colour of the run with this number."""
    return PALETTE[run % len(PALETTE)]


def dash(run: int) -> Dash:
    """The dash of the run with this number; the seventh run has the first colour with the second dash."""
    return DASHES[run // len(PALETTE) % len(DASHES)]


def svg_dash(run: int) -> str:
    """The dash of the run with this number as SVG's stroke-dasharray."""
    return chart_page.DASHES[dash(run)].replace("solid", "none").replace("px", "")


def _marker(run: int) -> Marker:
    return MARKERS[run // len(PALETTE) % len(MARKERS)]


# --- over epochs and over cost ----------------------------------------------------------------------------------------


def curves(runs: Sequence[ReportedRun], quantity: str, others: Sequence[ReportedRun] = ()) -> Plot:
    """`quantity`, loss or accuracy, by epoch: training thin, validation thick, with a mark at the chosen epoch.

    Of `others`, only the validation curves are drawn, as thin grey lines behind the runs.
    """
    scale = 100 if quantity == "accuracy" else 1
    title, form, unit = ("accuracy, %", ".2f", " %") if quantity == "accuracy" else ("loss, nats", ".4f", "")
    series = _background(others, f"val_{quantity}", scale) if others else []
    for run in runs:
        epochs = [row["epoch"] for row in run.record.history]
        line: Dash = dash(run.number) if len(epochs) > 1 else ""
        for column, split, width in ((quantity, "training", _THIN), (f"val_{quantity}", "validation", _THICK)):
            values = [_scaled(row.get(column), scale) for row in run.record.history]
            series.append(
                Series(
                    x=epochs,
                    y=values,
                    label=f"{run.label}, {split}",
                    colour=colour(run.number),
                    dash=line,
                    width=width,
                    marker="" if line else "circle",
                    hollow=split == "training",
                    run=run.number,
                )
            )
            if split == "validation" and run.best_epoch in epochs:
                chosen = values[epochs.index(run.best_epoch)]
                look = {"colour": colour(run.number), "marker": _marker(run.number), "size": 5.6}
                series.append(Series(x=[run.best_epoch], y=[chosen], run=run.number, **look))
    few = len(runs) <= UNIFIED and not others
    x, y = ChartAxis("epoch", scale="whole"), ChartAxis(title, number=form, unit=unit)
    return Plot(x, y, tuple(series), unified=few, legend=False)


def _background(runs: Sequence[ReportedRun], column: str, scale: float) -> list[Series]:
    """The lines of all runs as one series, with a gap between two runs."""
    x, y, labels = [], [], []
    for run in runs:
        x += [*(row["epoch"] for row in run.record.history), math.nan]
        y += [*(_scaled(row.get(column), scale) for row in run.record.history), math.nan]
        labels += [run.label] * (len(run.record.history) + 1)
    return [Series(x, y, colour=FAINT, dash="solid", width=_BACKGROUND, hover=labels)]


def cost(runs: Sequence[ReportedRun], quantity: str, split: str = "test") -> Plot:
    """Accuracy with its interval against `quantity`, seconds or trainable; runs on the Pareto front are filled."""
    scale = 1 / 60 if quantity == "seconds" else 1
    points = [(run, x, scores) for run in runs if (x := cost_of(run, quantity)) is not None
              and (scores := run.scores.get(split, SplitScores())).accuracy is not None]  # fmt: skip
    accuracies = [scores.accuracy or 0.0 for _, _, scores in points]
    front = pareto([(x, accuracy) for (_, x, _), accuracy in zip(points, accuracies, strict=True)])
    staircase = sorted((points[i][1] * scale, 100 * accuracies[i]) for i in front)
    series = []
    if len(staircase) > 1:
        xs, ys = zip(*staircase, strict=True)
        series.append(Series(xs, ys, colour=FAINT, dash="dashed", width=1.2, steps=True))
    for i, (run, x, scores) in enumerate(points):
        low, high = _ends(accuracies[i], scores.interval)
        series.append(
            Series(
                x=[x * scale],
                y=[100 * accuracies[i]],
                colour=colour(run.number),
                marker=_marker(run.number),
                size=6.3,
                hollow=i not in front,
                low=[low],
                high=[high],
                hover=[f"{run.label} {_interval(scores.interval)}" + (", on the Pareto front" if i in front else "")],
                run=run.number,
            )
        )
    values = [x * scale for _, x, _ in points]
    logarithmic = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    limits = None if logarithmic else (0, 1.08 * max(values, default=1))
    title, form, unit = ("training time, minutes", ".3~g", " min")
    if quantity != "seconds":
        title, form, unit = "trainable parameters", ",", " parameters"
    kind = "logarithmic" if logarithmic else "linear"
    x_axis = ChartAxis(title, scale=kind, limits=limits, number=form, unit=unit)
    return Plot(x_axis, ChartAxis(f"{split} accuracy, %", number=".2f", unit=" %"), tuple(series))


def cost_of(run: ReportedRun, quantity: str) -> float | None:
    """Seconds of training or trainable parameters of a run, where they are recorded."""
    return run.seconds if quantity == "seconds" else run.total("trainable")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, score) points that no other point dominates."""
    return [
        i
        for i, (cost, score) in enumerate(points)
        if not any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)
    ]


# --- confusion and calibration ----------------------------------------------------------------------------------------


def confusion(scores: SplitScores) -> HeatMap:
    """The confusion matrix; a row is a true class, a column a predicted class, shaded by the share of the row."""
    counts = np.zeros((0, 0), np.int64) if scores.confusion is None else scores.confusion
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    names = tuple(score.name for score in scores.classes) or tuple(map(str, range(len(counts))))
    return _matrix(
        names,
        values=shares,
        texts=[[f"{count:,}" for count in row] for row in counts.tolist()],
        scale="root",
        limits=(0, 100),
        hover="true {row}<br>predicted {column}<br>{text} images, {value} % of the row",
    )


def confusion_change(change: np.ndarray, classes: Sequence[str]) -> HeatMap:
    """Counts (C, C) after minus before; blue is better, orange worse."""
    improvement = np.where(np.eye(len(classes), dtype=bool), change, -change)
    return _matrix(
        tuple(classes),
        values=improvement,
        texts=[[f"{count:+d}".replace("-", "−") if count else "" for count in row] for row in change.tolist()],
        scale="diverging",
        hover="true {row}<br>predicted {column}<br>better by {value} images",
    )


def _matrix(names: tuple[str, ...], *, values: np.ndarray, texts: Sequence[Sequence[str]], **look) -> HeatMap:
    cells = tuple(map(tuple, texts))
    titles = {"row_title": "true", "column_title": "predicted"}
    return HeatMap(values, names, names, texts=cells, square=True, **titles, **look)


def reliability(runs: Sequence[tuple[ReportedRun, SplitScores]]) -> Plot:
    """Accuracy against confidence, with a point and an interval for each bin; calibrated models are on the diagonal."""
    series = [Series([0, 100], [0, 100], colour=FAINT, dash="dashed", width=1.2)]
    for run, scores in runs:
        if scores.calibration is None:
            continue
        bins = [
            (confidence, accuracy, count)
            for confidence, accuracy, count in zip(
                scores.calibration.confidence, scores.calibration.accuracy, scores.calibration.counts, strict=True
            )
            if count and confidence is not None and accuracy is not None
        ]
        if not bins:
            continue
        confidence, accuracy, counts = (np.array(column) for column in zip(*bins, strict=True))
        low, high = 100 * accuracy_intervals(accuracy, counts).T
        series.append(
            Series(
                x=(100 * confidence).tolist(),
                y=(100 * accuracy).tolist(),
                colour=colour(run.number),
                dash=dash(run.number),
                width=1.3,
                marker=_marker(run.number),
                size=3.8,
                low=low.tolist(),
                high=high.tolist(),
                hover=[f"{run.label}: {count:,} images" for count in counts.tolist()],
                run=run.number,
            )
        )
    axis = {"limits": (0, 101), "number": ".1f", "unit": " %"}
    return Plot(ChartAxis("confidence, %", **axis), ChartAxis("accuracy, %", **axis), tuple(series))


# --- classes ----------------------------------------------------------------------------------------------------------


def recalls(runs: Sequence[ReportedRun]) -> Plot:
    """The recall of each class with its interval: a row for each class, with all runs."""
    names = list(dict.fromkeys(score.name for run in runs for score in run.result.classes))
    series = []
    for place, run in enumerate(runs):
        shift = 0.7 * ((place + 0.5) / len(runs) - 0.5)
        rows = [(score, score.recall) for score in run.result.classes if score.recall is not None and score.support]
        ends = [_ends(recall, score.interval) for score, recall in rows]
        series.append(
            Series(
                x=[100 * recall for _, recall in rows],
                y=[names.index(score.name) + shift for score, _ in rows],
                colour=colour(run.number),
                marker=_marker(run.number),
                size=3.8 if len(runs) > 2 else 4.4,
                low=[low for low, _ in ends],
                high=[high for _, high in ends],
                across=True,
                hover=[
                    f"{run.label}, {score.name}: recall {100 * recall:.1f} % {_interval(score.interval)},"
                    f" {score.support:,} images"
                    for score, recall in rows
                ],
                run=run.number,
            )
        )
    return Plot(
        ChartAxis("recall, %"), ChartAxis(), tuple(series), rows=tuple(names), row_height=max(24, 8 * len(runs))
    )


def class_changes(classes: Mapping[str, StoredChange]) -> Plot:
    """The change of each class's accuracy in points; marks are filled where the interval excludes 0."""
    known = [(i, name, change) for i, (name, change) in enumerate(classes.items()) if change.interval]
    series = []
    for better in (True, False):
        for sure in (True, False):
            chosen = [
                (i, name, change)
                for i, name, change in known
                if ((change.difference or 0) > 0) == better and _excludes_zero(change) == sure
            ]
            if not chosen:
                continue
            series.append(
                Series(
                    x=[100 * (change.difference or 0) for _, _, change in chosen],
                    y=[i for i, _, _ in chosen],
                    colour=BLUE if better else ORANGE,
                    marker="circle",
                    size=5.6,
                    hollow=not sure,
                    low=[100 * change.interval[0] for _, _, change in chosen if change.interval],
                    high=[100 * change.interval[1] for _, _, change in chosen if change.interval],
                    across=True,
                    hover=[_change_text(name, change) for _, name, change in chosen],
                )
            )
    axis = ChartAxis("points, after minus before")
    return Plot(axis, ChartAxis(), tuple(series), verticals=((0, ""),), rows=tuple(classes), row_height=28)


def _excludes_zero(change: StoredChange) -> bool:
    return change.interval is not None and (change.interval[0] > 0 or change.interval[1] < 0)


def _change_text(name: str, change: StoredChange) -> str:
    low, high = change.interval or (math.nan, math.nan)
    before, after, difference = (100 * (value or 0) for value in (change.before, change.after, change.difference))
    text = f"{name}: {before:.1f} % before, {after:.1f} % after"
    return f"{text}, {difference:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]"


# --- numbers ----------------------------------------------------------------------------------------------------------


def _scaled(value: float | None, scale: float) -> float:
    known = number(value)
    return math.nan if known is None else known * scale


def _ends(value: float, interval: tuple[float, float] | None) -> tuple[float, float]:
    """The ends of the interval in %, or the value itself without an interval."""
    low, high = interval or (value, value)
    return 100 * low, 100 * high


def _interval(interval: tuple[float, float] | None) -> str:
    return f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
