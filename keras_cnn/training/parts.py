"""What a run is made of before its first step: data, model, recipe, and the compiled step that joins them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_cnn import data, models
from keras_cnn.config import Config, as_dict, without_effect
from keras_cnn.data import augment, pipeline
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.training import precision
from keras_cnn.training.fit import Trainer
from keras_cnn.training.optimizers import Schedule, build_optimizer, build_schedule

Say = Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """What a run is made of, before its first step."""

    config: Config
    hardware: dict
    precision: str
    dataset: Dataset
    split: dict  # what goes into split.json
    train: Split  # the training split, or one batch of it
    model: keras.Model
    recipe: augment.Augmentation

    @property
    def steps(self) -> int:
        return math.ceil(len(self.train) / self.config.train.batch_size)

    @property
    def without_effect(self) -> list[str]:
        """A line for each option that was given and changes nothing in this run."""
        return without_effect(self.config, self.dataset.findings["own_splits"])

    def batches(self, split: Split, **how):
        """The pipeline over a split with the settings of this run; in order, once, unless `how` says otherwise."""
        shape, fit = self.dataset.image_shape, self.config.data.fit
        return pipeline.batches(split, shape, self.config.train.batch_size, fit=fit, **how)

    def epochs_from(self, epoch: int, step: int):
        """Training batches from a step of an epoch, both counted from 0, to the end of the run."""
        seed, epochs = self.config.seed, self.config.train.epochs
        return self.batches(self.train, seed=seed, start=(epoch, step), epochs=epochs)


class Shared:
    """The dataset of one run, and its split.json, for the next one in this process that asks for the same images.

    Its decoded images are kept as the config's cache says. One dataset is held at a time.
    """

    def __init__(self):
        self._settings, self._found = None, None

    def dataset(self, config: Config) -> tuple[Dataset, dict]:
        wanted = {k: v for k, v in as_dict(config.data).items() if k != "augment"} | {"seed": config.seed}
        if wanted != self._settings:
            self._settings = self._found = None  # let go of before the next one is read
            dataset = load_dataset(config)
            train, validation = _cached(dataset.train, dataset, config), _cached(dataset.validation, dataset, config)
            cached = replace(dataset, train=train, validation=validation)
            self._settings, self._found = wanted, (cached, data.split_record(dataset))
        return self._found


def prepare(config: Config, chosen_precision: str | None = None, shared: Shared | None = None) -> Parts:
    """Loads the data and builds the model; sets the seeds, the number format and determinism of this process."""
    found = precision.hardware()
    chosen = chosen_precision or precision.choose_precision(config.precision, found)
    precision.apply(config.seed, chosen, config.deterministic)
    if shared:
        dataset, split = shared.dataset(config)
    else:
        dataset = load_dataset(config)
        split = data.split_record(dataset)
    model = models.build(config.model.name, dataset.image_shape, len(dataset.classes), **config.model.options)
    recipe = BUILDERS["data.augment"][config.data.augment.name](**config.data.augment.options)
    train = dataset.train
    if config.train.overfit_batch:
        train, recipe = data.first_batch(train, config.train.batch_size, config.seed), augment.RECIPES["none"]
    return Parts(config, found, chosen, dataset, split, train, model, recipe)


def decoded(parts: Parts) -> Parts:
    """The same with the images that every epoch reads decoded once, where the config asks for a cache."""
    dataset, config = parts.dataset, parts.config
    validation = _cached(dataset.validation, dataset, config)
    return replace(parts, train=_cached(parts.train, dataset, config), dataset=replace(dataset, validation=validation))


def _cached(split: Split, dataset: Dataset, config: Config) -> Split:
    wanted = config.data
    where = {"fit": wanted.fit, "cache": wanted.cache, "cache_dir": wanted.cache_dir or default_cache_dir()}
    return pipeline.cached(split, dataset.image_shape, **where)


def build_trainer(parts: Parts) -> Trainer:
    """The compiled step for these parts."""
    settings, optim = parts.config.train, parts.config.optim
    optimizer = build_optimizer(
        optim.optimizer,
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
        loss_scaling=parts.precision == "mixed_float16",
    )

    def augmented(images, labels, keys, epoch):
        return augment.augment(images, labels, keys, epoch, parts.config.seed, parts.recipe)

    return Trainer(
        parts.model,
        optimizer,
        augmented,
        label_smoothing=settings.label_smoothing,
        class_weights=_balanced(parts.train, parts.dataset) if settings.class_weights == "balanced" else None,
        ema=settings.ema,
    )


def _balanced(split: Split, dataset: Dataset) -> np.ndarray:
    """N / (classes * images of the class): every class weighs the same in sum."""
    counts = np.bincount(split.labels, minlength=len(dataset.classes))
    return (len(split) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


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


def introduce(parts: Parts, say: Say) -> None:
    """Says what is trained on what, and what was found out about the images."""
    dataset = parts.dataset
    splits = {"train": parts.train, "validation": dataset.validation, "test": dataset.test}
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    size = "x".join(map(str, dataset.image_shape))
    say(f"data      {dataset.source}: {counts}; {len(dataset.classes)} classes; {size}")
    for line in _found(dataset.findings):
        say(f"          {line}")
    trainable = sum(int(np.prod(v.shape)) for v in parts.model.trainable_variables)
    say(f"model     {parts.config.model.name}: {trainable:,} trainable parameters; computed in {parts.precision}")
    for line in parts.without_effect:
        say(f"note      {line}")


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
