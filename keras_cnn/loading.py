"""The dataset of a config and the model of a file, as training, evaluation and views open them."""

import functools
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import cast

import h5py
import keras

from keras_cnn import data, models
from keras_cnn.checking import nearest
from keras_cnn.config import Config
from keras_cnn.data import augment
from keras_cnn.data.cache import available_memory
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError, is_out_of_memory
from keras_cnn.models import backbones

MAX_CONFIG = 1 << 26  # bytes of a model's config.json
MAX_UNITS = 100_000_000  # of one layer

BUILDERS = {
    "model": models.BUILDERS,
    "data.augment": {n: functools.partial(augment.Augmentation, **asdict(r)) for n, r in augment.RECIPES.items()},
}


def load_dataset(config: Config, source: str | None = None) -> Dataset:
    """The dataset of the config, or other images with the same settings if `source` is given.

    A backbone gets images of the size that its published weights were trained with, unless the config sets another.
    """
    options, network = config.data, config.model.name
    own_size = backbones.default_side(network) if network in backbones.names() else None
    return data.load(
        source or options.source,
        image_size=options.image_size or own_size,
        channels=options.channels,
        fit=options.fit,
        train=options.train,
        validation=options.validation,
        test=options.test,
        per_class=options.per_class,
        subset=options.subset,
        seed=config.seed,
        corrupt=options.corrupt,
        cache_dir=options.cache_dir,
    )


def require_backbone(config: Config) -> None:
    """InputError, with the nearest one, unless the config's network is a backbone."""
    name, names = config.model.name, backbones.names()
    if name not in names:
        raise InputError(f"model.name: {name} is no backbone, and train.py trains it{nearest(name, names)}")


def load_model(path: Path) -> keras.Model:
    """The model of a `.keras` file, read without running code from it. InputError, in one line, if it is none.

    The sizes that the file declares are compared with `MAX_UNITS` and the memory that is available before anything is
    allocated.
    """
    if not path.is_file():
        raise InputError(f"{path}: no model file; expected a .keras file, such as a run's model.keras")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a Keras model that can be loaded: no archive (is it cut off?)")
    try:
        _check_sizes(path)
        return cast("keras.Model", keras.models.load_model(path, compile=False, safe_mode=True))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Keras raises nearly anything on a file that is not what it claims to be
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a Keras model that can be loaded: {reason}") from None


def _check_sizes(path: Path) -> None:
    """InputError if the archive, its configuration or its weights declare more than this machine can hold."""
    memory = available_memory()
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
        _check_bytes(path, "unpacks to", size, memory)
        names = {info.filename: info.file_size for info in archive.infolist()}
        if names.get("config.json", 0) > MAX_CONFIG:
            raise InputError(f"{path}: config.json has {names['config.json']:,} bytes, more than {MAX_CONFIG:,}")
        if "config.json" in names:
            _check_units(path, json.loads(archive.read("config.json")))
        if "model.weights.h5" in names:
            with archive.open("model.weights.h5") as file, h5py.File(file, "r") as weights:
                declared: list[int] = []
                weights.visititems(lambda _, item: declared.append(getattr(item, "nbytes", 0)))
            _check_bytes(path, "declares weights of", sum(declared), memory)


def _check_bytes(path: Path, what: str, size: int, memory: int) -> None:
    if memory and size > memory:
        found, free = f"{size / 2**30:,.1f} GiB", f"{memory / 2**30:,.1f} GiB"
        raise InputError(f"{path}: {what} {found}, where {free} of memory are available")


def _check_units(path: Path, config) -> None:
    """InputError for a layer with more than `MAX_UNITS` units, filters or entries."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name in ("units", "filters", "input_dim", "output_dim"):
                if isinstance(count := value.get(name), int) and count > MAX_UNITS:
                    raise InputError(f"{path}: a layer with {name} = {count:,}, expected at most {MAX_UNITS:,}")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
