"""Columns of a million rows: text as one array of bytes, and files of arrays that every process maps read-only.

A Python string takes 49 bytes more than its letters, and every process has its own; here a row of text takes its
letters and 8 bytes, and the pages of a mapped file are shared by all processes of a machine.
"""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_cnn.run_folder.files import replacing

_MAGIC = b"keras_cnn columns 1\n"
_ALIGNMENT = 64  # bytes; of each array in a file
_CHUNK = 1 << 16  # rows at a time, so that temporary arrays stay small


class Texts(Sequence[str]):
    """N strings, kept as UTF-8 in one array. `take` shares the bytes.

    letters: (B,) uint8, the strings one after the other.
    ends: (K + 1,) int64, where each of the K strings ends, after a zero.
    rows: (N,) int64, the string of each row; by default all in order.
    """

    def __init__(self, letters: np.ndarray, ends: np.ndarray, rows: np.ndarray | None = None):
        self.letters, self.ends, self.rows = letters, ends, rows

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """The column of these strings. Lone surrogates, which stand for undecodable bytes of file names, are kept."""
        if isinstance(texts, Texts):
            return texts
        letters, ends = bytearray(), [0]
        for text in texts:
            letters += text.encode("utf-8", "surrogateescape")
            ends.append(len(letters))
        return cls(np.frombuffer(bytes(letters), np.uint8), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ends) - 1 if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Texts": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index] if self.rows is None else self.rows[index]
        return _decoded(self.letters[self.ends[row] : self.ends[row + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            part = self._packed(slice(start, start + _CHUNK))
            letters, ends = part.letters.tobytes(), part.ends.tolist()
            for begin, end in itertools.pairwise(ends):
                yield _decoded(letters[begin:end])

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and any(text == other for other in self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Iterable[str]) -> "Texts":
        return joined([self, Texts.of(other)])

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"<Texts: {len(self):,} strings: {shown}{', ...' if len(self) > 3 else ''}>"

    def take(self, indices) -> "Texts":
        """The strings at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        return Texts(self.letters, self.ends, indices if self.rows is None else self.rows[indices])

    def packed(self) -> "Texts":
        """The same strings with nothing between them, as they are written to a file."""
        if self.rows is None:
            return self
        parts = [self._packed(slice(start, start + _CHUNK)) for start in range(0, len(self), _CHUNK)]
        return joined(parts)

    def _packed(self, part: slice) -> "Texts":
        if self.rows is None:
            ends = self.ends[part.start : part.stop + 1]
            return Texts(self.letters[ends[0] : ends[-1]], ends - ends[0])
        rows = self.rows[part]
        begins, sizes = self.ends[rows], self.ends[rows + 1] - self.ends[rows]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        places = np.repeat(begins - ends[:-1], sizes) + np.arange(ends[-1])
        return Texts(self.letters[places], ends)


def joined(parts: Sequence[Texts]) -> Texts:
    """The strings of all parts, one part after the other."""
    packed = [part.packed() for part in parts]
    letters = np.concatenate([np.empty(0, np.uint8), *(part.letters for part in packed)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.ends) for part in packed)])
    return Texts(letters, np.cumsum(sizes))


def _decoded(letters: bytes) -> str:
    return letters.decode("utf-8", "surrogateescape")


def text_keys(texts: Iterable[str]) -> np.ndarray:
    """(N, 2) int32: the first 64 bits of each string's SHA-256."""
    digests = bytearray()
    for text in texts:
        digests += hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8]
    return np.frombuffer(bytes(digests), dtype="<i4").reshape(-1, 2)


def write_columns(path: Path, columns: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Writes arrays and JSON-able `facts` to one file, atomically. OSError if the disk is full."""
    places, at = {}, 0
    for name, column in columns.items():
        places[name] = {"dtype": column.dtype.str, "shape": column.shape, "at": at}
        at += -(-column.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps({"facts": facts, "columns": places, "bytes": at}).encode()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
        start = file.tell()
        file.write(b"\0" * (-start % _ALIGNMENT))
        for column in columns.values():
            file.write(np.ascontiguousarray(column).data)
            file.write(b"\0" * (-column.nbytes % _ALIGNMENT))


def read_columns(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, mapped read-only, and the facts of a file. ValueError if it is damaged, OSError if unreadable."""
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{path}: not a file of columns")
        size = int.from_bytes(file.read(8), "little")
        if size > os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path}: the header is incomplete")
        header = json.loads(file.read(size))
        start = -(-file.tell() // _ALIGNMENT) * _ALIGNMENT
        if os.fstat(file.fileno()).st_size != start + header["bytes"]:
            raise ValueError(f"{path}: the file is incomplete")
        mapped = np.memmap(file, np.uint8, "r", start, (header["bytes"],)) if header["bytes"] else np.empty(0, np.uint8)
    columns = {}
    for name, place in header["columns"].items():
        dtype, shape = np.dtype(place["dtype"]), tuple(place["shape"])
        end = place["at"] + dtype.itemsize * math.prod(shape)
        columns[name] = np.asarray(mapped[place["at"] : end]).view(dtype).reshape(shape)
    return columns, header["facts"]
