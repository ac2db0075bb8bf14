"""The outputs of the frozen part of a network, computed once for every image and kept in memory or in a file."""

import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf

from keras_cnn.data import augment, cache, pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.data.pipeline import Batch
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.distribution.replicas import SINGLE, Replicas
from keras_cnn.distribution.shares import WHOLE, Share
from keras_cnn.evaluation.predict import inference
from keras_cnn.messages import logger
from keras_cnn.training.task import CheckInterrupt

BATCH = 32  # images per step through the frozen part; fixed, so that the bits do not depend on train.batch_size
VERSION = 1  # increase it when the computed values change
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class FrozenFeatures:
    """The outputs (V, N, ...) of the frozen part for V views of each image of a split."""

    values: np.ndarray
    split: Split

    @property
    def spec(self) -> tf.TensorSpec:
        """Type of a batch."""
        return tf.TensorSpec((None, *self.values.shape[2:]), tf.as_dtype(self.values.dtype))

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        start: tuple[int, int] = (0, 0),
        epochs: int = 1,
        share: Share = WHOLE,
    ) -> "FeatureBatches":
        """Like `pipeline.batches`, in the same order, with features instead of images; epoch e gets view e mod V."""
        return FeatureBatches(self, batch_size, seed, start, epochs, share)


@dataclass(frozen=True)
class FeatureBatches:
    """An iterable of `Batch` whose images are features; see `FrozenFeatures.batches`."""

    features: FrozenFeatures
    batch_size: int
    seed: int | None
    start: tuple[int, int]
    epochs: int
    share: Share = WHOLE

    def __iter__(self) -> Iterator[Batch]:
        split, size = self.features.split, self.batch_size
        (epoch, step), steps = self.start, math.ceil(len(split) / size)
        for now in range(epoch, self.epochs):
            order = pipeline.order(self.seed, now, len(split))
            view = self.features.values[now % len(self.features.values)]
            for first in range(size * (step if now == epoch else 0), size * steps, size):
                index = order[first : first + size]
                count = np.int32(len(index))
                index = index[self.share.rows(len(index))]
                arrays = view[index], split.labels[index].astype(np.int32), split.keys[index], np.int32(now), count
                yield Batch(*map(tf.constant, arrays))


@dataclass(frozen=True)
class AugmentedViews:
    """Augmentation of the images before the frozen part, and the number of views of each image to keep."""

    augmentation: augment.Augmentation
    seed: int
    count: int


class FrozenPart:
    """Computes the outputs of the frozen part of a network.

    Args:
        dtype: type of the outputs that are kept: auto (the type that `model` computes) or bfloat16.
        image_batches: (split, batch size) -> the split's batches in order.
        replicas: to which whole batches are dealt out, so that the bits do not depend on their number.
    """

    def __init__(
        self,
        model: keras.Model,
        dtype: str,
        image_batches: Callable[[Split, int], Iterable[Batch]],
        replicas: Replicas = SINGLE,
    ):
        self.model, self._batches, self._replicas = model, image_batches, replicas
        computed = np.dtype(tf.as_dtype(model.outputs[0].dtype).as_numpy_dtype)
        self.dtype = BFLOAT16 if dtype == "bfloat16" else computed
        self.rounds = self.dtype != computed
        self._forward = inference(model)
        self._compiled: dict[AugmentedViews | None, Callable] = {}

    def size_in_bytes(self, images: int) -> int:
        """Size of the features of `images` images."""
        return images * math.prod(self.model.output_shape[1:]) * self.dtype.itemsize

    def in_memory(self, split: Split, views: AugmentedViews | None, check_interrupt: CheckInterrupt) -> FrozenFeatures:
        """The features in an array; each process of the run computes its part of them."""
        values, filled = np.empty(self._shape(split, views), self.dtype), 0
        rows = values.reshape(-1, *values.shape[2:])
        for batch in self._computed(split, views, check_interrupt, self._replicas.ranks):
            rows[filled : filled + len(batch)] = batch
            filled += len(batch)
        return FrozenFeatures(values, split)

    def on_disk(
        self,
        split: Split,
        views: AugmentedViews | None,
        check_interrupt: CheckInterrupt,
        *,
        folder: str | Path,
        image_key: bytes,
    ) -> FrozenFeatures:
        """The features in a file of `folder`.

        An existing file is reused if the weights, the images and the augmentation are the same. An incomplete file is
        recomputed. `image_key` identifies the images and their decoding. Of the processes that share the folder, the
        first computes everything, and the others wait for its file.
        """
        key = hashlib.sha256(b"".join((_weights_key(self.model), image_key, self._key(views)))).digest()
        shape = self._shape(split, views)
        stored = np.dtype(np.uint16) if self.dtype == BFLOAT16 else self.dtype  # NumPy's format has no bfloat16

        def batches() -> Iterator[np.ndarray]:
            return (batch.view(stored) for batch in self._computed(split, views, check_interrupt))

        values = cache.on_disk(
            folder, "features-", key, shape=shape, dtype=stored, batches=batches, what="cache of finetune.features"
        )
        return FrozenFeatures(values.view(self.dtype), split)

    def _shape(self, split: Split, views: AugmentedViews | None) -> tuple[int, ...]:
        return (views.count if views else 1, len(split), *self.model.output_shape[1:])

    def _key(self, views: AugmentedViews | None) -> bytes:
        changes = views and [asdict(views.augmentation), views.seed, views.count]
        return json.dumps([VERSION, str(self.dtype), tf.__version__, keras.__version__, changes]).encode()

    def _computed(
        self, split: Split, views: AugmentedViews | None, check_interrupt: CheckInterrupt, ranks: Ranks = ALONE
    ) -> Iterator[np.ndarray]:
        """Features (B, ...), view after view, computed by `ranks` together. Logs the progress every ten seconds."""
        if views not in self._compiled:
            self._compiled[views] = self._compile(views)
        forward, together = self._compiled[views], BATCH * self._replicas.share.local
        turns = np.arange(len(split)) // together  # the process with number t mod ranks.count computes turn t
        own = split if ranks.count == 1 else split.take(np.flatnonzero(turns % ranks.count == ranks.rank))
        rounds = math.ceil(len(split) / (together * ranks.count))
        passes, done, began = views.count if views else 1, 0, time.monotonic()
        logged = began
        for view in range(passes):
            batches = iter(self._batches(own, BATCH))
            for _ in range(rounds):
                check_interrupt()
                group = list(itertools.islice(batches, self._replicas.share.local))
                values = self._joined(forward(group, tf.constant(view, tf.int32)), ranks)
                done += len(values)
                yield values
                if (now := time.monotonic()) - logged > 10:
                    logger.info(f"features  {done:,} of {passes * len(split):,}, {done / (now - began):.0f} images/s")
                    logged = now

    def _joined(self, parts: Sequence[tf.Tensor], ranks: Ranks) -> np.ndarray:
        """The parts of this process and then, if there are others, those of all processes, in order."""
        empty = np.zeros((0, *self.model.output_shape[1:]), self.dtype)
        values = np.concatenate([empty, *(part.numpy() for part in parts)])
        return values if ranks.count == 1 else self._replicas.gathered(values)

    def _compile(self, views: AugmentedViews | None) -> Callable:
        """(batches, one for each replica; view) -> the features of each."""

        def forward(images: tf.Tensor, keys: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
            if views:
                labels = tf.zeros((tf.shape(images)[0], 1))
                images, _ = augment.augment(images, labels, keys, view, seed=views.seed, recipe=views.augmentation)
            return tf.cast(self._forward(images), self.dtype)

        images = tf.TensorSpec(self.model.inputs[0].shape, tf.uint8)
        keys, view = tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)
        one = tf.function(forward, input_signature=[images, keys, view], autograph=False)
        replicas = self._replicas

        def on_replicas(images, keys, view):
            return replicas.map(lambda part: forward(part[0], part[1], view), (images, keys))

        several = tf.function(on_replicas, autograph=False)

        def of_group(group: Sequence[Batch], view: tf.Tensor) -> Sequence[tf.Tensor]:
            whole = len(group) == replicas.share.local and all(len(batch.images) == BATCH for batch in group)
            if replicas.share.local == 1 or not whole:
                return [one(batch.images, batch.keys, view) for batch in group]
            images, keys = ([batch.images for batch in group], [batch.keys for batch in group])
            return several(replicas.dealt(images), replicas.dealt(keys), view)

        return of_group


def _weights_key(model: keras.Model) -> bytes:
    """Digest of the architecture and every weight."""
    digest = hashlib.sha256(model.to_json().encode())
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable).data)
    return digest.digest()


def image_key(split: Split, image_shape: tuple[int, int, int], fit: str) -> bytes:
    """Digest of the images of a split, in their order, and of their decoding."""
    if split.files is not None:
        return cache.cache_key(split, image_shape, fit)
    digest = hashlib.sha256(json.dumps([list(image_shape), fit, list(split.ids)]).encode())
    digest.update(np.ascontiguousarray(split.pixels).data)
    return digest.digest()
