"""Boxes as in Darknet: letterbox, decoding of YOLO maps, overlap and suppression.

Boxes are (N, 4) float32 rows x0, y0, x1, y1 in pixels unless stated otherwise. They may extend beyond the image:
Darknet clips them only for drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.detection.heads import YoloHead

LARGEST = 80.0  # logarithm of a width in anchors; keeps float32 from overflowing, and no trained network comes near


@dataclass(frozen=True)
class Letterbox:
    """An image of size `image` (height, width) inside a network's input of size `network` (height, width).

    The image keeps its proportions up to whole pixels and is centred on grey (Darknet's `letterbox_image`).
    """

    image: tuple[int, int]
    network: tuple[int, int]

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the scaled image. As in Darknet, ratios are float32 and sides are divided as integers."""
        (height, width), (outer_height, outer_width) = self.image, self.network
        if np.float32(outer_width) / np.float32(width) < np.float32(outer_height) / np.float32(height):
            return max(1, height * outer_width // width), outer_width
        return outer_height, max(1, width * outer_height // height)

    @property
    def corner(self) -> tuple[int, int]:
        """The rows above the scaled image and the columns left of it."""
        (height, width), (inner_height, inner_width) = self.network, self.inner
        return (height - inner_height) // 2, (width - inner_width) // 2

    @property
    def last_row(self) -> float:
        """The factor by which Darknet scales the last row of the resized image: 1, or nearly 0 after a rounding error.

        Darknet interpolates between two rows of the image, but reads only the upper one for the last row of the result.
        If float32 rounding places that row just above the image's last row, the upper one has a weight of nearly 0.
        """
        height, inner = self.image[0], self.inner[0]
        if inner == 1 or height == 1:
            return 1.0
        at = np.float32(inner - 1) * (np.float32(height - 1) / np.float32(inner - 1))
        return float(1 - (at - np.floor(at)))

    def to_image(self, centres: np.ndarray) -> np.ndarray:
        """(N, 4) boxes in pixels of the image, from centre x, y, width, height as fractions of the network's input."""
        (height, width), (outer_height, outer_width) = self.image, self.network
        inner_height, inner_width = self.inner
        x = (centres[:, 0] * outer_width - (outer_width - inner_width) / 2) / inner_width * width
        y = (centres[:, 1] * outer_height - (outer_height - inner_height) / 2) / inner_height * height
        w = centres[:, 2] * (outer_width / inner_width * width)
        h = centres[:, 3] * (outer_height / inner_height * height)
        return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Detections:
    """The detections in an image: boxes (N, 4), classes (N,) int, confidences (N,) float32.

    A confidence is Darknet's probability: objectness times the probability of the class. Detectors return the
    most confident first.
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
    maps: Sequence[np.ndarray], heads: Sequence[YoloHead], network: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes the (h, w, anchors * (5 + classes)) maps of raw numbers of one image into candidate boxes.

    Returns (N, 4) centre x, y, width, height as fractions of the network's input (`network` is its height and width),
    and (N, classes) probabilities; those up to `threshold` become 0. Predictions with an objectness up to `threshold`
    are left out.
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
    """The detections after suppression by class: among boxes with an IoU above `overlap`, the most probable stays."""
    kept = []
    for number in np.flatnonzero((probabilities > 0).any(axis=0)):
        of_class = probabilities[:, number]
        order = np.argsort(-of_class, kind="stable")[: np.count_nonzero(of_class)]
        kept += [(index, number) for index in order[_survivors(iou(boxes[order], boxes[order]) > overlap)]]
    rows, classes = np.array(kept, np.int64).reshape(-1, 2).T
    detections = Detections(boxes[rows], classes, probabilities[rows, classes].astype(np.float32))
    return detections[np.argsort(-detections.confidences, kind="stable")]


def strongest_in_place(detections: Detections, overlap: float, inside: float) -> np.ndarray:
    """The indices of the detections that do not repeat a more confident one.

    A detection repeats another if their IoU exceeds `overlap`, whatever their classes, or if both have the same class
    and more than the fraction `inside` of the smaller box is in the other: small networks detect parts as objects.
    """
    order = np.argsort(-detections.confidences, kind="stable")
    boxes, classes = detections.boxes[order], detections.classes[order]
    shared, areas = _intersections(boxes, boxes), _areas(boxes)
    within = shared > inside * np.minimum(areas[:, None], areas[None])
    repeats = (iou(boxes, boxes) > overlap) | (within & (classes[:, None] == classes[None]))
    return order[_survivors(repeats)]


def _survivors(repeats: np.ndarray) -> list[int]:
    """The indices of the boxes that do not repeat a better survivor, best first; `repeats` is (N, N) bool."""
    kept: list[int] = []
    for index in range(len(repeats)):
        if not repeats[index, kept].any():
            kept.append(index)
    return kept


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of each of `boxes` (N, 4) with each of `others` (M, 4); 0 for empty boxes."""
    shared = _intersections(boxes, others)
    union = _areas(boxes)[:, None] + _areas(others)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _intersections(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp of a large number is infinite, and 1 / infinity is the correct 0
        return 1 / (1 + np.exp(-values))
