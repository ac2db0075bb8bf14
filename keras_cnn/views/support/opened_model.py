"""A network opened for visualization, with its classes and with the images on display."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np

from keras_cnn.checking import Limit, nearest
from keras_cnn.config import Config
from keras_cnn.data import pipeline
from keras_cnn.data.audit import audit, default_cache_dir
from keras_cnn.data.dataset import Dataset, evenly_spaced
from keras_cnn.data.decoding import decode
from keras_cnn.data.label_sets import has_sets, named, no_class
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.run_folder import RunFolder
from keras_cnn.visualization.class_heads import ClassHead
from keras_cnn.visualization.probe import Probe, taps

Count = Annotated[int, Limit("at least 1", lambda value: value >= 1)]  # an option of a view
OptionalCount = Annotated[int | None, Limit("at least 1", lambda value: value >= 1)]

_SHOWN = 4  # images of a run on display, unless --image-count says otherwise
_KEPT_BYTES = 10**9


@dataclass(frozen=True)
class ShownImages:
    """Images as the network gets them."""

    pixels: np.ndarray  # (N, H, W, C) uint8
    names: tuple[str, ...]
    labels: np.ndarray  # (N,) int32 into the classes; -1 where the true class is not known
    words: tuple[str, ...] = ()  # (N,) the true classes of images that may have several


@dataclass(frozen=True)
class VisualizeOptions:
    """The options of `visualize.py` that all views share."""

    images: tuple[Path, ...] = ()  # if empty, images of the validation split
    image_count: int | None = None  # images on display; None: all of `images`, or 4 of the validation split
    weights: str = "imagenet"  # of a backbone
    image_size: int | None = None  # side of the images of a backbone, or of a model file for images of any size
    input_range: tuple[float, float] | None = None  # the range to which 0-255 is scaled for a model file
    classes: tuple[str, ...] = ()  # of a model file
    output: str | None = None  # of a model file with several outputs, the one whose classes are explained
    out: Path | None = None

    def refuse(self, kind: str, **defaults: object) -> None:
        """Raises UsageError if an option that has no meaning for this `kind` differs from its default."""
        for name, default in defaults.items():
            if getattr(self, name) != default:
                raise UsageError(f"command line: --{name.replace('_', '-')} has no meaning for {kind}")


@dataclass(frozen=True)
class OpenedModel:
    """A network opened for visualization; all views read it through its `probe`."""

    name: str
    model: keras.Model  # takes images of 0-255
    probe: Probe
    out: Path  # folder of the figures of all views
    classes: tuple[str, ...] | None  # None: not known
    options: VisualizeOptions
    config: Config | None = None  # of a run
    dataset: Dataset | None = None  # of a run
    notes: tuple[str, ...] = ()  # sentences that the user must read
    run: RunFolder | None = None
    thresholds: tuple[float, ...] | None = None  # (C,) of images that may have several classes; None: one class each
    results: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)  # shared by all views

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result of `make`, computed for the first view that asks for `key`."""
        if key not in self.results:
            self.results[key] = make()
        return self.results[key]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the network takes."""
        return self.probe.image_shape

    @property
    def fit(self) -> str:
        """How an image is brought to the size of the network: see `data.fit` of a config."""
        return self.config.data.fit if self.config else "crop"

    @cached_property
    def given(self) -> ShownImages:
        """All images given on the command line. InputError, with the file, for an image that cannot be read."""
        if not self.options.images:
            raise UsageError(f"command line: {self.name} comes without images; give some: --image FILE ...")
        return _read_files(self.options.images, self.image_shape, self.fit)

    @cached_property
    def images(self) -> ShownImages:
        """The images on display: from the command line, else from the validation split. InputError as for `given`."""
        if self.options.images or self.dataset is None:
            return _some(self.given, self.options.image_count or len(self.given.names))
        split = self.dataset.validation if len(self.dataset.validation) else self.dataset.train
        chosen = evenly_spaced(len(split), self.options.image_count or _SHOWN)
        shown = split.take(chosen)
        pixels, labels = pipeline.decoded(shown, self.dataset.image_shape, self.fit), shown.labels
        if not has_sets(labels):
            return ShownImages(pixels, tuple(shown.ids), labels)
        words = tuple(named(row, self.dataset.classes) for row in labels)
        return ShownImages(pixels, tuple(shown.ids), no_class(labels), words)

    @cached_property
    def head(self) -> ClassHead:
        """Where the class scores are read. InputError if the network is not a classifier."""
        return self.probe.head()

    @property
    def is_classifier(self) -> bool:
        """Whether the network has class scores."""
        return self.probe.is_classifier

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes) float64 in [0, 1] of the images on display."""
        return self.head.probabilities(self.maps([self.head.point])[self.head.point])

    def maps(self, points: Iterable[str]) -> dict[str, np.ndarray]:
        """Point -> the network's tensor at the point for the images on display, (N, ...) float32.

        All tensors that are not known yet are computed in one pass. They are kept for other views up to 1 GB in total.
        """
        points = [self.probe.point(point) for point in points]
        kept = self.once("maps", dict)
        maps = {point: kept[point] for point in points if point in kept}
        missing = [point for point in points if point not in kept]
        if missing:
            maps |= taps(self.probe, missing)(self.images.pixels)
        if sum(values.nbytes for values in (kept | maps).values()) <= _KEPT_BYTES:
            kept.update(maps)
        return maps

    def class_name(self, index: int) -> str:
        return self.classes[index] if self.classes else f"class {index}"

    def class_index(self, name: str) -> int:
        """The index of a class given by name or by number. UsageError, with the nearest name, for an unknown class."""
        if self.classes and name in self.classes:
            return self.classes.index(name)
        if name.isdecimal() and int(name) < self.head.classes:
            return int(name)
        known = self.classes or (f"0 to {self.head.classes - 1}",)
        raise UsageError(f"command line: {self.name}: unknown class {name!r}{nearest(name, known)}")

    def predicted_labels(self, index: int) -> list[int]:
        """The classes of an image on display that reach their thresholds, the most probable first."""
        row = self.probabilities[index]
        return [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= (self.thresholds or ())[i]]

    def caption(self, index: int, between: str = ", ", after_name: str | None = None) -> str:
        """The name of an image with its true class and its predicted class and probability, as far as known.

        The parts are joined by `between`; `after_name`, if given, follows the name instead.
        """
        name, label = self.images.names[index], self.images.labels[index]
        parts = [f"true {self.class_name(label)}"] if label >= 0 else []
        if self.images.words:
            parts = [f"true {self.images.words[index]}"]
        if self.thresholds is not None:
            chosen = self.predicted_labels(index)
            listed = ", ".join(f"{self.class_name(i)} {self.probabilities[index, i]:.2f}" for i in chosen)
            parts.append(f"predicted {listed or 'none'}")
        elif self.is_classifier:
            best = int(self.probabilities[index].argmax())
            parts.append(f"predicted {self.class_name(best)} {self.probabilities[index, best]:.2f}")
        return (between if after_name is None else after_name).join([name, between.join(parts)] if parts else [name])


def _read_files(paths: tuple[Path, ...], shape: tuple[int, int, int], fit: str) -> ShownImages:
    pixels = []
    for path in paths:
        require(path.is_file(), str(path), "no such file", "an image")
        audited = audit(path.parent, [path.name], default_cache_dir())
        if audited.problems:
            raise InputError(f"{path}: {audited.problems[0]}; expected an image")
        pixels.append(decode(audited.files[0], shape[:2], shape[2], fit))
    return ShownImages(np.stack(pixels), tuple(path.name for path in paths), np.full(len(paths), -1, np.int32))


def _some(images: ShownImages, most: int) -> ShownImages:
    chosen = evenly_spaced(len(images.names), most)
    names = tuple(images.names[number] for number in chosen)
    words = tuple(images.words[number] for number in chosen) if images.words else ()
    return ShownImages(images.pixels[chosen], names, images.labels[chosen], words)
