"""LiteRT, formerly TensorFlow Lite: a file for phones and small computers, with LiteRT's built-in operations only."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from keras_cnn.errors import InputError
from keras_cnn.export import savedmodel
from keras_cnn.export.endpoint import quiet
from keras_cnn.models import class_names
from keras_cnn.operating_system import cores

FILE = "model.tflite"
RUNTIME = "ai-edge-litert"  # tf.lite.Interpreter, its predecessor, is deprecated
MODULES = ("ai_edge_litert",)  # of the extra `export`
classes_in = class_names.classes_in


def write(
    model: keras.Model,
    path: Path,
    classes: Sequence[str],
    settings: Callable[[tf.lite.TFLiteConverter], None] = lambda _: None,
) -> None:
    """Writes `path`, a model from `image` (N, H, W, C) uint8 to `logits`; its input can be resized to any N.

    The names of the classes are an associated file, as TensorFlow Lite's metadata calls it: classes.json in a zip
    archive at the end, which `unzip model.tflite` takes out. `settings` may change the converter.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, quiet("tensorflow"):
        savedmodel.write(model, Path(folder), classes)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        settings(converter)
        try:
            with warnings.catch_warnings():  # the converter itself calibrates with it
                warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
                path.write_bytes(converter.convert())
        except ConverterError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"litert: {model.name} cannot be converted: {reason}") from None
    class_names.add_classes(path, classes)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported function at `path`, from uint8 images (N, H, W, C) to float32 logits (N, classes)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=len(cores()))
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape = tuple(image["shape"])

    def logits(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(image["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(image["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return logits
