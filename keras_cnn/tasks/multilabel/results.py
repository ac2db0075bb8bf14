"""The results of a finished run whose images may have several labels: final numbers, predictions and figures."""

import numpy as np

from keras_cnn.charts import png
from keras_cnn.charts.training import multilabel_history
from keras_cnn.evaluation.multilabel import gallery, metrics
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.evaluation.multilabel.predictions import write_predictions
from keras_cnn.evaluation.multilabel.thresholds import choose_thresholds
from keras_cnn.evaluation.test_time_augmentation import ONE
from keras_cnn.run_folder import RunFolder, record_test_reading, write_json
from keras_cnn.tasks.classification.phase_runner import PhaseRunner
from keras_cnn.tasks.classification.setup import TrainingSetup
from keras_cnn.tracking import Tracker
from keras_cnn.training.run_figures import save_figure

OF_CLASSES = ("average_precision", "precision", "recall", "f1", "threshold", "support")  # in W&B's table


def finish(setup: TrainingSetup, folder: RunFolder, tracker: Tracker, phase_run: PhaseRunner, best_epoch: int) -> dict:
    """Chooses the thresholds on validation, evaluates all splits, the test split once, and writes what follows."""
    dataset = setup.dataset
    splits = {"train": setup.train, "validation": dataset.validation, "test": dataset.test}
    record_test_reading(folder)
    logits = {name: phase_run.logits(name) for name in splits}
    thresholds = choose_thresholds(dataset.validation.labels, metrics.sigmoid(logits["validation"]))
    summaries = {
        name: metrics.summary(split.labels, logits[name], thresholds, dataset.classes) for name, split in splits.items()
    }
    run_metrics = {"split": "test"} | _heading(setup, best_epoch) | summaries.pop("test") | summaries
    evaluation = MultilabelEvaluation(
        dataset, "test", setup.config.data.fit, ONE, setup.precision, logits["test"], thresholds, "validation"
    )
    write_predictions(folder / "predictions.csv", evaluation.predictions)
    draw_figures(setup, folder, evaluation, best_epoch)
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    tracker.finish(run_metrics, sorted(folder.figures.glob("*.png")), {}, dataset.classes, OF_CLASSES)
    return run_metrics


def finish_trial(
    setup: TrainingSetup, folder: RunFolder, tracker: Tracker, phase_run: PhaseRunner, best_epoch: int
) -> dict:
    """Evaluates a sweep's trial on the validation split. The test split is kept for the chosen trial."""
    split, classes = setup.dataset.validation, setup.dataset.classes
    logits = phase_run.logits("validation")
    thresholds = choose_thresholds(split.labels, metrics.sigmoid(logits))
    summary = metrics.summary(split.labels, logits, thresholds, classes)
    run_metrics = {"task": metrics.TASK} | _heading(setup, best_epoch) | {"validation": summary}
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    tracker.finish(summary | {"split": "validation"}, [], {}, classes, OF_CLASSES)
    return run_metrics


def finish_batch(
    setup: TrainingSetup, folder: RunFolder, tracker: Tracker, phase_run: PhaseRunner, best_epoch: int
) -> dict:
    """Evaluates a run that was to memorise one batch, on that batch, at thresholds of 0.5. No other image is read."""
    classes, logits = setup.dataset.classes, phase_run.logits("train")
    summary = metrics.summary(setup.train.labels, logits, np.full(len(classes), 0.5), classes)
    run_metrics = {"split": "train"} | _heading(setup, best_epoch) | summary
    write_json(folder / "metrics.json", run_metrics)  # its presence says that the run is complete
    tracker.finish(run_metrics, [], {}, classes, OF_CLASSES)
    return run_metrics


def _heading(setup: TrainingSetup, best_epoch: int) -> dict:
    return {"best_epoch": best_epoch, "chosen_by": setup.monitor, "computed_in": setup.precision}


def draw_figures(setup: TrainingSetup, folder: RunFolder, evaluation: MultilabelEvaluation, best_epoch: int) -> None:
    """Draws learning curves, the scores of the classes, which classes occur together, and the highest losses."""
    name = folder.path.name
    plots = multilabel_history(folder.history(), best_epoch)
    title = f"{name}: {setup.config.model.name}, best epoch {best_epoch}"
    save_figure(png.figure(list(plots.values()), title), folder, "curves")
    title = f"{name}, test split"
    save_figure(gallery.class_figure(evaluation, title), folder, "classes")
    save_figure(gallery.cooccurrence_figure(evaluation, title), folder, "cooccurrence")
    save_figure(gallery.top_losses(evaluation, title), folder, "top_losses")
