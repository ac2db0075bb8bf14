"""Decides whether an image file can be used, and reads its facts and its fingerprint."""

import os
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from keras_cnn.data.decoding import (
    UnreadableImageError,
    as_mode,
    facts_of,
    identify,
    open_regular,
    orientation_of,
    regular_content,
    unreadable,
    upright,
)
from keras_cnn.data.fingerprints import COLUMNS, ROWS, pixel_hash
from keras_cnn.data.image_files import ImageFile
from keras_cnn.data.manifest import RECORD, id_keys

COMPARED = ("format", "mode", "width", "height", "orientation")


def check_files(root: str, names: Sequence[str], decoded: Sequence[bool]) -> tuple[np.ndarray, dict[int, str]]:
    """The RECORD of each file that passes, in order, and the reason for each other one by its place.

    Of a file that is not `decoded`, only the header is read.
    """
    records, failed, keys = np.zeros(len(names), RECORD), {}, id_keys(names)
    for i, name in enumerate(names):
        found = _check(os.path.join(root, name), name, bool(decoded[i]))
        if isinstance(found, str):
            failed[i] = found
        else:
            records[i] = (*found, keys[i])
    return np.delete(records, list(failed)), failed


def check_contents(
    names: Sequence[str], contents: Sequence[bytes], decoded: Sequence[bool]
) -> tuple[np.ndarray, dict[int, str]]:
    """`check_files` of images whose bytes are given. Those that fail have an empty RECORD; `modified` is 0 for all."""
    records, failed, keys = np.zeros(len(names), RECORD), {}, id_keys(names)
    for i, (name, content) in enumerate(zip(names, contents, strict=True)):
        try:
            with regular_content(name, content) as file:
                found = _seen(name, file, name, len(content), bool(decoded[i]))
                records[i] = (*found[0], len(content), 0, decoded[i], *found[1], keys[i])
        except UnreadableImageError as error:
            failed[i] = error.reason
    return records, failed


def difference(file: ImageFile) -> str | None:
    """How the file differs now from its recorded facts, or why it cannot be read; None if neither."""
    found = _check(str(file.path), "", decoded=True)
    if isinstance(found, str):
        return found
    actual = dict(zip(RECORD.names or (), found, strict=False))
    expected = {name: getattr(file, name) for name in COMPARED}
    if all(actual[name] == value for name, value in expected.items()):
        return None
    return f"is now {_words(**{name: actual[name] for name in COMPARED})}, expected {_words(**expected)}"


def _words(format: str, mode: str, width: int, height: int, orientation: int) -> str:
    return f"{format} {mode} of {width} x {height} pixels, orientation {orientation}"


def _check(path: str, name: str, decoded: bool) -> tuple | str:
    """The fields of RECORD without the key, or the reason why the file cannot be used."""
    try:
        status = os.stat(path)
        with open_regular(path) as file:
            facts, fingerprint = _seen(path, file, name, status.st_size, decoded)
    except UnreadableImageError as error:
        return error.reason
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and not os.path.islink(path)
        return "vanished while it was read" if gone else unreadable(path, error).reason
    return (*facts, status.st_size, status.st_mtime_ns, decoded, *fingerprint)


def _seen(
    path: str, file: BinaryIO, name: str, size: int, decoded: bool
) -> tuple[tuple, tuple[np.ndarray, np.ndarray]]:
    """The facts of an image, and its hash and thumbnail; of one that is not `decoded`, a hash of name and size."""
    if decoded:
        facts, hashed, thumbnail = inspect(path, file.read())
    else:
        with identify(path, file) as image:
            facts = facts_of(image)
        hashed = sha256(f"not decoded|{size}|{name}".encode()).digest()[:16]
        thumbnail = bytes(ROWS * COLUMNS)
    return facts, (np.frombuffer(hashed, np.uint8), np.frombuffer(thumbnail, np.uint8))


def inspect(path: str, data: bytes) -> tuple[tuple, bytes, bytes]:
    """The facts, the hash of the pixels and the thumbnail of an image. UnreadableImageError if it is damaged."""
    with identify(path, BytesIO(data)) as image:
        _check_ending(path, image.format, data)
        image.load()
        facts = facts_of(image)
        pixels = upright(image, orientation_of(image))
        shape = f"{pixels.height}x{pixels.width}".encode()
        thumbnail = as_mode(pixels, "L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
        return facts, pixel_hash(shape, as_mode(pixels, "RGB").tobytes()), thumbnail.tobytes()


def _check_ending(path: str, image_format: str | None, data: bytes) -> None:
    """Refuses a file without its end, which Pillow tolerates but TensorFlow's decoders do not."""
    if image_format == "PNG":
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            image.verify()
        if b"IEND\xaeB`\x82" not in data:
            raise UnreadableImageError(path, "truncated: the end chunk is incomplete")
    elif image_format in ("JPEG", "MPO") and not _jpeg_has_end(data):
        raise UnreadableImageError(path, "truncated: the end-of-image marker is missing")


def _jpeg_has_end(data: bytes) -> bool:
    """Whether an end marker follows the first scan. Embedded previews have theirs before it, inside segments."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        is_fill = data[at + 1] == 0xFF
        at += 1 if is_fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0
