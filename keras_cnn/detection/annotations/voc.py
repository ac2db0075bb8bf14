"""Pascal VOC's XML: Annotations/NAME.xml for JPEGImages/NAME.jpg, or each beside its image.

Boxes are whole pixels counted from 1 and include both edges (VOC 2012 development kit, section 8).
"""

import xml.etree.ElementTree as ET
from pathlib import Path

from keras_cnn.detection.annotations.dataset import Box, Picture, Reading
from keras_cnn.detection.sources import IMAGES
from keras_cnn.errors import InputError, require

_LISTS = {"train": "train", "val": "validation", "test": "test"}
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Path, wanted: tuple[str, ...] | None, reading: Reading) -> tuple[list[str], dict[str, list[Picture]]]:
    """Names of the classes, and the pictures of each split, which ImageSets/Main/*.txt or folders may tell apart."""
    require(folder.is_dir(), str(folder), "no such folder", "a Pascal VOC folder, with Annotations and JPEGImages")
    files = sorted((folder / "Annotations").glob("*.xml")) or sorted(folder.rglob("*.xml"))
    require(bool(files), str(folder), "no XML file", "Annotations/NAME.xml, or NAME.xml beside each image")
    found = {file: entry for file in files if (entry := _read(file, folder, reading))}
    names = list(wanted) if wanted else sorted({name for *_, objects in found.values() for name, _ in objects})
    lists = _lists(folder)
    listed = {name for members in lists.values() for name in members}
    for name in sorted(listed - {file.stem for file in files}):
        reading.problems.append(f"{folder / 'ImageSets' / 'Main'}: {name}: no Annotations/{name}.xml")
    splits: dict[str, list[Picture]] = {}
    for file, (path, size, objects) in found.items():
        split = next((split for split, members in lists.items() if file.stem in members), None)
        if split is None and lists:
            continue
        boxes = [Box(**box, number=names.index(name)) for name, box in objects if name in names]
        identity = path.relative_to(folder).as_posix()
        split = split or _folder_split(file.relative_to(folder))
        splits.setdefault(split, []).append(reading.picture(identity, path, boxes, size))
    return names, splits


def _lists(folder: Path) -> dict[str, set[str]]:
    """Names by split; none where there is no list called train."""
    found = {}
    for name, split in _LISTS.items():
        file = folder / "ImageSets" / "Main" / f"{name}.txt"
        if file.is_file():
            found[split] = {line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.split()}
    return found if "train" in found else {}


def _folder_split(path: Path) -> str:
    names = _LISTS | {"valid": "validation", "validation": "validation"}
    return next((names[part.lower()] for part in path.parts[:-1] if part.lower() in names), "train")


def _read(file: Path, folder: Path, reading: Reading) -> tuple[Path, tuple[int, int], list] | None:
    """Image, its size, and (class, box) of each object; None, with a problem, if they cannot be read."""
    try:
        text = file.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise InputError("declares a document type or entities")
        root = ET.fromstring(text)
    except ET.ParseError as error:
        reading.problems.append(f"{file}:{error.position[0]}: not valid XML: {error.msg.partition(':')[0]}")
        return None
    except (OSError, InputError) as error:
        reading.problems.append(f"{file}: cannot be read: {error}; expected Pascal VOC's XML")
        return None
    path = _image(file, folder, (root.findtext("filename") or "").strip())
    size = reading.size_of(path, str(file))
    if size is None:
        return None
    objects = []
    for number, one in enumerate(root.findall("object"), 1):
        place = f"{file}: object {number}"
        texts = [(one.findtext(f"bndbox/{edge}") or "").strip() for edge in _EDGES]
        name = (one.findtext("name") or "").strip()
        try:
            x0, y0, x1, y1 = map(float, texts)
        except ValueError:
            reading.problems.append(f"{place}: found {dict(zip(_EDGES, texts, strict=True))}, expected four numbers")
            continue
        if not name:
            reading.problems.append(f"{place}: has no name, expected <name>CLASS</name>")
            continue
        difficult = (one.findtext("difficult") or "0").strip() == "1"
        edges = (x0 - 1, y0 - 1, x1, y1)
        objects.append((name, {"edges": edges, "place": place, "text": str(texts), "ignored": difficult}))
    return path, size, objects


def _image(file: Path, folder: Path, named: str) -> Path:
    """The image with the file's own name, or the one that it names."""
    folders = [folder / "JPEGImages", file.parent, file.parent.parent / "JPEGImages", file.parent.parent / "images"]
    for place in folders:
        for ending in sorted(IMAGES):
            if (path := place / f"{file.stem}{ending}").is_file():
                return path
    candidates = [place / Path(named).name for place in folders if named]
    return next((path for path in candidates if path.is_file()), folders[0] / (named or f"{file.stem}.jpg"))
