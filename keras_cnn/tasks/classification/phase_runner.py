"""A phase of a classifier's run: the compiled step of what trains, the batches that feed it, and its validation."""

import hashlib
import math
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.data import augment
from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.cache import bytes_fit
from keras_cnn.data.dataset import Split
from keras_cnn.data.pipeline import Batch, decoded, row_batches
from keras_cnn.distribution.device_rows import DeviceRows, fits_on_gpu, size_on_device
from keras_cnn.distribution.shares import Share
from keras_cnn.evaluation.metrics import cross_entropy
from keras_cnn.evaluation.predict import Predictor, inference
from keras_cnn.messages import logger
from keras_cnn.models import arithmetic, freezing
from keras_cnn.tasks.classification.features import AugmentedViews, FrozenFeatures, FrozenPart, image_key
from keras_cnn.tasks.classification.objective import objective_of
from keras_cnn.tasks.classification.setup import TrainingSetup
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.phases import Phase, rate_factors
from keras_cnn.training.step import Objective, Trainer
from keras_cnn.training.task import CheckInterrupt, no_interrupt

VALUES_PER_BATCH = 2**20  # pixel values of an inference batch


class FrozenChanged(RuntimeError):
    """A frozen weight has changed: a bug of keras_cnn."""


class PhaseRunner:
    """One phase of a classifier's run; its parts are made when they are first used.

    A network may have a frozen part that comes before everything random and everything that trains. Its outputs are
    computed once for each image or, if they cannot be kept (for example with augmentation), in each step, in inference
    mode and without a gradient.
    """

    measure = "accuracy"  # what is 1 if every image is right

    def __init__(self, setup: TrainingSetup, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt):
        self._setup, self._phase, self._check_interrupt = setup, phase, check_interrupt
        freezing.freeze(setup.model, phase.upto)
        self._boundary = freezing.boundary(setup.model)  # the frozen part's last layer
        self._frozen_model: keras.Model | None = None
        self._trainable_part = setup.model
        if self._boundary is not None:
            self._frozen_model, self._trainable_part = freezing.split(setup.model, self._boundary)
        self._fingerprints = fingerprints(setup.model)
        self.validated: np.ndarray | None = None  # logits of the last validation, unless from rounded features
        self.known_logits: dict[str, np.ndarray] = {}  # by split; not computed again

    # --- training ---

    @cached_property
    def trainer(self) -> Trainer:
        """The compiled step, with its own optimizer."""
        setup, settings = self._setup, self._setup.config.train
        with setup.replicas.scope():
            optimizer = build_optimizer(setup.config.optim, loss_scaling=setup.precision == "mixed_float16")
        factors = rate_factors(setup.model, setup.config.finetune.stage_decay)
        layers = [layer for layer in self._trainable_part.layers if layer.variables]
        by_path = {v.path: factors[layer.name] for layer in layers for v in layer.variables}
        features = self._train_features
        in_step = features is None and self._frozen_model is not None
        augment, inputs = (self._augmented, self._image_spec) if features is None else (_unchanged, features.spec)
        if self._rows is not None:
            augment, inputs = self._gathered(self._rows), tf.TensorSpec((None,), tf.int64)
        return Trainer(
            self._trainable_part,
            optimizer,
            augment,
            objective=self.objective,
            inputs=inputs,
            frozen_part=inference(self._frozen_model) if in_step else None,
            rate_factors=by_path,
            ema=settings.ema,
            replicas=setup.replicas,
            share=self._share,
            xla=settings.xla,
        )

    @property
    def objective(self) -> Objective:
        """The loss with what it measures."""
        setup = self._setup
        return objective_of(setup.config.train, setup.train.labels, len(setup.dataset.classes))

    @property
    def _share(self) -> Share:
        """The rows of each batch on which this process trains."""
        mixes = self._setup.augmentation.mixes and self._train_features is None
        return self._setup.replicas.with_overlap(mixes)

    def batches(self, epoch: int, step: int, epochs: int | None = None) -> Iterable[Batch]:
        """Training batches from a step of an epoch, both counted from 0, to the end of the phase or of `epochs`."""
        options: dict[str, Any] = {"seed": self._setup.config.seed, "share": self._share}
        options |= {"start": (epoch, step), "epochs": epochs or self._phase.until}
        size = self._setup.config.train.batch_size
        if self._rows is not None:
            return row_batches(self._setup.train, size, **options)
        if self._train_features is not None:
            return self._train_features.batches(size, **options)
        return self._setup.batches(self._train_images, crop=self._setup.file_crops[0], **options)

    def _augmented(self, images, labels, keys, epoch):
        views = self._setup.config.finetune.augment_views
        view = epoch % views if views else epoch
        return augment.augment(
            images, labels, keys, view, seed=self._setup.config.seed, recipe=self._setup.file_crops[1]
        )

    def multiply_adds(self, epochs: int) -> int:
        """Multiply-adds of training for `epochs` epochs, validation left out.

        The trained part costs a forward pass and twice that for the backward pass; the frozen part is computed in every
        step or once.
        """
        by_layer = {row.layer: row.multiply_adds or 0 for row in arithmetic.table(self._setup.model)}
        frozen = {operation.name for operation in self._frozen_model.operations} if self._frozen_model else set()
        images = epochs * len(self._setup.train)
        once = self.features_place is not None and "train" in self._outputs_to_keep
        passes = self._outputs_to_keep["train"] if once else images
        return sum(count * (passes if name in frozen else 3 * images) for name, count in by_layer.items())

    # --- validation and predictions ---

    def validate(self) -> dict[str, float]:
        """The `scores` of the validation split; all are nan if a logit is not finite."""
        features, labels = self._validation_features, self._setup.dataset.validation.labels
        logits = self.logits("validation") if features is None else self._predict(features)
        self.validated = None if features is not None and self._frozen_part.rounds else logits
        if not np.isfinite(logits).all():
            return dict.fromkeys(self.scores(labels, np.zeros_like(logits)), math.nan)
        return self.scores(labels, logits)

    def scores(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """Mean cross-entropy and accuracy, as columns of the history."""
        accuracy = float(np.mean(logits.argmax(axis=1) == labels))
        return {"val_loss": cross_entropy(labels, logits), "val_accuracy": accuracy}

    def logits(self, split: str) -> np.ndarray:
        """(N, classes) float32 logits in inference mode, for the images of a split without augmentation."""
        if split in self.known_logits:
            return self.known_logits[split]
        setup = self._setup
        splits = {"train": setup.train, "validation": setup.dataset.validation, "test": setup.dataset.test}
        features = {
            "train": None if self._views else self._train_features,
            "validation": self._validation_features,
        }.get(split)
        if features is not None and not self._frozen_part.rounds:
            return self._predict(features)
        if split == "test" or features is not None or (split == "train" and self._train_features is not None):
            images = splits[split]  # not decoded for training, so not worth a cache now
        else:
            images = self._train_images if split == "train" else self._validation_images
        replicas, size = setup.replicas, self._inference_batch
        if replicas.ranks.count > 1:
            images = images.take(np.arange(len(images))[replicas.steps(len(images), size)])
        return replicas.gathered(self._predictor.logits(setup.batches(images, size)))

    def report_last_weights(self) -> None:
        """Logs whether one batch was memorised: the best weights on validation may be from an earlier epoch."""
        setup = self._setup
        if not setup.config.train.overfit_batch or setup.config.train.memorise:
            return
        right = self.scores(setup.train.labels, self.logits("train"))[f"val_{self.measure}"]
        verdict, words = "memorised" if right == 1 else "did not memorise", self.measure.replace("_", " ")
        images = len(setup.train)
        logger.info(f"one batch: the network {verdict} its {images} images (training {words} {right:.3f})")

    @property
    def _inference_batch(self) -> int:
        """Images per batch: hundreds of small images, which takes half the time of training's batch size."""
        return max(self._setup.config.train.batch_size, VALUES_PER_BATCH // math.prod(self._setup.dataset.image_shape))

    def _predict(self, features: FrozenFeatures) -> np.ndarray:
        return self._feature_predictor.logits(features.batches(self._setup.config.train.batch_size))

    @cached_property
    def _predictor(self) -> Predictor:
        frozen_part = None if self._frozen_model is None else inference(self._frozen_model)
        return Predictor(self._trainable_part, self._image_spec, frozen_part, replicas=self._setup.replicas)

    @cached_property
    def _feature_predictor(self) -> Predictor:
        assert self._validation_features is not None  # they exist whenever there are features
        return Predictor(self._trainable_part, self._validation_features.spec)

    # --- images, and the outputs of the frozen part ---

    @cached_property
    def _rows(self) -> DeviceRows | None:
        """The training images, or all views' outputs of the frozen part, if the steps gather them on the devices."""
        setup, features, wanted = self._setup, self._train_features, self._setup.config.train.on_device
        if wanted == "no" or (features is None and setup.file_crops[0]):
            return None
        if features is not None:
            views, images, *shape = features.values.shape
            count, kind = views * images, features.values.dtype
        else:
            if wanted == "auto" and self._train_images.pixels is None:
                return None  # what does not fit in memory
            count, kind, shape = len(setup.train), np.dtype(np.uint8), list(setup.dataset.image_shape)
        size = size_on_device(count, math.prod(shape) * kind.itemsize)
        if wanted == "auto" and not fits_on_gpu(size):
            return None
        logger.info(f"memory    {_size_text(size)} of {'images' if features is None else 'features'} on each device")
        rows = self._train_pixels if features is None else features.values.reshape(count, *shape)
        return DeviceRows(rows, setup.replicas)

    @property
    def _train_pixels(self) -> np.ndarray:
        """(N, H, W, C) uint8: the training images as the network gets them."""
        shape, pixels = self._setup.dataset.image_shape, self._train_images.pixels
        if pixels is not None and pixels.shape[1:] == shape:
            return pixels
        return decoded(self._train_images, shape, self._setup.config.data.fit)

    def _gathered(self, rows: DeviceRows) -> Callable:
        """Augmentation of the rows with some numbers, which are those of the first view."""
        features, images = self._train_features, len(self._setup.train)
        views = 1 if features is None else len(features.values)
        then = self._augmented if features is None else _unchanged

        def gathered(numbers, labels, keys, epoch):
            first = images * (tf.cast(epoch, tf.int64) % views) if views > 1 else 0
            return then(rows.gathered(numbers + first), labels, keys, epoch)

        return gathered

    @property
    def _image_spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self._setup.model.inputs[0].shape, tf.uint8)

    @cached_property
    def _train_images(self) -> Split:
        keeps_files = self._setup.config.data.cache == "jpeg"
        is_kept = keeps_files or not self._setup.file_crops[0]
        return self._setup.cached(self._setup.train) if is_kept else self._setup.train

    @cached_property
    def _validation_images(self) -> Split:
        return self._setup.cached(self._setup.dataset.validation)

    @cached_property
    def _views(self) -> AugmentedViews | None:
        """The augmentation of the training images; None if there is none."""
        setup = self._setup
        if setup.augmentation == augment.RECIPES["none"]:
            return None
        return AugmentedViews(setup.augmentation, setup.config.seed, setup.config.finetune.augment_views)

    @cached_property
    def _frozen_part(self) -> FrozenPart:
        assert self._frozen_model is not None  # used only if there is a `_boundary`
        setup = self._setup
        return FrozenPart(self._frozen_model, setup.config.finetune.features_dtype, setup.batches, setup.replicas)

    @cached_property
    def _outputs_to_keep(self) -> dict[str, int]:
        """How many frozen-part outputs can be kept, by split; none for training images that change every epoch."""
        counts = {"validation": len(self._setup.dataset.validation)}
        if self._views is None or self._views.count:
            counts["train"] = len(self._setup.train) * (self._views.count if self._views else 1)
        return counts

    @property
    def _feature_bytes(self) -> int:
        return self._frozen_part.size_in_bytes(sum(self._outputs_to_keep.values()))

    @cached_property
    def features_place(self) -> str | None:
        """Where the frozen part's outputs are kept: "memory", "disk" or None (nowhere)."""
        wanted = self._setup.config.finetune.features
        if self._frozen_model is None or wanted == "none":
            return None
        if wanted == "auto":
            too_large = not bytes_fit(self._feature_bytes)
            return None if self._setup.replicas.ranks.any(too_large) else "memory"
        return wanted

    @cached_property
    def _train_features(self) -> FrozenFeatures | None:
        if self.features_place is None or "train" not in self._outputs_to_keep:
            return None
        return self._features(self._setup.train, self._views)

    @cached_property
    def _validation_features(self) -> FrozenFeatures | None:
        return None if self.features_place is None else self._features(self._setup.dataset.validation, None)

    def _features(self, split: Split, views: AugmentedViews | None) -> FrozenFeatures:
        if self.features_place == "memory":
            return self._frozen_part.in_memory(split, views, self._check_interrupt)
        setup, settings = self._setup, self._setup.config.data
        return self._frozen_part.on_disk(
            split,
            views,
            self._check_interrupt,
            folder=settings.cache_dir or default_cache_dir(),
            image_key=image_key(split, setup.dataset.image_shape, settings.fit),
        )

    def log_summary(self) -> None:
        """Logs which outputs of the frozen part are kept, and their size; nothing if there is no frozen part."""
        if self._frozen_model is None:
            return
        maps = "×".join(map(str, self._frozen_model.output_shape[1:]))
        weights = f"{self._frozen_model.count_params():,} weights"
        part = f"features  the frozen part ends at {self._boundary} {maps}, {weights}"
        if self.features_place is None:
            why = "finetune.features none"
            if self._setup.config.finetune.features == "auto":
                size = _size_text(self._feature_bytes)
                why = f"{size} do not fit in memory; finetune.features disk keeps them in data.cache_dir"
            logger.info(part)
            logger.info(f"          computed in every step ({why})")
            return
        where = "on disk" if self.features_place == "disk" else "in memory"
        size = f"{_size_text(self._feature_bytes)} of {self._frozen_part.dtype} {where}"
        logger.info(part)
        logger.info(f"          computed once for {sum(self._outputs_to_keep.values()):,} images and kept: {size}")
        if "train" not in self._outputs_to_keep:
            logger.info("          training images change every epoch, so for them it is computed in every step;")
            logger.info("          finetune.augment_views keeps some views of each")

    # --- check that frozen weights do not change ---

    def verify_frozen(self) -> int:
        """The number of frozen layers with weights. Raises FrozenChanged if a byte of them has changed."""
        now = fingerprints(self._setup.model)
        changed = [name for name, digest in self._fingerprints.items() if now.get(name) != digest]
        if changed:
            raise FrozenChanged(f"{len(changed)} frozen layers have changed in training, the first {changed[0]}")
        return len(now)


def fingerprints(model: keras.Model) -> dict[str, str]:
    """SHA-256 of the weights and statistics of each frozen layer that has any, by the layer's name."""
    return {layer.name: _digest(layer) for layer in model.layers if layer.weights and not layer.trainable}


def _digest(layer: keras.layers.Layer) -> str:
    digest = hashlib.sha256()
    for variable in layer.weights:
        digest.update(np.ascontiguousarray(variable).data)
    return digest.hexdigest()


def _unchanged(features, labels, keys, epoch):
    return features, labels


def _size_text(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
