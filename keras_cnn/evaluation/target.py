"""A run opened for evaluation: its config, its model and its images, or other images of the same classes.

The run's own images must be those recorded in split.json. Other images replace the test split.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_cnn import data
from keras_cnn.checking import nearest
from keras_cnn.config import Config
from keras_cnn.data import fingerprints, pipeline
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.duplicates import overlaps
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.label_sets import class_counts, has_sets
from keras_cnn.data.splits import SourcePart
from keras_cnn.data.user_files import user_path
from keras_cnn.distribution.replicas import Replicas, open_replicas
from keras_cnn.errors import InputError, UsageError
from keras_cnn.evaluation.coverage import LEVEL
from keras_cnn.evaluation.split_evaluation import SPLITS
from keras_cnn.evaluation.test_time_augmentation import Views, choose_views
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import MOST_CLASSES, listed
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder, is_detection_run
from keras_cnn.run_folder.record import Record, read_record


@dataclass(frozen=True)
class EvaluateOptions:
    """The images to evaluate a run on, and how."""

    split: str | None = None  # None: the test split, or all images of a source
    source: str | None = None  # of images other than the run's own
    views: str | None = None  # see test_time_augmentation.choose_views
    scale: bool = False  # divide the logits by the temperature
    classes: tuple[str, ...] = ()  # classes whose highest and lowest scores are shown
    corrupt: str | None = None  # handling of unreadable images of a source; None: as in the run
    full: bool = False  # all numbers and findings on the terminal; files have them anyway
    devices: str = "auto"  # that share each batch; see `distribution.devices.open_devices`
    coverage: float = LEVEL  # share of prediction sets that are to hold the true class

    @property
    def name(self) -> str:
        """Name of the evaluation's folder; options that change the numbers change the name."""
        parts = [self.split or ""] if self.source is None else [_source_name(self.source), self.split or ""]
        parts[0] = parts[0] or "test"
        parts += [] if self.views is None else ["flip" if self.views == "flip" else f"{self.views}-views"]
        parts += ["temperature"] if self.scale else []
        parts += [f"coverage-{self.coverage:g}"] if self.coverage != LEVEL else []
        return "-".join(part for part in parts if part)

    @property
    def reads_test(self) -> bool:
        """Whether test images, or images in their place, are evaluated."""
        return self.source is not None or self.split in (None, "test")


@dataclass(frozen=True)
class EvaluationTarget:
    """A run with everything that its evaluation needs."""

    folder: RunFolder
    record: Record
    config: Config
    model: keras.Model
    dataset: Dataset
    split: str  # the split of `dataset` that is evaluated
    views: Views
    notes: tuple[str, ...]  # lines that readers of the numbers must know
    replicas: Replicas

    @property
    def name(self) -> str:
        return self.record.name


def open_target(path: Path, options: EvaluateOptions) -> EvaluationTarget:
    """The run at `path` with the images of `options`. Raises InputError, in one line, where that is impossible.

    The model of an unfinished run is its best model so far.
    """
    if is_detection_run(path):
        raise UsageError(f"{path}: a run of detect.py; evaluate.py measures classifiers, report.py shows both")
    folder, record = RunFolder.open(path), read_record(path)
    config = _config(folder, record)
    recipe = BUILDERS["data.augment"][config.data.augment.name](**config.data.augment.options)
    views = choose_views(options.views, recipe)
    replicas = open_replicas(options.devices)
    with replicas.scope():
        model = load_model(folder / "model.keras")
    notes = list(record.problems)
    if options.source is None:
        dataset, split = _own_dataset(folder, record, config), options.split or "test"
    else:
        shape = tuple(model.inputs[0].shape[1:])
        (dataset, more), split = _other_dataset(folder, record, config, options, shape), "test"
        notes += more
    _check_classes(options.classes, dataset.classes)
    return EvaluationTarget(folder, record, config, model, dataset, split, views, tuple(notes), replicas)


def _config(folder: RunFolder, record: Record) -> Config:
    try:
        return folder.config(BUILDERS)
    except InputError as error:
        version = record.environment.get("git") or "another version"
        raise InputError(f"{error} (the run was made with {version}; evaluate it with that)") from None


def _own_dataset(folder: RunFolder, record: Record, config: Config) -> Dataset:
    """The run's own dataset. Raises InputError if its images differ from split.json."""
    dataset = load_dataset(config)
    current, recorded = data.split_record(dataset), record.split
    if recorded and recorded.get("sha256") != current["sha256"]:
        raise InputError(
            f"{folder.path}: the images have changed since the run was trained: {_what_changed(record, dataset)};"
            " expected those of split.json"
        )
    if config.train.overfit_batch:
        return replace(dataset, train=data.first_batch(dataset.train, config.train.batch_size, config.seed))
    return dataset


def _what_changed(record: Record, dataset: Dataset) -> str:
    before = {(split, i) for split in dataset.splits for i in record.ids_of(split) or ()}
    after = {(split, i) for split, images in dataset.splits.items() for i in images.ids}
    if before == after:
        return "the same ids, but other pixels or labels"
    gone, new = sorted(before - after), sorted(after - before)
    parts = [
        f"{len(images):,} {words} (such as {images[0][1]} in {images[0][0]})"
        for images, words in ((gone, "no longer in their split"), (new, "new in their split"))
        if images
    ]
    return ", ".join(parts)


def _other_dataset(
    folder: RunFolder, record: Record, config: Config, options: EvaluateOptions, shape: tuple[int, int, int]
) -> tuple[Dataset, list[str]]:
    """The run's dataset with the images of another source as its test split, and notes on what was not checked."""
    notes = []
    try:
        own = _own_dataset(folder, record, config)
    except InputError as error:  # only the temperature needs the run's own images
        notes.append(f"no temperature, because the validation images are not available: {error}")
        own = None
    classes = tuple(record.split.get("classes") or (own.classes if own else ()))
    if not classes:
        raise InputError(f"{folder / 'split.json'}: does not list the run's classes, and its images are not available")
    images = _source_dataset(options, config, shape, classes, several=record.several_labels)
    counts = class_counts(images.test.labels, len(classes))
    if absent := [repr(name) for name, count in zip(classes, counts, strict=True) if not count]:
        number = f"{len(absent):,} classes, such as" if len(absent) > MOST_CLASSES else "classes"
        notes.append(f"{options.source}: no images of {'class' if len(absent) == 1 else number} {listed(absent)}")
    if own is None:
        none = Split((), images.test.labels[:0], pixels=np.zeros((0, *images.image_shape), np.uint8))
        return replace(images, train=none, validation=none), notes
    return replace(images, train=own.train, validation=own.validation), notes


def _source_dataset(
    options: EvaluateOptions,
    config: Config,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    *,
    several: bool,
) -> Dataset:
    """The images of a source, or of one of its splits, as the test split; labels index the run's `classes`."""
    source, settings = str(options.source), config.data
    dataset = data.load(
        source,
        image_size=shape[:2],
        channels=shape[2],
        fit=settings.fit,
        seed=config.seed,
        corrupt=options.corrupt or settings.corrupt,
        verify=settings.verify,
        cache_dir=settings.cache_dir,
        table=replace(settings.table, root=None),
        uncut=True,
    )
    if dataset.several_labels is not several:
        found, expected = ("several labels", "one class") if dataset.several_labels else ("one class", "several labels")
        raise InputError(f"{source}: {found} an image; expected {expected} an image, as in the run")
    _check_same_classes(source, dataset.classes, classes)
    splits_of_source = [getattr(dataset, name) for name in ([options.split] if options.split else SPLITS)]
    chosen = [split for split in splits_of_source if len(split)]
    if not chosen:
        raise InputError(f"{source}: has no {options.split} images; without --split all images are evaluated")
    joined = _joined(chosen)
    place = {name: i for i, name in enumerate(classes)}
    order = np.array([place[name] for name in dataset.classes], np.int32)
    labels = _reordered(joined.labels, order, len(classes))
    return replace(dataset, classes=classes, test=replace(joined, labels=labels))


def _reordered(labels: np.ndarray, order: np.ndarray, classes: int) -> np.ndarray:
    """The labels as indices, or columns, of the run's classes; `order` has the run's index of each class."""
    if not has_sets(labels):
        return order[labels]
    columns = np.zeros((len(labels), classes), labels.dtype)
    columns[:, order] = labels
    return columns


def overlaps_with_training(target: EvaluationTarget) -> dict:
    """Duplicates between other images ("test") and the run's training and validation images ("train").

    The format is as in split.json. Images are compared in the model's size. {} without the run's own images.
    """
    dataset = target.dataset
    own = [split for split in (dataset.train, dataset.validation) if len(split)]
    if not own:
        return {}

    def fingerprinted(split: Split) -> SourcePart:
        batches = pipeline.batches(split, dataset.image_shape, 256, fit=target.config.data.fit)
        return SourcePart(split, fingerprints.of_batches(batch.images.numpy() for batch in batches))

    parts = {"train": fingerprinted(_joined(own)), "test": fingerprinted(dataset.test)}
    counts = {name: len(part.split) for name, part in parts.items()}
    return {"source": dataset.source, "counts": counts, **overlaps(parts)}


def _joined(parts: list[Split]) -> Split:
    if len(parts) == 1:
        return parts[0]
    pixels = [part.pixels for part in parts if part.pixels is not None]
    files = [part.files for part in parts if part.files is not None]
    return Split(
        ids=tuple(i for part in parts for i in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        pixels=np.concatenate(pixels) if pixels else None,
        files=ImageFiles.joined(files) if files else None,
    )


def _check_same_classes(source: str, classes: tuple[str, ...], expected: tuple[str, ...]) -> None:
    missing, extra = (
        [c for c in one if c not in set(other)] for one, other in ((expected, classes), (classes, expected))
    )
    if extra:  # classes that are only missing are allowed: the others can still be measured
        parts = [f"{words} {listed(names)}" for words, names in (("no", missing), ("unknown", extra)) if names]
        raise InputError(f"{source}: {'; '.join(parts)}; expected the run's classes: {listed(expected)}")


def _check_classes(chosen: tuple[str, ...], classes: tuple[str, ...]) -> None:
    for name in chosen:
        if name not in classes:
            raise UsageError(f"command line: --class {name!r}: unknown class{nearest(name, classes)}")


def _source_name(source: str) -> str:
    """The source as a file name: its name and, for a path, a few digits that distinguish it from others."""
    kind, colon, argument = source.partition(":")
    if not colon or kind == "tfds":
        return _safe(source)
    path = user_path(argument).resolve()
    digits = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{kind}-{_safe(path.name)}-{digits}"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
