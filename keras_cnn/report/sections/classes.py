"""Results by class: recall, confusion, calibration."""

from collections.abc import Sequence

from keras_cnn.charts.text import count, percent, percent_with_interval, with_interval
from keras_cnn.report import charts
from keras_cnn.report.runs import AGAIN, SPLITS, Run
from keras_cnn.report.scores import SplitScores
from keras_cnn.report.sections.shapes import Chart, Table, plotted

MATRIX_IN_FULL = 16  # classes up to which the table below a confusion matrix has every cell
MISTAKES_LISTED = 60


def classes(runs: Sequence[Run]) -> list[Chart]:
    """Recall of each class for all runs; no chart where no run has it."""
    known = [run for run in runs if any(score.recall is not None for score in run.result.classes)]
    if not known:
        return []
    rows = tuple(
        (
            score.name,
            run.label,
            percent_with_interval(score.recall, score.interval, 1),
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
    figure, note = plotted(charts.class_scores(known)), _images_of(known)
    return [Chart("classes", "Recall of each class", figure, Table(head, rows), note, "tall")]


def ranking(runs: Sequence[Run]) -> Table:
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
    return Table(("class", "run", "images of", "ROC area", "average precision"), rows)


def _images_of(runs: Sequence[Run]) -> str:
    """The images of the runs' results, as a sentence."""
    splits = {run.result_split for run in runs}
    if len(splits) == 1:
        return f"{splits.pop().capitalize()} images."
    untested = [run.label for run in runs if run.result_split == "validation"]
    return f"Test images; for {', '.join(untested)} validation images."


def confusions(runs: Sequence[Run]) -> list[tuple[Chart, bool]]:
    """Each confusion matrix, and whether it belongs to a further evaluation instead of the run's result."""
    matrices = []
    for run in runs:
        for name, scores in run.scores.items():
            if scores.confusion is None or (name in SPLITS and name != run.result_split):
                continue
            title = run.label if name == "test" else f"{run.label}: {name}"
            table, note = _confusion_table(scores)
            right = f"{percent(scores.accuracy)} right. " if scores.accuracy is not None else ""
            figure = plotted(charts.confusion(scores))
            shape = "square" if len(scores.confusion) <= MATRIX_IN_FULL else "large square"
            chart = Chart(f"confusion-{len(matrices)}", title, figure, table, right + note, shape, run)
            matrices.append((chart, name != run.result_split))
    return matrices


def _confusion_table(scores: SplitScores) -> tuple[Table, str]:
    matrix = scores.confusion
    names = [score.name for score in scores.classes] or list(map(str, range(len(matrix))))
    totals = matrix.sum(axis=1)
    mistakes = sorted(
        (-int(matrix[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i, j]
    )
    worst = ""
    if mistakes:
        n, i, j = -mistakes[0][0], *mistakes[0][1:]
        worst = f"Most frequent mistake: {names[i]} predicted as {names[j]}, {n:,} of {totals[i]:,} images."
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *map(count, row)) for name, row in zip(names, matrix.tolist(), strict=True))
        return Table(("true \\ predicted", *names), rows), worst
    listed = mistakes[:MISTAKES_LISTED]
    rows = tuple((names[i], names[j], count(-n), percent(-n / int(totals[i]), 1)) for n, i, j in listed)
    if len(mistakes) > len(listed):
        worst += f" The table lists the {len(listed)} most frequent of {len(mistakes):,} kinds of mistake."
    return Table(("true", "predicted", "images", "share of the true class"), rows), worst


def calibration(runs: Sequence[Run]) -> list[Chart]:
    """The reliability diagram of all runs; no chart where no run has a calibration."""
    known = [(run, *run.calibrated) for run in runs if run.calibrated[1].calibration]
    if not known:
        return []
    again = [f"{run.label}: {name}" for run, name, _ in known if name.endswith(AGAIN)]
    known = [(run, scores) for run, _, scores in known]
    rows = tuple(
        (run.label, f"{100 * low:.1f} to {100 * high:.1f} %", count(n), percent(confidence, 1), percent(accuracy, 1))
        for run, scores in known
        for low, high, n, confidence, accuracy in zip(
            scores.calibration.edges,
            scores.calibration.edges[1:],
            scores.calibration.counts,
            scores.calibration.confidence,
            scores.calibration.accuracy,
            strict=False,
        )
    )
    head = ("run", "confidence from", "images", "mean confidence", "accuracy")
    errors = "; ".join(
        f"{run.label} {percent_with_interval(found.error, found.interval)} in {len(found.counts)} bins"
        for run, found in ((run, scores.calibration) for run, scores in known)
    )
    note = f"{_images_of([run for run, _ in known])} Expected calibration error: {errors}."
    note += f" From a later evaluation, because metrics.json has no calibration: {'; '.join(again)}." if again else ""
    return [
        Chart("reliability", "Reliability", plotted(charts.reliability(known)), Table(head, rows), note, shape="square")
    ]
