"""Comparisons of two runs on the same images: what changed, for which classes, and how certain it is."""

from dataclasses import dataclass

from keras_cnn.charts import Chart, TextTable, evaluation
from keras_cnn.charts.text import count, percent
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.report.comparisons import StoredChange, StoredComparison
from keras_cnn.report.sections.classes import MATRIX_IN_FULL, MISTAKES_LISTED, MISTAKES_SEARCHED, ROWS_SEARCHED


@dataclass(frozen=True)
class ComparisonSection:
    """A comparison as the page shows it."""

    stored: StoredComparison
    sentence: str
    table: TextTable
    charts: tuple[Chart, ...]
    note: str


def comparison_section(stored: StoredComparison, place: int) -> ComparisonSection:
    """The section of a comparison; `place` makes the names of its charts unique on the page."""
    is_long = len(stored.classes) > MOST_CLASSES
    classes = _largest_first(stored)[:ROWS_SEARCHED] if is_long else list(stored.classes.items())
    rows = (("all images", stored.overall), *classes)
    head = ("class", "before", "after", "difference", "95 % interval", "only before", "only after", "McNemar p")
    note = (
        "Differences in points, after minus before, with paired bootstrap intervals over the images. Only before:"
        f" images that only {stored.other} classifies correctly. p: exact McNemar test; that of a class is adjusted by"
        f" Holm for {stored.tested} classes. The spread over seeds is not included."
    )
    return ComparisonSection(
        stored,
        _sentence(stored),
        TextTable(head, tuple(_row(name, change) for name, change in rows), searched=is_long),
        (_differences(stored, place), _confusion(stored, place)),
        note,
    )


def _sentence(stored: StoredComparison) -> str:
    change = stored.overall
    if change.difference_interval is None:
        return f"{stored.other} and this run have no {stored.images} images in common."
    low, high = change.difference_interval
    size = f"{points(change.difference)} points [{points(low)}, {points(high)}], McNemar p {p_value(change.p)}"
    sure = "" if low > 0 or high < 0 else "; the interval includes 0, so the difference may be chance"
    return (
        f"{percent(change.after)} of the same {count(change.images)} {stored.images} images are classified correctly,"
        f" with {stored.other} {percent(change.before)}: {size}{sure}."
        f" Newly right: {count(change.only_after)}; newly wrong: {count(change.only_before)}."
    )


def points(value: float | None) -> str:
    """A share in percentage points, such as 0.0213 -> +2.13; a dash for None."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """A p-value with two significant digits, or "< 0.0001"; a dash for None."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _row(name: str, change: StoredChange) -> tuple[str, ...]:
    ends = change.difference_interval
    interval = f"[{points(ends[0])}, {points(ends[1])}]" if ends else "–"
    numbers = (percent(change.before), percent(change.after), points(change.difference), interval)
    return (name, *numbers, count(change.only_before), count(change.only_after), p_value(change.p))


def _differences(stored: StoredComparison, place: int) -> Chart:
    shown, title = stored.classes, "Change of each class"
    if len(shown) > MOST_CLASSES:
        shown = dict(_largest_first(stored)[:MOST_CLASSES])
        title = f"The {MOST_CLASSES} of {len(stored.classes):,} classes that changed most"
    rows = tuple(_row(name, change)[:5] for name, change in shown.items())
    head = ("class", "before", "after", "difference", "95 % interval")
    note = "Filled marks: the interval excludes 0."
    return Chart(f"change-{place}", title, evaluation.class_changes(shown), TextTable(head, rows), note)


def _largest_first(stored: StoredComparison) -> list[tuple[str, StoredChange]]:
    """The classes, those that changed most first; those without images last."""
    return sorted(stored.classes.items(), key=lambda item: (item[1].difference is None, -abs(item[1].difference or 0)))


def _confusion(stored: StoredComparison, place: int) -> Chart:
    names, matrix = list(stored.classes), stored.confusion
    if len(names) <= MATRIX_IN_FULL:
        rows = tuple((name, *(f"{n:+d}" for n in row)) for name, row in zip(names, matrix.tolist(), strict=True))
        table = TextTable(("true \\ predicted", *names), rows)
    else:
        is_long = len(names) > MOST_CLASSES
        listed = evaluation.frequent(matrix, MISTAKES_SEARCHED if is_long else MISTAKES_LISTED)
        rows = tuple((names[i], names[j], f"{n:+d}") for i, j, n in listed)
        table = TextTable(("true", "predicted", "images"), rows, searched=is_long)
    drawing, note = evaluation.change_drawing(matrix, names), evaluation.mistakes_note(matrix) or evaluation.CHANGE_NOTE
    return Chart(f"confusion-change-{place}", "Change of the confusion matrix", drawing, table, note)
