"""Looks into every image file before training starts, and never changes one.

A file passes if it can be decoded to its last row. What was found out is kept in a cache folder of ours, and taken from
there as long as the file's size and modification time stay the same.
"""

import contextlib
import hashlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import PIL
from PIL import Image

from keras_cnn.data.dataset import ImageFile
from keras_cnn.data.decode import FORMATS, upright
from keras_cnn.data.fingerprints import COLUMNS, ROWS, pixel_hash
from keras_cnn.errors import InputError, Stopped

MAX_PIXELS = Image.MAX_IMAGE_PIXELS  # 89 million: Pillow's own bound, above which it warns of decompression bombs
MAX_BYTES = 1 << 29  # of one file
_VERSION = f"1, Pillow {PIL.__version__}"
_ORIENTATION_TAG = 274
_BATCH = 64  # files a task: handing over single small ones takes as long as a look at them


@dataclass(frozen=True)
class Checked:
    """A file that passed."""

    file: ImageFile
    pixel_hash: bytes  # 16 bytes
    thumbnail: bytes  # 72 bytes, see fingerprints


class _UnusableError(Exception):
    """Why a file cannot be used."""


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/keras_cnn`, or `~/.cache/keras_cnn`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_cnn"


def audit(root: Path, names: Sequence[str], cache_dir: Path) -> tuple[dict[str, Checked], dict[str, str]]:
    """Checks the files `names` below `root`: those that passed, and the reason for each that did not, by name."""
    cache_file = cache_dir / "audit" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"
    known = _read_cache(cache_file)
    with _strict_about_size(), ThreadPoolExecutor(os.cpu_count()) as pool:
        batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
        checked = pool.map(lambda batch: [_check(os.path.join(root, name), known.get(name)) for name in batch], batches)
        results = [row for batch in checked for row in batch]
    rows = {name: row for name, row in zip(names, results, strict=True) if not isinstance(row, str)}
    problems = {name: row for name, row in zip(names, results, strict=True) if isinstance(row, str)}
    if any(known.get(name) != row for name, row in rows.items()):
        _write_cache(cache_file, known | rows)
    return {name: _checked(root / name, row) for name, row in rows.items()}, problems


def refuse(problems: dict[str, str], total: int) -> None:
    """InputError with a line for each file that did not pass; nothing if all did."""
    if problems:
        lines = [f"  {name}: {reason}" for name, reason in sorted(problems.items())]
        summary = f"{len(problems)} of {total} image files cannot be used; mend or remove them, or leave them out with "
        raise InputError(f"{summary}--data.corrupt skip:", *lines)


def no_longer_readable(files: Sequence[ImageFile], error: Exception) -> Stopped:
    """What to raise where one of `files`, which all passed `audit`, has led to `error`: names the file and its damage.

    They are looked into again, those changed last first, until one is found that is not what it was.
    """
    when = {file.path: _changed_at(file.path) for file in files}
    missing = sum(time == math.inf for time in when.values())
    others = f" (like {missing - 1:,} others)" if missing > 1 else ""
    with _strict_about_size():
        for file in sorted(files, key=lambda file: when[file.path], reverse=True):
            if reason := _difference(file):
                return Stopped(f"{file.path}: {reason}{others}; it was fine before: put it back as it was")
    reason = " ".join(str(error).split())[:300]
    return Stopped(f"an image could not be read, although each can be read now ({reason})")


def _changed_at(path: Path) -> float:
    """When the file's content, name or rights changed last; infinity for one that is not there."""
    try:
        return path.stat().st_ctime
    except OSError:
        return math.inf


def _difference(file: ImageFile) -> str | None:
    row = _check(str(file.path), None)
    if isinstance(row, str):
        return row
    found, expected = tuple(row[2:7]), (file.format, file.mode, file.width, file.height, file.orientation)
    return None if found == expected else f"is now {_words(*found)}, expected {_words(*expected)}"


def _words(image_format: str, mode: str, width: int, height: int, orientation: int) -> str:
    return f"{image_format} {mode} of {width} x {height} pixels, orientation {orientation}"


@contextlib.contextmanager
def _strict_about_size():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about files that it reads all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _check(path: str, known: list | None) -> list | str:
    """A row of the cache, or what is wrong with the file."""
    try:
        status = os.stat(path)
        if known and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known
        return [status.st_size, status.st_mtime_ns, *_inspect(Path(path), status.st_size)]
    except _UnusableError as error:
        return str(error)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"oversized: more than {MAX_PIXELS:,} pixels"
    except FileNotFoundError:
        return "a link to a file that does not exist" if os.path.islink(path) else "vanished while it was read"
    except PermissionError:
        return "may not be read: permission denied"
    except Exception as error:  # decoders raise nearly anything on bytes that are not what they claim to be
        return f"corrupt or truncated: {' '.join(str(error).split()) or type(error).__name__}"


def _inspect(path: Path, size: int) -> list:
    if not path.is_file():
        raise _UnusableError("not a regular file")
    if size == 0:
        raise _UnusableError("empty (0 bytes)")
    if size > MAX_BYTES:
        raise _UnusableError(f"oversized: {size:,} bytes, more than {MAX_BYTES:,}")
    data = path.read_bytes()
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except PIL.UnidentifiedImageError:
        raise _UnusableError(f"not a JPEG, PNG, BMP, GIF or WebP image: begins with {data[:15]!r}") from None
    with image:
        _check_ending(image.format, data)
        return _facts(image)


def _check_ending(image_format: str, data: bytes) -> None:
    """What Pillow forgives and TensorFlow's decoders do not: a lost end."""
    if image_format == "PNG":
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            image.verify()
        if b"IEND\xaeB`\x82" not in data:
            raise _UnusableError("truncated: the end chunk is incomplete")
    elif image_format in ("JPEG", "MPO") and not _jpeg_has_end(data):
        raise _UnusableError("truncated: the end-of-image marker is missing")


def _jpeg_has_end(data: bytes) -> bool:
    """Whether an end marker follows the first scan. Those of embedded previews come before it, inside segments."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        is_fill = data[at + 1] == 0xFF
        at += 1 if is_fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0


def _facts(image: Image.Image) -> list:
    image.load()
    orientation = 1
    with contextlib.suppress(Exception):  # broken EXIF data does not make the picture unusable
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    picture = upright(image, orientation)
    shape = f"{picture.height}x{picture.width}".encode()
    thumbnail = picture.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return [
        "JPEG" if image.format == "MPO" else image.format,  # a JPEG followed by more pictures, as some phones write it
        image.mode,
        image.width,
        image.height,
        int(orientation),
        pixel_hash(shape, picture.convert("RGB").tobytes()).hex(),
        thumbnail.tobytes().hex(),
    ]


def _checked(path: Path, row: list) -> Checked:
    _, _, image_format, mode, width, height, orientation, pixels, thumbnail = row
    file = ImageFile(path, image_format, mode, width, height, orientation)
    return Checked(file, bytes.fromhex(pixels), bytes.fromhex(thumbnail))


def _read_cache(path: Path) -> dict[str, list]:
    """Rows by name; none if there is no cache, or one that another version or a crash left behind."""
    try:
        content = json.loads(path.read_text())
        rows = content["files"] if content["version"] == _VERSION else {}
        return {name: row for name, row in rows.items() if _is_row(row)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _is_row(row) -> bool:
    kinds = (int, int, str, str, int, int, int, str, str)
    return isinstance(row, list) and [type(value) for value in row] == list(kinds) and len(row[7]) == 32


def _write_cache(path: Path, rows: dict[str, list]) -> None:
    """Atomically. A cache that cannot be written costs time, not correctness."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)  # one of its own for each process: sweeps start several at once
        try:
            partial.write_text(json.dumps({"version": _VERSION, "files": rows}))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
