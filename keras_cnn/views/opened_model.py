"""What is looked at: a run, a backbone with its weights, or a model file; with its classes and some images."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_cnn.checking import nearest
from keras_cnn.config import Config
from keras_cnn.data import pipeline
from keras_cnn.data.audit import audit, default_cache_dir
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.decoding import decode
from keras_cnn.errors import InputError, UsageError, require
from keras_cnn.loading import BUILDERS, load_dataset, load_model
from keras_cnn.models import backbones
from keras_cnn.run_folder import RunFolder
from keras_cnn.run_folder.record import read_record
from keras_cnn.visualization.probe import ClassHead, Probe, taps

_SHOWN = 4  # images of a run, unless more are asked for
_KEPT_BYTES = 10**9


@dataclass(frozen=True)
class Images:
    """The images that a view shows."""

    pixels: np.ndarray  # (N, H, W, C) uint8
    names: tuple[str, ...]
    labels: np.ndarray  # (N,) int32 into the classes; -1 where the true class is not known


@dataclass(frozen=True)
class VisualizeOptions:
    """What the command line says of the subject."""

    images: tuple[Path, ...] = ()  # none: from the validation split
    image_count: int | None = None  # images on display; None: all of `images`, or 4 of the validation split
    weights: str = "imagenet"  # of a backbone
    image_size: int | None = None  # side of a backbone's images
    input_range: tuple[float, float] | None = None  # what 0-255 becomes before a model file gets it
    classes: tuple[str, ...] = ()  # of a model file
    out: Path | None = None


@dataclass(frozen=True)
class OpenedModel:
    """A network opened for looking at; `probe` is how every view reads it."""

    name: str
    model: keras.Model  # takes images of 0-255
    probe: Probe
    out: Path  # of all views
    classes: tuple[str, ...] | None  # None: not known
    asked: VisualizeOptions
    config: Config | None = None  # of a run
    dataset: Dataset | None = None  # of a run
    notes: tuple[str, ...] = ()  # what the reader must know, a line each
    run: RunFolder | None = None
    known: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)  # what one view left for others

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made for the first view that wants it."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    @property
    def fit(self) -> str:
        """How images come to the network's size."""
        return self.config.data.fit if self.config else "crop"

    @cached_property
    def given(self) -> Images:
        """All images of the command line. InputError, naming the file, for one that cannot be read."""
        if not self.asked.images:
            raise UsageError(f"command line: {self.name} comes without images; give some: --image FILE ...")
        return _from_files(self.asked.images, self.probe.input_shape, self.fit)

    @cached_property
    def images(self) -> Images:
        """The images on display: those given or some of the validation split. InputError as `given`."""
        if self.asked.images or self.dataset is None:
            return _some(self.given, self.asked.image_count or len(self.given.names))
        split = self.dataset.validation if len(self.dataset.validation) else self.dataset.train
        chosen = spread(len(split), self.asked.image_count or _SHOWN)
        return _from_split(split.take(chosen), self.dataset.image_shape, self.fit)

    @cached_property
    def head(self) -> ClassHead:
        """Where the class scores are. InputError if the network is no classifier."""
        return self.probe.head()

    @property
    def is_classifier(self) -> bool:
        """Whether the network gives one number for each of at least two classes."""
        shape = self.probe.output().shape
        return len(shape) == 1 and (shape[0] or 0) >= 2

    @cached_property
    def scores(self) -> np.ndarray:
        """(N, classes) float32: the network's scores for the images."""
        return self.maps([self.head.point])[self.head.point]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes) float64 in [0, 1] for the images."""
        return self.head.probabilities(self.scores)

    def maps(self, points: Iterable[str]) -> dict[str, np.ndarray]:
        """What the network has at these points for the images on display, float32 by point.

        What is not known yet is computed in one go, and kept for other views while it is below 1 GB together.
        """
        points = [self.probe.point(point) for point in points]
        kept = self.once("maps", dict)
        found = {point: kept[point] for point in points if point in kept}
        missing = [point for point in points if point not in kept]
        if missing:
            found |= taps(self.probe, missing)(self.images.pixels)
        if sum(maps.nbytes for maps in (kept | found).values()) <= _KEPT_BYTES:
            kept.update(found)
        return found

    def class_name(self, index: int) -> str:
        return self.classes[index] if self.classes else f"class {index}"

    def class_index(self, name: str) -> int:
        """Of a class by its name, or by its number. UsageError with the nearest name for an unknown one."""
        if self.classes and name in self.classes:
            return self.classes.index(name)
        if name.isdecimal() and int(name) < self.head.classes:
            return int(name)
        known = self.classes or (f"0 to {self.head.classes - 1}",)
        raise UsageError(f"command line: {self.name}: unknown class {name!r}{nearest(name, known)}")

    def caption(self, index: int, between: str = ", ", after_name: str | None = None) -> str:
        """Of an image: its name and, as far as they are known, its true and predicted class with probability.

        `between` stands between them, `after_name`, if given, behind the name.
        """
        name, label = self.images.names[index], self.images.labels[index]
        parts = [f"true {self.class_name(label)}"] if label >= 0 else []
        if self.is_classifier:
            best = int(self.probabilities[index].argmax())
            parts.append(f"predicted {self.class_name(best)} {self.probabilities[index, best]:.2f}")
        return (between if after_name is None else after_name).join([name, between.join(parts)] if parts else [name])


def open_subject(source: str, asked: VisualizeOptions) -> OpenedModel:
    """The subject that `source` names. InputError, in one line, for whatever makes that impossible."""
    from keras_cnn.views import opened_detector  # which builds on this module

    path = Path(source)
    if opened_detector.is_detector(source):
        return opened_detector.open_detector(source, asked)
    if path.suffix == ".keras":
        return _model_file(path, asked)
    if path.is_dir():
        return _run(path, asked)
    if source in backbones.names():
        return _backbone(source, asked)
    hint = nearest(source, (*backbones.names(), *opened_detector.NAMED)) if path.name == source else ""
    raise InputError(f"{source}: neither a run folder, nor a .keras or .cfg file, nor a backbone{hint}")


def _run(path: Path, asked: VisualizeOptions) -> OpenedModel:
    refuse(asked, "a run", weights="imagenet", image_size=None, input_range=None, classes=())
    folder, record = RunFolder.open(path), read_record(path)
    config = folder.config(BUILDERS)
    model = load_model(folder / "model.keras")
    notes, dataset, classes = [], None, tuple(record.split.get("classes") or ())
    try:
        dataset = load_dataset(config)
        classes = dataset.classes
    except InputError as error:  # the network can be looked at with other images
        notes.append(f"without the run's own images: {error}")
    out = asked.out or path / "visualizations"
    told = {"config": config, "dataset": dataset, "notes": tuple(notes), "run": folder}
    return OpenedModel(record.name, model, Probe(model), out, classes or None, asked, **told)


def _backbone(name: str, asked: VisualizeOptions) -> OpenedModel:
    refuse(asked, "a backbone", input_range=None, classes=())
    side = asked.image_size or backbones.default_side(name)
    model = backbones.backbone(name, (side, side, 3), weights=asked.weights)
    notes = ("its weights are untrained: --weights none",) if asked.weights == "none" else ()
    out = asked.out or Path("visualizations") / name
    return OpenedModel(name, model, Probe(model), out, None, asked, notes=notes)


def _model_file(path: Path, asked: VisualizeOptions) -> OpenedModel:
    refuse(asked, "a model file", weights="imagenet", image_size=None)
    model, notes = load_model(path), []
    if asked.input_range:
        model = _with_range(model, *asked.input_range)
    probe = Probe(model)
    fixed = None not in probe.input_shape and probe.input_shape[-1] in (1, 3)
    require(fixed, f"{path}: images", f"found {probe.input_shape}", "a fixed size and 1 or 3 channels")
    if not any(isinstance(n.operation, layers.Rescaling | layers.Normalization) for n in probe.nodes.values()):
        notes.append("no rescaling in the network: it gets 0-255; if it wants another range: --input-range -1 1")
    classes = asked.classes or None
    if classes:
        found = probe.head().classes
        require(len(classes) == found, "command line: --classes", f"{len(classes)} names", f"{found}, one a class")
    out = asked.out or Path("visualizations") / path.stem
    return OpenedModel(path.stem, model, probe, out, classes, asked, notes=tuple(notes))


def _with_range(model: keras.Model, low: float, high: float) -> keras.Model:
    """The model behind a layer that makes `low` to `high` of 0-255."""
    image = keras.Input(model.inputs[0].shape[1:], name="image_0_255")
    scaled = layers.Rescaling((high - low) / 255, offset=low, dtype="float32", name="input_range")(image)
    return keras.Model(image, model(scaled), name=model.name)


def refuse(asked: VisualizeOptions, kind: str, **without: object) -> None:
    """UsageError for an option that has no meaning for this kind of subject."""
    for name, default in without.items():
        if getattr(asked, name) != default:
            raise UsageError(f"command line: --{name.replace('_', '-')} has no meaning for {kind}")


def _from_files(paths: tuple[Path, ...], shape: tuple[int, ...], fit: str) -> Images:
    pixels = []
    for path in paths:
        require(path.is_file(), str(path), "no such file", "an image")
        passed, problems = audit(path.parent, [path.name], default_cache_dir())
        if problems:
            raise InputError(f"{path}: {problems[path.name]}; expected an image")
        pixels.append(decode(passed[path.name].file, shape[:2], shape[2], fit))
    return Images(np.stack(pixels), tuple(path.name for path in paths), np.full(len(paths), -1, np.int32))


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` numbers at even distances."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def _some(images: Images, most: int) -> Images:
    chosen = spread(len(images.names), most)
    names = tuple(images.names[number] for number in chosen)
    return Images(images.pixels[chosen], names, images.labels[chosen])


def _from_split(split: Split, shape: tuple[int, int, int], fit: str) -> Images:
    batches = pipeline.batches(split, shape, len(split), fit=fit)
    pixels = np.concatenate([batch.images.numpy() for batch in batches])
    return Images(pixels, split.ids, split.labels)
