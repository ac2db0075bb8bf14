"""The page's charts of runs, as data for the renderers of `charts`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_cnn.charts import FAINT, MUTED, ChartAxis, Plot, Series, colour, dash, evaluation, marker, training
from keras_cnn.charts.page import plots as page_plots
from keras_cnn.evaluation.calibration import accuracy_intervals
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SplitScores

UNIFIED = 4  # largest number of runs whose values are shown in one box
_BACKGROUND = 0.6  # points of the lines behind the shown runs


def svg_dash(run: int) -> str:
    """The dash of the run with this number as SVG's stroke-dasharray."""
    return page_plots.DASHES[dash(run)].replace("solid", "none").replace("px", "")


# --- over epochs and over cost ----------------------------------------------------------------------------------------


def curves(runs: Sequence[ReportedRun], quantity: str, others: Sequence[ReportedRun] = ()) -> Plot:
    """`quantity`, loss or accuracy, by epoch: training thin, validation thick, with a mark at the chosen epoch.

    Of `others`, only the validation curves are drawn, as thin grey lines behind the runs. A single run has a legend,
    and its training is grey and dashed; those of several runs are told apart by the legend of the page.
    """
    series = _background(others, f"val_{quantity}") if others else []
    alone = len(runs) == 1 and not others
    for run in runs:
        look: dict[str, Any] = {"colour": colour(run.number), "dash": dash(run.number), "run": run.number}
        series += training.metric_series(
            run.record.history,
            quantity,
            run.best_epoch,
            "" if alone else f"{run.label}, ",
            training=look | {"colour": MUTED, "dash": "dashed"} if alone else look,
            validation=look,
            mark=marker(run.number),
        )
    few = len(runs) <= UNIFIED and not others
    return Plot(training.EPOCHS, training.AXES[quantity], tuple(series), unified=few, legend=alone)


def _background(runs: Sequence[ReportedRun], column: str) -> list[Series]:
    """The lines of all runs as one series, with a gap between two runs."""
    x, y, labels = [], [], []
    for run in runs:
        x += [*(row["epoch"] for row in run.record.history), math.nan]
        y += [*training.column(run.record.history, column), math.nan]
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
                marker=marker(run.number),
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


# --- calibration ------------------------------------------------------------------------------------------------------


def reliability(runs: Sequence[tuple[ReportedRun, SplitScores]]) -> Plot:
    """The reliability diagram of all runs that have a calibration."""
    models = []
    for run, scores in runs:
        if bins := scores.calibration:
            intervals = accuracy_intervals(np.array(bins.accuracy, float), np.array(bins.counts))
            look: dict[str, Any] = {
                "colour": colour(run.number),
                "dash": dash(run.number),
                "marker": marker(run.number),
            }
            look |= {"width": 1.3, "size": 3.8, "run": run.number}
            models.append(evaluation.calibration_points(bins, intervals, run.label, **look))
    return evaluation.reliability([points for points in models if len(points.x)])


# --- classes ----------------------------------------------------------------------------------------------------------


def recalls(runs: Sequence[ReportedRun], names: Sequence[str]) -> Plot:
    """The recall of the classes with its interval: a row for each of `names`, with all runs."""
    places, series = {name: i for i, name in enumerate(names)}, []
    for place, run in enumerate(runs):
        shift = 0.7 * ((place + 0.5) / len(runs) - 0.5)
        shown = [score for score in run.result.classes if score.name in places]
        rows = [(score, score.recall) for score in shown if score.recall is not None and score.support]
        ends = [_ends(recall, score.recall_interval) for score, recall in rows]
        series.append(
            Series(
                x=[100 * recall for _, recall in rows],
                y=[places[score.name] + shift for score, _ in rows],
                colour=colour(run.number),
                marker=marker(run.number),
                size=3.8 if len(runs) > 2 else 4.4,
                low=[low for low, _ in ends],
                high=[high for _, high in ends],
                across=True,
                hover=[
                    f"{run.label}, {score.name}: recall {100 * recall:.1f} % {_interval(score.recall_interval)},"
                    f" {score.support:,} images"
                    for score, recall in rows
                ],
                run=run.number,
            )
        )
    return Plot(
        ChartAxis("recall, %"), ChartAxis(), tuple(series), rows=tuple(names), row_height=max(24, 8 * len(runs))
    )


# --- numbers ----------------------------------------------------------------------------------------------------------


def _ends(value: float, interval: tuple[float, float] | None) -> tuple[float, float]:
    """The ends of the interval in %, or the value itself without an interval."""
    low, high = interval or (value, value)
    return 100 * low, 100 * high


def _interval(interval: tuple[float, float] | None) -> str:
    return f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
