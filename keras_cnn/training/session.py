"""A run in progress: what happens around each step and epoch, and the contents of its checkpoint."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.models import freezing
from keras_cnn.models.class_names import save_with_classes
from keras_cnn.run_folder import RunFolder, replacing
from keras_cnn.run_folder.json_files import checked_fields
from keras_cnn.tracking import Tracker
from keras_cnn.training import callbacks, checkpoints
from keras_cnn.training.best_model import BestModel
from keras_cnn.training.checkpoints import Checkpoint
from keras_cnn.training.identity import identity_of
from keras_cnn.training.interrupt import Interrupt, signals_held_back
from keras_cnn.training.progress import Progress
from keras_cnn.training.schedules import build_schedule
from keras_cnn.training.state import TrainingState
from keras_cnn.training.task import PhaseRun, Task

Watch = Callable[[list[dict]], bool]  # takes the history at the end of an epoch; True ends the run


class TrainingSession:
    """The run around the training loop: learning rate, validation, best model, log, checkpoint, interruption.

    Args:
        watch: sees the history at the end of each epoch and may end the run.
    """

    def __init__(
        self, task: Task, folder: RunFolder, tracker: Tracker, interrupt: Interrupt, *, watch: Watch | None = None
    ):
        self._task, self._folder, self._tracker = task, folder, tracker
        self._interrupt, self._watch = interrupt, watch
        self._identity = identity_of(folder, task)
        self._changing = freezing.trained_part(task.model).variables  # every variable that a phase of the run changes
        self._phase_number, self._phase_run = 0, None
        self._restored: Checkpoint | None = None  # until its phase has restored the optimizer
        self.best_validated: Any = None  # `PhaseRun.validated` of the best epoch, if it was in this process
        config = task.config
        self.state = TrainingState()
        self.best = callbacks.Best(task.monitor)
        self._early_stopping = callbacks.EarlyStopping(config.train.early_stopping)
        self._plateau = callbacks.Plateau(config.optim.gamma, config.optim.plateau_patience)
        self._schedule = build_schedule(config.optim, epochs=config.train.epochs, steps=task.steps)
        self._progress = Progress(config.train.epochs, task.steps)
        if task.keeps_whole_model:
            self._best_model = BestModel(folder / "model.keras", self._save_model)
        else:
            self._best_model = BestModel(folder / "best.npz", self._write_weights)

    @property
    def phase_run(self) -> PhaseRun:
        """The current phase."""
        assert self._phase_run is not None
        return self._phase_run

    # --- phases and resume ---

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restores everything that `save` wrote except the optimizer, which is restored when its phase begins.

        Raises InputError, naming the file, if a part of the checkpoint or the best model is missing or does not fit.
        """
        state, path = checkpoint.state, self._folder / "checkpoint" / checkpoints.FILE
        self._best_model.restore(state["best_model"])
        self.state = TrainingState(**checked_fields(state["position"], path, get_type_hints(TrainingState)))
        try:
            callbacks.restore(state["callbacks"], self.best, self._plateau)
        except ValueError as error:
            raise InputError(f"{path}: damaged checkpoint ({error}); expected one written by this program") from None
        checkpoints.assign(self._changing, checkpoint.groups.get("model", []), path)
        self._phase_number, self._restored = state["phase"], checkpoint
        self._tracker.epochs(self.state.history)

    def phases(self) -> Iterator[int]:
        """For each remaining phase: prepares `phase_run`, yields the last epoch, then verifies the frozen weights.

        The phases themselves are not yielded: one must release its memory before the next allocates its own.
        """
        for number, phase in enumerate(self._task.phases):
            if number < self._phase_number or (self.state.epoch >= phase.until and not self.state.ended):
                continue
            self._phase_run = self._task.start_phase(phase, self._interrupt.check)
            self._phase_run.log_summary()
            began = time.monotonic()
            self._enter_phase(number)
            self.state.run_seconds += time.monotonic() - began  # includes what the phase computes once
            yield phase.until
            self._phase_run.verify_frozen()
            if self.state.ended:
                return
            self.leave_phase()

    def _enter_phase(self, number: int) -> None:
        """Restores the optimizer and the average from a checkpoint of this phase; without one, writes a checkpoint."""
        checkpoint, self._restored = self._restored, None
        self._phase_number = number
        if checkpoint is None or checkpoint.state["phase"] != number:
            self.save()
            return
        for name in ("optimizer", "average"):
            variables, arrays = self.phase_run.trainer.groups()[name], checkpoint.groups.get(name, [])
            checkpoints.assign(variables, arrays, self._folder / "checkpoint" / checkpoints.FILE)
        before, now = checkpoint.state["features"], self.phase_run.features_place
        if before != now:
            warn_of_changes([f"the frozen part's outputs kept: {before or 'nowhere'} -> {now or 'nowhere'}"])

    def leave_phase(self) -> None:
        """Releases the phase and everything kept for it, also on the devices."""
        self._phase_run = None
        gc.collect()  # a compiled step and its trainer refer to each other

    def end(self) -> None:
        """Saves the last model if the task wants it, and gives the model the weights of its best epoch."""
        if self._task.keeps_last_model:
            with (
                self.phase_run.trainer.averaged_weights(),
                signals_held_back(),
                replacing(self._folder / "last.keras") as temporary,
            ):
                self._save_model(temporary)
        self.phase_run.report_last_weights()
        self._best_model.require_unchanged()
        if self._task.keeps_whole_model:
            self._task.model.load_weights(self._best_model.path)
        else:
            weights = checkpoints.read(self._best_model.path).groups["model"]
            checkpoints.assign(self._changing, weights, self._best_model.path)
        if frozen := self.phase_run.verify_frozen():
            logger.info(f"verified  weights and statistics of {frozen} frozen layers unchanged, byte for byte")

    def clean_up(self) -> None:
        """Removes the file that only an unfinished run needs."""
        if not self._task.keeps_whole_model:
            self._best_model.path.unlink()

    # --- what the loop asks for ---

    def learning_rate(self, progress: float) -> float:
        """The learning rate after `progress` epochs."""
        return self._schedule(progress) * self._plateau.scale

    def validate(self) -> dict[str, float]:
        """The validation columns of the history, measured with the averaged weights if there are any."""
        with self.phase_run.trainer.averaged_weights():
            return self.phase_run.validate()

    def epoch_started(self) -> None:
        self._progress.start_epoch(self.state)

    def step_done(self) -> None:
        self._progress.step(self.state)

    def epoch_done(self, row: dict) -> bool:
        """Records the epoch's row of the history and keeps the model if it is the best; False: stop early."""
        is_best = self.best.update(row)
        if is_best:
            self.best_validated = self.phase_run.validated
            with self.phase_run.trainer.averaged_weights():
                self._best_model.keep()
        if self._task.config.optim.schedule == "plateau":
            self._plateau.update(row["val_loss"])
        self._folder.write_history(self.state.history, self._task.history_columns)
        self._task.write_log(self._folder, self.state.history)
        self._tracker.epochs([row])
        self._progress.end_epoch(row, is_best)
        if self._watch and self._watch(self.state.history):
            return False
        return not self._early_stopping.stops(row["epoch"], self.best)

    def save(self) -> None:
        """Writes the checkpoint, then publishes the best model that it names."""
        state = {
            "position": asdict(self.state),
            "phase": self._phase_number,
            "features": self.phase_run.features_place,
            "callbacks": callbacks.state_of(self.best, self._plateau),
            "precision": self._task.precision,
            "best_model": self._best_model.sha256,
            "replicas": self._task.replicas.count,
        }
        state |= self._identity
        groups = self.phase_run.trainer.groups() | {"model": self._changing}
        checkpoints.save(self._folder / "checkpoint", groups, state)
        self._best_model.publish()

    def interrupted(self) -> str | None:
        """The name of the signal that asked this process or, as all ranks must stop at one step, another to stop."""
        name = self._interrupt.name
        return name or "a signal on another rank" if self._task.replicas.ranks.any(name is not None) else None

    def _save_model(self, path: Path) -> None:
        save_with_classes(self._task.model, path, self._task.classes, several_labels=self._task.several_labels)

    def _write_weights(self, path: Path) -> None:
        checkpoints.write(path, {"model": self._changing}, {})


def warn_of_changes(changes: list[str]) -> None:
    """Logs differences from the start of the run: its result is close to an uninterrupted run's, but not equal."""
    if changes:
        listed = "; ".join(changes)
        logger.info(
            f"warning   the result may differ in its last bits, because this changed since the run began: {listed}"
        )
