"""The loss of a classifier with a sigmoid for each class, and what a training step measures."""

import numpy as np
import tensorflow as tf

from keras_cnn.data.label_sets import class_counts


class BinaryCrossEntropy:
    """Binary cross-entropy of sigmoids and sets of labels, the mean over the classes.

    Measures its sum over the images and the number of images of which every class is predicted right at 0.5.

    Args:
        classes: number of classes.
        label_smoothing: share by which each label is moved towards 0.5, as in `keras.losses.BinaryCrossentropy`.
        weights: (2, classes) float32 factors of the loss where an image lacks the class and where it has it, or None.
    """

    measures: tuple[str, ...] = ("loss", "exact_match")

    def __init__(self, classes: int, label_smoothing: float = 0.0, weights: np.ndarray | None = None):
        self.labels = tf.TensorSpec((None, classes), tf.int32)
        self._smoothing, self._weights = label_smoothing, weights

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.cast(labels, tf.float32)

    def weight(self, targets: tf.Tensor) -> tf.Tensor:
        """The number of images. Balanced weights have a mean of 1 over the training split, so they need no divisor."""
        return tf.cast(tf.shape(targets)[0], tf.float32)

    def __call__(self, outputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        logits = tf.cast(outputs, tf.float32)
        smooth = targets * (1 - self._smoothing) + 0.5 * self._smoothing
        losses = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        weighted = losses
        if self._weights is not None:
            absent, present = (tf.constant(row, tf.float32) for row in self._weights)
            weighted = losses * (absent + targets * (present - absent))
        hits = tf.reduce_all((logits > 0) == (targets > 0.5), axis=1)
        sums = tf.reduce_sum(tf.reduce_mean(losses, axis=1)), tf.reduce_sum(tf.cast(hits, tf.int32))
        return tf.reduce_mean(weighted), sums


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """(2, C) float32 weights for sets of labels (N, C): N / (2 * images without the class, and with it).

    The images that have a class and those that lack it then have the same total weight, N / 2, in its loss; as
    `compute_class_weight("balanced")` of scikit-learn for each column.
    """
    images, counts = len(labels), class_counts(labels, labels.shape[1])
    return (images / (2 * np.maximum([images - counts, counts], 1))).astype(np.float32)
