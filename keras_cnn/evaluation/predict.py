"""A model's logits for many images, in one compiled function."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


class Predictor:
    """Compiles a classifier's inference once; keep it to predict again after the weights have changed."""

    def __init__(self, model: keras.Model):
        shape = model.inputs[0].shape
        self._classes = model.outputs[0].shape[-1]
        self._forward = tf.function(
            lambda images: model(images, training=False), input_signature=[tf.TensorSpec(shape, tf.uint8)]
        )

    def logits(self, batches: Iterable) -> np.ndarray:
        """(N, classes) float32 for batches whose first element is (B, H, W, C) uint8 images, in their order."""
        parts = [self._forward(images).numpy() for images, *_ in batches]
        return np.concatenate(parts) if parts else np.zeros((0, self._classes), np.float32)
