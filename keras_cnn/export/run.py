"""Export of a finished run: its best model, checked on its validation images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Dataset, evenly_spaced
from keras_cnn.errors import InputError
from keras_cnn.evaluation.multilabel.recorded import recorded_thresholds
from keras_cnn.evaluation.recorded_temperature import recorded_temperature
from keras_cnn.evaluation.results_folder import check_writable
from keras_cnn.export import exports
from keras_cnn.export.quantisation import Quantisation
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import log_command, log_sentence, logger
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder, is_detection_run
from keras_cnn.run_folder.record import Record, read_record

IMAGES = 64
SAMPLES = 256  # training images that calibrate a quantised format


def export_run(run: Path, formats: Sequence[str]) -> list[exports.ExportedModel]:
    """Exports `run`/model.keras to `run`/export/ and shows the results; see `exports.export`.

    The formats are compared on up to 64 images spread over the validation split; the test split is not read. Raises
    InputError for an unknown format, a missing package, and a run that is unfinished or whose images are missing.
    """
    exports.require_available(formats)
    if is_detection_run(run):
        raise InputError(
            f"{run}: a run of detect.py, which has model.keras and model.weights; expected the run of a classifier"
        )
    check_writable(run)
    record = read_record(run)
    if not record.finished:
        raise InputError(f"{run}: not finished: it has no metrics.json; expected a finished run")
    thresholds = _thresholds(record, formats)
    with RunFolder.open(run).lock() as folder:
        model = load_model(folder / "model.keras")
        config, found = folder.config(BUILDERS), recorded_temperature(record)
        dataset = load_dataset(config)
        images = validation_images(dataset, config.data.fit)
        classes = record.split.get("classes")
        if not classes:
            raise InputError(f"{run / 'split.json'}: does not list the run's classes; expected their names")
        temperature = {"value": found.value, "validation_images": found.images} if found else None
        exported = exports.export(
            model,
            images,
            folder / "export",
            formats,
            classes,
            fit=config.data.fit,
            temperature=temperature,
            quantisation=_quantisation(dataset, config.data.fit) if set(formats) & set(exports.QUANTISED) else None,
            thresholds=thresholds,
        )
    size = "×".join(map(str, images.shape[1:]))
    log_sentence("run", f"{run}: {model.name} in float32; uint8 images of {size} to logits", 12)
    bound = f"within {exports.TOLERANCE:g} of the top logit"
    bound += "; 8 bits by the accuracy" if set(formats) & set(exports.QUANTISED) else ""
    log_sentence("compared", f"with Keras on {len(images)} validation images: {bound}", 12)
    for line in exports.table(exported):
        logger.info(line)
    log_command("written", str(run / "export"), "predict_FORMAT.py: programs that use the files", 12)
    return exported


def _thresholds(record: Record, formats: Sequence[str]) -> list[float] | None:
    """The thresholds of a run with several labels an image; None for others. InputError for a quantised format."""
    if not record.several_labels:
        return None
    if quantised := [name for name in formats if name in exports.QUANTISED]:
        raise InputError(
            f"formats: {quantised[0]} is compared by accuracy, and {record.path} has several labels an image"
        )
    found = recorded_thresholds(record)
    if found is None:
        raise InputError(f"{record.path / 'metrics.json'}: thresholds: not found, expected one for each class")
    return found.tolist()


def validation_images(dataset: Dataset, fit: str) -> np.ndarray:
    """(N, H, W, C) uint8, N at most 64: evenly spaced images of the validation split."""
    chosen = evenly_spaced(len(dataset.validation), IMAGES)
    return pipeline.decoded(dataset.validation.take(chosen), dataset.image_shape, fit)


def _quantisation(dataset: Dataset, fit: str) -> Quantisation:
    """Evenly spaced training images to calibrate, and the validation split to compare accuracies."""

    def batches() -> Iterator[np.ndarray]:
        found = pipeline.batches(dataset.validation, dataset.image_shape, IMAGES, fit=fit)
        return (batch.images.numpy() for batch in found)

    chosen = dataset.train.take(evenly_spaced(len(dataset.train), SAMPLES))
    samples = pipeline.decoded(chosen, dataset.image_shape, fit)
    return Quantisation(samples, batches, dataset.validation.labels, dataset.validation.ids)
