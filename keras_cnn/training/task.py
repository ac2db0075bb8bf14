"""The interface between the training engine and what it trains: a task, its phases and its config."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import keras

from keras_cnn.config import OptimConfig, TrackingConfig
from keras_cnn.data.pipeline import Batch
from keras_cnn.distribution.replicas import Replicas
from keras_cnn.run_folder import RunFolder
from keras_cnn.tracking import Tracker
from keras_cnn.training.phases import Phase
from keras_cnn.training.step import Trainer

CheckInterrupt = Callable[[], None]  # raises if the run should stop


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
    def checkpoint_minutes(self) -> float: ...


class TaskConfig(Protocol):
    """The parts of a task's config that the engine reads."""

    @property
    def optim(self) -> OptimConfig: ...
    @property
    def train(self) -> TrainSettings: ...
    @property
    def tracking(self) -> TrackingConfig: ...


class PhaseRun(Protocol):
    """One phase of a run: the compiled step, the batches that feed it, and the validation of what it has trained."""

    features_place: str | None  # where the outputs of a frozen part are kept: "memory", "disk", or None
    validated: Any  # outputs of the last validation if `Task.finish` can use them; else None

    @property
    def trainer(self) -> Trainer: ...

    def batches(self, epoch: int, step: int, epochs: int | None = None) -> Iterable[Batch]:
        """Training batches from a step of an epoch, both counted from 0, to the end of the phase or of `epochs`."""
        ...

    def validate(self) -> dict[str, float]:
        """The columns of the history that describe the validation split, "val_loss" among them; inference mode."""
        ...

    def verify_frozen(self) -> int:
        """The number of frozen layers. Raises FrozenChanged if a frozen weight has changed."""
        ...

    def report_last_weights(self) -> None:
        """Logs results that need the weights of the last epoch, before the best ones replace them."""
        ...

    def log_summary(self) -> None:
        """Logs the specifics of the phase."""
        ...

    def multiply_adds(self, epochs: int) -> int:
        """Multiply-adds of training for `epochs` epochs, validation left out."""
        ...


class Task(Protocol):
    """A configured run before its first step: data, model, phases, and the parts specific to its kind."""

    default_config: Any  # the config with every field at its default
    hardware: dict
    precision: str
    model: keras.Model
    classes: Sequence[str]  # in the order of the model's outputs
    several_labels: bool  # an image may have several of the classes: each output has a sigmoid of its own
    split: dict  # content of split.json; its "sha256" changes if any image, label or split does
    train_images: int
    steps: int  # of an epoch
    monitor: str  # the column of the history that chooses the best epoch
    program: str  # the program whose --resume continues the run
    is_trial: bool  # a trial of a sweep; the sweep handles what stops it
    keeps_whole_model: bool  # keeps the best model as model.keras; else only the weights that change
    keeps_last_model: bool  # keeps the last epoch's model as last.keras
    replicas: Replicas

    @property
    def config(self) -> TaskConfig: ...
    @property
    def steps_per_call(self) -> int | str: ...  # see `step_stream.StepStream`
    @property
    def phases(self) -> Sequence[Phase]: ...
    @property
    def history_columns(self) -> Sequence[str]: ...

    def log_summary(self) -> None:
        """Logs a summary of the data and the model."""
        ...

    def describe(self, folder: RunFolder) -> None:
        """Writes the task's own files that are known before the first step."""
        ...

    def draw_augmentation(self, folder: RunFolder) -> None:
        """Draws some training images as the network will see them."""
        ...

    def require_same_start(self, folder: RunFolder) -> None:
        """Raises InputError if the model is not the one that the run started with."""
        ...

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> PhaseRun:
        """Prepares a phase: freezes its frozen layers."""
        ...

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
        """Writes the task's own log of the epochs."""
        ...

    def finish(self, folder: RunFolder, tracker: Tracker, phase_run: PhaseRun, best_epoch: int, validated: Any) -> dict:
        """Writes model, predictions, figures and, last, metrics.json; the model has its best weights.

        `validated` is `PhaseRun.validated` of the best epoch, or None if another process ran it. Returns the content of
        metrics.json.
        """
        ...


Prepare = Callable[[Any, str | None], Task]
"""Makes the task of a config: (config, number format of the run's checkpoint or None) -> task."""
