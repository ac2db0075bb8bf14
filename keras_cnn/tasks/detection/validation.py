"""Detections of whole splits, and their mean average precision."""

from collections.abc import Sequence

import numpy as np

from keras_cnn.detection import scoring
from keras_cnn.detection.annotations.dataset import AnnotatedImage
from keras_cnn.detection.boxes import Detections, Letterbox, decode, suppress
from keras_cnn.detection.heads import YoloHead
from keras_cnn.detection.network import Network
from keras_cnn.detection.scoring import DetectionScores, TrueBoxes
from keras_cnn.detection.yolo import OVERLAP, Detector
from keras_cnn.tasks.detection.images import read_again

LOWEST = 0.005  # least confidence of a detection that counts for the mAP, as in Darknet's `detector valid`
CANDIDATES = 300  # per image before suppression, the most probable: an untrained network proposes every cell


def detections_in(
    maps: Sequence[np.ndarray], heads: Sequence[YoloHead], picture: AnnotatedImage, size: int
) -> Detections:
    """Detections of a picture, in its pixels, from maps (h, w, anchors * (5 + classes)); the most confident first."""
    centres, probabilities = decode(maps, heads, (size, size), LOWEST)
    if len(centres) > CANDIDATES:
        best = np.sort(np.argsort(-probabilities.max(axis=1), kind="stable")[:CANDIDATES])
        centres, probabilities = centres[best], probabilities[best]
    detections = suppress(Letterbox(picture.size, (size, size)).to_image(centres), probabilities, OVERLAP)
    return _cut(detections, picture.size)


def _cut(detections: Detections, size: tuple[int, int]) -> Detections:
    """The detections clipped to an image of `size` (height, width), as true boxes are; those outside are removed."""
    height, width = size
    boxes = np.clip(detections.boxes, 0, np.array([width, height] * 2, np.float32))
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Detections(boxes, detections.classes, detections.confidences)[inside]


def as_rows(detections: Sequence[Detections], first: int) -> np.ndarray:
    """(N, 7) float64: picture, box, class and confidence of each detection; the pictures are numbered from `first`."""
    columns = [
        (np.full(len(each), first + number), *each.boxes.T, each.classes, each.confidences)
        for number, each in enumerate(detections)
    ]
    return np.concatenate([np.zeros((0, 7)), *(np.stack(each, axis=1) for each in columns)], dtype=np.float64)


def from_rows(rows: np.ndarray, pictures: int) -> list[Detections]:
    """The detections in each of `pictures` pictures; see `as_rows`."""
    of_picture = [rows[rows[:, 0] == number] for number in range(pictures)]
    return [
        Detections(own[:, 1:5].astype(np.float32), own[:, 5].astype(np.int64), own[:, 6].astype(np.float32))
        for own in of_picture
    ]


def detections(network: Network, pictures: Sequence[AnnotatedImage]) -> list[Detections]:
    """Detections of a saved network in each picture, computed as `detect.py` does, down to a confidence of LOWEST."""
    detector = Detector(network.model, network.heads)
    size = detector.size[0]
    return [detections_in(detector.maps(read_again(each)), network.heads, each, size) for each in pictures]


def score(pictures: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: int) -> DetectionScores:
    """Scores of detections against the true boxes of the same pictures."""
    truths = [TrueBoxes(p.boxes, p.classes, p.crowd, p.ignored) for p in pictures]
    return scoring.score(truths, detections, classes)
