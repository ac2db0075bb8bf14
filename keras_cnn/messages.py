"""The messages of the package: one logger, and the handler with which a program shows them on its terminal.

Used as a library, the package installs no handler and leaves its messages to the caller's `logging` setup.
"""

import logging
import re
import shutil
import sys
import textwrap
from collections.abc import Container, Sequence

logger = logging.getLogger("keras_cnn")
WIDTH = 80  # characters of a line where there is no terminal
MOST_CLASSES = 40  # up to which every class has its own row, column, cell or line; of more, the worst have
_NAMED = 5  # of a long list of names in a sentence
_LEAST_WIDTH = 48  # characters: a date in an indented line fits

# Control characters except tab, line and paragraph separators, and characters that set the text direction.
_CONTROL = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


def printable(text: str) -> str:
    """The text in one line, with control characters escaped: a file or class name cannot control the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun: "1 image", "2,000 images". `plural` is the noun's if it does not end in "s"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def capitalised(text: str) -> str:
    """The text as the beginning of a sentence; a first word with a capital inside, such as mAP, stays as it is."""
    first = text.partition(" ")[0]
    return text if first[1:] != first[1:].lower() else text[:1].upper() + text[1:]


def listed(names: Sequence[str], most: int = MOST_CLASSES) -> str:
    """The names with commas; of more than `most`, the first five and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED:,} more"


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """The rows as lines whose columns are equally wide; columns with a number in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (
        [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    )
    return ["  ".join(cells).rstrip() for cells in padded]


def wrapped(text: str, first: str, indent: int) -> list[str]:
    """The text in lines that fit the terminal; the first begins with `first`, the others with `indent` spaces."""
    width = max(_LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=indent * " ",
        break_long_words=False,  # so that a path or a date can be copied
        break_on_hyphens=False,
    )


def log_sentence(label: str, text: str, indent: int = 10) -> None:
    """Logs a sentence after its label, in lines that fit the terminal."""
    for line in wrapped(text, f"{label:<{indent}}", indent):
        logger.info(line)


def log_command(label: str, command: str, purpose: str, indent: int = 10) -> None:
    """Logs a command to copy, which is never broken, and what it is for, below it if both do not fit the terminal."""
    first = f"{label:<{indent}}{command}"
    if len(f"{first}   ({purpose})") <= max(_LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns):
        logger.info(f"{first}   ({purpose})")
        return
    logger.info(first)
    log_sentence("", f"({purpose})", indent + 2)


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
