"""The images, classes and patches that filters respond to most, and dead filters, found in one pass over a split.

The response of a filter to an image is the sum of its map over the pixels, as in CS7015. The map is taken before the
activation, and after a batch norm that directly follows the convolution.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.visualization.probe import ModelOrProbe, Probe

TOP = 20
DEAD = "no value above 0 before the activation, at any pixel of any image"
_GATHERED = 2**22  # numbers gathered from maps at a time: 48 MB with their indices


@dataclass(frozen=True)
class Responses:
    """Responses of the C filters of a layer to N images: the K = min(top, N) largest per filter, largest first."""

    layer: str
    images: int  # N
    top: np.ndarray  # (C, K) int64, image numbers in the order of the stream; ties go to the first image
    responses: np.ndarray  # (C, K) float32, of these images
    labels: np.ndarray  # (C, K) int64, of these images
    units: np.ndarray  # (C, K, 2) int64, row and column of the map's largest value; ties go to the first
    peaks: np.ndarray  # (C, K) float32, these largest values
    mean: np.ndarray  # (C,) float64, mean response over all images
    largest: np.ndarray  # (C,) float32, largest value at any pixel of any image

    @property
    def maximum(self) -> np.ndarray:
        """(C,) float32: largest response to any image."""
        return self.responses[:, 0]

    @property
    def top_mean(self) -> np.ndarray:
        """(C,) float64: mean response to the top images, "Avg. response of T20 images" in CS7015."""
        return self.responses.mean(axis=1, dtype=np.float64)

    @property
    def dead(self) -> np.ndarray:
        """(C,) bool, see DEAD: after a ReLU, the output of such a filter is 0 on all these images."""
        return self.largest <= 0

    def class_counts(self, classes: int) -> np.ndarray:
        """(C, classes) int64: number of top images of each class."""
        return np.stack([np.bincount(labels, minlength=classes) for labels in self.labels])

    def class_most_seen(self, classes: int) -> np.ndarray:
        """(C,) int64: the class with the most top images; ties go to the first class."""
        return self.class_counts(classes).argmax(axis=1)


class Responding:
    """Measures the responses of the convolutions `layers`, by default all of them, as a list of `Responses`.

    Memory depends on the size of a batch, on the number of filters and on `top`, not on the number of images. Raises
    InputError for a layer that is not a convolution, `top` below 1, and responses that are not finite.
    """

    def __init__(self, model: ModelOrProbe, layers: Sequence[str] | None = None, *, top: int = TOP):
        require(top >= 1, "filters: top", f"found {top}", "at least 1")
        probe = Probe.of(model)
        blocks = probe.convolutions if layers is None else [probe.convolution(name) for name in layers]
        require(len(blocks) > 0, probe.name, "no convolutions", "at least one")
        require(None not in probe.input_shape, probe.name, f"images of shape {probe.input_shape}", "a fixed size")
        shapes = {block.name: probe.map_shape(block.name) for block in blocks}
        self.points = tuple(block.before_activation for block in blocks)
        self.key = ("responses", self.points, top)
        self._kept = [_LargestResponses(name, width, filters, top) for name, (_, width, filters) in shapes.items()]
        self._count = 0

    def compute(self, values: Sequence[tf.Tensor]) -> Sequence[tuple[tf.Tensor, ...]]:
        return [(maps, tf.reduce_sum(tf.cast(maps, tf.float32), axis=[1, 2]), _largest(maps)) for maps in values]

    def add(self, computed: Sequence[tuple[tf.Tensor, ...]], labels: np.ndarray) -> None:
        if not len(labels):
            return
        for layer, (maps, sums, largest) in zip(self._kept, computed, strict=True):
            layer.add(maps, sums.numpy(), tf.cast(largest, tf.float32).numpy(), labels, self._count)
        self._count += len(labels)

    def result(self) -> list[Responses]:
        return [layer.responses(self._count) for layer in self._kept]


def _largest(maps: tf.Tensor) -> tf.Tensor:
    """(C,): largest value of each channel. Pooling first is faster: in 16 bits, reduce_max takes ten times as long."""
    pooled = tf.nn.max_pool2d(maps, maps.shape[1:3], 1, "VALID")
    return tf.reduce_max(pooled, axis=[0, 1, 2])


class _LargestResponses:
    """The largest responses of one layer's filters so far."""

    def __init__(self, name: str, width: int, filters: int, top: int):
        self.name, self.width, self.top = name, width, top
        self.sums = np.zeros(filters)
        self.largest = np.full(filters, -np.inf, np.float32)
        self.values = np.full((filters, top), -np.inf, np.float32)
        self.images, self.labels, self.places = (np.full((filters, top), -1, np.int64) for _ in range(3))
        self.peaks = np.zeros((filters, top), np.float32)

    def add(self, maps: tf.Tensor, sums: np.ndarray, largest: np.ndarray, labels: np.ndarray, first: int) -> None:
        """Adds maps (B, h, w, C), sums (B, C), largest values (C,), labels (B,); the first image has number `first`."""
        require(bool(np.isfinite(sums).all()), f"filters: {self.name}", "a response that is not finite", "numbers")
        self.sums += sums.sum(axis=0, dtype=np.float64)
        self.largest = np.maximum(self.largest, largest)
        changed = np.flatnonzero(sums.max(axis=0) > self.values[:, -1])
        candidates = np.concatenate([self.values[changed], sums.T[changed]], axis=1)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, : self.top]  # ties go to the image seen first
        rows, columns = np.nonzero(order >= self.top)
        new = order[rows, columns] - self.top
        places, peaks = _peaks(maps, new, changed[rows])
        incoming = {"values": sums[new, changed[rows]], "images": first + new, "labels": labels[new]}
        for name, values in (incoming | {"places": places, "peaks": peaks}).items():
            state = getattr(self, name)
            kept = np.take_along_axis(state[changed], np.minimum(order, self.top - 1), axis=1)
            kept[rows, columns] = values
            state[changed] = kept

    def responses(self, count: int) -> Responses:
        full = slice(min(self.top, count))
        return Responses(
            self.name,
            count,
            self.images[:, full],
            self.values[:, full],
            self.labels[:, full],
            np.stack(np.divmod(self.places[:, full], self.width), axis=-1),
            self.peaks[:, full],
            self.sums / count,
            self.largest,
        )


def _peaks(maps: tf.Tensor, images: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) int64 on the flattened map, and value (n,) float32, of the maximum for each (image, channel)."""
    if not len(images):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    height, width = (side or 1 for side in maps.shape[1:3])
    step = max(1, _GATHERED // (height * width))
    find = _peak_finder(maps.dtype)
    parts = [find(maps, images[i : i + step], channels[i : i + step]) for i in range(0, len(images), step)]
    places, peaks = (np.concatenate([values.numpy() for values in column]) for column in zip(*parts, strict=True))
    return places, peaks


@functools.cache
def _peak_finder(dtype: tf.DType):
    """A function (maps, images (n,), channels (n,)) -> index and value of each maximum; compiled once per type."""

    # Only images that have just entered the top are searched, a few in a thousand: an argmax of every map would take
    # longer than the network.
    def find(maps, images, channels):
        _, height, width, filters = tf.unstack(tf.shape(maps, tf.int64))
        pixels = tf.range(height * width)
        where = (images[:, None] * (height * width) + pixels) * filters + channels[:, None]
        values = tf.gather(tf.reshape(maps, [-1]), where)
        return tf.argmax(values, axis=1), tf.cast(tf.reduce_max(values, axis=1), tf.float32)

    numbers = tf.TensorSpec([None], tf.int64)
    return tf.function(find, input_signature=[tf.TensorSpec([None] * 4, dtype), numbers, numbers], autograph=False)
