"""The images of a split for the views: each is decoded once for all views, and one pass serves all measurements."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from keras_cnn.data import cache, pipeline
from keras_cnn.data.dataset import Split, evenly_spaced
from keras_cnn.data.label_sets import has_sets, no_class
from keras_cnn.errors import InputError, UsageError
from keras_cnn.messages import logger
from keras_cnn.run_folder import TEST_SPLIT, RunFolder, record_test_reading
from keras_cnn.run_folder.record import read_record
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.visualization.passes import Measure, one_pass

SplitName = Literal["validation", "train", "test"]
ImageShape = tuple[int, int, int]

_PIXELS = 2**18  # in a batch: 256 images of 32×32, five of 224×224
_SHOWN_BYTES = 2**29  # of maps computed ahead for the images on display


class DecodedSplit:
    """The images of a split in one size. Each image is decoded once if memory suffices for all of them."""

    def __init__(self, split: Split, shape: ImageShape, fit: str):
        self.split, self.shape, self.fit = split, shape, fit
        self._pixels: np.ndarray | None = None
        self._decoded = np.zeros(len(split), bool)

    def take(self, numbers: np.ndarray) -> Split:
        """The images with these numbers, decoded if memory suffices."""
        is_all = np.array_equal(numbers, np.arange(len(self.split)))
        chosen = self.split if is_all else self.split.take(numbers)
        if chosen.pixels is not None or not len(chosen):
            return chosen
        if self._pixels is None and cache.fits_in_memory(self.split, self.shape):
            self._pixels = np.empty((len(self.split), *self.shape), np.uint8)  # takes memory only when written to
        if self._pixels is None:
            return pipeline.cached(chosen, self.shape, fit=self.fit)
        self._decode(np.unique(numbers[~self._decoded[numbers]]), self._pixels)
        return dataclasses.replace(chosen, pixels=self._pixels if is_all else self._pixels[numbers], files=None)

    def _decode(self, numbers: np.ndarray, pixels: np.ndarray) -> None:
        done = 0
        for batch in pipeline.batches(self.split.take(numbers), self.shape, 64, fit=self.fit) if len(numbers) else ():
            part = numbers[done : done + len(batch.images)]
            pixels[part] = batch.images.numpy()
            self._decoded[part] = True
            done += len(part)


@dataclass(frozen=True)
class ImageStream:
    """Images in the order of `ids`, with labels (N,), which are -1 where the true class is not known."""

    decoded: DecodedSplit
    numbers: np.ndarray  # (N,) of the images in `decoded`, ascending
    words: str  # "5,000 images of the validation split"
    before: Callable[[], object] = lambda: None  # called before any image is read

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator:
        """Batches that start with images (B, H, W, C) uint8 and labels (B,)."""
        size = int(np.clip(_PIXELS // (self.shape[0] * self.shape[1]), 1, 256))
        return iter(pipeline.batches(self.split, self.shape, size, fit=self.decoded.fit))

    @property
    def shape(self) -> ImageShape:
        return self.decoded.shape

    @property
    def split(self) -> Split:
        """The images as a split, decoded where memory suffices."""
        self.before()
        return self.decoded.take(self.numbers)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.decoded.split.ids[int(number)] for number in self.numbers)

    @cached_property
    def labels(self) -> np.ndarray:
        return self.decoded.split.labels[self.numbers]

    def pixels(self, indices: Iterable[int]) -> np.ndarray:
        """(n, H, W, C) uint8: the images at these places of the stream, as the network gets them."""
        self.before()
        return pipeline.decoded(self.decoded.take(self.numbers[list(indices)]), self.shape, self.decoded.fit)


Measurements = Sequence[tuple[ImageStream, Measure]]


@dataclass(frozen=True)
class PlannedReads:
    """What a view will read; with `all` the plans of all views are read together."""

    shown: Sequence[str] = ()  # points of the network, for the images on display
    measured: Measurements = ()


def stream(
    opened: OpenedModel,
    view: str,
    split: SplitName,
    most: int | None = None,
    *,
    of: OpenedModel | None = None,
    first: int | None = None,
) -> ImageStream:
    """The `split` of a run, or the images of the command line; at most `most` of them, at even distances.

    With `first`, they are that many from the beginning instead. They have the size that the network takes; with `of`
    they are the images of another opened network. Before images of the test split of a run are read, the reading is
    recorded in the run folder with the name of the `view`. UsageError if there are no images.
    """
    of, shape = of or opened, opened.image_shape
    if of.options.images or of.dataset is None:
        given = of.given
        images, words = Split(given.names, given.labels, given.pixels), "images given"
    else:
        images, words = getattr(of.dataset, split), f"images of the {split} split"
        if has_sets(images.labels):
            images = replace(images, labels=no_class(images.labels))
    if not len(images):
        raise UsageError(f"command line: --split {split}: {of.name} has no images there")
    decoded = of.once(("decoded", words, shape), lambda: DecodedSplit(images, shape, of.fit))
    is_test = split == "test" and words != "images given"
    before = (lambda: _count_reading(opened, of, view)) if is_test else lambda: None
    if first is not None:
        numbers = np.arange(min(first, len(images)))
        return ImageStream(decoded, numbers, f"the first {len(numbers):,} {words}", before)
    return _evenly_spaced(decoded, most, words, before)


def stream_of(opened: OpenedModel, split: Split, most: int | None, words: str) -> ImageStream:
    """At most `most` images of a split of another source, at even distances, in the size that the network takes."""
    shape = opened.image_shape
    decoded = opened.once(("decoded", words, shape), lambda: DecodedSplit(split, shape, "crop"))
    return _evenly_spaced(decoded, most, words)


def measured(opened: OpenedModel, measurements: Measurements) -> list[Any]:
    """The result of each measure on its stream; all missing results for one split come from one pass."""
    unknown: dict[DecodedSplit, dict[Any, tuple[ImageStream, Measure]]] = {}
    for images, measure in measurements:
        if (key := _key(images, measure)) not in opened.results:
            unknown.setdefault(images.decoded, {})[key] = (images, measure)
    for decoded, pairs in unknown.items():
        streams, measures = zip(*pairs.values(), strict=True)
        numbers = np.unique(np.concatenate([images.numbers for images in streams]))
        places = [
            None if len(images) == len(numbers) else np.searchsorted(numbers, images.numbers) for images in streams
        ]
        together = ImageStream(decoded, numbers, "", lambda streams=streams: [images.before() for images in streams])
        results = one_pass(opened.probe, together, measures, places)
        opened.results.update(zip(pairs, results, strict=True))
    return [opened.results[_key(*pair)] for pair in measurements]


def measured_before(opened: OpenedModel, images: ImageStream, measure: Measure) -> Any | None:
    """The result of the measure on the stream if it is known already, else None."""
    return opened.results.get(_key(images, measure))


def read_ahead(opened: OpenedModel, plans: Sequence[PlannedReads]) -> None:
    """Reads for several views together: each stream in one pass, and up to 512 MB of maps of the images on display.

    An error about the images of one view is left for that view to report.
    """
    with contextlib.suppress(InputError):
        measured(opened, [pair for plan in plans for pair in plan.measured])
    points, room = [], _SHOWN_BYTES
    for point in dict.fromkeys(opened.probe.point(point) for plan in plans for point in plan.shown):
        room -= 4 * len(opened.images.names) * int(np.prod([side or 1 for side in opened.probe.shape(point)]))
        if room >= 0:
            points.append(point)
    if points:
        opened.maps(points)


def _evenly_spaced(
    decoded: DecodedSplit, most: int | None, words: str, before: Callable[[], object] = lambda: None
) -> ImageStream:
    count = len(decoded.split)
    numbers = evenly_spaced(count, count if most is None else most)
    if len(numbers) == 1:
        words = words.replace("images", "image", 1)
    return ImageStream(decoded, numbers, f"{len(numbers):,} {words}", before)


def _key(images: ImageStream, measure: Measure) -> tuple:
    return images.decoded, images.numbers.tobytes(), measure.key


def _count_reading(opened: OpenedModel, of: OpenedModel, view: str) -> None:
    """Records, once for each view, that the network of a run was applied to test images."""
    run = opened.run
    if run is None:
        return
    owner = "" if _same_test_images(opened, of) else f" of {of.name}"
    images = f"{TEST_SPLIT}{owner} ({view})"
    opened.once(("reading", images), lambda: _record_reading(run, images))


def _same_test_images(opened: OpenedModel, of: OpenedModel) -> bool:
    mine, theirs = opened.dataset, of.dataset
    if mine is None or theirs is None:
        return False
    return mine.source == theirs.source and not set(mine.test.ids).isdisjoint(theirs.test.ids)


def _record_reading(folder: RunFolder, images: str) -> bool:
    record_test_reading(folder, images)
    if images.startswith(f"{TEST_SPLIT} ("):
        times = len(read_record(folder.path).test_readings)
        logger.info("readings    the test split has been read with this run, this time included: %s", times)
    else:
        logger.info("readings    recorded in %s: %s", folder.path, images)
    return True
