"""The messages of the package: one logger, and the handler with which a program shows them on its terminal.

As a library the package leaves it to the caller what happens to its messages, as the `logging` module has it.
"""

import logging
import re
import sys

logger = logging.getLogger("keras_cnn")

# Control characters, line and paragraph separators, and what turns the direction of writing; a tab does no harm.
_CONTROL = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def printable(text: str) -> str:
    """The text in one line, control characters as escapes: no name of a file or class commands the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


# Spreadsheets run a cell that begins so. Quotes before it are counted, so that reading back is exact.
_FORMULA = re.compile("'*[=+@\\t\\r-]")


def csv_cell(text: str) -> str:
    """The text as a cell of a CSV file: what a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """The text that `csv_cell` has made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


class TerminalHandler(logging.StreamHandler):
    """Writes each message, made printable, in one line to standard output, also where that is replaced later on."""

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
