"""A run folder opened for evaluation: its config, its model, and images that are checked to be those it was trained on.

Or other images of the same classes, which take the place of the test split.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_cnn import data
from keras_cnn.config import Config
from keras_cnn.data import fingerprints, pipeline, splits
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.splits import SourcePart
from keras_cnn.errors import InputError, UsageError
from keras_cnn.evaluation.evaluations import SPLITS
from keras_cnn.evaluation.views import Views, choose_views
from keras_cnn.loading import BUILDERS, load_dataset, load_model
from keras_cnn.run_folder import RunFolder, detects
from keras_cnn.run_folder.record import Record, read_record


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate a run on, and how."""

    split: str | None = None  # None: the test split, or with a source all its images
    source: str | None = None  # other images than the run's own
    views: str | None = None  # see views.choose_views
    scale: bool = False  # probabilities at the temperature
    classes: tuple[str, ...] = ()  # whose highest and lowest scores are shown
    corrupt: str | None = None  # what to do about unreadable images of a source; None: as the run does

    @property
    def name(self) -> str:
        """Of the evaluation's folder; another one for everything that gives other numbers."""
        parts = [self.split or ""] if self.source is None else [_source_name(self.source), self.split or ""]
        parts[0] = parts[0] or "test"
        parts += [] if self.views is None else ["flip" if self.views == "flip" else f"{self.views}-views"]
        parts += ["temperature"] if self.scale else []
        return "-".join(part for part in parts if part)

    @property
    def reads_test(self) -> bool:
        """Whether images are looked at that the result is to hold for."""
        return self.source is not None or self.split in (None, "test")


@dataclass(frozen=True)
class EvaluationTarget:
    """One run with all that evaluating it takes."""

    folder: RunFolder
    record: Record
    config: Config
    model: keras.Model
    dataset: Dataset
    split: str  # of `dataset`, that is asked for
    views: Views
    notes: tuple[str, ...]  # what the reader of the numbers must know, a line each

    @property
    def name(self) -> str:
        return self.record.name


def open_subject(path: Path, asked: EvaluateOptions) -> EvaluationTarget:
    """The run at `path` with the images `asked` for. InputError, in one line, for whatever makes that impossible.

    A run that is not finished has the best model so far, and a note says so.
    """
    if detects(path):
        raise UsageError(f"{path}: a run of detect.py; evaluate.py measures classifiers: see its report.py page")
    folder, record = RunFolder.open(path), read_record(path)
    config = _config(folder, record)
    recipe = BUILDERS["data.augment"][config.data.augment.name](**config.data.augment.options)
    views = choose_views(asked.views, recipe)
    model = load_model(folder / "model.keras")
    notes = list(record.problems)
    if asked.source is None:
        dataset, split = _own(folder, record, config), asked.split or "test"
    else:
        dataset, more = _foreign(folder, record, config, model, asked)
        split, notes = "test", [*notes, *more]
    _check_classes(asked.classes, dataset.classes)
    return EvaluationTarget(folder, record, config, model, dataset, split, views, tuple(notes))


def _config(folder: RunFolder, record: Record) -> Config:
    try:
        return folder.config(BUILDERS)
    except InputError as error:
        version = record.environment.get("git") or "another version"
        raise InputError(f"{error} (the run was made with {version}; evaluate it with that)") from None


def _own(folder: RunFolder, record: Record, config: Config) -> Dataset:
    """The run's own dataset. InputError where its images are not those of split.json."""
    dataset = load_dataset(config)
    now, then = data.split_record(dataset), record.split
    if then and then.get("sha256") != now["sha256"]:
        raise InputError(
            f"{folder.path}: the images have changed since the run was trained: {_what_changed(then, now)};"
            " expected those of split.json"
        )
    if config.train.overfit_batch:
        return replace(dataset, train=data.first_batch(dataset.train, config.train.batch_size, config.seed))
    return dataset


def _what_changed(then: dict, now: dict) -> str:
    before = {(split, i) for split, ids in then.get("ids", {}).items() for i in ids}
    after = {(split, i) for split, ids in now["ids"].items() for i in ids}
    if before == after:
        return "the same ids, but other pixels or labels"
    gone, new = sorted(before - after), sorted(after - before)
    parts = [
        f"{len(found):,} {words} (such as {found[0][1]} in {found[0][0]})"
        for found, words in ((gone, "no longer in their split"), (new, "new in theirs"))
        if found
    ]
    return ", ".join(parts)


def _foreign(folder: RunFolder, record: Record, config: Config, model: keras.Model, asked: EvaluateOptions):
    """The run's dataset with other images as its test split, and notes on what that could not be checked for."""
    notes = []
    try:
        own = _own(folder, record, config)
    except InputError as error:  # the numbers can be had without the run's own images; only the temperature cannot
        notes.append(f"no temperature, because the validation images cannot be had: {error}")
        own = None
    classes = tuple(record.split.get("classes") or (own.classes if own else ()))
    if not classes:
        raise InputError(f"{folder / 'split.json'}: does not say the run's classes, and its images cannot be had")
    images = _images_of(asked, config, tuple(model.inputs[0].shape[1:]), classes)
    if absent := [repr(c) for i, c in enumerate(classes) if i not in images.test.labels]:
        notes.append(f"{asked.source}: no images of {'class' if len(absent) == 1 else 'classes'} {', '.join(absent)}")
    if own is None:
        none = Split((), np.zeros(0, np.int32), pixels=np.zeros((0, *images.image_shape), np.uint8))
        return replace(images, train=none, validation=none), notes
    return replace(images, train=own.train, validation=own.validation), notes


def _images_of(
    asked: EvaluateOptions, config: Config, shape: tuple[int, int, int], classes: tuple[str, ...]
) -> Dataset:
    """All images of a source, or those of the part asked for, as the test split; labels count in the run's classes."""
    wanted = config.data
    found = data.load(
        asked.source,
        image_size=shape[:2],
        channels=shape[2],
        fit=wanted.fit,
        seed=config.seed,
        corrupt=asked.corrupt or wanted.corrupt,
        cache_dir=wanted.cache_dir,
        uncut=True,
    )
    _check_same_classes(asked.source, found.classes, classes)
    parts = [getattr(found, name) for name in ([asked.split] if asked.split else SPLITS)]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise InputError(f"{asked.source}: has no {asked.split} images of its own; without --split all are taken")
    together = _together(parts)
    order = np.array([classes.index(name) for name in found.classes], np.int32)
    return replace(found, classes=classes, test=replace(together, labels=order[together.labels]))


def copies(subject: EvaluationTarget) -> dict:
    """What split.json says of a split, of other images and those that the run was trained and chosen with, as "train".

    All are compared as the model gets them. {} where the run's own images could not be had.
    """
    dataset = subject.dataset
    own = [split for split in (dataset.train, dataset.validation) if len(split)]
    if not own:
        return {}

    def part(split: Split) -> SourcePart:
        batches = pipeline.batches(split, dataset.image_shape, 256, fit=subject.config.data.fit)
        return SourcePart(split, fingerprints.of_batches(batch.images.numpy() for batch in batches))

    parts = {"train": part(_together(own)), "test": part(dataset.test)}
    counts = {name: len(part.split) for name, part in parts.items()}
    return {"source": dataset.source, "counts": counts, **splits.overlaps(parts)}


def _together(parts: list[Split]) -> Split:
    if len(parts) == 1:
        return parts[0]
    return Split(
        ids=tuple(i for part in parts for i in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        pixels=None if parts[0].pixels is None else np.concatenate([part.pixels for part in parts]),
        files=None if parts[0].files is None else tuple(f for part in parts for f in part.files),
    )


def _check_same_classes(source: str, found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    missing, extra = [c for c in expected if c not in found], [c for c in found if c not in expected]
    if extra:  # a class that is only missing has no images to be measured on, and the others still have theirs
        parts = [f"{words} {', '.join(names)}" for words, names in (("no", missing), ("besides", extra)) if names]
        raise InputError(f"{source}: {'; '.join(parts)}; expected the run's classes: {', '.join(expected)}")


def _check_classes(chosen: tuple[str, ...], classes: tuple[str, ...]) -> None:
    for name in chosen:
        if name not in classes:
            near = difflib.get_close_matches(name, classes, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(classes)}"
            raise UsageError(f"command line: --class {name!r}: unknown class; {hint}")


def _source_name(source: str) -> str:
    """Safe as a file name: what the source is called, and of a path a few digits that tell it from others."""
    kind, colon, argument = source.partition(":")
    if not colon or kind == "tfds":
        return _safe(source)
    path = Path(argument).expanduser().resolve()
    digits = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{kind}-{_safe(path.name)}-{digits}"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
