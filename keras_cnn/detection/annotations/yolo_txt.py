"""YOLO's text files: beside each image, or in labels/ for images/, a line a box: class x y width height, as fractions.

x and y are of the centre. A line with more numbers is a class and a polygon, whose bounding box is taken.
"""

from pathlib import Path

import yaml

from keras_cnn.detection.annotations.dataset import Box, Picture, Reading
from keras_cnn.detection.sources import IMAGES
from keras_cnn.errors import InputError, require

_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_EXPECTED = "class x y width height (fractions of the image), or class and a polygon"


def read(folder: Path, wanted: tuple[str, ...] | None, reading: Reading) -> tuple[list[str], dict[str, list[Picture]]]:
    """Names of the classes, and the pictures of each split: a folder called train, val, valid or test in their path."""
    require(folder.is_dir(), str(folder), "no such folder", "a folder of images and YOLO's text files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    require(bool(files), str(folder), "no image in this folder", f"files ending in {' '.join(sorted(IMAGES))}")
    names = _names(folder) or list(wanted or ())
    if not names:
        expected = "classes.txt with a name a line, data.yaml with names, or --data.classes"
        raise InputError(f"{folder}: the classes have no names: expected {expected}")
    splits: dict[str, list[Picture]] = {}
    texts = 0
    for path in files:
        text = _text_of(path)
        texts += text is not None
        size = reading.size_of(path, str(text or folder))
        if size is not None:
            boxes = _boxes(text, size, names, reading) if text else []
            name = path.relative_to(folder).as_posix()
            splits.setdefault(_split_of(path.relative_to(folder)), []).append(reading.picture(name, path, boxes, size))
    require(texts > 0, str(folder), f"{len(files)} images and no text file for any", "labels/NAME.txt for images/NAME")
    return names, splits


def _text_of(path: Path) -> Path | None:
    """The text file of an image; None if there is none: an image without a box."""
    beside = path.with_suffix(".txt")
    parts = list(path.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
        if (labels := Path(*parts).with_suffix(".txt")).is_file():
            return labels
    return beside if beside.is_file() else None


def _split_of(path: Path) -> str:
    return next((_SPLITS[part.lower()] for part in path.parts[:-1] if part.lower() in _SPLITS), "train")


def _boxes(file: Path, size: tuple[int, int], names: list[str], reading: Reading) -> list[Box]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        reading.problems.append(f"{file}: cannot read the boxes: {reason}")
        return []
    boxes = []
    for number, line in enumerate(lines, 1):
        words, place = line.split(), f"{file}:{number}"
        if not words:
            continue
        try:
            which, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            which, values = -1, []
        if len(values) != 4 and not (len(values) >= 6 and len(values) % 2 == 0):
            reading.problems.append(f"{place}: found {line.strip()[:60]!r}, expected {_EXPECTED}")
        elif not 0 <= which < len(names):
            expected = f"0 to {len(names) - 1}, as there are {len(names)} names"
            reading.problems.append(f"{place}: class {which} has no name, expected {expected}")
        else:
            boxes.append(Box(_edges(values, size), which, place, line.strip()))
    return boxes


def _edges(values: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = size
    if len(values) == 4:
        x, y, w, h = values
        return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    return min(values[::2]) * width, min(values[1::2]) * height, max(values[::2]) * width, max(values[1::2]) * height


def _names(folder: Path) -> list[str]:
    """Of data.yaml, classes.txt, obj.names or the only file ending in .names."""
    for path in (folder / "data.yaml", folder / "dataset.yaml"):
        if path.is_file():
            return _yaml_names(path)
    for path in (folder / "classes.txt", folder / "obj.names", *sorted(folder.glob("*.names"))):
        if path.is_file():
            return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return []


def _yaml_names(path: Path) -> list[str]:
    try:
        names = (yaml.safe_load(path.read_text(encoding="utf-8")) or {})["names"]
        return [str(name) for name in (names.values() if isinstance(names, dict) else list(names))]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise InputError(f"{path}: no list names can be read ({reason}); expected names: [car, bus]") from None
