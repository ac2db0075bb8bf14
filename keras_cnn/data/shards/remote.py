"""Files in remote stores, by the URLs of fsspec: https, s3, gs, memory, file.

Blocks of a file that were read are kept in the cache folder, each as a file of its own that is written atomically, so
that any number of processes share them and a kill loses nothing. (fsspec's own block cache keeps its list of blocks in
memory until a file is closed: what a killed process has read is read again.) The folder of a file's blocks is named
after its URL, size and version, so that a changed file is not mixed with an old one.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from keras_cnn.errors import InputError, Stopped
from keras_cnn.extras import require_extra
from keras_cnn.messages import logger
from keras_cnn.run_folder.files import naming_a_full_disk

BLOCK = 4 << 20  # bytes: a request takes 20 to 100 ms whatever its size
PAUSES = (1.0, 3.0, 9.0)  # seconds before each further attempt
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_WAY_ON = "what was read is kept; when the store answers again, the same command goes on"
Result = TypeVar("Result")


def is_url(text: str) -> bool:
    """Whether the text is a URL, and no path."""
    return "://" in text


class RemoteFile:
    """A file in a remote store, of which slices are read through blocks in the cache folder.

    Raises InputError if the file does not exist or may not be read, and Stopped, with the way on, if the store does not
    answer after `PAUSES`.
    """

    def __init__(self, url: str, cache_dir: Path):
        self.url = url
        self._store, self._path = _opened(url)
        info = _attempted(url, lambda: self._store.info(self._path))
        if info.get("size") is None:
            raise InputError(f"{url}: the store does not say how large the file is; expected one with ranged reads")
        self._size = int(info["size"])
        version = str(info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or "")
        name = hashlib.sha256("\n".join((url, str(self._size), version)).encode()).hexdigest()[:32]
        self.version = name  # changes when the file does
        self._folder = cache_dir / "remote" / name

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """The bytes of the slice; fewer at the end of the file."""
        start, stop, _ = part.indices(self._size)
        if start >= stop:
            return b""
        found = [self._within(number, start, stop) for number in range(start // BLOCK, (stop - 1) // BLOCK + 1)]
        return found[0] if len(found) == 1 else b"".join(found)

    def _within(self, number: int, start: int, stop: int) -> bytes:
        """What block `number` has of the bytes from `start` to `stop`."""
        begin = number * BLOCK
        size = min(BLOCK, self._size - begin)
        first, last = max(start - begin, 0), min(stop - begin, size)
        path = self._folder / f"{number:06d}"
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == size:
                    file.seek(first)
                    return file.read(last - first)
        except FileNotFoundError:
            pass
        return self._fetched(path, begin, size)[first:last]

    def _fetched(self, path: Path, begin: int, size: int) -> bytes:
        """A block from the store, which is kept at `path`."""
        block = _attempted(self.url, lambda: self._read(begin, size))
        with naming_a_full_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
                partial = Path(file.name)  # unique: several processes and threads may fetch the same block
            try:
                partial.write_bytes(block)
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        return block

    def _read(self, begin: int, size: int) -> bytes:
        data = self._store.cat_file(self._path, start=begin, end=begin + size)
        if len(data) > size:
            raise InputError(f"{self.url}: the store answers a ranged read with more; expected one with ranged reads")
        if len(data) < size:
            raise OSError(f"got {len(data):,} of {size:,} bytes")
        return data


def read_whole(url: str, limit: int) -> bytes | None:
    """The content of a small file; None if there is no such file. InputError above `limit` bytes."""
    store, path = _opened(url)
    try:
        content = _attempted(url, lambda: store.cat_file(path))
    except MissingFileError:
        return None
    if len(content) > limit:
        raise InputError(f"{url}: {len(content):,} bytes, more than {limit:,}")
    return content


def matching(url: str) -> list[str]:
    """The URLs of the files that fit a pattern with *, ? or [...], sorted."""
    store, path = _opened(url)
    return sorted(store.unstrip_protocol(found) for found in _attempted(url, lambda: store.glob(path)))


class MissingFileError(InputError):
    """There is no such file in a remote store."""


def _opened(url: str) -> tuple[Any, str]:
    """The store of a URL, and the path in it."""
    require_extra("remote", url)
    import fsspec

    protocol = url.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        way = f"pip install {package}" if package else " ".join(str(error).split())
        raise InputError(f"{url}: the protocol {protocol} needs another package: {way}") from None
    except ValueError as error:
        raise InputError(f"{url}: {' '.join(str(error).split())}; expected https, s3, gs, file or memory") from None


def _attempted(url: str, read: Callable[[], Result]) -> Result:
    """The result of `read`, which is called again after each of PAUSES if it fails in a way that may pass."""
    for pause in (*PAUSES, None):
        try:
            return read()
        except (InputError, MemoryError):
            raise
        except FileNotFoundError:
            raise MissingFileError(f"{url}: no such file") from None
        except PermissionError as error:
            raise InputError(f"{url}: may not be read: {_reason(error)}; expected valid credentials") from None
        except Exception as error:  # each store has errors of its own
            if pause is None:
                attempts = len(PAUSES) + 1
                raise Stopped(f"{url}: not read in {attempts} attempts ({_reason(error)}); {_WAY_ON}") from error
            logger.info(f"{url}: {_reason(error)}; the next attempt is in {pause:g} s")
            time.sleep(pause)
    raise AssertionError  # the loop returns or raises


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
