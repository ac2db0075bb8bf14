"""The detections of unknown images that `evaluate.py RUN --outliers IMAGES` stored: a table and charts."""

from collections.abc import Sequence
from pathlib import Path

from keras_cnn.charts import Chart, TextTable
from keras_cnn.charts.evaluation import score_shares
from keras_cnn.charts.text import count, percent, percent_with_interval, with_interval
from keras_cnn.errors import InputError
from keras_cnn.evaluation.outliers import SCORES
from keras_cnn.report.runs import ReportedRun
from keras_cnn.run_folder import read_json

_HEAD = ("run", "images of", "unknown images", "images", "score", "ROC area", "unknown accepted at 95 %", "taken for")
_TAKEN_FOR = 3  # classes in the table


def outliers(runs: Sequence[ReportedRun]) -> tuple[TextTable, list[Chart], list[str]]:
    """The table, the charts, and a line for each unreadable file, which is left out."""
    rows, charts, problems = [], [], []
    for run in runs:
        for path in sorted(run.record.path.glob("evaluations/*/outliers_*/outliers.json")):
            try:
                stored = read_json(path)
                found = [(_row(run, path, stored, name), _chart(run, path, stored, name)) for name in SCORES]
            except InputError as error:
                problems.append(f"{error}; left out")
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
                expected = "expected what evaluate.py --outliers writes; left out"
                problems.append(f"{path}: cannot be read ({reason}); {expected}")
                continue
            rows += [row for row, _ in found]
            charts += [chart for _, chart in found]
    return TextTable(_HEAD, tuple(rows)), charts, problems


def _row(run: ReportedRun, path: Path, stored: dict, name: str) -> tuple[str, ...]:
    numbers, most = stored["scores"][name], list(stored["taken_for"].items())[:_TAKEN_FOR]
    return (
        run.label,
        path.parents[1].name,
        str(stored["unknown"]),
        count(int(stored["unknown_images"])),
        SCORES[name],
        with_interval(numbers["roc_area"], numbers["roc_area_interval"]),
        percent_with_interval(numbers["accepted"], numbers["accepted_interval"], 1),
        ", ".join(f"{label} {percent(float(share), 1)}" for label, share in most),
    )


def _chart(run: ReportedRun, path: Path, stored: dict, name: str) -> Chart:
    numbers = stored["scores"][name]
    edges = numbers["edges"]
    rows = tuple(
        (f"{low:.4g} to {high:.4g}", percent(known, 1), percent(unknown, 1))
        for low, high, known, unknown in zip(edges[:-1], edges[1:], numbers["known"], numbers["unknown"], strict=True)
    )
    table = TextTable((SCORES[name], "known images", "unknown images"), rows)
    title = f"{run.label}, {path.parents[1].name} and {stored['unknown']}: {SCORES[name]}"
    place = f"outliers-{run.number}-{path.parent.name[-6:]}-{name.replace('_', '-')}"
    return Chart(place, title, score_shares(SCORES[name], numbers), table, run=run)
