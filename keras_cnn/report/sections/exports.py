"""The files that `finetune.py --export RUN` wrote, from export.json: size, latency and difference from Keras."""

from collections.abc import Sequence

from keras_cnn.charts import TextTable
from keras_cnn.charts.text import digits, percent
from keras_cnn.errors import InputError
from keras_cnn.report.runs import ReportedRun
from keras_cnn.run_folder import read_json

_HEAD = ("run", "format", "MB", "ms an image, alone", "ms an image, of 32", "difference of logits", "accuracy")


def exports(runs: Sequence[ReportedRun]) -> tuple[TextTable, list[str]]:
    """A row for each format, and a line for each unreadable file, which is left out."""
    rows, problems = [], []
    for run in runs:
        path = run.record.path / "export" / "export.json"
        if not path.is_file():
            continue
        try:
            rows += [_row(run, row) for row in read_json(path)["formats"]]
        except InputError as error:
            problems.append(f"{error}; left out")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
            expected = "expected what finetune.py --export writes; left out"
            problems.append(f"{path}: cannot be read ({reason}); {expected}")
    return TextTable(_HEAD, tuple(rows)), problems


def _row(run: ReportedRun, row: dict) -> tuple[str, ...]:
    times = {latency["batch"]: float(latency["median"]) for latency in row["latencies"]}
    return (
        run.label,
        str(row["format"]),
        digits(row["bytes"] / 1e6, 2),
        digits(times.get(1), 2),
        digits(times.get(32), 2),
        f"{float(row['max_relative_difference']):.1e}",
        _accuracy(row.get("accuracy")),
    )


def _accuracy(change: dict | None) -> str:
    if change is None:
        return "that of Keras"
    low, high = (100 * float(end) for end in change["difference_interval"])
    points = f"{100 * change['difference']:+.2f} points [{low:+.2f}, {high:+.2f}]"
    return f"{percent(change['after'])}, {points}, McNemar p {change['p']:.2g}"
