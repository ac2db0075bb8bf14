"""Pascal VOC's XML: Annotations/NAME.xml for JPEGImages/NAME.jpg, or each beside its image.

Boxes are whole pixels counted from 1 and include both edges (VOC 2012 development kit, section 8).
"""

import os
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

from keras_cnn.data.decoding import ImageHeader
from keras_cnn.data.user_files import decoded, located, read_bytes, read_text
from keras_cnn.data.walking import images_in, walk
from keras_cnn.detection.annotations.dataset import AnnotatedBox, AnnotatedImage, Reading
from keras_cnn.detection.annotations.split_names import folder_split
from keras_cnn.errors import InputError, require

_LISTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_CLASS_LIST = re.compile(r".+_(train|val|trainval|test)")  # VOC's lists of the images of one class
_DECLARATION = re.compile(rb"""^(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_MAX_XML = 64 << 20  # bytes


def read(folder: Path, reading: Reading) -> tuple[list[str], dict[str, list[AnnotatedImage]]]:
    """The names of the classes, and the images of each split, by the lists in ImageSets/Main or by their folders."""
    require(folder.is_dir(), located(folder), "no such folder", "a Pascal VOC folder, with Annotations and JPEGImages")
    above = folder / "Annotations"
    files = [above / name for name in walk(above, Counter(), {".xml"})] if above.is_dir() else []
    files = files or [folder / name for name in walk(folder, Counter(), {".xml"})]
    require(bool(files), str(folder), "no XML file", "Annotations/NAME.xml, or NAME.xml beside each image")
    finder = _ImageFinder(folder)
    annotations = {file: content for file in files if (content := _read(file, finder, reading))}
    names = sorted({name for *_, objects in annotations.values() for name, _ in objects})
    lists = _Lists(folder, {file.stem for file in files}, reading)
    splits: dict[str, list[AnnotatedImage]] = {}
    unlisted = 0
    for file, (path, header, objects) in annotations.items():
        split = lists.split_of(file.stem) if lists else folder_split(file.relative_to(folder)) or "train"
        if split is None:
            unlisted += 1
            continue
        boxes = [AnnotatedBox(**box, number=names.index(name)) for name, box in objects]
        image = reading.image(path.relative_to(folder).as_posix(), path, boxes, (header.height, header.width))
        splits.setdefault(split, []).append(image)
    if unlisted:
        reading.notes.append(f"{unlisted:,} of {len(annotations):,} annotated images are in no list of {lists.folder}")
    return names, splits


class _Lists:
    """The lists of the image names of each split: train.txt, val.txt and test.txt, or trainval.txt and test.txt."""

    def __init__(self, folder: Path, known: set[str], reading: Reading):
        self.folder = folder / "ImageSets" / "Main"
        files = {file.stem.lower(): file for file in sorted(self.folder.glob("*.txt")) if file.name[0] != "."}
        chosen = {split: files[name] for name, split in _LISTS.items() if name in files}
        if "train" not in chosen and "trainval" in files:
            chosen["train"] = files["trainval"]
        self._rest = "train" if chosen and "train" not in chosen else None
        self._splits: dict[str, str] = {}
        for split, file in chosen.items():
            for line in read_text(file, "list of images").splitlines():
                if line.strip():
                    self._add(file, split, line.strip(), known, reading)
        others = [
            f for name, f in files.items() if name not in {*_LISTS, "trainval"} and not _CLASS_LIST.fullmatch(name)
        ]
        if empty := [file.name for split, file in chosen.items() if split not in self._splits.values()]:
            reading.notes.append(f"in {self.folder}, empty and not used: {', '.join(empty)}")
        if others:
            reading.notes.append(f"in {self.folder}, not read: {', '.join(file.name for file in others)}")
        if self._rest:
            given = " and ".join(file.name for file in chosen.values())
            reading.notes.append(f"{self.folder} has {given} but no train.txt: all other images are trained on")

    def __bool__(self) -> bool:
        return bool(self._splits)

    def split_of(self, name: str) -> str | None:
        """The split of the image `name`. If no list has it: train if train has no list, else None."""
        return self._splits.get(name, self._rest)

    def _add(self, file: Path, split: str, line: str, known: set[str], reading: Reading) -> None:
        name = line if line in known else line.split()[0]
        if name not in known:
            reading.problems.append(f"{file}: {name}: no Annotations/{name}.xml")
        elif self._splits.setdefault(name, split) != split:
            other = self._splits[name]
            reading.problems.append(f"{file}: {name} is also in the {other} split, expected each image in one split")


def _read(file: Path, finder: "_ImageFinder", reading: Reading) -> tuple[Path, ImageHeader, list] | None:
    """The image, its header, and (class, box) of each object. If unreadable, records a problem and returns None."""
    try:
        root = _root(file)
        declared = (_side(root, "height", file), _side(root, "width", file))
    except InputError as error:
        reading.problems.append(str(error))
        return None
    path = finder.find(file, (root.findtext("filename") or "").strip())
    header = reading.header(path, str(file))
    if header is None or not reading.fits(header, declared, f"{file}: size"):
        return None
    objects = []
    for number, element in enumerate(root.findall("object"), 1):
        try:
            objects.append(_object(element, f"{file}: object {number}"))
        except InputError as error:
            reading.problems.append(str(error))
    return path, header, objects


def _root(file: Path) -> ET.Element:
    """Parses the XML of a file in its declared encoding. Raises InputError, in one line, if it cannot be read."""
    data = read_bytes(file, "boxes", _MAX_XML)
    declaration = _DECLARATION.match(data)
    try:
        if declaration:  # expat itself knows no multi-byte encodings except Unicode's
            text = data[declaration.end() :].decode(declaration[1].decode())
            text = "\n" * data[: declaration.end()].count(b"\n") + text
        else:
            text = re.sub(r"^\s*<\?xml[^>]*\?>", "", decoded(data, file, "boxes"))
    except (LookupError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not the text that its XML declaration says: {error}") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{file}: declares a document type or entities; expected Pascal VOC's XML")
    try:
        root = ET.fromstring(text)
        require(root.tag.lower() == "annotation", str(file), f"found <{root.tag[:40]}>", "Pascal VOC's <annotation>")
        return root
    except InputError:
        raise
    except ET.ParseError as error:
        raise InputError(f"{file}:{error.position[0]}: not valid XML: {error.msg.partition(':')[0]}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not valid XML: {error}") from None


def _side(root: ET.Element, name: str, file: Path) -> int | None:
    text = (root.findtext(f"size/{name}") or "").strip()
    try:
        return int(float(text)) if text else None
    except (ValueError, OverflowError):
        raise InputError(f"{file}: size: {name}: found {text[:40]!r}, expected a whole number") from None


def _object(element: ET.Element, place: str) -> tuple[str, dict[str, Any]]:
    """Class and box of an object. Raises InputError if one is missing."""
    texts = [(element.findtext(f"bndbox/{edge}") or "").strip() for edge in _EDGES]
    name = (element.findtext("name") or "").strip()
    try:
        x0, y0, x1, y1 = map(float, texts)
    except ValueError:
        edges = dict(zip(_EDGES, texts, strict=True))
        raise InputError(f"{place}: found {edges}, expected four numbers") from None
    require(bool(name), place, "has no name", "<name>CLASS</name>")
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return name, {"edges": (x0 - 1, y0 - 1, x1, y1), "place": place, "text": str(texts), "ignored": difficult}


class _ImageFinder:
    """Finds the image of an XML file; every folder is listed once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, file: Path, named: str) -> Path:
        """The image with the file's own name, or else the one called `named`; a missing path if there is neither."""
        parent = file.parent
        folders = [self._folder / "JPEGImages", parent, parent.parent / "JPEGImages", parent.parent / "images"]
        for folder in folders:
            if images := self._images(folder).get(file.stem):
                return folder / (named if named in images else images[0])
        candidates = [folder / Path(named).name for folder in folders if named]
        missing = folders[0] / (Path(named).name or f"{file.stem}.jpg")
        return next((path for path in candidates if os.path.isfile(path)), missing)

    def _images(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            for name in images_in(folder) if folder.is_dir() else []:
                names.setdefault(Path(name).stem, []).append(name)
            self._names[folder] = names
        return self._names[folder]
