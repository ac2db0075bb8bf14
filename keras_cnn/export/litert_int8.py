"""LiteRT with integer arithmetic: weights and activations in 8 bits, by post-training quantisation with sample images.

Weights have a scale for each output channel, activations one range for each tensor, measured on the sample images.
Source: B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
CVPR 2018; TensorFlow Lite 8-bit quantization specification.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.export import litert
from keras_cnn.export.endpoint import INPUT

FILE = "model_int8.tflite"
RUNTIME, MODULES = litert.RUNTIME, litert.MODULES
classes_in, load = litert.classes_in, litert.load


def write(model: keras.Model, path: Path, classes: Sequence[str], images: np.ndarray) -> None:
    """Writes `path`, a model from `image` (N, H, W, C) uint8 to `logits` (N, classes) float32 of any N, as LiteRT's.

    `images` (S, H, W, C) uint8 of 0-255 calibrate the ranges of the activations. An operation that LiteRT does not have
    in integers stays in float32.
    """

    def samples() -> Iterator[dict[str, np.ndarray]]:
        return ({INPUT: image[None]} for image in images)

    def quantised(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples

    litert.write(model, path, classes, quantised)
