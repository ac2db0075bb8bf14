"""What a person sees while a network trains: a live bar on a terminal, one line an epoch everywhere."""

import shutil
import sys
import time
from typing import TextIO

from keras_cnn.training.state import TrainingState

SECONDS = ("epoch_seconds", "run_seconds")


class Progress:
    """Shows the steps of an epoch on a terminal (ten times a second at most) and a line after each epoch."""

    def __init__(self, epochs: int, steps: int, stream: TextIO | None = None):
        self._epochs, self._steps = epochs, steps
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._shown = 0.0
        self._width = 0

    def start_epoch(self, state: TrainingState) -> None:
        self._first, self._images, self._began = state.step, state.images, time.monotonic()

    def step(self, state: TrainingState) -> None:
        """After a step: the means of the epoch so far, the rate of this process and the time left in the epoch."""
        now = time.monotonic()
        if not self._live or now - self._shown < 0.1:
            return
        self._shown = now
        spent, done = max(now - self._began, 1e-9), state.step
        filled = 20 * done // self._steps
        text = (
            f"epoch {state.epoch + 1}/{self._epochs} [{'#' * filled}{'.' * (20 - filled)}] {done}/{self._steps}"
            f"  {_listed(state.means)}"
            f"  {(state.images - self._images) / spent:.0f} images/s"
            f"  {clock(spent / (done - self._first) * (self._steps - done))} left"
        )
        self._write(text[: shutil.get_terminal_size().columns - 1])  # "\r" goes back no further than one line

    def end_epoch(self, row: dict, images: int, best: bool) -> None:
        """Prints the epoch's row of the history; `images` were trained on in its seconds."""
        self._write(
            f"epoch {row['epoch']:>3}/{self._epochs}  {_listed(_measured(row))}{' *' if best else '  '}"
            f"  {images / max(row['epoch_seconds'], 1e-9):.0f} images/s  {clock(row['run_seconds'])}"
        )
        print(file=self._stream, flush=True)
        self._width = 0

    def _write(self, text: str) -> None:
        start = "\r" if self._live else ""
        self._stream.write(start + text.ljust(self._width if self._live else 0))
        self._stream.flush()
        self._width = len(text)


def _measured(row: dict) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in ("epoch", "learning_rate", *SECONDS)}


def _listed(numbers: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def clock(seconds: float) -> str:
    """3671 -> 1:01:11; 71 -> 1:11."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
