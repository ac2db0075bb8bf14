"""What a finished run leaves: final numbers, predictions and figures."""

import numpy as np

from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.evaluation import metrics
from keras_cnn.evaluation.predictions import write_predictions
from keras_cnn.figures import confusion, curves, sheets, style
from keras_cnn.run_folder import RunFolder, naming_a_full_disk, record_test_reading, write_json
from keras_cnn.tracking import Tracker
from keras_cnn.training.finder import RangeTest
from keras_cnn.training.phase_runner import PhaseRunner
from keras_cnn.training.setup import TrainingSetup

PREVIEW_ROWS, PREVIEW_VIEWS, MISTAKES = 6, 6, 30


def finish(parts: TrainingSetup, folder: RunFolder, tracker: Tracker, running: PhaseRunner, best_epoch: int) -> dict:
    """Evaluates the model on all three splits, the test split once, and writes numbers, predictions and figures."""
    dataset, classes = parts.dataset, parts.dataset.classes
    splits = {"train": parts.train, "validation": dataset.validation, "test": dataset.test}
    record_test_reading(folder)
    logits = {name: running.logits(name) for name in splits}
    found = {name: metrics.summary(split.labels, logits[name], classes) for name, split in splits.items()}
    whole = {"split": "test", "best_epoch": best_epoch, "chosen_by": parts.config.train.monitor}
    whole |= {"computed_in": parts.precision} | found.pop("test") | found
    test, probabilities = dataset.test, metrics.softmax(logits["test"])
    paths = [str(file.path) for file in test.files] if test.files else [""] * len(test)
    write_predictions(folder / "predictions.csv", test.ids, paths, test.labels, probabilities, classes)
    _draw(parts, folder, whole, probabilities)
    write_json(folder / "metrics.json", whole)  # its presence says that the run is complete
    predicted = {name: (splits[name].labels, logits[name].argmax(axis=1)) for name in ("validation", "test")}
    tracker.finish(whole, sorted(folder.figures.glob("*.png")), predicted, classes)
    return whole


def finish_trial(
    parts: TrainingSetup, folder: RunFolder, tracker: Tracker, running: PhaseRunner, best_epoch: int
) -> dict:
    """The validation numbers of a sweep's trial. The test split is for the one trial that is chosen."""
    split, classes = parts.dataset.validation, parts.dataset.classes
    logits = running.logits("validation")
    found = metrics.summary(split.labels, logits, classes)
    whole = {"best_epoch": best_epoch, "chosen_by": parts.config.train.monitor, "computed_in": parts.precision}
    whole |= {"validation": found}
    write_json(folder / "metrics.json", whole)  # its presence says that the run is complete
    tracker.finish(found | {"split": "validation"}, [], {"validation": (split.labels, logits.argmax(axis=1))}, classes)
    return whole


def _draw(parts: TrainingSetup, folder: RunFolder, found: dict, probabilities: np.ndarray) -> None:
    classes, name = parts.dataset.classes, folder.path.name
    history = {key: [row[key] for row in folder.history()] for key in folder.history()[0]}
    onset = metrics.overfitting_onset(history["loss"], history["val_loss"])
    _save(curves.curves(history, found["best_epoch"], f"{name}: {parts.config.model.name}", onset), folder, "curves")
    for split in ("validation", "train"):
        title = f"{name}: confusion on the {split} split"
        _save(confusion.confusion_pair(found[split]["confusion"], classes, title), folder, f"confusion_{split}")
    test = parts.dataset.test
    worst = metrics.worst_mistakes(test.labels, probabilities, MISTAKES)
    predicted = probabilities[worst].argmax(axis=1)
    captions = [
        sheets.mistake_caption(_file_name(test, i), classes[test.labels[i]], classes[p], probabilities[i, p])
        for i, p in zip(worst, predicted, strict=True)
    ]
    title = f"{name}: the {len(worst)} worst mistakes of {len(test):,} test images"
    _save(sheets.image_sheet(_images(parts, test.take(worst)), captions, 5, title), folder, "mistakes")


def draw_augmentation(parts: TrainingSetup, folder: RunFolder) -> None:
    """The augmentation preview: a few training images and what the network sees of them."""
    rows, settings = min(PREVIEW_ROWS, len(parts.train)), parts.config
    sample = parts.train.take(np.linspace(0, len(parts.train) - 1, rows).astype(int))
    seen = pipeline.preview(
        sample, parts.dataset.image_shape, parts.recipe, settings.seed, views=PREVIEW_VIEWS, fit=settings.data.fit
    )
    captions = [parts.dataset.classes[label] for label in sample.labels]
    title = f"{folder.path.name}: augmentation '{settings.data.augment.name}', the original first"
    _save(sheets.augmentation_sheet(seen, captions, title), folder, "augmentation")


def draw_range_test(found: RangeTest, folder: RunFolder) -> None:
    _save(curves.learning_rate_curve(found.rates, found.losses, found.suggestion), folder, "learning_rates")


def _images(parts: TrainingSetup, split: Split) -> np.ndarray:
    """(N, H, W, C) uint8, as the network gets them."""
    if not len(split):
        return np.zeros((0, *parts.dataset.image_shape), np.uint8)
    return np.concatenate([images.numpy() for images, *_ in parts.batches(split)])


def _file_name(split: Split, index: int) -> str:
    return "/".join(split.ids[index].split("/")[-2:])


def _save(figure, folder: RunFolder, name: str) -> None:
    path = folder.figures / f"{name}.png"
    with naming_a_full_disk(path):
        style.save(figure, path)
