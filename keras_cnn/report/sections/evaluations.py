"""The table of evaluations."""

from collections.abc import Sequence

from keras_cnn.charts import TextTable
from keras_cnn.charts.text import count, percent, percent_with_interval, with_interval
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SplitScores


def evaluations(runs: Sequence[ReportedRun]) -> TextTable:
    """The metrics of each run on every split and every other set of images."""
    ks = sorted({k for run in runs for scores in run.scores.values() for k in scores.top_k or ()})
    head = ("run", "images of", "images", "accuracy", *(f"top {k}" for k in ks))
    rows = tuple(
        (
            run.label,
            name,
            count(scores.images),
            percent_with_interval(scores.accuracy, scores.interval),
            *(percent((scores.top_k or {}).get(k)) for k in ks),
            with_interval(scores.loss, scores.loss_interval),
            with_interval(scores.brier, scores.brier_interval),
            percent_with_interval(*_calibration(scores)),
            percent_with_interval(scores.macro_f1, scores.macro_f1_interval),
        )
        for run in runs
        for name, scores in run.scores.items()
    )
    return TextTable((*head, "loss", "Brier score", "calibration error", "macro F1"), rows)


def _calibration(scores: SplitScores) -> tuple[float | None, tuple[float, float] | None]:
    calibration = scores.calibration
    return (calibration.error, calibration.interval) if calibration else (None, None)
