"""Predicts images: those that can be read go through the classifier in batches, the others keep their reason."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_cnn.data.decoding import as_array, decode, fitted, read_image
from keras_cnn.data.image_files import ImageFile, ImageFiles
from keras_cnn.data.pipeline import decodable_batches
from keras_cnn.errors import InputError, require
from keras_cnn.prediction.classifier import Classifier, open_classifier
from keras_cnn.prediction.images import ListedImage, list_images, read_files
from keras_cnn.prediction.label_table import LabelPredictions
from keras_cnn.prediction.table import ImagePredictions

TOP = 5
_PIXELS = 2**21  # in a batch: 41 images of 224×224


def predict(source: "str | Path | Classifier", images, *, top: int = TOP, calibrated: bool = True) -> ImagePredictions:
    """The most probable classes of `images`, by a run, a model file or an export.

    source: what `open_classifier` opens, or what it has returned.
    images: an image file, a folder, a glob, a `.csv` with a column of paths, or a list of these; or pixels of 0-255,
        (H, W), (H, W, C) or (N, H, W, C) uint8 with 1 or 3 channels.
    top: the number of classes in each row of the result; its `probabilities` have all.
    calibrated: whether the temperature that the run has is used.

    An image file that cannot be read keeps its reason in the result. Raises InputError for what does not exist.
    """
    require(isinstance(top, int) and top >= 1, "top", f"found {top!r}", "a number of classes from 1")
    classifier = source if isinstance(source, Classifier) else open_classifier(source, calibrated=calibrated)
    if isinstance(images, np.ndarray):
        names, scores = _of_pixels(classifier, images)
        errors: dict[int, str] = {}
    else:
        named = [images] if isinstance(images, str | Path) else list(images)
        listed = list_images([str(name) for name in named]).images
        names, (scores, errors) = tuple(image.name for image in listed), predict_files(classifier, listed)
    return as_predictions(classifier, names, scores, errors, top=top)


def as_predictions(
    classifier: Classifier, names: Sequence[str], scores: np.ndarray, errors: dict[int, str], *, top: int = TOP
) -> ImagePredictions:
    """The predictions that follow from `scores` (N, units), of which those of images with an error have no meaning.

    Raises InputError, naming the first image, for scores that are not finite.
    """
    read = np.array([index not in errors for index in range(len(names))], bool)
    bad = np.flatnonzero(read & ~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise InputError(
            f"{classifier.name}: the scores of {len(bad):,} of {len(names):,} images are not finite, the first"
            f" {names[bad[0]]}; expected numbers (did the training diverge?)"
        )
    probabilities = np.full((len(names), len(classifier.classes)), np.nan)
    if read.any():
        probabilities[read] = classifier.probabilities(scores[read])
    found = classifier.name, classifier.classes, tuple(names), probabilities, errors, top
    if classifier.thresholds is not None:
        return LabelPredictions(*found, thresholds=classifier.thresholds, separator=classifier.separator)
    return ImagePredictions(*found)


def predict_files(classifier: Classifier, images: Sequence[ListedImage]) -> tuple[np.ndarray, dict[int, str]]:
    """The scores (N, units) float32 of image files, and the reason for each that cannot be read, by its index."""
    files, places, errors = read_files(images)
    done: list[int] = []

    def batches() -> Iterator[tuple[tf.Tensor]]:
        if not files:
            return
        for pixels, indices in decodable_batches(
            ImageFiles.of(files), classifier.image_shape, _batch_size(classifier), classifier.fit
        ):
            done.extend(indices.numpy().tolist())
            yield (pixels,)

    parts = [classifier.scores(batches())]
    late, pixels = sorted(set(range(len(files))) - set(done)), []
    for index in late:
        image = _by_pillow(files[index], classifier)
        if isinstance(image, str):
            errors[places[index]] = image
        else:
            done.append(index)
            pixels.append(image)
    if pixels:
        parts.append(classifier.scores([(np.stack(pixels),)]))
    found = np.concatenate(parts)
    scores = np.full((len(images), found.shape[1]), np.nan, np.float32)
    scores[[places[index] for index in done]] = found
    return scores, errors


def _batch_size(classifier: Classifier) -> int:
    height, width, _ = classifier.image_shape
    return int(np.clip(_PIXELS // (height * width), 8, 256))


def _by_pillow(file: ImageFile, classifier: Classifier) -> np.ndarray | str:
    """The image that TensorFlow could not decode, by the reference decoder, or the reason why it cannot be read."""
    try:
        read_image(file.path)
        return decode(file, classifier.image_shape[:2], classifier.image_shape[2], classifier.fit)
    except InputError as error:
        return getattr(error, "reason", str(error))


def _of_pixels(classifier: Classifier, images: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and scores of images given as an array. InputError unless they are uint8 of 1 or 3 channels."""
    shape = images.shape
    images = images[None, ..., None] if images.ndim == 2 else images[None] if images.ndim == 3 else images
    fits = images.ndim == 4 and images.dtype == np.uint8 and images.shape[-1] in (1, 3) and 0 not in images.shape
    expected = "uint8 of (H, W), (H, W, C) or (N, H, W, C) with 1 or 3 channels"
    require(fits, "images", f"found {images.dtype} of {shape}", expected)
    height, width, channels = classifier.image_shape
    pixels = np.stack([_fitted(image, (height, width), channels, classifier.fit) for image in images])
    size = _batch_size(classifier)
    scores = classifier.scores((pixels[start : start + size],) for start in range(0, len(pixels), size))
    return tuple(f"image {number}" for number in range(len(images))), scores


def _fitted(image: np.ndarray, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    upright = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return as_array(fitted(upright, size, fit), channels)
