"""A folder of class folders, or of train, validation and test folders of class folders. Nothing in it is changed."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_cnn.data.audit import Checked, audit, refuse
from keras_cnn.data.dataset import Split
from keras_cnn.data.fingerprints import COLUMNS, ROWS, Fingerprints
from keras_cnn.data.splits import PART_OF, Labelled, Part, part_names
from keras_cnn.errors import InputError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp"})
_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True)
class _Found:
    """An image file, not yet looked into."""

    name: str  # POSIX path below the root, as the file system has it
    part: str  # "train", "validation" or "test"
    title: str  # of the class

    @property
    def id(self) -> str:
        """One spelling for names that some systems store decomposed."""
        return unicodedata.normalize("NFC", self.name)


def read_folder(root: Path, corrupt: str, cache_dir: Path, *, empty_classes: bool = False) -> Labelled:
    """The images below `root`, each looked into. InputError names everything that is wrong, file by file.

    With `corrupt` "skip", files that cannot be used are left out and listed in the findings. With `empty_classes`, a
    class folder without images is passed over, and a class need not be in train.
    """
    ignored = Counter()
    found = sorted(_find(root, ignored, empty_classes), key=lambda f: f.id)
    if not found:
        raise InputError(f"folder:{root}: no images in any class folder")
    spelling, seen = _misspelt(found), {f.name: f for f in found}
    passed, problems = audit(root, [name for name in seen if name not in spelling], cache_dir)
    problems |= spelling
    if corrupt == "fail":
        refuse(problems, len(found))
    found = [f for f in found if f.name in passed]
    titles = sorted({f.title for f in found if f.part == "train" or empty_classes})
    if not empty_classes:
        _check_classes(root, found, titles, {(f.part, f.title) for f in seen.values()})
    parts = {
        part: _part([f for f in found if f.part == part], titles, passed)
        for part in ("train", "validation", "test")
        if part == "train" or any(f.part == part for f in found)
    }
    skipped = [{"id": _printable(name), "reason": reason} for name, reason in sorted(problems.items())]
    return Labelled(tuple(titles), parts, {"skipped": skipped, "ignored": dict(sorted(ignored.items()))})


def _find(root: Path, ignored: Counter, empty_classes: bool) -> Iterator[_Found]:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise InputError(f"folder:{root}: {state}; expected a folder with one folder of images for each class")
    folders = _folders(root)
    by_part = _split_folders(root, folders, ignored)
    loose = sum(_extension(entry) in EXTENSIONS for entry in _list(root))
    for part, folder in by_part or [("train", root)]:
        titles = _folders(folder) if by_part else folders
        for title in titles:
            yield from _images_of_class(root, title, part, ignored, empty_classes)
    if not folders:
        raise InputError(f"folder:{root}: no class folders, {loose} images; expected {root}/CLASS/IMAGE.jpg")
    if loose:
        ignored["images outside any class folder"] += loose


def _images_of_class(root: Path, folder: Path, part: str, ignored: Counter, may_be_empty: bool) -> list[_Found]:
    title = unicodedata.normalize("NFC", folder.name)
    seen = ignored.copy()
    names = list(_walk(folder, folder.relative_to(root).as_posix(), (_identity(root),), ignored))
    if not names and not may_be_empty:
        other = ", ".join(f"{count} {kind}" for kind, count in sorted((ignored - seen).items()))
        raise InputError(f"class folder {_printable(str(folder))}: no images{f' (but {other})' if other else ''}")
    return [_Found(name, part, title) for name in names]


def _split_folders(root: Path, folders: list[Path], ignored: Counter) -> list[tuple[str, Path]]:
    """(part, folder) pairs, or nothing if the folders are classes. A class may be called "train" if it holds images."""
    splits = [f for f in folders if f.name.lower() in PART_OF and _folders(f) and not _has_images(f)]
    if not splits:
        return []
    for folder in folders:
        if folder not in splits and next(_walk(folder, folder.name, (_identity(root),), Counter()), None):
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


def _walk(folder: Path, name: str, above: tuple, ignored: Counter) -> Iterator[str]:
    """Files with an image's extension at any depth, as names that begin with `name`; links are followed."""
    identity = _identity(folder)
    if identity in above:
        raise InputError(f"{folder}: a link that leads back to a folder above it; remove the link")
    for entry in _list(folder):
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            ignored["hidden or system files"] += 1
        elif _is_dir(entry):
            yield from _walk(Path(entry.path), f"{name}/{entry.name}", (*above, identity), ignored)
        elif _extension(entry) in EXTENSIONS:
            yield f"{name}/{entry.name}"
        else:
            ignored[_extension(entry) or "without extension"] += 1


def _list(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None


def _extension(entry: os.DirEntry) -> str:
    return os.path.splitext(entry.name)[1].lower()


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; if it is named like an image, the audit reports it
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _folders(folder: Path) -> list[Path]:
    visible = (e for e in _list(folder) if not e.name.startswith(".") and e.name.lower() not in _LITTER)
    return [Path(entry.path) for entry in visible if _is_dir(entry)]


def _has_images(folder: Path) -> bool:
    return any(_extension(entry) in EXTENSIONS and not _is_dir(entry) for entry in _list(folder))


def _misspelt(found: list[_Found]) -> dict[str, str]:
    """Files whose names cannot serve as ids."""
    problems, first = {}, {}
    for f in found:
        if _printable(f.name) != f.name:
            problems[f.name] = "the name is not valid UTF-8: rename the file"
        elif first.setdefault(f.id, f.name) != f.name:
            problems[f.name] = "another file's name looks the same (composed and decomposed letters): rename one"
    return problems


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _check_classes(root: Path, found: list[_Found], titles: list[str], before: set[tuple[str, str]]) -> None:
    for part, title in sorted(before - {(f.part, f.title) for f in found}):
        raise InputError(f"folder:{root}: class {title!r} has no usable image left for {part}")
    for f in found:
        if f.title not in titles:
            raise InputError(f"folder:{root}: {f.part} has the class {f.title!r}, train has not")


def _part(found: list[_Found], titles: list[str], passed: dict[str, Checked]) -> Part:
    checked = [passed[f.name] for f in found]
    index = {title: i for i, title in enumerate(titles)}
    thumbnails = np.frombuffer(b"".join(c.thumbnail for c in checked), np.uint8).reshape(-1, ROWS * COLUMNS)
    split = Split(
        ids=tuple(f.id for f in found),
        labels=np.array([index[f.title] for f in found], np.int32),
        files=tuple(c.file for c in checked),
    )
    return Part(split, Fingerprints(tuple(c.pixel_hash for c in checked), thumbnails))
