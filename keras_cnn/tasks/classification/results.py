"""The results of a classifier's finished run: model, final numbers, predictions and figures."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_cnn.charts import png
from keras_cnn.charts.training import run_history
from keras_cnn.data import pipeline
from keras_cnn.data.label_sets import named
from keras_cnn.data.preview import preview
from keras_cnn.evaluation import metrics
from keras_cnn.evaluation.gallery import confusion_figure
from keras_cnn.evaluation.predictions import write_predictions
from keras_cnn.figures import sheets
from keras_cnn.models.class_names import save_with_classes
from keras_cnn.run_folder import RunFolder, record_test_reading, replacing, write_json
from keras_cnn.tasks.classification.phase_runner import PhaseRunner
from keras_cnn.tasks.classification.setup import TrainingSetup
from keras_cnn.tracking import Tracker
from keras_cnn.training.interrupt import signals_held_back
from keras_cnn.training.run_figures import save_figure

PREVIEW_ROWS, PREVIEW_VIEWS, MISTAKES = 6, 6, 30


def save_model(model: keras.Model, folder: RunFolder, classes: Sequence[str], several_labels: bool = False) -> None:
    """Writes model.keras; `several_labels` is recorded in it, see `class_names`."""
    with signals_held_back(), replacing(folder / "model.keras") as temporary:
        save_with_classes(model, temporary, classes, several_labels=several_labels)


def finish(
    setup: TrainingSetup,
    folder: RunFolder,
    tracker: Tracker,
    phase_run: PhaseRunner,
    best_epoch: int,
    *,
    figures: bool = True,
) -> dict:
    """Evaluates the model on all three splits, the test split once, and writes numbers, predictions and figures."""
    dataset, classes = setup.dataset, setup.dataset.classes
    splits = {"train": setup.train, "validation": dataset.validation, "test": dataset.test}
    record_test_reading(folder)
    logits = {name: phase_run.logits(name) for name in splits}
    summaries = {name: metrics.summary(split.labels, logits[name], classes) for name, split in splits.items()}
    run_metrics = {"split": "test", "best_epoch": best_epoch, "chosen_by": setup.monitor}
    run_metrics |= {"computed_in": setup.precision} | summaries.pop("test") | summaries
    test, probabilities = dataset.test, metrics.softmax(logits["test"])
    write_predictions(folder / "predictions.csv", test.ids, test.paths, test.labels, probabilities, classes=classes)
    if figures:
        draw_figures(setup, folder, run_metrics, probabilities)
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    predicted = {name: (splits[name].labels, logits[name].argmax(axis=1)) for name in ("validation", "test")}
    tracker.finish(run_metrics, sorted(folder.figures.glob("*.png")), predicted, classes)
    return run_metrics


def finish_trial(
    setup: TrainingSetup, folder: RunFolder, tracker: Tracker, phase_run: PhaseRunner, best_epoch: int
) -> dict:
    """Evaluates a sweep's trial on the validation split. The test split is kept for the chosen trial."""
    split, classes = setup.dataset.validation, setup.dataset.classes
    logits = phase_run.logits("validation")
    summary = metrics.summary(split.labels, logits, classes)
    run_metrics = {"best_epoch": best_epoch, "chosen_by": setup.monitor, "computed_in": setup.precision}
    run_metrics |= {"validation": summary}
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    predicted = {"validation": (split.labels, logits.argmax(axis=1))}
    tracker.finish(summary | {"split": "validation"}, [], predicted, classes)
    return run_metrics


def finish_batch(
    setup: TrainingSetup, folder: RunFolder, tracker: Tracker, phase_run: PhaseRunner, best_epoch: int
) -> dict:
    """Evaluates a run that was to memorise one batch, on that batch. No other image is read."""
    logits = phase_run.logits("train")
    summary = metrics.summary(setup.train.labels, logits, setup.dataset.classes)
    run_metrics = {"split": "train", "best_epoch": best_epoch, "chosen_by": setup.monitor}
    run_metrics |= {"computed_in": setup.precision} | summary
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    predicted = {"train": (setup.train.labels, logits.argmax(axis=1))}
    tracker.finish(run_metrics, [], predicted, setup.dataset.classes)
    return run_metrics


def draw_figures(setup: TrainingSetup, folder: RunFolder, run_metrics: dict, probabilities: np.ndarray) -> None:
    """Draws learning curves, confusion matrices and the worst mistakes.

    `probabilities` (N, classes) are those of the test split.
    """
    classes, name = setup.dataset.classes, folder.path.name
    history = folder.history()
    onset = metrics.overfitting_onset(*([row[name] for row in history] for name in ("loss", "val_loss")))
    above, below = run_history(history, run_metrics["best_epoch"], onset)
    save_figure(png.figure(above, f"{name}: {setup.config.model.name}", below=below), folder, "curves")
    for split in ("validation", "train"):
        title = f"{name}: confusion on the {split} split"
        save_figure(confusion_figure(run_metrics[split]["confusion"], classes, title), folder, f"confusion_{split}")
    test = setup.dataset.test
    worst = metrics.worst_mistakes(test.labels, probabilities, MISTAKES)
    worst = worst[np.argsort(-probabilities[worst].max(axis=1), kind="stable")]  # by what stands below the images
    predicted = probabilities[worst].argmax(axis=1)
    captions = [
        sheets.mistake_caption(test.short_name(i), classes[test.labels[i]], classes[p], float(probabilities[i, p]))
        for i, p in zip(worst, predicted, strict=True)
    ]
    title = f"{name}: the {len(worst)} worst mistakes of {len(test):,} test images, the surest first"
    images = pipeline.decoded(test.take(worst), setup.dataset.image_shape, setup.config.data.fit)
    save_figure(sheets.image_sheet(images, captions, 5, title), folder, "mistakes")


def draw_augmentation(setup: TrainingSetup, folder: RunFolder) -> None:
    """Draws a few training images, original and augmented."""
    rows, config = min(PREVIEW_ROWS, len(setup.train)), setup.config
    sample = setup.train.take(np.linspace(0, len(setup.train) - 1, rows).astype(int))
    settings = {"views": PREVIEW_VIEWS, "batch_size": config.train.batch_size, "fit": config.data.fit}
    views = preview(sample, setup.dataset.image_shape, setup.augmentation, config.seed, **settings)
    captions = [named(label, setup.dataset.classes) for label in sample.labels]
    title = f"{folder.path.name}: augmentation '{config.data.augment.name}', the original first"
    save_figure(sheets.augmentation_sheet(views, captions, title), folder, "augmentation")
