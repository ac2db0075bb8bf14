"""A YOLO network opened for visualization: its letterboxed images, its detections, and the outputs they come from."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import layers

from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.boxes import Detections, Letterbox, decode
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import Network, open_network
from keras_cnn.detection.yolo import Detector, letterbox
from keras_cnn.errors import UsageError, require
from keras_cnn.messages import counted
from keras_cnn.views.support.opened_model import OpenedModel, ShownImages, VisualizeOptions
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.targets import Neuron

_NAMED_BOXES = 3  # detections listed in a caption


@dataclass(frozen=True)
class LocatedDetection:
    """One detection of an image, and the output of the network that it comes from."""

    head: int  # index of the output
    row: int
    column: int
    anchor: int
    class_index: int
    next_class: int  # the class with the second largest logit at the same anchor and cell
    confidence: float  # objectness times class probability
    box: np.ndarray  # (4,) float32 x0, y0, x1, y1 in pixels of the letterboxed image


@dataclass(frozen=True)
class OpenedDetector(OpenedModel):
    """A YOLO network opened for visualization. Its images are letterboxed as for detection, and rounded to 8 bits."""

    network: Network = field(kw_only=True)

    @cached_property
    def given(self) -> ShownImages:
        """All images given, letterboxed. Raises InputError, with the file, for an image that cannot be read."""
        pixels = np.round(self._all_letterboxed).astype(np.uint8)
        names = tuple(path.name for path in self.options.images)
        return ShownImages(pixels, names, np.full(len(pixels), -1, np.int32))

    @property
    def letterboxed(self) -> np.ndarray:
        """(N, H, W, 3) float32 of 0-255: the exact input of the network for the images on display."""
        return self._all_letterboxed[self._shown]

    @property
    def _shown(self) -> np.ndarray:
        """Numbers of the images on display, chosen as `OpenedModel.images` chooses them."""
        count = len(self.options.images)
        return evenly_spaced(count, self.options.image_count or count)

    @cached_property
    def _all_letterboxed(self) -> np.ndarray:
        if not self.options.images:
            raise UsageError(f"command line: {self.name} comes without images; give some: --image FILE ...")
        return np.concatenate([_letterboxed(image, self.image_shape[:2]) for image in self._files])

    @cached_property
    def detections(self) -> list[list[LocatedDetection]]:
        """For each image on display, the detections of `detect.py`, the most confident first."""
        detector = Detector(self.network.model, self.network.heads)
        return [self._located(detector, self._files[number]) for number in self._shown]

    @cached_property
    def _files(self) -> list[np.ndarray]:
        return [read_image(path) for path in self.options.images]

    def caption(self, index: int, between: str = ", ", after_name: str | None = None) -> str:
        """The name of an image and its strongest detections."""
        detections = self.detections[index]
        shown = ", ".join(
            f"{self.class_name(box.class_index)} {box.confidence:.2f}" for box in detections[:_NAMED_BOXES]
        )
        more = f" and {len(detections) - _NAMED_BOXES} more" if len(detections) > _NAMED_BOXES else ""
        return (after_name or between).join(
            [self.images.names[index], f"{shown}{more}" if detections else "nothing detected"]
        )

    def boxes(self, number: int) -> list[LocatedDetection]:
        """The `number`-th detection of each image, counted from 1. UsageError for an image with fewer detections."""
        for name, detections in zip(self.images.names, self.detections, strict=True):
            if len(detections) < number:
                count = len(detections)
                words = counted(count, "detection") if count else "nothing detected"
                raise UsageError(f"command line: --box {number}: {name}: {words}, expected at least {number}")
        return [detections[number - 1] for detections in self.detections]

    def logit(self, boxes: list[LocatedDetection], class_indices: list[int]) -> Neuron:
        """The neuron with the logits of these classes for these boxes of one head, one box for each image."""
        head = self.network.heads[boxes[0].head]
        width = 5 + head.classes
        channels = tuple(box.anchor * width + 5 + index for box, index in zip(boxes, class_indices, strict=True))
        return Neuron(self.probe.outputs[boxes[0].head], channels, tuple((box.row, box.column) for box in boxes))

    def with_box(self, index: int, box: LocatedDetection) -> np.ndarray:
        """(H, W, 3) uint8: the letterboxed image with the box, its class and its confidence drawn on it."""
        name = self.class_name(box.class_index)
        record = {"track": None, "class": name, "confidence": box.confidence, "box": box.box.tolist()}
        return annotated(self.images.pixels[index], [record], self.network.names)

    def _located(self, detector: Detector, image: np.ndarray) -> list[LocatedDetection]:
        height, width = image.shape[:2]
        maps = detector.maps(image)
        heads, size = self.network.heads, detector.size
        centres, probabilities = decode(maps, heads, size, threshold=-1)  # every anchor of every cell, in order
        boxes = Letterbox((height, width), size).to_image(centres)
        places = [
            (number, row, column, anchor)
            for number, (values, head) in enumerate(zip(maps, heads, strict=True))
            for row, column, anchor in np.ndindex(*values.shape[:2], head.anchors_count)
        ]
        detections = detector.read(maps, (height, width))
        edges = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], axis=1)
        edges = (edges * (*size[::-1], *size[::-1])).astype(np.float32)
        located = []
        for index in range(len(detections)):
            place = _place_of(detections, index, boxes, probabilities)
            class_index = int(detections.classes[index])
            next_class = _next_class(probabilities[place], class_index)
            confidence = float(detections.confidences[index])
            located.append(LocatedDetection(*places[place], class_index, next_class, confidence, edges[place]))
        return located


def open_detector(source: str, options: VisualizeOptions) -> OpenedDetector:
    """The detector that `source` names, with its batch norms as layers if the file has them.

    Raises a one-line InputError if it cannot be opened.
    """
    options.refuse("a detector, which has its own", input_range=None, classes=(), output=None)
    notes, weights, size = [], None, None
    path = Path(source)
    if path.is_dir() or source.endswith(".keras"):
        options.refuse("a saved detector", weights="imagenet", image_size=None)
        cfg = path / "model.cfg --weights model.weights" if path.is_dir() else "the cfg with --weights"
        notes.append(f"its batch norms are folded into the convolutions: open {cfg} to see them")
    else:
        weights = None if options.weights == "imagenet" else Path(options.weights)
        size = (options.image_size, options.image_size) if options.image_size else None
    network = open_network(source, weights, size=size, fold=False)
    model, name = network.model, path.resolve().name if path.is_dir() else path.stem if "." in source else source
    out = options.out or (path / "visualizations" if path.is_dir() else Path("visualizations") / name)
    classes = tuple(network.names)
    return OpenedDetector(name, model, Probe(model), out, classes, options, notes=tuple(notes), network=network)


def map_behind(probe: Probe, point: str) -> str:
    """The last map before `point` that a convolution wider than 1×1 reads: Grad-CAM's default for a box.

    On later maps, the score of a cell depends on that cell only, since all further convolutions are 1×1.
    """
    before = probe.ancestors(point)
    wide = [b for b in probe.convolutions if b.name in before and max(b.node.operation.kernel_size) > 1]
    require(bool(wide), f"{probe.name}: {point}", "no convolution wider than 1×1 before it", "one")
    node = probe.nodes[wide[-1].node.inputs[0]]
    while isinstance(node.operation, layers.ZeroPadding2D):
        node = probe.nodes[node.inputs[0]]
    return node.name


def _letterboxed(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    box = Letterbox((image.shape[0], image.shape[1]), size)
    numbers = (tf.constant(box.inner), tf.constant(box.corner), tf.constant(box.last_row, tf.float32))
    return letterbox(tf.constant(image), *numbers, size).numpy()


def _place_of(detections: Detections, index: int, boxes: np.ndarray, probabilities: np.ndarray) -> int:
    """The index, among all anchors of all cells, whose box and probability are those of a detection."""
    distances = np.abs(boxes - detections.boxes[index]).max(axis=1)
    distances += np.abs(probabilities[:, detections.classes[index]] - detections.confidences[index])
    place = int(distances.argmin())
    if distances[place] > 1e-3:
        raise ArithmeticError(f"detection {index} is no anchor of any cell: {distances[place]:g} from the nearest")
    return place


def _next_class(probabilities: np.ndarray, index: int) -> int:
    others = probabilities.copy()
    others[index] = -1
    return int(others.argmax())
