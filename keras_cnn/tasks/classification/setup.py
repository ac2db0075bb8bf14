"""Prepares a classifier's run for its first step: data, model, augmentation and phases."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_cnn import data, models
from keras_cnn.config import Config, as_dict, without_effect
from keras_cnn.data import augment, pipeline
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.distribution.replicas import SINGLE, Replicas, open_replicas
from keras_cnn.errors import InputError, require
from keras_cnn.evaluation.split_evaluation import computed_in
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import counted
from keras_cnn.models import backbones, custom, freezing
from keras_cnn.models.weights import LoadedWeights, load_weights
from keras_cnn.training import precision
from keras_cnn.training.phases import Phase, StagePlan, freeze_plan, phases
from keras_cnn.visualization.probe import Probe

CHOOSES_BADLY = 300  # validation images below which one image is a third of a point, and val_loss chooses the epoch
UNSETTLED = 0.05  # a run is too short if a batch norm keeps more than this share of its initial statistics


@dataclass(frozen=True)
class TrainingSetup:
    """A classifier's run before its first step."""

    config: Config
    hardware: dict
    precision: str
    dataset: Dataset
    split: dict  # what split.json holds
    train: Split  # the training split, or one batch of it
    model: keras.Model
    loaded: LoadedWeights | None  # which starting weights a backbone has loaded
    phases: list[Phase]
    augmentation: augment.Augmentation
    shared: "SharedResources | None" = None  # in a sweep
    replicas: Replicas = SINGLE

    @cached_property
    def plan(self) -> list[StagePlan]:
        """The training plan of each stage."""
        return freeze_plan(self.model, self.phases, self.config.finetune.stage_decay)

    @property
    def freezes(self) -> bool:
        """Whether weights of the model stay frozen to the end."""
        return any(row.frozen_layers for row in self.plan)

    @property
    def monitor(self) -> str:
        """The column of the history that chooses the best epoch."""
        settings = self.config.train
        if settings.monitor != "auto":
            return settings.monitor
        few = len(self.dataset.validation) < CHOOSES_BADLY and not settings.memorise
        best = "val_map" if self.dataset.several_labels else "val_accuracy"
        return "val_loss" if few else best

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.train) / self.config.train.batch_size)

    @property
    def notes(self) -> list[str]:
        """Notes on the results: options without effect, and batch norms for which the run is too short."""
        own = self.dataset.findings["own_splits"]
        return [*without_effect(self.config, own), *_slow_statistics(self), *_unscaled(self)]

    @cached_property
    def file_crops(self) -> tuple[pipeline.RandomCrop | None, augment.Augmentation]:
        """The random crops that are cut from the training files, and the rest of the augmentation."""
        return pipeline.in_files(self.train, self.augmentation, self.config.seed)

    def batches(self, split: Split, batch_size: int | None = None, **options):
        """The pipeline over a split with the settings of this run; once and in order unless `options` say otherwise."""
        shape, fit = self.dataset.image_shape, self.config.data.fit
        return pipeline.batches(split, shape, batch_size or self.config.train.batch_size, fit=fit, **options)

    def cached(self, split: Split) -> Split:
        """The split with its images decoded once, if the config asks for a cache.

        Smaller JPEG files are for training alone: what is measured is measured on the images themselves.
        """
        if self.config.data.cache == "jpeg" and split is not self.train:
            return split
        if self.shared:
            return self.shared.decoded(split, self.dataset, self.config)
        return _decoded(split, self.dataset, self.config)


class SharedResources:
    """The dataset and split.json of one run, for the next run in this process that asks for the same images.

    Decoded images are kept as the config's cache says. One dataset is held at a time.
    """

    def __init__(self):
        self._settings: dict | None = None
        self._loaded: tuple[Dataset, dict] | None = None
        self._decoded: dict[int, tuple[Split, Split]] = {}  # (split, decoded split) by id(split)

    def dataset(self, config: Config) -> tuple[Dataset, dict]:
        """The dataset of a config, and its split.json."""
        settings = _image_settings(config)
        if self._loaded is None or settings != self._settings:
            self._settings = self._loaded = None  # released before the next one is read
            self._decoded = {}
            self.keep(load_dataset(config), config)
        assert self._loaded is not None
        return self._loaded

    def keep(self, dataset: Dataset, config: Config) -> None:
        """Keeps a dataset that was loaded with the settings of a config."""
        self._settings = _image_settings(config)
        self._loaded = (dataset, data.split_record(dataset))

    def decoded(self, split: Split, dataset: Dataset, config: Config) -> Split:
        """The split with its images decoded, which is done at the first call for it."""
        if id(split) not in self._decoded:
            self._decoded[id(split)] = (split, _decoded(split, dataset, config))
        return self._decoded[id(split)][1]


def _image_settings(config: Config) -> dict:
    """The fields of a config that decide the images and their splits."""
    return {k: v for k, v in as_dict(config.data).items() if k != "augment"} | {"seed": config.seed}


def prepare_setup(
    config: Config,
    chosen_precision: str | None,
    *,
    shared: SharedResources | None = None,
    run: Path | None = None,
    ranks: Ranks = ALONE,
) -> TrainingSetup:
    """Loads the data and builds the model; sets the seeds, the number format and the determinism of this process.

    `run` is the folder of the run, where a network of the user's own is read if it is there; `ranks` are the processes
    that train together.
    """
    replicas = open_replicas(config.devices, ranks)
    if config.train.xla:
        found = f"found true with {replicas.count} devices"
        require(replicas.count == 1, "train.xla", found, "one, because XLA cannot compile the sums over several")
    hardware = precision.hardware()
    number_format = chosen_precision or precision.choose_precision(config.precision, hardware)
    precision.apply(config.seed, number_format, config.deterministic)
    if shared:
        dataset, split = shared.dataset(config)
    else:
        dataset = load_dataset(config)
        split = data.split_record(dataset)
    with replicas.scope():
        model, loaded = _network(config, dataset, run)
    if config.model.name == custom.NAME:
        number_format = _own_precision(config, model)
    augmentation = BUILDERS["data.augment"][config.data.augment.name](**config.data.augment.options)
    train = dataset.train
    if config.train.overfit_batch:
        train, augmentation = data.first_batch(train, config.train.batch_size, config.seed), augment.RECIPES["none"]
        split = split | {"counts": split["counts"] | {"train": len(train)}}
        if split["ids"]:
            split = split | {"ids": split["ids"] | {"train": list(train.ids)}}
    if config.train.memorise:
        require(config.train.overfit_batch, "train.memorise", "found true", "train.overfit_batch true with it")
        dataset = replace(dataset, validation=train)
        _remove_dropout(model)
    _require_fixed_images(config, augmentation)
    _require_frequencies(config, train, dataset.classes)
    if augmentation.crops and train.files is not None:
        cuts = f"with the recipe {config.data.augment.name}, which cuts each crop from its file"
        cache, rows = config.data.cache, config.train.on_device
        require(cache in ("auto", "none", "jpeg"), "data.cache", f"found {cache}, {cuts}", "none or jpeg")
        require(rows in ("auto", "no"), "train.on_device", f"found {rows}, {cuts}", "no")
    finetune = config.finetune
    planned = phases(
        model,
        finetune.strategy,
        finetune.freeze_upto,
        epochs=config.train.epochs,
        head_epochs=finetune.head_epochs,
        unfreeze_epochs=finetune.unfreeze_epochs,
    )
    freezing.freeze(model, finetune.freeze_upto)
    return TrainingSetup(
        config=config,
        hardware=hardware,
        precision=number_format,
        dataset=dataset,
        split=split,
        train=train,
        model=model,
        loaded=loaded,
        phases=planned,
        augmentation=augmentation,
        shared=shared,
        replicas=replicas,
    )


def _require_fixed_images(config: Config, augmentation: augment.Augmentation) -> None:
    """Raises InputError if views of images are kept although augmentation mixes images anew in every epoch."""
    views = config.finetune.augment_views
    if views and augmentation.mixes:
        mixing = "mixup" if augmentation.mixup else "cutmix"
        raise InputError(
            f"finetune.augment_views: found {views} with data.augment.{mixing}, which mixes an image with another"
            f" one in every epoch; expected 0, or data.augment.{mixing} 0"
        )


def _require_frequencies(config: Config, train: Split, classes: tuple[str, ...]) -> None:
    """Raises InputError unless every class has images, and no class weights, where logits are adjusted by frequency."""
    strength, weights = config.train.logit_adjustment, config.train.class_weights
    if not strength or config.train.overfit_batch:
        return
    found = f"found {strength:g} with train.class_weights {weights}, which corrects for the same"
    require(weights == "none", "train.logit_adjustment", found, "one of them")
    if len(absent := np.setdiff1d(np.arange(len(classes)), train.labels)):
        found = f"found {strength:g}, but no training image of {classes[absent[0]]!r}"
        require(False, "train.logit_adjustment", found, "an image of each class, or 0")


def _own_precision(config: Config, model: keras.Model) -> str:
    """The number format in which a network of the user's own computes. InputError if the config wants another."""
    own = computed_in(model)
    if config.precision not in ("auto", own):
        raise InputError(
            f"precision: found {config.precision}, but {model.name} computes in {own}; expected auto, or a model built"
            f" after keras.config.set_dtype_policy({config.precision!r})"
        )
    return own


def _network(config: Config, dataset: Dataset, run: Path | None) -> tuple[keras.Model, LoadedWeights | None]:
    """The network with its starting weights, and which of them a backbone has loaded."""
    name, options = config.model.name, dict(config.model.options)
    shape, classes = dataset.image_shape, len(dataset.classes)
    if name == custom.NAME and run is not None and (run / custom.INITIAL).is_file():
        options["file"] = str(run / custom.INITIAL)
    if name not in backbones.names():
        return models.build(name, shape, classes, **options), None
    weights = options.pop("weights")
    model = models.build(backbones.layout(name, weights), shape, classes, **options, weights="none")
    return model, load_weights(model, weights)


def _remove_dropout(model: keras.Model) -> None:
    """Sets the rate of every dropout layer to 0."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D):
            layer.rate = 0.0


def _decoded(split: Split, dataset: Dataset, config: Config) -> Split:
    settings = config.data
    cache_dir = settings.cache_dir or default_cache_dir()
    return pipeline.cached(split, dataset.image_shape, fit=settings.fit, cache=settings.cache, cache_dir=cache_dir)


def _slow_statistics(setup: TrainingSetup) -> Iterator[str]:
    if setup.loaded and setup.loaded.loaded:
        return  # the loaded statistics are those of images
    norms = [layer for layer in setup.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    steps = setup.steps * setup.config.train.epochs
    slowest = max((layer.momentum for layer in norms if layer.trainable), default=0.0)
    if (left := slowest**steps) > UNSETTLED:
        yield (
            f"after {counted(steps, 'step')} the statistics of batch norms with momentum {slowest:g} still hold"
            f" {left:.0%} of what they start with: validation may stay at chance; train longer or start from weights"
        )


def _unscaled(setup: TrainingSetup) -> Iterator[str]:
    if setup.config.model.name == custom.NAME and not Probe(setup.model).scales_images:
        yield f"{setup.model.name} has no layer that rescales: it gets pixel values from 0 to 255"


def data_notes(findings: dict) -> Iterator[str]:
    """The findings about the data that matter for the results; pairs and names are in split.json."""
    yield from findings.get("notes", [])
    if skipped := findings.get("skipped"):
        yield f"{counted(len(skipped), 'unreadable image')} skipped (see split.json)"
    duplicates = findings.get("duplicates", {})
    if crossing := duplicates.get("sets_across_splits"):
        sets = counted(crossing, "set of identical images lies", "sets of identical images lie")
        yield f"{sets} across splits (see split.json)"
    if contradicting := duplicates.get("sets_with_different_labels"):
        sets = counted(contradicting, "set of identical images has", "sets of identical images have")
        yield f"{sets} different labels (see split.json)"
    near = findings.get("near_duplicates", {})
    if near.get("pairs"):
        pairs = counted(near["pairs"], "near-duplicate pair")
        yield f"{pairs}, {near['pairs_across_splits']} across splits (see split.json)"
