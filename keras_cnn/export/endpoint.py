"""The exported function: inference in float32 from uint8 images to logits, with fixed input and output names."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

INPUT, OUTPUT = "image", "logits"


def in_float32(model: keras.Model) -> keras.Model:
    """`model` if all its layers compute in float32, otherwise a copy with the same names and weights that does.

    Few processors on which models are deployed compute in bfloat16, and LiteRT and ONNX Runtime have no CPU kernels
    for bfloat16 convolutions.
    """
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    copy = type(model).from_config(_with_float32(model.get_config()))
    for new, old in zip(copy._flatten_layers(), model._flatten_layers(), strict=True):
        store: dict = {}
        old.save_own_variables(store)
        new.load_own_variables(store)  # not set_weights: Normalization computes with constants derived from its weights
    return copy


def _with_float32(config: Any) -> Any:
    """The config of a layer or model with every dtype policy replaced by float32."""
    if isinstance(config, dict):
        is_policy = config.get("class_name") == "DTypePolicy"
        return "float32" if is_policy else {key: _with_float32(value) for key, value in config.items()}
    return [_with_float32(value) for value in config] if isinstance(config, list | tuple) else config


def signature(model: keras.Model) -> list[tf.TensorSpec]:
    """Specification of the input: (N, H, W, C) uint8 for any N."""
    return [tf.TensorSpec(model.inputs[0].shape, tf.uint8, name=INPUT)]


def classify(model: keras.Model):
    """A function from uint8 images (N, H, W, C) to {"logits": (N, classes) float32}."""

    def call(image):
        return {OUTPUT: model(tf.cast(image, tf.float32), training=False)}

    return call


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Suppresses the log messages of converters, such as paths of temporary files; errors are still raised."""
    before = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
