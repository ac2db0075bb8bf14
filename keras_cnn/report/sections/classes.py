"""Results by class: recall, confusion, calibration."""

from collections.abc import Sequence

import numpy as np

from keras_cnn.charts import Chart, TextTable, evaluation
from keras_cnn.charts.text import count, percent, percent_with_interval, with_interval
from keras_cnn.messages import MOST_CLASSES, counted
from keras_cnn.report import run_charts
from keras_cnn.report.runs import AGAIN, SPLITS, ReportedRun
from keras_cnn.report.scores import ClassMetrics, Ranking

MATRIX_IN_FULL = 16  # most classes for which the table below a confusion matrix has every cell
MISTAKES_LISTED = 60
MISTAKES_SEARCHED = 300  # in a table of more than MOST_CLASSES classes
ROWS_SEARCHED = 2000  # of all runs in a table of classes, the worst first: 0.7 MB of the page


def classes(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Recall of each class for all runs; no chart where no run has it.

    Of more than MOST_CLASSES classes, the chart has those of lowest mean recall, and the table has the worst first.
    """
    known = [run for run in runs if any(score.recall is not None for score in run.result.classes)]
    if not known:
        return []
    names = list(dict.fromkeys(score.name for run in known for score in run.result.classes))
    if len(names) > MOST_CLASSES:
        return [_of_many(known, names)]
    by_name = [(run, {score.name: score for score in run.result.classes}) for run in known]
    rows = tuple(_row(run, scores[name]) for name in names for run, scores in by_name if name in scores)
    drawing = run_charts.recalls(known, names)
    return [Chart("classes", "Recall of each class", drawing, TextTable(_HEAD, rows), _images_of(known))]


_HEAD = ("class", "run", "recall", "precision", "F1", "images")


def _row(run: ReportedRun, score: ClassMetrics) -> tuple[str, ...]:
    return (
        score.name,
        run.label,
        percent_with_interval(score.recall, score.recall_interval, 1),
        percent_with_interval(score.precision, score.precision_interval, 1),
        percent_with_interval(score.f1, score.f1_interval, 1),
        count(score.support),
    )


def _of_many(runs: Sequence[ReportedRun], names: Sequence[str]) -> Chart:
    """The recall of the worst of many classes, and a table with what each class is most often taken for."""
    by_name = [(run, {score.name: score for score in run.result.classes}, _taken_for(run)) for run in runs]
    means = {
        name: _mean([scores[name].recall for _, scores, _ in by_name if _is_known(scores.get(name))]) for name in names
    }
    worst_first = sorted(names, key=lambda name: (means[name] is None, means[name] or 0))
    listed = worst_first[: max(MOST_CLASSES, ROWS_SEARCHED // len(runs))]
    rows = tuple(
        (*_row(run, scores[name]), taken.get(name, "–"))
        for name in listed
        for run, scores, taken in by_name
        if name in scores
    )
    known = [name for name in worst_first[:MOST_CLASSES] if means[name] is not None]
    left_out = f" The table has the {len(listed):,} lowest." if len(listed) < len(names) else ""
    note = f"{_images_of(runs)} The table has the lowest first, and what each class is most often taken for.{left_out}"
    title = f"Recall of the {len(known)} classes of lowest recall, of {len(names):,}"
    table = TextTable((*_HEAD, "most often taken for"), rows, searched=True)
    return Chart("classes", title, run_charts.recalls(runs, known), table, note)


def _is_known(score: ClassMetrics | None) -> bool:
    return score is not None and score.recall is not None and score.support != 0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _taken_for(run: ReportedRun) -> dict[str, str]:
    """The most frequent mistake of each class that has one, with its images."""
    names, matrix = [score.name for score in run.result.classes], run.result.confusion
    if matrix is None or len(matrix) != len(names):
        return {}
    wrong = matrix - np.diag(np.diag(matrix))
    most = wrong.argmax(axis=1)
    return {names[i]: f"{names[j]}: {wrong[i, j]:,}" for i, j in enumerate(most.tolist()) if wrong[i, j]}


def ranking(runs: Sequence[ReportedRun]) -> TextTable:
    """ROC area and average precision of each class in every evaluation with a ranking; of many, the lowest first."""
    found = [(run, name, scores.ranking) for run in runs for name, scores in run.scores.items() if scores.ranking]
    is_long = any(len(scores) > MOST_CLASSES for *_, scores in found)
    most = max(MOST_CLASSES, ROWS_SEARCHED // len(found)) if is_long else None
    rows = tuple(
        (
            score.name,
            run.label,
            name,
            with_interval(score.roc_area, score.roc_area_interval),
            with_interval(score.average_precision, score.average_precision_interval),
        )
        for run, name, scores in found
        for score in (sorted(scores, key=_average_precision)[:most] if is_long else scores)
    )
    return TextTable(("class", "run", "images of", "ROC area", "average precision"), rows, searched=is_long)


def _average_precision(score: Ranking) -> float:
    return 2.0 if score.average_precision is None else score.average_precision


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
            drawing = evaluation.confusion_drawing(scores.confusion, names)
            of_many = evaluation.mistakes_note(scores.confusion)
            chart = Chart(f"confusion-{len(matrices)}", title, drawing, table, right + (of_many or note), run)
            matrices.append((chart, name != run.result_split))
    return matrices


def _confusion_table(matrix: np.ndarray, names: Sequence[str]) -> tuple[TextTable, str]:
    totals, mistakes = matrix.sum(axis=1), evaluation.frequent(matrix)
    worst = ""
    if mistakes:
        i, j, n = mistakes[0]
        worst = (
            f"Most frequent mistake: {names[i]} predicted as {names[j]}, {n:,} of {counted(int(totals[i]), 'image')}."
        )
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *map(count, row)) for name, row in zip(names, matrix.tolist(), strict=True))
        return TextTable(("true \\ predicted", *names), rows), worst
    is_long = len(names) > MOST_CLASSES
    listed = mistakes[: MISTAKES_SEARCHED if is_long else MISTAKES_LISTED]
    rows = tuple((names[i], names[j], count(n), percent(n / int(totals[i]), 1)) for i, j, n in listed)
    if len(mistakes) > len(listed):
        worst += f" The table lists the {len(listed)} most frequent of {len(mistakes):,} kinds of mistake."
    return TextTable(("true", "predicted", "images", "share of the true class"), rows, searched=is_long), worst


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
