"""A phase of a run, ready to go: the compiled step of what trains, the batches that feed it, and what validates it."""

import hashlib
import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import tensorflow as tf

from keras_cnn.data import augment
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.cache import bytes_fit
from keras_cnn.data.dataset import Split
from keras_cnn.evaluation.metrics import cross_entropy
from keras_cnn.evaluation.predict import Predictor, inference
from keras_cnn.messages import logger
from keras_cnn.models import arithmetic, freezing
from keras_cnn.training.features import Features, Frozen, Heed, Recipe, image_key
from keras_cnn.training.loop import Trainer
from keras_cnn.training.objectives import CrossEntropy
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.phases import Phase, rate_factors
from keras_cnn.training.setup import TrainingSetup, cached

JUDGED = 2**20  # numbers of the images of a batch in inference


def never() -> None:
    """Heeds nothing."""


class PhaseRunner:
    """One phase over the parts of a run; what it needs is made when it is first asked for.

    Where the network has a frozen part behind which everything random and everything that trains lies, that part is
    computed once for each image; else, as with augmentation, in each step, in inference mode and without a gradient.
    """

    def __init__(self, parts: TrainingSetup, phase: Phase, heed: Heed = never):
        self._parts, self._phase, self._heed = parts, phase, heed
        freezing.freeze(parts.model, phase.upto)
        self._boundary = freezing.boundary(parts.model)
        self._front, self._tail = None, parts.model
        if self._boundary is not None:
            self._front, self._tail = freezing.split(parts.model, self._boundary)
        self._frozen_weights = fingerprints(parts.model)
        self.validated: np.ndarray | None = None  # logits of the last validation, where they are those of the images
        self.known: dict[str, np.ndarray] = {}  # logits by split that need not be computed again

    # --- training ---

    @cached_property
    def trainer(self) -> Trainer:
        """The compiled step, with its own optimizer."""
        parts, settings, optim = self._parts, self._parts.config.train, self._parts.config.optim
        optimizer = build_optimizer(
            optim.optimizer,
            momentum=optim.momentum,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
            clip_norm=optim.clip_norm,
            loss_scaling=parts.precision == "mixed_float16",
        )
        factors = rate_factors(parts.model, parts.config.finetune.stage_decay)
        layers = [layer for layer in self._tail.layers if layer.variables]
        by_path = {v.path: factors[layer.name] for layer in layers for v in layer.variables}
        kept = self._train_features is not None
        weights = _balanced(parts) if settings.class_weights == "balanced" else None
        return Trainer(
            self._tail,
            optimizer,
            _as_they_are if kept else self._augmented,
            objective=CrossEntropy(len(parts.dataset.classes), settings.label_smoothing, weights),
            inputs=self._train_features.spec if kept else self._image_spec,
            before=None if kept or self._front is None else inference(self._front),
            rate_factors=by_path,
            ema=settings.ema,
        )

    def epochs_from(self, epoch: int, step: int, epochs: int | None = None) -> Iterable:
        """Training batches from a step of an epoch, both counted from 0, to the end of the phase, or of `epochs`."""
        how = {"seed": self._parts.config.seed, "start": (epoch, step), "epochs": epochs or self._phase.until}
        if self._train_features is not None:
            return self._train_features.batches(self._parts.config.train.batch_size, **how)
        return self._parts.batches(self._train_images, **how)

    def _augmented(self, images, labels, keys, epoch):
        views = self._parts.config.finetune.augment_views
        view = epoch % views if views else epoch
        return augment.augment(images, labels, keys, view, seed=self._parts.config.seed, recipe=self._parts.recipe)

    # --- judging ---

    def validate(self) -> tuple[float, float]:
        """Mean cross-entropy and accuracy on the validation split; nan where a logit is not finite."""
        kept, labels = self._validation_features, self._parts.dataset.validation.labels
        logits = self.logits("validation") if kept is None else self._predict(kept)
        self.validated = None if kept is not None and self._frozen.rounds else logits
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        return cross_entropy(labels, logits), float(np.mean(logits.argmax(axis=1) == labels))

    def logits(self, split: str) -> np.ndarray:
        """(N, classes) float32 of the network in inference mode, for the images of a split as they are."""
        if split in self.known:
            return self.known[split]
        parts = self._parts
        kept = {"validation": self._validation_features, "train": None if self._views else self._train_features}
        if (found := kept.get(split)) is not None and not self._frozen.rounds:
            return self._predict(found)
        if split == "test" or found is not None or (split == "train" and self._train_features is not None):
            images = {"train": parts.train, "validation": parts.dataset.validation, "test": parts.dataset.test}[split]
        else:
            images = self._train_images if split == "train" else self._validation_images
        return self._predictor.logits(parts.batches(images, self._judged_at_a_time))

    @property
    def _judged_at_a_time(self) -> int:
        """Images a batch: small ones by the hundred, which takes half the time that a training batch each would."""
        return max(self._parts.config.train.batch_size, JUDGED // math.prod(self._parts.dataset.image_shape))

    def _predict(self, features: Features) -> np.ndarray:
        return self._feature_predictor.logits(features.batches(self._parts.config.train.batch_size))

    @cached_property
    def _predictor(self) -> Predictor:
        before = None if self._front is None else inference(self._front)
        return Predictor(self._tail, self._image_spec, before)

    @cached_property
    def _feature_predictor(self) -> Predictor:
        return Predictor(self._tail, self._validation_features.spec)

    # --- images, and what the frozen part makes of them ---

    @property
    def _image_spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self._parts.model.inputs[0].shape, tf.uint8)

    @cached_property
    def _train_images(self) -> Split:
        return cached(self._parts.train, self._parts)

    @cached_property
    def _validation_images(self) -> Split:
        return cached(self._parts.dataset.validation, self._parts)

    @cached_property
    def _views(self) -> Recipe | None:
        """What is changed at random, and how many views of an image there are; None where nothing is changed."""
        parts = self._parts
        if parts.recipe == augment.RECIPES["none"]:
            return None
        return Recipe(parts.recipe, parts.config.seed, parts.config.finetune.augment_views)

    @cached_property
    def _frozen(self) -> Frozen:
        return Frozen(self._front, self._parts.config.finetune.features_dtype, self._parts.batches)

    @cached_property
    def _can_be_kept(self) -> dict[str, int]:
        """How many outputs of the frozen part, by split: none of training images that are others in every epoch."""
        counts = {"validation": len(self._parts.dataset.validation)}
        if self._views is None or self._views.views:
            counts["train"] = len(self._parts.train) * (self._views.views if self._views else 1)
        return counts

    @property
    def _bytes(self) -> int:
        return self._frozen.bytes(sum(self._can_be_kept.values()))

    @cached_property
    def place(self) -> str | None:
        """Where the frozen part's outputs are kept: memory, disk, or None, nowhere."""
        wanted = self._parts.config.finetune.features
        if self._front is None or wanted == "none":
            return None
        if wanted == "auto":
            return "memory" if bytes_fit(self._bytes) else None
        return wanted

    @cached_property
    def _train_features(self) -> Features | None:
        if self.place is None or "train" not in self._can_be_kept:
            return None
        return self._features(self._parts.train, self._views)

    @cached_property
    def _validation_features(self) -> Features | None:
        return None if self.place is None else self._features(self._parts.dataset.validation, None)

    def _features(self, split: Split, recipe: Recipe | None) -> Features:
        parts, config = self._parts, self._parts.config
        if self.place == "memory":
            return self._frozen.in_memory(split, recipe, self._heed)
        key = image_key(split, parts.dataset.image_shape, config.data.fit)
        folder = config.data.cache_dir or default_cache_dir()
        return self._frozen.on_disk(split, recipe, self._heed, folder, key)

    def log_summary(self) -> None:
        """Says what of the frozen part is kept, and how much that takes; nothing where nothing is frozen."""
        if self._front is None:
            return
        maps = "×".join(map(str, self._front.output_shape[1:]))
        part = f"features  the frozen part ends at {self._boundary} {maps}, {self._front.count_params():,} weights"
        if self.place is None:
            why = "finetune.features none"
            if self._parts.config.finetune.features == "auto":
                why = f"{_size(self._bytes)} do not fit in memory; finetune.features disk keeps them in data.cache_dir"
            logger.info(f"{part}; computed in every step ({why})")
            return
        where = "on disk" if self.place == "disk" else "in memory"
        size = f"{_size(self._bytes)} of {self._frozen.dtype} {where}"
        logger.info(f"{part}; computed once for {sum(self._can_be_kept.values()):,} images and kept: {size}")
        if "train" not in self._can_be_kept:
            logger.info(
                "          of training images, which change every epoch, it is computed in every step;"
                " finetune.augment_views keeps some views of each"
            )

    def multiply_adds(self, epochs: int) -> int:
        """Of so many epochs: of what trains forward and twice as many backward, of the frozen part each time or once.

        Validation is not counted.
        """
        each = {row.layer: row.multiply_adds or 0 for row in arithmetic.table(self._parts.model)}
        frozen = {operation.name for operation in self._front.operations} if self._front else set()
        images = epochs * len(self._parts.train)
        once = self.place is not None and "train" in self._can_be_kept
        passes = self._can_be_kept["train"] if once else images
        return sum(count * (passes if name in frozen else 3 * images) for name, count in each.items())

    # --- proof ---

    def verify_frozen(self) -> int:
        """Raises FrozenChanged unless all frozen weights and statistics are what they were; returns how many layers."""
        now = fingerprints(self._parts.model)
        changed = [name for name, digest in self._frozen_weights.items() if now.get(name) != digest]
        if changed:
            raise FrozenChanged(f"{len(changed)} frozen layers have changed in training, the first {changed[0]}")
        return len(now)


class FrozenChanged(RuntimeError):
    """A weight that was to stay as it was has not: a bug of ours."""


def fingerprints(model) -> dict[str, str]:
    """SHA-256 of the weights and statistics of each frozen layer that has any, by its name."""
    return {layer.name: _digest(layer) for layer in model.layers if layer.weights and not layer.trainable}


def _digest(layer) -> str:
    digest = hashlib.sha256()
    for variable in layer.weights:
        digest.update(np.ascontiguousarray(variable))
    return digest.hexdigest()


def _as_they_are(features, labels, keys, epoch):
    return features, labels


def _balanced(parts: TrainingSetup) -> np.ndarray:
    """N / (classes * images of the class): every class weighs the same in sum."""
    counts = np.bincount(parts.train.labels, minlength=len(parts.dataset.classes))
    return (len(parts.train) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
