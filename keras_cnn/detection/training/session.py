"""One training on boxes under way: validation, best weights, history, checkpoint, interruption.

It answers the same loop as a classifier's `training.session`. That one hangs on phases of frozen layers, logits and
accuracies; what they share, the loop, the checkpoint and the callbacks, is used by both.
"""

from dataclasses import asdict

import numpy as np
import tensorflow as tf

from keras_cnn.detection.training import batches, judge
from keras_cnn.detection.training.loss import YoloLoss
from keras_cnn.detection.training.parts import Parts
from keras_cnn.errors import InputError
from keras_cnn.run_folder import RunFolder
from keras_cnn.tracking import Tracker
from keras_cnn.training import callbacks, checkpoints
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import Trainer, TrainingState
from keras_cnn.training.progress import Progress
from keras_cnn.training.setup import schedule_of

BEST = "best"  # where the best weights so far are kept until the end
COLUMNS = (
    *("epoch", *YoloLoss.measures),
    *("val_loss", "val_map50", "val_map"),
    *("learning_rate", "epoch_seconds", "run_seconds"),
)


class Session:
    """Answers the training loop; see `fit.Session`."""

    def __init__(self, parts: Parts, trainer: Trainer, folder: RunFolder, tracker: Tracker, interrupt: Interrupt):
        self._parts, self._trainer, self._folder = parts, trainer, folder
        self._tracker, self._interrupt = tracker, interrupt
        config = parts.config
        self.position = TrainingState()
        self.best = callbacks.Best(config.train.monitor)
        self._stopping = callbacks.EarlyStopping(config.train.early_stopping)
        self._plateau = callbacks.Plateau(config.optim.gamma, config.optim.plateau_patience)
        self._schedule = schedule_of(config, parts.steps)
        self._progress = Progress(config.train.epochs, parts.steps)
        self._validation = parts.images("validation")
        model, objective = parts.model, trainer.objective
        signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8), objective.labels]

        def judged(images, labels):
            outputs = model(images, training=False)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            return outputs, objective(outputs, labels)[1][0]

        self._judged = tf.function(judged, input_signature=signature, autograph=False)

    def restore(self, saved: tuple[dict, dict]) -> None:
        """Puts back everything that `save` wrote. InputError if the pictures or their boxes have changed since."""
        groups, state = saved
        if state["split"] != self._parts.split["sha256"]:
            raise InputError(
                f"{self._folder.path}: the images, their boxes or their split have changed since the start"
            )
        for name, variables in self._trainer.groups().items():
            checkpoints.assign(variables, groups.get(name, []), self._folder / "checkpoint")
        callbacks.restore(state["callbacks"], self.best, self._plateau)
        self.position = TrainingState(**state["position"])
        self._tracker.epochs(self.position.history)

    def save(self) -> None:
        state = {
            "position": asdict(self.position),
            "callbacks": callbacks.state_of(self.best, self._plateau),
            "split": self._parts.split["sha256"],
            "precision": self._parts.precision,
        }
        checkpoints.save(self._folder / "checkpoint", self._trainer.groups(), state)

    def rate(self, progress: float) -> float:
        return self._schedule(progress) * self._plateau.scale

    def validate(self) -> dict[str, float]:
        """Loss and mAP on the validation split, in inference mode."""
        with self._trainer.averaged_weights():
            loss, found = self._judge()
        scores = judge.score(self._parts.dataset.validation, found, len(self._parts.dataset.classes))
        return {"val_loss": loss, "val_map50": scores.map50, "val_map": scores.map}

    def _judge(self) -> tuple[float, list]:
        pictures, heads = self._parts.dataset.validation, self._parts.heads
        total, found = 0.0, []
        for images, labels, *_ in batches.plain(self._validation, self._parts.config.train.batch_size):
            maps, loss = self._judged(images, labels)
            total += float(loss)
            for of_one in zip(*(np.asarray(each) for each in maps), strict=True):
                found.append(judge.found_in(of_one, heads, pictures[len(found)], self._parts.size))
        return total / len(pictures), found

    def epoch_started(self) -> None:
        self._progress.start_epoch(self.position)

    def step_done(self) -> None:
        self._progress.step(self.position)

    def epoch_done(self, row: dict) -> bool:
        """Takes the epoch's row of the history, keeps the weights if they are the best; False to stop early."""
        is_best = self.best.update(row)
        if is_best:
            with self._trainer.averaged_weights():
                checkpoints.save(self._folder / BEST, {"model": self._parts.model.variables}, {})
        if self._parts.config.optim.schedule == "plateau":
            self._plateau.update(row["val_loss"])
        self._folder.write_history(self.position.history, COLUMNS)
        self._tracker.epochs([row])
        self._progress.end_epoch(row, len(self._parts.dataset.train), is_best)
        return not self._stopping.stops(row["epoch"], self.best)

    def load_best(self) -> None:
        """Gives the model the weights of its best epoch."""
        kept = checkpoints.load(self._folder / BEST)
        if kept is None:
            raise InputError(f"{self._folder / BEST}: missing; expected the weights of epoch {self.best.epoch}")
        checkpoints.assign(self._parts.model.variables, kept[0]["model"], self._folder / BEST)

    def interrupted(self) -> str | None:
        return self._interrupt.name
