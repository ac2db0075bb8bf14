"""The images of a stream with the largest responses of filters, and the patches that caused them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.models.arithmetic import ReceptiveField
from keras_cnn.views.support.image_stream import ImageStream, Measurements, SplitName, stream
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.visualization import receptive_field
from keras_cnn.visualization.filters import TOP, Responding, Responses
from keras_cnn.visualization.receptive_field import Box


@dataclass(frozen=True)
class TopPatches:
    """For each of F filters, the K images with its largest responses, the largest first."""

    numbers: np.ndarray  # (F, K) int64, places in the stream
    pixels: np.ndarray  # (F, K, H, W, C) uint8
    boxes: np.ndarray  # (F, K, 4) int64: top, bottom, left, right of the receptive field of the largest value
    patches: list[list[np.ndarray]]  # the pixels in each box
    words: str  # "patches of 3×3 pixels"


def responses_to(opened: OpenedModel, view: str, split: SplitName = "validation", top: int = TOP) -> Measurements:
    """The responses of all filters to a split, or to the images of the command line, as one measurement."""
    return [(stream(opened, view, split), Responding(opened.probe, top=top))]


def top_patches(
    images: ImageStream,
    responses: Responses,
    field: ReceptiveField | None,
    filters: Sequence[int] | np.ndarray,
    most: int,
) -> TopPatches:
    """The first `most` images of each filter; patches are whole images if `field` is None or exceeds an image."""
    filters = list(filters)
    numbers = responses.top[filters][:, :most]
    pixels = images.pixels(numbers.ravel()).reshape(*numbers.shape, *images.shape)
    height, width = images.shape[:2]
    if field is None or max(field.height.size, field.width.size) > min(height, width):
        boxes = np.tile(Box(0, height, 0, width), (*numbers.shape, 1))
        return TopPatches(numbers, pixels, boxes, [list(row) for row in pixels], "each unit sees the whole image")
    units = [[tuple(unit) for unit in row] for row in responses.units[filters][:, :most].tolist()]
    boxes = np.array([[receptive_field.box(field, unit) for unit in row] for row in units])
    patches = [
        [receptive_field.patch(image, field, unit) for image, unit in zip(*row, strict=True)]
        for row in zip(pixels, units, strict=True)
    ]
    return TopPatches(numbers, pixels, boxes, patches, f"patches of {field.height.size}×{field.width.size} pixels")
