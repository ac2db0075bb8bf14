"""TensorFlow Datasets that are prepared on this machine. Nothing is downloaded; the package is optional."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_cnn.data.arrays import numbered, part_of
from keras_cnn.data.decoding import DEFAULT_SIZE, as_array, fitted, upright
from keras_cnn.data.splits import LabelledSource, part_names
from keras_cnn.errors import InputError

IN_MEMORY = 1 << 30  # bytes of pixels of one split; a larger one is written to the cache folder and mapped
_NAME = re.compile(r"[a-z][a-z0-9_]*(/[A-Za-z0-9_.+-]+)?(:\d+\.\d+\.\d+)?")


def read_tfds(
    name: str, size: tuple[int, int] | None, channels: int | None, fit: str, cache_dir: Path
) -> LabelledSource:
    """The splits of the image classification data set `name`, NAME or NAME/CONFIG, at `size` (H, W).

    Raises InputError if the package or the data are missing (the message gives the command to get them), or if the
    data set is of another kind.
    """
    builder = _builder(name)
    image, label = _keys(name, builder)
    own_splits = part_names(f"tfds:{name}", builder.info.splits)
    if "train" not in own_splits:
        raise InputError(f"tfds:{name}: splits {', '.join(builder.info.splits)}; expected one called train")
    features: Any = builder.info.features
    height, width, depth = features[image].shape
    size = size or ((height, width) if height and width else DEFAULT_SIZE)
    shape = (size[0], size[1], channels or (1 if depth == 1 else 3))
    folder = cache_dir / "tfds" / re.sub(r"\W+", "_", builder.info.full_name)
    parts = {}
    reader = _Reader(builder, (image, label), shape, fit, folder)
    for part, split in own_splits.items():
        pixels, labels = reader.read(split)
        parts[part] = part_of(pixels, labels, numbered(split, range(len(labels))))
    return LabelledSource(tuple(features[label].names), parts)


def _builder(name: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"tfds:{name} needs the package {error.name}: pip install tensorflow-datasets importlib_resources"
        ) from None
    known = tfds.list_builders(with_community_datasets=False)
    if not _NAME.fullmatch(name):
        raise InputError(f"tfds:{name}: expected tfds:NAME or tfds:NAME/CONFIG{_hint(name.lower(), known)}")
    try:
        builder = tfds.builder(name)
    except (ValueError, tfds.core.DatasetNotFoundError):
        problem = "TensorFlow Datasets knows no data set or configuration of this name"
        raise InputError(f"tfds:{name}: {problem}{_hint(name, known)}") from None
    if not builder.is_prepared():
        raise InputError(
            f"tfds:{name} is not on this machine (nothing prepared in {builder.data_dir}); with internet, run:"
            f" python -c \"import tensorflow_datasets as t; t.load('{name}')\""
        )
    return builder


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean tfds:{near[0]}?" if near else ""


def _keys(name: str, builder: Any) -> tuple[str, str]:
    """The names of the image feature and of the label feature."""
    features: Any = builder.info.features
    keys: list[str] = [key for key in builder.info.supervised_keys or () if isinstance(key, str)]
    kinds = [type(features[key]).__name__ for key in keys]
    if kinds != ["Image", "ClassLabel"] or features[keys[0]].np_dtype != np.uint8:
        raise InputError(f"tfds:{name}: not a classification of 8-bit images (it holds {', '.join(features)})")
    return keys[0], keys[1]


class _Reader:
    """Reads the splits of one data set as (N, H, W, C) uint8 pixels and (N,) int32 labels.

    A large split is written to a file in `folder` and mapped from there.
    """

    def __init__(self, builder: Any, keys: tuple[str, str], shape: tuple[int, int, int], fit: str, folder: Path):
        self._builder, self._keys, self._shape, self._fit, self._folder = builder, keys, shape, fit, folder

    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels of a split."""
        full = (self._builder.info.splits[split].num_examples, *self._shape)
        if np.prod(full, dtype=np.int64) <= IN_MEMORY:
            pixels = np.empty(full, np.uint8)
            return pixels, self._fill(pixels, split)
        name = "-".join(map(str, (split, *self._shape, self._fit)))
        pixel_file, label_file = self._folder / f"{name}.npy", self._folder / f"{name}-labels.npy"
        if not label_file.exists():
            self._write(split, full, pixel_file, label_file)
        return np.load(pixel_file, mmap_mode="r"), np.load(label_file)

    def _write(self, split: str, full: tuple[int, ...], pixel_file: Path, label_file: Path) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            folder = f"data.cache_dir {self._folder}"
            raise InputError(f"{folder}: {error.strerror}; expected a folder that can be made") from None
        partial = pixel_file.with_name(f"{pixel_file.stem}-{os.getpid()}.partial")
        try:
            pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, full)
            labels = self._fill(pixels, split)
            pixels.flush()
            os.replace(partial, pixel_file)
            with partial.open("wb") as file:
                np.save(file, labels)
            os.replace(partial, label_file)  # last, so that its presence means that both are complete
        finally:
            partial.unlink(missing_ok=True)

    def _fill(self, pixels: np.ndarray, split: str) -> np.ndarray:
        """Writes the images of `split` into `pixels`, in the order of the files, and returns their labels."""
        import tensorflow_datasets as tfds

        config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
        stored = self._builder.as_dataset(split=split, shuffle_files=False, read_config=config)
        examples: Iterable[Any] = tfds.as_numpy(stored)
        image_key, label_key = self._keys
        labels, classes = np.empty(len(pixels), np.int32), self._builder.info.features[label_key].num_classes
        for i, example in enumerate(examples):
            image = example[image_key]
            labels[i] = example[label_key]
            if not 0 <= labels[i] < classes:
                raise InputError(
                    f"tfds:{self._builder.info.full_name}: image {i} of the split {split!r} has the label {labels[i]};"
                    f" expected 0 to {classes - 1}: nothing can be measured on a split without labels"
                )
            if image.shape != pixels.shape[1:]:
                flat = upright(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), 1)
                image = as_array(fitted(flat, pixels.shape[1:3], self._fit), pixels.shape[-1])
            pixels[i] = image
        return labels
