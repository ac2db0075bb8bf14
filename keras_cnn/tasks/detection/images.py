"""Pictures resized to fit a network's letterbox, with their boxes in the resized pixels."""

import hashlib
from collections.abc import Sequence

import numpy as np

from keras_cnn.data.cache import bytes_fit
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.annotations.dataset import AnnotatedImage
from keras_cnn.detection.boxes import Letterbox
from keras_cnn.detection.loss import IGNORED
from keras_cnn.errors import InputError, Stopped

GREY = 128  # around an image; Darknet's 127.5 as an integer


class BoxImages:
    """The pictures of a split for a network of side `size`, decoded on demand and cached as `cache` says.

    Resized as in Darknet: bilinear with aligned corners, without smoothing when it shrinks.
    """

    def __init__(self, pictures: Sequence[AnnotatedImage], size: int, cache: str):
        self.pictures, self.size = pictures, size
        self._inner = [Letterbox(picture.size, (size, size)).inner for picture in pictures]
        keeps = cache == "memory" or (cache == "auto" and bytes_fit(3 * sum(h * w for h, w in self._inner)))
        self._kept: dict[int, np.ndarray] | None = {} if keeps else None
        self.keys = np.stack([key(picture.id) for picture in pictures])

    def __len__(self) -> int:
        return len(self.pictures)

    def pixels(self, index: int) -> np.ndarray:
        """(h, w, 3) uint8: the whole image, resized so that its longer side is `size`."""
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        inside = resized(read_again(self.pictures[index]), self._inner[index])
        if self._kept is not None:
            self._kept[index] = inside
        return inside

    def boxes(self, index: int) -> np.ndarray:
        """(N, 4) float64 x0, y0, x1, y1 in pixels of `pixels(index)`."""
        picture = self.pictures[index]
        (height, width), (rows, columns) = picture.size, self._inner[index]
        return picture.boxes * np.array([columns / width, rows / height] * 2)

    def classes(self, index: int) -> np.ndarray:
        """(N,) int64; -1 for an ignored box: neither missing it nor finding it is wrong."""
        picture = self.pictures[index]
        return np.where(picture.ignored, IGNORED, picture.classes)

    def letterboxed(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(size, size, 3) uint8 as `detect.py` gives it to the network, up to rounding; and its boxes there."""
        box = Letterbox(self.pictures[index].size, (self.size, self.size))
        (top, left), (rows, columns) = box.corner, box.inner
        canvas = np.full((self.size, self.size, 3), GREY, np.uint8)
        canvas[top : top + rows, left : left + columns] = self.pixels(index)
        return canvas, self.boxes(index) + np.array([left, top] * 2)


def read_again(picture: AnnotatedImage) -> np.ndarray:
    """(H, W, 3) uint8: a picture that was readable when the run began. Raises Stopped if it no longer is."""
    try:
        return read_image(picture.path)
    except InputError as error:
        raise Stopped(f"{error}: readable when the run began, but not now") from None


def key(identity: str) -> np.ndarray:
    """(2,) int32 from an image's id: the key of its random changes."""
    return np.frombuffer(hashlib.sha256(identity.encode()).digest()[:8], np.int32)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An (H, W, 3) uint8 image resized to (h, w, 3): bilinear, corners aligned."""
    if image.shape[:2] == tuple(size):
        return image
    (rows, below), (columns, right) = (
        _between(length, wanted) for length, wanted in zip(image.shape, size, strict=False)
    )
    last = np.array(image.shape[:2]) - 1
    upper, lower = image[rows], image[np.minimum(rows + 1, last[0])]
    lines = upper + (lower.astype(np.float32) - upper) * below[:, None, None]
    pixels = lines[:, columns] + (lines[:, np.minimum(columns + 1, last[1])] - lines[:, columns]) * right[:, None]
    return (pixels + 0.5).astype(np.uint8)


def _between(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixel before each sampling position, and the distance of the position from it."""
    places = np.linspace(0, length - 1, wanted, dtype=np.float32)
    pixels = places.astype(np.int64)
    return pixels, places - pixels
