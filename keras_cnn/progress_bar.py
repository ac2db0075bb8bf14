"""The progress bars: tqdm's on a terminal, and one in the output of a notebook's cell."""

import html
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from keras_cnn.messages import are_shown

SHOWN_EVERY = 0.1  # seconds
_SENT_EVERY = 0.5  # seconds between two pictures of a bar that are sent to a browser


class ProgressBar(tqdm):
    """A bar on standard output, removed when it ends; nothing is shown if standard output is not a terminal.

    Args:
        description: what is running, such as "epoch 2/12".
        total: number of steps, None if unknown.
        done: steps that an earlier process has done.
    """

    monitor_interval = 0  # tqdm's thread would only repeat what `show` has written

    def __init__(self, description: str, total: int | None, done: int = 0):
        super().__init__(
            desc=description,
            total=total,
            initial=done,
            file=sys.stdout,
            disable=not sys.stdout.isatty(),
            leave=False,
            dynamic_ncols=True,
            position=0,
            delay=SHOWN_EVERY,  # nothing before the first call of `show`
            bar_format="{desc} [{bar:20}] {n_fmt}/{total_fmt}  {text}  {remaining} left",
        )
        self._text, self._begun = "", time.monotonic()
        self._shown = self._begun - SHOWN_EVERY

    @property
    def format_dict(self) -> dict:
        """The values that `bar_format` may use."""
        return {**super().format_dict, "text": self._text}

    @property
    def seconds(self) -> float:
        """The time since the bar was made, never 0."""
        return max(time.monotonic() - self._begun, 1e-9)

    def show(self, done: int, text: Callable[[], str]) -> None:
        """Draws the bar followed by `text()`, at most ten times a second; `text` may be slow."""
        if self.disable or time.monotonic() - self._shown < SHOWN_EVERY:
            return
        self._shown, self.last_print_t = time.monotonic(), time.time()
        self.n, self._text = done, text()
        self.refresh()


class NotebookBar:
    """A bar in the output of a notebook's cell. It is redrawn in its place, and stays there when it ends.

    Args:
        display: the module IPython.display.
        total: number of steps, None if unknown.
    """

    def __init__(self, display: Any, total: int | None):
        self._total, self._sent = total, 0.0
        self._handle = display.display(self._form(0, ""), raw=True, display_id=True)

    def show(self, done: int, text: Callable[[], str]) -> None:
        """Draws the bar followed by `text()`, at most twice a second."""
        if time.monotonic() - self._sent >= _SENT_EVERY:
            self.draw(done, text())

    def draw(self, done: int, text: str) -> None:
        """Draws the bar followed by a text."""
        self._sent = time.monotonic()
        self._handle.update(self._form(done, text), raw=True)

    def _form(self, done: int, text: str) -> dict[str, str]:
        place = "" if self._total is None else f' max="{self._total}" value="{done}"'
        shown = f'<progress{place} style="width:12em"></progress> <code>{html.escape(text)}</code>'
        return {"text/html": shown, "text/plain": text}


def notebook_bar(total: int | None) -> NotebookBar | None:
    """A bar in the notebook that this process is the kernel of; None outside one, and if no messages are shown."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None or not are_shown():
        return None
    return NotebookBar(importlib.import_module("IPython.display"), total)
