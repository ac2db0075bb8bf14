"""Several measures of a stream of images in one pass: each batch goes through the network once for all measures."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.visualization.probe import ModelOrProbe, Probe
from keras_cnn.visualization.streaming import compiled, reader


class Measure(Protocol):
    """A measure of the images of one pass. An object serves only one pass, since it accumulates results."""

    @property
    def points(self) -> tuple[str, ...]:
        """The points of the network that it reads."""
        ...

    @property
    def key(self) -> Hashable:
        """Equal for two measures of one network that have the same result for the same images."""
        ...

    def compute(self, values: Sequence[tf.Tensor]) -> Sequence[Any]:
        """The part of the tensors (B, ...) at `points` to accumulate; runs inside a compiled function. B may be 0."""
        ...

    def add(self, computed: Sequence[Any], labels: np.ndarray) -> None:
        """Adds the result of `compute` for one batch, and the labels (B,) of its images; -1 where they are unknown."""
        ...

    def result(self) -> Any:
        """The result for all images."""
        ...


def one_pass(
    model: ModelOrProbe,
    batches: Iterable,
    measures: Sequence[Measure],
    images: Sequence[np.ndarray | None] | None = None,
) -> list[Any]:
    """The results of `measures`, after reading `batches` once.

    The elements of `batches` start with images (B, H, W, C) uint8 and optional labels (B,). `images` has, for each
    measure, the ascending numbers of the images that it gets, or None for all. Points that several measures read are
    computed once. Memory is needed for one batch and for what the measures keep.

    Raises InputError for an unknown point, and for a measure that gets no image.
    """
    probe = Probe.of(model)
    chosen = [None] * len(measures) if images is None else list(images)
    subsets = {place: numbers for place, numbers in enumerate(chosen) if numbers is not None}
    points = list(dict.fromkeys(probe.point(point) for measure in measures for point in measure.points))
    read = reader(probe, points)

    def measured(pixels: tf.Tensor, places: Sequence[tf.Tensor]) -> list[Sequence[Any]]:
        values, rows = dict(zip(points, read(pixels), strict=True)), dict(zip(subsets, places, strict=True))
        computed = []
        for place, measure in enumerate(measures):
            own = [values[probe.point(point)] for point in measure.points]
            own = [tf.gather(value, rows[place]) for value in own] if place in subsets else own
            computed.append(measure.compute(own))
        return computed

    function = compiled(probe, measured, [tf.TensorSpec([None], tf.int32) for _ in subsets])
    count = 0
    for pixels, *more in batches:
        labels = np.asarray(more[0], np.int64) if more else np.full(len(pixels), -1, np.int64)
        rows = {place: _within(numbers, count, count + len(pixels)) for place, numbers in subsets.items()}
        computed = function(pixels, [tf.constant(own_rows) for own_rows in rows.values()])
        for place, (measure, part) in enumerate(zip(measures, computed, strict=True)):
            measure.add(part, labels[rows[place]] if place in subsets else labels)
        count += len(pixels)
    counts = [count if numbers is None else int(np.sum(numbers < count)) for numbers in chosen]
    require(all(counts), probe.name, "no images", "at least one")
    return [measure.result() for measure in measures]


def _within(numbers: np.ndarray, first: int, end: int) -> np.ndarray:
    """The rows of the images with these numbers, in a batch of the images `first` to `end - 1`."""
    low, high = np.searchsorted(numbers, [first, end])
    return (numbers[low:high] - first).astype(np.int32)
