"""Boxes as Darknet has them: letterbox, decoding of YOLO maps, overlap and suppression.

Boxes are (N, 4) float32 rows x0, y0, x1, y1 in pixels unless said otherwise. They may reach out of the image: Darknet
cuts them off where it draws them, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.detection.heads import Head

LARGEST = 80.0  # logarithm of a width in anchors; beyond it float32 ends, and no trained network is near


@dataclass(frozen=True)
class Letterbox:
    """An image of `image` (height, width) inside a network's image of `network` (height, width).

    The image keeps its proportions, as whole pixels allow, and stands in the middle of grey (Darknet's
    `letterbox_image`).
    """

    image: tuple[int, int]
    network: tuple[int, int]

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the image inside. Divisions are Darknet's: in float32 to compare, else whole numbers."""
        (height, width), (whole_height, whole_width) = self.image, self.network
        if np.float32(whole_width) / np.float32(width) < np.float32(whole_height) / np.float32(height):
            return max(1, height * whole_width // width), whole_width
        return whole_height, max(1, width * whole_height // height)

    @property
    def corner(self) -> tuple[int, int]:
        """Rows above the image inside and columns left of it."""
        return tuple((whole - part) // 2 for whole, part in zip(self.network, self.inner, strict=True))

    @property
    def last_row(self) -> float:
        """What Darknet multiplies the lowest row by: 1, or nearly 0 where its float32 sum ends just above that row.

        Its resize reads the row below as well, except for the lowest row of the result. Where rounding puts that row a
        hair above the image's last, it keeps next to nothing of the row above and never adds the row below.
        """
        height, inner = self.image[0], self.inner[0]
        if inner == 1 or height == 1:
            return 1.0
        at = np.float32(inner - 1) * (np.float32(height - 1) / np.float32(inner - 1))
        return float(1 - (at - np.floor(at)))

    def to_image(self, centres: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) x, y, width, height, as fractions of the network's image, in pixels of the image."""
        (height, width), (whole_height, whole_width) = self.image, self.network
        inner_height, inner_width = self.inner
        x = (centres[:, 0] * whole_width - (whole_width - inner_width) / 2) / inner_width * width
        y = (centres[:, 1] * whole_height - (whole_height - inner_height) / 2) / inner_height * height
        w = centres[:, 2] * (whole_width / inner_width * width)
        h = centres[:, 3] * (whole_height / inner_height * height)
        return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Detections:
    """What was found in an image, the most confident first: boxes (N, 4), classes (N,) int, confidences (N,) float32.

    A confidence is Darknet's probability: objectness times the probability of the class.
    """

    boxes: np.ndarray
    classes: np.ndarray
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, chosen) -> "Detections":
        """The detections that an index array or a mask chooses."""
        return Detections(self.boxes[chosen], self.classes[chosen], self.confidences[chosen])


def decode(
    maps: Sequence[np.ndarray], heads: Sequence[Head], network: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates of one image from its (h, w, anchors * (5 + classes)) maps of raw numbers.

    Gives (N, 4) x, y, width, height as fractions of the network's image (`network` is its height and width), and (N,
    classes) probabilities, with 0 for those not above `threshold`. Only cells whose objectness is above it count.
    Redmon & Farhadi, YOLOv3: An Incremental Improvement, arXiv:1804.02767, section 2.1.
    """
    centres, probabilities = [], []
    for values, head in zip(maps, heads, strict=True):
        rows, columns = values.shape[:2]
        cells = values.reshape(rows, columns, head.anchors_count, 5 + head.classes)
        objectness = _sigmoid(cells[..., 4])
        row, column, anchor = np.nonzero(objectness > threshold)
        chosen = cells[row, column, anchor]
        xy = _sigmoid(chosen[:, :2]) * head.scale_x_y - (head.scale_x_y - 1) / 2
        xy = (xy + np.stack([column, row], axis=1)) / (columns, rows)
        wh = np.exp(np.minimum(chosen[:, 2:4], LARGEST)) * head.anchors[anchor] / network[::-1]
        centres.append(np.concatenate([xy, wh], axis=1))
        probable = _sigmoid(chosen[:, 5:]) * objectness[row, column, anchor][:, None]
        probabilities.append(np.where(probable > threshold, probable, 0))
    return np.concatenate(centres), np.concatenate(probabilities)


def suppress(boxes: np.ndarray, probabilities: np.ndarray, overlap: float) -> Detections:
    """Of boxes of one class that overlap by more than `overlap` (IoU) only the most probable stays; class by class."""
    kept = []
    for number in np.flatnonzero((probabilities > 0).any(axis=0)):
        of_class = probabilities[:, number]
        order = np.argsort(-of_class, kind="stable")[: np.count_nonzero(of_class)]
        kept += [(index, number) for index in order[_survivors(iou(boxes[order], boxes[order]) > overlap)]]
    rows, classes = np.array(kept, np.int64).reshape(-1, 2).T
    found = Detections(boxes[rows], classes, probabilities[rows, classes].astype(np.float32))
    return found[np.argsort(-found.confidences, kind="stable")]


def one_a_place(found: Detections, overlap: float, inside: float) -> np.ndarray:
    """Indices of the detections that are no second look at a more confident one.

    Second looks are those that overlap it by more than `overlap` (IoU), of whatever class, and those of its class that
    lie in it, or around it, with more than `inside` of the smaller box: small networks find a part of an object again.
    """
    order = np.argsort(-found.confidences, kind="stable")
    boxes, classes = found.boxes[order], found.classes[order]
    shared, areas = _intersections(boxes, boxes), _areas(boxes)
    within = shared > inside * np.minimum(areas[:, None], areas[None])
    again = (iou(boxes, boxes) > overlap) | (within & (classes[:, None] == classes[None]))
    return order[_survivors(again)]


def _survivors(again: np.ndarray) -> list[int]:
    """Indices, best first, without those that are a better survivor `again` (N, N)."""
    kept: list[int] = []
    for index in range(len(again)):
        if not again[index, kept].any():
            kept.append(index)
    return kept


def iou(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each of `some` (N, 4) with each of `others` (M, 4), as (N, M).

    Empty boxes overlap none.
    """
    shared = _intersections(some, others)
    union = _areas(some)[:, None] + _areas(others)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _intersections(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1 / infinity the 0 that is meant
        return 1 / (1 + np.exp(-values))
