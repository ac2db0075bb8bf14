"""The messages of the package: one logger, and the handler with which a program shows them on its terminal.

As a library the package leaves it to the caller what happens to its messages, as the `logging` module has it.
"""

import logging
import sys

logger = logging.getLogger("keras_cnn")


class TerminalHandler(logging.StreamHandler):
    """Writes each message as it is to standard output, also where that is replaced later on."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(message)s"))

    @property
    def stream(self):
        return sys.stdout


def show_messages() -> None:
    """Shows the package's messages on standard output. Calling it again changes nothing."""
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not any(isinstance(handler, TerminalHandler) for handler in logger.handlers):
        logger.addHandler(TerminalHandler())
