"""The training loop: one compiled step, epochs, validation, checkpoints. Exact on resume, to the bit on one CPU.

A step's data are a pure function of (seed, epoch, step) and its augmentation of (seed, epoch, image id), so the state
is the variables, the position (epoch, step) and plain numbers: `Trainer.groups()` and `TrainingState`.
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
from keras_cnn.training.objectives import CrossEntropy, Objective
from keras_cnn.training.optimizers import exclude_from_decay

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class NotFinite(Stopped):
    """A loss, weights or the optimizer's state became infinite or nan: it is the settings that are to blame."""


@dataclass
class TrainingState:
    """How far a run has come; JSON-able."""

    ended: bool = False  # all epochs done, or stopped early
    epoch: int = 0  # epochs completed
    step: int = 0  # steps done of the epoch under way
    images: int = 0  # of this epoch so far
    sums: dict[str, float] = field(default_factory=dict)  # over those images, by what the objective measures
    epoch_seconds: float = 0.0
    run_seconds: float = 0.0
    history: list[dict] = field(default_factory=list)

    def add(self, sums: dict[str, float], images: int) -> None:
        self.step += 1
        self.images += images
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in sums.items()}

    @property
    def means(self) -> dict[str, float]:
        """Of this epoch so far, an image."""
        return {name: value / self.images for name, value in self.sums.items()}

    def next_epoch(self, row: dict) -> None:
        self.history.append(row)
        self.epoch, self.step, self.images, self.sums = self.epoch + 1, 0, 0, {}
        self.epoch_seconds = 0.0


class Trainer:
    """A model, or the part of one that trains, an optimizer and the compiled step that joins them.

    Args:
        augment: (images (B, H, W, C) uint8, the objective's targets, keys (B, 2) int32, epoch) -> float32 images
            0-255 and targets, traced into the step, so that it runs on the device that trains.
        objective: what is made small; by default the cross-entropy of the model's classes.
        inputs: what the batches hold, if not uint8 images of the model's size.
        before: the frozen part: turns augmented images into what `model` takes. No gradient passes through it.
        rate_factors: factors of the learning rate by a variable's path; 1 where there is none.
        ema: decay of an average over all model variables, after Polyak & Juditsky 1992, with a warm-up of
            (1 + t) / (10 + t); or None.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        augment: Augment,
        *,
        objective: Objective | None = None,
        inputs: tf.TensorSpec | None = None,
        before: Callable[[tf.Tensor], tf.Tensor] | None = None,
        rate_factors: Mapping[str, float] = MappingProxyType({}),
        ema: float | None = None,
    ):
        self.model, self.optimizer = model, optimizer
        self.objective = objective or CrossEntropy(model.outputs[0].shape[-1])
        self._before = before
        self._slowed = [(v, f) for v in model.trainable_variables if (f := rate_factors.get(v.path, 1.0)) != 1.0]
        self._augment = augment
        exclude_from_decay(optimizer, model.trainable_variables)
        optimizer.build(model.trainable_variables)
        frozen = {id(v) for layer in model.layers if not layer.trainable for v in layer.variables}
        changing = [v for v in model.variables if id(v) not in frozen and "float" in str(v.dtype)]
        self._averaged = changing if ema else []
        self._ema = ema
        self._shadow = [tf.Variable(v, trainable=False) for v in self._averaged]
        self._updates = tf.Variable(0.0, trainable=False)
        images = inputs or tf.TensorSpec(model.inputs[0].shape, tf.uint8)
        signature = [images, self.objective.labels, *(tf.TensorSpec(s, t) for s, t in STEP_INPUTS)]
        self.step = tf.function(self._step, input_signature=signature, autograph=False)

    def groups(self) -> dict[str, list]:
        """Every variable that training changes, by group, in a fixed order."""
        return {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "average": [*self._shadow, self._updates] if self._ema else [],
        }

    def _step(self, images, labels, keys, epoch, rate):
        """One update; returns the sums of the objective's measures over the batch before it."""
        self.optimizer.learning_rate.assign(rate)
        images, targets = self._augment(images, self.objective.targets(labels), keys, epoch)
        if self._before:
            images = self._before(images)
        with tf.GradientTape() as tape:
            loss, sums = self.objective(self.model(images, training=True), targets)
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
        return sums

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


STEP_INPUTS = [((None, 2), tf.int32), ((), tf.int32), ((), tf.float32)]  # after images and labels


class Session(Protocol):
    """What the loop asks and tells its surroundings (`session.Session` in a run)."""

    position: TrainingState

    def rate(self, progress: float) -> float: ...

    def validate(self) -> dict[str, float]: ...

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
        _count(position, dict(zip(trainer.objective.measures, map(float, result), strict=True)), int(labels.shape[0]))
        position.epoch_seconds = before + time.monotonic() - began
        session.step_done()
        due = time.monotonic() - saved > checkpoint_seconds
        if (due or session.interrupted()) and position.step < steps:
            _require_finite(trainer, position, f"epoch {position.epoch + 1}, step {step + 1}")
            session.save()
            saved = time.monotonic()
            _heed(session)


def _count(position: TrainingState, sums: dict[str, float], images: int) -> None:
    value = sums["loss"]
    if not math.isfinite(value):
        raise NotFinite(
            _not_finite(f"loss became {value}", position, f"epoch {position.epoch + 1}, step {position.step + 1}")
        )
    position.add(sums, images)


def _close_epoch(trainer: Trainer, session: Session) -> dict:
    position, began = session.position, time.monotonic()
    validated = session.validate()
    if not math.isfinite(validated["val_loss"]):
        where = f"the end of epoch {position.epoch + 1}"
        raise NotFinite(_not_finite(f"validation loss became {validated['val_loss']}", position, where))
    _require_finite(trainer, position, f"the end of epoch {position.epoch + 1}")
    position.run_seconds += position.epoch_seconds + time.monotonic() - began
    row = {
        "epoch": position.epoch + 1,
        **position.means,
        **validated,
        "learning_rate": session.rate(position.epoch + (position.step - 1) / position.step),
        "epoch_seconds": position.epoch_seconds,
        "run_seconds": position.run_seconds,
    }
    position.next_epoch(row)
    return row


def _require_finite(trainer: Trainer, position: TrainingState, where: str) -> None:
    """Before a checkpoint: a finite loss says nothing about the update after it, nor about the optimizer's moments."""
    if not trainer.is_finite():
        raise NotFinite(_not_finite("weights or the optimizer's state became infinite or nan", position, where))


def _not_finite(what: str, position: TrainingState, where: str) -> str:
    return (
        f"the {what} at {where}; kept: the last checkpoint, with {position.epoch} complete epochs."
        " Try a smaller optim.learning_rate, or optim.clip_norm 1"
    )


def _heed(session: Session) -> None:
    name, position = session.interrupted(), session.position
    if name and not position.ended:
        steps = f" and {position.step} steps" if position.step else ""
        raise Interrupted(f"stopped by {name} after {position.epoch} epochs{steps}; the checkpoint is complete")
