"""Caches of decoded images and of features: in memory, or in a file that is either complete or absent."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from keras_cnn.data.columns import text_keys
from keras_cnn.data.dataset import Split, evenly_spaced
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.operating_system import available_memory, lock_file

VERSION = 2  # increased when the decoders' output changes
_EXPECTED = "expected a folder that may be written to, or none given"
MEMORY_SHARE = 0.4  # largest fraction of the available memory that `auto` takes
DISK_SHARE = 0.25  # largest fraction of the free disk that `auto` takes
SLOW = 60  # seconds; if decoding all images takes less, `auto` writes nothing to the disk
SAMPLE = 256  # images that are decoded to measure the rate


def keep_in_memory(split: Split, image_shape: tuple[int, int, int], decoded: Iterable[np.ndarray]) -> Split:
    """`split` with its images as one uint8 array, filled from `decoded`, an iterable of image batches in order."""
    pixels, filled = np.empty((len(split), *image_shape), np.uint8), 0
    for batch in decoded:
        pixels[filled : filled + len(batch)] = batch
        filled += len(batch)
    return dataclasses.replace(split, pixels=pixels, files=None)


def keep_on_disk(
    split: Split, image_shape: tuple[int, int, int], fit: str, folder: str | Path, decoded: Iterable[np.ndarray]
) -> Split:
    """`split` with its images memory-mapped from a file in `folder`; see `on_disk`."""
    shape = (len(split), *image_shape)
    key = cache_key(split, image_shape, fit)
    pixels = on_disk(folder, "", key, shape=shape, dtype=np.uint8, batches=lambda: decoded, what="image cache")
    return dataclasses.replace(split, pixels=pixels, files=None)


def on_disk(
    folder: str | Path,
    prefix: str,
    key: bytes,
    *,
    shape: tuple[int, ...],
    dtype,
    batches: Callable[[], Iterable],
    what: str,
) -> np.ndarray:
    """An array memory-mapped from a file in `folder`. A missing file is first written from `batches()`.

    `key` is a SHA-256 of everything the content depends on. The file is named after it, and its last 32 bytes repeat
    it, so that a truncated or foreign file is detected and replaced. Processes that use the same `prefix` wait for each
    other. Raises `InputError`, with the needed and the free space, if the disk is too small; no partial file remains.
    """
    folder, dtype = checked_folder(folder), np.dtype(dtype)
    path = folder / f"{prefix}{key.hex()[:32]}.npy"
    with locked(folder, prefix):
        if not _is_complete(path, shape, dtype, key):
            for left in folder.glob(f"{prefix}{'[0-9a-f]' * 32}.part"):
                left.unlink()  # left by a killed process: a running one would hold the lock
            _write(path, shape, dtype, key, batches=batches(), what=what)
    return np.load(path, mmap_mode="r")


def fits_in_memory(split: Split, image_shape) -> bool:
    return bytes_fit(len(split) * math.prod(image_shape))


def chosen(split: Split, image_shape, folder: str | Path | None, decode: Callable[[Split], None]) -> str:
    """How `auto` keeps decoded images: "memory" if they take at most MEMORY_SHARE of the memory available now.

    Otherwise "disk" if they take at most DISK_SHARE of the free space in `folder` and decoding all of them takes
    longer than SLOW seconds, as measured by `decode` on SAMPLE of them; else "none". The numbers are logged.
    """
    need = len(split) * math.prod(image_shape)
    if bytes_fit(need):
        return "memory"
    if folder is None:
        return "none"
    some = split.take(evenly_spaced(len(split), SAMPLE))
    began = time.perf_counter()
    decode(some)
    rate = len(some) / (time.perf_counter() - began)
    free = shutil.disk_usage(_existing(checked_folder(folder))).free
    choice = "disk" if need <= DISK_SHARE * free and len(split) > SLOW * rate else "none"
    logger.info(
        f"images      {len(split):,} decoded at {rate:,.0f}/s take {len(split) / rate / 60:,.1f} minutes an epoch;"
        f" decoded they take {need / 1e9:,.1f} GB, {free / 1e9:,.1f} GB of the disk are free: data.cache {choice}"
    )
    return choice


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def bytes_fit(need: int) -> bool:
    """Whether `need` bytes are at most `MEMORY_SHARE` of the memory that is available now."""
    return need <= MEMORY_SHARE * available_memory()


def cache_key(split: Split, image_shape, fit: str) -> bytes:
    """SHA-256 of everything the decoded images depend on: ids, paths, file sizes, modification times, shape and fit.

    Sizes and times are those of the audit, which has compared them at the start of this process.
    """
    digest = hashlib.sha256(json.dumps([VERSION, list(image_shape), fit]).encode())
    files = split.files
    assert files is not None
    digest.update(np.ascontiguousarray(split.keys).data)
    names = ("size", "modified", *(("container", "offset") if files.containers else ()))
    for column in (text_keys(files.paths()), *map(files.column, names)):
        digest.update(np.ascontiguousarray(column).data)
    return digest.digest()


def checked_folder(cache_dir: str | Path) -> Path:
    """The folder, which need not exist yet. Raises InputError unless it is, or can be made, a writable folder."""
    try:
        folder = Path(cache_dir).expanduser()
    except RuntimeError as error:  # ~name of an unknown user
        raise InputError(f"data.cache_dir {cache_dir}: {error}; {_EXPECTED}") from None
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise InputError(f"data.cache_dir {cache_dir}: {there} is not a folder; {_EXPECTED}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"data.cache_dir {cache_dir}: {there} may not be written to; {_EXPECTED}")
    return folder


@contextlib.contextmanager
def locked(folder: Path, prefix: str):
    """Makes the folder and waits for other processes that use the same `prefix` in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{prefix}lock").open("w")
    except OSError as error:
        raise InputError(f"data.cache_dir {folder}: {error.strerror}; {_EXPECTED}") from None
    with lock:
        lock_file(lock)
        yield


def _is_complete(path: Path, shape, dtype: np.dtype, key: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return False
            header = np.lib.format.read_array_header_1_0(file)
            file.seek(file.tell() + math.prod(shape) * dtype.itemsize)
            return header == (shape, False, dtype) and file.read() == key
    except (OSError, ValueError):
        return False


def _write(path: Path, shape: tuple[int, ...], dtype: np.dtype, key: bytes, *, batches: Iterable, what: str) -> None:
    need, free = math.prod(shape) * dtype.itemsize, shutil.disk_usage(path.parent).free
    if need > free:
        raise too_small(path.parent, need, free, what)
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
            for batch in batches:
                file.write(np.ascontiguousarray(batch).data)
            file.write(key)
        part.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise too_small(path.parent, need, shutil.disk_usage(path.parent).free, what) from error
    finally:
        part.unlink(missing_ok=True)


def too_small(folder: Path, need: int, free: int, what: str) -> InputError:
    """The error for a disk with less free than needed bytes."""
    return InputError(
        f"the {what} needs {need / 2**20:,.2f} MiB in {folder}, where {free / 2**20:,.2f} MiB are free; "
        f"expected a cache_dir with more room, or {what.split()[-1]}: none"
    )
