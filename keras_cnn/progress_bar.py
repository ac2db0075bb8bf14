"""The progress bar of every program: tqdm's, only on a terminal."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

SHOWN_EVERY = 0.1  # seconds


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
