"""What the page of `keras-cnn demo` says about one picture."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.figures.panels import overlaid
from keras_cnn.figures.placement import as_rgb
from keras_cnn.prediction.classifier import Classifier
from keras_cnn.prediction.explaining import explain_one
from keras_cnn.prediction.images import ListedImage
from keras_cnn.prediction.predicting import TOP, as_predictions, predict_files
from keras_cnn.prediction.table import NO_LABEL, PredictedImage

METHOD = "grad-cam"
_SIDE = 320  # pixels to which a small picture is enlarged by a whole number, so that each of its pixels shows


@dataclass(frozen=True)
class DemoAnswer:
    """The answer to one picture; what could not be had is empty, and the words say why."""

    words: str  # a line: the file with its class, or the reason why it has none
    probabilities: dict[str, float] = field(default_factory=dict)  # of the most probable classes, the largest first
    picture: np.ndarray | None = None  # (H, W, 3) uint8: the picture as the network gets it
    overlay: np.ndarray | None = None  # (H, W, 3) uint8: Grad-CAM of the most probable class over it
    verdict: str = ""  # of Grad-CAM's sanity checks on this picture, or the reason why there is no Grad-CAM


def answer(classifier: Classifier, path: Path, *, top: int = TOP) -> DemoAnswer:
    """The answer of a classifier with a model to an image file of any size and format."""
    image = ListedImage(path.name, path)
    try:
        scores, errors = predict_files(classifier, [image])
        predictions = as_predictions(classifier, [image.name], scores, errors, top=top)
    except InputError as error:
        return DemoAnswer(str(error))
    (row,) = predictions
    if row.error is not None:
        return DemoAnswer(f"{image.name}: {row.error}")
    words = f"{image.name}: {_in_words(row, several=classifier.thresholds is not None)}"
    probabilities = dict(zip(row.classes, row.probabilities, strict=True))
    try:
        pixels, values, verdict = explain_one(classifier, image, predictions, METHOD)
    except InputError as error:
        return DemoAnswer(words, probabilities, verdict=f"No Grad-CAM: {error}")
    return DemoAnswer(words, probabilities, _enlarged(as_rgb(pixels)), _enlarged(overlaid(values, pixels)), verdict)


def _in_words(row: PredictedImage, several: bool) -> str:
    """The most probable class or, of images that may have several, all that reach their thresholds."""
    count = len(row.classes) if several else 1
    named = [f"{name}, {value:.2%}" for name, value in zip(row.classes[:count], row.probabilities[:count], strict=True)]
    return "; ".join(named) or NO_LABEL


def _enlarged(picture: np.ndarray) -> np.ndarray:
    factor = max(1, _SIDE // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
