"""Random changes of images with their boxes: mosaic, flip, size, shape and colour.

An augmented image is a pure function of (seed, epoch, image id): its random numbers, and its partners in a mosaic, come
from a counter-based generator with that key. Mosaic: Bochkovskiy et al., YOLOv4, arXiv:2004.10934, section
3.3; the changes of one image are Darknet's (`data.c`, `load_data_detection`).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from keras_cnn.detection.loss import IGNORED
from keras_cnn.tasks.detection.images import GREY, BoxImages
from keras_cnn.tasks.detection.settings import BoxAugment

VISIBLE = 0.3  # smallest visible share of a box that can be learnt
MIN_SIDE = 2.0  # pixels: the smallest side of a box that can be learnt
SHRUNK = (0.5, 1.0)  # scale range of the four images of a mosaic, before the scaling that every image gets
CENTRE = (0.3, 0.7)  # where the images of a mosaic meet, as shares of its side
_HEAD, _TILE = 7, 9  # random numbers of an image, and of each of its tiles


@dataclass(frozen=True)
class Sample:
    """A training image (S, S, 3) uint8 with boxes (N, 4) in its pixels and classes (N,), -1 for ignored boxes."""

    pixels: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


def augmented(images: BoxImages, index: int, epoch: int, seed: int, recipe: BoxAugment) -> Sample:
    """The image `index` of a split as the network sees it in epoch `epoch`."""
    draws = _uniform(images.keys[index], epoch, seed, _HEAD + 4 * _TILE)
    head, tiles = draws[:_HEAD], draws[_HEAD:].reshape(4, _TILE)
    side = images.size
    if head[0] >= recipe.mosaic:
        return _joined(
            [_tile(images, index, (0, 0, side, side), draws=tiles[0], sizes=(1.0, 1.0), recipe=recipe)], side
        )
    x, y = (round((CENTRE[0] + draw * (CENTRE[1] - CENTRE[0])) * side) for draw in head[1:3])
    partners = [index, *(int(draw * len(images)) for draw in head[3:6])]
    places = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
    turn = int(head[6] * 4)  # the image itself may be in any quarter
    places = places[turn:] + places[:turn]
    return _joined(
        [
            _tile(images, which, place, draws=draw, sizes=SHRUNK, recipe=recipe)
            for which, place, draw in zip(partners, places, tiles, strict=True)
        ],
        side,
    )


def _uniform(key: np.ndarray, epoch: int, seed: int, count: int) -> np.ndarray:
    """(count,) numbers in [0, 1) that depend on (seed, epoch, image id) alone."""
    words = np.concatenate([key.view(np.uint32), np.array([epoch, seed], np.uint32)])
    return (np.random.Philox(key=words.view(np.uint64)).random_raw(count) >> np.uint64(11)) * 2.0**-53


_Tile = tuple[tuple[int, int, int, int], np.ndarray, np.ndarray, np.ndarray]  # place, pixels, boxes, classes


def _tile(images: BoxImages, index: int, place: tuple, *, draws: np.ndarray, sizes: tuple, recipe: BoxAugment) -> _Tile:
    """An augmented image in the rectangle `place` (x0, y0, x1, y1) of the canvas, with the boxes visible there."""
    pixels, boxes, classes = images.pixels(index), images.boxes(index), images.classes(index)
    height, width = pixels.shape[:2]
    flip, size, grow, stretch, right, down = draws[:6]
    factor = (sizes[0] + size * (sizes[1] - sizes[0])) * (1 + (2 * grow - 1) * recipe.scale)
    aspect = (1 + recipe.aspect) ** (2 * stretch - 1)
    wide, high = max(1.0, width * factor * aspect**0.5), max(1.0, height * factor / aspect**0.5)
    x0, y0, x1, y1 = place
    left, top = x0 + _offset(x1 - x0 - wide, right), y0 + _offset(y1 - y0 - high, down)
    if flip < recipe.flip:
        pixels = pixels[:, ::-1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    shown = _placed(pixels, (left, top, wide, high), place)
    shown = _coloured(shown, draws[6:], recipe)
    moved = boxes * np.array([wide / width, high / height] * 2) + np.array([left, top] * 2)
    return place, shown, *_cut(moved, classes, place)


def _offset(room: float, share: float) -> float:
    """Offset of an image in a place that is `room` pixels longer; if `room` is negative, the image is cropped."""
    return round(share * room)


def _placed(pixels: np.ndarray, at: tuple[float, float, float, float], place: tuple) -> np.ndarray:
    """The rectangle `place` of a grey canvas with an image `at` left, top, width, height."""
    left, top, wide, high = at
    x0, y0, x1, y1 = place
    canvas = np.full((y1 - y0, x1 - x0, 3), GREY, np.uint8)
    inner = (max(x0, int(left)), max(y0, int(top)), min(x1, round(left + wide)), min(y1, round(top + high)))
    columns, rows = inner[2] - inner[0], inner[3] - inner[1]
    if columns < 1 or rows < 1:
        return canvas
    height, width = pixels.shape[:2]
    scale_x, scale_y = width / wide, height / high
    source = (
        max(0.0, (inner[0] - left) * scale_x),
        max(0.0, (inner[1] - top) * scale_y),
        min(float(width), (inner[2] - left) * scale_x),
        min(float(height), (inner[3] - top) * scale_y),
    )
    resized = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR, box=source)
    canvas[inner[1] - y0 : inner[3] - y0, inner[0] - x0 : inner[2] - x0] = np.asarray(resized)
    return canvas


def _coloured(pixels: np.ndarray, draws: np.ndarray, recipe: BoxAugment) -> np.ndarray:
    """The image with its hue rotated and its saturation and value scaled, by an 8-bit table per channel."""
    if recipe.hue == 0 and recipe.saturation == recipe.exposure == 1:
        return pixels
    values = np.arange(256)
    hue = (values + round(256 * recipe.hue * (2 * draws[0] - 1))) % 256
    factors = recipe.saturation ** (2 * draws[1] - 1), recipe.exposure ** (2 * draws[2] - 1)
    tables = [hue, *(np.minimum(np.rint(values * factor), 255) for factor in factors)]
    table = np.concatenate(tables).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).convert("HSV").point(table.tolist()).convert("RGB"))


def _cut(boxes: np.ndarray, classes: np.ndarray, place: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Boxes clipped to a place. A box that shows too little of its object gets class -1: ignored."""
    x0, y0, x1, y1 = place
    cut = np.clip(boxes, (x0, y0, x0, y0), (x1, y1, x1, y1))
    sides, areas = cut[:, 2:] - cut[:, :2], (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    enough = (sides.prod(axis=1) >= VISIBLE * areas) & (sides.min(axis=1, initial=np.inf) >= MIN_SIDE)
    seen = (sides > 0).all(axis=1)
    return cut[seen], np.where(enough, classes, IGNORED)[seen]


def _joined(tiles: list[_Tile], side: int) -> Sample:
    canvas = np.full((side, side, 3), GREY, np.uint8)
    for (x0, y0, x1, y1), pixels, _, _ in tiles:
        canvas[y0:y1, x0:x1] = pixels
    return Sample(canvas, np.concatenate([t[2] for t in tiles]), np.concatenate([t[3] for t in tiles]))
