"""What every attribution method takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_cnn.visualization.gradients import Score
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.targets import Target


@dataclass(frozen=True)
class Attribution:
    """How much each place of each image counts for its score, as a method sees it."""

    method: str
    values: np.ndarray  # (N, H, W, C) an image channel each, or (N, H, W); float32
    scores: np.ndarray  # (N,) float32, what is explained
    words: tuple[str, ...]  # for each image, what the score is of
    facts: Mapping[str, object] = field(default_factory=dict)  # layer, steps, completeness error, ReLUs

    @property
    def maps(self) -> np.ndarray:
        """(N, H, W) float32: the values, summed over the channels of the image."""
        return self.values if self.values.ndim == 3 else self.values.sum(axis=-1)


def prepared(model: keras.Model | Probe, images: np.ndarray, target: Target) -> tuple[Probe, np.ndarray, Score]:
    """The network opened, the images as float32 and the score to explain. InputError for what does not fit."""
    probe = Probe.of(model)
    checked = probe.images(images)
    return probe, checked, target.score(probe, checked)
