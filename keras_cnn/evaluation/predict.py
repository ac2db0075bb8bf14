"""A model's logits for many images, in one compiled function."""

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from keras.src.models.functional import Functional, operation_fn  # what Keras runs a graph of layers with

LINEAR = ":linear"


class Predictor:
    """Compiles a classifier's inference once; keep it to predict again after the weights have changed.

    Batch norm is computed otherwise than Keras does, in models loaded by plain Keras as well: behind a convolution it
    is multiplied into the kernel, on every call, from the weights as they are then; elsewhere TensorFlow's fused op
    computes it where types are 16 bits wide. The model is not changed, and its logits are Keras's to the rounding of
    the type that it computes in.
    """

    def __init__(self, model: keras.Model, inputs: tf.TensorSpec | None = None, before: Callable | None = None):
        """`inputs` is what the batches hold, if not uint8 images of the model's size; `before` turns that into what the
        model takes, as one part of a network does for the next."""
        self._classes = model.outputs[0].shape[-1]
        forward = inference(model)
        self._forward = tf.function(
            lambda images: tf.cast(forward(before(images) if before else images), tf.float32),
            input_signature=[inputs or tf.TensorSpec(model.inputs[0].shape, tf.uint8)],
            autograph=False,
        )

    def logits(self, batches: Iterable) -> np.ndarray:
        """(N, classes) float32 for batches whose first element is (B, H, W, C) uint8 images, in their order."""
        parts = [self._forward(images).numpy() for images, *_ in batches]
        return np.concatenate(parts) if parts else np.zeros((0, self._classes), np.float32)


def inference(model: keras.Model, read: Sequence[str] = ()) -> Callable[[tf.Tensor], tf.Tensor]:
    """The model's inference as `Predictor` computes it, to be called inside a `tf.function`.

    It takes (B, H, W, C) images of any type of number and gives the model's outputs or, where names of operations are
    to `read`, the list of what these put out. `NAME:linear` is what a Conv2D puts out before its own activation. A
    second argument has tensors to take instead of what operations put out, by name. See `readable` for these names.
    """
    if not isinstance(model, Functional):
        return lambda images: model(images, training=False)
    others: dict[int, Callable] = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and _fusable(layer):
            others[id(layer)] = _fused(layer)
    for convolution, norm in _pairs(model):
        if convolution.name not in read:
            others[id(convolution)], others[id(norm)] = _folded(convolution, norm), _nothing_more

    def forward(images, given=None):
        found, given = {}, given or {}

        def operation(layer):
            if layer.name in given:
                return lambda *_, **__: given[layer.name]
            call = others.get(id(layer)) or operation_fn(layer, training=False)
            if f"{layer.name}{LINEAR}" in read:
                call = _in_two_steps(layer, found)
            return _kept(call, layer.name, found) if layer.name in read else call

        outputs = model._run_through_graph(tf.cast(images, model.inputs[0].dtype), operation)
        if isinstance(outputs, list) and len(outputs) == 1:  # as files of Keras 2 have it
            (outputs,) = outputs
        return [found[name] for name in read] if read else outputs

    return forward


def readable(model: keras.Model, name: str) -> bool:
    """Whether `inference` can read it: an operation that the model's own graph calls once, with one output."""
    if not isinstance(model, Functional):
        return False
    name, _, part = name.partition(":")
    nodes = [n for depth in model._nodes_by_depth.values() for n in depth if n.operation and n.operation.name == name]
    if len(nodes) != 1 or nodes[0].is_input or len(nodes[0].outputs) != 1:
        return False
    return not part or (type(nodes[0].operation) is layers.Conv2D and nodes[0].operation.quantization_mode is None)


def _kept(call: Callable, name: str, found: dict[str, tf.Tensor]) -> Callable:
    def keeping(*arguments, **options):
        found[name] = call(*arguments, **options)
        return found[name]

    return keeping


def _in_two_steps(convolution: layers.Conv2D, found: dict[str, tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    dtype = convolution.compute_dtype

    def call(inputs):
        outputs = convolution.convolution_op(ops.cast(inputs, dtype), ops.cast(convolution.kernel, dtype))
        if convolution.use_bias:
            outputs += ops.cast(convolution.bias, dtype)
        found[f"{convolution.name}{LINEAR}"] = outputs
        return convolution.activation(outputs)

    return call


def _pairs(model: Functional) -> list[tuple[layers.Conv2D, layers.BatchNormalization]]:
    """Convolutions and batch norms, each called once, where nothing but the batch norm reads the convolution."""
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth if not node.is_input]
    called = [id(node.operation) for node in nodes]
    read = [id(tensor) for node in nodes for tensor in node.input_tensors]
    made_by = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    pairs = []
    for node in nodes:
        norm, tensor = node.operation, id(node.input_tensors[0])
        convolution = made_by.get(tensor)
        once = called.count(id(norm)) == called.count(id(convolution)) == read.count(tensor) == 1
        if once and _foldable(convolution, norm):
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

    def call(inputs):
        scale, offset = _line(norm)
        if convolution.use_bias:
            offset += scale * ops.cast(convolution.bias, "float32")
        kernel = ops.cast(ops.cast(convolution.kernel, "float32") * scale, dtype)
        # bias_add, which oneDNN joins with the convolution and with a ReLU behind it
        return tf.nn.bias_add(convolution.convolution_op(ops.cast(inputs, dtype), kernel), ops.cast(offset, dtype))

    return call


def _line(norm: layers.BatchNormalization) -> tuple[tf.Tensor, tf.Tensor]:
    """Batch norm in inference is scale * inputs + offset, a channel each, float32."""
    mean, variance = (ops.cast(v, "float32") for v in (norm.moving_mean, norm.moving_variance))
    scale = ops.rsqrt(variance + norm.epsilon)
    if norm.scale:
        scale *= ops.cast(norm.gamma, "float32")
    offset = -mean * scale
    return scale, offset + ops.cast(norm.beta, "float32") if norm.center else offset


def _nothing_more(outputs, mask=None):
    return outputs


def _fusable(norm: layers.BatchNormalization) -> bool:
    return norm.compute_dtype in ("bfloat16", "float16") and norm.axis in (-1, 3) and norm.input_spec.ndim == 4


def _fused(norm: layers.BatchNormalization) -> Callable[[tf.Tensor], tf.Tensor]:
    def call(inputs, mask=None):  # in inference Keras makes no use of the mask either
        scale, offset = _line(norm)
        zeros = tf.zeros_like(scale)
        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            tf.cast(inputs, norm.compute_dtype), scale, offset, zeros, tf.ones_like(scale), 0.0, is_training=False
        )
        return outputs

    return call
