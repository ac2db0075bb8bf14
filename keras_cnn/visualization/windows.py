"""The first layers of a network for many images, each differing from one base image in a small square.

When a square of the image changes, only a window of each map changes: for a convolution, the square and a border as
wide as the kernel reaches. So the first layers are computed on windows only. A window is cut from a map of the base
image and gets the changed values. Once windows would become too large, they are pasted back into the maps of the base
image. Each sum has the same terms as without windows, so the results differ by rounding only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from keras import layers

from keras_cnn.evaluation.predict import as_type
from keras_cnn.models.graph import GraphNode, call_operation
from keras_cnn.visualization.probe import Probe

# The largest window, as a share of the map. For a patch of 8 on 32×32 pixels, net3 is twice as fast with 0.8 as without
# windows, in float32 and in bfloat16; with 0.5 it gains less.
_LARGEST_SHARE = 0.8
_PIXEL_WISE = (
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
    """Values (B, h, w, C) of maps; the upper left corners are at rows `top` (B,) and columns `left` (B,)."""

    values: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor


@dataclass(frozen=True)
class Sliding:
    """How a layer slides over its input, in rows and columns, and what its padding is filled with."""

    size: Sides
    stride: Sides
    padding: Sides  # above and on the left
    fill: float
    outputs: Sides  # height and width of the layer's map


@dataclass(frozen=True)
class WindowedLayer:
    """One layer that is computed on windows; without `sliding` it acts on each pixel separately."""

    node: GraphNode
    reads: str  # name of its input node
    sliding: Sliding | None = None


def first_layers(probe: Probe, size: int) -> list[WindowedLayer]:
    """The layers from the image on that are worth computing on windows when a square of side `size` changes.

    The list ends before a branch, a layer of another kind, or a map that a window would nearly fill; it may be empty.
    """
    chain: list[WindowedLayer] = []
    previous, window = probe.nodes[probe.names[0]], (size, size)
    while len(readers := probe.readers(previous.name)) == 1 and None not in previous.shape:
        (node,) = readers
        sliding = _sliding(node, previous)
        if sliding is None and not isinstance(node.operation, _PIXEL_WISE):
            break
        if sliding is not None:
            window = _larger(sliding, window)
            if window[0] * window[1] > _LARGEST_SHARE * sliding.outputs[0] * sliding.outputs[1]:
                break
        chain.append(WindowedLayer(node, previous.name, sliding))
        previous = node
    return chain if any(layer.sliding for layer in chain) else []


def maps_read(chain: list[WindowedLayer]) -> list[str]:
    """Names of the nodes whose maps `through` needs."""
    return list(dict.fromkeys([*(layer.reads for layer in chain if layer.sliding), chain[-1].node.name]))


def through(chain: list[WindowedLayer], changed: Windows, maps: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """(B, H, W, C): the output of the last layer for images that differ from the base image only in the windows.

    `maps` holds the map (1, H, W, C) of the base image for each node of `maps_read`.
    """
    for layer in chain:
        if layer.sliding is None:
            values = call_operation(layer.node.operation, changed.values)
            changed = Windows(values, changed.top, changed.left)
        else:
            changed = _slide(layer.node.operation, layer.sliding, changed, maps[layer.reads])
    return pasted(maps[chain[-1].node.name], changed)


def pasted(maps: tf.Tensor, changed: Windows) -> tf.Tensor:
    """(B, H, W, C): copies of `maps` (1, H, W, C), each with its window pasted in."""
    count = tf.shape(changed.top)[0]
    rows, columns = (tf.tile(tf.range(side)[None], tf.stack([count, 1])) for side in maps.shape[1:3])
    return _cut(maps, changed, rows, columns, fill=0.0)


def _sliding(node: GraphNode, previous: GraphNode) -> Sliding | None:
    operation = node.operation
    if type(operation) is layers.Conv2D and operation.quantization_mode is None:
        sizes = [(k - 1) * d + 1 for k, d in zip(operation.kernel_size, operation.dilation_rate, strict=True)]
        fill = 0.0
    elif type(operation) is layers.MaxPooling2D:
        sizes, fill = operation.pool_size, float("-inf")
    else:
        return None
    if operation.data_format != "channels_last" or None in node.shape:
        return None
    outputs, inputs = (_sides(shape) for shape in (node.shape, previous.shape))
    padding = [0, 0]
    if operation.padding == "same":
        axes = zip(outputs, inputs, operation.strides, sizes, strict=True)
        padding = [max((output - 1) * step + size - side, 0) // 2 for output, side, step, size in axes]
    return Sliding(_sides(sizes), _sides(operation.strides), _sides(padding), fill, outputs)


def _sides(values: Sequence[int | None]) -> Sides:
    return values[0] or 0, values[1] or 0


def _larger(sliding: Sliding, window: Sides) -> Sides:
    """The largest numbers of output rows and columns that a window of the input can change."""
    axes = zip(window, sliding.size, sliding.stride, sliding.outputs, strict=True)
    return _sides([min((length + size - 2) // step + 1, side) for length, size, step, side in axes])


def _slide(operation: Any, sliding: Sliding, changed: Windows, maps: tf.Tensor) -> Windows:
    window = _larger(sliding, _sides(changed.values.shape.as_list()[1:3]))
    firsts, places = [], []
    for axis, corner in enumerate((changed.top, changed.left)):
        size, stride, padding = sliding.size[axis], sliding.stride[axis], sliding.padding[axis]
        first = -((size - 1 - padding - corner) // stride)  # rounded up: the first output that sees the window
        first = tf.clip_by_value(first, 0, sliding.outputs[axis] - window[axis])
        firsts.append(first)
        needed = (window[axis] - 1) * stride + size
        places.append((first * stride - padding)[:, None] + tf.range(needed)[None])
    rows, columns = places
    values = _applied(operation, _cut(maps, changed, rows, columns, fill=sliding.fill))
    return Windows(values, *firsts)


def _applied(operation: Any, values: tf.Tensor) -> tf.Tensor:
    """The output of the layer for values that are already padded."""
    dtype = operation.compute_dtype
    values = as_type(values, dtype)
    if isinstance(operation, layers.MaxPooling2D):
        return tf.nn.max_pool2d(values, operation.pool_size, operation.strides, "VALID")
    kernel = as_type(operation.kernel, dtype)
    values = tf.nn.convolution(values, kernel, operation.strides, "VALID", dilations=operation.dilation_rate)
    if operation.use_bias:
        values = tf.nn.bias_add(values, as_type(operation.bias, dtype))
    return operation.activation(values)


def _cut(maps: tf.Tensor, changed: Windows, rows: tf.Tensor, columns: tf.Tensor, *, fill: float) -> tf.Tensor:
    """(B, h, w, C): pixels at `rows` (B, h) and `columns` (B, w), from the windows or else `maps`; `fill` outside."""
    _, height, width, channels = (side or 0 for side in maps.shape)
    high, wide = _sides(changed.values.shape.as_list()[1:3])
    maps = tf.cast(maps, changed.values.dtype)
    border = tf.fill([1, channels], tf.cast(fill, maps.dtype))
    table = tf.concat([tf.reshape(maps, [-1, channels]), border, tf.reshape(changed.values, [-1, channels])], axis=0)
    down, across = rows - changed.top[:, None], columns - changed.left[:, None]
    image = tf.range(tf.shape(rows)[0])[:, None, None]
    inside = height * width + 1 + (image * high + down[:, :, None]) * wide + across[:, None, :]
    on_map = rows[:, :, None] * width + columns[:, None, :]
    is_changed = _both((down >= 0) & (down < high), (across >= 0) & (across < wide))
    is_on_map = _both((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    return tf.gather(table, tf.where(is_changed, inside, tf.where(is_on_map, on_map, height * width)))


def _both(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    return rows[:, :, None] & columns[:, None, :]
