"""The messages of the package: one logger, and the handler with which a program shows them on its terminal.

Used as a library, the package installs no handler and leaves its messages to the caller's `logging` setup.
"""

import logging
import re
import sys
from collections.abc import Container, Sequence

logger = logging.getLogger("keras_cnn")

# Control characters except tab, line and paragraph separators, and characters that set the text direction.
_CONTROL = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def printable(text: str) -> str:
    """The text in one line, with control characters escaped: a file or class name cannot control the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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


def are_shown() -> bool:
    """Whether the package's messages go to standard output."""
    return any(isinstance(handler, TerminalHandler) for handler in logger.handlers)


def show_messages() -> None:
    """Shows the package's messages on standard output. Calling it again changes nothing."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not are_shown():
        logger.addHandler(TerminalHandler())
