"""The table of ensembles and soups that `evaluate.py RUN RUN-2 --ensemble` and `--soup` stored in a run's folder."""

from collections.abc import Sequence
from typing import Any

from keras_cnn.charts import TextTable
from keras_cnn.charts.text import count, percent_with_interval
from keras_cnn.errors import InputError
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.sections.comparisons import p_value, points
from keras_cnn.run_folder import read_json

HEAD = (
    *("kind", "runs", "images of", "images", "accuracy", "best single run", "its accuracy"),
    *("difference in points", "95 % interval", "McNemar p"),
)


def ensembles(runs: Sequence[ReportedRun]) -> tuple[TextTable, list[str]]:
    """A row for each, and a line for each unreadable one, which is left out."""
    rows, problems = [], []
    for run in runs:
        for path in sorted(run.record.path.glob("ensembles/*/metrics.json")):
            try:
                rows.append(_row(read_json(path), read_json(path.with_name("comparison.json"))))
            except InputError as error:
                problems.append(f"{error}; left out")
            except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
                reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
                expected = "expected what evaluate.py --ensemble writes"
                problems.append(f"{path}: cannot be read ({reason}); {expected}; left out")
    return TextTable(HEAD, tuple(rows)), problems


def _row(metrics: dict[str, Any], change: dict[str, Any]) -> tuple[str, ...]:
    ensemble = metrics["ensemble"]
    members = ensemble["runs"]
    names = [str(member["name"]) for member in members if member["averaged"]]
    best = next(member for member in members if member["run"] == ensemble["best"])
    of = "" if len(names) == len(members) else f" (of {len(members)})"
    low, high = change["difference_interval"]
    return (
        str(ensemble["kind"]),
        ", ".join(names) + of,
        str(metrics["images_of"]),
        count(int(metrics["images"])),
        percent_with_interval(float(metrics["accuracy"]), _pair(metrics["accuracy_interval"])),
        str(best["name"]),
        percent_with_interval(float(best["accuracy"]), _pair(best["accuracy_interval"])),
        points(float(change["difference"])),
        f"[{points(float(low))}, {points(float(high))}]",
        p_value(float(change["mcnemar"]["p"])),
    )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)
