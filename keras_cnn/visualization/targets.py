"""Targets to explain or to maximize: a class, a difference of two classes, a neuron of a layer, a channel's mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.errors import require
from keras_cnn.visualization.gradients import Score
from keras_cnn.visualization.probe import ModelOrProbe, Probe, taps


@dataclass(frozen=True)
class ClassScore:
    """The score of a class before the softmax or sigmoid.

    `index` is one class for all images, one class for each image, or None for the predicted class of each image.
    """

    index: int | Sequence[int] | None = None

    def point(self, probe: Probe) -> str:
        return probe.head().point

    def score(self, probe: Probe, images: np.ndarray) -> Score:
        """Raises InputError if the network is not a classifier or does not have the class."""
        head = probe.head()
        classes = class_scores(probe, images).argmax(axis=1) if self.index is None else _each(self.index, len(images))
        _check(probe, classes, head.classes)
        words = tuple(f"class {index}" for index in classes)
        return Score(head.point, head.weights(classes), words)


@dataclass(frozen=True)
class ClassDifference:
    """The score of one class minus the score of another, each as in `ClassScore`: the evidence for the first class."""

    index: int | Sequence[int] | None
    against: int | Sequence[int]

    def point(self, probe: Probe) -> str:
        return probe.head().point

    def score(self, probe: Probe, images: np.ndarray) -> Score:
        """Raises InputError as in `ClassScore`."""
        first = ClassScore(self.index).score(probe, images)
        second = ClassScore(self.against).score(probe, images)
        same = [a for a, b in zip(first.words, second.words, strict=True) if a == b]
        require(not same, f"{probe.name}: target", f"{same and same[0]} minus itself", "two classes")
        words = tuple(f"{a} minus {b}" for a, b in zip(first.words, second.words, strict=True))
        return Score(first.point, first.weights - second.weights, words)


@dataclass(frozen=True)
class Neuron:
    """One unit of a layer's output, or of `LAYER:linear`, the output before the layer's activation argument.

    In a map it is the unit of `channel` at `position` (row, column) or, without a position, at the place where the
    channel is strongest in each image. Channel and position are given once for all images, or for each image.
    """

    layer: str
    channel: int | Sequence[int]
    position: tuple[int, int] | Sequence[tuple[int, int]] | None = None

    def point(self, probe: Probe) -> str:
        return probe.point(self.layer)

    def score(self, probe: Probe, images: np.ndarray) -> Score:
        """Raises InputError for an unknown layer, channel or position."""
        point, channels, weights = _nothing(probe, self.layer, self.channel, len(images))
        each = np.arange(len(images))
        if weights.ndim == 2:
            weights[each, channels] = 1
            return Score(point, weights, tuple(f"{point} unit {channel}" for channel in channels))
        places = self.places(probe, images)
        weights[each, *places.T, channels] = 1
        named = zip(channels, places, strict=True)
        return Score(point, weights, tuple(f"{point} channel {c} at ({row}, {column})" for c, (row, column) in named))

    def places(self, probe: Probe, images: np.ndarray) -> np.ndarray:
        """(N, 2) int: row and column of the unit in each image. InputError for a position outside the map."""
        point = probe.point(self.layer)
        sides = probe.map_shape(point)[:2]
        if self.position is None:
            maps = taps(probe, [point])(images)[point]
            own = maps[np.arange(len(images)), ..., _channels(probe, point, self.channel, len(images))]
            return np.stack(np.unravel_index(own.reshape(len(images), -1).argmax(axis=1), sides), axis=1)
        places = np.broadcast_to(np.asarray(self.position, int), (len(images), 2))
        for row, column in places:
            expected = f"rows 0 to {sides[0] - 1} and columns 0 to {sides[1] - 1}"
            inside = 0 <= row < sides[0] and 0 <= column < sides[1]
            require(inside, f"{probe.name}: {point}", f"position ({row}, {column})", expected)
        return places


@dataclass(frozen=True)
class ChannelMean:
    """The mean of a layer's output channel over its map, or a unit of a vector; one for all images or for each."""

    layer: str
    channel: int | Sequence[int]

    def point(self, probe: Probe) -> str:
        return probe.point(self.layer)

    def score(self, probe: Probe, images: np.ndarray) -> Score:
        """Raises InputError for an unknown layer or channel."""
        point, channels, weights = _nothing(probe, self.layer, self.channel, len(images))
        weights[np.arange(len(images)), ..., channels] = 1 / np.prod(weights.shape[1:-1])
        words = "mean of channel" if weights.ndim == 4 else "unit"
        return Score(point, weights, tuple(f"{point} {words} {channel}" for channel in channels))


Target = ClassScore | ClassDifference | Neuron | ChannelMean


def strongest(model: ModelOrProbe, images: np.ndarray, layer: str, count: int) -> list[tuple[int, int]]:
    """The `count` channels of a layer with the largest response in `images`, each with the number of its image."""
    probe = Probe.of(model)
    point = probe.point(layer)
    values = taps(probe, [point])(images)[point]
    highest = values.reshape(len(values), -1, values.shape[-1]).max(axis=1)
    channels = np.argsort(-highest.max(axis=0), kind="stable")[:count]
    return [(int(channel), int(highest[:, channel].argmax())) for channel in channels]


def class_scores(probe: Probe, images: np.ndarray) -> np.ndarray:
    """(N, classes) float32: the class scores of images (N, H, W, C) before the softmax or sigmoid."""
    head = probe.head()
    return head.class_scores(taps(probe, [head.point])(images)[head.point])


def _nothing(probe: Probe, layer: str, channel: int | Sequence[int], count: int) -> tuple[str, np.ndarray, np.ndarray]:
    """The point of a layer, the channel of each of `count` images, and weights of 0 for the tensors at the point."""
    point = probe.point(layer)
    weights = np.zeros((count, *probe.fixed_shape(point)), np.float32)
    return point, _channels(probe, point, channel, count), weights


def _channels(probe: Probe, point: str, channel: int | Sequence[int], count: int) -> np.ndarray:
    channels, last = _each(channel, count), probe.fixed_shape(point)[-1] - 1
    for number in channels:
        require(0 <= number <= last, f"{probe.name}: {point}", f"channel {number}", f"0 to {last}")
    return channels


def _each(index: int | Sequence[int], count: int) -> np.ndarray:
    classes = np.asarray(index)
    fits = classes.ndim == 0 or classes.shape == (count,)
    require(fits, "target", f"{classes.size} numbers", f"one, or one for each of {count} images")
    return np.broadcast_to(classes, (count,))


def _check(probe: Probe, classes: np.ndarray, count: int) -> None:
    for index in classes:
        require(0 <= index < count, f"{probe.name}: target", f"class {index}", f"0 to {count - 1}")
