"""What a training step makes small, and what it counts on the way."""

from typing import Any, Protocol

import numpy as np
import tensorflow as tf


class Objective(Protocol):
    """What the loop descends.

    `measures` names the sums over a batch that a step returns, "loss" first; `labels` says what a batch's labels are,
    with the images along the first axis; `targets` makes of them what the loss takes.
    """

    measures: tuple[str, ...]
    labels: tf.TensorSpec

    def targets(self, labels: tf.Tensor) -> Any: ...

    def __call__(self, outputs: Any, targets: Any) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """The loss of a model's outputs, in float32, whose gradient is descended; and the sums."""
        ...


class CrossEntropy:
    """Of softmax and one-hot labels. Its sums: cross-entropy and right answers.

    Args:
        classes: how many there are.
        label_smoothing: probability spread over all classes.
        class_weights: (classes,) float32 factors of the loss, or None.
    """

    measures = ("loss", "accuracy")
    labels = tf.TensorSpec((None,), tf.int32)

    def __init__(self, classes: int, label_smoothing: float = 0.0, class_weights: np.ndarray | None = None):
        self._classes, self._smoothing, self._weights = classes, label_smoothing, class_weights

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self._classes)

    def __call__(self, outputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        logits = tf.cast(outputs, tf.float32)
        smooth = targets * (1 - self._smoothing) + self._smoothing / self._classes
        losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        loss = tf.reduce_mean(losses) if self._weights is None else self._weighted(losses, targets)
        hits = tf.argmax(logits, 1) == tf.argmax(targets, 1)
        return loss, (tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.int32)))

    def _weighted(self, losses: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        weights = tf.linalg.matvec(targets, tf.constant(self._weights, tf.float32))
        return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
