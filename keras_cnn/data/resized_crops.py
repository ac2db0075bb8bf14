"""Random resized crops (Szegedy et al. 2015) as a function of (seed, epoch, image key), as torchvision draws them."""

import math

import tensorflow as tf

from keras_cnn.data.threefry import uniform
from keras_cnn.data.xla import compiled

ATTEMPTS = 10  # as in torchvision's RandomResizedCrop
_RATIOS = (math.log(3 / 4), math.log(4 / 3))
_FIRST = 1 << 16  # of the counters, far above those of `augment`


def crop_windows(keys, stream, height, width, area: tuple[float, float]):
    """(B, 4) int32: top, left, height and width in whole pixels of a random window of each image.

    The window has a share of the image between the two of `area`, and is between 3/4 and 4/3 as wide as high. Where ten
    draws do not fit into the image, it is the largest centred window of such a ratio.

    keys: (B, 2) int32. stream: epoch and seed, whole numbers of which the lower 32 bits are used. height, width: (B,)
    int32, of the upright images in pixels.
    """
    numbers = uniform(keys, stream, _FIRST, ATTEMPTS + 1)
    size = tf.cast(tf.stack([height, width], axis=1), tf.float32)
    sides = drawn_sides(numbers[:, : 2 * ATTEMPTS], size, area, _RATIOS)
    fits = tf.reduce_all((sides >= 1) & (sides <= size[:, None]), axis=2)
    sides, any_fits = first_of(sides, fits)
    sides = tf.where(any_fits, sides, _largest(size))
    place = tf.where(any_fits, tf.floor(numbers[:, 2 * ATTEMPTS :] * (size - sides + 1)), tf.floor((size - sides) / 2))
    return tf.cast(tf.concat([place, sides], axis=1), tf.int32)


def drawn_sides(numbers, size, area: tuple[float, float], ratios: tuple[float, float]):
    """(B, ATTEMPTS, 2) float32: heights and widths in whole pixels, by an area and by width / height.

    The area is a share of the image between the two of `area`, the logarithm of the ratio between the two of `ratios`;
    both are uniform. numbers: (B, 2 * ATTEMPTS) float32 in [0, 1). size: (B, 2) float32, height and width of the image.
    """
    wanted = tf.reduce_prod(size, axis=1)[:, None] * (area[0] + numbers[:, :ATTEMPTS] * (area[1] - area[0]))
    ratio = tf.exp(ratios[0] + numbers[:, ATTEMPTS:] * (ratios[1] - ratios[0]))
    return tf.round(tf.stack([tf.sqrt(wanted / ratio), tf.sqrt(wanted * ratio)], axis=2))


def first_of(sides, fits):
    """(B, 2) the first sides that fit, and (B, 1) bool, whether any does; sides: (B, ATTEMPTS, 2), fits without 2."""
    return tf.gather(sides, tf.argmax(fits, axis=1), axis=1, batch_dims=1), tf.reduce_any(fits, axis=1)[:, None]


@compiled
def into_random_window(matrix, keys, stream, area, size):
    """The (B, 6) maps from output pixels to an image of `size` (H, W), see `augment`, led into a window of it."""
    every = tf.ones_like(keys[:, 0])
    window = crop_windows(keys, stream, size[0] * every, size[1] * every, area)
    top, left, rows, columns = tf.unstack(tf.cast(window, tf.float32), axis=1)
    a, b, c, d, e, f = tf.unstack(matrix, axis=1)
    x, y = columns / size[1], rows / size[0]
    return tf.stack([a * x, b * x, left + (c + 0.5) * x - 0.5, d * y, e * y, top + (f + 0.5) * y - 0.5], axis=1)


def _largest(size):
    """(B, 2) height and width of the largest window whose ratio is allowed."""
    height, width = size[:, 0], size[:, 1]
    ratio = tf.clip_by_value(width / height, 3 / 4, 4 / 3)
    is_wide = width / height > ratio
    high = tf.where(is_wide, height, tf.round(width / ratio))
    wide = tf.where(is_wide, tf.round(height * ratio), width)
    return tf.stack([high, wide], axis=1)
