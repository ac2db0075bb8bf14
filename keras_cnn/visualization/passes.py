"""Several measures of a stream of images in one pass: each batch goes through the network once, for all of them."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.streaming import compiled, reader


class Measure(Protocol):
    """What is measured of the images of one pass; it serves for one pass alone, since it holds what it has seen."""

    points: Sequence[str]  # of the network, where it reads

    @property
    def key(self) -> Hashable:
        """Equal for two measures of one network that find the same in the same images."""

    def compute(self, values: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """Of the tensors (B, ...) at `points` what is to be added up; runs inside a compiled function. B may be 0."""

    def add(self, found: Sequence[tf.Tensor], labels: np.ndarray) -> None:
        """What `compute` made of one batch, and the labels (B,) of its images; -1 where they are not known."""

    def result(self) -> Any:
        """What was found in all images."""


def one_pass(
    model: keras.Model | Probe,
    batches: Iterable,
    measures: Sequence[Measure],
    images: Sequence[np.ndarray | None] | None = None,
) -> list[Any]:
    """The results of `measures`, after reading `batches` once.

    The elements of `batches` start with images (B, H, W, C) uint8 and labels (B,), which may be left out. `images` has
    for each measure the numbers of the images that it gets, ascending, None for all of them. Points that several
    measures read are computed once. Memory is that of one batch and of what the measures keep.

    Raises InputError for a point that is not there, and where a measure gets no image.
    """
    probe = Probe.of(model)
    chosen = [None] * len(measures) if images is None else list(images)
    some = {number: one for number, one in enumerate(chosen) if one is not None}
    points = list(dict.fromkeys(probe.point(point) for measure in measures for point in measure.points))
    read = reader(probe, points)

    def measured(pixels, places):
        values, places = dict(zip(points, read(pixels), strict=True)), dict(zip(some, places, strict=True))
        found = []
        for number, measure in enumerate(measures):
            own = [values[probe.point(point)] for point in measure.points]
            own = [tf.gather(value, places[number]) for value in own] if number in some else own
            found.append(measure.compute(own))
        return found

    function = compiled(probe, measured, [tf.TensorSpec([None], tf.int32) for _ in some])
    count = 0
    for pixels, *more in batches:
        labels = np.asarray(more[0], np.int64) if more else np.full(len(pixels), -1, np.int64)
        places = {number: _within(one, count, count + len(pixels)) for number, one in some.items()}
        found = function(pixels, [tf.constant(place) for place in places.values()])
        for number, (measure, part) in enumerate(zip(measures, found, strict=True)):
            measure.add(part, labels[places[number]] if number in some else labels)
        count += len(pixels)
    counts = [count if one is None else int(np.sum(one < count)) for one in chosen]
    require(all(counts), probe.name, "no images", "at least one")
    return [measure.result() for measure in measures]


def _within(numbers: np.ndarray, first: int, end: int) -> np.ndarray:
    """The places in a batch of the images `first` to `end - 1` of those with these numbers."""
    low, high = np.searchsorted(numbers, [first, end])
    return (numbers[low:high] - first).astype(np.int32)
