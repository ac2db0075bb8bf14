"""The loss of a classifier, and what a training step measures."""

import numpy as np
import tensorflow as tf

from keras_cnn.config import TrainConfig

_LEAST_ERROR = 1e-7  # of 1 - p in the focal loss: below it, its power could have an infinite gradient


class CrossEntropy:
    """Cross-entropy of softmax and one-hot labels; measures its sum and the number of correct predictions.

    The sum is that of the loss without class weights; a prediction is the class of the largest logit, as in inference.

    Args:
        classes: number of classes.
        label_smoothing: probability spread over all classes.
        class_weights: (classes,) float32 factors of the loss, or None.
        focal_gamma: each term of the cross-entropy is multiplied by (1 - p)^gamma of its class's probability p, so that
            images which the network knows count less (Lin et al. 2017, with a softmax instead of sigmoids).
        offsets: (classes,) float32 added to the logits in the loss alone, see `logit_offsets`; or None.
    """

    measures: tuple[str, ...] = ("loss", "accuracy")
    labels = tf.TensorSpec((None,), tf.int32)

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
        *,
        focal_gamma: float = 0.0,
        offsets: np.ndarray | None = None,
    ):
        self._classes, self._smoothing, self._weights = classes, label_smoothing, class_weights
        self._gamma, self._offsets = focal_gamma, offsets

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
        adjusted = logits if self._offsets is None else logits + tf.constant(self._offsets, tf.float32)
        losses = self._losses(smooth, adjusted)
        loss = tf.reduce_mean(losses) if self._weights is None else _weighted_mean(losses, targets, self._weights)
        hits = tf.argmax(logits, 1) == tf.argmax(targets, 1)
        return loss, (tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.int32)))

    def _losses(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """(B,) loss of each image."""
        if not self._gamma:
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        logs = tf.nn.log_softmax(logits)
        errors = tf.maximum(-tf.math.expm1(logs), _LEAST_ERROR)
        return -tf.reduce_sum(targets * tf.pow(errors, self._gamma) * logs, axis=1)


def objective_of(settings: TrainConfig, labels: np.ndarray, classes: int) -> CrossEntropy:
    """The loss of a config; `labels` (N,) are those of the training images, whose frequencies it may use."""
    counts = np.bincount(labels, minlength=classes)
    strength = 0.0 if settings.overfit_batch else settings.logit_adjustment  # a batch may lack classes
    return CrossEntropy(
        classes,
        settings.label_smoothing,
        _balanced(counts) if settings.class_weights == "balanced" else None,
        focal_gamma=settings.focal_gamma if settings.loss == "focal" else 0.0,
        offsets=logit_offsets(counts, strength) if strength else None,
    )


def logit_offsets(counts: np.ndarray, strength: float) -> np.ndarray:
    """(classes,) float32: strength times the logarithm of each class's share of the images, from (classes,) counts > 0.

    With these added to the logits in the loss, the logits themselves are those of equally frequent classes: their
    largest minimises the mean of the classes' errors for strength 1 (Menon et al. 2021, equation 10).
    """
    return (strength * np.log(counts / counts.sum())).astype(np.float32)


def _balanced(counts: np.ndarray) -> np.ndarray:
    """(classes,) weights N / (classes * images of the class): every class has the same total weight."""
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def _weighted_mean(losses: tf.Tensor, targets: tf.Tensor, class_weights: np.ndarray) -> tf.Tensor:
    weights = _weights(targets, class_weights)
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)


def _weights(targets: tf.Tensor, class_weights: np.ndarray) -> tf.Tensor:
    """(B,) weight of each image."""
    return tf.linalg.matvec(targets, tf.constant(class_weights, tf.float32))
