"""COCO's JSON: images, categories and annotations with `bbox` x, y, width, height (https://cocodataset.org)."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_cnn.checking import nearest
from keras_cnn.data.user_files import located, read_text
from keras_cnn.detection.annotations.dataset import AnnotatedBox, AnnotatedImage, Reading, check_unique
from keras_cnn.errors import InputError, require

_TRAIN = re.compile(r"(?<![A-Za-z])train(?![A-Za-z])", re.IGNORECASE)
_SPLIT_WORDS = {"validation": ("val", "valid", "validation"), "test": ("test",)}
_OTHER_SPLIT = re.compile(r"(?<![A-Za-z])(val|valid|validation|test|dev)(?![A-Za-z])", re.IGNORECASE)


def read(file: Path, reading: Reading, group: str | None = None) -> tuple[list[str], dict[str, list[AnnotatedImage]]]:
    """The names of the classes, and the images of each split.

    If the name of the file or its folder has the word train, as `instances_train2017.json` or
    `train/_annotations.coco.json`, the file with val, valid, validation or test in its place is another split.
    `group` is the field of the images that names their group.
    """
    require(file.is_file(), located(file), "no such file", "a COCO file of annotations, as instances_train.json")
    names, splits = None, {}
    files = _files(file)
    for split, path in files.items():
        categories, splits[split] = _Annotations(path, reading, group).read()
        names = names or categories
        require(names == categories, f"{path}: categories", f"found {categories}", f"{names}, as in {file}")
    others = sorted(
        path.name
        for path in file.parent.glob("*.json")
        if _OTHER_SPLIT.search(path.name) and path not in files.values() and _prefix(path) == _prefix(file)
    )
    if others:
        reading.notes.append(f"beside {file.name}, not read: {', '.join(others)}")
    return list((names or {}).values()), splits


def _prefix(path: Path) -> str:
    """The part of the file's name before the name of its split."""
    split = _OTHER_SPLIT.search(path.name) or _TRAIN.search(path.name)
    return path.name[: split.start()] if split else path.stem


def _files(file: Path) -> dict[str, Path]:
    """The file of each split."""
    files = {"train": file}
    for split, words in _SPLIT_WORDS.items():
        for word in words:
            candidates = [file.with_name(_TRAIN.sub(word, file.name)), file.parent.parent / word / file.name]
            if not _TRAIN.search(file.name):
                candidates = candidates[1:] if _TRAIN.fullmatch(file.parent.name) else []
            elif not _TRAIN.fullmatch(file.parent.name):
                candidates = candidates[:1]
            if there := [path for path in candidates if path != file and path.is_file()]:
                files[split] = there[0]
                break
    return files


class _Annotations:
    """Reads one file. An entry that cannot be understood is recorded as a problem; the other entries are still read."""

    def __init__(self, file: Path, reading: Reading, group: str | None = None):
        self._file, self._reading, self._content, self._group = file, reading, _content(file), group

    def read(self) -> tuple[dict[int, str], list[AnnotatedImage]]:
        """The category names by their ids, and the images with their boxes."""
        names = self._categories()
        numbers = {identity: number for number, identity in enumerate(names)}
        entries = self._images()
        boxes: dict[int | str, list[AnnotatedBox]] = {identity: [] for identity in entries}
        for i, annotation in enumerate(self._content["annotations"]):
            where = f"{self._file}: annotations[{i}]"
            try:
                image, category = _identity(annotation, "image_id", where), _whole(annotation, "category_id", where)
                if image not in entries:
                    raise InputError(f"{where}: image_id {image}: no image has this id")
                if category not in numbers:
                    known = ", ".join(f"{number} ({name})" for number, name in names.items())
                    raise InputError(
                        f"{where}: category_id {category}: no category of this id, expected one of {known}"
                    )
                boxes[image].append(_box(annotation, numbers[category], where))
            except InputError as error:
                self._reading.problems.append(str(error))
        self._check_group([entry for _, entry, _ in entries.values()])
        images = [self._image(*entry, boxes[identity]) for identity, entry in entries.items()]
        return names, [image for image in images if image]

    def _categories(self) -> dict[int, str]:
        """The names by their ids, both unique. Raises InputError if not, because then no box has a clear class."""
        names, places = {}, {}
        require(bool(self._content["categories"]), f"{self._file}: categories", "found none", "the class names")
        for i, category in enumerate(self._content["categories"]):
            where = f"{self._file}: categories[{i}]"
            identity, name = _whole(category, "id", where), _text(category, "name", where)
            for other, other_name in names.items():
                require(other != identity, where, f"id {identity} is also of {places[other]}", "each id once")
                found = f"ids {other} and {identity} are both {name!r}"
                require(other_name != name, f"{self._file}: categories", found, "each name once")
            names[identity], places[identity] = name, f"categories[{i}]"
        check_unique(list(names.values()), f"{self._file}: categories")
        return names

    def _images(self) -> dict[int | str, tuple[str, dict, str]]:
        """File name, entry and place of each image by its id."""
        entries: dict[int | str, tuple[str, dict, str]] = {}
        places: dict[str, str] = {}
        for i, image in enumerate(self._content["images"]):
            where = f"{self._file}: images[{i}]"
            try:
                identity, name = _identity(image, "id", where), _text(image, "file_name", where)
                if identity in entries:
                    raise InputError(f"{where}: id {identity} is also of {entries[identity][2]}, expected each id once")
                if places.setdefault(name, where) != where:
                    raise InputError(f"{where}: {name} is also {places[name]}, expected each file once")
                entries[identity] = (name, image, where)
            except InputError as error:
                self._reading.problems.append(str(error))
        return entries

    def _image(self, name: str, entry: dict, where: str, boxes: list[AnnotatedBox]) -> AnnotatedImage | None:
        """The image. If its file cannot be read or has another size, records a problem and returns None."""
        path = _find(self._file, name)
        header = self._reading.header(path, where)
        try:
            declared = (_side(entry, "height", where), _side(entry, "width", where))
        except InputError as error:
            self._reading.problems.append(str(error))
            return None
        if header is None or not self._reading.fits(header, declared, f"{where}: {name}"):
            return None
        image = self._reading.image(name, path, boxes, (header.height, header.width))
        return image if self._group is None else replace(image, group=str(entry[self._group]))

    def _check_group(self, entries: list[dict]) -> None:
        """Raises InputError unless each image has the field that names its group, as a number or text."""
        known = list(dict.fromkeys(name for entry in entries for name in entry))
        for i, entry in enumerate(entries if self._group is not None else ()):
            if not isinstance(value := entry.get(self._group), int | str) or value == "":
                hint = "" if self._group in known else nearest(str(self._group), known)
                found = "no such field" if self._group not in entry else f"found {value!r}"
                where = f"data.group {self._group}: {self._file}: images[{i}]"
                raise InputError(f"{where}: {found}; expected a number or text in each image{hint}")


def _box(annotation: dict, number: int, where: str) -> AnnotatedBox:
    box = annotation.get("bbox")
    try:
        numeric = isinstance(box, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in box)
        x, y, width, height = map(float, box if numeric and box else [])
    except (ValueError, OverflowError):
        found = f"found {str(box)[:60]}"
        raise InputError(f"{where}: bbox: {found}, expected four numbers: x, y, width, height") from None
    crowd = annotation.get("iscrowd") or 0
    require(crowd in (0, 1), f"{where}: iscrowd", f"found {crowd!r}", "0 or 1")
    return AnnotatedBox((x, y, x + width, y + height), number, where, str(box), crowd=bool(crowd))


def _find(file: Path, name: str) -> Path:
    """The image where tools put it: beside the file, in images/ there or one level up, or in a split's folder."""
    split = re.sub(r"^(instances|annotations|person_keypoints)_", "", file.stem)
    folders = [file.parent, file.parent / "images", file.parent.parent / "images", file.parent.parent / split]
    folders += [file.parent.parent / "images" / split, file.parent / split, file.parent.parent]
    names = (name, name.replace("\\", "/"))  # the second: of tools on Windows
    paths = [folder / name for folder in folders for name in names]
    return next((path for path in paths if os.path.isfile(path)), file.parent / name)


def _content(file: Path) -> dict:
    try:
        content = json.loads(read_text(file, "annotations"))
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    except InputError:
        raise
    except (ValueError, RecursionError):  # a number with thousands of digits, or too many nested brackets
        raise InputError(f"{file}: not the JSON of annotations: too long a number or too deeply nested") from None
    for name in ("images", "annotations", "categories"):
        is_list = isinstance(content, dict) and isinstance(content.get(name), list)
        require(is_list, str(file), f"no list {name}", "COCO's images, annotations and categories")
    return content


def _value(entry: Any, name: str, kind: Any, words: str, where: str) -> Any:
    value = entry.get(name) if isinstance(entry, dict) else None
    fits = isinstance(value, kind) and not isinstance(value, bool)
    require(fits, f"{where}: {name}", f"found {str(value)[:60] if value is None else repr(value)[:60]}", words)
    return value


def _identity(entry: Any, name: str, where: str) -> int | str:
    return _value(entry, name, int | str, "a whole number or text", where)


def _whole(entry: Any, name: str, where: str) -> int:
    return _value(entry, name, int, "a whole number", where)


def _text(entry: Any, name: str, where: str) -> str:
    return _value(entry, name, str, "text", where)


def _side(entry: dict, name: str, where: str) -> int | None:
    """The declared height or width; None if it is missing or null. A whole number may be given as text."""
    value = entry.get(name)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value is None else _whole(entry, name, where)
