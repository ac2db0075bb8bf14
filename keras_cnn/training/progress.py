"""The progress of a training: a bar on a terminal, and a line per epoch everywhere."""

from tqdm import tqdm

from keras_cnn.messages import logger
from keras_cnn.progress_bar import ProgressBar
from keras_cnn.training.state import TrainingState

SECONDS = ("epoch_seconds", "run_seconds")


class Progress:
    """Shows the steps of an epoch on a terminal, and logs a line after each epoch."""

    def __init__(self, epochs: int, steps: int):
        self._epochs, self._steps = epochs, steps

    def start_epoch(self, state: TrainingState) -> None:
        self._images = state.images
        self._bar = ProgressBar(f"epoch {state.epoch + 1}/{self._epochs}", self._steps, state.step)

    def step(self, state: TrainingState) -> None:
        """Shows the means over the epoch so far, the images per second of this process and the time left."""
        self._bar.show(state.step, lambda: f"{_listed(state.means)}  {self._rate(state):.0f} images/s")

    def _rate(self, state: TrainingState) -> float:
        return (state.images - self._images) / self._bar.seconds

    def end_epoch(self, row: dict, images: int, best: bool) -> None:
        """Logs the epoch's row of the history; `images` is its number of training images."""
        self._bar.close()
        rate, time = images / max(row["epoch_seconds"], 1e-9), tqdm.format_interval(round(row["run_seconds"]))
        numbers = {k: v for k, v in row.items() if k not in ("epoch", "learning_rate", *SECONDS)}
        mark = "*" if best else " "
        logger.info(f"epoch {row['epoch']:>3}/{self._epochs}  {_listed(numbers)} {mark}  {rate:.0f} images/s  {time}")


def _listed(numbers: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())
