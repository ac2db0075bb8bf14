"""Keras's own format, for programs that use Keras; timed as `evaluate.py` runs it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_cnn.evaluation.predict import Predictor
from keras_cnn.models import class_names
from keras_cnn.models.model_files import load_model

FILE = "model.keras"
RUNTIME = "keras"
MODULES = ()
classes_in = class_names.classes_in


def write(model: keras.Model, path: Path, classes: Sequence[str]) -> None:
    """Writes `path`, a model from images (N, H, W, C) of 0-255, uint8 or float, any N, to logits of `classes`."""
    class_names.save_with_classes(model, path, classes)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported function at `path`, from uint8 images (N, H, W, C) to float32 logits (N, classes)."""
    predictor = Predictor(load_model(path))
    return lambda images: predictor.logits([(images,)])
