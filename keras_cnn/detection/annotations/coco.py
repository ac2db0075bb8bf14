"""COCO's JSON: images, categories and annotations with `bbox` x, y, width, height (https://cocodataset.org)."""

import json
import re
from pathlib import Path

from keras_cnn.detection.annotations.dataset import Box, Picture, Reading
from keras_cnn.errors import InputError, require

_TRAIN = re.compile(r"(?<![A-Za-z])train(?![A-Za-z])", re.IGNORECASE)
_NAMES = {"validation": ("val", "valid", "validation"), "test": ("test",)}


def read(file: Path, reading: Reading) -> tuple[list[str], dict[str, list[Picture]]]:
    """Names of the classes, and the pictures of each split.

    Where the file is called train somewhere, as `instances_train.json` or `train/_annotations.coco.json`, the file
    with val, valid, validation or test at that place is the other split.
    """
    names, splits = None, {}
    for split, path in _files(file).items():
        found, splits[split] = _read(path, reading)
        names = names or found
        require(names == found, f"{path}: categories", f"found {found}", f"{names}, as in {file}")
    return list(names.values()), splits


def _files(file: Path) -> dict[str, Path]:
    found = {"train": file}
    for split, words in _NAMES.items():
        for word in words:
            candidates = [file.with_name(_TRAIN.sub(word, file.name)), file.parent.parent / word / file.name]
            if not _TRAIN.search(file.name):
                candidates = candidates[1:] if _TRAIN.fullmatch(file.parent.name) else []
            elif not _TRAIN.fullmatch(file.parent.name):
                candidates = candidates[:1]
            if there := [path for path in candidates if path != file and path.is_file()]:
                found[split] = there[0]
                break
    return found


def _read(file: Path, reading: Reading) -> tuple[dict[int, str], list[Picture]]:
    content = _content(file)
    names = {
        _field(category, "id", int, f"{file}: categories[{i}]"): str(
            _field(category, "name", str, f"{file}: categories[{i}]")
        )
        for i, category in enumerate(content["categories"])
    }
    numbers = {identity: number for number, identity in enumerate(names)}
    images = {}
    for i, image in enumerate(content["images"]):
        where = f"{file}: images[{i}]"
        images[_field(image, "id", int | str, where)] = (_field(image, "file_name", str, where), image, where)
    boxes: dict = {identity: [] for identity in images}
    for i, annotation in enumerate(content["annotations"]):
        where = f"{file}: annotations[{i}]"
        of = _field(annotation, "image_id", int | str, where)
        category = _field(annotation, "category_id", int, where)
        if of not in images:
            reading.problems.append(f"{where}: image_id {of}: no image has this id")
        elif category not in numbers:
            known = ", ".join(f"{number} ({name})" for number, name in names.items())
            reading.problems.append(f"{where}: category_id {category}: no category of this id, expected one of {known}")
        else:
            boxes[of].append(_box(annotation, numbers[category], where))
    return names, [
        picture
        for identity, (name, image, where) in images.items()
        if (picture := _picture(file, name, image, where, boxes[identity], reading))
    ]


def _picture(file: Path, name: str, image: dict, where: str, boxes: list[Box], reading: Reading) -> Picture | None:
    path = _find(file, name)
    size = reading.size_of(path, where)
    if size is None:
        return None
    said = (image.get("height", size[0]), image.get("width", size[1]))
    if said != size:
        found = f"{said[1]}x{said[0]}, the image is {size[1]}x{size[0]} (width x height)"
        reading.problems.append(f"{where}: {name}: found {found}; were the boxes drawn on another image?")
        return None
    return reading.picture(name, path, boxes, size)


def _box(annotation: dict, number: int, where: str) -> Box:
    box = _field(annotation, "bbox", list, where)
    numeric = len(box) == 4 and all(isinstance(n, int | float) and not isinstance(n, bool) for n in box)
    require(numeric, f"{where}: bbox", f"found {box}", "four numbers: x, y, width, height")
    x, y, width, height = map(float, box)
    return Box((x, y, x + width, y + height), number, where, str(box), crowd=bool(annotation.get("iscrowd", 0)))


def _find(file: Path, name: str) -> Path:
    """The image where tools put it: beside the file, in images/ there or one level up, or in a folder of the split."""
    split = re.sub(r"^(instances|annotations|person_keypoints)_", "", file.stem)
    folders = [file.parent, file.parent / "images", file.parent.parent / "images", file.parent.parent / split]
    folders += [file.parent.parent / "images" / split, file.parent / split, file.parent.parent]
    return next((path for folder in folders if (path := folder / name).is_file()), file.parent / name)


def _content(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{file}: cannot read the annotations: {reason}") from None
    for name in ("images", "annotations", "categories"):
        found = isinstance(content, dict) and isinstance(content.get(name), list)
        require(found, str(file), f"no list {name}", "COCO's images, annotations and categories")
    return content


def _field(entry: dict, name: str, kind, where: str):
    value = entry.get(name) if isinstance(entry, dict) else None
    words = {int: "a whole number", str: "text", list: "a list"}.get(kind, "a whole number or text")
    require(isinstance(value, kind) and not isinstance(value, bool), f"{where}: {name}", f"found {value!r}", words)
    return value
