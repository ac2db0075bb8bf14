"""Averages of the weights of networks of one architecture, and the statistics that their batch norms then need."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import InputError


def require_same_layout(models: Sequence[keras.Model], names: Sequence[str]) -> None:
    """Raises InputError, naming the first weight, unless all models have the weights of the first one."""
    first = [(variable.path, tuple(variable.shape)) for variable in models[0].weights]
    for model, name in zip(models[1:], names[1:], strict=True):
        own = [(variable.path, tuple(variable.shape)) for variable in model.weights]
        different = next((pair for pair in zip(first, own, strict=False) if pair[0] != pair[1]), None)
        if different is None and len(first) == len(own):
            continue
        (path, shape), (other, size) = different or (("weights", (len(first),)), ("weights", (len(own),)))
        raise InputError(
            f"{name}: another network than {names[0]}: found {other} {size}, expected {path} {shape} for an average"
        )


def mean_weights(weights: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """The mean of each weight over networks, each given by its arrays; whole numbers are those of the first."""
    means = []
    for values in zip(*weights, strict=True):
        is_whole = values[0].dtype.kind in "iub"
        mean = values[0] if is_whole else np.mean([value.astype(np.float64) for value in values], axis=0)
        means.append(mean.astype(values[0].dtype))
    return means


def differing_norms(models: Sequence[keras.Model]) -> list[str]:
    """Names of the batch norms whose statistics are not the same in all models: those that were not frozen."""
    norms = [layer.name for layer in models[0].layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [name for name in norms if len({_statistics(model.get_layer(name)).tobytes() for model in models}) > 1]


class StatisticsEstimator:
    """Computes the means and variances of some batch norms of a model anew, for the weights that it has at each call.

    They are the means over batches of what the layer measures on each, as PyTorch's `update_bn` computes them; dropout
    does not act. Other batch norms keep theirs.
    """

    def __init__(self, model: keras.Model, norms: Sequence[str]):
        self._layers: list[Any] = [model.get_layer(name) for name in norms]
        others = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization) and layer.name not in norms
        ]
        changed = [(layer, "momentum", 0.0) for layer in self._layers]  # the statistics become those of the batch
        changed += [(layer, "trainable", True) for layer in self._layers]
        changed += [(layer, "trainable", False) for layer in others]
        changed += [(layer, "rate", 0.0) for layer in model.layers if hasattr(layer, "rate")]
        before = [(layer, name, getattr(layer, name)) for layer, name, _ in changed]
        spec = tf.TensorSpec(model.inputs[0].shape, tf.float32)
        try:
            _set(changed)
            learning = tf.function(lambda images: model(images, training=True), autograph=False)
            self._forward = learning.get_concrete_function(spec)
        finally:
            _set(before)

    def __call__(self, batches: Iterable[tf.Tensor]) -> None:
        """`batches` are images (B, H, W, C), 0 to 255, several in each batch."""
        sums, images = [np.zeros_like(_statistics(layer), np.float64) for layer in self._layers], 0
        for batch in batches:
            self._forward(tf.cast(batch, tf.float32))
            images += len(batch)
            for total, layer in zip(sums, self._layers, strict=True):
                total += len(batch) * _statistics(layer).astype(np.float64)
        for total, layer in zip(sums, self._layers, strict=True):
            mean, variance = total / images
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)


def _statistics(layer: Any) -> np.ndarray:
    """(2, C): moving mean and moving variance."""
    return np.stack([np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)])


def _set(values: Iterable[tuple[Any, str, Any]]) -> None:
    for layer, name, value in values:
        setattr(layer, name, value)
