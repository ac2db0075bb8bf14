"""What a run with several labels an image logs about its labels before its first step."""

from collections.abc import Iterator

import numpy as np

from keras_cnn.data.label_sets import class_counts
from keras_cnn.tasks.classification.setup import CHOOSES_BADLY, TrainingSetup

FEW = 10  # validation images of a class below which its threshold is called uncertain


def label_lines(setup: TrainingSetup) -> Iterator[str]:
    """The training images a class, the labels an image, and the mAP of guessing."""
    names, train, validation = setup.dataset.classes, setup.train.labels, setup.dataset.validation.labels
    counts = class_counts(train, len(names))
    ends = " to ".join(f"{counts[i]:,} ({names[i]})" for i in (int(counts.argmin()), int(counts.argmax())))
    yield f"          {setup.dataset.source}, {ends} training images a class"
    of_each = train.sum(axis=1)
    without = int(np.sum(of_each == 0))
    more = f"; {without:,} have none" if without else ""
    yield f"labels    {of_each.mean():.2f} an image, at most {of_each.max()}{more}"
    yield f"baseline  mAP {validation.mean(axis=0).mean():.4f} on the validation images, by guessing"


def label_advice(setup: TrainingSetup) -> Iterator[str]:
    """Advice from the numbers of images."""
    names, validation = setup.dataset.classes, setup.dataset.validation.labels
    counts, shares = class_counts(validation, len(names)), setup.train.labels.mean(axis=0)
    if setup.config.train.class_weights == "none" and np.any((shares < 0.05) & (shares > 0)):
        rare = int(np.sum(shares < 0.05))
        yield f"{rare} of {len(names)} classes are in fewer than 5 % of the images:"
        yield "  --train.class_weights balanced counts the images with and without a class alike"
    if few := int(np.sum(counts < FEW)):
        yield f"{few} of {len(names)} classes have fewer than {FEW} validation images: their thresholds are uncertain"
    if len(setup.dataset.validation) < CHOOSES_BADLY:
        yield f"val_map of {len(setup.dataset.validation):,} images chooses badly: {setup.monitor} chooses the epoch"
