"""The images of a stream that filters respond to most, and the patch of each that did it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.views.image_stream import SplitName, Stream, Wanted, stream
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.visualization import receptive_field
from keras_cnn.visualization.filters import TOP, Responding, Responses
from keras_cnn.visualization.receptive_field import Box


@dataclass(frozen=True)
class TopPatches:
    """Of F filters the K images (H, W, C) with the largest responses, the best first."""

    numbers: np.ndarray  # (F, K) int64, places in the stream
    pixels: np.ndarray  # (F, K, H, W, C) uint8
    boxes: np.ndarray  # (F, K, 4) int64: a Box, what the unit with the largest value sees
    patches: list[list[np.ndarray]]  # the pixels in each box
    words: str  # "patches of 3×3 pixels"


def responses_to(subject: OpenedModel, view: str, split: SplitName = "validation", top: int = TOP) -> Wanted:
    """The responses of all filters to a split or the images given, to be `measured` once for all views."""
    return [(stream(subject, view, split), Responding(subject.probe, top=top))]


def top_patches(
    images: Stream, found: Responses, field: ReceptiveField | None, filters: Sequence[int], most: int
) -> TopPatches:
    """Of each filter the first `most` images; whole ones where the field is not known or larger than an image."""
    filters = list(filters)
    numbers = found.top[filters][:, :most]
    pixels = images.pixels(numbers.ravel()).reshape(*numbers.shape, *images.shape)
    height, width = images.shape[:2]
    if field is None or max(field.height.size, field.width.size) > min(height, width):
        boxes = np.tile(Box(0, height, 0, width), (*numbers.shape, 1))
        return TopPatches(numbers, pixels, boxes, [list(row) for row in pixels], "each unit sees the whole image")
    units = [[tuple(unit) for unit in row] for row in found.units[filters][:, :most].tolist()]
    boxes = np.array([[receptive_field.box(field, unit) for unit in row] for row in units])
    patches = [
        [receptive_field.patch(image, field, unit) for image, unit in zip(*row, strict=True)]
        for row in zip(pixels, units, strict=True)
    ]
    return TopPatches(numbers, pixels, boxes, patches, f"patches of {field.height.size}×{field.width.size} pixels")
