"""Several labels of an image in a table: a list of them in one column, or a column of 0 and 1 for each class."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_cnn.checking import nearest
from keras_cnn.config.schema import TableColumns
from keras_cnn.data.label_sets import class_counts
from keras_cnn.data.splits import LabelledSource
from keras_cnn.data.tables import ImageTable
from keras_cnn.errors import InputError
from keras_cnn.messages import counted, listed

OPTION = "--data.table."
ALL = "all"  # as `classes`: every other column
_LISTED = 10
_CELLS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def has_lists(columns: TableColumns) -> bool:
    """Whether a table is read with several labels an image."""
    return columns.separator is not None or columns.classes is not None


@dataclass(frozen=True)
class LabelLists:
    """The sets of labels in the rows of a table."""

    classes: tuple[str, ...]
    texts: list[str]  # of each row: its labels in the order of the classes, as a JSON list
    notes: list[str]


def read_lists(table: ImageTable, columns: TableColumns, others: Sequence[str | None]) -> LabelLists:
    """The labels of each row; `others` are the columns of the path, the split and the group.

    A row without any label is an image to which no class applies. Raises InputError, naming line and column, for a
    label that is not among the given classes, for several spellings of a label, and for a cell of a class that is
    neither 0 nor 1.
    """
    if columns.separator is not None:
        path = next(name for name in others if name is not None)
        column = table.chosen(columns.label, f"{OPTION}label") if columns.label else None
        return _of_cells(table, column or table.label_column(path, f"{OPTION}label"), columns)
    if columns.label is not None:
        raise InputError(
            f"{table.file}: {OPTION}label {columns.label} and {OPTION}classes: the classes are columns themselves;"
            f" expected one of the two, or {OPTION}separator for a list of labels in {columns.label!r}"
        )
    return _of_columns(table, columns, others)


def _of_cells(table: ImageTable, column: str, columns: TableColumns) -> LabelLists:
    separator = str(columns.separator)
    cells = [[name for part in cell.split(separator) if (name := part.strip())] for cell in table.raw(column)]
    counts = Counter(name for cell in cells for name in cell)
    if not counts:
        raise InputError(f"{table.file}: column {column!r}: no labels in any row; expected those of the images")
    if columns.classes in (None, ALL):
        check_spellings(table, column, counts)
        classes = _in_order(counts)
    else:
        classes = _different(table, columns.classes)
        for line, cell in zip(table.lines, cells, strict=True):
            if unknown := next((name for name in cell if name not in classes), None):
                raise InputError(
                    f"{table.file}: line {line}: column {column!r}: the label {unknown!r} is none of"
                    f" {OPTION}classes{nearest(unknown, classes)}"
                )
    notes = [f"labels are in the column {column!r}, separated by {separator!r}"]
    if max(map(len, cells)) < 2:
        notes.append(f"no image has two labels: {separator!r} may not be what separates them")
    return _lists(classes, [set(cell) for cell in cells], notes)


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The classes in order: by number if all are whole numbers, else by name."""
    names = list(names)
    return tuple(sorted(names, key=lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else sorted(names))


def _of_columns(table: ImageTable, columns: TableColumns, others: Sequence[str | None]) -> LabelLists:
    if columns.classes == ALL:
        classes = tuple(name for name in table.columns if name not in others)
    else:
        classes = _different(table, columns.classes)
        for name in classes:
            table.chosen(name, f"{OPTION}classes")
        if taken := [name for name in classes if name in others]:
            raise InputError(
                f"{table.file}: {OPTION}classes: {taken[0]!r} is the column of the paths, the splits or the groups;"
                " expected columns of 0 and 1"
            )
    if len(classes) < 2:
        raise InputError(
            f"{table.file}: {OPTION}classes: {listed(classes) or 'no column'}; expected at least two columns of 0 and 1"
        )
    values = np.zeros((len(table.rows), len(classes)), bool)
    for place, name in enumerate(classes):
        for row, cell in enumerate(table.column(name)):
            value = _CELLS.get(cell.lower())
            if value is None:
                found = f"has {cell!r}" if cell else "is empty"
                raise InputError(
                    f"{table.file}: line {table.lines[row]}: column {name!r} {found}; expected 0 or 1, as in every"
                    f" column of {OPTION}classes"
                )
            values[row, place] = value
    sets = [{classes[place] for place in np.flatnonzero(row)} for row in values]
    ignored = [name for name in table.columns if name not in (*classes, *others)]
    notes = [f"labels are in {len(classes)} columns of 0 and 1, from {classes[0]!r} to {classes[-1]!r}"]
    return _lists(classes, sets, notes + ([f"columns not read: {listed(ignored)}"] if ignored else []))


def _different(table: ImageTable, given) -> tuple[str, ...]:
    classes = tuple(given)
    repeated = [name for name, times in Counter(classes).items() if times > 1]
    if repeated or len(classes) < 2:
        found = f"{repeated[0]!r} twice" if repeated else f"found {listed(classes) or 'none'}"
        raise InputError(f"{table.file}: {OPTION}classes: {found}; expected at least two different names")
    return classes


def _lists(classes: tuple[str, ...], sets: list[set[str]], notes: list[str]) -> LabelLists:
    place = {name: number for number, name in enumerate(classes)}
    texts = [json.dumps(sorted(labels, key=place.__getitem__), ensure_ascii=False) for labels in sets]
    if without := sum(not labels for labels in sets):
        notes = [*notes, f"{counted(without, 'image has', 'images have')} no label: none of the classes applies"]
    return LabelLists(classes, texts, notes)


def check_spellings(table: ImageTable, column: str, counts: Counter) -> None:
    """Raises InputError if two labels differ in capitals or inner spaces alone."""
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(" ".join(label.casefold().split()), []).append(label)
    if several := [names for names in spellings.values() if len(names) > 1]:
        named = "; ".join(" and ".join(f"{name!r} ({counts[name]:,})" for name in names) for names in several[:_LISTED])
        raise InputError(
            f"{table.file}: column {column!r}: several spellings of a class: {named}; expected one of each"
        )


def with_sets(source: LabelledSource, classes: tuple[str, ...], where: str, *, uncut: bool) -> LabelledSource:
    """The source, whose classes are JSON lists of labels, with a set of `classes` for each image instead.

    Raises InputError, unless `uncut`, for a class that no image of train has.
    """
    place = {name: number for number, name in enumerate(classes)}
    rows = np.zeros((len(source.classes), len(classes)), np.uint8)
    for row, text in zip(rows, source.classes, strict=True):
        row[[place[name] for name in json.loads(text)]] = 1
    parts = {
        name: replace(part, split=replace(part.split, labels=rows[part.split.labels]))
        for name, part in source.parts.items()
    }
    counts = class_counts(parts["train"].split.labels, len(classes))
    if not uncut and (absent := [name for name, count in zip(classes, counts, strict=True) if not count]):
        raise InputError(f"{where}: no image of train has the label {absent[0]!r}; expected one of each class")
    return replace(source, classes=classes, parts=parts)
