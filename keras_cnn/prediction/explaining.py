"""Draws what each prediction depends on, by an attribution method, with the verdict of its sanity checks."""

import re
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn import views
from keras_cnn.data.decoding import decode, read_image_file
from keras_cnn.errors import UsageError
from keras_cnn.prediction.classifier import Classifier
from keras_cnn.prediction.images import ListedImage
from keras_cnn.prediction.label_table import LabelPredictions
from keras_cnn.prediction.table import ImagePredictions
from keras_cnn.views.attribution import RANDOM_NETWORKS, draw_each, explain_each
from keras_cnn.views.support.opened_model import OpenedModel, ShownImages, VisualizeOptions
from keras_cnn.views.support.saving import SavedFigure
from keras_cnn.visualization.sanity import Verdict

_AT_ONCE = 32  # images, whose maps are in memory together


class _PredictedImages(OpenedModel):
    """The network with images that it has predicted, and their probabilities."""

    @cached_property
    def images(self) -> ShownImages:
        return self.results["images"]

    @cached_property
    def probabilities(self) -> np.ndarray:
        return self.results["probabilities"]


def check_method(classifier: Classifier, method: str) -> None:
    """Raises UsageError for an unknown method and for a classifier whose layers cannot be read."""
    views.check_method(method, "--explain")
    if classifier.model is None:
        raise UsageError(
            f"command line: --explain: {classifier.name} is an export; expected the run or its .keras file"
        )


def explain(
    classifier: Classifier, images: Sequence[ListedImage], predictions: ImagePredictions, method: str, folder: Path
) -> Iterator[tuple[str, SavedFigure, Verdict]]:
    """Draws each image that could be read into `folder`, and yields its name, its figure and its verdict.

    An image that may have several classes has a figure for each predicted one, or for the most probable.
    """
    check_method(classifier, method)
    read = [index for index in range(len(images)) if index not in predictions.errors]
    stems = _file_names([images[index].name for index in read])
    explained = [
        (index, place, stem if classifier.thresholds is None else f"{stem}_{number}-{_safe(classifier.classes[place])}")
        for index, stem in zip(read, stems, strict=True)
        for number, place in enumerate(_explained_classes(predictions, index), 1)
    ]
    for start in range(0, len(explained), _AT_ONCE):
        indices, classes, names = zip(*explained[start : start + _AT_ONCE], strict=True)
        opened = _opened(classifier, [images[index] for index in indices], predictions, indices, folder)
        drawn = draw_each(opened, folder, method, names, classes)
        for index, place, one in zip(indices, classes, drawn, strict=True):
            label = "" if classifier.thresholds is None else f": {classifier.classes[place]}"
            yield f"{images[index].name}{label}", *one


def _explained_classes(predictions: ImagePredictions, index: int) -> list[int]:
    """The classes of an image that are explained, the most probable first."""
    if isinstance(predictions, LabelPredictions) and (names := predictions[index].classes):
        return [predictions.classes.index(name) for name in names]
    return [int(predictions.probabilities[index].argmax())]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def explain_one(
    classifier: Classifier, image: ListedImage, predictions: ImagePredictions, method: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """The one image that `predictions` are of as the network gets it, its map, and the verdict with its numbers.

    The pixels are (H, W, C) uint8 and the map is (H, W) or, for a gradient, (H, W, C); nothing is written. Raises
    UnreadableImageError and the InputError of the method.
    """
    check_method(classifier, method)
    opened = _opened(classifier, [image], predictions, [0], Path())
    ((values, words),) = explain_each(opened, method, [int(predictions.probabilities[0].argmax())])
    return opened.images.pixels[0], values, words


def _opened(
    classifier: Classifier,
    images: Sequence[ListedImage],
    predictions: ImagePredictions,
    indices: Sequence[int],
    folder: Path,
) -> OpenedModel:
    height, width, channels = classifier.image_shape
    pixels = [decode(read_image_file(image.path), (height, width), channels, classifier.fit) for image in images]
    names = tuple(image.path.name for image in images)
    shown = ShownImages(np.stack(pixels), names, np.full(len(images), -1, np.int32))
    results: dict[Hashable, Any] = {"images": shown, "probabilities": predictions.probabilities[list(indices)]}
    results[RANDOM_NETWORKS] = classifier.random_networks
    name, probe, classes = classifier.name, classifier.probe, classifier.classes
    given: dict[str, Any] = {"results": results, "thresholds": classifier.thresholds}
    return _PredictedImages(name, probe.model, probe, folder, classes, VisualizeOptions(), **given)


def _file_names(names: Sequence[str]) -> list[str]:
    """Names for the figures: those of the images without folder and ending, with the folder where two are the same."""
    stems = [Path(name).stem for name in names]
    if len({stem.lower() for stem in stems}) == len(stems):
        return stems
    longer = [Path(name).with_suffix("").as_posix().strip("./").replace("/", "-") for name in names]
    return (
        longer
        if len({stem.lower() for stem in longer}) == len(longer)
        else [f"{stem}-{number}" for number, stem in enumerate(longer)]
    )
