"""Loads a data source by its name as a Dataset: reads it, cuts it into splits and brings all images to one size."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from keras_cnn.config.schema import TableColumns
from keras_cnn.data import splits
from keras_cnn.data.arrays import (
    FASHION_MNIST_FOLDER,
    read_fashion_classes,
    read_fashion_mini,
    read_fashion_mnist,
    read_kept,
    read_npz,
)
from keras_cnn.data.audit import VERIFY, default_cache_dir
from keras_cnn.data.cache import checked_folder
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.decoding import DEFAULT_SIZE, FITS, GREY_MODES, as_array, fitted
from keras_cnn.data.duplicates import overlaps
from keras_cnn.data.folders import AuditOptions, read_folder
from keras_cnn.data.folds import hold_out
from keras_cnn.data.groups import column_of, group_findings, group_names, leaks_in_words, numbered
from keras_cnn.data.label_sets import class_counts, has_sets
from keras_cnn.data.label_splits import cut_by_iteration
from keras_cnn.data.labelled_tables import read_labelled_table
from keras_cnn.data.shards.source import read_shards
from keras_cnn.data.splits import LabelledSource, SourcePart
from keras_cnn.data.tables import ImageTable, read_csv, read_parquet
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError

TABLES = ("csv", "parquet")  # the kinds of sources that have columns
KEEP_SIZE = 256  # pixels; image files keep their size if all have the same, up to this


def load(
    source: str = "fashion-mini",
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str = "crop",
    validation: float | int = 0.1,
    test: float | int = 0.1,
    train: float | int | None = None,
    per_class: int | None = None,
    subset: int | None = None,
    seed: int = 1,
    group: int | str | None = None,
    fold: str | None = None,
    corrupt: str = "fail",
    verify: str = "full",
    cache_dir: str | Path | None = None,
    table: TableColumns | None = None,
    uncut: bool = False,
) -> Dataset:
    """The images of `source` (see READERS) in three disjoint splits. Raises InputError if anything is wrong.

    image_size: pixels, one side or (H, W). By default, images that all have one size keep it (files only up to
        KEEP_SIZE); others get DEFAULT_SIZE.
    channels: 1 or 3; by default 1 if all images are stored as grey, else 3.
    fit: how an image of another shape is brought to that size: crop, center, stretch or pad, see `decoding.decode`.
    validation, test: a fraction below 1, or a count, of the images to cut them from; the source's own splits are kept.
    train: a fraction or count of the same images; by default all that remain.
    per_class: the most images to keep of each class in each part of the source, before anything is cut.
    subset: the most images to keep of each class in train; validation and test do not change.
    group: images that stay in one split, such as those of a patient: a column of a table, 1 for the folder that holds
        the image (2 for the one above), or a pattern of the id with the group in parentheses. Groups that the source's
        own splits divide are in the findings.
    fold: the fold that is held out as the test split, as "2/5", the second of five, instead of `test`. Folds are cut
        from the images from which test would be cut; a test split of the source's own is left out.
    corrupt: "fail" names every image file that cannot be used, "skip" leaves them out and lists them in the findings.
    verify: "full" decodes every image file once and then compares its size and time at each start; "sample" does so for
        1,000, evenly spaced, and reads the headers of new files; "none" reads the headers of new files alone.
    cache_dir: the folder for the results of the audit and for large arrays; never inside the source.
    table: the columns of a table of labels, and the folder of its images, where they are not recognised.
    uncut: cuts nothing: images without a split in the source are in train, and classes may have no images.
        Use this for an evaluation on other images.
    """
    settings = dict(locals())
    size = _checked_size(image_size)
    _check_choices(
        channels=(channels, (None, 1, 3)), fit=(fit, FITS), corrupt=(corrupt, ("fail", "skip")), verify=(verify, VERIFY)
    )
    cache = checked_folder(cache_dir) if cache_dir else default_cache_dir()
    in_train = None if subset is None else _positive("subset", subset)
    for name, share in (("validation", validation), ("test", test), ("train", 0.5 if train is None else train)):
        splits.check_share(name, share)
    columns = table or TableColumns()
    labelled = _read(source, ReadOptions(size, channels, fit, corrupt, cache, columns, uncut, verify, group))
    labelled = _grouped(labelled, group, source)
    if len(labelled.classes) < 2 and not uncut:
        raise InputError(f"{source}: only one class, {', '.join(map(repr, labelled.classes))}; expected at least two")
    parts, several = labelled.parts, has_sets(labelled.parts["train"].split.labels)
    if several:
        _refuse_limits(source, per_class=per_class, subset=subset)
    own = [name for name in splits.NAMES if name in parts]
    if per_class is not None:
        limit = _positive("per_class", per_class)
        parts = {name: splits.at_most_per_class(part, limit, seed) for name, part in parts.items()}
    notes_of_fold = []
    if fold is not None:
        parts, notes_of_fold = _with_fold(parts, labelled.classes, fold, seed)
        own = [name for name in splits.NAMES if name in parts]
    shares = {"validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if name not in parts}
    if uncut:
        parts = parts | {name: parts["train"].take([]) for name in shares}
    else:
        cut = cut_by_iteration if several else splits.cut
        parts = parts | cut(parts["train"], labelled.classes, shares, train, seed)
    if in_train:
        parts["train"] = splits.at_most_per_class(parts["train"], in_train, seed)
    parts = {name: parts[name] for name in splits.NAMES}
    shape, notes = _image_shape(parts.values(), size, channels)
    notes += [*labelled.findings.get("notes", ()), *notes_of_fold, *_absent_classes(parts, labelled.classes)]
    findings = labelled.findings | overlaps(parts, cache) | {"notes": notes, "own_splits": own}
    if labelled.group_names:
        groups = {name: part.groups for name, part in parts.items() if part.groups is not None}
        findings["groups"] = group_findings(groups, labelled.group_names)
        notes += leaks_in_words(findings["groups"])
    final = {name: _at_shape(part.split, shape, fit) for name, part in parts.items()}
    return Dataset(source, labelled.classes, shape, **final, findings=findings, settings=settings)


def _with_fold(
    parts: dict[str, SourcePart], classes: tuple[str, ...], fold: str, seed: int
) -> tuple[dict[str, SourcePart], list[str]]:
    """The parts with a fold of the training images as "test", and notes about that."""
    rest, held = hold_out(parts["train"], classes, fold, seed)
    notes = [f"fold {fold}: {len(held.split):,} of {len(parts['train'].split):,} images are held out as the test split"]
    if "test" in parts:
        notes.append(f"the source's own test split of {len(parts['test'].split):,} images is left out of the folds")
    return parts | {"train": rest, "test": held}, notes


@dataclass(frozen=True)
class ReadOptions:
    """The options of `load` that affect how a source is read."""

    size: tuple[int, int] | None
    channels: int | None
    fit: str
    corrupt: str
    cache: Path
    table: TableColumns
    uncut: bool
    verify: str
    group: int | str | None = None


def read_source(
    source: str, *, corrupt: str = "fail", cache_dir: str | Path | None = None, table: TableColumns | None = None
) -> LabelledSource:
    """All labelled images of `source`, checked and not cut; the options are those of `load`. Raises InputError."""
    cache = checked_folder(cache_dir) if cache_dir else default_cache_dir()
    return _read(source, ReadOptions(None, None, "crop", corrupt, cache, table or TableColumns(), False, "full"))


def _grouped(source: LabelledSource, group: int | str | None, where: str) -> LabelledSource:
    """The source with the groups that `group` finds in the paths of its images; those of a column are there already.

    Raises InputError for a source without such a column, and for images of an array, which have no paths.
    """
    if group is None or source.group_names:
        return source
    if column := column_of(group):
        if where.partition(":")[0] in TABLES:
            raise InputError(f"{where}: data.group {column}: every cell of the column is empty; expected groups")
        expected = "a level of folders, as 1, or a pattern with the group in parentheses, as '(P\\d+)_'"
        raise InputError(f"data.group {column}: {where} has no columns; expected {expected}")
    if any(part.split.files is None for part in source.parts.values()):
        raise InputError(f"data.group {group}: the images of {where} have no paths; expected null")
    names = {name: group_names(part.split.ids, group, where) for name, part in source.parts.items()}
    numbers, known = numbered([name for of_part in names.values() for name in of_part])
    ends = np.cumsum([len(of_part) for of_part in names.values()])
    cuts = dict(zip(names, np.split(numbers, ends[:-1]), strict=True))
    parts = {name: replace(part, groups=cuts[name]) for name, part in source.parts.items()}
    notes = [*source.findings.get("notes", ()), f"the {len(known):,} groups of data.group {group} are kept together"]
    return replace(source, parts=parts, group_names=known, findings=source.findings | {"notes": notes})


def _read(source: str, options: ReadOptions) -> LabelledSource:
    kind, colon, argument = source.partition(":")
    reader = READERS.get(kind)
    if reader and bool(colon) == bool(argument) == bool(reader.argument):
        return reader.read(argument, options)
    hint = f"; did you mean folder:{source}?" if Path(source).is_dir() else ""
    raise InputError(f"source {source!r} is none of {source_names()}{hint}")


def _folder(argument: str, options: ReadOptions) -> LabelledSource:
    path = user_path(argument)
    return read_folder(path, options.corrupt, options.cache, verify=options.verify, empty_classes=options.uncut)


def _csv(argument: str, options: ReadOptions) -> LabelledSource:
    return _table("csv", argument, read_csv, options)


def _parquet(argument: str, options: ReadOptions) -> LabelledSource:
    return _table("parquet", argument, read_parquet, options)


def _table(kind: str, argument: str, read: Callable[[Path], ImageTable], options: ReadOptions) -> LabelledSource:
    return read_labelled_table(
        kind,
        user_path(argument),
        read,
        options.table,
        AuditOptions(options.corrupt, options.cache, options.verify),
        group=options.group,
        uncut=options.uncut,
    )


def _shards(argument: str, options: ReadOptions) -> LabelledSource:
    audit = AuditOptions(options.corrupt, options.cache, options.verify)
    return read_shards(argument, audit, empty_classes=options.uncut)


def _tfds(argument: str, options: ReadOptions) -> LabelledSource:
    from keras_cnn.data.tfds import read_tfds

    return read_tfds(argument, options.size, options.channels, options.fit, options.cache)


def _fashion_mnist(argument: str, options: ReadOptions) -> LabelledSource:
    try:
        return read_fashion_mnist(FASHION_MNIST_FOLDER)
    except FileNotFoundError:
        pass
    try:
        return _tfds("fashion_mnist", options)
    except InputError as error:
        raise InputError(
            f"fashion-mnist: not in {FASHION_MNIST_FOLDER} (apt install dataset-fashion-mnist), and {error}"
        ) from None


@dataclass(frozen=True)
class SourceReader:
    """A kind of source: `read(argument, options)` gets the text after the colon; the field `argument` describes it."""

    argument: str  # for messages; "" if nothing follows the name
    read: Callable[[str, ReadOptions], LabelledSource]


READERS = {
    "arrays": SourceReader("KEY", lambda argument, options: read_kept(argument, options.cache)),
    "csv": SourceReader("FILE", _csv),
    "fashion-mini": SourceReader("", lambda argument, options: read_fashion_mini()),
    "fashion-base": SourceReader("", lambda argument, options: read_fashion_classes(new=False)),
    "fashion-new": SourceReader("", lambda argument, options: read_fashion_classes(new=True)),
    "fashion-mnist": SourceReader("", _fashion_mnist),
    "folder": SourceReader("PATH", _folder),
    "npz": SourceReader("FILE", lambda argument, options: read_npz(user_path(argument))),
    "parquet": SourceReader("FILE", _parquet),
    "shards": SourceReader("PATTERN", _shards),
    "tfds": SourceReader("NAME[/CONFIG]", _tfds),
}


def source_names() -> str:
    """The sources as a user writes them, for messages and help."""
    return ", ".join(f"{kind}:{reader.argument}" if reader.argument else kind for kind, reader in READERS.items())


def _checked_size(image_size) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = [image_size, image_size] if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2:
        raise InputError(f"image_size = {image_size!r}: expected one number of pixels, or height and width")
    return _positive("image_size", sides[0]), _positive("image_size", sides[1])


def _positive(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} = {value!r}: expected a whole number from 1")
    return value


def _check_choices(**choices) -> None:
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise InputError(f"{name} = {value!r}: expected one of {', '.join(map(str, allowed))}")


def _refuse_limits(source: str, **limits: int | None) -> None:
    """Raises InputError for a limit of images per class: an image with several classes is in several of them."""
    for name, limit in limits.items():
        if limit is not None:
            raise InputError(
                f"data.{name}: found {limit}, but images of {source} may have several classes; expected null, and"
                " data.train for a number of images"
            )


def _image_shape(
    parts: Iterable[SourcePart], size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int, int], list[str]]:
    """(H, W, C) for all splits, and a note if DEFAULT_SIZE was chosen."""
    splits = [part.split for part in parts]
    arrays = [split.pixels for split in splits if split.pixels is not None]
    files = [split.files for split in splits if split.files]
    sizes = {size for some in files for size in some.sizes()}
    sizes |= {(int(pixels.shape[1]), int(pixels.shape[2])) for pixels in arrays if len(pixels)}
    modes = {mode for some in files for mode in some.modes()}
    depth = max([1, *(int(pixels.shape[3]) for pixels in arrays), *(1 if mode in GREY_MODES else 3 for mode in modes)])
    notes = []
    if size is None:
        common = next(iter(sizes)) if len(sizes) == 1 and (arrays or max(next(iter(sizes))) <= KEEP_SIZE) else None
        size = common or DEFAULT_SIZE
        if not common:
            smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
            notes.append(
                f"images from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} (height x width) are brought"
                f" to {size[0]} x {size[1]}; image_size sets another size"
            )
    return (size[0], size[1], channels or depth), notes


def _absent_classes(parts: dict[str, SourcePart], classes: tuple[str, ...]) -> list[str]:
    counts = {name: class_counts(part.split.labels, len(classes)) for name, part in parts.items()}
    return [
        f"{name} has no images of class {title!r}"
        for name, part in parts.items()
        for label, title in enumerate(classes)
        if len(part.split) and not counts[name][label]
    ]


def _at_shape(split: Split, shape: tuple[int, int, int], fit: str) -> Split:
    """`split` with its array of pixels, if it has one, at `shape` (H, W, C); files are decoded later."""
    if split.pixels is None or split.pixels.shape[1:] == shape:
        return split
    pixels = np.empty((len(split), *shape), np.uint8)
    for i, image in enumerate(split.pixels):
        upright = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        pixels[i] = as_array(fitted(upright, shape[:2], fit), shape[2])
    return replace(split, pixels=pixels)
