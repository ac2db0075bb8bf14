"""The folder walker of every program: which files below a folder are images, in one order on every machine.

Hidden files (and so macOS's `._NAME`) and files of operating systems are passed over, links are followed, and whatever
else is there is counted. Files that only look like images, FIFOs among them, are left for the image reader to refuse.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from keras_cnn.errors import InputError

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
)
HIDDEN = "hidden or system files"  # how they are counted
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def walk(folder: Path, ignored: Counter, extensions: Collection[str] = IMAGE_EXTENSIONS) -> Iterator[str]:
    """POSIX paths below `folder`, at any depth and sorted, of the files with one of `extensions` (in lower case).

    `ignored` counts the other files by their kind. InputError for a folder that cannot be listed, and for a link to a
    folder above it.
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
    """What lies in the folder, sorted by name. InputError if it cannot be listed."""
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
    """Whether a file of this name should be an image."""
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
    """As "2 hidden or system files, 15 .txt", for messages."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(ignored.items()))
