"""Tables that name image files: reads CSV and Parquet, recognises their columns, and finds the files of their rows."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from keras_cnn.checking import nearest
from keras_cnn.data.user_files import located, read_text
from keras_cnn.data.walking import entries, extension, is_folder, is_hidden, is_image
from keras_cnn.errors import InputError
from keras_cnn.extras import require_extra

# The names of columns, in the order in which they are preferred, without capitals, spaces and punctuation.
PATH_COLUMNS = (
    *("path", "imagepath", "filepath", "imgpath", "filename", "imagefile", "imagename", "file", "fname"),
    *("image", "img", "picture", "photo", "name", "imageid", "id"),
)
LABEL_COLUMNS = ("label", "labels", "class", "classname", "category", "target", "species", "breed", "y")
SPLIT_COLUMNS = ("split", "subset", "isvalid")
GROUP_COLUMNS = ("group", "groupid", "patient", "patientid", "subject", "subjectid")
_DELIMITERS = ",;\t|"
_SEEN = 50  # rows from whose cells a column is guessed
_NAMED = 10  # rows that a message names


@dataclass(frozen=True)
class ImageTable:
    """The cells of a table as text."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]  # for each row, its line in the file, or its number from 1 in a Parquet file

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column, without the spaces around them."""
        return tuple(cell.strip() for cell in self.raw(name))

    def raw(self, name: str) -> tuple[str, ...]:
        """The cells of a column as they are written."""
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)

    def find(self, names: Sequence[str]) -> str | None:
        """The column with the first of these names that the table has, however it is written."""
        plain = {_plain(column): column for column in reversed(self.columns)}
        return next((plain[name] for name in names if name in plain), None)

    def chosen(self, name: str, option: str) -> str:
        """The column that the user named. InputError, with the nearest, if there is none."""
        if name in self.columns:
            return name
        raise InputError(f"{self.file}: {option}: no column {name!r}{nearest(name, self.columns)}")

    def path_column(self, option: str = "") -> str:
        """The column of the image files. InputError, with the columns and the likely one, if none is called so.

        option: the option that names the column, if there is one.
        """
        if found := self.find(PATH_COLUMNS):
            return found
        likely = [c for c in self.columns if any(is_image(cell) for cell in self.column(c)[:_SEEN])]
        raise self._no_column("image paths", "path, image, filename or id", likely, option)

    def label_column(self, path: str, option: str) -> str:
        """The column of the classes; the other one of two. InputError as for `path_column`."""
        if found := next((c for name in LABEL_COLUMNS if (c := self.find((name,))) not in (None, path)), None):
            return found
        others = [column for column in self.columns if column != path]
        if len(others) == 1:
            return others[0]
        likely = [c for c in others if 2 <= len(set(self.column(c))) <= max(2, len(self.rows) // 2)]
        likely.sort(key=lambda c: (all(_is_number(cell) for cell in self.column(c)[:_SEEN]), len(set(self.column(c)))))
        raise self._no_column("labels", "label, class, category or target", likely, option)

    def _no_column(self, what: str, names: str, likely: Sequence[str], option: str) -> InputError:
        found = ", ".join(map(repr, self.columns))
        guess = f"; {likely[0]!r} looks like it: rename it" if likely else ""
        if option:
            guess = f", or {option} {likely[0] if likely else 'COLUMN'}"
        return InputError(f"{self.file}: no column of {what} among {found}; expected one called {names}{guess}")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", cell.lower()))


def read_csv(path: Path) -> ImageTable:
    """The table of a CSV file with a header, its cells separated by commas, semicolons, tabs or bars."""
    text = read_text(path, "table")
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    rows, lines = [], []
    try:
        columns = tuple(name.strip() for name in next(reader, ()))
        for cells in reader:
            if any(cells):
                rows.append(tuple(cells))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not a CSV table: {error}") from None
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(columns):
            raise InputError(f"{path}: line {line} has {len(row)} cells, expected {len(columns)}, as in the header")
    return _checked(ImageTable(path, columns, tuple(rows), tuple(lines)))


def read_parquet(path: Path) -> ImageTable:
    """The table of a Parquet file, with numbers and booleans as text. InputError if it is none, or without pyarrow."""
    require_extra("parquet", str(path))
    import pandas

    if not path.is_file():
        raise InputError(f"{located(path)}: cannot read the table: no such file")
    try:
        frame = pandas.read_parquet(path)
    except Exception as error:  # pyarrow raises nearly any exception on malformed data
        raise InputError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())[:200]})") from None
    frame = frame.reset_index() if frame.index.name else frame
    cells = [[_as_text(value) for value in frame.iloc[:, place].tolist()] for place in range(frame.shape[1])]
    rows = tuple(zip(*cells, strict=True))
    return _checked(ImageTable(path, tuple(map(str, frame.columns)), rows, tuple(range(1, len(rows) + 1))))


def _as_text(value: object) -> str:
    """A cell as text: a missing value is empty, and a whole number in a column of fractions has no point."""
    if value is None or value != value:  # NaN and NaT differ from themselves
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _checked(table: ImageTable) -> ImageTable:
    if not table.rows:
        raise InputError(f"{table.file}: no rows; expected a header and a row for each image")
    if twice := next((name for name in table.columns if table.columns.count(name) > 1), None):
        raise InputError(f"{table.file}: two columns are called {twice!r}; expected different names")
    return table


@dataclass(frozen=True)
class FoundFiles:
    """The files of a table's rows, None for a row without one, and the folder to which its paths are relative."""

    root: Path
    paths: tuple[Path | None, ...]

    def missing(self, values: Sequence[str]) -> list[str]:
        """The values, in order, that name no file."""
        return [value for value, path in zip(values, self.paths, strict=True) if path is None]

    def missing_in_words(self, values: Sequence[str]) -> str:
        """The number of missing files, the first ten, and the folder, in one line."""
        missing = self.missing(values)
        more = ", ..." if len(missing) > _NAMED else ""
        named = ", ".join(map(repr, missing[:_NAMED]))
        root = "the current folder" if self.root == Path() else self.root
        return f"{len(missing):,} of {len(values):,} images do not exist in {root}: {named}{more}"


def find_files(values: Sequence[str], folder: Path, option: str) -> FoundFiles:
    """The image files that `values` name: paths relative to `folder` or absolute, with or without their ending.

    If `folder` has none of them, its subfolders are tried, and the one that has most is the root. Raises InputError,
    naming the `option` that chooses the root, if two have the same number.
    """
    tried = [(root, _in_folder(values, root)) for root in (folder,)]
    if values and not any(tried[0][1]):
        inner = [Path(e.path) for e in _entries(folder) if is_folder(e) and not is_hidden(e)]
        tried += [(root, _in_folder(values, root)) for root in inner]
    counts = {root: sum(path is not None for path in paths) for root, paths in tried}
    most = max(counts.values())
    best = [root for root, count in counts.items() if count == most]
    if most and len(best) > 1:
        names = ", ".join(root.name for root in best)
        raise InputError(f"{folder}: {names} have the same number of the images; choose one: {option} {best[0]}")
    root = best[0] if most else folder
    return FoundFiles(root, tuple(dict(tried)[root]))


def _in_folder(values: Iterable[str], root: Path) -> list[Path | None]:
    listings: dict[Path, _Listing] = {}
    return [_find_file(value, root, listings) for value in values]


def _find_file(value: str, root: Path, listings: "dict[Path, _Listing]") -> Path | None:
    if not value or "\0" in value:
        return None
    path = root / value.replace("\\", "/")
    if path.parent not in listings:
        listings[path.parent] = _Listing(path.parent)
    listing = listings[path.parent]
    if path.name in listing.names:
        return path
    found = listing.by_stem.get(path.name, ())
    return path.with_name(found[0]) if len(found) == 1 else None


class _Listing:
    """The names of the files in a folder; none if it is no folder."""

    def __init__(self, folder: Path):
        self.names = frozenset(entry.name for entry in _entries(folder) if not is_folder(entry))

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """The image files by their names without the ending."""
        stems: dict[str, list[str]] = {}
        for name in filter(is_image, self.names):
            stems.setdefault(name[: -len(extension(name))], []).append(name)
        return stems


def _entries(folder: Path) -> list:
    return entries(folder) if folder.is_dir() else []
