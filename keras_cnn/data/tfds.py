"""TensorFlow Datasets that are already prepared on this machine. Nothing is downloaded; the package is optional."""

import os
import re
from pathlib import Path

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
    """The splits of an image classification data set `name`, NAME or NAME/CONFIG, at `size` (H, W).

    InputError if the package or the data are missing (with the command that gets them), or it is another kind of data.
    """
    builder = _builder(name)
    image, label = _keys(name, builder)
    found = part_names(f"tfds:{name}", builder.info.splits)
    if "train" not in found:
        raise InputError(f"tfds:{name}: splits {', '.join(builder.info.splits)}; expected one called train")
    height, width, depth = builder.info.features[image].shape
    size = size or ((height, width) if height and width else DEFAULT_SIZE)
    shape = (*size, channels or (1 if depth == 1 else 3))
    folder = cache_dir / "tfds" / re.sub(r"\W+", "_", builder.info.full_name)
    parts = {}
    for part, split in found.items():
        pixels, labels = _read(builder, split, (image, label), shape, fit, folder)
        parts[part] = part_of(pixels, labels, numbered(split, range(len(labels))))
    return LabelledSource(tuple(builder.info.features[label].names), parts)


def _builder(name: str):
    if not _NAME.fullmatch(name):
        raise InputError(f"tfds:{name}: expected tfds:NAME or tfds:NAME/CONFIG")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            f"tfds:{name} needs the package {error.name}: pip install tensorflow-datasets importlib_resources"
        ) from None
    try:
        builder = tfds.builder(name)
    except (ValueError, tfds.core.registered.DatasetNotFoundError):
        raise InputError(f"tfds:{name}: TensorFlow Datasets knows no data set or configuration of this name") from None
    if not builder.is_prepared():
        raise InputError(
            f"tfds:{name} is not on this machine (nothing prepared in {builder.data_dir}); with internet, run:"
            f" python -c \"import tensorflow_datasets as t; t.load('{name}')\""
        )
    return builder


def _keys(name: str, builder) -> tuple[str, str]:
    """The names of the image and the label."""
    features, keys = builder.info.features, builder.info.supervised_keys
    is_pair = keys is not None and len(keys) == 2 and all(isinstance(key, str) for key in keys)
    kinds = [type(features[key]).__name__ for key in keys] if is_pair else []
    if kinds != ["Image", "ClassLabel"] or features[keys[0]].np_dtype != np.uint8:
        raise InputError(f"tfds:{name}: not a classification of 8-bit images (it holds {', '.join(features)})")
    return keys


def _read(builder, split: str, keys: tuple[str, str], shape: tuple, fit: str, folder: Path):
    """(N, H, W, C) uint8 pixels, in memory or mapped from a file in `folder`, and (N,) int32 labels."""
    full = (builder.info.splits[split].num_examples, *shape)
    if np.prod(full, dtype=np.int64) <= IN_MEMORY:
        pixels = np.empty(full, np.uint8)
        return pixels, _fill(pixels, builder, split, keys, fit)
    name = "-".join(map(str, (split, *shape, fit)))
    pixel_file, label_file = folder / f"{name}.npy", folder / f"{name}-labels.npy"
    if not label_file.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"data.cache_dir {folder}: {error.strerror}; expected a folder that can be made") from None
        partial = folder / f"{name}-{os.getpid()}.partial"
        try:
            pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, full)
            labels = _fill(pixels, builder, split, keys, fit)
            pixels.flush()
            os.replace(partial, pixel_file)
            with partial.open("wb") as file:
                np.save(file, labels)
            os.replace(partial, label_file)  # last, so that its presence means that both are complete
        finally:
            partial.unlink(missing_ok=True)
    return np.load(pixel_file, mmap_mode="r"), np.load(label_file)


def _fill(pixels: np.ndarray, builder, split: str, keys: tuple[str, str], fit: str) -> np.ndarray:
    """Writes the images of `split` into `pixels`, in the order of the files, and returns their labels."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
    examples = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, read_config=config))
    labels, classes = np.empty(len(pixels), np.int32), builder.info.features[keys[1]].num_classes
    for i, example in enumerate(examples):
        image = example[keys[0]]
        labels[i] = example[keys[1]]
        if not 0 <= labels[i] < classes:
            raise InputError(
                f"tfds:{builder.info.full_name}: image {i} of the split {split!r} has the label {labels[i]}; expected"
                f" 0 to {classes - 1}: a split without labels cannot be measured on"
            )
        if image.shape != pixels.shape[1:]:
            picture = upright(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), 1)
            image = as_array(fitted(picture, pixels.shape[1:3], fit), pixels.shape[-1])
        pixels[i] = image
    return labels
