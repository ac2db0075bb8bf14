"""What the labels of shards mean: the names of their classes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keras_cnn.checking import nearest
from keras_cnn.data.shards import array_record_index, shard_manifest
from keras_cnn.data.shards.pattern import folder_of, is_array_record
from keras_cnn.errors import InputError


class ClassList(NamedTuple):
    """Names of classes, in the order of their numbers, and the file or URL where they stand."""

    names: tuple[str, ...]
    where: str


def read_class_list(shards: Sequence[str]) -> ClassList | None:
    """The classes in manifest.json, classes.txt or TensorFlow Datasets' files beside the shards; None without any.

    Raises InputError if the folders of the shards have different ones.
    """
    found = {folder: _of_folder(folder, name) for folder, name in {folder_of(name): name for name in shards}.items()}
    first = next(iter(found.values()))
    if other := next((item for item in found.values() if (item and item.names) != (first and first.names)), None):
        one = first.where if first else "no list of classes beside the others"
        raise InputError(f"{other.where}: has other classes than {one}; expected the same")
    return first


def _of_folder(folder: str, shard: str) -> ClassList | None:
    if is_array_record(shard):
        names = array_record_index.read_features(Path(folder)).classes
        return ClassList(names, folder) if names else None
    if manifest := shard_manifest.read_manifest(folder):
        return ClassList(manifest.classes, manifest.where)
    names = shard_manifest.read_classes(folder)
    return ClassList(names, f"{folder}/{shard_manifest.CLASSES}") if names else None


def titles_of(where: str, labels: Sequence[str], listed: ClassList | None) -> list[str]:
    """The name of the class of each distinct label, which is a whole number or a text.

    Raises InputError for a number beyond the list, a text that is not in it, and a negative number.
    """
    if negative := next((label for label in labels if re.fullmatch(r"-\d+", label)), None):
        raise InputError(f"{where}: has the label {negative}; expected whole numbers from 0, or names of classes")
    if listed is None:
        return list(labels)
    return [_listed_title(label, listed) for label in labels]


def _listed_title(label: str, listed: ClassList) -> str:
    if not label.isdecimal():
        if label in listed.names:
            return label
        hint = nearest(label, listed.names)
        raise InputError(f"{listed.where}: does not list the class {label!r}, which is in the shards{hint}")
    if int(label) >= len(listed.names):
        known = f"expected 0 to {len(listed.names) - 1:,}"
        raise InputError(f"{listed.where}: lists {len(listed.names):,} classes, but the shards have {label}; {known}")
    return listed.names[int(label)]
