"""The input and the result of every attribution method."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_cnn.visualization.gradients import Score
from keras_cnn.visualization.probe import ModelOrProbe, Probe
from keras_cnn.visualization.targets import Target


@dataclass(frozen=True)
class Attribution:
    """The contribution of each place of each image to its score, by one method."""

    method: str
    values: np.ndarray  # (N, H, W, C) for each image channel, or (N, H, W); float32
    scores: np.ndarray  # (N,) float32, the explained scores
    words: tuple[str, ...]  # for each image, what is scored: "class 3"
    facts: Mapping[str, object] = field(default_factory=dict)  # layer, steps, completeness error, ReLUs

    @property
    def maps(self) -> np.ndarray:
        """(N, H, W) float32: the values, summed over the channels of the image."""
        return self.values if self.values.ndim == 3 else self.values.sum(axis=-1)


def prepared(model: ModelOrProbe, images: np.ndarray, target: Target) -> tuple[Probe, np.ndarray, Score]:
    """The network's probe, the images as float32 and the score to explain. InputError for images that do not fit."""
    probe = Probe.of(model)
    checked = probe.images(images)
    return probe, checked, target.score(probe, checked)
