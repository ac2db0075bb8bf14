"""CSV tables; in the file, a cell that a spreadsheet would run as a formula has an apostrophe in front."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

# Start of a cell that spreadsheets run as a formula, after any apostrophes, so that reading back is exact.
_FORMULA = re.compile("'*[=+@\\t\\r-]")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)


def csv_cell(value: Any) -> Any:
    """The value as a cell: text that a spreadsheet would run gets an apostrophe in front. Numbers stay as they are."""
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def from_csv_cell(cell: str) -> str:
    """The text from which `csv_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


class CsvWriter:
    """Writes rows of cells as `csv_cell` makes them, quoted as in RFC 4180, each ending with a newline character."""

    def __init__(self, file: TextIO):
        self._file = file
        self._line = io.StringIO(newline="")
        self._rows = csv.writer(self._line, lineterminator="\r\n")  # with "\n", Python 3.12 leaves "\r" unquoted

    def writerow(self, row: Iterable[Any]) -> None:
        self._rows.writerow(map(csv_cell, row))
        self._file.write(self._line.getvalue().removesuffix("\r\n") + "\n")
        self._line.seek(0)
        self._line.truncate()


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as text: a line of column names, then a line per row."""
    text = io.StringIO(newline="")
    writer = CsvWriter(text)
    for row in (columns, *rows):
        writer.writerow(row)
    return text.getvalue()


def csv_rows(lines: Iterable[str], strict: bool = True) -> Iterator[list[str]]:
    """The rows of a table that CsvWriter wrote, as the texts that it was given.

    Raises ValueError for what no CSV file has; without `strict`, only for a cell of more than 128 KiB.
    """
    try:
        for row in csv.reader(lines, strict=strict):
            yield [from_csv_cell(cell) for cell in row]
    except csv.Error as error:
        raise ValueError(str(error)) from None
