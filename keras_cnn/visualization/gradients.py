"""Gradients of a score with respect to the image or to a map inside the network.

This is the only module here with a gradient tape, and so the only one that checks the backend of Keras.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.predict import LINEAR
from keras_cnn.visualization.probe import Probe, in_batches, traced

# Types of the ReLU operations in a traced graph. The ReLUs of this module do not contain these operations.
RELUS = frozenset(("Relu", "Relu6", "LeakyRelu"))


@dataclass(frozen=True)
class Score:
    """A score to explain: for each image a weighted sum of the tensor at one point of the network.

    A class has weight 1 for one logit, a difference of classes 1 and -1, and a neuron 1 at one place of a map.
    """

    point: str
    weights: np.ndarray  # (N, ...) float32, N images and the shape of the tensor at the point
    words: tuple[str, ...]  # for each image, what is scored: "class 3"


@dataclass(frozen=True)
class Rewiring:
    """ReLUs with another gradient: node name -> its replacement, and a key that identifies the rewiring."""

    key: str
    activations: Mapping[str, Callable]


def gradients(
    probe: Probe, images: np.ndarray, score: Score, at: str | None = None, rewiring: Rewiring | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (N,), the tensors at point `at` (N, ...) and the gradients of each score with respect to them, float32.

    If `at` is None, the tensors are the images, and the gradients are per grey level of 0-255. Raises InputError if
    the score does not depend on the point.
    """
    function = probe.once(
        ("gradients", score.point, at, rewiring and rewiring.key), lambda: _build(probe, score.point, at, rewiring)
    )
    size = probe.batch_size()
    pairs = zip(in_batches(images, size), in_batches(score.weights, size), strict=True)
    parts = [function(tf.constant(batch, tf.float32), tf.constant(weights, tf.float32)) for batch, weights in pairs]
    scores, values, slopes = (np.concatenate([part.numpy() for part in column]) for column in zip(*parts, strict=True))
    return scores, values, slopes


def climb(
    probe: Probe, point: str, key: object, picture: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], shape: tuple[int, ...]
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A compiled step of an ascent: parameters (N, *shape), weights (N, ...), transform (2, 3) -> scores, gradients.

    `picture` makes the images (N, H, W, C) of 0-255 from the parameters, under the transform. The scores (N,) are those
    of the images; the gradients (N, *shape) are with respect to the parameters. `key` identifies this `picture`. Raises
    InputError if the tensor at the point does not depend on the image.
    """
    function = probe.once(("climb", point, key), lambda: _build_climb(probe, point, picture, shape))

    def step(parameters: np.ndarray, weights: np.ndarray, transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, gradients = function(*(tf.constant(part, tf.float32) for part in (parameters, weights, transform)))
        return scores.numpy(), gradients.numpy()

    return step


def scores(probe: Probe, images: np.ndarray, score: Score) -> np.ndarray:
    """Scores (N,) float32, without gradients."""
    function = probe.once(("scores", score.point), lambda: _build_scores(probe, score.point))
    size = probe.batch_size()
    pairs = zip(in_batches(images, size), in_batches(score.weights, size), strict=True)
    return np.concatenate(
        [function(tf.constant(batch, tf.float32), tf.constant(w, tf.float32)).numpy() for batch, w in pairs]
    )


def guided_relu(ceiling: float | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
    """A ReLU (with `ceiling`, clipped there) whose gradient passes only where input and gradient are positive.

    Guided backpropagation, Springenberg et al., Striving for Simplicity, 2015.
    """

    def function(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        passes = _passes(x, ceiling)
        return _rectified(x, ceiling), lambda upstream: tf.where(passes & (upstream > 0), upstream, 0)

    return cast(Callable[[tf.Tensor], tf.Tensor], tf.custom_gradient(function))


def deconvnet_relu(ceiling: float | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
    """A ReLU that passes the gradient where it is positive, whatever its input is.

    Deconvnet, Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014.
    """

    def function(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return _rectified(x, ceiling), lambda upstream: tf.where(upstream > 0, upstream, 0)

    return cast(Callable[[tf.Tensor], tf.Tensor], tf.custom_gradient(function))


def relus_left(probe: Probe, point: str, activations: Mapping[str, Callable]) -> list[str]:
    """Nodes up to `point` that still contain a ReLU when the nodes of `activations` are replaced.

    They are read from the traced graph, which shows a ReLU wherever it was written: in a custom layer, in an activation
    that contains one, or in a function that a layer calls.
    """
    _require_tensorflow()
    ends: list[tuple[str, int]] = []  # a point, and the number of operations in the graph when it was reached

    def mark(name):
        def edit(value):
            ends.append((name, len(tf.compat.v1.get_default_graph().get_operations())))
            return value

        return edit

    def forward(images):
        edits = {name: mark(name) for name in probe.points}
        return probe.run(images, (point,), activations=activations, edits=edits)[point]

    graph = cast(Any, traced(forward, probe.input_shape)).graph
    operations = graph.get_operations()
    library = {function.signature.name: function for function in graph.as_graph_def().library.function}
    behind = point.removesuffix(LINEAR) if point.endswith(LINEAR) else None  # the activation that the point feeds
    starts = [0, *(end for _, end in ends)]
    return [
        reached.removesuffix(LINEAR)
        for start, (reached, end) in zip(starts, ends, strict=False)
        if reached != behind and any(_is_relu(operation, library) for operation in operations[start:end])
    ]


def _build(probe: Probe, point: str, at: str | None, rewiring: Rewiring | None) -> Callable:
    _require_tensorflow()
    activations = rewiring.activations if rewiring else None
    read = (point,) if at is None else (point, at)

    def function(images: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            tensors = probe.run(images, read, activations=activations)
            score = _weighted_sum(tensors[point], weights)
        source = images if at is None else tensors[at]
        gradient = tape.gradient(score, source)
        if gradient is None:
            problem = f"{point} does not depend on {at or 'the image'}"
            raise InputError(f"{probe.name}: {problem}; expected a layer before it")
        return score, tf.cast(source, tf.float32), tf.cast(cast(tf.Tensor, gradient), tf.float32)

    return traced(function, probe.input_shape, probe.shape(point))


def _build_climb(probe: Probe, point: str, picture: Callable, shape: tuple[int, ...]) -> Callable:
    _require_tensorflow()

    def function(parameters: tf.Tensor, weights: tf.Tensor, transform: tf.Tensor) -> tuple[tf.Tensor, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            score = _weighted_sum(probe.run(picture(parameters, transform), (point,))[point], weights)
        gradient = tape.gradient(score, parameters)
        if gradient is None:
            raise InputError(f"{probe.name}: {point} does not depend on the image; expected a layer that does")
        return score, gradient

    return traced(function, shape, probe.shape(point), (3,))


def _build_scores(probe: Probe, point: str) -> Callable:
    def function(images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return _weighted_sum(probe.run(images, (point,))[point], weights)

    return traced(function, probe.input_shape, probe.shape(point))


def _weighted_sum(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """(N,) float32, from tensors (N, ...)."""
    return tf.reduce_sum(tf.cast(values, tf.float32) * weights, axis=list(range(1, weights.shape.rank)))


def _require_tensorflow() -> None:
    backend = keras.backend.backend()
    require(backend == "tensorflow", "gradients", f"Keras runs on {backend}", "tensorflow (KERAS_BACKEND)")


def _passes(x: tf.Tensor, ceiling: float | None) -> tf.Tensor:
    return x > 0 if ceiling is None else (x > 0) & (x < ceiling)


def _rectified(x: tf.Tensor, ceiling: float | None) -> tf.Tensor:
    positive = tf.where(x > 0, x, 0)
    return positive if ceiling is None else tf.where(positive < ceiling, positive, ceiling)


def _is_relu(operation: tf.Operation, library: Mapping[str, Any]) -> bool:
    if operation.type == "Maximum":  # of something and zero
        constants = (tf.get_static_value(tensor) for tensor in operation.inputs)
        return any(constant is not None and not np.any(constant) for constant in constants)
    return _has_relu(operation.node_def, library)


def _has_relu(node: Any, library: Mapping[str, Any]) -> bool:
    """Whether a node of a graph is a ReLU, or calls a function with one in it."""
    called = [name for value in node.attr.values() for name in (value.func.name, *(f.name for f in value.list.func))]
    inside = (inner for name in called if name in library for inner in library[name].node_def)
    return node.op in RELUS or any(_has_relu(inner, library) for inner in inside)
