"""What a source of boxes becomes: pictures with checked boxes, in three splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require

SPLITS = ("train", "validation", "test")
ROUNDING = 1.0  # pixels that a box may reach out of its image: what writing it down in whole numbers does
LISTED = 20  # problems of a source that are listed; the others are counted
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


@dataclass(frozen=True)
class Picture:
    """An image file with its N boxes: x0, y0, x1, y1 in pixels of the upright image, (N, 4) float64 inside of it."""

    id: str  # unique in the source and the same on every machine
    path: Path
    size: tuple[int, int]  # height and width, upright
    boxes: np.ndarray
    classes: np.ndarray  # (N,) int64
    crowd: np.ndarray  # (N,) bool: around many objects of the class, COCO's iscrowd
    ignored: np.ndarray  # (N,) bool: crowds, and VOC's difficult ones: neither to be found nor wrong to find

    def of_classes(self, kept: Sequence[int]) -> "Picture":
        """Without the boxes of other classes; the kept ones are numbered by their place in `kept`."""
        chosen = np.isin(self.classes, kept)
        numbers = np.array([list(kept).index(number) for number in self.classes[chosen]], np.int64)
        return Picture(
            self.id, self.path, self.size, self.boxes[chosen], numbers, self.crowd[chosen], self.ignored[chosen]
        )


@dataclass(frozen=True)
class BoxDataset:
    """Pictures in three splits; `own_splits` are those that the source came with."""

    source: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]
    own_splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()  # ids of image files that are the same to the byte

    @property
    def train(self) -> tuple[Picture, ...]:
        return self.splits["train"]

    @property
    def validation(self) -> tuple[Picture, ...]:
        return self.splits["validation"]

    @property
    def test(self) -> tuple[Picture, ...]:
        return self.splits["test"]


@dataclass(frozen=True)
class Box:
    """A box as it was found: x0, y0, x1, y1 in pixels, and its text for messages."""

    edges: tuple[float, float, float, float]
    number: int  # of its class
    place: str  # where it stands: file with line or number
    text: str  # as it is written there
    crowd: bool = False
    ignored: bool = False


@dataclass
class Reading:
    """A source being read: every problem is noted, so that one reading names them all."""

    skip_boxes: bool  # leave wrong boxes out instead of refusing them
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def picture(self, identity: str, path: Path, boxes: list[Box], size: tuple[int, int]) -> Picture:
        """The picture with its boxes checked and cut at the image's edges, which they may cross by ROUNDING."""
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
        return Picture(identity, path, size, edges, numbers, crowd, ignored)

    def size_of(self, path: Path, place: str) -> tuple[int, int] | None:
        """Height and width of an image, upright; None, with a problem, if it cannot be read."""
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(0x0112) in _QUARTER_TURNS
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no such image" if missing else f"cannot read the image ({' '.join(str(error).split())[:80]})"
            self.problems.append(f"{place}: {path}: {reason}")
            return None
        return (width, height) if turned else (height, width)

    def conclude(self) -> None:
        """InputError with a line for each problem, if there is any."""
        if len(self.problems) > LISTED:
            more = f"{len(self.problems) - LISTED} more problems of this kind"
            raise InputError(*self.problems[:LISTED], more)
        if self.problems:
            raise InputError(*self.problems)


def _fault(edges: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """What is wrong with a box in an image of a height and width, with what is expected; "" if nothing is."""
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


def chosen_classes(found: Sequence[str], wanted: Sequence[str] | None, where: str) -> list[int]:
    """Numbers of the wanted classes among those found; all of them where none are named."""
    if wanted is None:
        return list(range(len(found)))
    for name in wanted:
        if name not in found:
            raise InputError(f"data.classes: {where} has no class {name!r}{nearest(name, found)}")
    require(len(set(wanted)) == len(wanted), "data.classes", f"found {list(wanted)}", "each class once")
    return [list(found).index(name) for name in wanted]
