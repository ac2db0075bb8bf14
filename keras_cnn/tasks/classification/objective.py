"""The loss of a classifier, and what a training step measures."""

import numpy as np
import tensorflow as tf


class CrossEntropy:
    """Cross-entropy of softmax and one-hot labels; measures its sum and the number of correct predictions.

    Args:
        classes: number of classes.
        label_smoothing: probability spread over all classes.
        class_weights: (classes,) float32 factors of the loss, or None.
    """

    measures: tuple[str, ...] = ("loss", "accuracy")
    labels = tf.TensorSpec((None,), tf.int32)

    def __init__(self, classes: int, label_smoothing: float = 0.0, class_weights: np.ndarray | None = None):
        self._classes, self._smoothing, self._weights = classes, label_smoothing, class_weights

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self._classes)

    def weight(self, targets: tf.Tensor) -> tf.Tensor:
        """The number of images, or the sum of their class weights, by which the loss divides."""
        if self._weights is None:
            return tf.cast(tf.shape(targets)[0], tf.float32)
        return tf.reduce_sum(_weights(targets, self._weights))

    def __call__(self, outputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        logits = tf.cast(outputs, tf.float32)
        smooth = targets * (1 - self._smoothing) + self._smoothing / self._classes
        losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        loss = tf.reduce_mean(losses) if self._weights is None else _weighted_mean(losses, targets, self._weights)
        hits = tf.argmax(logits, 1) == tf.argmax(targets, 1)
        return loss, (tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.int32)))


def _weighted_mean(losses: tf.Tensor, targets: tf.Tensor, class_weights: np.ndarray) -> tf.Tensor:
    weights = _weights(targets, class_weights)
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)


def _weights(targets: tf.Tensor, class_weights: np.ndarray) -> tf.Tensor:
    """(B,) weight of each image."""
    return tf.linalg.matvec(targets, tf.constant(class_weights, tf.float32))
