"""The names of a classifier's classes inside its file: the member `classes.json` of a zip archive.

A `.keras` file is such an archive, and Keras passes over members that it does not know. A `.tflite` file ends with one
where TensorFlow Lite keeps the files that belong to a model; LiteRT reads the file from its beginning.
"""

import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_cnn.errors import InputError, require

FILE = "classes.json"
_LARGEST = 2**24  # bytes: a hundred for each of 160,000 classes


def save_with_classes(model: keras.Model, path: Path, classes: Sequence[str]) -> None:
    """Writes a `.keras` file with the names of the classes, in the order of the outputs; plain Keras loads it."""
    model.save(path)
    add_classes(path, classes)


def add_classes(path: Path, classes: Sequence[str]) -> None:
    """Adds the names to a `.keras` or `.tflite` file; the same names add the same bytes at any time."""
    member = zipfile.ZipInfo(FILE)  # dated 1980
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, classes_text(classes))


def classes_text(classes: Sequence[str]) -> str:
    """The names as a JSON list."""
    return json.dumps(list(classes), ensure_ascii=False)


def classes_in(path: Path) -> tuple[str, ...]:
    """The names inside a `.keras` or `.tflite` file; () for a file without them, such as one of plain Keras.

    Raises InputError for a damaged archive and for anything but a list of names.
    """
    try:
        if not zipfile.is_zipfile(path):
            return ()
        with zipfile.ZipFile(path) as archive:
            if FILE not in archive.namelist():
                return ()
            size = archive.getinfo(FILE).file_size
            require(size <= _LARGEST, f"{path}: {FILE}", f"{size:,} bytes", f"at most {_LARGEST:,}")
            content = archive.read(FILE)
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {FILE} cannot be read: {error}") from None
    return parsed_classes(content, f"{path}: {FILE}")


def parsed_classes(content: str | bytes, where: str) -> tuple[str, ...]:
    """The names of a JSON list. InputError, beginning with `where`, for anything else."""
    try:
        names = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); expected a list of class names") from None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise InputError(f"{where}: expected a list of class names")
    return tuple(names)
