"""Random erasing (Zhong et al. 2020) as a function of (seed, epoch, image key), as torchvision draws it."""

import math

import tensorflow as tf

from keras_cnn.data.resized_crops import ATTEMPTS, drawn_sides, first_of
from keras_cnn.data.threefry import uniform
from keras_cnn.data.xla import compiled

AREA = (0.02, 0.33)  # shares of the image, as in the paper and in torchvision's RandomErasing
_RATIOS = (-math.log(3.3), -math.log(0.3))  # logarithms of width / height; theirs is height / width
_FIRST = 1 << 18  # of the counters, far above those of `augment`


@compiled
def erased_windows(keys, stream, probability: float, size: tuple[int, int]):
    """(B, 4) float32: top, left, height and width in whole pixels of what is erased; height and width 0 for nothing.

    A window is smaller than the image in height and width; where ten draws are not, nothing is erased.

    keys: (B, 2) int32. stream: epoch and seed, whole numbers of which the lower 32 bits are used. size: (H, W).
    """
    numbers = uniform(keys, stream, _FIRST, ATTEMPTS + 2)
    every = tf.ones_like(numbers[:, :2]) * tf.constant(size, tf.float32)
    sides = drawn_sides(numbers[:, 3 : 3 + 2 * ATTEMPTS], every, AREA, _RATIOS)
    sides, any_fits = first_of(sides, tf.reduce_all(sides < every[:, None], axis=2))
    place = tf.floor(numbers[:, 1:3] * (every - sides + 1))
    return tf.where(any_fits & (numbers[:, :1] < probability), tf.concat([place, sides], axis=1), 0.0)


def inside_windows(windows, height: int, width: int):
    """(B, H, W, 1) bool: the pixels inside (B, 4) windows."""

    def inside(start, side, size):
        pixel = tf.range(size, dtype=tf.float32)[None]
        return (pixel >= start[:, None]) & (pixel < (start + side)[:, None])

    top, left, rows, columns = tf.unstack(windows, axis=1)
    return inside(top, rows, height)[:, :, None, None] & inside(left, columns, width)[:, None, :, None]
