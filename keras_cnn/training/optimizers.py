"""Optimizers by name, and the learning rate as a pure function of the training's progress."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf


def build_optimizer(
    name: str,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    loss_scaling: bool = False,
) -> keras.optimizers.Optimizer:
    """A Keras optimizer whose learning rate the training step sets.

    Weight decay is decoupled for every rule (Loshchilov & Hutter 2019): a step first multiplies the kernels by
    `1 - learning_rate * weight_decay`; biases and batch norms are left out (see `exclude_from_decay`).
    `loss_scaling` is for float16, whose small gradients would vanish otherwise.
    """
    shared = {"weight_decay": weight_decay or None, "global_clipnorm": clip_norm}
    if name == "sgd":
        optimizer = _SGD(name="sgd", momentum=momentum, nesterov=nesterov, **shared)
    elif name in ("adam", "adamw"):
        optimizer = _Adam(name=name, **shared)
    elif name == "adagrad":
        optimizer = keras.optimizers.Adagrad(**shared)
    elif name == "rmsprop":
        optimizer = keras.optimizers.RMSprop(momentum=momentum, **shared)
    else:
        raise ValueError(f"unknown optimizer {name!r}")
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaling else optimizer


class _Adam(keras.optimizers.Adam):
    """Updated by TensorFlow's one op a variable.

    Keras spells the update out in element-wise ops, each of which goes through all numbers once more. The formula, and
    with it the result to rounding, is the same. `benchmarks.optimizers`: 2.8 times as fast, SGD's momentum 1.8 times.
    """

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        count = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**count,
            beta2_power=self.beta_2**count,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class _SGD(keras.optimizers.SGD):
    """With momentum updated by one op a variable, see `_Adam`."""

    def update_step(self, gradient, variable, learning_rate):
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


def exclude_from_decay(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Keeps weight decay away from every variable that is not a kernel. Call before the optimizer is built."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.weight_decay is not None:
        inner.exclude_from_weight_decay(var_list=[v for v in variables if v.path.split("/")[-1] != "kernel"])


Schedule = Callable[[float], float]  # epochs done, with fraction -> learning rate


def build_schedule(
    name: str,
    learning_rate: float,
    epochs: int,
    steps: int,
    *,
    warmup_epochs: float = 0.0,
    step_epochs: int = 7,
    gamma: float = 0.1,
) -> Schedule:
    """The learning rate of the step that begins after `progress` epochs of `steps` each, 0 <= progress <= epochs.

    constant; step: times `gamma` every `step_epochs` (PyTorch's StepLR); exponential: times `gamma` an epoch, smoothly;
    cosine: half a cosine from the end of the warm-up to 0; one_cycle: up from 1/25 of the peak over the first 30 %,
    down to 1/250,000, both half cosines (Smith 2018, PyTorch's defaults); plateau: constant here, the drops come from
    `callbacks.Plateau`. The linear warm-up multiplies by 1/n, 2/n, ... 1 over its n steps; one_cycle has its own
    and ignores it.
    """

    def rate(progress: float) -> float:
        if name == "one_cycle":
            return _one_cycle(learning_rate, progress / epochs)
        warmup = min(1.0, (progress + 1 / steps) / warmup_epochs) if warmup_epochs > 0 else 1.0
        return learning_rate * warmup * decay(progress)

    def decay(progress: float) -> float:
        if name == "step":
            return gamma ** math.floor(progress / step_epochs)
        if name == "exponential":
            return gamma**progress
        if name == "cosine":
            done = (progress - warmup_epochs) / max(epochs - warmup_epochs, 1e-9)
            return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
        return 1.0

    return rate


def _one_cycle(peak: float, done: float) -> float:
    rise, first, last = 0.3, peak / 25, peak / 250_000

    def between(start: float, stop: float, share: float) -> float:
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))

    return between(first, peak, done / rise) if done < rise else between(peak, last, (done - rise) / (1 - rise))
