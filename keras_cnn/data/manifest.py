"""The results of the audits below one folder: a file of columns that every process maps read-only."""

import contextlib
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from keras_cnn.data.columns import Texts, joined, read_columns, text_keys, write_columns
from keras_cnn.data.image_files import FACTS
from keras_cnn.errors import Stopped
from keras_cnn.operating_system import lock_file

VERSION = f"3, Pillow {PIL.__version__}"
RECORD = np.dtype(
    [
        *FACTS.items(),
        ("decoded", "?"),  # whether every pixel was read; else only the header
        ("pixel_hash", "u1", 16),  # of an image that was not decoded, a hash of its name and size
        ("thumbnail", "u1", 72),  # see `fingerprints`; zero for an image that was not decoded
        ("key", "<i4", 2),  # see `Split.keys`
    ]
)


@dataclass(frozen=True)
class Manifest:
    """The names of K image files and a column of K values for each field of RECORD."""

    names: Texts
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    def find(self, names: Texts) -> np.ndarray:
        """(N,) int64: the row of each name, -1 for an unknown one."""
        if not len(self):
            return np.full(len(names), -1, np.int64)
        if _same(self.names, names):
            return np.arange(len(names))
        own = self.columns["key"].view("<i8")[:, 0]
        order = np.argsort(own, kind="stable")
        keys = id_keys(names).view("<i8")[:, 0]
        places = np.minimum(np.searchsorted(own, keys, sorter=order), len(order) - 1)
        rows = np.where(own[order[places]] == keys, order[places], -1)
        known = np.flatnonzero(rows >= 0)
        pairs = zip(names.take(known), self.names.take(rows[known]), strict=True)
        rows[known[[a != b for a, b in pairs]]] = -1
        return rows

    def with_records(self, names: Texts, rows: np.ndarray, records: np.ndarray) -> "Manifest":
        """The manifest with a record for each name; `rows` has the row that it replaces, -1 for a new name."""
        new = np.flatnonzero(rows < 0)
        old = np.flatnonzero(rows >= 0)
        columns = {}
        for name, column in self.columns.items():
            columns[name] = np.concatenate([column, records[name][new]])
            columns[name][rows[old]] = records[name][old]
        return Manifest(joined([self.names, names.take(new)]), columns)

    def in_order_of(self, names: Texts) -> "Manifest":
        """The manifest in the order of `names`, if it has no others, so that the next `find` need not search."""
        rows = self.find(names)
        rows = rows[rows >= 0]
        if len(rows) != len(self) or np.array_equal(rows, np.arange(len(self))):
            return self
        return Manifest(self.names.take(rows), {name: column[rows] for name, column in self.columns.items()})


def _same(a: Texts, b: Texts) -> bool:
    if len(a) != len(b):
        return False
    a, b = a.packed(), b.packed()
    return np.array_equal(a.ends, b.ends) and np.array_equal(a.letters, b.letters)


def image_id(name: str) -> str:
    """The name in Unicode form NFC, because some systems store letters decomposed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def id_keys(names: Iterable[str]) -> np.ndarray:
    """(N, 2) int32: `Split.keys` of the ids of these names."""
    return text_keys(map(image_id, names))


def manifest_path(root: Path, cache_dir: Path) -> Path:
    """The file that keeps the results for `root`."""
    return cache_dir / "audit" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.columns"


@contextlib.contextmanager
def only_one_process(path: Path) -> Iterator[None]:
    """Waits for other processes that audit the same files, where the cache folder can be written to and has locks."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError:
        yield  # the manifest cannot be written either: see `write`
        return
    with lock:
        with contextlib.suppress(OSError):  # a file system without locks: the same files may be checked twice
            lock_file(lock)
        yield


def read(path: Path) -> Manifest:
    """The manifest; an empty one if the file is missing, damaged or of another version."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        columns, facts = read_columns(path)
        names = Texts(columns.pop("letters"), columns.pop("ends"))
        if facts["version"] == VERSION and _is_intact(names, columns):
            return Manifest(names, columns)
    empty = np.empty(0, RECORD)
    return Manifest(Texts.of(()), {name: empty[name] for name in RECORD.names or ()})


def _is_intact(names: Texts, columns: dict[str, np.ndarray]) -> bool:
    ends = names.ends
    if ends.dtype != np.int64 or not len(ends) or ends[0] != 0 or ends[-1] != len(names.letters):
        return False
    fields = {name: (RECORD[name].base, (len(names), *RECORD[name].shape)) for name in RECORD.names or ()}
    found = {name: (column.dtype, column.shape) for name, column in columns.items()}
    return found == fields and bool(np.all(ends[1:] >= ends[:-1]))


def write(path: Path, manifest: Manifest) -> Manifest:
    """Writes the manifest atomically; returns it mapped from the file, so that all processes share its memory.

    If it cannot be written, only time is lost, so the manifest itself is returned.
    """
    names = manifest.names.packed()
    columns = {"letters": names.letters, "ends": names.ends, **manifest.columns}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_columns(path, columns, {"version": VERSION})
    except (OSError, Stopped):
        return manifest
    written = read(path)
    return written if len(written) == len(manifest) else manifest
