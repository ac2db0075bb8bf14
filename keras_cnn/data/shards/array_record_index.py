"""Reads ArrayRecord files as TensorFlow Datasets writes them: records by their number, each an Example.

The names of the features and of the classes stand in the files that TensorFlow Datasets puts beside: `features.json`
and `LABEL.labels.txt`.
"""

import importlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from keras_cnn.data.shards.index import IndexBuilder, ShardIndex
from keras_cnn.data.shards.tf_example import features_of
from keras_cnn.data.user_files import read_text
from keras_cnn.errors import InputError
from keras_cnn.extras import missing_modules

_AT_A_TIME = 64  # records; of 110 KB each, 7 MB


class RecordFeatures(NamedTuple):
    """The names of the features that hold the image and the label, and those of the classes, if there are any."""

    image: str
    label: str
    classes: tuple[str, ...]


@lru_cache(maxsize=64)
def read_features(folder: Path) -> RecordFeatures:
    """The features of the data set in `folder`. Raises InputError if it has not one image and one label."""
    file = folder / "features.json"
    try:
        described = json.loads(read_text(file, "description of the records"))["featuresDict"]["features"]
        kinds = {name: feature["pythonClassName"].rpartition(".")[2] for name, feature in described.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: cannot be read; expected what TensorFlow Datasets writes") from None
    images, labels = ([name for name, kind in kinds.items() if kind == wanted] for wanted in ("Image", "ClassLabel"))
    if len(images) != 1 or len(labels) != 1:
        found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError(f"{file}: found {found}; expected one Image and one ClassLabel")
    names = folder / f"{labels[0]}.labels.txt"
    classes = tuple(read_text(names, "names of the classes").splitlines()) if names.exists() else ()
    return RecordFeatures(images[0], labels[0], classes)


def index_array_record(path: Path) -> ShardIndex:
    """The samples of an ArrayRecord file. Raises InputError, in one line, for a file that cannot be read."""
    features = read_features(path.parent)
    built, problems = IndexBuilder(), {}
    for number, record in enumerate(_records(path)):
        identity = f"{path.name}/{number:06d}"
        try:
            values = features_of(record)
        except ValueError:
            raise InputError(f"{path}: record {number:,} is no tf.train.Example") from None
        image, label = values.get(features.image, []), values.get(features.label, [])
        if len(image) != 1 or not isinstance(image[0], bytes):
            problems[identity] = f"no image; found the features {', '.join(values)}, expected {features.image!r}"
        elif len(label) != 1 or not isinstance(label[0], int):
            problems[identity] = f"no label; found the features {', '.join(values)}, expected {features.label!r}"
        else:
            built.add(identity, number, len(image[0]), str(label[0]))
    return built.index(problems, {})


def _records(path: Path) -> Iterator[bytes]:
    reader = open_reader(path)
    count = reader.num_records()
    try:
        for start in range(0, count, _AT_A_TIME):
            yield from reader.read(start, min(start + _AT_A_TIME, count))
        reader.close()
    except (RuntimeError, IndexError, ValueError) as error:
        raise _unreadable(path, error) from None


def read_images(path: Path, reader: Any, numbers: Sequence[int]) -> list[bytes]:
    """The encoded images of the records `numbers`; `reader` is `open_reader(path)`. OSError if one is missing."""
    name = read_features(path.parent).image
    try:
        records = reader.read(list(numbers))
        return [features_of(record)[name][0] for record in records]
    except (RuntimeError, IndexError, KeyError, ValueError) as error:
        raise OSError(f"{path}: {' '.join(str(error).split())[:200]}") from error


def open_reader(path: Path) -> Any:
    """A reader of the file's records by their number. Raises InputError if it cannot be opened."""
    if missing_modules(["array_record"]):
        raise InputError(f"{path}: needs the package array_record: pip install array_record")
    array_record_module = importlib.import_module("array_record.python.array_record_module")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an ArrayRecord file")
    try:
        return array_record_module.ArrayRecordReader(
            str(path), options="readahead_buffer_size:0", file_reader_buffer_size=1 << 15
        )
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return InputError(f"{path}: damaged or truncated ({reason}); expected a whole ArrayRecord file")
