"""Reads a folder of class folders, or of train, validation and test folders with class folders. Changes nothing."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.data.audit import AuditResult, audit, refuse, without
from keras_cnn.data.columns import Texts, joined
from keras_cnn.data.dataset import Split
from keras_cnn.data.fingerprints import Fingerprints
from keras_cnn.data.manifest import image_id
from keras_cnn.data.splits import NAMES, PART_OF, LabelledSource, SourcePart, part_names
from keras_cnn.data.user_files import located
from keras_cnn.data.walking import HIDDEN, ignored_text, images_in, subfolders, walk
from keras_cnn.errors import InputError
from keras_cnn.messages import counted
from keras_cnn.operating_system import map_files

LISTED = 10  # notes about class folders with files left out; the others are counted


@dataclass(frozen=True)
class ListedImages:
    """N image files with their classes, not yet checked."""

    names: Texts  # POSIX paths below the root, as the file system spells them; absolute for files elsewhere
    parts: np.ndarray  # (N,) uint8, index into `splits.NAMES`
    labels: np.ndarray  # (N,) int32, index into `titles`
    titles: tuple[str, ...]
    groups: np.ndarray | None = None  # see `SourcePart.groups`
    group_names: tuple[str, ...] = ()

    def take(self, indices: np.ndarray) -> "ListedImages":
        """The files at `indices`, in that order."""
        groups = None if self.groups is None else self.groups[indices]
        return replace(
            self, names=self.names.take(indices), parts=self.parts[indices], labels=self.labels[indices], groups=groups
        )

    def in_order(self) -> "ListedImages":
        """The files in order of their ids."""
        if all(a <= b for a, b in itertools.pairwise(map(image_id, self.names))):
            return self
        ids = list(map(image_id, self.names))
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return self.take(np.array(order, np.int64))


def read_folder(
    root: Path, corrupt: str, cache_dir: Path, *, verify: str = "full", empty_classes: bool = False
) -> LabelledSource:
    """Reads and checks the images below `root`. Raises InputError, which names everything that is wrong, file by file.

    With `corrupt` "skip", files that cannot be used are left out and listed in the findings. With `empty_classes`, a
    class folder without images is skipped, and a class may be missing from train. For `verify` see `audit`.
    """
    ignored, notes = Counter(), []
    images = _find(root, ignored, notes, empty_classes).in_order()
    if not len(images.names):
        raise InputError(f"folder:{root}: no images in any class folder")
    if len(notes) > LISTED:
        notes[LISTED:] = [f"{len(notes) - LISTED:,} more class folders with files left out"]
    options = AuditOptions(corrupt, cache_dir, verify)
    source = labelled_source(f"folder:{root}", root, images, options, empty_classes=empty_classes)
    findings = source.findings | {"ignored": dict(sorted(ignored.items()))}
    return replace(source, findings=findings | {"notes": [*notes, *findings["notes"]]})


@dataclass(frozen=True)
class AuditOptions:
    """How the files of a source are checked; see `sources.load`."""

    corrupt: str
    cache_dir: Path
    verify: str = "full"


def labelled_source(
    where: str,
    root: Path,
    images: ListedImages,
    options: AuditOptions,
    *,
    empty_classes: bool = False,
    order: Callable[[str], Any] = str,
) -> LabelledSource:
    """The source of these files below `root`, each checked; see `read_folder`. `order` sorts the names of the classes.

    `where` names the source in messages. The files must be in order of their ids.
    """
    spelling = _misspelt(images.names)
    spelt = without(len(images.names), spelling)
    audited = audit(root, images.names.take(spelt), options.cache_dir, options.verify)
    problems = {int(spelt[place]): reason for place, reason in audited.problems.items()} | spelling
    audited = replace(audited, passed=spelt[audited.passed], problems=problems)
    return source_of(where, images, audited, options, empty_classes=empty_classes, order=order)


def source_of(
    where: str,
    images: ListedImages,
    audited: AuditResult,
    options: AuditOptions,
    *,
    empty_classes: bool = False,
    order: Callable[[str], Any] = str,
) -> LabelledSource:
    """The source of images that were audited; see `labelled_source`."""
    problems = audited.problems
    names = {place: images.names[place] for place in problems}
    if options.corrupt == "fail":
        refuse({names[place]: reason for place, reason in problems.items()}, len(images.names))
    passed = images.take(audited.passed)
    used = passed.labels if empty_classes else passed.labels[passed.parts == NAMES.index("train")]
    titles = sorted((images.titles[label] for label in np.unique(used)), key=order)
    if not empty_classes:
        _check_classes(where, images, passed, titles)
    parts = {
        part: _part(passed, audited, np.flatnonzero(passed.parts == number), titles)
        for number, part in enumerate(NAMES)
        if part == "train" or np.any(passed.parts == number)
    }
    skipped = [
        {"id": _printable(names[place]), "reason": problems[place]} for place in sorted(names, key=names.__getitem__)
    ]
    notes = _unusable(problems, names, images) + _not_decoded(audited, options.verify)
    findings = {"skipped": skipped, "notes": notes, "verified": _verified(audited, options.verify)}
    return LabelledSource(tuple(titles), parts, findings, images.group_names)


def _verified(audited: AuditResult, verify: str) -> dict[str, Any]:
    decoded = int(np.count_nonzero(audited.files.column("decoded")))
    return {"verify": verify, "images": len(audited.files), "decoded": decoded, "compared_now": audited.compared}


def _not_decoded(audited: AuditResult, verify: str) -> list[str]:
    """A note if the audit has not decoded every image, or has not compared every file with the manifest."""
    facts = _verified(audited, verify)
    images, notes = facts["images"], []
    if unread := images - facts["decoded"]:
        notes.append(
            f"data.verify {verify}: {unread:,} of {images:,} images were not decoded before training: whether they are"
            " damaged or duplicates is not known"
        )
    if unseen := images - facts["compared_now"]:
        notes.append(
            f"data.verify {verify}: {unseen:,} of {images:,} files were taken from an earlier audit; whether they have"
            " changed since is not known"
        )
    return notes


def _unusable(problems: dict[int, str], names: dict[int, str], images: ListedImages) -> list[str]:
    """A note for each class with unusable files: their number, and the first file with the reason."""
    by_class: dict[str, list[int]] = {}
    for place in sorted(names, key=names.__getitem__):
        by_class.setdefault(images.titles[images.labels[place]], []).append(place)
    return [
        f"class {_printable(title)}: {counted(len(places), 'image')} left out, the first:"
        f" {_printable(names[places[0]])}: {problems[places[0]]}"
        for title, places in by_class.items()
    ]


def _find(root: Path, ignored: Counter, notes: list[str], empty_classes: bool) -> ListedImages:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise InputError(f"folder:{located(root)}: {state}; expected a folder with one folder of images for each class")
    folders = subfolders(root)
    by_part = _split_folders(root, folders, ignored)
    loose = len(images_in(root))
    found = [
        (part, class_folder)
        for part, folder in by_part or [("train", root)]
        for class_folder in (subfolders(folder) if by_part else folders)
    ]
    if not folders:
        raise InputError(f"folder:{root}: no class folders, {loose} images; expected {root}/CLASS/IMAGE.jpg")
    if loose:
        ignored["images outside any class folder"] += loose
    listings = map_files(lambda item: _images_of_class(root, item[1]), found)
    counts = []
    for (_, folder), (names, other) in zip(found, listings, strict=True):
        ignored += other
        _judge_class(root, folder, len(names), other, notes, may_be_empty=empty_classes)
        counts.append(len(names))
    titles = [unicodedata.normalize("NFC", folder.name) for _, folder in found]
    known = tuple(dict.fromkeys(titles))
    return ListedImages(
        joined([names for names, _ in listings]),
        np.repeat(np.array([NAMES.index(part) for part, _ in found], np.uint8), counts),
        np.repeat(np.array([known.index(title) for title in titles], np.int32), counts),
        known,
    )


def _images_of_class(root: Path, folder: Path) -> tuple[Texts, Counter]:
    """The names of the images in the folder of a class, below the root, and what else is there."""
    prefix, other = folder.relative_to(root).as_posix(), Counter()
    return Texts.of(f"{prefix}/{name}" for name in walk(folder, other)), other


def _judge_class(
    root: Path, folder: Path, images: int, other: Counter, notes: list[str], *, may_be_empty: bool
) -> None:
    if not images and not may_be_empty:
        text = f" (but {ignored_text(other)})" if other else ""
        raise InputError(f"class folder {_printable(str(folder))}: no images{text}")
    left_out = Counter({kind: count for kind, count in other.items() if kind != HIDDEN})
    if left_out:
        prefix = _printable(folder.relative_to(root).as_posix())
        notes.append(f"class folder {prefix}: {counted(left_out.total(), 'file')} left out: {ignored_text(left_out)}")


def _split_folders(root: Path, folders: list[Path], ignored: Counter) -> list[tuple[str, Path]]:
    """(part, folder) pairs; empty if the folders are classes. A folder called "train" that holds images is a class."""
    splits = [f for f in folders if f.name.lower() in PART_OF and subfolders(f) and not images_in(f)]
    if not splits:
        return []
    for folder in folders:
        if folder not in splits and next(walk(folder, Counter()), None):
            raise InputError(
                f"folder:{root}: {splits[0].name!r} holds class folders, but {folder.name!r} does not fit: expected"
                " either class folders only, or only train, validation and test folders that hold class folders"
            )
        if folder not in splits:
            ignored["folders without images"] += 1
    parts = part_names(f"folder:{root}", [folder.name for folder in splits])
    if "train" not in parts:
        raise InputError(f"folder:{root}: has {', '.join(f.name for f in splits)}, but no train folder")
    return [(part, root / name) for part, name in parts.items()]


def _misspelt(names: Texts) -> dict[int, str]:
    """The files, in order of their ids, whose names cannot serve as ids, with the reason."""
    problems, before = {}, None
    for place, name in enumerate(names):
        if name.isascii():
            before = name
        elif _printable(name) != name:
            problems[place] = "the name is not valid UTF-8: rename the file"
        elif image_id(name) == before:
            problems[place] = "another file's name looks the same (composed and decomposed letters): rename one"
        else:
            before = image_id(name)
    return problems


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _check_classes(where: str, images: ListedImages, passed: ListedImages, titles: list[str]) -> None:
    def pairs(some: ListedImages) -> set[tuple[str, str]]:
        codes = np.unique(some.parts.astype(np.int64) * len(some.titles) + some.labels).tolist()
        return {(NAMES[code // len(some.titles)], some.titles[code % len(some.titles)]) for code in codes}

    for part, title in sorted(pairs(images) - pairs(passed)):
        raise InputError(f"{where}: class {title!r} has no usable image left for {part}")
    for part, title in sorted(pairs(passed)):
        if title not in titles:
            raise InputError(f"{where}: {part} has the class {title!r}, train has not")


def _part(images: ListedImages, audited: AuditResult, places: np.ndarray, titles: list[str]) -> SourcePart:
    index = np.full(len(images.titles), -1, np.int32)
    for label, title in enumerate(titles):
        index[images.titles.index(title)] = label
    files = audited.files.take(places)
    names = files.names.take(files.rows)
    ids = names if all(map(str.isascii, names)) else Texts.of(map(image_id, names))
    split = Split(ids, index[images.labels[places]], files=files)
    fingerprints = Fingerprints(files.columns["pixel_hash"], files.columns["thumbnail"], files.rows)
    groups = None if images.groups is None else images.groups[places]
    return SourcePart(split, fingerprints, None if groups is None or np.all(groups < 0) else groups)
