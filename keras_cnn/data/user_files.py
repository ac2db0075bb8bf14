"""Paths and text files that users give."""

import codecs
import os
import stat
from pathlib import Path

from keras_cnn.errors import InputError

MAX_TEXT = 2 << 30  # bytes; COCO's annotations of 118,000 images take 0.45 GiB


def user_path(text: str | Path) -> Path:
    """The path that a user gives, with ~ and ~USER replaced. Raises InputError if that home folder is not known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = str(text).partition("/")[0]
        raise InputError(f"{text}: no home folder is known for {user}; write the whole path") from None


def located(path: Path) -> str:
    """The path for messages; a relative path is followed by its base folder."""
    return str(path) if path.is_absolute() else f"{path} (in {Path.cwd()})"


def read_text(path: Path, what: str, limit: int = MAX_TEXT) -> str:
    """The text of a regular file in UTF-8, or in UTF-16 with a byte-order mark; the mark is dropped.

    Raises InputError for anything else; its one-line message names `what`. FIFOs and devices are not opened.
    """
    return decoded(read_bytes(path, what, limit), path, what)


def read_bytes(path: Path, what: str, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises InputError as `read_text` does."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: cannot read the {what}: not a regular file")
        if status.st_size > limit:
            raise InputError(f"{path}: cannot read the {what}: {status.st_size:,} bytes, more than {limit:,}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the {what}: {error.strerror}") from None


def decoded(data: bytes, path: Path, what: str) -> str:
    """`data` as text. Raises InputError as `read_text` does."""
    if data.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise InputError(f"{path}: cannot read the {what}: it is a compressed file; unpack it first")
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at position {error.start:,}"
        raise InputError(f"{path}: cannot read the {what}: it is not UTF-8 text ({found}); save it as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{path}: cannot read the {what}: it is not text (it holds zero bytes)")
    return text
