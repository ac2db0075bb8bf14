"""One interface for all kinds of shards: tar files here and in remote stores, and ArrayRecord files."""

import mmap
import os
import stat
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from keras_cnn.data.shards import array_record_index
from keras_cnn.data.shards.index import ShardIndex
from keras_cnn.data.shards.pattern import is_array_record
from keras_cnn.data.shards.remote import RemoteFile, is_url
from keras_cnn.data.shards.tar_index import index_tar
from keras_cnn.errors import InputError, Stopped

_CHANGED = "has changed since it was checked; restore it, or begin a new run"


class ShardVersion(NamedTuple):
    """What tells that a shard has changed."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970; of a remote file, a number that changes with it


class Shard(Protocol):
    """A shard that is read."""

    def index(self) -> ShardIndex:
        """Its samples. InputError if it is damaged."""
        ...

    def read(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The images at these places of its index. OSError, or Stopped with the way on, if they cannot be read."""
        ...


class _LocalTar:
    def __init__(self, path: Path, version: ShardVersion):
        self._path, self._version = path, version

    def index(self) -> ShardIndex:
        with self._path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return index_tar(str(self._path), b"")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return index_tar(str(self._path), data)

    def read(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        with self._path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_mtime_ns != self._version.modified:
                raise Stopped(f"{self._path}: {_CHANGED}")
            return [_part(file, offset, size) for offset, size in zip(offsets, sizes, strict=True)]


def _part(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise Stopped(f"{file.name}: {_CHANGED}")
    return data


class _RemoteTar:
    def __init__(self, file: RemoteFile):
        self._file = file

    def index(self) -> ShardIndex:
        return index_tar(self._file.url, self._file)

    def read(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        return [self._file[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]


class _ArrayRecords:
    def __init__(self, path: Path):
        self._path, self._reader = path, None

    def index(self) -> ShardIndex:
        return array_record_index.index_array_record(self._path)

    def read(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        if self._reader is None:
            self._reader = array_record_index.open_reader(self._path)
        return array_record_index.read_images(self._path, self._reader, offsets)


def version_of(shard: str, cache_dir: Path) -> ShardVersion:
    """The version of a shard now. InputError if it does not exist or is no regular file."""
    if is_url(shard):
        return _remote_version(RemoteFile(shard, cache_dir))
    try:
        status = os.stat(shard)
    except OSError as error:
        raise InputError(f"{shard}: cannot read the shard: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shard}: cannot read the shard: not a regular file")
    return ShardVersion(status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def open_shard(shard: str, version: ShardVersion, cache_dir: Path) -> Shard:
    """The shard for reading. InputError if it cannot be opened, Stopped if a remote one has changed."""
    if is_array_record(shard):
        if is_url(shard):
            raise InputError(f"{shard}: ArrayRecord files are read from this machine's disks alone; copy it")
        return _ArrayRecords(Path(shard))
    if not is_url(shard):
        return _LocalTar(Path(shard), version)
    file = RemoteFile(shard, cache_dir)
    if _remote_version(file).modified != version.modified:
        raise Stopped(f"{shard}: {_CHANGED}")
    return _RemoteTar(file)


def _remote_version(file: RemoteFile) -> ShardVersion:
    return ShardVersion(len(file), int(file.version[:15], 16))
