"""Feature maps: the outputs of a network's layers for images."""

import numpy as np

from keras_cnn.errors import require
from keras_cnn.visualization.probe import ModelOrProbe, Probe

PARTS = ("convolution", "batch norm", "activation")


def parts_of(model: ModelOrProbe, layer: str) -> dict[str, str]:
    """The points around a convolution: each of `PARTS` that it has -> the point where it can be read."""
    block = Probe.of(model).convolution(layer)
    points = (block.linear, block.normalised, block.activated)
    return {part: point for part, point in zip(PARTS, points, strict=True) if point}


def first_and_last(model: ModelOrProbe) -> tuple[str, ...]:
    """The names of the first and the last convolution. InputError for a network without any."""
    probe = Probe.of(model)
    names = [block.name for block in probe.convolutions]
    require(bool(names), probe.name, "no convolutions", "at least one")
    return tuple(dict.fromkeys((names[0], names[-1])))


def spread(model: ModelOrProbe, count: int) -> tuple[str, ...]:
    """The names of `count` convolutions evenly spread from the first to the last, or of all if there are fewer."""
    names = [block.name for block in Probe.of(model).convolutions]
    require(bool(names), Probe.of(model).name, "no convolutions", "at least one")
    return tuple(
        names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    )


def most_active(maps: np.ndarray, count: int) -> np.ndarray:
    """The `count` channels of maps (N, h, w, C) with the largest spread of values, in the order of the channels."""
    deviation = maps.std(axis=tuple(range(maps.ndim - 1)))
    return np.sort(np.argsort(-deviation, kind="stable")[:count])
