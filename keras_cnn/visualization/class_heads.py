"""Where a classifier's class scores are read, and what they become: logits, probabilities, the score of one class."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from scipy.special import expit, softmax

_SQUASHING = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}


@dataclass(frozen=True)
class ClassHead:
    """Where a classifier's scores are read.

    A head of one unit with a sigmoid has two classes: the unit is the score of class 1, and class 0 has its negative.
    """

    point: str
    units: int
    squashing: str | None  # "softmax" or "sigmoid": what the network does to the scores after that point
    words: str  # for titles: "logits", "logits before the softmax of dense_1"
    several: bool = False  # an image may have several classes: the probability of each is the sigmoid of its score

    @property
    def classes(self) -> int:
        return max(2, self.units)

    def weights(self, classes: np.ndarray) -> np.ndarray:
        """(N, units) float32: the weight of each unit in the score of each of N classes."""
        if self.units == 1:
            return (2 * np.asarray(classes, np.float32) - 1)[:, None]
        return np.eye(self.units, dtype=np.float32)[classes]

    def class_scores(self, scores: np.ndarray) -> np.ndarray:
        """(N, classes), from the tensor (N, units) at the point."""
        return np.concatenate([-scores, scores], axis=1) if self.units == 1 else scores

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(N, classes) float64 in [0, 1]: the sigmoid of each class if it has one of its own, else a softmax."""
        scores = self.class_scores(np.asarray(scores, np.float64))
        return expit(scores) if self.several or self.squashing == "sigmoid" else softmax(scores, axis=1)

    def confidences(self, outputs: tf.Tensor) -> tf.Tensor:
        """(N, classes) in [0, 1], from the network's outputs (N, units)."""
        if self.units == 1:
            return tf.concat([1 - outputs, outputs], axis=1)
        if self.squashing:
            return outputs
        return tf.nn.sigmoid(outputs) if self.several else tf.nn.softmax(outputs)


def passes_on(operation: Any) -> bool:
    """Whether its output equals its input except for the data type."""
    if isinstance(operation, layers.Activation):
        return operation.activation is keras.activations.linear
    return isinstance(operation, layers.Identity) or type(operation).__name__ == "Cast"


def squashing_of(operation: Any) -> str | None:
    """The "softmax" or "sigmoid" that an operation is or that a layer has as its activation; None for all others."""
    if isinstance(operation, layers.Softmax) or type(operation).__name__ == "Softmax":
        return "softmax"
    if type(operation).__name__ == "Sigmoid":
        return "sigmoid"
    activation = getattr(operation, "activation", None)
    return next((name for function, name in _SQUASHING.items() if function is activation), None)
