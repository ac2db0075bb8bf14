"""What the view `attribution` explains, from its options: classes, differences of classes, neurons or boxes."""

from dataclasses import dataclass

import numpy as np

from keras_cnn.errors import UsageError
from keras_cnn.views.support.opened_detector import LocatedDetection, OpenedDetector
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.visualization.targets import ClassDifference, ClassScore, Neuron, Target, strongest

_NEURONS = 10


@dataclass(frozen=True)
class ExplainedTarget:
    """A target with the images for which it is explained."""

    target: Target
    images: np.ndarray  # indices into the images on display, one for each row of the figure
    title: str  # "the predicted class"
    stem: str  # of the files
    boxes: tuple[LocatedDetection, ...] = ()  # of a detector, one for each image
    other: Target | None = None  # of another class, for the verdict; None: the verdict chooses it


def explained_targets(
    opened: OpenedModel, target: str | None, against: str | None, neurons: tuple[str, ...], box: int | None
) -> list[ExplainedTarget]:
    """The targets that the options of the view choose. Raises UsageError for options that exclude each other."""
    images = np.arange(len(opened.images.names))
    if box and (neurons or not isinstance(opened, OpenedDetector)):
        raise UsageError("command line: --box explains a detection of a detector, and nothing else with it")
    if neurons:
        if target or against:
            raise UsageError("command line: --neuron explains neurons; --target and --against explain classes")
        return [_neurons(opened, text) for text in neurons]
    if isinstance(opened, OpenedDetector):
        if target or against:
            raise UsageError(f"command line: {opened.name} is a detector: --box N instead of --target and --against")
        return _boxes(opened, box or 1)
    if not opened.is_classifier:
        point, outputs = opened.probe.last_map(), opened.probe.outputs
        found = "no classes; explain"
        if len(outputs) > 1 and opened.options.output is None:
            found = f"{len(outputs)} outputs: choose one by --output {' or '.join(outputs)}, or explain"
        raise UsageError(f"command line: {opened.name} has {found} neurons, such as --neuron {point}")
    index = None if target is None else opened.class_index(target)
    words = "the predicted class" if index is None else opened.class_name(index)
    if index is None and against is None and opened.thresholds is not None:
        return [_predicted_labels(opened)]
    if against is None:
        return [ExplainedTarget(ClassScore(index), images, words, target or "predicted")]
    other = opened.class_index(against)
    title = f"{words} against {opened.class_name(other)}"
    return [ExplainedTarget(ClassDifference(index, other), images, title, f"{target or 'predicted'}-against-{against}")]


def _predicted_labels(opened: OpenedModel) -> ExplainedTarget:
    """Every predicted class of each image that may have several, in rows of their own; the most probable of none."""
    rows = [
        (image, label)
        for image in range(len(opened.images.names))
        for label in opened.predicted_labels(image) or [int(opened.probabilities[image].argmax())]
    ]
    images, labels = zip(*rows, strict=True)
    return ExplainedTarget(ClassScore(labels), np.array(images), "each predicted class", "predicted")


def _boxes(opened: OpenedDetector, number: int) -> list[ExplainedTarget]:
    """A target for each head, with the images whose box comes from it."""
    boxes, explained = opened.boxes(number), []
    for head, point in enumerate(opened.probe.outputs):
        images = [index for index, box in enumerate(boxes) if box.head == head]
        if images:
            chosen = [boxes[index] for index in images]
            target = opened.logit(chosen, [box.class_index for box in chosen])
            other = opened.logit(chosen, [box.next_class for box in chosen])
            title = f"the class logit of box {number} at {point}"
            stem = f"box-{number}_{point}"
            explained.append(ExplainedTarget(target, np.array(images), title, stem, tuple(chosen), other))
    return explained


def _neurons(opened: OpenedModel, text: str) -> ExplainedTarget:
    layer, _, place = text.rpartition(":") if _is_place(text.rpartition(":")[2]) else (text, "", "")
    point = opened.probe.point(layer)
    pixels = opened.images.pixels
    if not place:
        channels, images = zip(*strongest(opened.probe, pixels, point, _NEURONS), strict=True)
        words = f"the {len(channels)} strongest channels of {point}"
        return ExplainedTarget(Neuron(point, channels), np.array(images), words, f"{point}_strongest")
    channel, *position = (int(part) for part in place.split(","))
    target = Neuron(point, channel, (position[0], position[1]) if position else None)
    stem = f"{point}_{place.replace(',', '-')}"
    return ExplainedTarget(target, np.arange(len(pixels)), f"{point} channel {channel}", stem)


def _is_place(text: str) -> bool:
    parts = text.split(",")
    return all(part.isdecimal() for part in parts) and len(parts) in (1, 3)
