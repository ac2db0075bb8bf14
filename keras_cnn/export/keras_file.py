"""Keras's own file, for programs that go on in Keras; measured as `evaluate.py` runs it."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_cnn.evaluation.predict import Predictor
from keras_cnn.loading import load_model

FILE = "model.keras"
RUNTIME = "keras"
PACKAGES: dict[str, str] = {}


def write(model: keras.Model, path: Path) -> None:
    """Writes the file `path`: images (N, H, W, C) of 0-255, uint8 or float, to logits, of any N."""
    model.save(path)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function of uint8 images (N, H, W, C) to float32 logits (N, classes) that lies at `path`."""
    predictor = Predictor(load_model(path))
    return lambda images: predictor.logits([(images,)])
