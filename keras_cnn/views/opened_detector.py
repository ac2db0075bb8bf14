"""A detector as a subject: its images in their letterbox, its detections, and where in its heads each comes from."""

import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import layers

from keras_cnn.data.decoding import read_image
from keras_cnn.detection.boxes import Detections, Letterbox, decode
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.network import CFG_MEMBER, NAMED, Network, open_network
from keras_cnn.detection.yolo import Detector, letterbox
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.views.opened_model import Images, OpenedModel, VisualizeOptions, refuse, spread
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.targets import Neuron

_NEED_CLASSES = ("occlusion", "ablation")  # views of one confidence or label an image
_NAMED_BOXES = 3  # in a caption


@dataclass(frozen=True)
class Found:
    """One detection of an image, with the numbers of the network that it comes from."""

    head: int  # which output
    row: int
    column: int
    anchor: int
    class_index: int
    next_class: int  # the class of the largest logit but this, at the same anchor and cell
    confidence: float  # objectness times the probability of the class
    box: np.ndarray  # (4,) float32 x0, y0, x1, y1 in pixels of the network's image


@dataclass(frozen=True)
class OpenedDetector(OpenedModel):
    """A YOLO network opened for looking at. Its images are what detection gives it, rounded to 8 bits."""

    network: Network = field(kw_only=True)

    @cached_property
    def given(self) -> Images:
        """The images asked for, each in its letterbox. InputError, naming the file, for one that cannot be read."""
        pixels = np.round(self._letterboxed).astype(np.uint8)
        return Images(pixels, tuple(path.name for path in self.asked.images), np.full(len(pixels), -1, np.int32))

    @property
    def letterboxed(self) -> np.ndarray:
        """(N, H, W, 3) float32 of 0-255: exactly what the network gets of the images on display."""
        return self._letterboxed[self._shown]

    @property
    def _shown(self) -> np.ndarray:
        """Numbers of the images on display, as `OpenedModel.images` chooses them."""
        count = len(self.asked.images)
        return spread(count, self.asked.image_count or count)

    @cached_property
    def _letterboxed(self) -> np.ndarray:
        if not self.asked.images:
            raise UsageError(f"command line: {self.name} comes without images; give some: --image FILE ...")
        return np.concatenate([_in_letterbox(image, self.probe.input_shape[:2]) for image in self._files])

    @cached_property
    def found(self) -> list[list[Found]]:
        """For each image on display the detections that `detect.py` gives, the most confident first."""
        detector = Detector(self.network.model, self.network.heads)
        return [self._found(detector, self._files[number]) for number in self._shown]

    @cached_property
    def _files(self) -> list[np.ndarray]:
        return [read_image(path) for path in self.asked.images]

    def caption(self, index: int, between: str = ", ", after_name: str | None = None) -> str:
        """Of an image: its name and its strongest detections."""
        found = self.found[index]
        shown = ", ".join(f"{self.class_name(one.class_index)} {one.confidence:.2f}" for one in found[:_NAMED_BOXES])
        more = f" and {len(found) - _NAMED_BOXES} more" if len(found) > _NAMED_BOXES else ""
        return (after_name or between).join(
            [self.images.names[index], f"{shown}{more}" if found else "nothing detected"]
        )

    def boxes(self, number: int) -> list[Found]:
        """The `number`-th detection of each image, counted from 1. UsageError for an image that has fewer."""
        for name, found in zip(self.images.names, self.found, strict=True):
            if len(found) < number:
                count = f"{len(found)} detection{'s' * (len(found) != 1)}" if found else "nothing detected"
                raise UsageError(f"command line: --box {number}: {name}: {count}, expected at least {number}")
        return [found[number - 1] for found in self.found]

    def logit(self, boxes: list[Found], class_indices: list[int]) -> Neuron:
        """The raw number that these boxes of one head, one an image, have for their classes: what is explained."""
        head = self.network.heads[boxes[0].head]
        width = 5 + head.classes
        channels = tuple(one.anchor * width + 5 + index for one, index in zip(boxes, class_indices, strict=True))
        return Neuron(self.probe.outputs[boxes[0].head], channels, tuple((one.row, one.column) for one in boxes))

    def drawn(self, index: int, one: Found) -> np.ndarray:
        """(H, W, 3) uint8: the image in its letterbox with the box, its class and its confidence."""
        name = self.class_name(one.class_index)
        described = {"track": None, "class": name, "confidence": one.confidence, "box": one.box.tolist()}
        return annotated(self.images.pixels[index], [described], self.classes)

    def _found(self, detector: Detector, image: np.ndarray) -> list[Found]:
        maps, shape = detector.maps(image), image.shape[:2]
        heads, size = self.network.heads, detector.size
        centres, probabilities = decode(maps, heads, size, threshold=-1)  # every anchor of every cell, in order
        boxes = Letterbox(shape, size).to_image(centres)
        places = [
            (number, *place)
            for number, (one, head) in enumerate(zip(maps, heads, strict=True))
            for place in np.ndindex(*one.shape[:2], head.anchors_count)
        ]
        found = detector.read(maps, shape)
        rows = [_source(found, index, boxes, probabilities) for index in range(len(found))]
        edges = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], axis=1)
        edges = (edges * (*size[::-1], *size[::-1])).astype(np.float32)
        return [
            Found(
                *places[row],
                int(found.classes[index]),
                _next_class(probabilities[row], int(found.classes[index])),
                float(found.confidences[index]),
                edges[row],
            )
            for index, row in enumerate(rows)
        ]


def is_detector(source: str) -> bool:
    """Whether `source` names a detector: a name, a cfg file, a .keras file that `detect.py --save` wrote, or the folder
    of a training on boxes, whose model.keras is such a file."""
    if source in NAMED or source.endswith(".cfg"):
        return True
    if Path(source).is_dir():
        source = str(Path(source, "model.keras"))
    if not (source.endswith(".keras") and zipfile.is_zipfile(source)):
        return False
    with zipfile.ZipFile(source) as archive:
        return CFG_MEMBER in archive.namelist()


def open_detector(source: str, asked: VisualizeOptions) -> OpenedDetector:
    """The detector that `source` names, its batch norms as layers of their own where the file has them.

    InputError, in one line, for whatever makes that impossible.
    """
    refuse(asked, "a detector, which has its own", input_range=None, classes=())
    notes, weights, size = [], None, None
    path = Path(source)
    if path.is_dir() or source.endswith(".keras"):
        refuse(asked, "a saved detector", weights="imagenet", image_size=None)
        cfg = path / "model.cfg --weights model.weights" if path.is_dir() else "the cfg with --weights"
        notes.append(f"its batch norms are folded into the convolutions: open {cfg} to see them")
    else:
        weights = None if asked.weights == "imagenet" else Path(asked.weights)
        size = (asked.image_size, asked.image_size) if asked.image_size else None
    network = open_network(source, weights, size=size, fold=False)
    model, name = network.model, path.resolve().name if path.is_dir() else path.stem if "." in source else source
    out = asked.out or (path / "visualizations" if path.is_dir() else Path("visualizations") / name)
    classes = tuple(network.names)
    return OpenedDetector(name, model, Probe(model), out, classes, asked, notes=tuple(notes), network=network)


def check(subject: OpenedModel, view: str) -> None:
    """InputError, naming the view, for a view that a detector has nothing for."""
    if isinstance(subject, OpenedDetector) and view in _NEED_CLASSES:
        raise InputError(f"{subject.name}: {view} needs a classifier, and this is a detector; see attribution --box")


def map_behind(probe: Probe, point: str) -> str:
    """The last map before `point` that is seen through more than one pixel: what Grad-CAM of a box weighs by default.

    Behind it every convolution is 1×1, so that the score of a cell depends on nothing but that cell.
    """
    before = probe.ancestors(point)
    wide = [b for b in probe.convolutions if b.name in before and max(b.node.operation.kernel_size) > 1]
    require(bool(wide), f"{probe.name}: {point}", "no convolution wider than 1×1 before it", "one")
    node = probe.nodes[wide[-1].node.inputs[0]]
    while isinstance(node.operation, layers.ZeroPadding2D):
        node = probe.nodes[node.inputs[0]]
    return node.name


def _in_letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    box = Letterbox(image.shape[:2], size)
    numbers = (tf.constant(box.inner), tf.constant(box.corner), tf.constant(box.last_row, tf.float32))
    return letterbox(tf.constant(image), *numbers, size).numpy()


def _source(found: Detections, index: int, boxes: np.ndarray, probabilities: np.ndarray) -> int:
    """Which anchor of which cell a detection is: the one with its box and its probability."""
    apart = np.abs(boxes - found.boxes[index]).max(axis=1)
    apart += np.abs(probabilities[:, found.classes[index]] - found.confidences[index])
    row = int(apart.argmin())
    if apart[row] > 1e-3:
        raise ArithmeticError(f"detection {index} is no anchor of any cell: {apart[row]:g} from the nearest")
    return row


def _next_class(probabilities: np.ndarray, index: int) -> int:
    others = probabilities.copy()
    others[index] = -1
    return int(others.argmax())
