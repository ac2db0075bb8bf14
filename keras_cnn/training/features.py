"""What the frozen part of a network puts out, computed once for every image and kept in memory or in a file."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf

from keras_cnn.data import augment, cache, pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.data.pipeline import Batch
from keras_cnn.evaluation.predict import inference
from keras_cnn.messages import logger

BATCH = 32  # images a step through the frozen part, whatever the training's batches: the same bits for all of them
VERSION = 1  # Raise it when other numbers would come out.
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

Heed = Callable[[], None]  # raises where the run is to stop


@dataclass(frozen=True)
class Features:
    """The outputs (V, N, ...) of the frozen part for V views of each image of a split."""

    values: np.ndarray
    split: Split

    @property
    def spec(self) -> tf.TensorSpec:
        """Of a batch."""
        return tf.TensorSpec((None, *self.values.shape[2:]), tf.as_dtype(self.values.dtype))

    def batches(
        self, batch_size: int, *, seed: int | None = None, start: tuple[int, int] = (0, 0), epochs: int = 1
    ) -> "FeatureBatches":
        """As `pipeline.batches`, in the same order, with features for images; epoch e sees view e mod V."""
        return FeatureBatches(self, batch_size, seed, start, epochs)


@dataclass(frozen=True)
class FeatureBatches:
    features: Features
    batch_size: int
    seed: int | None
    start: tuple[int, int]
    epochs: int

    def __iter__(self) -> Iterator[Batch]:
        split, size = self.features.split, self.batch_size
        (epoch, step), steps = self.start, math.ceil(len(split) / size)
        for now in range(epoch, self.epochs):
            order = pipeline.order(self.seed, now, len(split))
            view = self.features.values[now % len(self.features.values)]
            for first in range(size * (step if now == epoch else 0), size * steps, size):
                index = order[first : first + size]
                arrays = view[index], split.labels[index].astype(np.int32), split.keys[index], np.int32(now)
                yield Batch(*map(tf.constant, arrays))


@dataclass(frozen=True)
class Recipe:
    """The random changes to make to the images before the frozen part, and how many views of each to keep."""

    augmentation: augment.Augmentation
    seed: int
    views: int


class Frozen:
    """The frozen part of a network, to compute features with."""

    def __init__(self, front: keras.Model, dtype: str, image_batches: Callable[[Split, int], Iterable[Batch]]):
        """`dtype` is auto, for the type that `front` puts out, or bfloat16; `image_batches` reads a split in order, so
        many images at a time."""
        self.front, self._batches = front, image_batches
        computed = np.dtype(tf.as_dtype(front.outputs[0].dtype).as_numpy_dtype)
        self.dtype = BFLOAT16 if dtype == "bfloat16" else computed
        self.rounds = self.dtype != computed
        self._forward = inference(front)
        self._compiled: dict[Recipe | None, Callable] = {}

    def bytes(self, images: int) -> int:
        """What the features of so many images take."""
        return images * math.prod(self.front.output_shape[1:]) * self.dtype.itemsize

    def in_memory(self, split: Split, recipe: Recipe | None, heed: Heed) -> Features:
        values, filled = np.empty(self._shape(split, recipe), self.dtype), 0
        rows = values.reshape(-1, *values.shape[2:])
        for batch in self._computed(split, recipe, heed):
            rows[filled : filled + len(batch)] = batch
            filled += len(batch)
        return Features(values, split)

    def on_disk(self, split: Split, recipe: Recipe | None, heed: Heed, folder, image_key: bytes) -> Features:
        """From the file in `folder` that was computed from the same weights, images and random changes, or a new one.

        `image_key` stands for the images and how they are decoded. A file that is not whole is computed anew.
        """
        key = hashlib.sha256(b"".join((_weights_key(self.front), image_key, self._key(recipe)))).digest()
        shape = self._shape(split, recipe)
        stored = np.dtype(np.uint16) if self.dtype == BFLOAT16 else self.dtype  # NumPy's format knows no bfloat16

        def batches() -> Iterator[np.ndarray]:
            return (batch.view(stored) for batch in self._computed(split, recipe, heed))

        values = cache.on_disk(
            folder, "features-", key, shape=shape, dtype=stored, batches=batches, what="cache of finetune.features"
        )
        return Features(values.view(self.dtype), split)

    def _shape(self, split: Split, recipe: Recipe | None) -> tuple[int, ...]:
        return (recipe.views if recipe else 1, len(split), *self.front.output_shape[1:])

    def _key(self, recipe: Recipe | None) -> bytes:
        changes = recipe and [asdict(recipe.augmentation), recipe.seed, recipe.views]
        return json.dumps([VERSION, str(self.dtype), tf.__version__, keras.__version__, changes]).encode()

    def _computed(self, split: Split, recipe: Recipe | None, heed: Heed) -> Iterator[np.ndarray]:
        """(B, ...) after (B, ...), view after view. Says how far it is every ten seconds."""
        if recipe not in self._compiled:
            self._compiled[recipe] = self._compile(recipe)
        forward = self._compiled[recipe]
        views, done, began = recipe.views if recipe else 1, 0, time.monotonic()
        said = began
        for view in range(views):
            for images, _, keys, _ in self._batches(split, BATCH):
                heed()
                values = forward(images, keys, tf.constant(view, tf.int32)).numpy()
                done += len(values)
                yield values
                if (now := time.monotonic()) - said > 10:
                    logger.info(f"features  {done:,} of {views * len(split):,}, {done / (now - began):.0f} images/s")
                    said = now

    def _compile(self, recipe: Recipe | None) -> Callable:
        def forward(images, keys, view):
            if recipe:
                labels = tf.zeros((tf.shape(images)[0], 1))
                images, _ = augment.augment(images, labels, keys, view, seed=recipe.seed, recipe=recipe.augmentation)
            return tf.cast(self._forward(images), self.dtype)

        images = tf.TensorSpec(self.front.inputs[0].shape, tf.uint8)
        keys, view = tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)
        return tf.function(forward, input_signature=[images, keys, view], autograph=False)


def _weights_key(front: keras.Model) -> bytes:
    """Of the architecture and every weight."""
    digest = hashlib.sha256(front.to_json().encode())
    for variable in front.variables:
        digest.update(np.ascontiguousarray(variable))
    return digest.digest()


def image_key(split: Split, image_shape: tuple[int, int, int], fit: str) -> bytes:
    """Of the images of a split, in their order, and what is done to them before the network."""
    if split.files is not None:
        return cache.cache_key(split, image_shape, fit)
    digest = hashlib.sha256(json.dumps([list(image_shape), fit, list(split.ids)]).encode())
    digest.update(np.ascontiguousarray(split.pixels))
    return digest.digest()
