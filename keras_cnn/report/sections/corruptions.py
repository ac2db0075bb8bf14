"""The errors under corruption that `evaluate.py RUN --corruptions` stored: curves, and their numbers as a table."""

from collections.abc import Sequence

from keras_cnn.charts import Chart, TextTable
from keras_cnn.charts.evaluation import corruption_curves
from keras_cnn.charts.text import count, digits, percent, percent_with_interval
from keras_cnn.errors import InputError
from keras_cnn.report.runs import ReportedRun
from keras_cnn.run_folder import read_json


def corruptions(runs: Sequence[ReportedRun]) -> tuple[list[Chart], list[str]]:
    """A chart for each measurement, and a line for each unreadable file, which is left out."""
    charts, problems = [], []
    for run in runs:
        for path in sorted(run.record.path.glob("evaluations/corruptions-*/corruptions.json")):
            try:
                charts.append(_chart(run, read_json(path), len(charts)))
            except InputError as error:
                problems.append(f"{error}; left out")
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
                expected = "expected what evaluate.py --corruptions writes; left out"
                problems.append(f"{path}: cannot be read ({reason}); {expected}")
    return charts, problems


def _chart(run: ReportedRun, stored: dict, number: int) -> Chart:
    is_relative = "reference" in stored
    rows = tuple(
        (
            name.replace("_", " "),
            *(percent(error, 1) for error in row["errors"]),
            percent_with_interval(row["error"], row["error_interval"], 1),
            *((digits(row["relative_to_reference"], 3), digits(row["degradation_relative"], 3)) if is_relative else ()),
        )
        for name, row in sorted(stored["corruptions"].items(), key=lambda item: -item[1]["error"])
    )
    head = ("corruption", *(f"strength {strength}" for strength in range(1, 6)), "mean")
    table = TextTable((*head, "CE", "relative CE") if is_relative else head, rows)
    clean = percent_with_interval(stored["clean_error"], stored["clean_interval"], 1)
    mean = percent_with_interval(stored["mean_error"], stored["mean_error_interval"], 1)
    note = f"{count(stored['images'])} images. Error {clean} without corruption, {mean} on average under corruption."
    if is_relative:
        means = f"mCE {digits(stored['mce'], 3)}, relative mCE {digits(stored['relative_mce'], 3)}"
        note += f" Relative to {stored['reference']}: {means}."
    title = f"{run.label}: error on {stored['images_of']} images under corruption"
    return Chart(f"corruptions-{number}", title, corruption_curves(stored), table, note, run)
