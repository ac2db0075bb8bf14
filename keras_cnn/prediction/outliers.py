"""Measures how well a run tells the images of its classes from images of none of them: `evaluate.py --outliers`."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_cnn.charts import png
from keras_cnn.charts.evaluation import score_shares
from keras_cnn.csv_tables import CsvWriter
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError
from keras_cnn.evaluation.outliers import KEPT, SCORES, OutlierDetection, outlier_detection
from keras_cnn.evaluation.predictions import open_csv
from keras_cnn.evaluation.results_folder import replacing_folder
from keras_cnn.evaluation.session import evaluate_run
from keras_cnn.evaluation.target import EvaluateOptions
from keras_cnn.figures import style
from keras_cnn.messages import counted, log_sentence, logger
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.images import ListedImage, list_images, stem_of
from keras_cnn.prediction.predicting import predict_files
from keras_cnn.run_folder import write_json
from keras_cnn.run_folder.record import read_record

_LISTED = 5  # classes that unknown images are taken for, on the terminal


@dataclass(frozen=True)
class MeasuredOutliers:
    """A detection of unknown images with the folder of its results."""

    detection: OutlierDetection
    names: tuple[str, ...]  # (M,) of the unknown images
    folder: Path


def measure_outliers(path: Path, named: str, options: EvaluateOptions) -> MeasuredOutliers:
    """Evaluates the run at `path`, compares its images with unknown ones, and shows and writes the results.

    `named` is a folder, a glob, a table or an image file; its images are of none of the run's classes. Those that
    cannot be read are left out and listed. Raises InputError if none can be read, and what `evaluate_run` raises.
    """
    if (path / "config.yaml").is_file() and read_record(path).several_labels:
        raise InputError(f"{path}: --outliers: images that may have several labels; expected one class an image")
    listed = list_images([named]).images
    outcome = evaluate_run(path, options)
    classifier = open_classifier(path, calibrated=False)
    logits, errors = predict_files(classifier, listed)
    if len(errors) == len(listed):
        raise InputError(f"{named}: none of {counted(len(listed), 'image')} can be read: {next(iter(errors.values()))}")
    readable = [i for i in range(len(listed)) if i not in errors]
    detection = outlier_detection(outcome.evaluation.logits, logits[readable], classifier.classes)
    names = tuple(listed[i].name for i in readable)
    unreadable = {listed[i].name: reason for i, reason in sorted(errors.items())}
    described = {"run": outcome.target.name, "known": options.name, "unknown": named, "unreadable": unreadable}
    numbers = described | detection.as_json()
    folder = outcome.folder / _folder_name(named, listed)
    with replacing_folder(folder, path) as staged:
        write_json(staged / "outliers.json", numbers)
        _write_scores(staged / "outliers.csv", names, detection)
        drawings = [score_shares(SCORES[name], row) for name, row in numbers["scores"].items()]
        title = f"{outcome.target.name}: {options.name} and unknown images of {stem_of(named)}"
        (staged / "figures").mkdir()
        style.save(png.figure(drawings, title), staged / "figures" / "scores.png")
    for line in _lines(numbers):
        log_sentence(*line, 12)
    logger.info(f"written     {folder}")
    return MeasuredOutliers(detection, names, folder)


def _folder_name(named: str, listed: list[ListedImage]) -> str:
    place = str(user_path(named).resolve()) if len(listed) > 1 else str(listed[0].path.resolve())
    digits = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"outliers_{stem_of(named)}-{digits}"


def _write_scores(path: Path, names: tuple[str, ...], detection: OutlierDetection) -> None:
    values = [detection.scores(name)[1] for name in SCORES]
    with open_csv(path) as file:
        rows = CsvWriter(file)
        rows.writerow(["image", "predicted", *SCORES])
        for name, best, *scores in zip(names, detection.unknown.argmax(axis=1), *values, strict=True):
            rows.writerow([name, detection.classes[best], *(f"{score:.9g}" for score in scores)])


def _lines(numbers: dict) -> Iterator[tuple[str, str]]:
    known, unknown = numbers["known_images"], numbers["unknown_images"]
    left_out = f"; {counted(len(numbers['unreadable']), 'file')} cannot be read" if numbers["unreadable"] else ""
    yield "unknown", f"{counted(unknown, 'image')} of {numbers['unknown']}, beside {known:,} known ones{left_out}"
    for name, row in numbers["scores"].items():
        ends = row["roc_area_interval"]
        between = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""
        low, high = row["accepted_interval"]
        yield (
            name.replace("_", " "),
            f"ROC area {row['roc_area']:.4f}{between}; a threshold that keeps {KEPT:.0%} of the known images keeps"
            f" {row['accepted']:.4f} [{low:.4f}, {high:.4f}] of the unknown ones",
        )
    most = list(numbers["taken_for"].items())[:_LISTED]
    yield "taken for", ", ".join(f"{name} {share:.1%}" for name, share in most)
