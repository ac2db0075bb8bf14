"""The task of a config: a classifier of images with one class each, or with several labels."""

from pathlib import Path

from keras_cnn.config import Config
from keras_cnn.config.batch_size import require_number
from keras_cnn.config.schema import AUTO
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.errors import require
from keras_cnn.tasks.classification.setup import SharedResources, TrainingSetup, prepare_setup
from keras_cnn.tasks.classification.task import ClassificationFold, ClassificationTask, ClassificationTrial
from keras_cnn.tasks.multilabel.options import require_fitting
from keras_cnn.tasks.multilabel.task import MultilabelTask, MultilabelTrial
from keras_cnn.training import batch_size


def prepare(
    config: Config,
    chosen_precision: str | None = None,
    *,
    shared: SharedResources | None = None,
    run: Path | None = None,
    ranks: Ranks = ALONE,
) -> ClassificationTask:
    """The task of a config: loads the data, builds the model, sets seeds and number format of this process.

    `shared` may hold the dataset; for `run` and `ranks` see `prepare_setup`.
    """
    if ranks.count > 1:
        require_number(config, "several processes train on one batch")
    tried, is_auto = SharedResources(), config.train.batch_size == AUTO
    config = batch_size.resolved(config, lambda other: prepare(other, chosen_precision, shared=tried, run=run))
    if is_auto:
        shared = shared or tried  # where the images may be decoded already
    setup = _fitting(prepare_setup(config, chosen_precision, shared=shared, run=run, ranks=ranks))
    return (MultilabelTask if setup.dataset.several_labels else ClassificationTask)(setup)


def trials_of(shared: SharedResources):
    """A `Prepare` for the trials of a sweep, which share the dataset."""

    def prepare_trial(config: Config, chosen_precision: str | None) -> ClassificationTask:
        setup = _fitting(prepare_setup(config, chosen_precision, shared=shared))
        return (MultilabelTrial if setup.dataset.several_labels else ClassificationTrial)(setup)

    return prepare_trial


def folds_of(shared: SharedResources):
    """A `Prepare` for the runs of a cross-validation, of images with one class each."""

    def prepare_fold(config: Config, chosen_precision: str | None) -> ClassificationTask:
        setup = _fitting(prepare_setup(config, chosen_precision, shared=shared))
        found = f"found images of {setup.dataset.source} that may have several labels"
        require(not setup.dataset.several_labels, "folds", found, "one class an image")
        return ClassificationFold(setup)

    return prepare_fold


def _fitting(setup: TrainingSetup) -> TrainingSetup:
    require_fitting(setup)
    return setup
