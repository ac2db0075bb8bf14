"""Reads YOLO's text files, beside each image or in labels/ for images/. A line is a box: class x y width height.

The numbers are fractions of the image; x and y give the centre. A line with more numbers is a class and a polygon,
whose bounding box is used; with `kpt_shape: [K, D]` in data.yaml, it is a box with K keypoints of D numbers.
"""

from collections import Counter
from pathlib import Path, PurePosixPath

from keras_cnn.data.user_files import located, read_text
from keras_cnn.data.walking import IMAGE_EXTENSIONS, walk
from keras_cnn.detection.annotations.dataset import AnnotatedBox, AnnotatedImage, Reading, check_unique
from keras_cnn.detection.annotations.split_names import folder_split
from keras_cnn.detection.annotations.yolo_description import YoloDescription, read_description
from keras_cnn.errors import InputError, require


def read(
    folder: Path, wanted: tuple[str, ...] | None, reading: Reading
) -> tuple[list[str], dict[str, list[AnnotatedImage]]]:
    """The names of the classes, and the images of each split.

    The splits come from data.yaml or from the lists train.txt, val.txt and test.txt, or else from folders called train,
    val, valid or test, with or without a year.
    """
    found = f"a file, did you mean yolo:{folder.parent}?" if folder.is_file() else "no such folder"
    require(folder.is_dir(), located(folder), found, "a folder of images and YOLO's text files")
    description = read_description(folder)
    root = description.root
    names = list(walk(root, Counter()))
    endings = " ".join(sorted(IMAGE_EXTENSIONS))
    require(bool(names), str(root), "no image in this folder", f"files ending in {endings}")
    classes = description.names or list(wanted or ())
    if not classes:
        expected = "classes.txt with one name per line, data.yaml with names, or --data.classes"
        raise InputError(f"{folder}: the classes have no names: expected {expected}")
    check_unique(classes, description.names_place)
    homes = _splits(names, description, reading)
    labels = _LabelReader(classes, description.keypoint_numbers, reading)
    splits: dict[str, list[AnnotatedImage]] = {}
    without = 0
    for name, split in homes.items():
        path = root / name
        text = _label_file(path)
        without += text is None
        header = reading.header(path, str(text or root))
        if header is not None:
            size = (header.height, header.width)
            boxes = labels.read(text, size) if text else []
            splits.setdefault(split, []).append(reading.image(name, path, boxes, size))
    if lost := _labels_without_image(root, names):
        reading.notes.append(f"{len(lost):,} label files have no image of their name, as {lost[0]}")
    found = f"{len(homes):,} images and no text file for any"
    require(without < len(homes), str(root), found, "labels/NAME.txt for images/NAME")
    if without:
        reading.notes.append(
            f"{without:,} of {len(homes):,} images have no label file: taken as images without objects"
        )
    return classes, splits


def _splits(names: list[str], description: YoloDescription, reading: Reading) -> dict[str, str]:
    """The split of each image that has one, in the order of `names`."""
    if not description.splits:
        return _by_folders(names, reading)
    homes: dict[str, str] = {}
    for split, entries in description.splits.items():
        for entry in entries:
            images = description.images_of(entry, names)
            if not images:
                where, expected = f"{description.splits_place}: {split}", f"images below {description.root}"
                require(split != "train", where, f"found {entry!r}, where there are none", expected)
                reading.notes.append(f"{where}: there are no images in {entry!r}")
            for name in images:
                if homes.setdefault(name, split) != split:
                    found = f"{name} is in the {homes[name]} split and in the {split} split"
                    raise InputError(f"{description.splits_place}: {found}, expected each image in one split")
    if left := len(names) - len(homes):
        place = f"{description.root} are in no split of {description.splits_place}"
        reading.notes.append(f"{left:,} of {len(names):,} images below {place}")
    return {name: homes[name] for name in names if name in homes}


def _by_folders(names: list[str], reading: Reading) -> dict[str, str]:
    named = {name: folder_split(PurePosixPath(name)) for name in names}
    others = sorted({PurePosixPath(name).parent.as_posix() for name, split in named.items() if not split})
    if others and any(named.values()):
        listed = ", ".join(others[:5])
        reading.notes.append(f"trained on, as their folders are called neither train, val nor test: {listed}")
    return {name: split or "train" for name, split in named.items()}


def _label_file(path: Path) -> Path | None:
    """The text file of an image; None if there is none."""
    beside = path.with_suffix(".txt")
    parts = list(path.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
        if (labels := Path(*parts).with_suffix(".txt")).is_file():
            return labels
    return beside if beside.is_file() else None


def _labels_without_image(root: Path, names: list[str]) -> list[str]:
    """The text files in folders called labels to which no image belongs."""
    texts = [PurePosixPath(name) for name in walk(root, Counter(), {".txt"})]
    labels = [text for text in texts if "labels" in text.parts[:-1] and text.name != "classes.txt"]
    used = {_label_file(root / name) for name in names} if labels else set()
    return [str(text) for text in labels if root / text not in used]


class _LabelReader:
    """Reads label files; a line that cannot be understood is recorded as a problem."""

    def __init__(self, classes: list[str], keypoint_numbers: int, reading: Reading):
        self._classes, self._keypoint_numbers, self._reading = classes, keypoint_numbers, reading
        self._expected = "class x y width height (fractions of the image), or class and a polygon"
        if keypoint_numbers:
            self._expected = f"class x y width height and {keypoint_numbers} numbers of keypoints, as kpt_shape says"

    def read(self, file: Path, size: tuple[int, int]) -> list[AnnotatedBox]:
        """The boxes of an image of `size` (height, width)."""
        boxes = []
        try:
            for number, line in enumerate(read_text(file, "boxes").splitlines(), 1):
                if line.strip():
                    boxes += self._box(line, f"{file}:{number}", size)
        except InputError as error:
            self._reading.problems.append(str(error))
        return boxes

    def _box(self, line: str, place: str, size: tuple[int, int]) -> list[AnnotatedBox]:
        """The box of a line, in a list. If it cannot be understood, records a problem; the list is empty."""
        try:
            word, *words = line.split()
            number, values = int(word), [float(word) for word in words]
        except ValueError:
            number, values = -1, []
        if self._keypoint_numbers and len(values) == 4 + self._keypoint_numbers:
            values = values[:4]
        is_polygon = not self._keypoint_numbers and len(values) >= 6 and len(values) % 2 == 0
        if len(values) != 4 and not is_polygon:
            self._reading.problems.append(f"{place}: found {line.strip()[:60]!r}, expected {self._expected}")
        elif not 0 <= number < len(self._classes):
            expected = f"0 to {len(self._classes) - 1}, as there are {len(self._classes)} names"
            self._reading.problems.append(f"{place}: class {number} has no name, expected {expected}")
        else:
            return [AnnotatedBox(_edges(values, size), number, place, line.strip()[:120])]
        return []


def _edges(values: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in pixels, from centre, width and height or from the points of a polygon."""
    height, width = size
    if len(values) == 4:
        x, y, w, h = values
        return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    return min(values[::2]) * width, min(values[1::2]) * height, max(values[::2]) * width, max(values[1::2]) * height
