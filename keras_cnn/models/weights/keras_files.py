"""Reads Keras's weight files layer by layer: .keras, .weights.h5, and the .h5 of Keras 1 and 2.

Only numbers and names are read; no layer is created from a file.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.models.weights.stored import Stored, canonically_named, snake_case, split_number

_LARGEST_RATIO = 1032  # of uncompressed to compressed size: the maximum of deflate
DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, RuntimeError)


def read(path: Path) -> list[Stored]:
    """The weighted layers of a file. Raises a one-line InputError for a damaged or foreign file."""
    try:
        stored = _read_archive(path) if path.suffix == ".keras" else _read_hdf5(path, None)
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: no readable Keras file ({reason}); expected .keras, .weights.h5 or .h5") from None
    if not stored:
        raise InputError(f"{path}: no weights in it; expected those of a Keras model")
    return canonically_named(stored)


def _read_archive(path: Path) -> list[Stored]:
    with zipfile.ZipFile(path) as archive:
        check_unpacked_size(path, archive)
        config = json.loads(archive.read("config.json"))
        return _read_hdf5(io.BytesIO(archive.read("model.weights.h5")), config)


def _read_hdf5(source: Path | BinaryIO, config: dict[str, Any] | None) -> list[Stored]:
    with h5py.File(source, "r") as file:
        refuse_links(file)
        legacy = _group(file.get("model_weights", file))
        if "layer_names" in legacy.attrs:
            return list(_legacy_layers(legacy))
        return list(_layers(file, _names(config) if config else {}))


def check_unpacked_size(path: Path, archive: zipfile.ZipFile) -> None:
    """Raises ValueError for an archive that unpacks to far more than its size: Keras stores weights uncompressed."""
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > 20 * path.stat().st_size + 2**28:
        raise ValueError(f"it unpacks to {unpacked / 2**20:,.0f} MiB, far more than a model file of its size holds")


def refuse_links(file: h5py.File) -> None:
    """Raises ValueError for a link: it can point into other files, and a foreign file must not read the user's."""
    link = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if link is not None:
        raise ValueError(f"{link} is a link")


def declared_bytes(dataset: h5py.Dataset) -> int:
    """Size of a dataset in memory. Raises ValueError if the file stores less: it can declare any size."""
    stored = dataset.id.get_storage_size() * (_LARGEST_RATIO if dataset.compression else 1)
    if dataset.external or dataset.is_virtual or dataset.nbytes > stored:
        raise ValueError(f"{dataset.name} declares {dataset.nbytes:,} bytes of numbers, which are not in this file")
    return dataset.nbytes


def _legacy_layers(file: h5py.Group) -> Iterator[Stored]:
    """Keras 1 and 2: one group per layer, in the network's order; a nested model is one group with many layers."""
    for layer in _texts(file.attrs["layer_names"]):
        group = _group(file[layer])
        inner: dict[str, list[np.ndarray]] = {}
        for weight in _texts(group.attrs["weight_names"]):
            *folders, _ = weight.split("/")
            inner.setdefault(folders[-1] if folders else layer, []).append(_array(group[weight]))
        if len(inner) == 1:  # a plain layer's weights may carry its name from another session
            inner = {layer: next(iter(inner.values()))}
        for name, arrays in inner.items():
            yield Stored(name, _kind_of_name(name), tuple(arrays))


def _kind_of_name(name: str) -> str:
    """The kind in a name that Keras generated; "" for any other name."""
    kind, _ = split_number(name)
    return kind if kind in {"conv2d", "batch_normalization", "layer_normalization", "normalization"} else ""


def _texts(values) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _layers(group: h5py.Group, names: dict[str, str], path: str = "") -> Iterator[Stored]:
    """Keras 3: groups named by class and number, each with its weights in `vars`; nested models have `layers`."""
    for key in sorted((str(k) for k in group if k not in ("vars", "optimizer", "seed_generator")), key=split_number):
        inner, here = group[key], f"{path}/{key}"
        if not isinstance(inner, h5py.Group):
            continue
        variables = _group(inner["vars"]) if "vars" in inner else {}
        if len(variables):
            weights = [_array(variables[i]) for i in sorted(variables, key=int)]
            name = names.get(here) or inner["vars"].attrs.get("name")
            yield Stored(name, split_number(key)[0], tuple(weights))
        yield from _layers(inner, names, here)


def _names(config: dict[str, Any], path: str = "") -> dict[str, str]:
    """Path of every layer's group in the HDF5 file -> the name that the model's config gives it."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for layer in config["config"]["layers"]:
        kind = snake_case(layer["class_name"])
        here = f"{path}/layers/{kind}" + (f"_{counts[kind]}" if counts[kind] else "")
        counts[kind] += 1
        names[here] = layer["config"]["name"]
        if "layers" in layer["config"]:
            names |= _names(layer, here)
    return names


def _group(value: Any) -> h5py.Group:
    if not isinstance(value, h5py.Group):
        raise ValueError(f"{value.name} is no group")
    return value


def _array(dataset: Any) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{dataset.name} is no array of numbers")
    declared_bytes(dataset)
    return np.asarray(dataset[()], dtype=np.float32)
