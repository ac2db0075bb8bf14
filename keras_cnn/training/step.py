"""The compiled training step: augmentation, forward and backward pass, update and average of the weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.data.pipeline import Batch
from keras_cnn.distribution.replicas import SINGLE, Replicas, on_device
from keras_cnn.distribution.shares import WHOLE, Share
from keras_cnn.training.optimizers import exclude_from_decay

Augment = Callable[[tf.Tensor, Any, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Any]]
STEP_INPUTS = [((None, 2), tf.int32), ((), tf.int32), ((), tf.float32)]  # keys, epoch and rate; after images and labels


class Objective(Protocol):
    """The loss that a step minimises, and the sums that it measures.

    `measures` names the sums over a batch that a step returns, "loss" first; `labels` is the type of a batch's labels,
    with the images along the first axis; `targets` converts labels into the targets of the loss; `weight` is the number
    by which the loss divides, so that a mean over a batch can be made of means over its parts.
    """

    measures: tuple[str, ...]
    labels: tf.TensorSpec

    def targets(self, labels: tf.Tensor) -> Any: ...

    def weight(self, targets: Any) -> tf.Tensor: ...

    def __call__(self, outputs: Any, targets: Any, /) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """The float32 loss to minimise for a model's outputs, and the sums of `measures`."""
        ...


class Trainer:
    """A model, or its trainable part, with an optimizer and the compiled step that trains it.

    Args:
        augment: (images (B, H, W, C) uint8, the objective's targets, keys (B, 2) int32, epoch) -> float32 images
            0-255 and targets; traced into the step, so that it runs on the device that trains.
        objective: the loss and its measures.
        inputs: type of the batches' images; by default uint8 images of the model's size.
        frozen_part: computes the inputs of `model` from augmented images. No gradient passes through it.
        rate_factors: factors of the learning rate by variable path; 1 for other variables.
        ema: decay of a moving average of the variables (Polyak & Juditsky 1992), limited to (1 + t) / (10 + t) at
            update t as a warm-up; None: no average.
        replicas: where the model has its copies; it was built in their scope.
        share: the rows of each batch on which they train.
        xla: compiles the whole step by XLA, for one replica alone.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        augment: Augment,
        *,
        objective: Objective,
        inputs: tf.TensorSpec | None = None,
        frozen_part: Callable[[tf.Tensor], tf.Tensor] | None = None,
        rate_factors: Mapping[str, float] = MappingProxyType({}),
        ema: float | None = None,
        replicas: Replicas = SINGLE,
        share: Share = WHOLE,
        xla: bool = False,
    ):
        self.model, self.optimizer, self.objective = model, optimizer, objective
        self.replicas, self._share = replicas, share
        self._device = replicas.devices[0]
        self._augment, self._frozen_part, self._ema = augment, frozen_part, ema
        variables = model.trainable_variables
        self._slowed = [(v, factor) for v in variables if (factor := rate_factors.get(v.path, 1.0)) != 1.0]
        exclude_from_decay(optimizer, variables)
        frozen = {id(v) for layer in model.layers if not layer.trainable for v in layer.variables}
        changing = [v for v in model.variables if id(v) not in frozen and "float" in str(v.dtype)]
        self._averaged = changing if ema else []
        with replicas.scope():
            optimizer.build(variables)
            self._averages = [tf.Variable(tf.convert_to_tensor(v), trainable=False) for v in self._averaged]
            self._updates = tf.Variable(tf.zeros(()), trainable=False)
        replicas.prepare_layers(model)
        images = inputs or tf.TensorSpec(model.inputs[0].shape, tf.uint8)
        signature = [images, objective.labels, *(tf.TensorSpec(shape, dtype) for shape, dtype in STEP_INPUTS)]
        self.step = tf.function(self._step, input_signature=signature, autograph=False, jit_compile=xla or None)
        self._step_of_loop = self.step if xla else self._step
        self._step_of_all = tf.function(self._step_on_replicas, autograph=False)
        self._several: Callable | None = None

    def train_on(self, batch: Batch, rate: float) -> Sequence[tf.Tensor]:
        """Performs one update with a batch, on all replicas; returns the objective's sums over all images of it."""
        return self.train_on_parts(self.placed(batch), rate)

    def placed(self, batch: Batch) -> Batch:
        """The batch on the devices that train: images, labels and keys of several replicas as their parts."""
        if self.replicas.strategy is None:
            return _on(self._device, batch)
        parts = self.replicas.parts(batch[:3], int(batch.size), self._share)
        return Batch(*parts, epoch=batch.epoch, size=batch.size)

    def train_on_parts(self, batch: Batch, rate: float) -> Sequence[tf.Tensor]:
        """`train_on` for a batch that is `placed`. Does not wait for the result."""
        learning_rate = tf.constant(rate, tf.float32)
        if self.replicas.strategy is None:
            return self.step(batch.images, batch.labels, batch.keys, batch.epoch, learning_rate)
        return self._step_of_all(batch[:3], batch.epoch, learning_rate, tf.cast(batch.size, tf.int32))

    def steps(self, batches: Iterator[Batch], rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A step for each of K rates with the next batches of a `tf.data` iterator; compiled once for every K.

        Returns the objective's sums (K, measures) float64 and the images (K,) int32 of each batch.
        """
        several = self._several
        if several is None:
            looped = tf.function(self._steps, autograph=False)
            several = self._several = looped.get_concrete_function(batches, tf.TensorSpec((None,), tf.float32))
        return several(batches, rates)

    def groups(self) -> dict[str, list]:
        """Every variable that training changes, by group, in a fixed order."""
        return {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            "average": [*self._averages, self._updates] if self._ema else [],
        }

    def _step(self, images, labels, keys, epoch, rate):
        """Performs one update; returns the objective's sums over the batch, computed before the update."""
        self._set_rate(rate)
        return self._update(images, labels, keys, epoch)

    @property
    def can_loop(self) -> bool:
        """Whether `steps` can be used: the parts of several replicas are dealt out between the steps."""
        return self.replicas.strategy is None

    def _steps(self, batches, rates):
        """See `steps`. The next batch is copied to the device while it computes with the one before."""
        count, device = tf.shape(rates)[0], self._device
        sums = tf.TensorArray(tf.float64, count, element_shape=(len(self.objective.measures),))
        images = tf.TensorArray(tf.int32, count, element_shape=())

        def step(number, batch, sums, images):
            following = tf.cond(number + 1 < count, lambda: _on(device, next(batches)), lambda: batch)
            row = self._step_of_loop(batch.images, batch.labels, batch.keys, batch.epoch, rates[number])
            sums = sums.write(number, tf.stack([tf.cast(each, tf.float64) for each in row]))
            return number + 1, following, sums, images.write(number, batch.size)

        start = (tf.constant(0), _on(device, next(batches)), sums, images)
        *_, sums, images = tf.while_loop(lambda number, *_: number < count, step, start, parallel_iterations=1)
        return sums.stack(), images.stack()

    def _step_on_replicas(self, parts, epoch, rate, count):
        self._set_rate(rate)
        return self.replicas.run(self._update, parts, epoch, count=count)

    def _set_rate(self, rate) -> None:
        learning_rate: Any = self.optimizer.learning_rate
        learning_rate.assign(rate)

    def _update(self, images, labels, keys, epoch):
        """The update by the replica's part of a batch, which is the batch if there is one replica."""
        images, targets = self._augment(images, self.objective.targets(labels), keys, epoch)
        if self._share.overlap:
            images, targets = images[1:], targets[1:]
        if self._frozen_part:
            images = self._frozen_part(images)
        with tf.GradientTape() as tape:
            loss, sums = self.objective(self.model(images, training=True), targets)
            loss = self.replicas.part_of_mean(loss, lambda: self.objective.weight(targets))
            if self.model.losses:
                loss += self.replicas.part_of_constant(tf.add_n(self.model.losses))
            scaled = self.optimizer.scale_loss(loss)
        variables = self.model.trainable_variables
        gradients = self.replicas.summed(tape.gradient(scaled, variables))
        old_values = [tf.convert_to_tensor(variable) for variable, _ in self._slowed]
        self.optimizer.apply(gradients, variables)
        for (variable, factor), old in zip(self._slowed, old_values, strict=True):
            # Every optimizer's update, with weight decay and momentum, is proportional to the rate.
            variable.assign(old + factor * (tf.convert_to_tensor(variable) - old))
        if self._ema:
            self._update_averages(self._ema)
        return sums

    def _update_averages(self, ema: float) -> None:
        self._updates.assign_add(1.0)
        decay = tf.minimum(tf.constant(ema), (1 + self._updates) / (10 + self._updates))
        for average, variable in zip(self._averages, self._averaged, strict=True):
            average.assign(decay * average + (1 - decay) * tf.convert_to_tensor(variable))

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Gives the model its averaged weights inside the block; changes nothing if there is no average."""
        own = [np.asarray(v) for v in self._averaged]
        for variable, average in zip(self._averaged, self._averages, strict=True):
            variable.assign(tf.convert_to_tensor(average))
        try:
            yield
        finally:
            for variable, value in zip(self._averaged, own, strict=True):
                variable.assign(value)

    def is_finite(self) -> bool:
        """Whether every variable that training changes is finite."""
        return all(np.isfinite(np.asarray(v)).all() for group in self.groups().values() for v in group)


def _on(device: str, batch: Batch) -> Batch:
    return Batch(*(on_device(tensor, device) for tensor in batch))
