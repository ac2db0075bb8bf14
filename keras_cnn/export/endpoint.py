"""What every format holds: the model's inference in float32, from uint8 images to logits, under fixed names."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

INPUT, OUTPUT = "image", "logits"


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself if all of it computes in float32, or else a copy with the same names and weights that does.

    Processors that models are deployed on seldom compute in bfloat16, and LiteRT and ONNX Runtime have no CPU kernels
    for its convolutions.
    """
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    copy = type(model).from_config(_with_float32(model.get_config()))
    for new, old in zip(copy._flatten_layers(), model._flatten_layers(), strict=True):
        store: dict = {}
        old.save_own_variables(store)
        new.load_own_variables(store)  # not set_weights: Normalization computes with constants made of its weights
    return copy


def _with_float32(config: Any) -> Any:
    """A layer's or model's config with every dtype policy replaced."""
    if isinstance(config, dict):
        is_policy = config.get("class_name") == "DTypePolicy"
        return "float32" if is_policy else {key: _with_float32(value) for key, value in config.items()}
    return [_with_float32(value) for value in config] if isinstance(config, list | tuple) else config


def signature(model: keras.Model) -> list[tf.TensorSpec]:
    """(N, H, W, C) uint8 of any N."""
    return [tf.TensorSpec(model.inputs[0].shape, tf.uint8, name=INPUT)]


def classify(model: keras.Model):
    """Function of uint8 images (N, H, W, C) that gives {"logits": (N, classes) float32}."""

    def call(image):
        return {OUTPUT: model(tf.cast(image, tf.float32), training=False)}

    return call


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Without what converters log, such as where temporary files lie; what stops them comes as an exception."""
    before = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
