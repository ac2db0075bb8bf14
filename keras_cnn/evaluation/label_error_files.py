"""The list of suspected label errors of a run or a cross-validation: a table, a sheet of the images, and their number.

FOLDER/label_errors/test.csv    one row an image, the least probable label first
FOLDER/label_errors/test.png    the first of them
FOLDER/label_errors/test.json   how many, of how many, and which label for which class
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from keras_cnn.config import Config
from keras_cnn.csv_tables import csv_text
from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.evaluation.label_errors import LabelErrors, find_label_errors
from keras_cnn.evaluation.predictions import Predictions, find_predictions, read_predictions
from keras_cnn.evaluation.results_folder import check_writable
from keras_cnn.evaluation.session import evaluate_run
from keras_cnn.evaluation.target import EvaluateOptions
from keras_cnn.figures import sheets
from keras_cnn.figures.style import save
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import counted, log_sentence, logger
from keras_cnn.run_folder import RunFolder, is_detection_run, shell_command, write_json, write_text
from keras_cnn.run_folder.record import read_record

FOLDER = "label_errors"
OUT_OF_FOLD = "out_of_fold"  # the predictions of a cross-validation
COLUMNS = ("rank", "id", "path", "label", "suggested", "p_label", "p_suggested")
SHOWN, SHEET_COLUMNS = 30, 5


@dataclass(frozen=True)
class LabelErrorList:
    """The suspected label errors of a folder's images, the least probable label first."""

    name: str  # of the predictions: test, validation or out_of_fold
    predictions: Predictions
    found: LabelErrors

    @property
    def rows(self) -> list[tuple]:
        """A row for each image, in COLUMNS."""
        known, found = self.predictions, self.found
        return [
            (
                rank,
                known.ids[image],
                known.paths[image],
                known.classes[known.labels[image]],
                known.classes[suggested],
                f"{known.probabilities[image, known.labels[image]]:.9g}",
                f"{known.probabilities[image, suggested]:.9g}",
            )
            for rank, (image, suggested) in enumerate(zip(found.indices, found.suggested, strict=True), 1)
        ]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each image by its rank from 1: id, path, label, suggested class and both probabilities."""
        frame = pd.DataFrame(self.rows, columns=list(COLUMNS)).set_index("rank")
        return frame.astype({"p_label": float, "p_suggested": float})

    @property
    def pairs(self) -> list[tuple[str, str, int]]:
        """Label, suggested class and number of images, the most frequent first."""
        counts = Counter((row[3], row[4]) for row in self.rows)
        return [(label, suggested, n) for (label, suggested), n in counts.most_common()]


def list_label_errors(path: Path, split: str | None = None) -> LabelErrorList:
    """The suspected label errors of the held-out images of a run or of a cross-validation; nothing is written.

    A run's recorded predictions are used; without them, the split, test or validation, is evaluated.

    Raises InputError for a run of detect.py, for the training split, and for a cross-validation without predictions.
    """
    name, table = _table(path, split)
    predictions = read_predictions(table)
    return LabelErrorList(name, predictions, find_label_errors(predictions.labels, predictions.probabilities))


def write_label_errors(path: Path, split: str | None = None) -> LabelErrorList:
    """Lists the suspected label errors, and writes the table, the sheet and the numbers; logs the places.

    Neither images nor labels are changed. Raises InputError as `list_label_errors` does.
    """
    check_writable(path)
    errors = list_label_errors(path, split)
    folder, images = path / FOLDER, len(errors.predictions)
    folder.mkdir(exist_ok=True)
    write_text(folder / f"{errors.name}.csv", csv_text(COLUMNS, errors.rows))
    if len(errors.found.indices):
        _draw(path, errors)
    else:
        (folder / f"{errors.name}.png").unlink(missing_ok=True)
    pairs = [{"label": label, "suggested": suggested, "images": n} for label, suggested, n in errors.pairs]
    record = {"predictions": errors.name, "images": images, "suspected": len(errors.found.indices), "pairs": pairs}
    write_json(folder / f"{errors.name}.json", record)
    suspected = f"{counted(len(errors.found.indices), 'label')} of {images:,} suspected"
    logger.info(f"labels      {suspected}, of the {errors.name.replace('_', ' ')} images")
    for label, suggested, n in errors.pairs[:3]:
        log_sentence("", f"{label} that may be {suggested}: {counted(n, 'image')}", 12)
    logger.info(f"written     {folder / errors.name}.csv   (and .png; nothing else was changed)")
    logger.info(f"next        {shell_command('report', path)}")
    return errors


def _table(path: Path, split: str | None) -> tuple[str, Path]:
    """The name of the held-out images and the table of their predictions."""
    if (path / "sweep.json").is_file():
        table = find_predictions(path / OUT_OF_FOLD)
        if split is not None or table is None:
            expected = "a cross-validation of a classifier that has ended (--folds), and no --split"
            raise InputError(f"{path}: found {'no predictions' if table is None else split}; expected {expected}")
        return OUT_OF_FOLD, table
    if is_detection_run(path):
        raise InputError(f"{path}: a run of detect.py; expected one of a classifier")
    if (path / "config.yaml").is_file() and read_record(path).several_labels:
        raise InputError(f"{path}: images that may have several labels; expected a run of one class an image")
    if split == "train":
        raise InputError("--label-errors --split train: the network knows these images; expected test or validation")
    name = split or "test"
    table = find_predictions(path) if name == "test" else None
    table = table or find_predictions(path / "evaluations" / name)
    if table is None:
        table = find_predictions(evaluate_run(path, EvaluateOptions(name, None, None, False)).folder)
    if table is None:
        raise InputError(f"{path}: no predictions of the {name} split; expected those of its evaluation")
    return name, table


def _draw(path: Path, errors: LabelErrorList) -> None:
    """Draws the first suspected images with their label, the suggested class and both probabilities."""
    known, config = errors.predictions, _config(path)
    dataset, shown = load_dataset(config), errors.found.indices[:SHOWN]
    images = np.concatenate([_pixels(path, dataset, config, known.ids[image]) for image in shown])
    captions = [
        f"{'/'.join(row[1].split('/')[-2:])}\nlabel: {row[3]}  {sheets.score(float(row[5]))}"
        f"\nmaybe: {row[4]}  {sheets.score(float(row[6]))}"
        for row in errors.rows[:SHOWN]
    ]
    total = len(errors.found.indices)
    title = f"{path.resolve().name}: {len(shown)} of {total:,} suspected label errors, the least probable label first"
    save(sheets.image_sheet(images, captions, SHEET_COLUMNS, title), path / FOLDER / f"{errors.name}.png")


def _config(path: Path) -> Config:
    """The config of a run, or of the first fold of a cross-validation, whose splits together have all images."""
    runs = [path] if (path / "config.yaml").is_file() else sorted(p.parent for p in path.glob("[0-9]*/config.yaml"))
    if not runs:
        raise InputError(f"{path}: no run in it has a config.yaml; expected a run or a cross-validation")
    return RunFolder(runs[0]).config(BUILDERS)


def _pixels(path: Path, dataset: Dataset, config: Config, image: str) -> np.ndarray:
    """(1, H, W, C) uint8."""
    for split in dataset.splits.values():
        place = np.flatnonzero(np.array([each == image for each in split.ids]))
        if len(place):
            return pipeline.decoded(split.take(place[:1]), dataset.image_shape, config.data.fit)
    raise InputError(
        f"{path}: image {image!r} is no longer in {dataset.source}; expected the images of the predictions"
    )
