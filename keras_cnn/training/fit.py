"""The training loop: one compiled step, epochs, validation, checkpoints. Exact on resume, to the bit on one CPU.

A step's data are a pure function of (seed, epoch, step) and its augmentation of (seed, epoch, image id), so the state
is the variables, the position (epoch, step) and plain numbers: `Trainer.groups()` and `Position`.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import Interrupted, Stopped
from keras_cnn.training.optimizers import exclude_from_decay

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class NotFinite(Stopped):
    """A loss, weights or the optimizer's state became infinite or nan: it is the settings that are to blame."""


@dataclass
class Position:
    """How far a run has come; JSON-able."""

    ended: bool = False  # all epochs done, or stopped early
    epoch: int = 0  # epochs completed
    step: int = 0  # steps done of the epoch under way
    images: int = 0  # of this epoch so far
    loss_sum: float = 0.0
    correct: int = 0
    epoch_seconds: float = 0.0
    run_seconds: float = 0.0
    history: list[dict] = field(default_factory=list)

    def add(self, loss_sum: float, correct: int, images: int) -> None:
        self.step += 1
        self.loss_sum, self.correct, self.images = (
            self.loss_sum + loss_sum,
            self.correct + correct,
            self.images + images,
        )

    def next_epoch(self, row: dict) -> None:
        self.history.append(row)
        self.epoch, self.step, self.images, self.loss_sum, self.correct = self.epoch + 1, 0, 0, 0.0, 0
        self.epoch_seconds = 0.0


class Trainer:
    """A model, or the part of one that trains, an optimizer and the compiled step that joins them.

    Args:
        augment: (images (B, H, W, C) uint8, one-hot labels (B, classes), keys (B, 2) int32, epoch) -> float32 images
            0-255 and labels, traced into the step, so that it runs on the device that trains.
        inputs: what the batches hold, if not uint8 images of the model's size.
        before: the frozen part: turns augmented images into what `model` takes. No gradient passes through it.
        rate_factors: factors of the learning rate by a variable's path; 1 where there is none.
        class_weights: (classes,) float32 factors of the loss, or None.
        ema: decay of an average over all model variables, after Polyak & Juditsky 1992, with a warm-up of
            (1 + t) / (10 + t); or None.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        augment: Augment,
        *,
        inputs: tf.TensorSpec | None = None,
        before: Callable[[tf.Tensor], tf.Tensor] | None = None,
        rate_factors: Mapping[str, float] = MappingProxyType({}),
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
        ema: float | None = None,
    ):
        self.model, self.optimizer = model, optimizer
        self._before = before
        self._slowed = [(v, f) for v in model.trainable_variables if (f := rate_factors.get(v.path, 1.0)) != 1.0]
        self._augment, self._smoothing, self._weights = augment, label_smoothing, class_weights
        self._classes = model.outputs[0].shape[-1]
        exclude_from_decay(optimizer, model.trainable_variables)
        optimizer.build(model.trainable_variables)
        frozen = {id(v) for layer in model.layers if not layer.trainable for v in layer.variables}
        changing = [v for v in model.variables if id(v) not in frozen and "float" in str(v.dtype)]
        self._averaged = changing if ema else []
        self._ema = ema
        self._shadow = [tf.Variable(v, trainable=False) for v in self._averaged]
        self._updates = tf.Variable(0.0, trainable=False)
        images = inputs or tf.TensorSpec(model.inputs[0].shape, tf.uint8)
        signature = [images, *(tf.TensorSpec(s, t) for s, t in STEP_INPUTS)]
        self.step = tf.function(self._step, input_signature=signature, autograph=False)

    def groups(self) -> dict[str, list]:
        """Every variable that training changes, by group, in a fixed order."""
        return {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "average": [*self._shadow, self._updates] if self._ema else [],
        }

    def _step(self, images, labels, keys, epoch, rate):
        """One update; returns the batch's summed cross-entropy and its number of right answers."""
        self.optimizer.learning_rate.assign(rate)
        targets = tf.one_hot(labels, self._classes)
        images, targets = self._augment(images, targets, keys, epoch)
        if self._before:
            images = self._before(images)
        smooth = targets * (1 - self._smoothing) + self._smoothing / self._classes
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(images, training=True), tf.float32)
            losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
            loss = tf.reduce_mean(losses) if self._weights is None else self._weighted(losses, targets)
            if self.model.losses:
                loss += tf.add_n(self.model.losses)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.model.trainable_variables
        gradients = tape.gradient(scaled, variables)
        old = [tf.convert_to_tensor(variable) for variable, _ in self._slowed]
        self.optimizer.apply(gradients, variables)
        for (variable, factor), value in zip(self._slowed, old, strict=True):
            # Every rule's update is proportional to the rate, weight decay and momentum included.
            variable.assign(value + factor * (tf.convert_to_tensor(variable) - value))
        if self._ema:
            self._average()
        hits = tf.argmax(logits, 1) == tf.argmax(targets, 1)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.int32))

    def _weighted(self, losses, targets):
        weights = tf.linalg.matvec(targets, tf.constant(self._weights, tf.float32))
        return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)

    def _average(self) -> None:
        self._updates.assign_add(1.0)
        decay = tf.minimum(self._ema, (1 + self._updates) / (10 + self._updates))
        for shadow, variable in zip(self._shadow, self._averaged, strict=True):
            shadow.assign(decay * shadow + (1 - decay) * tf.convert_to_tensor(variable))

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The model has its averaged weights inside this block (its own ones where there is no average)."""
        own = [np.asarray(v) for v in self._averaged]
        for variable, shadow in zip(self._averaged, self._shadow, strict=True):
            variable.assign(shadow)
        try:
            yield
        finally:
            for variable, value in zip(self._averaged, own, strict=True):
                variable.assign(value)

    def is_finite(self) -> bool:
        """Whether every variable that training changes holds numbers."""
        return all(np.isfinite(np.asarray(v)).all() for group in self.groups().values() for v in group)


STEP_INPUTS = [((None,), tf.int32), ((None, 2), tf.int32), ((), tf.int32), ((), tf.float32)]  # after the images


class Session(Protocol):
    """What the loop asks and tells its surroundings (`session.Session` in a run)."""

    position: Position

    def rate(self, progress: float) -> float: ...

    def validate(self) -> tuple[float, float]: ...

    def epoch_started(self) -> None: ...

    def step_done(self) -> None: ...

    def epoch_done(self, row: dict) -> bool: ...

    def save(self) -> None: ...

    def interrupted(self) -> str | None: ...


def fit(
    trainer: Trainer,
    batches: Iterable,
    session: Session,
    epochs: int,
    steps: int,
    *,
    checkpoint_seconds: float,
    until: int | None = None,
) -> None:
    """Trains from the session's position to the end of `epochs`, each of `steps` `pipeline.Batch`es; or of `until`.

    Raises Interrupted on a signal (after a checkpoint, which resumes in mid-epoch), NotFinite on a loss that is not
    finite (without one: the last checkpoint, of finite state, stays), and passes on what reading the batches raises.
    """
    stream, position = iter(batches), session.position
    while not position.ended and position.epoch < (until or epochs):
        session.epoch_started()
        _epoch(trainer, stream, session, steps, checkpoint_seconds)
        row = _close_epoch(trainer, session)
        position.ended = not session.epoch_done(row) or position.epoch == epochs
        session.save()
        _heed(session)


def _epoch(trainer: Trainer, stream: Iterator, session: Session, steps: int, checkpoint_seconds: float) -> None:
    position = session.position
    began = saved = time.monotonic()
    before = position.epoch_seconds
    for step in range(position.step, steps):
        images, labels, keys, epoch = next(stream)
        rate = session.rate(position.epoch + step / steps)
        result = trainer.step(images, labels, keys, epoch, tf.constant(rate, tf.float32))
        _count(position, *result, int(labels.shape[0]))
        position.epoch_seconds = before + time.monotonic() - began
        session.step_done()
        due = time.monotonic() - saved > checkpoint_seconds
        if (due or session.interrupted()) and position.step < steps:
            _require_finite(trainer, position, f"epoch {position.epoch + 1}, step {step + 1}")
            session.save()
            saved = time.monotonic()
            _heed(session)


def _count(position: Position, loss_sum: tf.Tensor, correct: tf.Tensor, images: int) -> None:
    value = float(loss_sum)
    if not math.isfinite(value):
        raise NotFinite(
            _not_finite(f"loss became {value}", position, f"epoch {position.epoch + 1}, step {position.step + 1}")
        )
    position.add(value, int(correct), images)


def _close_epoch(trainer: Trainer, session: Session) -> dict:
    position, began = session.position, time.monotonic()
    loss, accuracy = session.validate()
    if not math.isfinite(loss):
        where = f"the end of epoch {position.epoch + 1}"
        raise NotFinite(_not_finite(f"validation loss became {loss}", position, where))
    _require_finite(trainer, position, f"the end of epoch {position.epoch + 1}")
    position.run_seconds += position.epoch_seconds + time.monotonic() - began
    row = {
        "epoch": position.epoch + 1,
        "loss": position.loss_sum / position.images,
        "accuracy": position.correct / position.images,
        "val_loss": loss,
        "val_accuracy": accuracy,
        "learning_rate": session.rate(position.epoch + (position.step - 1) / position.step),
        "epoch_seconds": position.epoch_seconds,
        "run_seconds": position.run_seconds,
    }
    position.next_epoch(row)
    return row


def _require_finite(trainer: Trainer, position: Position, where: str) -> None:
    """Before a checkpoint: a finite loss says nothing about the update after it, nor about the optimizer's moments."""
    if not trainer.is_finite():
        raise NotFinite(_not_finite("weights or the optimizer's state became infinite or nan", position, where))


def _not_finite(what: str, position: Position, where: str) -> str:
    return (
        f"the {what} at {where}; kept: the last checkpoint, with {position.epoch} complete epochs."
        " Try a smaller optim.learning_rate, or optim.clip_norm 1"
    )


def _heed(session: Session) -> None:
    name, position = session.interrupted(), session.position
    if name and not position.ended:
        steps = f" and {position.step} steps" if position.step else ""
        raise Interrupted(f"stopped by {name} after {position.epoch} epochs{steps}; the checkpoint is complete")
