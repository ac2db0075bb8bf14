"""TrivialAugment and RandAugment as functions of (seed, epoch, image key): which operations an image has, how strongly.

The operations, their order and their magnitudes are those of torchvision's `TrivialAugmentWide` and `RandAugment`, with
31 levels. The geometric ones are matrices here, which `augment` makes part of its one warp; `colours` has the others.
"""

from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from keras_cnn.data.threefry import uniform
from keras_cnn.data.xla import compiled

Policy = Literal["none", "trivialaugment", "randaugment"]
POLICIES = get_args(Policy)
OPERATIONS = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"),
    *("Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
LEVELS = 31
_FIRST = 1 << 17  # of the counters, far above those of `augment`


def magnitudes(policy: str, size: tuple[int, int]) -> np.ndarray:
    """(14, 31) float32: the strength of each of the `OPERATIONS` at each level, without its sign.

    ShearX and ShearY are slopes, TranslateX and TranslateY whole pixels of an image of `size` (H, W), Rotate degrees;
    Brightness to Sharpness are added to a factor of 1; Posterize is a number of bits, Solarize a grey level.
    """
    trivial = policy == "trivialaugment"
    shear, turn, colour, bits = (0.99, 135.0, 0.99, 6) if trivial else (0.3, 30.0, 0.9, 4)
    across, down = (32.0, 32.0) if trivial else (150 / 331 * size[1], 150 / 331 * size[0])
    none, levels = np.zeros(LEVELS), np.arange(LEVELS)

    def up_to(most: float) -> np.ndarray:
        return np.linspace(0.0, most, LEVELS)

    moves = [np.trunc(up_to(most).astype(np.float32)) for most in (across, down)]
    posterize = 8 - np.round(levels / ((LEVELS - 1) / bits))
    rows = [none, up_to(shear), up_to(shear), *moves, up_to(turn), *[up_to(colour)] * 4]
    return np.stack([*rows, posterize, np.linspace(255.0, 0.0, LEVELS), none, none]).astype(np.float32)


_SIGNED = np.array([name in OPERATIONS[1:10] for name in OPERATIONS])  # ShearX to Sharpness, either way


@compiled
def draw(keys, stream, recipe, size: tuple[int, int]):
    """The operations of each image, in their order: (B, n) int32 indices of OPERATIONS, and (B, n) float32 strengths.

    Each operation is uniform over the 14; its level is that of the recipe or, with TrivialAugment, uniform; its sign is
    uniform. keys: (B, 2) int32. stream: epoch and seed, whole numbers of which the lower 32 bits are used.
    """
    count = recipe.operations if recipe.policy == "randaugment" else 1
    number, level, sign, _ = tf.split(uniform(keys, stream, _FIRST, 2 * count), 4, axis=1)
    operation = tf.cast(tf.floor(number * len(OPERATIONS)), tf.int32)
    table = magnitudes(recipe.policy, size)
    if recipe.policy == "randaugment":
        strength = tf.gather(tf.constant(table[:, recipe.magnitude]), operation)
    else:
        chosen = tf.cast(tf.floor(level * LEVELS), tf.int32)
        strength = tf.gather(tf.constant(table.ravel()), operation * LEVELS + chosen)
    negative = tf.gather(tf.constant(_SIGNED), operation) & (sign < 0.5)
    return operation, tf.where(negative, -strength, strength)


@compiled
def with_geometry(matrix, operation, strength, size: tuple[int, int]):
    """The (B, 6) maps from output pixels to the input, see `augment`, with the geometric operations after them.

    As in torchvision, a slope is about the upper left corner of the image, and a positive angle turns it anticlockwise.
    """
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    for place in range(operation.shape[1]):

        def strength_of(name, place=place):
            is_drawn = operation[:, place] == OPERATIONS.index(name)
            return tf.where(is_drawn, strength[:, place], 0.0)

        across, down = strength_of("ShearX"), strength_of("ShearY")
        angle = strength_of("Rotate") * (np.pi / 180)
        cos, sin = tf.cos(angle), tf.sin(angle)
        a, b, d, e = cos, across - sin, down + sin, cos
        c = x - cos * x + sin * y + across / 2 - strength_of("TranslateX")
        f = y - sin * x - cos * y + down / 2 - strength_of("TranslateY")
        matrix = _after(matrix, (a, b, c, d, e, f))
    return matrix


def _after(matrix, step):
    """The (B, 6) map that applies `matrix` to the result of `step`, a map given by its six columns."""
    a, b, c, d, e, f = step
    rows = []
    for first in (0, 3):
        p, q, r = (matrix[:, first + place] for place in range(3))
        rows += [p * a + q * d, p * b + q * e, p * c + q * f + r]
    return tf.stack(rows, axis=1)
