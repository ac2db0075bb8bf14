"""Results by class: recall, confusion, calibration."""

from collections.abc import Sequence

import numpy as np

from keras_cnn.charts import Chart, TextTable, evaluation
from keras_cnn.charts.text import count, percent, percent_with_interval, with_interval
from keras_cnn.messages import counted
from keras_cnn.report import run_charts
from keras_cnn.report.runs import AGAIN, SPLITS, ReportedRun

MATRIX_IN_FULL = 16  # most classes for which the table below a confusion matrix has every cell
MISTAKES_LISTED = 60


def classes(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Recall of each class for all runs; no chart where no run has it."""
    known = [run for run in runs if any(score.recall is not None for score in run.result.classes)]
    if not known:
        return []
    rows = tuple(
        (
            score.name,
            run.label,
            percent_with_interval(score.recall, score.recall_interval, 1),
            percent_with_interval(score.precision, score.precision_interval, 1),
            percent_with_interval(score.f1, score.f1_interval, 1),
            count(score.support),
        )
        for name in dict.fromkeys(score.name for run in known for score in run.result.classes)
        for run in known
        for score in run.result.classes
        if score.name == name
    )
    head = ("class", "run", "recall", "precision", "F1", "images")
    return [
        Chart("classes", "Recall of each class", run_charts.recalls(known), TextTable(head, rows), _images_of(known))
    ]


def ranking(runs: Sequence[ReportedRun]) -> TextTable:
    """ROC area and average precision of each class in every evaluation with a ranking."""
    rows = tuple(
        (
            score.name,
            run.label,
            name,
            with_interval(score.roc_area, score.roc_area_interval),
            with_interval(score.average_precision, score.average_precision_interval),
        )
        for run in runs
        for name, scores in run.scores.items()
        for score in scores.ranking
    )
    return TextTable(("class", "run", "images of", "ROC area", "average precision"), rows)


def _images_of(runs: Sequence[ReportedRun]) -> str:
    """The images of the runs' results, as a sentence."""
    splits = {run.result_split for run in runs}
    if len(splits) == 1:
        return f"{splits.pop().capitalize()} images."
    untested = [run.label for run in runs if run.result_split == "validation"]
    return f"Test images; for {', '.join(untested)} validation images."


def confusions(runs: Sequence[ReportedRun]) -> list[tuple[Chart, bool]]:
    """Each confusion matrix, and whether it belongs to a further evaluation instead of the run's result."""
    matrices = []
    for run in runs:
        for name, scores in run.scores.items():
            if scores.confusion is None or (name in SPLITS and name != run.result_split):
                continue
            title = run.label if name == "test" else f"{run.label}: {name}"
            names = [score.name for score in scores.classes] or list(map(str, range(len(scores.confusion))))
            table, note = _confusion_table(scores.confusion, names)
            right = f"{percent(scores.accuracy)} right. " if scores.accuracy is not None else ""
            drawing = evaluation.confusion(scores.confusion, names)
            chart = Chart(f"confusion-{len(matrices)}", title, drawing, table, right + note, run)
            matrices.append((chart, name != run.result_split))
    return matrices


def _confusion_table(matrix: np.ndarray, names: Sequence[str]) -> tuple[TextTable, str]:
    totals = matrix.sum(axis=1)
    mistakes = sorted(
        (-int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i, j]
    )
    worst = ""
    if mistakes:
        n, i, j = -mistakes[0][0], *mistakes[0][1:]
        worst = (
            f"Most frequent mistake: {names[i]} predicted as {names[j]}, {n:,} of {counted(int(totals[i]), 'image')}."
        )
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *map(count, row)) for name, row in zip(names, matrix.tolist(), strict=True))
        return TextTable(("true \\ predicted", *names), rows), worst
    listed = mistakes[:MISTAKES_LISTED]
    rows = tuple((names[i], names[j], count(-n), percent(-n / int(totals[i]), 1)) for n, i, j in listed)
    if len(mistakes) > len(listed):
        worst += f" The table lists the {len(listed)} most frequent of {len(mistakes):,} kinds of mistake."
    return TextTable(("true", "predicted", "images", "share of the true class"), rows), worst


def calibration(runs: Sequence[ReportedRun]) -> list[Chart]:
    """The reliability diagram of all runs; no chart where no run has a calibration."""
    named = [(run, *run.calibrated) for run in runs]
    known = [(run, name, scores, scores.calibration) for run, name, scores in named if scores.calibration]
    if not known:
        return []
    again = [f"{run.label}: {name}" for run, name, _, _ in known if name.endswith(AGAIN)]
    rows = tuple(
        (run.label, f"{100 * low:.1f} to {100 * high:.1f} %", count(n), percent(confidence, 1), percent(accuracy, 1))
        for run, _, _, bins in known
        for low, high, n, confidence, accuracy in zip(
            bins.edges, bins.edges[1:], bins.counts, bins.confidence, bins.accuracy, strict=False
        )
    )
    head = ("run", "confidence from", "images", "mean confidence", "accuracy")
    errors = "; ".join(
        f"{run.label} {percent_with_interval(bins.error, bins.interval)} in {len(bins.counts)} bins"
        for run, _, _, bins in known
    )
    note = f"{_images_of([run for run, *_ in known])} Expected calibration error: {errors}."
    note += f" From a later evaluation, because metrics.json has no calibration: {'; '.join(again)}." if again else ""
    drawing = run_charts.reliability([(run, scores) for run, _, scores, _ in known])
    return [Chart("reliability", "Reliability", drawing, TextTable(head, rows), note)]
