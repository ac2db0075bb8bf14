"""One run under way: what happens at each step and epoch besides the arithmetic, and what a checkpoint holds."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from keras_cnn.errors import InputError
from keras_cnn.models import freezing
from keras_cnn.run_folder import RunFolder, replacing, write_text
from keras_cnn.tracking import Tracker
from keras_cnn.training import callbacks, checkpoints
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import TrainingState
from keras_cnn.training.phase_runner import PhaseRunner
from keras_cnn.training.progress import Progress
from keras_cnn.training.setup import TrainingSetup, schedule_of

Saved = tuple[dict, dict]  # what checkpoints.load returns
BEST = "best"  # where the best weights so far are kept until the end
Watch = Callable[[list[dict]], bool]  # takes the history at the end of an epoch; True to stop


class Session:
    """Answers the training loop: learning rate, validation, best model, log, checkpoint, interruption."""

    def __init__(
        self,
        parts: TrainingSetup,
        folder: RunFolder,
        tracker: Tracker,
        interrupt: Interrupt,
        watch: Watch | None = None,
    ):
        self._parts, self._folder, self._tracker = parts, folder, tracker
        self._interrupt, self._watch = interrupt, watch
        self._changing = freezing.trained_part(parts.model).variables  # all that any phase of the run changes
        self._running: PhaseRunner | None = None
        self.phase, self._stored = 0, None
        self._best_logits = None  # on the validation images, of the best epoch of this process
        config = parts.config
        self.position = TrainingState()
        self.best = callbacks.Best(config.train.monitor)
        self._stopping = callbacks.EarlyStopping(config.train.early_stopping)
        self._plateau = callbacks.Plateau(config.optim.gamma, config.optim.plateau_patience)
        self._schedule = schedule_of(config, parts.steps)
        self._progress = Progress(config.train.epochs, parts.steps)
        self._split = parts.split["sha256"]

    def restore(self, saved: Saved) -> None:
        """Puts back everything that `save` wrote, the optimizer's state when its phase is entered.

        InputError if the images or their split have changed since.
        """
        groups, state = saved
        if state["split"] != self._split:
            raise InputError(
                f"{self._folder.path}: the images, their labels or their split have changed since the run began"
            )
        checkpoints.assign(self._changing, groups.pop("model"), self._folder / "checkpoint")
        self.phase, self._stored = state["phase"], (state, groups)
        callbacks.restore(state["callbacks"], self.best, self._plateau)
        self.position = TrainingState(**state["position"])
        self._tracker.epochs(self.position.history)

    def enter(self, phase: int, running: PhaseRunner) -> list[str]:
        """Goes on with a phase, by its number: with its optimizer as it was saved, or at its start a new one.

        Returns what is not as when it was saved, a line each.
        """
        (state, groups), self._stored = self._stored or ({}, {}), None
        self.phase, self._running = phase, running
        if state.get("phase") != phase:
            self.save()
            return []
        for name in ("optimizer", "average"):
            checkpoints.assign(running.trainer.groups()[name], groups.get(name, []), self._folder / "checkpoint")
        before, now = state["features"], running.place
        return [f"the frozen part's outputs kept: {before or 'nowhere'} -> {now or 'nowhere'}"] if before != now else []

    def leave(self) -> None:
        """Lets go of the phase, and so of all that was kept for it."""
        self._running = None

    def save(self) -> None:
        state = {
            "position": asdict(self.position),
            "phase": self.phase,
            "features": self._running.place,
            "callbacks": callbacks.state_of(self.best, self._plateau),
            "split": self._split,
            "precision": self._parts.precision,
        }
        groups = self._running.trainer.groups() | {"model": self._changing}
        checkpoints.save(self._folder / "checkpoint", groups, state)

    def rate(self, progress: float) -> float:
        """The learning rate after `progress` epochs."""
        return self._schedule(progress) * self._plateau.scale

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the validation split, in inference mode."""
        with self._running.trainer.averaged_weights():
            return dict(zip(("val_loss", "val_accuracy"), self._running.validate(), strict=True))

    def epoch_started(self) -> None:
        self._progress.start_epoch(self.position)

    def step_done(self) -> None:
        self._progress.step(self.position)

    def epoch_done(self, row: dict) -> bool:
        """Takes the epoch's row of the history, keeps the model if it is the best; False to stop early."""
        is_best = self.best.update(row)
        if is_best:
            self._keep()
        if self._parts.config.optim.schedule == "plateau":
            self._plateau.update(row["val_loss"])
        self._folder.write_history(self.position.history)
        write_text(self._folder / "train.log", "".join(map(_coursework_line, self.position.history)))
        self._tracker.epochs([row])
        self._progress.end_epoch(row, len(self._parts.train), is_best)
        if self._watch and self._watch(self.position.history):
            return False
        return not self._stopping.stops(row["epoch"], self.best)

    def _keep(self) -> None:
        """Keeps the best model so far: whole, for whoever looks into the folder meanwhile, or only what changes.

        The latter with a frozen part, which may be large, and in a sweep, whose small networks it costs less time.
        """
        self._best_logits = self._running.validated
        if self._parts.freezes or self._parts.shared:
            with self._running.trainer.averaged_weights():
                checkpoints.save(self._folder / BEST, {"model": self._changing}, {})
        else:
            self.save_model("model.keras")

    def load_best(self) -> None:
        """Gives the model the weights of its best epoch, and leaves model.keras in the folder."""
        model = self._folder / "model.keras"
        if kept := checkpoints.load(self._folder / BEST):
            checkpoints.assign(self._changing, kept[0]["model"], self._folder / BEST)
            self._write(model)
            shutil.rmtree(self._folder / BEST)
        else:
            self._parts.model.load_weights(model)
        if self._best_logits is not None:
            self._running.known["validation"] = self._best_logits

    def save_model(self, name: str) -> None:
        """Writes the model as it is now, with its averaged weights where there are any."""
        with self._running.trainer.averaged_weights():
            self._write(self._folder / name)

    def _write(self, path: Path) -> None:
        with replacing(path) as temporary:
            self._parts.model.save(temporary)

    def interrupted(self) -> str | None:
        """The name of the signal that asked to stop."""
        return self._interrupt.name


def _coursework_line(row: dict) -> str:
    """The log line of the COMP5623 coursework, epochs counted from 0."""
    return (
        f"epoch: {row['epoch'] - 1}\ttraining loss: {row['loss']:.3f}\tvalidation loss: {row['val_loss']:.3f}"
        f"\tAccuracy: {100 * row['val_accuracy']:.1f}%\n"
    )
