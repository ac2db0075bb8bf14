"""The warp of a batch of images: each pixel of the output is sampled at a position that an affine map gives.

XLA compiles each stage separately, see `augment`. Every op has a kernel on GPUs: pixels and positions are uint32, which
has kernels for arithmetic where int32 is computed on the host, and are gathered as int32, because uint32 has no kernel
for that.
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cnn.data.xla import compiled

Fill = Literal["constant", "nearest", "reflect"]
FILLS = get_args(Fill)


def warp(images, matrix, interpolate, fill):
    """(B, H, W) uint32: the images (B, H, W, C) uint8 sampled at the positions of `matrix`, packed, see `unpacked`.

    `matrix` (B, 6) float32 has a, b, c, d, e, f: output pixel (x, y) shows the input at (ax + by + c, dx + ey + f),
    where pixels have whole numbers. `interpolate` says whether a position may fall between pixels.
    """
    height, width = images.shape[1:3]
    border = 1 if fill == "constant" else 0
    packed = _pack(images, border)
    return _sample(packed, *_positions(matrix, height, width, interpolate, fill), width + 2 * border)


@compiled
def _pack(images, border):
    """(B, h, w) uint32: each pixel's channels in the four bytes of a word, so that sampling reads whole pixels."""
    spare = 4 - images.shape[-1]
    return tf.bitcast(tf.pad(images, [[0, 0], [border, border], [border, border], [0, spare]]), tf.uint32)


@compiled
def _positions(matrix, height, width, interpolate, fill):
    """The index of the upper left neighbour in the flattened packed batch, and the lower right's weights in 1/256."""
    x = tf.range(width, dtype=tf.float32)[None, None, :]
    y = tf.range(height, dtype=tf.float32)[None, :, None]
    a, b, c, d, e, f = (matrix[:, None, None, k] for k in range(6))
    border = 1 if fill == "constant" else 0
    rows, columns = height + 2 * border, width + 2 * border
    left, weight_x = _split(_fold(a * x + b * y + c, width, fill), columns)
    top, weight_y = _split(_fold(d * x + e * y + f, height, fill), rows)
    first = tf.bitcast(tf.range(tf.shape(matrix)[0]), tf.uint32)[:, None, None] * _word(rows * columns)
    columns = _word(columns)
    if interpolate:
        weights = tf.bitwise.bitwise_or(weight_x, tf.bitwise.left_shift(weight_y, _word(16)))
        return first + top * columns + left, weights
    eight = _word(8)
    whole_x, whole_y = left + tf.bitwise.right_shift(weight_x, eight), top + tf.bitwise.right_shift(weight_y, eight)
    return first + whole_y * columns + whole_x, None


def _fold(position, size, fill):
    """The position in the packed image, which has a border of one black pixel if `fill` is constant."""
    if fill == "constant":
        return tf.clip_by_value(position + 1, 0.0, size + 1.0)
    if fill == "reflect":
        phase = (position + 0.5) / (2 * size)
        phase = (phase - tf.floor(phase)) * (2 * size)
        position = tf.minimum(phase, 2 * size - phase) - 0.5
    return tf.clip_by_value(position, 0.0, size - 1.0)


def _split(position, size):
    """The whole part, at most size - 2 so that a right neighbour exists, and the rest in 1/256 pixel, 0 to 256."""
    fixed = tf.bitcast(tf.cast(position * 256 + 0.5, tf.int32), tf.uint32)
    pixel = tf.minimum(tf.bitwise.right_shift(fixed, _word(8)), _word(size - 2))
    return pixel, fixed - pixel * _word(256)


@compiled
def _sample(packed, index, weights, columns):
    """(B, H, W) uint32: the bilinear mean of the four neighbours, two channels at a time in the halves of a word.

    Each of the two interpolations rounds to 8 bits: the result is at most one grey level from the exact value, and
    equal to it wherever the position is whole.
    """
    flat = tf.bitcast(tf.reshape(packed, [-1]), tf.int32)

    def pixels(index):
        return tf.bitcast(tf.gather(flat, tf.bitcast(index, tf.int32)), tf.uint32)

    if weights is None:
        return pixels(index)
    corners = [pixels(index + _word(step)) for step in (0, 1, columns, columns + 1)]
    x, y = tf.bitwise.bitwise_and(weights, _word(0xFFFF)), tf.bitwise.right_shift(weights, _word(16))
    even, odd = (_bilinear([half(c) for c in corners], x, y) for half in (_even, _odd))
    return tf.bitwise.bitwise_or(even, tf.bitwise.left_shift(odd, _word(8)))


def _word(value):
    return tf.constant(value, tf.uint32)


def _even(pixels):
    return tf.bitwise.bitwise_and(pixels, _word(0x00FF00FF))


def _odd(pixels):
    return _even(tf.bitwise.right_shift(pixels, _word(8)))


def _bilinear(corners, x, y):
    def between(first, second, weight):
        total = first * (_word(256) - weight) + second * weight + _word(0x00800080)
        return _even(tf.bitwise.right_shift(total, _word(8)))

    upper, lower = between(corners[0], corners[1], x), between(corners[2], corners[3], x)
    return between(upper, lower, y)


def unpacked(packed, channels):
    """(B, H, W, C) uint8 from the packed pixels of `warp`."""
    return tf.bitcast(packed, tf.uint8)[..., :channels]
