"""A model's logits for many images, in one compiled function."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_cnn.distribution.replicas import SINGLE, Divided, Replicas
from keras_cnn.models.graph import Graph, GraphNode, call_node, call_operation, is_graph, twin

LINEAR = ":linear"


class Predictor:
    """The inference of a classifier, compiled once; it predicts with the weights that the model has at each call.

    Batch norm is computed differently from Keras, also in models loaded by plain Keras. After a convolution, it is
    folded into the kernel, at each call, from the current weights. Elsewhere, TensorFlow's fused op computes it in
    16-bit types. The model is not changed, and its logits equal Keras's up to rounding in the compute type.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: tf.TensorSpec | None = None,
        before: Callable | None = None,
        output: str | None = None,
        *,
        replicas: Replicas = SINGLE,
    ):
        """`inputs` describes the batches, by default uint8 images of the model's size; `before` turns a batch into the
        model's input, as the frozen part of a network does for the trained part; `output` is the node or
        the `NAME:linear` that is read instead of the model's only output; `replicas` are those of this process among
        which each batch is divided."""
        forward, end = inference(model, [output] if output else ()), model.outputs[0]
        self._classes = (Graph(model).nodes[output.removesuffix(LINEAR)].outputs[0] if output else end).shape[-1]

        def logits(images: tf.Tensor) -> list[tf.Tensor]:
            outputs = forward(before(images) if before else images)
            return [tf.cast(outputs[0] if output else outputs, tf.float32)]

        self._forward = Divided(logits, inputs or tf.TensorSpec(model.inputs[0].shape, tf.uint8), replicas)

    def logits(self, batches: Iterable) -> np.ndarray:
        """(N, classes) float32, in order, for batches that start with images (B, H, W, C) uint8."""
        parts = [logits for images, *_ in batches for logits in self._forward(images)]
        return np.concatenate(parts) if parts else np.zeros((0, self._classes), np.float32)


def inference(model: keras.Model, read: Sequence[str] = ()) -> Callable[..., Any]:
    """The model's inference as `Predictor` computes it, to be called inside a `tf.function`.

    It takes images (B, H, W, C) of any numeric type and returns the model's outputs or, with `read`, the list of the
    tensors at these points: names of the nodes of the model's `Graph`, or `NAME:linear` for what a layer with an
    activation argument computes before that activation. A second argument maps names of nodes to tensors that are used
    instead of computing the nodes. A model that is not a graph of layers is called unchanged.
    """
    if not is_graph(model):
        return lambda images: model(images, training=False)
    graph = Graph(model)
    replaced = _replaced(graph, read)
    linear_read = {point.removesuffix(LINEAR) for point in read if point.endswith(LINEAR)}
    linear_parts = {name: twin(graph.nodes[name].operation, activation=None) for name in linear_read}
    wanted = [point.removesuffix(LINEAR) for point in read] or graph.output_names

    def forward(images: tf.Tensor, given: Mapping[str, tf.Tensor] | None = None) -> Any:
        linear: dict[str, tf.Tensor] = {}

        def call(node: GraphNode, arguments: tuple, options: dict) -> Any:
            if node.name in linear_parts:
                linear[node.name] = call_operation(linear_parts[node.name], *arguments, **options)
                return node.operation.activation(linear[node.name])
            if node.name in replaced:
                return replaced[node.name](*arguments, **options)
            return call_node(node, arguments, options)

        images = tf.cast(images, model.inputs[0].dtype)
        values = graph.run({graph.inputs[0]: images} | dict(given or {}), wanted, call)
        if not read:
            return graph.packed(values)
        return [linear[point.removesuffix(LINEAR)] if point.endswith(LINEAR) else values[point] for point in read]

    return forward


def _replaced(graph: Graph, read: Sequence[str]) -> dict[str, Callable[..., tf.Tensor]]:
    """Node -> function that replaces Keras's: batch norms folded into the preceding convolution, or fused."""
    replaced: dict[str, Callable[..., tf.Tensor]] = {}
    for name, node in graph.nodes.items():
        if isinstance(node.operation, layers.BatchNormalization) and _fusable(node.operation):
            replaced[name] = _fused(node.operation)
    for convolution, norm in _foldable_pairs(graph):
        if convolution.name not in read:
            replaced[convolution.name] = _folded(convolution.operation, norm.operation)
            replaced[norm.name] = _unchanged
    return replaced


def _foldable_pairs(graph: Graph) -> list[tuple[GraphNode, GraphNode]]:
    """Convolutions and batch norms, each called once, where only the batch norm reads the convolution."""
    calls = Counter(id(node.operation) for node in graph.nodes.values())
    reads = Counter(name for node in graph.nodes.values() for name in node.inputs)
    pairs = []
    for norm in graph.nodes.values():
        convolution = graph.nodes[norm.inputs[0]] if norm.inputs else norm
        called_once = calls[id(norm.operation)] == calls[id(convolution.operation)] == 1
        read_once = reads[convolution.name] == 1 and convolution.name not in graph.output_names
        if called_once and read_once and _foldable(convolution.operation, norm.operation):
            pairs.append((convolution, norm))
    return pairs


def _foldable(convolution, norm) -> bool:
    return (
        type(convolution) is layers.Conv2D
        and isinstance(norm, layers.BatchNormalization)
        and convolution.activation is keras.activations.linear
        and convolution.quantization_mode is None
        and convolution.data_format == "channels_last"
        and norm.axis in (-1, 3)
        and convolution.compute_dtype == norm.compute_dtype
    )


def _folded(convolution: layers.Conv2D, norm: layers.BatchNormalization) -> Callable[[tf.Tensor], tf.Tensor]:
    dtype = convolution.compute_dtype

    def call(inputs: tf.Tensor) -> tf.Tensor:
        scale, offset = _line(norm)
        if convolution.use_bias:
            offset += scale * as_type(convolution.bias, "float32")
        kernel = as_type(as_type(convolution.kernel, "float32") * scale, dtype)
        convolved = cast(tf.Tensor, convolution.convolution_op(as_type(inputs, dtype), kernel))
        # oneDNN fuses bias_add with the convolution and with a following ReLU
        return tf.nn.bias_add(convolved, as_type(offset, dtype))

    return call


def _line(norm: layers.BatchNormalization) -> tuple[tf.Tensor, tf.Tensor]:
    """Scale and offset of a batch norm in inference, which is scale * inputs + offset; (channels,) float32 each."""
    mean, variance = (as_type(v, "float32") for v in (norm.moving_mean, norm.moving_variance))
    scale = tf.math.rsqrt(variance + norm.epsilon)
    if norm.scale:
        scale *= as_type(norm.gamma, "float32")
    offset = -mean * scale
    return scale, offset + as_type(norm.beta, "float32") if norm.center else offset


def as_type(value: Any, dtype: str) -> tf.Tensor:
    """A tensor or Keras variable, cast to a tensor of this type."""
    return cast(tf.Tensor, keras.ops.cast(value, dtype))


def _unchanged(inputs: tf.Tensor, mask: Any = None) -> tf.Tensor:
    return inputs


def _fusable(norm: layers.BatchNormalization) -> bool:
    is_narrow = norm.compute_dtype in ("bfloat16", "float16")
    return is_narrow and norm.axis in (-1, 3) and cast(Any, norm.input_spec).ndim == 4


def _fused(norm: layers.BatchNormalization) -> Callable[[tf.Tensor], tf.Tensor]:
    def call(inputs, mask=None):  # Keras does not use the mask in inference either
        scale, offset = _line(norm)
        zeros = tf.zeros_like(scale)
        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            tf.cast(inputs, norm.compute_dtype), scale, offset, zeros, tf.ones_like(scale), 0.0, is_training=False
        )
        return outputs

    return call
