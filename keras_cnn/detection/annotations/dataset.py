"""The result of reading a source of boxes: images with checked boxes, in three splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from keras_cnn.checking import nearest
from keras_cnn.data.decoding import ImageHeader, UnreadableImageError, read_header
from keras_cnn.errors import InputError, require
from keras_cnn.messages import counted

SPLITS = ("train", "validation", "test")
ROUNDING = 1.0  # pixels that a box may reach beyond its image, as an effect of rounding to whole numbers
LISTED = 20  # problems of a source that are listed; the others are counted


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file with its N boxes: x0, y0, x1, y1 in pixels of the upright image, (N, 4) float64, all inside it."""

    id: str  # unique in the source and the same on every machine
    path: Path
    size: tuple[int, int]  # height and width, upright
    boxes: np.ndarray
    classes: np.ndarray  # (N,) int64
    crowd: np.ndarray  # (N,) bool: the box surrounds many objects, COCO's iscrowd
    ignored: np.ndarray  # (N,) bool: crowds and VOC's difficult boxes, which count neither as found nor as missed
    group: str = ""  # of images that stay in one split, such as those of one camera; "" for none

    def of_classes(self, kept: Sequence[int]) -> "AnnotatedImage":
        """The image with only the boxes of the classes `kept`; each class is renumbered by its place in `kept`."""
        chosen = np.isin(self.classes, kept)
        numbers = np.array([list(kept).index(number) for number in self.classes[chosen]], np.int64)
        crowd, ignored = self.crowd[chosen], self.ignored[chosen]
        return replace(self, boxes=self.boxes[chosen], classes=numbers, crowd=crowd, ignored=ignored)


@dataclass(frozen=True)
class BoxDataset:
    """Annotated images in three splits; `own_splits` are those that the source came with."""

    source: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[AnnotatedImage, ...]]
    own_splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    groups: dict = field(default_factory=dict)  # the groups of images across splits, see `data.groups.group_findings`
    duplicates: tuple[tuple[str, ...], ...] = ()  # ids of image files that are identical byte for byte
    files_sha256: str = ""  # over the SHA-256 of every image file, in the order of their ids

    @property
    def train(self) -> tuple[AnnotatedImage, ...]:
        return self.splits["train"]

    @property
    def validation(self) -> tuple[AnnotatedImage, ...]:
        return self.splits["validation"]

    @property
    def test(self) -> tuple[AnnotatedImage, ...]:
        return self.splits["test"]


@dataclass(frozen=True)
class AnnotatedBox:
    """A box as the annotations give it: x0, y0, x1, y1 in pixels, and its text for messages."""

    edges: tuple[float, float, float, float]
    number: int  # of its class
    place: str  # file with line or number
    text: str  # as written in the file
    crowd: bool = False
    ignored: bool = False


@dataclass
class Reading:
    """The state while a source is read. All problems are collected, so that one run names them all."""

    skip_boxes: bool  # leave wrong boxes out instead of refusing them
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the user should know about how the source was understood

    def image(self, identity: str, path: Path, boxes: list[AnnotatedBox], size: tuple[int, int]) -> AnnotatedImage:
        """The image with its boxes checked and clipped to the image, which they may exceed by ROUNDING."""
        checked = []
        for box in boxes:
            fault = _fault(box.edges, size)
            if fault:
                line = f"{box.place}: {path.name}: box {box.text}: {fault}"
                (self.skipped if self.skip_boxes else self.problems).append(line)
            else:
                checked.append(box)
        edges = np.array([box.edges for box in checked], np.float64).reshape(-1, 4)
        edges = np.clip(edges, 0, np.array([size[1], size[0]] * 2, np.float64))
        crowd = np.array([box.crowd for box in checked], bool)
        ignored = np.array([box.crowd or box.ignored for box in checked], bool)
        numbers = np.array([box.number for box in checked], np.int64)
        return AnnotatedImage(identity, path, size, edges, numbers, crowd, ignored)

    def header(self, path: Path, place: str) -> ImageHeader | None:
        """The header of an image. If it cannot be read, records a problem and returns None."""
        try:
            return read_header(path)
        except UnreadableImageError as error:
            self.problems.append(f"{place}: {error}")
            return None

    def fits(self, header: ImageHeader, declared: tuple[int | None, int | None], place: str) -> bool:
        """Whether the declared height and width are those of the image. If not, records a problem.

        None and 0, which labelling tools write for an unknown size, fit any image.
        """
        size = (header.height, header.width)
        if all(not number or number == actual for number, actual in zip(declared, size, strict=True)):
            return True
        found = f"found {declared[1]}x{declared[0]}, the image is {size[1]}x{size[0]} (width x height)"
        hint = "were the boxes drawn on another image?"
        if header.turned and declared == size[::-1]:
            hint = "it is stored turned, and upright by its EXIF orientation: were the boxes drawn without that?"
        self.problems.append(f"{place}: {found}; {hint}")
        return False

    def conclude(self) -> None:
        """Raises InputError, with a line for each problem, if there is any."""
        if len(self.problems) > LISTED:
            more = f"{counted(len(self.problems) - LISTED, 'more problem')} of this kind"
            raise InputError(*self.problems[:LISTED], more)
        if self.problems:
            raise InputError(*self.problems)


def _fault(edges: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """The fault of a box in an image of `size` (height, width), with what is expected; "" if there is none."""
    height, width = size
    x0, y0, x1, y1 = edges
    if not all(map(math.isfinite, edges)):
        return "not all numbers are finite, expected pixels"
    inside = min(x0, y0) >= -ROUNDING and x1 <= width + ROUNDING and y1 <= height + ROUNDING
    if not inside:
        return f"reaches out of the image, expected inside {width}x{height} (width x height)"
    if min(x1, width) <= max(x0, 0) or min(y1, height) <= max(y0, 0):
        return "has no area, expected a width and height above 0"
    return ""


def check_unique(names: Sequence[str], where: str) -> None:
    """Raises InputError, with the name and both numbers, if two classes have the same name."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            raise InputError(f"{where}: classes {first[name]} and {number} are both {name!r}; expected each name once")


def chosen_classes(names: Sequence[str], wanted: Sequence[str] | None, where: str) -> list[int]:
    """The numbers of the `wanted` classes among `names`; all numbers if `wanted` is None."""
    if wanted is None:
        return list(range(len(names)))
    for name in wanted:
        if name not in names:
            raise InputError(f"data.classes: {where} has no class {name!r}{nearest(name, names)}")
    require(len(set(wanted)) == len(wanted), "data.classes", f"found {list(wanted)}", "each class once")
    return [list(names).index(name) for name in wanted]
