"""Finds the image files below a folder, for every program, in the same order on every machine.

Links are followed. Hidden files (including macOS's `._NAME`), files of operating systems and files with other
extensions are skipped and counted. Files that only look like images, such as FIFOs, are refused by the image reader.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from keras_cnn.errors import InputError

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
)
HIDDEN = "hidden or system files"  # the name under which they are counted
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def walk(folder: Path, ignored: Counter, extensions: Collection[str] = IMAGE_EXTENSIONS) -> Iterator[str]:
    """Sorted POSIX paths below `folder`, at any depth, of the files with one of `extensions` (in lower case).

    `ignored` counts the other files by their kind. Raises InputError for a folder that cannot be listed, and for a link
    to a folder above it.
    """
    return _walk(folder, "", (), ignored, extensions)


def _walk(folder: Path, prefix: str, above: tuple, ignored: Counter, extensions: Collection[str]) -> Iterator[str]:
    identity = _identity(folder)
    if identity in above:
        raise InputError(f"{folder}: a link that leads back to a folder above it; remove the link")
    for entry in entries(folder):
        if is_hidden(entry):
            ignored[HIDDEN] += 1
        elif is_folder(entry):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, identity), ignored, extensions)
        elif extension(entry.name) in extensions:
            yield f"{prefix}{entry.name}"
        else:
            ignored[extension(entry.name) or "without extension"] += 1


def entries(folder: Path) -> list[os.DirEntry]:
    """The entries of the folder, sorted by name. Raises InputError if it cannot be listed."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in `folder`, sorted by name."""
    return [Path(entry.path) for entry in entries(folder) if not is_hidden(entry) and is_folder(entry)]


def images_in(folder: Path) -> list[str]:
    """Names of the files directly in `folder` that have an image's extension, sorted."""
    return [e.name for e in entries(folder) if not is_hidden(e) and is_image(e.name) and not is_folder(e)]


def is_image(name: str) -> bool:
    """Whether the name has an image's extension."""
    return extension(name) in IMAGE_EXTENSIONS


def extension(name: str) -> str:
    """The extension in lower case, with its dot; "" if there is none."""
    return os.path.splitext(name)[1].lower()


def is_hidden(entry: os.DirEntry) -> bool:
    """Whether the entry is hidden or a file of an operating system."""
    return entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES


def is_folder(entry: os.DirEntry) -> bool:
    """Whether the entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; if it is named like an image, the audit reports it
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None
    return status.st_dev, status.st_ino


def ignored_text(ignored: Counter) -> str:
    """Text for messages, such as "2 hidden or system files, 15 .txt"."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(ignored.items()))
