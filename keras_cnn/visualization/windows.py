"""The first layers of a network for many images that differ from one image in a small square each.

Where a square of the image changes, only a window of each map changes: for a convolution the square and a border of its
kernel's reach. So the first layers are computed on windows alone, cut from the maps of the one image with the changed
values in their place, and pasted into those maps where the windows get too large. Every sum has the terms that it has
without windows, so the results differ by rounding alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf
from keras import layers, ops

from keras_cnn.models.graph import GraphNode, call_operation
from keras_cnn.visualization.probe import Probe

# Of a map. For a patch of 8 on 32×32 pixels net3 is twice as fast with 0.8 as without windows, in float32 and in
# bfloat16, and with 0.5 less so.
_LARGEST_SHARE = 0.8
_EACH_PIXEL = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.Identity,
    layers.LeakyReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.SpatialDropout2D,
)

Sides = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Values (B, h, w, C) of maps from row `top` (B,) and column `left` (B,) on."""

    values: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor


@dataclass(frozen=True)
class Sliding:
    """How a layer slides over its input, in rows and columns, and what its padding is filled with."""

    size: Sides
    stride: Sides
    before: Sides  # padding above and on the left
    fill: float


@dataclass(frozen=True)
class Step:
    """One layer; without `sliding` it takes each pixel alone."""

    node: GraphNode
    reads: str  # name of the node before
    sliding: Sliding | None = None


def first_steps(probe: Probe, size: int) -> list[Step]:
    """The layers from the image on that are worth computing on windows when a square of `size` changes; maybe none.

    They end before a branch, a layer of another kind, and a map of which the window would be almost the whole.
    """
    steps: list[Step] = []
    previous, window = probe.nodes[probe.names[0]], (size, size)
    while len(readers := probe.readers(previous.name)) == 1 and None not in previous.shape:
        (node,) = readers
        sliding = _sliding(node, previous)
        known = sliding is not None or isinstance(node.operation, _EACH_PIXEL)
        if not known:
            break
        if sliding is not None:
            window = _larger(sliding, window, node.shape)
            if window[0] * window[1] > _LARGEST_SHARE * node.shape[0] * node.shape[1]:
                break
        steps.append(Step(node, previous.name, sliding))
        previous = node
    return steps if any(step.sliding for step in steps) else []


def maps_read(steps: list[Step]) -> list[str]:
    """Names of the nodes whose maps `through` wants."""
    return list(dict.fromkeys([*(step.reads for step in steps if step.sliding), steps[-1].node.name]))


def through(steps: list[Step], changed: Windows, maps: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """(B, H, W, C): what the last step puts out for images that differ from one image at the windows alone.

    `maps` has (1, H, W, C) for that one image, of each node of `maps_read`.
    """
    for step in steps:
        if step.sliding is None:
            values = call_operation(step.node.operation, changed.values)
            changed = Windows(values, changed.top, changed.left)
        else:
            changed = _slide(step, changed, maps[step.reads])
    return pasted(maps[steps[-1].node.name], changed)


def pasted(whole: tf.Tensor, changed: Windows) -> tf.Tensor:
    """(B, H, W, C): copies of `whole` (1, H, W, C), each with its window in it."""
    every = [tf.tile(tf.range(side)[None], [tf.shape(changed.top)[0], 1]) for side in whole.shape[1:3]]
    return _cut(whole, changed, *every, 0.0)


def _sliding(node: GraphNode, previous: GraphNode) -> Sliding | None:
    operation = node.operation
    if type(operation) is layers.Conv2D and operation.quantization_mode is None:
        sizes = [(k - 1) * d + 1 for k, d in zip(operation.kernel_size, operation.dilation_rate, strict=True)]
        fill = 0.0
    elif type(operation) is layers.MaxPooling2D:
        sizes, fill = operation.pool_size, float("-inf")
    else:
        return None
    if operation.data_format != "channels_last":
        return None
    before = [0, 0]
    if operation.padding == "same":
        sides = zip(node.shape, previous.shape, operation.strides, sizes, strict=False)
        before = [max((out - 1) * step + size - side, 0) // 2 for out, side, step, size in sides]
    return Sliding(tuple(sizes), tuple(operation.strides), tuple(before), fill)


def _larger(sliding: Sliding, window: Sides, sides: tuple) -> Sides:
    """Rows and columns of the output, of `sides`, that a window of the input may change: at most so many."""
    axes = zip(window, sliding.size, sliding.stride, sides, strict=False)
    return tuple(min((length + size - 2) // step + 1, side) for length, size, step, side in axes)


def _slide(step: Step, changed: Windows, whole: tf.Tensor) -> Windows:
    sliding, sides = step.sliding, step.node.shape
    window = _larger(sliding, changed.values.shape[1:3], sides)
    firsts, places = [], []
    for axis, corner in enumerate((changed.top, changed.left)):
        size, stride, before = sliding.size[axis], sliding.stride[axis], sliding.before[axis]
        first = -((size - 1 - before - corner) // stride)  # rounded up: the first output that sees the window
        first = tf.clip_by_value(first, 0, sides[axis] - window[axis])
        firsts.append(first)
        needed = (window[axis] - 1) * stride + size
        places.append((first * stride - before)[:, None] + tf.range(needed)[None])
    values = _applied(step.node.operation, _cut(whole, changed, *places, sliding.fill))
    return Windows(values, *firsts)


def _applied(operation, values: tf.Tensor) -> tf.Tensor:
    """The layer on values that have their padding already."""
    values = ops.cast(values, operation.compute_dtype)
    if isinstance(operation, layers.MaxPooling2D):
        return tf.nn.max_pool2d(values, operation.pool_size, operation.strides, "VALID")
    kernel = ops.cast(operation.kernel, operation.compute_dtype)
    values = tf.nn.convolution(values, kernel, operation.strides, "VALID", dilations=operation.dilation_rate)
    if operation.use_bias:
        values = tf.nn.bias_add(values, ops.cast(operation.bias, operation.compute_dtype))
    return operation.activation(values)


def _cut(whole: tf.Tensor, changed: Windows, rows: tf.Tensor, columns: tf.Tensor, fill: float) -> tf.Tensor:
    """(B, h, w, C): the pixels at `rows` (B, h) and `columns` (B, w), changed where windows lie, `fill` off the map."""
    _, height, width, channels = whole.shape
    high, wide = changed.values.shape[1:3]
    whole = tf.cast(whole, changed.values.dtype)
    border = tf.fill([1, channels], tf.cast(fill, whole.dtype))
    table = tf.concat([tf.reshape(whole, [-1, channels]), border, tf.reshape(changed.values, [-1, channels])], axis=0)
    down, across = rows - changed.top[:, None], columns - changed.left[:, None]
    image = tf.range(tf.shape(rows)[0])[:, None, None]
    inside = height * width + 1 + (image * high + down[:, :, None]) * wide + across[:, None, :]
    on_map = rows[:, :, None] * width + columns[:, None, :]
    is_changed = _both((down >= 0) & (down < high), (across >= 0) & (across < wide))
    is_on_map = _both((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    return tf.gather(table, tf.where(is_changed, inside, tf.where(is_on_map, on_map, height * width)))


def _both(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    return rows[:, :, None] & columns[:, None, :]
