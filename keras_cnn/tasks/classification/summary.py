"""What a run logs before its first step: images, baseline, network, what is frozen, and advice from the numbers."""

from collections.abc import Callable, Iterator

import numpy as np

from keras_cnn.config import FinetuneConfig
from keras_cnn.messages import log_sentence, logger
from keras_cnn.run_folder import shell_command
from keras_cnn.tasks.classification.setup import CHOOSES_BADLY, TrainingSetup, data_notes
from keras_cnn.training.phases import plan_text
from keras_cnn.training.precision import log_hardware

FEW_IMAGES = 1000  # for a network trained from scratch


Lines = Callable[[TrainingSetup], Iterator[str]]


def class_lines(setup: TrainingSetup) -> Iterator[str]:
    """The training images a class, and the accuracy of guessing."""
    yield _classes(setup)
    yield _baseline(setup)


def class_advice(setup: TrainingSetup) -> Iterator[str]:
    """Advice from the numbers of images of each class."""
    counts, validation, settings = _counts(setup), len(setup.dataset.validation), setup.config.train
    is_corrected = settings.class_weights != "none" or settings.logit_adjustment
    if counts.min() and counts.max() / counts.min() > 3 and not is_corrected:
        yield "the classes are unequal: --train.class_weights balanced counts them alike"
    if validation < CHOOSES_BADLY:
        chosen = f"{setup.monitor} chooses the best epoch"
        why = f"val_accuracy of {validation:,} images chooses badly"
        yield f"{why}: {chosen}" if setup.monitor == "val_loss" else f"{why}; --train.monitor val_loss"


def log_summary(setup: TrainingSetup, labels: Lines = class_lines, advice: Lines = class_advice) -> None:
    """Logs a summary of the data, the findings of its audit, and the network.

    `labels` and `advice` have the lines about the labels of the images.
    """
    dataset = setup.dataset
    splits = {"train": setup.train, "validation": dataset.validation, "test": dataset.test}
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    size = "x".join(map(str, dataset.image_shape))
    logger.info(f"data      {counts}; {len(dataset.classes)} classes; {size}")
    for line in data_notes(dataset.findings):
        log_sentence("", line)
    for line in labels(setup):
        logger.info(line)
    trainable = sum(int(np.prod(v.shape)) for v in setup.model.trainable_variables)
    logger.info(f"model     {setup.config.model.name}: {trainable:,} trainable parameters")
    log_hardware(setup.config.precision, setup.precision, setup.hardware)
    if setup.loaded:
        weights = setup.config.model.options["weights"]
        logger.info(f"weights   {weights}: {'every layer as initialised' if weights == 'none' else setup.loaded}")
    if setup.loaded or setup.config.finetune != FinetuneConfig():
        for line in plan_text(setup.plan, setup.config.optim.learning_rate).splitlines():
            logger.info(f"          {line}")
    for line in setup.notes:
        log_sentence("note", line)
    for line in [*_advice(setup), *(() if setup.config.train.overfit_batch else advice(setup))]:
        logger.info(f"advice    {line}")


def majority_class(setup: TrainingSetup) -> int:
    """The class with the most training images, the first of equal ones."""
    return int(_counts(setup).argmax())


def _counts(setup: TrainingSetup) -> np.ndarray:
    return np.bincount(setup.train.labels, minlength=len(setup.dataset.classes))


def _classes(setup: TrainingSetup) -> str:
    counts, names = _counts(setup), setup.dataset.classes
    low, high = int(counts.min()), int(counts.max())
    if low == high:
        return f"          {setup.dataset.source}, {low:,} training images in each class"
    ends = f"{low:,} ({names[int(counts.argmin())]}) to {high:,} ({names[int(counts.argmax())]})"
    return f"          {setup.dataset.source}, {ends} training images a class"


def _baseline(setup: TrainingSetup) -> str:
    label = majority_class(setup)
    share = float(np.mean(setup.dataset.validation.labels == label))
    return f"baseline  {share:.4f} of the validation images, by always saying {setup.dataset.classes[label]!r}"


def _advice(setup: TrainingSetup) -> Iterator[str]:
    images, settings = len(setup.train), setup.config.train
    if settings.overfit_batch:
        return
    pretrained = setup.loaded is not None and bool(setup.loaded.loaded)
    if images < FEW_IMAGES and not pretrained and setup.train.files is not None:
        yield f"{images:,} photos are few for a network from scratch; a pretrained one learns"
        yield f"  from fewer: {shell_command('finetune', 'PHOTOS', '--backbone', 'mobilenetv2')}"
    if setup.steps == 1:
        yield f"one step an epoch: a smaller --batch-size than {settings.batch_size}, or more --epochs"
