"""Prediction from the library by whatever `keras-cnn predict` opens: runs, model files and exports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_cnn.api.calls import messages, public
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.errors import InputError
from keras_cnn.messages import log_sentence
from keras_cnn.prediction import predicting
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.table import ImagePredictions


@public
def predict(
    model: str | Path | RecordedRun,
    images: Any,
    *,
    top: int = 5,
    temperature: bool = True,
    classes: Sequence[str] = (),
    image_size: int | None = None,
    input_range: tuple[float, float] | None = None,
    verbose: bool = True,
) -> ImagePredictions:
    """The most probable classes of images by a run, a model file or an export, as `keras-cnn predict` gives them.

    >>> len(keras_cnn.predict("runs/photos/model.keras", ["dog.jpg", "new"]).table)
    3

    Args:
        model: a run or its folder, a `.keras` or `.h5` file, or an export: `.onnx`, `.tflite` or a SavedModel, which is
            a program: open only your own.
        images: an image file, a folder, a glob, a `.csv` with a column of paths, or a list of these; or pixels of 0 to
            255, (H, W), (H, W, C) or (N, H, W, C) uint8.
        top: number of classes in each row; `probabilities` (N, C) has all.
        temperature: whether probabilities are calibrated by the temperature of the run, if it has one.
        classes: names of the classes of a model file that has none.
        image_size: side in pixels for a model file that takes images of any size.
        input_range: range that a model file without rescaling takes for 0 to 255, such as (-1, 1).
        verbose: whether notes about the model are printed.

    A file that cannot be read keeps its reason in the result. Raises InputError for what does not exist or open.
    """
    if not isinstance(model, str | Path | RecordedRun):
        raise InputError(f"model: found a {type(model).__name__}, expected a run, its folder or a file")
    classifier = open_classifier(
        model.path if isinstance(model, RecordedRun) else model,
        classes=tuple(classes),
        image_size=image_size,
        input_range=input_range,
        calibrated=temperature,
    )
    with messages(verbose):
        for note in classifier.notes:
            log_sentence("note", note)
    return predicting.predict(classifier, images, top=top)
