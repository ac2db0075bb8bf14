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
ACTIVATION, SIGMOID = "activation.json", "sigmoid"
_LARGEST = 2**24  # bytes: a hundred for each of 160,000 classes


def save_with_classes(model: keras.Model, path: Path, classes: Sequence[str], *, several_labels: bool = False) -> None:
    """Writes a `.keras` file with the names of the classes, in the order of the outputs; plain Keras loads it.

    `several_labels` says that an image may have several classes: the member `activation.json` is then "sigmoid", what
    makes a probability of each output.
    """
    model.save(path)
    add_classes(path, classes)
    if several_labels:
        mark_several_labels(path)


def mark_several_labels(path: Path) -> None:
    """Adds to a `.keras` file with class names that an image may have several of them."""
    _add(path, ACTIVATION, json.dumps(SIGMOID))


def add_classes(path: Path, classes: Sequence[str]) -> None:
    """Adds the names to a `.keras` or `.tflite` file; the same names add the same bytes at any time."""
    _add(path, FILE, classes_text(classes))


def _add(path: Path, name: str, content: str) -> None:
    member = zipfile.ZipInfo(name)  # dated 1980
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, content)


def has_several_labels(path: Path) -> bool:
    """Whether a `.keras` file says that an image may have several of its classes. InputError for a damaged archive."""
    content = _member(path, ACTIVATION)
    if content is None:
        return False
    require(content == json.dumps(SIGMOID).encode(), f"{path}: {ACTIVATION}", f"found {content[:40]!r}", f'"{SIGMOID}"')
    return True


def classes_text(classes: Sequence[str]) -> str:
    """The names as a JSON list."""
    return json.dumps(list(classes), ensure_ascii=False)


def classes_in(path: Path) -> tuple[str, ...]:
    """The names inside a `.keras` or `.tflite` file; () for a file without them, such as one of plain Keras.

    Raises InputError for a damaged archive and for anything but a list of names.
    """
    content = _member(path, FILE)
    return () if content is None else parsed_classes(content, f"{path}: {FILE}")


def _member(path: Path, name: str) -> bytes | None:
    """The content of a member of an archive; None if there is none. InputError for a damaged or too large one."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                return None
            size = archive.getinfo(name).file_size
            require(size <= _LARGEST, f"{path}: {name}", f"{size:,} bytes", f"at most {_LARGEST:,}")
            return archive.read(name)
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {name} cannot be read: {error}") from None


def parsed_classes(content: str | bytes, where: str) -> tuple[str, ...]:
    """The names of a JSON list. InputError, beginning with `where`, for anything else."""
    try:
        names = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); expected a list of class names") from None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise InputError(f"{where}: expected a list of class names")
    return tuple(names)
