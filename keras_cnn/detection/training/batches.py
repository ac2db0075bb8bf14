"""From pictures to batches of images and boxes in `tf.data`, from any (epoch, step) on."""

import math
import os

import numpy as np
import tensorflow as tf

from keras_cnn.data.pipeline import Batch, order
from keras_cnn.detection.training.augmentation import Sample, augmented
from keras_cnn.detection.training.images import Images
from keras_cnn.detection.training.settings import Augment
from keras_cnn.errors import Stopped

BOX = 5  # numbers of a box: centre x and y, width and height as shares of the image's side, and its class
NOTHING = -2  # class of the rows that fill up the boxes of an image; ignored boxes have -1


class Batches:
    """An iterable of `Batch`, whose labels are (B, M, 5): see `labels_of`. Raises Stopped where an image has gone."""

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
    images: Images, batch_size: int, recipe: Augment, seed: int, start: tuple[int, int], epochs: int
) -> Batches:
    """Augmented batches in the order of (seed, epoch), from `start`, epoch and step, to the end of `epochs`."""
    steps = math.ceil(len(images) / batch_size)

    def at(position: int) -> tuple[list[Sample], np.ndarray, int]:
        epoch, step = divmod(position, steps)
        chosen = order(seed, epoch, len(images))[step * batch_size : (step + 1) * batch_size]
        return [augmented(images, int(i), epoch, seed, recipe) for i in chosen], images.keys[chosen], epoch

    return _batches(at, start[0] * steps + start[1], epochs * steps, images.size)


def plain(images: Images, batch_size: int) -> Batches:
    """The images as they are, in order, once."""

    def at(position: int) -> tuple[list[Sample], np.ndarray, int]:
        chosen = range(position * batch_size, min((position + 1) * batch_size, len(images)))
        samples = [Sample(*images.letterboxed(i), images.classes(i)) for i in chosen]
        return samples, images.keys[list(chosen)], 0

    return _batches(at, 0, math.ceil(len(images) / batch_size), images.size)


def _batches(at, start: int, stop: int, size: int) -> Batches:
    failures: list[Stopped] = []

    def batch(position: int):
        try:
            samples, keys, epoch = at(int(position))
        except Stopped as stopped:  # TensorFlow passes on the text of an error alone
            failures.append(stopped)
            raise
        pixels = np.stack([sample.pixels for sample in samples])
        return pixels, labels_of(samples, size), keys, np.int32(epoch)

    def shaped(position):
        kinds = [tf.uint8, tf.float32, tf.int32, tf.int32]
        images, labels, keys, epoch = tf.numpy_function(batch, [position], kinds, stateful=False)
        shapes = [(None, size, size, 3), (None, None, BOX), (None, 2), ()]
        found = zip((images, labels, keys, epoch), shapes, strict=True)
        return Batch(*(tf.ensure_shape(value, shape) for value, shape in found))

    options = tf.data.Options()
    options.autotune.enabled = False  # it stalls the end of an epoch
    options.deterministic = True
    threads = len(os.sched_getaffinity(0))
    dataset = tf.data.Dataset.range(start, stop).map(shaped, num_parallel_calls=threads).prefetch(2)
    return Batches(dataset.with_options(options), failures)


def labels_of(samples: list[Sample], size: int) -> np.ndarray:
    """(B, M, 5) float32: the boxes of each sample, filled up with rows of class NOTHING; M is at least 1."""
    most = max(1, *(len(sample.classes) for sample in samples)) if samples else 1
    labels = np.zeros((len(samples), most, BOX), np.float32)
    labels[..., 4] = NOTHING
    for row, sample in zip(labels, samples, strict=True):
        count = len(sample.classes)
        row[:count, :2] = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2 / size
        row[:count, 2:4] = (sample.boxes[:, 2:] - sample.boxes[:, :2]) / size
        row[:count, 4] = sample.classes
    return labels
