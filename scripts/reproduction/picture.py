"""The picture of the document: every printed accuracy that runs have measured, beside ours with its interval."""

from collections.abc import Sequence
from pathlib import Path

from keras_cnn.charts import IntervalRow, IntervalRows
from keras_cnn.charts.png import figure
from keras_cnn.figures import style
from reproduction.verdicts import Row

_SHORTER = (
    (" accuracy", ""),
    ("learning rate", "rate"),
    (", batch ", " × "),
    ("l1_oc", "width"),
    ("filter_multiplier ", "×"),
    ("kernel_size", "kernel"),
)


def accuracies(rows: Sequence[Row]) -> list[IntervalRow]:
    """A row for each printed accuracy with a measured one, in percent."""
    found = []
    for row in rows:
        measured, printed = row.measured, row.printed
        if measured is None or measured.how != "run" or "accuracy" not in printed.what:
            continue
        if printed.unit or measured.value > 1:  # a difference in points, or an epoch
            continue
        found.append(
            IntervalRow(
                _short(printed.what.rpartition(": ")[2]),
                100 * measured.value,
                100 * measured.low,
                100 * measured.high,
                100 * printed.value,
                group=f"{printed.report}, {printed.what.partition(': ')[0] if ': ' in printed.what else printed.place}",
            )
        )
    return found


def write(rows: Sequence[Row], path: Path) -> bool:
    """Draws the accuracies; False if no run has measured one."""
    found = accuracies(rows)
    if not found:
        return False
    drawing = IntervalRows(tuple(found), "accuracy, %", value_name="here, 95 %", other_name="published")
    path.parent.mkdir(parents=True, exist_ok=True)
    style.save(figure([drawing], "Published accuracies and ours"), path)
    return True


def _short(what: str) -> str:
    for long, short in _SHORTER:
        what = what.replace(long, short)
    return what
