"""The images of a whole split for a view: decoded once for all views, and measured for all of them in one pass."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from keras_cnn.data import cache, pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.errors import InputError, UsageError
from keras_cnn.run_folder import TEST_SPLIT, RunFolder, record_test_reading
from keras_cnn.run_folder.record import read_record
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.visualization.passes import Measure, one_pass

SplitName = Literal["validation", "train", "test"]
Shape = tuple[int, int, int]

_PIXELS = 2**18  # of a batch: 256 images of 32×32, five of 224×224
_SHOWN_BYTES = 2**29  # of maps of the images on display that are read ahead


class Decoded:
    """The images of a split at one size; each is decoded once, if there is memory for all of them."""

    def __init__(self, split: Split, shape: Shape, fit: str):
        self.split, self.shape, self.fit = split, shape, fit
        self._pixels: np.ndarray | None = None
        self._known = np.zeros(len(split), bool)

    def take(self, numbers: np.ndarray) -> Split:
        """The images of these numbers, with pixels of `shape` unless there is no memory for them."""
        whole = np.array_equal(numbers, np.arange(len(self.split)))
        chosen = self.split if whole else self.split.take(numbers)
        if chosen.pixels is not None or not len(chosen):
            return chosen
        if self._pixels is None and cache.fits_in_memory(self.split, self.shape):
            self._pixels = np.empty((len(self.split), *self.shape), np.uint8)  # takes memory once it is written to
        if self._pixels is None:
            return pipeline.cached(chosen, self.shape, fit=self.fit)
        self._decode(np.unique(numbers[~self._known[numbers]]))
        pixels = self._pixels if whole else self._pixels[numbers]
        return dataclasses.replace(chosen, pixels=pixels, files=None)

    def _decode(self, numbers: np.ndarray) -> None:
        done = 0
        for batch in pipeline.batches(self.split.take(numbers), self.shape, 64, fit=self.fit) if len(numbers) else ():
            part = numbers[done : done + len(batch.images)]
            self._pixels[part] = batch.images.numpy()
            self._known[part] = True
            done += len(part)


@dataclass(frozen=True)
class Stream:
    """Images with labels (N,), -1 where the true class is not known, in the order of `ids`."""

    decoded: Decoded
    numbers: np.ndarray  # (N,) of the images in `decoded`, ascending
    words: str  # "5,000 images of the validation split"
    before: Callable[[], object] = lambda: None  # is called before any image is looked at

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator:
        """Batches that start with images (B, H, W, C) uint8 and labels (B,)."""
        size = int(np.clip(_PIXELS // (self.shape[0] * self.shape[1]), 1, 256))
        return iter(pipeline.batches(self.split, self.shape, size, fit=self.decoded.fit))

    @property
    def shape(self) -> Shape:
        return self.decoded.shape

    @property
    def split(self) -> Split:
        """The images as a split, decoded where there is memory for that."""
        self.before()
        return self.decoded.take(self.numbers)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.decoded.split.ids[number] for number in self.numbers)

    @cached_property
    def labels(self) -> np.ndarray:
        return self.decoded.split.labels[self.numbers]

    def pixels(self, indices: Iterable[int]) -> np.ndarray:
        """(n, H, W, C) uint8: the images of these places in the stream, as the network gets them."""
        self.before()
        chosen = self.decoded.take(self.numbers[list(indices)])
        if not len(chosen):
            return np.zeros((0, *self.shape), np.uint8)
        return np.concatenate(
            [b.images.numpy() for b in pipeline.batches(chosen, self.shape, 64, fit=self.decoded.fit)]
        )


Wanted = Sequence[tuple[Stream, Measure]]


@dataclass(frozen=True)
class Reads:
    """What a view will read, so that `all` can read it for every view at once; a view's `reads` gives one."""

    shown: Sequence[str] = ()  # points, of the images on display
    measured: Wanted = ()


def stream(
    subject: OpenedModel, view: str, split: SplitName, most: int | None = None, *, of: OpenedModel | None = None
) -> Stream:
    """The `split` of a run, or the images on the command line; `most` of them at even distances.

    They come in the size that the subject's network takes; with `of` they are those of another subject. Before images
    of a run's test split are looked at, the reading is recorded in the run's folder, with the name of the `view`.
    UsageError where there are no images.
    """
    of, shape = of or subject, subject.probe.input_shape
    if of.asked.images or of.dataset is None:
        given = of.given
        found, words = Split(given.names, given.labels, given.pixels), "images given"
    else:
        found, words = getattr(of.dataset, split), f"images of the {split} split"
    if not len(found):
        raise UsageError(f"command line: --split {split}: {of.name} has no images there")
    decoded = of.once(("decoded", words, shape), lambda: Decoded(found, shape, of.fit))
    own_test = split == "test" and words != "images given"
    return _part(decoded, most, words, (lambda: _count_reading(subject, of, view)) if own_test else lambda: None)


def stream_of(subject: OpenedModel, split: Split, most: int | None, words: str) -> Stream:
    """`most` images of a split of another source, at even distances, in the size that the subject's network takes."""
    shape = subject.probe.input_shape
    return _part(subject.once(("decoded", words, shape), lambda: Decoded(split, shape, "crop")), most, words)


def measured(subject: OpenedModel, wanted: Wanted) -> list[Any]:
    """What each measure finds in its stream; of one set of images all that is not known yet in one pass."""
    unknown: dict[Decoded, dict[Any, tuple[Stream, Measure]]] = {}
    for images, measure in wanted:
        if (key := _key(images, measure)) not in subject.known:
            unknown.setdefault(images.decoded, {})[key] = (images, measure)
    for decoded, pairs in unknown.items():
        streams, measures = zip(*pairs.values(), strict=True)
        every = np.unique(np.concatenate([one.numbers for one in streams]))
        places = [None if len(one) == len(every) else np.searchsorted(every, one.numbers) for one in streams]
        together = Stream(decoded, every, "", lambda streams=streams: [one.before() for one in streams])
        found = one_pass(subject.probe, together, measures, places)
        subject.known.update(zip(pairs, found, strict=True))
    return [subject.known[_key(*pair)] for pair in wanted]


def known(subject: OpenedModel, images: Stream, measure: Measure) -> Any | None:
    """What the measure found in the stream, if it was measured."""
    return subject.known.get(_key(images, measure))


def read_ahead(subject: OpenedModel, reads: Sequence[Reads]) -> None:
    """Reads for several views at once: their streams in one pass each, and maps of the images on display.

    Of these maps as many as take 512 MB. What is wrong with the images of one view is left for that view to say.
    """
    with contextlib.suppress(InputError):
        measured(subject, [pair for one in reads for pair in one.measured])
    points, room = [], _SHOWN_BYTES
    for point in dict.fromkeys(subject.probe.point(point) for one in reads for point in one.shown):
        room -= 4 * len(subject.images.names) * int(np.prod([side or 1 for side in subject.probe.shape(point)]))
        if room >= 0:
            points.append(point)
    if points:
        subject.maps(points)


def _part(decoded: Decoded, most: int | None, words: str, before: Callable[[], object] = lambda: None) -> Stream:
    count = len(decoded.split)
    numbers = np.arange(count)
    if most is not None and most < count:
        numbers = np.unique(np.linspace(0, count - 1, most).astype(int))
    return Stream(decoded, numbers, f"{len(numbers):,} {words}", before)


def _key(images: Stream, measure: Measure) -> tuple:
    return images.decoded, images.numbers.tobytes(), measure.key


def _count_reading(subject: OpenedModel, of: OpenedModel, view: str) -> None:
    """Records, once for each view, that the network of a run is looked at on test images."""
    if subject.run is None:
        return
    whose = "" if _same_test_images(subject, of) else f" of {of.name}"
    images = f"{TEST_SPLIT}{whose} ({view})"
    subject.once(("reading", images), lambda: _recorded(subject.run, images))


def _same_test_images(subject: OpenedModel, of: OpenedModel) -> bool:
    mine, theirs = subject.dataset, of.dataset
    return mine is not None and mine.source == theirs.source and not set(mine.test.ids).isdisjoint(theirs.test.ids)


def _recorded(folder: RunFolder, images: str) -> bool:
    record_test_reading(folder, images)
    if images.startswith(f"{TEST_SPLIT} ("):
        times = len(read_record(folder.path).test_readings)
        print(f"readings    the test split has been read with this run, this time included: {times}")
    else:
        print(f"readings    recorded in {folder.path}: {images}")
    return True
