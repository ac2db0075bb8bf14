"""Occlusion: how the confidence of a classifier changes when a patch hides each place of the image in turn.

Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from keras_cnn.errors import require
from keras_cnn.evaluation.predict import inference
from keras_cnn.visualization.probe import ModelOrProbe, Probe
from keras_cnn.visualization.windows import Windows, first_layers, maps_read, pasted, through

Fill = Literal["grey", "mean", "blur"]

GREY = 127.5  # half of 255
_IMAGES, _NUMBERS = 128, 2**22  # limits of a batch: 128 images of 32×32, 27 of 224×224


@dataclass(frozen=True)
class Occlusion:
    """Confidence in one class while a square patch of one image is hidden, for every place of the patch; in [0, 1]."""

    size: int  # side of the patch in pixels
    fill: str
    rows: np.ndarray  # (R,) row of the patch's upper edge; a stride apart, the last one at the border
    columns: np.ndarray  # (Q,) column of its left edge
    unhidden: float  # confidence with nothing hidden
    confidence: np.ndarray  # (R, Q) float32, with the patch at that row and column

    @property
    def total(self) -> float:
        """Sum of the map, as CS7015 plots it against the size; a larger patch has fewer places, see `mean`."""
        return float(self.confidence.sum(dtype=np.float64))

    @property
    def mean(self) -> float:
        """Mean of the map, which does not depend on the number of places."""
        return float(self.confidence.mean(dtype=np.float64))

    def drop(self, height: int, width: int) -> np.ndarray:
        """(height, width) float64: mean of `unhidden - confidence` over the patches that cover a pixel of the image."""
        inside = [
            (np.arange(side)[:, None] >= first) & (np.arange(side)[:, None] < first + self.size)
            for side, first in ((height, self.rows), (width, self.columns))
        ]
        down, across = (matrix.astype(np.float64) for matrix in inside)
        covered = np.outer(down.sum(axis=1), across.sum(axis=1))
        return down @ (self.unhidden - self.confidence.astype(np.float64)) @ across.T / covered


class Occluder:
    """Occludes images for one classifier; compiled once for each size of the patch.

    The occluded images are made inside the compiled function, in batches of bounded memory, and go through the same
    inference as an evaluation. The first layers are computed only where the patch can change them, see `windows`.
    Raises InputError for a model that is not a classifier of one image.
    """

    def __init__(self, model: ModelOrProbe):
        self._probe = Probe.of(model)
        self._head = self._probe.head()
        output = self._probe.output().name
        self._forward = inference(self._probe.model, [output] if len(self._probe.outputs) > 1 else ())
        self._compiled: dict[int, Callable] = {}

    def occlude(self, image: np.ndarray, target: int, size: int, *, stride: int = 1, fill: Fill = "grey") -> Occlusion:
        """Confidence in the class `target` for every place of a `size`×`size` patch on `image` (H, W, C), 0-255.

        With stride 1 the map has (H - size + 1) × (W - size + 1) values. With another stride, a last row and column of
        patches lie at the border, so that every pixel is hidden at least once. The patch is filled, by `fill`, with
        mid-grey, with the image's own mean colour, or with the image blurred by a standard deviation of half the patch.

        Raises InputError for an image whose shape the model does not take, an unknown class or fill, a patch larger
        than the image, and a stride that leaves pixels out.
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
        confidence = self._confidence(size)
        shown, hidden = tf.constant(image), tf.constant(hidden)
        parts = [
            confidence(shown, hidden, top[i : i + batch], left[i : i + batch], target).numpy()
            for i in range(0, len(top), batch)
        ]
        unhidden = confidence(shown, shown, [0], [0], target)
        values = np.concatenate(parts).reshape(len(rows), len(columns))
        return Occlusion(size, fill, rows, columns, float(unhidden[0]), values)

    def by_size(self, image: np.ndarray, target: int, sizes: Sequence[int], **options) -> list[Occlusion]:
        """`occlude` for several sizes of the patch."""
        return [self.occlude(image, target, size, **options) for size in sizes]

    def _confidence(self, size: int) -> Callable:
        """Compiled: image, fill as an image, rows (B,) and columns (B,) of the patches, class -> confidence (B,)."""
        if size in self._compiled:
            return self._compiled[size]
        shape = self._probe.image_shape
        chain = first_layers(self._probe, size)
        first = self._probe.names[0]
        read = [name for name in maps_read(chain) if name != first] if chain else []
        maps_of = inference(self._probe.model, read)

        def confidence(
            image: tf.Tensor, hidden: tf.Tensor, top: tf.Tensor, left: tf.Tensor, target: tf.Tensor
        ) -> tf.Tensor:
            changed = Windows(_squares(hidden, top, left, size), top, left)
            if chain:
                maps = {first: image[None]} | (dict(zip(read, maps_of(image[None]), strict=True)) if read else {})
                outputs = self._forward(image[None], {chain[-1].node.name: through(chain, changed, maps)})
            else:
                outputs = self._forward(pasted(image[None], changed))
            outputs = outputs[0] if isinstance(outputs, list) else outputs
            return self._head.confidences(tf.cast(outputs, tf.float32))[:, target]

        pixels, places = tf.TensorSpec(shape, tf.float32), tf.TensorSpec([None], tf.int32)
        signature = [pixels, pixels, places, places, tf.TensorSpec([], tf.int32)]
        self._compiled[size] = tf.function(confidence, input_signature=signature, autograph=False)
        return self._compiled[size]


def _squares(image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, size: int) -> tf.Tensor:
    """(B, size, size, C): squares of an image (H, W, C)."""
    rows = (top[:, None] + tf.range(size))[:, :, None]
    columns = (left[:, None] + tf.range(size))[:, None, :]
    return tf.gather(tf.reshape(image, [-1, image.shape[-1]]), rows * image.shape[1] + columns)


def _places(side: int, size: int, stride: int) -> np.ndarray:
    last = side - size
    return np.unique(np.append(np.arange(0, last + 1, stride), last)).astype(np.int32)


FILLS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "grey": lambda image, size: np.full_like(image, GREY),
    "mean": lambda image, size: np.broadcast_to(image.mean(axis=(0, 1)), image.shape),
    # Cut off at three standard deviations; the border is repeated.
    "blur": lambda image, size: gaussian_filter(image, (size / 2, size / 2, 0), mode="nearest", truncate=3),
}
