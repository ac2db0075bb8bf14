"""What a run is made of before its first step: data, model, recipe, and the phases in which the model trains."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np

from keras_cnn import data, models
from keras_cnn.config import Config, FinetuneConfig, as_dict, without_effect
from keras_cnn.data import augment, pipeline
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import logger
from keras_cnn.models import backbones, freezing
from keras_cnn.models.weights import LoadedWeights, load_weights
from keras_cnn.training import precision
from keras_cnn.training.optimizers import Schedule, build_schedule
from keras_cnn.training.phases import Phase, StagePlan, freeze_plan, phases, plan_text


@dataclass(frozen=True)
class TrainingSetup:
    """What a run is made of, before its first step."""

    config: Config
    hardware: dict
    precision: str
    dataset: Dataset
    split: dict  # what goes into split.json
    train: Split  # the training split, or one batch of it
    model: keras.Model
    loaded: LoadedWeights | None  # what became of the weights that a backbone was to start with
    phases: list[Phase]
    recipe: augment.Augmentation
    shared: "SharedResources | None" = None  # in a sweep

    @cached_property
    def plan(self) -> list[StagePlan]:
        """What becomes of each stage of the model."""
        return freeze_plan(self.model, self.phases, self.config.finetune.stage_decay)

    @property
    def freezes(self) -> bool:
        """Whether weights of the model stay as they are to the end."""
        return any(row.frozen_layers for row in self.plan)

    @property
    def steps(self) -> int:
        return math.ceil(len(self.train) / self.config.train.batch_size)

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers should know, a line each: options that change nothing in this run, and batch
        norms that it is too short for."""
        return [*without_effect(self.config, self.dataset.findings["own_splits"]), *_slow_statistics(self)]

    def batches(self, split: Split, batch_size: int | None = None, **how):
        """The pipeline over a split with the settings of this run; in order, once, unless `how` says otherwise."""
        shape, fit = self.dataset.image_shape, self.config.data.fit
        return pipeline.batches(split, shape, batch_size or self.config.train.batch_size, fit=fit, **how)


class SharedResources:
    """The dataset of one run, and its split.json, for the next one in this process that asks for the same images.

    Its decoded images are kept as the config's cache says. One dataset is held at a time.
    """

    def __init__(self):
        self._settings, self._found = None, None
        self._decoded: dict[int, tuple[Split, Split]] = {}  # by the first one's id

    def dataset(self, config: Config) -> tuple[Dataset, dict]:
        wanted = {k: v for k, v in as_dict(config.data).items() if k != "augment"} | {"seed": config.seed}
        if wanted != self._settings:
            self._settings = self._found = None  # let go of before the next one is read
            self._decoded = {}
            dataset = load_dataset(config)
            self._settings, self._found = wanted, (dataset, data.split_record(dataset))
        return self._found

    def decoded(self, split: Split, dataset: Dataset, config: Config) -> Split:
        """The split with its images decoded, the first time that they are asked for."""
        if id(split) not in self._decoded:
            self._decoded[id(split)] = (split, _decoded(split, dataset, config))
        return self._decoded[id(split)][1]


def prepare(
    config: Config, chosen_precision: str | None = None, shared: SharedResources | None = None
) -> TrainingSetup:
    """Loads the data and builds the model; sets the seeds, the number format and determinism of this process."""
    found = precision.hardware()
    chosen = chosen_precision or precision.choose_precision(config.precision, found)
    precision.apply(config.seed, chosen, config.deterministic)
    if shared:
        dataset, split = shared.dataset(config)
    else:
        dataset = load_dataset(config)
        split = data.split_record(dataset)
    model, loaded = _network(config, dataset)
    recipe = BUILDERS["data.augment"][config.data.augment.name](**config.data.augment.options)
    train = dataset.train
    if config.train.overfit_batch:
        train, recipe = data.first_batch(train, config.train.batch_size, config.seed), augment.RECIPES["none"]
    wanted = config.finetune
    if wanted.augment_views and recipe.mixes:
        mixing = "mixup" if recipe.mixup else "cutmix"
        raise InputError(
            f"finetune.augment_views: found {wanted.augment_views} with data.augment.{mixing}, which mixes images that"
            f" are others in every epoch; expected 0, or data.augment.{mixing} 0"
        )
    steps = phases(
        model,
        wanted.strategy,
        wanted.freeze_upto,
        config.train.epochs,
        wanted.head_epochs,
        wanted.unfreeze_epochs,
    )
    freezing.freeze(model, wanted.freeze_upto)
    return TrainingSetup(config, found, chosen, dataset, split, train, model, loaded, steps, recipe, shared)


def _network(config: Config, dataset: Dataset) -> tuple[keras.Model, LoadedWeights | None]:
    """The network with the weights that it starts from, and what of them was loaded, if it is a backbone."""
    name, options = config.model.name, dict(config.model.options)
    backbone = name in backbones.names()
    if backbone:
        weights, options["weights"] = options["weights"], "none"
        name = backbones.layout(name, weights)
    model = models.build(name, dataset.image_shape, len(dataset.classes), **options)
    return model, load_weights(model, weights) if backbone else None


def cached(split: Split, parts: TrainingSetup) -> Split:
    """The split with its images decoded once, where the config asks for a cache."""
    return (parts.shared.decoded if parts.shared else _decoded)(split, parts.dataset, parts.config)


def _decoded(split: Split, dataset: Dataset, config: Config) -> Split:
    wanted = config.data
    where = {"fit": wanted.fit, "cache": wanted.cache, "cache_dir": wanted.cache_dir or default_cache_dir()}
    return pipeline.cached(split, dataset.image_shape, **where)


UNSETTLED = 0.05  # share of a batch norm's first statistics from which on a run is too short for it


def _slow_statistics(parts: TrainingSetup) -> Iterator[str]:
    if parts.loaded and parts.loaded.loaded:
        return  # they start from statistics of images
    norms = [layer for layer in parts.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    steps = parts.steps * parts.config.train.epochs
    slowest = max((layer.momentum for layer in norms if layer.trainable), default=0.0)
    if (left := slowest**steps) > UNSETTLED:
        yield (
            f"after {steps} steps the statistics of batch norms with momentum {slowest:g} still hold {left:.0%} of what"
            " they start with: validation may stay at chance; train longer or start from weights"
        )


def schedule_of(config: Config, steps: int) -> Schedule:
    """The learning rate over this run, whose epochs have so many steps."""
    optim = config.optim
    return build_schedule(
        optim.schedule,
        optim.learning_rate,
        config.train.epochs,
        steps,
        warmup_epochs=optim.warmup_epochs,
        step_epochs=optim.step_epochs,
        gamma=optim.gamma,
    )


def log_summary(parts: TrainingSetup) -> None:
    """Says what is trained on what, and what was found out about the images."""
    dataset = parts.dataset
    splits = {"train": parts.train, "validation": dataset.validation, "test": dataset.test}
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    size = "x".join(map(str, dataset.image_shape))
    logger.info(f"data      {dataset.source}: {counts}; {len(dataset.classes)} classes; {size}")
    for line in _found(dataset.findings):
        logger.info(f"          {line}")
    trainable = sum(int(np.prod(v.shape)) for v in parts.model.trainable_variables)
    logger.info(
        f"model     {parts.config.model.name}: {trainable:,} trainable parameters; computed in {parts.precision}"
    )
    if parts.loaded:
        weights = parts.config.model.options["weights"]
        logger.info(f"weights   {weights}: {'every layer as initialised' if weights == 'none' else parts.loaded}")
    if parts.loaded or parts.config.finetune != FinetuneConfig():
        for line in plan_text(parts.plan, parts.config.optim.learning_rate).splitlines():
            logger.info(f"          {line}")
    for line in parts.notes:
        logger.info(f"note      {line}")


def _found(findings: dict) -> Iterator[str]:
    """What a reader of the numbers must know about the data; the pairs and names are in split.json."""
    yield from findings.get("notes", [])
    if skipped := findings.get("skipped"):
        yield f"{len(skipped)} unreadable images skipped (see split.json)"
    if crossing := findings.get("duplicates", {}).get("sets_across_splits"):
        yield f"{crossing} sets of identical images lie across splits (see split.json)"
    near = findings.get("near_duplicates", {})
    if near.get("pairs"):
        yield f"{near['pairs']} near-duplicate pairs, {near['pairs_across_splits']} across splits (see split.json)"
