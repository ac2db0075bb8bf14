"""Checks every image file before training starts. No image file is changed.

A file passes if it can be decoded to its last row. The result is stored in a cache folder (by default
`default_cache_dir`) and reused as long as the file's size and modification time stay the same.
"""

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import PIL
from PIL import Image

from keras_cnn.data.dataset import ImageFile
from keras_cnn.data.decoding import (
    UnreadableImageError,
    format_of,
    identify,
    open_regular,
    orientation_of,
    unreadable,
    upright,
)
from keras_cnn.data.fingerprints import COLUMNS, ROWS, pixel_hash
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import cores

_VERSION = f"2, Pillow {PIL.__version__}"
_BATCH = 64  # files per task: handing over a single small file takes as long as checking it


@dataclass(frozen=True)
class Checked:
    """A file that passed the audit."""

    file: ImageFile
    pixel_hash: bytes  # 16 bytes
    thumbnail: bytes  # 72 bytes, see fingerprints


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/keras_cnn`, or `~/.cache/keras_cnn`."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "keras_cnn"


def audit(root: Path, names: Sequence[str], cache_dir: Path) -> tuple[dict[str, Checked], dict[str, str]]:
    """Checks the files `names` below `root`. Returns those that passed and the reason for each failure, by name."""
    cache_file = cache_dir / "audit" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"
    known = _read_cache(cache_file)
    with ThreadPoolExecutor(len(cores())) as pool:
        batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
        checked = pool.map(lambda batch: [_check(os.path.join(root, name), known.get(name)) for name in batch], batches)
        results = [row for batch in checked for row in batch]
    rows = {name: row for name, row in zip(names, results, strict=True) if not isinstance(row, str)}
    problems = {name: row for name, row in zip(names, results, strict=True) if isinstance(row, str)}
    if any(known.get(name) != row for name, row in rows.items()):
        _write_cache(cache_file, known | rows)
    return {name: _checked(root / name, row) for name, row in rows.items()}, problems


def refuse(problems: dict[str, str], total: int) -> None:
    """Raises InputError with a line for each file that failed the audit; does nothing if none did."""
    if problems:
        lines = [f"  {name}: {reason}" for name, reason in sorted(problems.items())]
        summary = f"{len(problems)} of {total} image files cannot be used; repair or remove them, or leave them out"
        raise InputError(f"{summary} with --data.corrupt skip:", *lines)


def no_longer_readable(files: Sequence[ImageFile], error: Exception) -> Stopped:
    """The exception to raise for `error`, which occurred while reading `files`. All of them had passed `audit`.

    The files are checked again, the last changed first. The exception names the first that differs, and how.
    """
    when = {file.path: _changed_at(file.path) for file in files}
    missing = sum(time == math.inf for time in when.values())
    others = f" (like {missing - 1:,} others)" if missing > 1 else ""
    for file in sorted(files, key=lambda file: when[file.path], reverse=True):
        if reason := _difference(file):
            return Stopped(f"{file.path}: {reason}{others}; it was readable before: restore it")
    reason = " ".join(str(error).split())[:300]
    return Stopped(f"an image could not be read, although each can be read now ({reason})")


def _changed_at(path: Path) -> float:
    """The time at which the file's content, name or permissions last changed; infinity if it does not exist."""
    try:
        return path.stat().st_ctime
    except OSError:
        return math.inf


def _difference(file: ImageFile) -> str | None:
    row = _check(str(file.path), None)
    if isinstance(row, str):
        return row
    actual, expected = tuple(row[2:7]), (file.format, file.mode, file.width, file.height, file.orientation)
    return None if actual == expected else f"is now {_words(*actual)}, expected {_words(*expected)}"


def _words(image_format: str, mode: str, width: int, height: int, orientation: int) -> str:
    return f"{image_format} {mode} of {width} x {height} pixels, orientation {orientation}"


def _check(path: str, known: list | None) -> list | str:
    """A row of the cache, or the reason why the file cannot be used."""
    try:
        status = os.stat(path)
        if known and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known
        with open_regular(path) as file:
            return [status.st_size, status.st_mtime_ns, *_inspect(path, file.read())]
    except UnreadableImageError as error:
        return error.reason
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and not os.path.islink(path)
        return "vanished while it was read" if gone else unreadable(path, error).reason


def _inspect(path: str, data: bytes) -> list:
    with identify(path, BytesIO(data)) as image:
        _check_ending(path, image.format, data)
        return _facts(image)


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


def _facts(image: Image.Image) -> list:
    image.load()
    orientation = orientation_of(image)
    pixels = upright(image, orientation)
    shape = f"{pixels.height}x{pixels.width}".encode()
    thumbnail = pixels.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return [
        format_of(image),
        image.mode,
        image.width,
        image.height,
        orientation,
        pixel_hash(shape, pixels.convert("RGB").tobytes()).hex(),
        thumbnail.tobytes().hex(),
    ]


def _checked(path: Path, row: list) -> Checked:
    _, _, image_format, mode, width, height, orientation, pixels, thumbnail = row
    file = ImageFile(path, image_format, mode, width, height, orientation)
    return Checked(file, bytes.fromhex(pixels), bytes.fromhex(thumbnail))


def _read_cache(path: Path) -> dict[str, list]:
    """The rows by name; empty if the cache is missing, damaged or of another version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["files"] if content["version"] == _VERSION else {}
        return {name: row for name, row in rows.items() if _is_row(row)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _is_row(row) -> bool:
    kinds = (int, int, str, str, int, int, int, str, str)
    return isinstance(row, list) and [type(value) for value in row] == list(kinds) and len(row[7]) == 32


def _write_cache(path: Path, rows: dict[str, list]) -> None:
    """Writes the cache atomically. If that fails, only time is lost, so errors are ignored."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)  # unique to this process: a sweep starts several
        try:
            partial.write_text(json.dumps({"version": _VERSION, "files": rows}), encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
