"""Batches of images and boxes in `tf.data`, from any (epoch, step) on."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_cnn.data.pipeline import Batch, order
from keras_cnn.detection.loss import BOX, FILLER
from keras_cnn.distribution.shares import WHOLE, Share
from keras_cnn.errors import Stopped
from keras_cnn.operating_system import cores
from keras_cnn.tasks.detection.augmentation import Sample, augmented
from keras_cnn.tasks.detection.images import BoxImages
from keras_cnn.tasks.detection.settings import BoxAugment


class BoxBatches:
    """An iterable of `Batch` with labels (B, M, 5), see `labels_of`. Raises Stopped if an image cannot be read."""

    def __init__(self, dataset: tf.data.Dataset, failures: list[Stopped]):
        self._dataset, self._failures = dataset, failures

    def __iter__(self):
        try:
            yield from self._dataset
        except tf.errors.OpError:
            if self._failures:
                raise self._failures[0] from None
            raise


def training(
    images: BoxImages,
    batch_size: int,
    augment: BoxAugment,
    seed: int,
    *,
    start: tuple[int, int],
    epochs: int,
    share: Share = WHOLE,
) -> BoxBatches:
    """Augmented batches in the order of (seed, epoch), from `start` (epoch, step) to the end of `epochs`.

    With a `share`, only its rows of each batch.
    """
    steps = math.ceil(len(images) / batch_size)

    def samples_at(position: int) -> tuple[list[Sample], np.ndarray, int, int]:
        epoch, step = divmod(position, steps)
        chosen = order(seed, epoch, len(images))[step * batch_size : (step + 1) * batch_size]
        count, chosen = len(chosen), chosen[share.rows(len(chosen))]
        return [augmented(images, int(i), epoch, seed, augment) for i in chosen], images.keys[chosen], epoch, count

    return _batches(samples_at, start[0] * steps + start[1], epochs * steps, images.size)


def plain(images: BoxImages, batch_size: int, rows: slice = slice(None)) -> BoxBatches:
    """Batches of the images without augmentation, once and in order; `rows` begins and ends with batches."""
    first, end, _ = rows.indices(len(images))

    def samples_at(position: int) -> tuple[list[Sample], np.ndarray, int, int]:
        chosen = range(position * batch_size, min((position + 1) * batch_size, len(images)))
        samples = [Sample(*images.letterboxed(i), images.classes(i)) for i in chosen]
        return samples, images.keys[list(chosen)], 0, len(chosen)

    return _batches(samples_at, first // batch_size, math.ceil(end / batch_size), images.size)


def _batches(samples_at: Callable, start: int, stop: int, size: int) -> BoxBatches:
    failures: list[Stopped] = []

    def batch(position: int):
        try:
            samples, keys, epoch, count = samples_at(int(position))
        except Stopped as stopped:  # TensorFlow passes on only the text of an error
            failures.append(stopped)
            raise
        pixels = np.stack([sample.pixels for sample in samples])
        return pixels, labels_of(samples, size), keys, np.int32(epoch), np.int32(count)

    def shaped(position):
        kinds = [tf.uint8, tf.float32, tf.int32, tf.int32, tf.int32]
        values = tf.numpy_function(batch, [position], kinds, stateful=False)
        shapes = [(None, size, size, 3), (None, None, BOX), (None, 2), (), ()]
        return Batch(*(tf.ensure_shape(value, shape) for value, shape in zip(values, shapes, strict=True)))

    options = tf.data.Options()
    options.autotune.enabled = False  # it stalls the end of an epoch
    options.deterministic = True
    threads = len(cores())
    dataset = tf.data.Dataset.range(start, stop).map(shaped, num_parallel_calls=threads).prefetch(2)
    return BoxBatches(dataset.with_options(options), failures)


def labels_of(samples: list[Sample], size: int) -> np.ndarray:
    """(B, M, 5) float32: the boxes of each sample, padded with rows of class FILLER; M is at least 1."""
    most = max(1, *(len(sample.classes) for sample in samples)) if samples else 1
    labels = np.zeros((len(samples), most, BOX), np.float32)
    labels[..., 4] = FILLER
    for row, sample in zip(labels, samples, strict=True):
        count = len(sample.classes)
        row[:count, :2] = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2 / size
        row[:count, 2:4] = (sample.boxes[:, 2:] - sample.boxes[:, :2]) / size
        row[:count, 4] = sample.classes
    return labels
