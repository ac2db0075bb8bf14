"""Batches of uint8 images from a Split, in a predetermined order, from any (epoch, step) on, decoded ahead."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cnn.data import cache as caching
from keras_cnn.data.audit import no_longer_readable
from keras_cnn.data.augment import Augmentation
from keras_cnn.data.contents import contents
from keras_cnn.data.dataset import Split
from keras_cnn.data.decoding import crop_box, pad_size
from keras_cnn.data.fast_decoding import DecodingPlan, decoder, plans, to_bytes
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.jpeg_cache import keep_as_jpegs
from keras_cnn.data.resized_crops import crop_windows
from keras_cnn.distribution.shares import WHOLE, Share
from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import cores

CACHES = ("auto", "none", "memory", "disk", "jpeg")
# Functions without control flow are traced as they are; AutoGraph would first rewrite their source, which takes longer.
_as_graph = tf.autograph.experimental.do_not_convert


class RandomCrop(NamedTuple):
    """Random resized crops that are cut from image files while they are decoded; see `resized_crops`."""

    area: tuple[float, float]
    seed: int


class Batch(NamedTuple):
    """B images with labels, keys and epoch; B is smaller in the last batch of an epoch.

    A process that trains on a `Share` of each batch has only the images of its share.
    """

    images: tf.Tensor  # (B, H, W, C) uint8
    labels: tf.Tensor  # (B,) int32, or (B, C) of images that may have several classes; see `Split.labels`
    keys: tf.Tensor  # (B, 2) int32, the images' `Split.keys`
    epoch: tf.Tensor  # scalar int32
    size: tf.Tensor  # scalar int32: images of the whole batch


@dataclass(frozen=True)
class FileBatches:
    """The batches of a `tf.data` pipeline. Raises Stopped, naming the file, if an image can no longer be read."""

    dataset: tf.data.Dataset
    split: Split
    stops: Sequence[Stopped] = ()  # raised while reading shards; TensorFlow keeps their text alone

    def __iter__(self) -> Iterator[Batch]:
        iterator = iter(self.dataset)
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                raise self.reason(error) from error
            yield batch

    def reason(self, error: tf.errors.OpError) -> Exception:
        """Stopped for an image that can no longer be read; else the error itself."""
        if self.stops:
            return self.stops[0]
        return error if self.split.files is None else no_longer_readable(self.split.files, error)


@dataclass(frozen=True)
class ArrayBatches:
    """One epoch of batches of an array in memory, as slices in order.

    1,000 images of 32×32 take 1 ms; a `tf.data` pipeline takes 100 ms, nearly all of it for its construction.
    """

    split: Split
    pixels: np.ndarray  # (N, H, W, C) uint8
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        pixels, labels, keys = self.pixels, self.split.labels.astype(np.int32), self.split.keys
        epoch = tf.constant(0)
        for start in range(0, len(pixels), self.batch_size):
            part = slice(start, start + self.batch_size)
            with tf.device("CPU:0"):
                images = tf.constant(pixels[part])
                count = tf.constant(len(images))
                yield Batch(images, tf.constant(labels[part]), tf.constant(keys[part]), epoch, count)


def order(seed: int | None, epoch: int, count: int) -> np.ndarray:
    """(count,) int64 permutation of range(count) as a function of (seed, epoch); the identity without a seed.

    Philox's raw stream is fixed by its definition, while NumPy's `permutation` may change between versions.
    """
    if seed is None:
        return np.arange(count)
    return np.argsort(np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count), kind="stable")


def batches(
    split: Split,
    image_shape: tuple[int, int, int],
    batch_size: int,
    *,
    seed: int | None = None,
    start: tuple[int, int] = (0, 0),
    epochs: int = 1,
    fit: str = "crop",
    cache: str = "none",
    cache_dir=None,
    threads: int | None = None,
    share: Share = WHOLE,
    crop: RandomCrop | None = None,
) -> FileBatches | ArrayBatches:
    """The batches of the epochs `start[0]` to `epochs - 1`, beginning at step `start[1]` of the first.

    With a `share`, only its rows of each batch are decoded. Nothing before `start` is decoded, and the next epoch's
    first batches are decoded while the caller validates. Memory grows with the number of images only if `cache` (see
    `cached`) holds them. If several readers share a split, call `cached` once instead. Raises `InputError` for an
    invalid option, and `Stopped` if a file no longer exists. With `crop`, the split must have files.
    """
    if cache == "auto" and epochs - start[0] < 2:
        cache = "none"  # nothing would be read twice
    split = cached(split, image_shape, fit=fit, cache=cache, cache_dir=cache_dir, threads=threads)
    once_in_order = (seed, start, epochs, share) == (None, (0, 0), 1, WHOLE)
    if once_in_order and (pixels := _ready(split, image_shape)) is not None:
        return ArrayBatches(split, pixels, batch_size)
    threads = threads or len(cores())
    indices = _indices(len(split), batch_size, seed, start=start, epochs=epochs, share=share)
    labelled = _labelled(split)
    stops: list[Stopped] = []
    if split.pixels is None:
        files = split.files
        assert files is not None
        most = batch_size if share.is_whole else share.most_rows(len(split), batch_size)
        reading = _Reading(files, image_shape, fit, split.keys, crop, stops)
        images = _from_files(reading, indices, batch_size=most, threads=threads)
    else:
        images = _from_pixels(split.pixels, image_shape, indices, fit, threads)

    @_as_graph
    def batch(which, images):
        _, index, _ = which
        return labelled(images[: tf.size(index)], *which)

    dataset = tf.data.Dataset.zip(indices, images).map(batch).prefetch(2).with_options(_options())
    return FileBatches(dataset, split, stops)


def row_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int | None = None,
    start: tuple[int, int] = (0, 0),
    epochs: int = 1,
    share: Share = WHOLE,
) -> FileBatches:
    """The batches of `batches`, with the numbers (B,) int64 of their rows instead of images; see `DeviceRows`."""
    indices = _indices(len(split), batch_size, seed, start=start, epochs=epochs, share=share)
    labelled = _labelled(split)
    rows = indices.map(lambda epoch, index, count: labelled(index, epoch, index, count))
    return FileBatches(rows.prefetch(2).with_options(_options()), split)


def _labelled(split: Split) -> Callable[..., Batch]:
    """(images, epoch, their numbers, images of the whole batch) -> the `Batch`."""
    with tf.device("CPU:0"):
        labels, keys = tf.constant(split.labels), tf.constant(split.keys)
    return lambda images, epoch, index, count: Batch(
        images, tf.cast(tf.gather(labels, index), tf.int32), tf.gather(keys, index), epoch, count
    )


def decodable_batches(
    files: ImageFiles, image_shape: tuple[int, int, int], batch_size: int, fit: str = "crop"
) -> tf.data.Dataset:
    """Batches of (images (B, H, W, C) uint8, indices (B,) int64) of `files` in order, decoded ahead.

    A file whose header was read but which TensorFlow cannot decode is left out.
    """
    reading = _Reading(files, image_shape, fit)
    decode = reading.decoder()
    batches = tf.data.Dataset.range(len(files)).batch(batch_size).map(lambda index: reading.prepared(0, index))
    images = batches.unbatch().map(
        lambda index, where, plan: (decode(index, where, plan), index), num_parallel_calls=len(cores())
    )
    return images.ignore_errors().batch(batch_size).prefetch(2).with_options(_options())


def _ready(split: Split, image_shape: tuple[int, int, int]) -> np.ndarray | None:
    """The images if they are in memory at `image_shape`; the pipeline reads ahead from a memory-mapped file."""
    pixels = split.pixels
    is_ready = pixels is not None and pixels.shape[1:] == tuple(image_shape) and not isinstance(pixels, np.memmap)
    return pixels if is_ready else None


def cached(
    split: Split,
    image_shape,
    *,
    fit: str = "crop",
    cache: str = "auto",
    cache_dir: str | Path | None = None,
    threads: int | None = None,
) -> Split:
    """`split` with its files decoded once to uint8 `pixels` of `image_shape`. No cache but `jpeg` changes a pixel.

    `memory` holds them in an array, `disk` in a memory-mapped file in `cache_dir`; `cache.chosen` decides for `auto`;
    `jpeg` keeps smaller files there, see `keep_as_jpegs`.
    Raises `InputError` for an unknown name, and if the disk is too small.
    """
    if cache not in CACHES:
        raise InputError(f"data.cache is {cache!r}; expected one of {', '.join(CACHES)}")
    if split.pixels is not None or cache == "none":
        return split
    if cache == "auto":

        def decode(some: Split) -> None:
            for _ in batches(some, image_shape, 64, fit=fit, threads=threads):
                pass

        cache = caching.chosen(split, image_shape, cache_dir, decode)
    if cache == "none":
        return split
    images = (batch.images.numpy() for batch in batches(split, image_shape, 64, fit=fit, threads=threads))
    if cache == "memory":
        return caching.keep_in_memory(split, image_shape, images)
    if cache_dir is None:
        raise InputError(f"data.cache is {cache!r} without data.cache_dir; expected a folder for the images")
    if cache == "jpeg":
        return keep_as_jpegs(split, image_shape, cache_dir)
    return caching.keep_on_disk(split, image_shape, fit, cache_dir, images)


def decoded(split: Split, image_shape: tuple[int, int, int], fit: str = "crop") -> np.ndarray:
    """(N, H, W, C) uint8: all images of a split in order, as a network gets them."""
    parts = [batch.images.numpy() for batch in batches(split, image_shape, 64, fit=fit)] if len(split) else []
    return np.concatenate(parts) if parts else np.zeros((0, *image_shape), np.uint8)


def in_files(split: Split, recipe: Augmentation, seed: int) -> tuple[RandomCrop | None, Augmentation]:
    """The crops that are cut from the files of `split` while they are decoded, and what is left of the recipe."""
    if split.files is None or not recipe.crops:
        return None, recipe
    return RandomCrop(recipe.crop_area, seed), replace(recipe, crop_area=(1.0, 1.0))


def _options():
    options = tf.data.Options()
    options.autotune.enabled = False  # it can stall the end of an epoch for as long as the epoch itself
    options.experimental_optimization.apply_default_optimizations = False  # 0.1 s a pipeline, and nothing is gained
    options.deterministic = True
    return options


def _indices(count, batch_size, seed, *, start, epochs, share):
    """A `tf.data` dataset of (epoch, indices of a share of a batch, images of the batch): int32, (B,) int64, int32."""
    steps = -(-count // batch_size)
    first_epoch, first_step = divmod(start[0] * steps + start[1], steps) if steps else (0, 0)

    @_as_graph
    def one_epoch(epoch):
        permutation = tf.numpy_function(lambda e: order(seed, e, count), [epoch], tf.int64, stateful=False)

        @_as_graph
        def one_batch(step):
            index = permutation[step * batch_size : (step + 1) * batch_size]
            size = tf.size(index)
            if share.is_whole:
                index = tf.ensure_shape(index, [None if count % batch_size else batch_size])
            else:
                rows = tf.numpy_function(lambda size: share.rows(int(size)), [size], tf.int64, stateful=False)
                index = tf.gather(index, tf.ensure_shape(rows, [None]))
            return tf.cast(epoch, tf.int32), index, size

        skipped = tf.cast(epoch == first_epoch, tf.int64) * first_step
        return tf.data.Dataset.range(skipped, steps).map(one_batch)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)


def _from_pixels(pixels, image_shape, indices, fit, threads):
    """Batches gathered by NumPy, which reads only the indexed rows of a memory-mapped array."""

    @_as_graph
    def batch(_, index, count):
        images = tf.numpy_function(lambda i: np.take(pixels, i, axis=0), [index], tf.uint8, stateful=False)
        return _conformed(tf.ensure_shape(images, [None, *pixels.shape[1:]]), image_shape, fit)

    return indices.map(batch, num_parallel_calls=threads)


def _conformed(images, image_shape, fit):
    """A batch of array images brought to `image_shape`; files are decoded to it directly."""
    height, width, channels = image_shape
    if images.shape[-1] != channels:
        images = tf.image.grayscale_to_rgb(images) if channels == 3 else tf.image.rgb_to_grayscale(images)
    if images.shape[1:3] == (height, width):
        return images
    rows, columns = images.shape[1:3]
    size = (height, width)
    if fit in ("crop", "center"):
        left, top, right, bottom = crop_box(columns, rows, size, fit)
        images = images[:, top:bottom, left:right]
    if fit == "pad":
        size = pad_size(columns, rows, size)
    images = to_bytes(tf.image.resize(images, size, "bilinear", antialias=True))
    return tf.image.pad_to_bounding_box(images, (height - size[0]) // 2, (width - size[1]) // 2, height, width)


def _from_files(reading: "_Reading", indices, *, batch_size, threads):
    """Images decoded in parallel, across batch and epoch boundaries; black images fill up a short batch."""

    @_as_graph
    def padded(epoch, index, count):
        index = tf.pad(index, [[0, batch_size - tf.size(index)]], constant_values=-1)
        return reading.prepared(epoch, tf.ensure_shape(index, [batch_size]))

    prepared = indices.map(padded).flat_map(lambda *batch: tf.data.Dataset.from_tensor_slices(batch))
    return prepared.map(reading.decoder(), num_parallel_calls=threads).batch(batch_size, drop_remainder=True)


@dataclass(frozen=True)
class _Reading:
    """How the files of a split are read."""

    files: ImageFiles
    image_shape: tuple[int, int, int]
    fit: str
    keys: np.ndarray | None = None
    crop: RandomCrop | None = None
    stops: list[Stopped] = field(default_factory=list)  # raised while reading shards

    def decoder(self):
        return decoder(self.files, self.image_shape, self.fit, in_windows=self.crop is not None)

    def prepared(self, epoch, index):
        """What the decoder needs of (B,) indices, -1 for none: the indices, paths or bytes, and plans.

        It is computed batch by batch, because the plans and paths of a million files take 100 MB.
        """
        where, steps = tf.numpy_function(self._chosen, [epoch, index], (tf.string, tf.int32), stateful=False)
        count = index.shape[0]
        return index, tf.ensure_shape(where, [count]), tf.ensure_shape(steps, [count, len(DecodingPlan._fields)])

    def _chosen(self, epoch, index):
        index = np.maximum(index, 0)
        some = self.files.take(index)
        try:
            where = contents(some) if some.containers else [os.fsencode(path) for path in some.paths()]
        except Stopped as stop:
            self.stops.append(stop)
            raise
        windows = None
        if self.crop is not None and self.keys is not None:
            height, width = some.upright_sizes()
            with tf.device("CPU:0"):
                drawn = _windows(self.keys[index], (epoch, self.crop.seed), height, width, self.crop.area)
            windows = drawn.numpy()
        return np.array(where, object), plans(some, self.image_shape, self.fit, windows)


_windows = tf.function(crop_windows, autograph=False, reduce_retracing=True)
