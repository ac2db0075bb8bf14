"""The progress of a training: a bar on a terminal and a line per epoch, or one bar in a notebook."""

from typing import Any

from tqdm import tqdm

from keras_cnn.messages import logger
from keras_cnn.progress_bar import ProgressBar, notebook_bar
from keras_cnn.training.state import TrainingState

SHORT: dict[str, str] = {  # so that a line has 80 characters
    "accuracy": "acc",
    "val_accuracy": "val_acc",
    "exact_match": "exact",
    "val_exact_match": "val_exact",
}
SECONDS = ("epoch_seconds", "run_seconds")


class Progress:
    """Shows the steps of an epoch on a terminal, and logs a line after each epoch.

    A notebook has one bar for the whole training instead, which ends with the line of the last epoch.
    """

    def __init__(self, epochs: int, steps: int):
        self._epochs, self._steps = epochs, steps
        self._notebook = notebook_bar(epochs * steps)
        self._line = ""  # of the last epoch

    def start_epoch(self, state: TrainingState) -> None:
        self._images = state.images
        self._bar = ProgressBar(f"epoch {state.epoch + 1}/{self._epochs}", self._steps, state.step)

    def step(self, state: TrainingState) -> None:
        """Shows the means over the epoch so far, the images per second of this process and the time left."""
        self._bar.show(state.step, lambda: f"{_listed(state.means)}  {self._rate(state):.0f} images/s")
        if self._notebook:
            done = state.epoch * self._steps + state.step
            self._notebook.show(done, lambda: self._line or f"epoch 1/{self._epochs}  {_listed(state.means)}")

    def _rate(self, state: TrainingState) -> float:
        return (state.images - self._images) / self._bar.seconds

    def end_epoch(self, row: dict[str, Any], best: bool) -> None:
        """Logs the epoch's row of the history, and the time left at the speed so far; at the end, the time it took."""
        self._bar.close()
        numbers = {SHORT.get(k, k): v for k, v in row.items() if k not in ("epoch", "learning_rate", *SECONDS)}
        left = row["run_seconds"] / row["epoch"] * (self._epochs - row["epoch"])
        time = f"{tqdm.format_interval(round(left or row['run_seconds']))} {'left' if left else 'total'}"
        number = f"{row['epoch']:>{len(str(self._epochs))}}/{self._epochs}"
        self._line = f"epoch {number}  {_listed(numbers, ' ')} {'*' if best else ' '} {time}"
        if self._notebook:
            self._notebook.draw(row["epoch"] * self._steps, self._line)
        else:
            logger.info(self._line)


def _listed(numbers: dict[str, float], between: str = "  ") -> str:
    return between.join(f"{name} {value:.4f}" for name, value in numbers.items())
