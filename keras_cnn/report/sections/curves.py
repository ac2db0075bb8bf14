"""Loss and accuracy by epoch, and accuracy against cost."""

from collections.abc import Sequence

from keras_cnn.charts.text import count, digits, duration, interval, percent
from keras_cnn.report import charts
from keras_cnn.report.runs import Run
from keras_cnn.report.scores import SplitScores, number
from keras_cnn.report.sections.shapes import Chart, Table, plotted


def curves(runs: Sequence[Run], shown: Sequence[Run]) -> list[Chart]:
    """Loss and accuracy by epoch of the `shown` runs, with the others in grey behind them."""
    others = [run for run in runs if run not in shown]
    runs, charts_by_epoch = [run for run in runs if run in shown], []
    if not runs:
        return []
    for quantity, scale, places in (("loss", 1, 4), ("accuracy", 100, 2)):
        by_epoch = [{row["epoch"]: row for row in run.record.history} for run in runs]
        columns = [(rows, column) for rows in by_epoch for column in (quantity, f"val_{quantity}")]
        table = Table(
            ("epoch", *(f"{run.label}, {split}" for run in runs for split in ("training", "validation"))),
            tuple(
                (str(epoch), *(_scaled(rows.get(epoch, {}).get(column), scale, places) for rows, column in columns))
                for epoch in sorted({epoch for rows in by_epoch for epoch in rows})
            ),
        )
        title = {"loss": "Loss by epoch", "accuracy": "Accuracy by epoch"}[quantity]
        charts_by_epoch.append(
            Chart(f"curves-{quantity}", title, plotted(charts.curves(runs, quantity, others)), table)
        )
    return charts_by_epoch


def _scaled(value: float | None, scale: float, places: int) -> str:
    return digits(None if number(value) is None else value * scale, places)


def costs(runs: Sequence[Run]) -> list[Chart]:
    """Accuracy over training time and over parameters, where at least two runs have both."""
    cost_charts = []
    split = "test" if any(run.test.accuracy is not None for run in runs) else "validation"
    for quantity, title in (("seconds", "Accuracy over training time"), ("trainable", "Accuracy over parameters")):
        scores = {run.label: run.scores.get(split, SplitScores()) for run in runs}
        points = [r for r in runs if charts.cost_of(r, quantity) is not None and scores[r.label].accuracy is not None]
        if len(points) < 2:
            continue
        front = charts.pareto([(charts.cost_of(run, quantity), scores[run.label].accuracy) for run in points])
        shown = {"seconds": duration, "trainable": count}[quantity]
        rows = tuple(
            (
                run.label,
                shown(charts.cost_of(run, quantity)),
                percent(scores[run.label].accuracy),
                interval(scores[run.label].interval) or "–",
                "yes" if i in front else "no",
            )
            for i, run in enumerate(points)
        )
        axis = {"seconds": "time", "trainable": "parameters"}[quantity]
        head = ("run", axis, f"{split} accuracy", "95 % interval", "on the Pareto front")
        cost_charts.append(
            Chart(f"cost-{quantity}", title, plotted(charts.cost(points, quantity, split)), Table(head, rows))
        )
    return cost_charts
