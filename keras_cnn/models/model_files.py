"""Loads Keras models from users' files. No code in a file is run, and sizes are checked before memory is allocated."""

import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import h5py
import keras
import numpy as np

from keras_cnn.errors import InputError, is_out_of_memory
from keras_cnn.models.graph import weight_count
from keras_cnn.models.weights.keras_files import check_unpacked_size, declared_bytes, refuse_links

KERAS, HDF5 = (".keras",), (".h5", ".hdf5")
_LARGEST_CONFIG = 2**26  # bytes
# Layers that hold a program instead of numbers.
_PROGRAMS = {
    "TorchModuleWrapper": "a PyTorch module, which is stored as a program and is not run",
    "JaxLayer": "a JAX function, which is stored as a program and is not run",
    "FlaxLayer": "a Flax module, which is stored as a program and is not run",
    "TFSMLayer": "a SavedModel beside the file, which is a program and is not run",
}
_SAVED_MODEL = (
    "a TensorFlow SavedModel, whose layers cannot be read; expected a .keras or .h5 file. With Keras 2 (the package "
    "tf_keras): tf_keras.models.load_model(FOLDER).save('model.h5')"
)


def load_model(path: Path) -> keras.Model:
    """The model of a `.keras` file, or of a whole `.h5` file of Keras 2 or 3; it is not compiled.

    Raises a one-line InputError for a file that is missing, damaged or of another kind, for weights without a
    model, for layers that hold a program, for declared sizes beyond what the file stores, and for weights that are
    not finite.
    """
    if (path / "saved_model.pb").is_file() or path.suffix == ".pb":
        raise InputError(f"{path}: {_SAVED_MODEL}")
    if path.suffix not in (*KERAS, *HDF5):
        raise InputError(f"{path}: found a {path.suffix or 'file without an ending'}, expected a .keras or .h5 file")
    if not path.is_file():
        raise InputError(f"{path}: no model file; expected a .keras file, such as a run's model.keras")
    try:
        config, weights = _checked_archive(path) if path.suffix in KERAS else _checked_hdf5(path)
        _refuse_programs(path, config)
        _refuse_oversized(path, config, weights)
        model = cast(keras.Model, keras.models.load_model(path, compile=False, safe_mode=True))
        _refuse_not_finite(path, model)
        return model
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{path}: not a Keras model that can be loaded: it is nested too deeply") from None
    except Exception as error:  # with a malformed config, Keras can raise anything
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a Keras model that can be loaded: {reason}") from None


def _refuse_not_finite(path: Path, model: keras.Model) -> None:
    for weights in model.weights:
        values = np.asarray(weights)
        if values.dtype.kind in "fV" and not np.isfinite(values.sum(dtype=np.float64)):
            raise InputError(f"{path}: {weights.path}: weights that are not finite numbers; the training diverged")


def _checked_archive(path: Path) -> tuple[Any, int]:
    """The config of a `.keras` file and the number of its stored weights."""
    if not zipfile.is_zipfile(path):
        found = "an HDF5 file, whose name ends in .h5" if h5py.is_hdf5(path) else "no archive (is it cut off?)"
        raise InputError(f"{path}: not a Keras model that can be loaded: {found}")
    with zipfile.ZipFile(path) as archive:
        check_unpacked_size(path, archive)
        size = archive.getinfo("config.json").file_size
        if size > _LARGEST_CONFIG:
            raise InputError(f"{path}: a config.json of {size:,} bytes, expected at most {_LARGEST_CONFIG:,}")
        config = json.loads(archive.read("config.json"))
        with archive.open("model.weights.h5") as stored, h5py.File(stored, "r") as file:
            return config, _stored_numbers(file)


def _checked_hdf5(path: Path) -> tuple[Any, int]:
    """The config of an `.h5` file and the number of its stored weights."""
    if not h5py.is_hdf5(path):
        found = "an archive, whose name ends in .keras" if zipfile.is_zipfile(path) else "no HDF5 file (is it cut off?)"
        raise InputError(f"{path}: not a Keras model that can be loaded: {found}")
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise InputError(f"{path}: weights without a model; expected a file of model.save(), not of save_weights()")
        return json.loads(config), _stored_numbers(file)


def _stored_numbers(file: h5py.File) -> int:
    """How many numbers an HDF5 file holds. Raises ValueError for a dataset that declares more than it stores."""
    count = 0
    refuse_links(file)

    def visit(name: str, item: object) -> None:
        nonlocal count
        if isinstance(item, h5py.Dataset):
            declared_bytes(item)
            count += item.size or 1

    file.visititems(visit)
    return count


def _refuse_programs(path: Path, config: Any) -> None:
    for layer in _layer_configs(config):
        kind = layer["class_name"]
        if kind in _PROGRAMS:
            inner = layer.get("config")
            name = inner.get("name", kind) if isinstance(inner, dict) else kind
            raise InputError(f"{path}: layer {name} is {_PROGRAMS[kind]}")


def _layer_configs(value: Any) -> Iterator[dict]:
    """Every dictionary with a class name, at any depth."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _refuse_oversized(path: Path, config: Any, stored: int) -> None:
    """Raises InputError for a model with many more weights than the file has; no memory is allocated for them."""
    try:
        declared = weight_count(partial(keras.models.model_from_json, json.dumps(config)))
    except Exception:  # a layer may need its values to be built; loading then reports any error
        return
    if declared > 2 * stored + 2**20:
        raise InputError(f"{path}: declares a model of {declared:,} weights, and the file has {stored:,}")
