"""Which part of an image a classifier's confidence rests on: hide a patch, in every place, and see what happens.

Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.evaluation.predict import inference
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.windows import Windows, first_steps, maps_read, pasted, through

Fill = Literal["grey", "mean", "blur"]

GREY = 127.5  # half of 255
_IMAGES, _NUMBERS = 128, 2**22  # of a batch at most: 128 images of 32×32, 27 of 224×224


@dataclass(frozen=True)
class Occlusion:
    """What hiding a square patch of one image does to the confidence in one class; everything in [0, 1]."""

    size: int  # side of the patch in pixels
    fill: str
    rows: np.ndarray  # (R,) row of the patch's upper edge; from one to the next the stride, the last at the border
    columns: np.ndarray  # (Q,) column of its left edge
    whole: float  # confidence with nothing hidden
    confidence: np.ndarray  # (R, Q) float32, with the patch at that row and column

    @property
    def total(self) -> float:
        """Sum of the map, which CS7015 draws against the size; a larger patch has fewer places, see `mean`."""
        return float(self.confidence.sum(dtype=np.float64))

    @property
    def mean(self) -> float:
        """Mean of the map: it falls with the size of the patch only because of what is hidden."""
        return float(self.confidence.mean(dtype=np.float64))

    def drop(self, height: int, width: int) -> np.ndarray:
        """(height, width) float64: mean of `whole - confidence` over the patches that cover a pixel of the image."""
        inside = [
            (np.arange(side)[:, None] >= first) & (np.arange(side)[:, None] < first + self.size)
            for side, first in ((height, self.rows), (width, self.columns))
        ]
        down, across = (matrix.astype(np.float64) for matrix in inside)
        covered = np.outer(down.sum(axis=1), across.sum(axis=1))
        return down @ (self.whole - self.confidence.astype(np.float64)) @ across.T / covered


class Occluder:
    """Occludes images for one classifier; compiles once a size of the patch, whatever the images, places and classes.

    The occluded images are made inside the compiled function, in batches of bounded memory, and go through the same
    inference as an evaluation; its first layers are computed where the patch can change them, see `windows`. Raises
    InputError for a model that is no classifier of one image.
    """

    def __init__(self, model: keras.Model | Probe):
        self._probe = Probe.of(model)
        self._head = self._probe.head()
        self._forward = inference(self._probe.model)
        self._compiled: dict[tuple, Callable] = {}

    def occlude(self, image: np.ndarray, target: int, size: int, *, stride: int = 1, fill: Fill = "grey") -> Occlusion:
        """Confidence in the class `target` for every place of a `size`×`size` patch on `image` (H, W, C), 0-255.

        With stride 1 the map has (H - size + 1) × (W - size + 1) values. With another stride a last row and column of
        patches lie at the border, whatever is left of the stride, so that every pixel is hidden at least once. What
        hides is, by `fill`, mid-grey, the image's own mean colour, or the image blurred with a standard deviation of
        half the patch.

        Raises InputError for an image of another shape than the model's, an unknown class or fill, a patch larger than
        the image, and a stride that leaves pixels out.
        """
        image, classes = self._probe.images(np.asarray(image)[None])[0], self._head.classes
        require(0 <= target < classes, "occlusion: class", f"found {target}", f"0 to {classes - 1}")
        smaller = min(image.shape[:2])
        require(1 <= size <= smaller, "occlusion: size", f"found {size}", f"1 to {smaller}, the image's smaller side")
        require(1 <= stride <= size, "occlusion: stride", f"found {stride}", f"1 to {size}, or pixels are left out")
        require(fill in FILLS, "occlusion: fill", f"found {fill!r}", f"one of {', '.join(FILLS)}")
        rows, columns = (_places(side, size, stride) for side in image.shape[:2])
        hidden = FILLS[fill](image, size)
        top, left = (places.ravel() for places in np.meshgrid(rows, columns, indexing="ij"))
        batch = int(np.clip(_NUMBERS // image.size, 1, _IMAGES))
        image, hidden = tf.constant(image), tf.constant(hidden)
        confidence = self._confidence(size, image.shape)
        chances = [
            confidence(image, hidden, top[i : i + batch], left[i : i + batch], target)
            for i in range(0, len(top), batch)
        ]
        whole = confidence(image, image, [0], [0], target)
        found = np.concatenate([part.numpy() for part in chances]).reshape(len(rows), len(columns))
        return Occlusion(size, fill, rows, columns, float(whole[0]), found)

    def by_size(self, image: np.ndarray, target: int, sizes: Sequence[int], **options) -> list[Occlusion]:
        """`occlude` for several sizes of the patch."""
        return [self.occlude(image, target, size, **options) for size in sizes]

    def _confidence(self, size: int, shape: tuple[int, int, int]) -> Callable:
        """Compiled: image and what hides it, both of `shape`, corners (B,) and (B,), class -> confidence (B,)."""
        if (size, shape) in self._compiled:
            return self._compiled[size, shape]
        steps = first_steps(self._probe, size)
        first = self._probe.names[0]
        read = [name for name in maps_read(steps) if name != first] if steps else []
        maps_of = inference(self._probe.model, read) if read else None

        def confidence(image, hidden, top, left, target):
            changed = Windows(_squares(hidden, top, left, size), top, left)
            maps = {first: image[None]} | (dict(zip(read, maps_of(image[None]), strict=True)) if read else {})
            if steps:
                outputs = self._forward(image[None], {steps[-1].node.name: through(steps, changed, maps)})
            else:
                outputs = self._forward(pasted(image[None], changed))
            outputs = tf.cast(outputs, tf.float32)
            return (outputs if self._head.squashing else tf.nn.softmax(outputs))[:, target]

        pixels, places = tf.TensorSpec(shape, tf.float32), tf.TensorSpec([None], tf.int32)
        signature = [pixels, pixels, places, places, tf.TensorSpec([], tf.int32)]
        self._compiled[size, shape] = tf.function(confidence, input_signature=signature, autograph=False)
        return self._compiled[size, shape]


def _squares(image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, size: int) -> tf.Tensor:
    """(B, size, size, C): squares of an image (H, W, C)."""
    rows = (top[:, None] + tf.range(size))[:, :, None]
    columns = (left[:, None] + tf.range(size))[:, None, :]
    return tf.gather(tf.reshape(image, [-1, image.shape[-1]]), rows * image.shape[1] + columns)


def _places(side: int, size: int, stride: int) -> np.ndarray:
    last = side - size
    return np.unique(np.append(np.arange(0, last + 1, stride), last)).astype(np.int32)


def _grey(image: np.ndarray, size: int) -> np.ndarray:
    return np.full_like(image, GREY)


def _mean(image: np.ndarray, size: int) -> np.ndarray:
    return np.broadcast_to(image.mean(axis=(0, 1)), image.shape)


def _blurred(image: np.ndarray, size: int) -> np.ndarray:
    """Gaussian blur with a standard deviation of size / 2, cut off at three of them; the border is repeated."""
    reach = -(-3 * size // 2)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (size / 2)) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        width = [(0, 0)] * 3
        width[axis] = (reach, reach)
        padded = np.pad(image, width, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=axis)
        image = (windows @ weights.astype(np.float32)).astype(np.float32)
    return image


FILLS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"grey": _grey, "mean": _mean, "blur": _blurred}
