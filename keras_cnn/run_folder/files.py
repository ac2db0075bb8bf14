"""Atomic writes: a temporary file replaces the old one, so that a reader finds the old content or the new."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_cnn.errors import Stopped


@contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Raises Stopped, naming `path`, if the disk is full or the quota is used up. The block must write atomically."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stopped(f"{path}: the disk is full; what was there before is unchanged") from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which replaces `path` on success and is removed on an error.

    Raises Stopped, naming the file, if the disk is full or the folder is gone; the old file stays untouched.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")  # Keras chooses the format by the suffix
    try:
        with naming_a_full_disk(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            moved = "moved or removed since it was opened; if it was moved, go on in its new place"
            raise Stopped(f"{path.parent}: no such folder any more, {moved}") from error
        raise


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replaces the content of a file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Replaces a JSON file atomically. ValueError for NaN and infinity, which JSON cannot represent."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
