"""Loss and accuracy by epoch, and accuracy against cost."""

from collections.abc import Sequence

from keras_cnn.charts import Chart, TextTable
from keras_cnn.charts.text import count, digits, duration, interval, percent
from keras_cnn.charts.training import column
from keras_cnn.report import run_charts
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SplitScores, number


def curves(runs: Sequence[ReportedRun], shown: Sequence[ReportedRun]) -> list[Chart]:
    """Loss and accuracy by epoch of the `shown` runs, with the others in grey behind them."""
    others = [run for run in runs if run not in shown]
    runs, charts_by_epoch = [run for run in runs if run in shown], []
    if not runs:
        return []
    for quantity, places in (("loss", 4), ("accuracy", 2)):
        columns = [
            dict(zip((row["epoch"] for row in run.record.history), column(run.record.history, name), strict=True))
            for run in runs
            for name in (quantity, f"val_{quantity}")
        ]
        table = TextTable(
            ("epoch", *(f"{run.label}, {split}" for run in runs for split in ("training", "validation"))),
            tuple(
                (str(epoch), *(digits(number(values.get(epoch)), places) for values in columns))
                for epoch in sorted({epoch for values in columns for epoch in values})
            ),
        )
        title = {"loss": "Loss by epoch", "accuracy": "Accuracy by epoch"}[quantity]
        drawing = run_charts.curves(runs, quantity, others)
        charts_by_epoch.append(Chart(f"curves-{quantity}", title, drawing, table))
    return charts_by_epoch


def costs(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Accuracy over training time and over parameters, where at least two runs have both."""
    cost_charts = []
    split = "test" if any(run.test.accuracy is not None for run in runs) else "validation"
    for quantity, title in (("seconds", "Accuracy over training time"), ("trainable", "Accuracy over parameters")):
        scores = {run.label: run.scores.get(split, SplitScores()) for run in runs}
        points = [
            (run, cost, accuracy)
            for run in runs
            if (cost := run_charts.cost_of(run, quantity)) is not None
            and (accuracy := scores[run.label].accuracy) is not None
        ]
        if len(points) < 2:
            continue
        front = run_charts.pareto([(cost, accuracy) for _, cost, accuracy in points])
        shown = {"seconds": duration, "trainable": count}[quantity]
        rows = tuple(
            (
                run.label,
                shown(cost),
                percent(accuracy),
                interval(scores[run.label].interval) or "–",
                "yes" if i in front else "no",
            )
            for i, (run, cost, accuracy) in enumerate(points)
        )
        axis = {"seconds": "time", "trainable": "parameters"}[quantity]
        head = ("run", axis, f"{split} accuracy", "95 % interval", "on the Pareto front")
        drawing = run_charts.cost([run for run, _, _ in points], quantity, split)
        cost_charts.append(Chart(f"cost-{quantity}", title, drawing, TextTable(head, rows)))
    return cost_charts
