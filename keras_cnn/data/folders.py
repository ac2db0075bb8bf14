"""Reads a folder of class folders, or of train, validation and test folders with class folders. Changes nothing."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.data.audit import Checked, audit, refuse
from keras_cnn.data.dataset import Split
from keras_cnn.data.fingerprints import COLUMNS, ROWS, Fingerprints
from keras_cnn.data.splits import PART_OF, LabelledSource, SourcePart, part_names
from keras_cnn.data.user_files import located
from keras_cnn.data.walking import HIDDEN, ignored_text, images_in, subfolders, walk
from keras_cnn.errors import InputError
from keras_cnn.messages import counted

LISTED = 10  # notes about class folders with files left out; the others are counted


@dataclass(frozen=True)
class ClassFile:
    """An image file of a class, not yet checked."""

    name: str  # POSIX path below the root, as the file system spells it; absolute for a file elsewhere
    part: str  # "train", "validation" or "test"
    title: str  # of the class
    group: str = ""  # images of one group stay in one split

    @property
    def id(self) -> str:
        """The name in Unicode form NFC, because some systems store letters decomposed."""
        return unicodedata.normalize("NFC", self.name)


def read_folder(root: Path, corrupt: str, cache_dir: Path, *, empty_classes: bool = False) -> LabelledSource:
    """Reads and checks the images below `root`. Raises InputError, which names everything that is wrong, file by file.

    With `corrupt` "skip", files that cannot be used are left out and listed in the findings. With `empty_classes`, a
    class folder without images is skipped, and a class may be missing from train.
    """
    ignored, notes = Counter(), []
    files = sorted(_find(root, ignored, notes, empty_classes), key=lambda file: file.id)
    if not files:
        raise InputError(f"folder:{root}: no images in any class folder")
    if len(notes) > LISTED:
        notes[LISTED:] = [f"{len(notes) - LISTED:,} more class folders with files left out"]
    source = labelled_source(f"folder:{root}", root, files, corrupt, cache_dir, empty_classes=empty_classes)
    findings = source.findings | {"ignored": dict(sorted(ignored.items()))}
    return replace(source, findings=findings | {"notes": [*notes, *findings["notes"]]})


def labelled_source(
    where: str,
    root: Path,
    files: Sequence[ClassFile],
    corrupt: str,
    cache_dir: Path,
    *,
    empty_classes: bool = False,
    order: Callable[[str], Any] = str,
) -> LabelledSource:
    """The source of these files below `root`, each checked; see `read_folder`. `order` sorts the names of the classes.

    `where` names the source in messages.
    """
    spelling, listed = _misspelt(files), {file.name: file for file in files}
    passed, problems = audit(root, [name for name in listed if name not in spelling], cache_dir)
    problems |= spelling
    if corrupt == "fail":
        refuse(problems, len(files))
    files = [file for file in files if file.name in passed]
    titles = sorted({file.title for file in files if file.part == "train" or empty_classes}, key=order)
    if not empty_classes:
        _check_classes(where, files, titles, {(file.part, file.title) for file in listed.values()})
    parts = {
        part: _part([file for file in files if file.part == part], titles, passed)
        for part in ("train", "validation", "test")
        if part == "train" or any(file.part == part for file in files)
    }
    skipped = [{"id": _printable(name), "reason": reason} for name, reason in sorted(problems.items())]
    return LabelledSource(tuple(titles), parts, {"skipped": skipped, "notes": _unusable(problems, listed)})


def _unusable(problems: dict[str, str], listed: dict[str, ClassFile]) -> list[str]:
    """A note for each class with unusable files: their number, and the first file with the reason."""
    by_class: dict[str, list[str]] = {}
    for name in sorted(problems):
        by_class.setdefault(listed[name].title, []).append(name)
    return [
        f"class {_printable(title)}: {counted(len(names), 'image')} left out, the first: {_printable(names[0])}:"
        f" {problems[names[0]]}"
        for title, names in by_class.items()
    ]


def _find(root: Path, ignored: Counter, notes: list[str], empty_classes: bool) -> Iterator[ClassFile]:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise InputError(f"folder:{located(root)}: {state}; expected a folder with one folder of images for each class")
    folders = subfolders(root)
    by_part = _split_folders(root, folders, ignored)
    loose = len(images_in(root))
    for part, folder in by_part or [("train", root)]:
        for class_folder in subfolders(folder) if by_part else folders:
            yield from _images_of_class(root, class_folder, part, ignored, notes, may_be_empty=empty_classes)
    if not folders:
        raise InputError(f"folder:{root}: no class folders, {loose} images; expected {root}/CLASS/IMAGE.jpg")
    if loose:
        ignored["images outside any class folder"] += loose


def _images_of_class(
    root: Path, folder: Path, part: str, ignored: Counter, notes: list[str], *, may_be_empty: bool
) -> list[ClassFile]:
    title = unicodedata.normalize("NFC", folder.name)
    prefix, other = folder.relative_to(root).as_posix(), Counter()
    names = [f"{prefix}/{name}" for name in walk(folder, other)]
    ignored += other
    if not names and not may_be_empty:
        text = f" (but {ignored_text(other)})" if other else ""
        raise InputError(f"class folder {_printable(str(folder))}: no images{text}")
    del other[HIDDEN]
    if other:
        notes.append(
            f"class folder {_printable(prefix)}: {counted(other.total(), 'file')} left out: {ignored_text(other)}"
        )
    return [ClassFile(name, part, title) for name in names]


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


def _misspelt(files: Sequence[ClassFile]) -> dict[str, str]:
    """The files whose names cannot serve as ids, with the reason."""
    problems, first = {}, {}
    for file in files:
        if _printable(file.name) != file.name:
            problems[file.name] = "the name is not valid UTF-8: rename the file"
        elif first.setdefault(file.id, file.name) != file.name:
            problems[file.name] = "another file's name looks the same (composed and decomposed letters): rename one"
    return problems


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _check_classes(where: str, files: list[ClassFile], titles: list[str], listed: set[tuple[str, str]]) -> None:
    for part, title in sorted(listed - {(file.part, file.title) for file in files}):
        raise InputError(f"{where}: class {title!r} has no usable image left for {part}")
    for file in files:
        if file.title not in titles:
            raise InputError(f"{where}: {file.part} has the class {file.title!r}, train has not")


def _part(files: list[ClassFile], titles: list[str], passed: dict[str, Checked]) -> SourcePart:
    checked = [passed[file.name] for file in files]
    index = {title: i for i, title in enumerate(titles)}
    thumbnails = np.frombuffer(b"".join(c.thumbnail for c in checked), np.uint8).reshape(-1, ROWS * COLUMNS)
    split = Split(
        ids=tuple(file.id for file in files),
        labels=np.array([index[file.title] for file in files], np.int32),
        files=tuple(c.file for c in checked),
    )
    groups = tuple(file.group for file in files) if any(file.group for file in files) else ()
    return SourcePart(split, Fingerprints(tuple(c.pixel_hash for c in checked), thumbnails), groups)
