"""Reads the labels of images from a table with a row for each image. Changes nothing."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_cnn.config.schema import TableColumns
from keras_cnn.data.columns import Texts
from keras_cnn.data.folders import AuditOptions, ListedImages, labelled_source
from keras_cnn.data.groups import column_of, numbered
from keras_cnn.data.label_lists import check_spellings, has_lists, read_lists, with_sets
from keras_cnn.data.manifest import image_id
from keras_cnn.data.splits import NAMES, PART_OF, LabelledSource
from keras_cnn.data.tables import GROUP_COLUMNS, SPLIT_COLUMNS, FoundFiles, ImageTable, find_files
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError
from keras_cnn.messages import counted

NO_COLUMN = "none"  # as the name of a column: the table has none, whatever its columns are called
_OPTION = "--data.table."
_LISTED = 10
_BOOLEANS = {"true": "validation", "1": "validation", "false": "train", "0": "train"}  # of fastai's column is_valid


@dataclass(frozen=True)
class _LabelledRow:
    line: int
    value: str  # the path as the table has it
    label: str
    part: str
    group: str


def read_labelled_table(
    kind: str,
    file: Path,
    read: Callable[[Path], ImageTable],
    columns: TableColumns,
    options: AuditOptions,
    *,
    group: int | str | None = None,
    uncut: bool = False,
) -> LabelledSource:
    """The labelled images of a table that `read` reads. Raises InputError, in one line, for whatever is wrong in it.

    The column of the paths and that of the labels are recognised by their names or given in `columns`; so are those of
    the splits and of the groups, which a table need not have; `group`, of `data.group`, names a column of groups, or
    says that they are in the paths. For several labels an image see `label_lists`. Images of one group are kept in one
    split. With `corrupt` "skip", images that do not exist or cannot be read are left out.
    With `uncut`, a class may be missing from train.
    """
    where, table = f"{kind}:{file}", read(file)
    path_column = _column(table, "path", columns.path) or table.path_column(f"{_OPTION}path")
    split_column = _column(table, "split", columns.split, SPLIT_COLUMNS)
    group_column = _group_column(table, columns.group, group, where)
    lists = None
    if has_lists(columns):
        lists = read_lists(table, columns, (path_column, split_column, group_column))
        labels, notes = lists.texts, [f"images are in the column {path_column!r}", *lists.notes]
    else:
        label_column = _column(table, "label", columns.label) or table.label_column(path_column, f"{_OPTION}label")
        labels, notes = _labels(table, label_column)
        notes = [f"images are in the column {path_column!r}, labels in {label_column!r}", *notes]
    rows, more = _rows(table, path_column, labels, split_column, group_column)
    notes += more
    found, more = _found(where, [row.value for row in rows], file.parent, columns.root, skip=options.corrupt == "skip")
    notes += more
    gone = {row.label for row in rows} - {r.label for r, p in zip(rows, found.paths, strict=True) if p}
    if gone and lists is None:
        notes.append(f"no image is left of {', '.join(map(repr, sorted(gone)))}")
    images, more = _listed(table.file, rows, found.paths, found.root)
    order = _numeric_order if all(row.label.isdecimal() for row in rows) else str
    source = labelled_source(where, found.root, images, options, empty_classes=uncut or lists is not None, order=order)
    if lists is not None:
        source = with_sets(source, lists.classes, where, uncut=uncut)
    return replace(source, findings=source.findings | {"notes": [*notes, *more, *source.findings["notes"]]})


def _found(
    where: str, values: Sequence[str], folder: Path, given: str | None, *, skip: bool
) -> tuple[FoundFiles, list[str]]:
    """The files of the rows, and notes about missing ones and the folder. InputError if some are missing."""
    root = user_path(given) if given else folder
    if not root.is_dir():
        raise InputError(f"{_OPTION}root {given}: no such folder; expected the folder of the images")
    found, notes = find_files(values, root, f"{_OPTION}root"), []
    if missing := found.missing(values):
        words = found.missing_in_words(values)
        if not skip or len(missing) == len(values):
            ways = f"{_OPTION}root FOLDER names another folder, --data.corrupt skip leaves them out"
            raise InputError(f"{where}: {words}; {ways}")
        notes.append(f"{words}; left out")
    if found.root != root:
        notes.append(f"paths are relative to {found.root}")
    return found, notes


def _numeric_order(title: str) -> tuple[int, str]:
    return int(title), title


def _column(table: ImageTable, name: str, given: str | None, names: Sequence[str] = ()) -> str | None:
    """The column that the user gave, or the one that is called by one of `names`."""
    if given == NO_COLUMN and given not in table.columns:
        return None
    return table.chosen(given, f"{_OPTION}{name}") if given else table.find(names)


def _group_column(table: ImageTable, own: str | None, group: int | str | None, where: str) -> str | None:
    """The column of `data.group`; without it that of `data.table.group`, or one that is called by a name of groups."""
    if group is None:
        return _column(table, "group", own, GROUP_COLUMNS)
    if own is not None:
        raise InputError(f"{where}: data.group {group} and data.table.group {own}: expected one of the two")
    column = column_of(group)
    return column and table.chosen(column, "data.group")


def _rows(
    table: ImageTable, path_column: str, labels: list[str], split_column: str | None, group_column: str | None
) -> tuple[list[_LabelledRow], list[str]]:
    """The rows with their labels, and notes about the columns of the splits and the groups."""
    notes: list[str] = []
    paths = table.column(path_column)
    if empty := [line for line, path in zip(table.lines, paths, strict=True) if not path]:
        raise InputError(f"{table.file}: column {path_column!r}: {_lines(empty)} without an image; expected its path")
    parts = _parts(table, split_column) if split_column else ("train",) * len(paths)
    groups = table.column(group_column) if group_column else ("",) * len(paths)
    if split_column:
        notes.append(f"splits are in the column {split_column!r}")
    if group_column:
        notes.append(f"the {len(set(groups) - {''}):,} groups of the column {group_column!r} are kept together")
    return [_LabelledRow(*row) for row in zip(table.lines, paths, labels, parts, groups, strict=True)], notes


def _labels(table: ImageTable, column: str) -> tuple[list[str], list[str]]:
    """The labels, and a note about spaces around them. InputError for empty ones and for several spellings of one."""
    labels = table.column(column)
    if empty := [line for line, label in zip(table.lines, labels, strict=True) if not label]:
        raise InputError(
            f"{table.file}: column {column!r}: {_lines(empty)} without a label; expected the image's class"
        )
    check_spellings(table, column, Counter(labels))
    spaced = {raw for raw in table.raw(column) if raw != raw.strip()}
    named = ", ".join(map(repr, sorted(spaced)[:_LISTED]))
    return list(labels), [f"labels with spaces around them are read without: {named}"] if spaced else []


def _lines(lines: Sequence[int]) -> str:
    """The number of rows and their lines in the file, in words."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    more = ", ..." if len(lines) > _LISTED else ""
    return f"{len(lines):,} rows (lines {', '.join(map(str, lines[:_LISTED]))}{more})"


def _parts(table: ImageTable, column: str) -> list[str]:
    """The split of each row. InputError for a value that is none, and for a table without training images."""
    cells = [cell.lower() for cell in table.column(column)]
    known = _BOOLEANS if set(cells) <= set(_BOOLEANS) else PART_OF
    unknown = [i for i, cell in enumerate(cells) if cell not in known]
    if unknown:
        found = table.column(column)[unknown[0]]
        raise InputError(
            f"{table.file}: line {table.lines[unknown[0]]}: column {column!r} has {found!r};"
            f" expected train, validation or test, or {_OPTION}split {NO_COLUMN}"
        )
    parts = [known[cell] for cell in cells]
    if "train" not in parts:
        raise InputError(f"{table.file}: column {column!r} has no train, only {', '.join(sorted(set(parts)))}")
    return parts


def _listed(
    table: Path, rows: Sequence[_LabelledRow], paths: Sequence[Path | None], root: Path
) -> tuple[ListedImages, list[str]]:
    """The files of the rows, each once, and a note about repeated rows. InputError for one with two labels."""
    first: dict[str, _LabelledRow] = {}
    names: dict[str, str] = {}
    repeated, two = 0, []
    for row, path in zip(rows, paths, strict=True):
        if path is None:
            continue
        name = _name(path, root)
        earlier = first.setdefault(image_id(name), row)
        names.setdefault(image_id(name), name)
        repeated += earlier is not row
        if (earlier.label, earlier.part, earlier.group) != (row.label, row.part, row.group):
            two.append((earlier, row))
    if two:
        a, b = two[0]
        what = "labels" if a.label != b.label else "splits" if a.part != b.part else "groups"
        values = {"labels": (a.label, b.label), "splits": (a.part, b.part), "groups": (a.group, b.group)}[what]
        more = f", and {len(two) - 1:,} more such rows" if len(two) > 1 else ""
        raise InputError(
            f"{table}: lines {a.line} and {b.line}: {a.value} has two {what}, {values[0]!r} and {values[1]!r}{more};"
            " expected one"
        )
    notes = [f"{counted(repeated, 'row repeats', 'rows repeat')} an earlier one"] if repeated else []
    ordered = sorted(names)
    kept = [first[name] for name in ordered]
    titles = {title: number for number, title in enumerate(dict.fromkeys(row.label for row in kept))}
    groups, group_names = numbered([row.group for row in kept])
    images = ListedImages(
        Texts.of(names[name] for name in ordered),
        np.array([NAMES.index(row.part) for row in kept], np.uint8),
        np.array([titles[row.label] for row in kept], np.int32),
        tuple(titles),
        groups,
        group_names,
    )
    return images, notes


def _name(path: Path, root: Path) -> str:
    """The path below the root, or the absolute path of a file elsewhere."""
    absolute, base = os.path.abspath(path), os.path.abspath(root)
    inside = os.path.commonpath([absolute, base]) == base
    return Path(os.path.relpath(absolute, base)).as_posix() if inside else Path(absolute).as_posix()
