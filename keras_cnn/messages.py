"""The messages of the package: one logger, and the handler with which a program shows them on its terminal.

Used as a library, the package installs no handler and leaves its messages to the caller's `logging` setup.
"""

import csv
import io
import logging
import re
import sys
from collections.abc import Container, Iterable, Sequence

logger = logging.getLogger("keras_cnn")

# Control characters except tab, line and paragraph separators, and characters that set the text direction.
_CONTROL = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def printable(text: str) -> str:
    """The text in one line, with control characters escaped: a file or class name cannot control the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


# Start of a cell that spreadsheets run as a formula, after any apostrophes, so that reading back is exact.
_FORMULA = re.compile("'*[=+@\\t\\r-]")


def csv_cell(text: str) -> str:
    """The text as a CSV cell, with an apostrophe in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """The text from which `csv_cell` made a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV text: a line of column names, then a line per row."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((columns, *rows))
    return text.getvalue()


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """The rows as lines whose columns are equally wide; columns with a number in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (
        [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    )
    return ["  ".join(cells).rstrip() for cells in padded]


class TerminalHandler(logging.StreamHandler):
    """Writes each message as one printable line to the current `sys.stdout`, even if that is replaced later."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(message)s"))

    @property
    def stream(self):
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        raise  # a closed pipe or a full disk behind standard output ends the program as it does for print


def show_messages() -> None:
    """Shows the package's messages on standard output. Calling it again changes nothing."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
        logger.addHandler(TerminalHandler())
