"""TensorFlow's SavedModel: a folder for TensorFlow Serving and other programs that use TensorFlow."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.export.endpoint import INPUT, OUTPUT, classify, quiet, signature
from keras_cnn.models.class_names import FILE as CLASSES
from keras_cnn.models.class_names import classes_text, parsed_classes

FILE = "savedmodel"
RUNTIME = "tensorflow"
MODULES = ()
_EXTRA = "assets.extra"  # TensorFlow's folder for what belongs to a model but is not loaded with its graph


def write(model: keras.Model, path: Path, classes: Sequence[str]) -> None:
    """Writes the folder `path` with the signature `serving_default`, from `image` (N, H, W, C) uint8 to `logits`.

    The names of the classes are in assets.extra/classes.json.
    """
    archive: Any = keras.export.ExportArchive()  # without track(model), which would write every weight a second time
    archive.add_endpoint("serve", classify(model), signature(model))
    try:
        with quiet("tensorflow"):
            archive.write_out(str(path), verbose=False)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's error for ENOSPC
        raise OSError(errno.ENOSPC, str(error)) from error
    (path / _EXTRA).mkdir(exist_ok=True)
    (path / _EXTRA / CLASSES).write_text(classes_text(classes), encoding="utf-8")


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported function at `path`, from uint8 images (N, H, W, C) to float32 logits (N, classes)."""
    loaded = tf.saved_model.load(str(path))

    def logits(images: np.ndarray) -> np.ndarray:
        serve = loaded.signatures["serving_default"]  # keeps `loaded` and its variables alive
        return serve(**{INPUT: tf.constant(images)})[OUTPUT].numpy()

    return logits


def classes_in(path: Path) -> tuple[str, ...]:
    """The names of the classes in the folder; () if it has none. InputError for anything but a list of names."""
    file = path / _EXTRA / CLASSES
    return parsed_classes(file.read_bytes(), str(file)) if file.is_file() else ()
