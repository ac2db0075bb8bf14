"""One run under way: what happens at each step and epoch besides the arithmetic, and what a checkpoint holds."""

from collections.abc import Callable
from dataclasses import asdict

from keras_cnn.errors import InputError
from keras_cnn.runs import RunFolder, replacing, write_text
from keras_cnn.tracking import Tracker
from keras_cnn.training import callbacks, checkpoints
from keras_cnn.training.fit import Position, Trainer
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.parts import Parts, schedule_of
from keras_cnn.training.progress import Progress

Saved = tuple[dict, dict]  # what checkpoints.load returns
Watch = Callable[[list[dict]], bool]  # takes the history at the end of an epoch; True to stop


class Session:
    """Answers the training loop: learning rate, validation, best model, log, checkpoint, interruption."""

    def __init__(
        self,
        parts: Parts,
        folder: RunFolder,
        trainer: Trainer,
        tracker: Tracker,
        interrupt: Interrupt,
        watch: Watch | None = None,
    ):
        self._parts, self._folder, self._trainer, self._tracker = parts, folder, trainer, tracker
        self._interrupt, self._watch = interrupt, watch
        config = parts.config
        self.position = Position()
        self.best = callbacks.Best(config.train.monitor)
        self._stopping = callbacks.EarlyStopping(config.train.early_stopping)
        self._plateau = callbacks.Plateau(config.optim.gamma, config.optim.plateau_patience)
        self._schedule = schedule_of(config, parts.steps)
        self._progress = Progress(config.train.epochs, parts.steps)
        self._validation = parts.batches(parts.dataset.validation)
        self._split = parts.split["sha256"]

    def restore(self, saved: Saved) -> None:
        """Puts back everything that `save` wrote. InputError if the images or their split have changed since."""
        groups, state = saved
        if state["split"] != self._split:
            raise InputError(
                f"{self._folder.path}: the images, their labels or their split have changed since the run began"
            )
        for name, variables in self._trainer.groups().items():
            checkpoints.assign(variables, groups.get(name, []), self._folder / "checkpoint")
        callbacks.restore(state["callbacks"], self.best, self._plateau)
        self.position = Position(**state["position"])
        self._tracker.epochs(self.position.history)

    def save(self) -> None:
        state = {
            "position": asdict(self.position),
            "callbacks": callbacks.state_of(self.best, self._plateau),
            "split": self._split,
            "precision": self._parts.precision,
        }
        checkpoints.save(self._folder / "checkpoint", self._trainer.groups(), state)

    def rate(self, progress: float) -> float:
        """The learning rate after `progress` epochs."""
        return self._schedule(progress) * self._plateau.scale

    def validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation split, in inference mode."""
        with self._trainer.averaged_weights():
            return self._trainer.evaluate(self._validation, self._parts.dataset.validation.labels)

    def epoch_started(self) -> None:
        self._progress.start_epoch(self.position)

    def step_done(self) -> None:
        self._progress.step(self.position)

    def epoch_done(self, row: dict) -> bool:
        """Takes the epoch's row of the history, keeps the model if it is the best; False to stop early."""
        is_best = self.best.update(row)
        if is_best:
            self.save_model("model.keras")
        if self._parts.config.optim.schedule == "plateau":
            self._plateau.update(row["val_loss"])
        self._folder.write_history(self.position.history)
        write_text(self._folder / "train.log", "".join(map(_coursework_line, self.position.history)))
        self._tracker.epochs([row])
        self._progress.end_epoch(row, len(self._parts.train), is_best)
        if self._watch and self._watch(self.position.history):
            return False
        return not self._stopping.stops(row["epoch"], self.best)

    def save_model(self, name: str) -> None:
        """Writes the model as it is now, with its averaged weights where there are any."""
        with self._trainer.averaged_weights(), replacing(self._folder / name) as temporary:
            self._trainer.model.save(temporary)

    def interrupted(self) -> str | None:
        """The name of the signal that asked to stop."""
        return self._interrupt.name


def _coursework_line(row: dict) -> str:
    """The log line of the COMP5623 coursework, epochs counted from 0."""
    return (
        f"epoch: {row['epoch'] - 1}\ttraining loss: {row['loss']:.3f}\tvalidation loss: {row['val_loss']:.3f}"
        f"\tAccuracy: {100 * row['val_accuracy']:.1f}%\n"
    )
