"""The table of conformal prediction sets."""

from collections.abc import Sequence

from keras_cnn.charts import TextTable
from keras_cnn.charts.text import interval, percent, percent_with_interval, with_interval
from keras_cnn.evaluation.conformal import METHODS
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import SetScores

_HEAD = (
    "run",
    "images of",
    "method",
    "level",
    "coverage",
    "expected",
    "verdict",
    "over random halves",
    "classes in a set",
    "one class",
    "none",
    "lowest class",
)


def prediction_sets(runs: Sequence[ReportedRun]) -> TextTable:
    """Coverage and size of the prediction sets of each method, in every evaluation that has them."""
    rows = tuple(
        (run.label, name, *_cells(sets)) for run in runs for name, scores in run.scores.items() for sets in scores.sets
    )
    return TextTable(_HEAD, rows)


def _cells(sets: SetScores) -> tuple[str, ...]:
    low, high = sets.expected_range
    verdict = "too low" if sets.coverage < low else "too high" if sets.coverage > high else "as expected"
    halves = "–"
    if sets.splits_mean is not None:
        halves = f"{percent(sets.splits_mean)}, expected {percent(sets.splits_expected)}"
    return (
        METHODS.get(sets.method, sets.method),
        percent(sets.level),
        percent_with_interval(sets.coverage, sets.coverage_interval),
        interval(sets.expected_range),
        verdict,
        halves,
        with_interval(sets.mean_size, sets.mean_size_interval, 2),
        percent(sets.single, 1),
        percent(sets.empty, 1),
        f"{percent(sets.lowest_coverage, 1)} {sets.lowest_class}",
    )
