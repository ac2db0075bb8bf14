"""The contract between the training engine and what it trains: a task, its phases, its objective, its config."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import keras

from keras_cnn.config import OptimConfig, TrackingConfig
from keras_cnn.data.pipeline import Batch
from keras_cnn.run_folder import RunFolder
from keras_cnn.tracking import Tracker
from keras_cnn.training.phases import Phase
from keras_cnn.training.step import Trainer

CheckInterrupt = Callable[[], None]  # raises where the run is to stop


def no_interrupt() -> None:
    """The `CheckInterrupt` of work that nothing interrupts."""


class TrainSettings(Protocol):
    """The section `train` that the config of every task has."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def ema(self) -> float | None: ...
    @property
    def early_stopping(self) -> int | None: ...
    @property
    def monitor(self) -> str: ...
    @property
    def checkpoint_minutes(self) -> float: ...


class TaskConfig(Protocol):
    """What the engine reads of the config of a task."""

    @property
    def optim(self) -> OptimConfig: ...
    @property
    def train(self) -> TrainSettings: ...
    @property
    def tracking(self) -> TrackingConfig: ...


class PhaseRun(Protocol):
    """One phase of a run: the compiled step, the batches that feed it, and the validation of what it has trained."""

    features_place: str | None  # where the outputs of a frozen part are kept: "memory", "disk", or None
    validated: Any  # outputs of the last validation where `Task.finish` can use them; else None

    @property
    def trainer(self) -> Trainer: ...

    def batches(self, epoch: int, step: int, epochs: int | None = None) -> Iterable[Batch]:
        """Training batches from a step of an epoch, both counted from 0, to the end of the phase or of `epochs`."""
        ...

    def validate(self) -> dict[str, float]:
        """The columns of the history that describe the validation split, "val_loss" among them; inference mode."""
        ...

    def verify_frozen(self) -> int:
        """The number of frozen layers. Raises FrozenChanged where a frozen weight has changed."""
        ...

    def report_last_weights(self) -> None:
        """Logs what only the weights after the last epoch show, before the best ones replace them."""
        ...

    def log_summary(self) -> None:
        """Logs what is special about the phase."""
        ...

    def multiply_adds(self, epochs: int) -> int:
        """Multiply-adds of training for `epochs` epochs, validation left out."""
        ...


class Task(Protocol):
    """A configured run before its first step: data, model, phases, and what is particular to its kind."""

    default_config: Any  # the config with every field at its default
    hardware: dict
    precision: str
    model: keras.Model
    split: dict  # what split.json holds; its "sha256" changes with every image, label and cut
    train_images: int
    steps: int  # of an epoch
    program: str  # whose --resume goes on with the run
    is_trial: bool  # one of a sweep, which deals with whatever stops it
    keeps_whole_model: bool  # the best model so far as model.keras; else only the weights that change
    keeps_last_model: bool  # as last.keras

    @property
    def config(self) -> TaskConfig: ...
    @property
    def phases(self) -> Sequence[Phase]: ...
    @property
    def history_columns(self) -> Sequence[str]: ...

    def log_summary(self) -> None:
        """Logs what is trained on what."""
        ...

    def describe(self, folder: RunFolder) -> None:
        """Writes the task's own files that are known before the first step."""
        ...

    def draw_augmentation(self, folder: RunFolder) -> None:
        """Draws some training images as the network will see them."""
        ...

    def require_same_start(self, folder: RunFolder) -> None:
        """Raises InputError where the model does not start a resume as it started the run."""
        ...

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> PhaseRun:
        """Prepares a phase: freezes what it freezes."""
        ...

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
        """Writes the task's own log of the epochs."""
        ...

    def finish(self, folder: RunFolder, tracker: Tracker, phase_run: PhaseRun, best_epoch: int, validated: Any) -> dict:
        """Writes model, predictions, figures and, last, metrics.json; the model has its best weights.

        `validated` is `PhaseRun.validated` of the best epoch, or None where that was in another process. Returns what
        metrics.json holds.
        """
        ...


Prepare = Callable[[Any, str | None], Task]
"""Makes the task of a config: (config, number format of the run's checkpoint or None) -> task."""
