"""Receptive fields: the pixels of the image that a unit sees, by arithmetic and by the gradient."""

from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models import arithmetic
from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.visualization.gradients import Score, gradients
from keras_cnn.visualization.probe import ModelOrProbe, Probe

NOISE_IMAGES = 16


class Box(NamedTuple):
    """A rectangle of pixels, ends excluded; it extends beyond the image where a unit sees padding."""

    top: int
    bottom: int
    left: int
    right: int

    def inside(self, height: int, width: int) -> "Box":
        """The part that lies on an image; an empty box if no part does."""
        top, bottom = (min(max(edge, 0), height) for edge in (self.top, self.bottom))
        left, right = (min(max(edge, 0), width) for edge in (self.left, self.right))
        return Box(top, bottom, left, right)


@dataclass(frozen=True)
class MeasuredField:
    """The receptive field of one unit by arithmetic, and the pixels with a gradient."""

    layer: str
    unit: tuple[int, int]  # row and column on the layer's map
    box: Box  # by arithmetic, on the image
    strength: np.ndarray  # (H, W) float64: mean absolute gradient of the unit, over channels and noise images
    reached: Box | None  # smallest box around every pixel with a gradient; None if no pixel has one

    @property
    def contained(self) -> bool:
        """Whether no pixel outside the computed box changes the unit: this must hold for every network."""
        if self.reached is None:
            return True
        inside, outside = self.reached, self.box
        rows = outside.top <= inside.top and inside.bottom <= outside.bottom
        return rows and outside.left <= inside.left and inside.right <= outside.right

    @property
    def exact(self) -> bool:
        """Whether the outermost pixels of the box change the unit; if weights are zero, they may not."""
        return self.reached == self.box


def receptive_fields(model: keras.Model) -> dict[str, ReceptiveField]:
    """Layer -> size, stride and offset in pixels, for every layer whose receptive field is known.

    See `models.arithmetic.Axis`. Raises InputError for a model that `arithmetic.table` refuses.

    Source: A. Araujo, W. Norris and J. Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
    """
    return {row.layer: row.field for row in arithmetic.table(model) if row.field is not None}


def receptive_field_of(model: keras.Model, layer: str) -> ReceptiveField:
    """The receptive field of one layer. InputError for an unknown layer, and for one whose field is not known."""
    rows = {row.layer: row for row in arithmetic.table(model)}
    if layer not in rows:
        raise InputError(f"{model.name}: no layer {layer!r}{nearest(layer, rows)}")
    field = rows[layer].field
    if field is None:
        expected = "convolutions, pools and element-wise layers before it"
        raise InputError(f"{model.name}: {layer}: a receptive field that is not known, expected {expected}")
    return field


def measured_field(
    model: ModelOrProbe, layer: str, unit: tuple[int, int] | None = None, *, seed: int = 0
) -> MeasuredField:
    """The pixels that change one unit of a layer's map, by default the middle one, and its computed field.

    The gradient of a random weighting of the unit's channels is taken for several images of noise: a ReLU or a max pool
    may block a pixel in one image and let it through in another.

    Raises InputError for an unknown layer, a layer without a map or a known field, and a unit outside the map.
    """
    probe = Probe.of(model)
    point = probe.point(layer)
    shape = probe.map_shape(point)
    unit = (shape[0] // 2, shape[1] // 2) if unit is None else unit
    inside = all(0 <= place < side for place, side in zip(unit, shape, strict=False))
    require(inside, f"{probe.name}: {layer}", f"unit {unit}", f"0 to {shape[0] - 1} and 0 to {shape[1] - 1}")
    height, width, channels = probe.image_shape
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (NOISE_IMAGES, height, width, channels)).astype(np.float32)
    weights = np.zeros((NOISE_IMAGES, *shape), np.float32)
    weights[:, unit[0], unit[1]] = generator.normal(size=(NOISE_IMAGES, shape[2]))
    words = (f"{layer} at {unit}",) * NOISE_IMAGES
    _, _, slopes = gradients(probe, images, Score(point, weights, words))
    strength = np.abs(slopes.astype(np.float64)).mean(axis=(0, 3))
    seen = box(receptive_field_of(probe.model, point.partition(":")[0]), unit).inside(height, width)
    return MeasuredField(layer, unit, seen, strength, _around(strength > 0))


def box(field: ReceptiveField, unit: tuple[int, int]) -> Box:
    """The pixels that the unit at (row, column) of the map sees; outside the image they are padding."""
    (top, bottom), (left, right) = (
        (axis.offset + place * axis.stride, axis.offset + place * axis.stride + axis.size)
        for axis, place in zip(field, unit, strict=True)
    )
    return Box(top, bottom, left, right)


def patch(image: np.ndarray, field: ReceptiveField, unit: tuple[int, int]) -> np.ndarray:
    """The pixels (height, width, C) of an image (H, W, C) that a unit sees; padding beyond the border is no pixel."""
    seen = box(field, unit).inside(*image.shape[:2])
    return image[seen.top : seen.bottom, seen.left : seen.right]


def _around(pixels: np.ndarray) -> Box | None:
    """The smallest box that holds all True of (H, W)."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
