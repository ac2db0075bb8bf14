"""Two runs on the same images: what changed, for which classes, and how sure that is."""

from dataclasses import dataclass

from keras_cnn.charts.text import count, percent
from keras_cnn.report import comparison_charts
from keras_cnn.report.comparisons import Change, Comparison
from keras_cnn.report.sections.classes import MATRIX_IN_FULL, MISTAKES_LISTED
from keras_cnn.report.sections.shapes import Chart, Table, plotted


@dataclass(frozen=True)
class Compared:
    """One comparison as the page shows it."""

    found: Comparison
    sentence: str
    table: Table
    charts: tuple[Chart, ...]
    note: str


def compared(found: Comparison, place: int) -> Compared:
    """`place` tells the charts of several comparisons on one page apart."""
    rows = (("all images", found.overall), *found.classes.items())
    head = ("class", "before", "after", "difference", "95 % interval", "only before", "only after", "McNemar p")
    note = (
        "Differences in points, after minus before, with paired bootstrap intervals over the images. Only before:"
        f" images right with {found.other} alone. p: exact McNemar, of a class adjusted by Holm for {found.tested}"
        " classes. None of it holds the spread over seeds."
    )
    return Compared(
        found,
        _sentence(found),
        Table(head, tuple(_row(name, change) for name, change in rows)),
        (_differences(found, place), _confusion(found, place)),
        note,
    )


def _sentence(found: Comparison) -> str:
    change = found.overall
    low, high = change.interval
    size = f"{points(change.difference)} points [{points(low)}, {points(high)}], McNemar p {p_value(change.p)}"
    sure = "" if low > 0 or high < 0 else "; the interval includes 0, so that the difference may be chance"
    return (
        f"{percent(change.after)} of the same {count(change.images)} {found.images} images right, {found.other}"
        f" {percent(change.before)}: {size}{sure}."
        f" Newly right {count(change.only_after)}, newly wrong {count(change.only_before)}."
    )


def points(value: float | None) -> str:
    """0.0213 -> +2.13; nothing known is a dash."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """< 0.0001 for what is smaller, else two digits that count; nothing known is a dash."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _row(name: str, change: Change) -> tuple[str, ...]:
    interval = f"[{points(change.interval[0])}, {points(change.interval[1])}]" if change.interval else "–"
    numbers = (percent(change.before), percent(change.after), points(change.difference), interval)
    return (name, *numbers, count(change.only_before), count(change.only_after), p_value(change.p))


def _differences(found: Comparison, place: int) -> Chart:
    rows = tuple(_row(name, change)[:5] for name, change in found.classes.items())
    figure = plotted(comparison_charts.differences(found.classes))
    head = ("class", "before", "after", "difference", "95 % interval")
    note = "Filled: the interval leaves out 0."
    return Chart(f"change-{place}", "Change of each class", figure, Table(head, rows), note, "tall")


def _confusion(found: Comparison, place: int) -> Chart:
    names, matrix = list(found.classes), found.confusion
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *(f"{n:+d}" for n in row)) for name, row in zip(names, matrix.tolist(), strict=True))
        table = Table(("true \\ predicted", *names), rows)
    else:
        cells = [(i, j) for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i, j]]
        listed = sorted(cells, key=lambda cell: -abs(int(matrix[cell])))[:MISTAKES_LISTED]
        rows = tuple((names[i], names[j], f"{matrix[i, j]:+d}") for i, j in listed)
        table = Table(("true", "predicted", "images"), rows)
    figure = plotted(comparison_charts.confusion(matrix, names))
    note = "Images, after minus before. Blue is better: more on the diagonal, fewer beside it; orange is worse."
    shape = "square" if len(names) <= MATRIX_IN_FULL else "large square"
    return Chart(f"confusion-change-{place}", "Change of the confusion matrix", figure, table, note, shape)
