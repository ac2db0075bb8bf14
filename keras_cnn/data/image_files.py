"""The image files of a split, with the facts from their headers that the decoder needs, as columns."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_cnn.data.columns import Texts


@dataclass(frozen=True)
class ImageFile:
    """A readable image: a whole file or, with an `offset`, `size` bytes of a shard."""

    path: Path
    format: str  # Pillow's name: "JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"
    mode: str  # Pillow's mode as stored: "RGB", "L", "P", "CMYK", ...
    width: int  # pixels as stored, before the EXIF rotation
    height: int
    orientation: int  # EXIF orientation, 1 to 8; 1 is upright
    transparent: bool  # whether a palette, alpha or a transparent colour makes pixels transparent
    size: int  # bytes
    modified: int  # time of the last change in nanoseconds since 1970
    offset: int | None = None  # bytes from the start of `path`


FACTS = {
    "format": "S4",
    "mode": "S8",
    "width": "<u4",
    "height": "<u4",
    "orientation": "u1",
    "transparent": "?",
    "size": "<i8",
    "modified": "<i8",
}


class ImageFiles(Sequence[ImageFile]):
    """N image files as columns. `take` shares them.

    root: the folder of the names that are not absolute; for images in shards, the cache folder of remote ones.
    names: (K,) POSIX paths below the root; for images in shards, their keys.
    columns: (K,) arrays: FACTS and, for images in shards, `container` (an index into `containers`) and `offset`.
        They may have more, such as `key`.
    rows: (N,) int64, the row of each file; by default all in order.
    containers: the paths or URLs of the shards.
    """

    def __init__(
        self,
        root: Path,
        names: Texts,
        columns: Mapping[str, np.ndarray],
        rows: np.ndarray | None = None,
        *,
        containers: Sequence[str] = (),
    ):
        self.root, self.names, self.columns, self.containers = root, names, columns, tuple(containers)
        self.rows = np.arange(len(names)) if rows is None else rows

    @classmethod
    def of(cls, files: Iterable[ImageFile]) -> "ImageFiles":
        """The columns of these files, which are whole."""
        if isinstance(files, ImageFiles):
            return files
        files = tuple(files)
        columns = {name: np.array([getattr(f, name) for f in files], dtype) for name, dtype in FACTS.items()}
        return cls(Path(), Texts.of(os.fspath(file.path) for file in files), columns)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ImageFile: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = int(self.rows[index])
        facts: dict[str, Any] = {name: _plain(self.columns[name][row]) for name in FACTS}
        if self.containers:
            container = self.containers[self.columns["container"][row]]
            return ImageFile(Path(container), **facts, offset=int(self.columns["offset"][row]))
        return ImageFile(self.root / self.names[row], **facts)

    def __iter__(self) -> Iterator[ImageFile]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(ImageFile.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def take(self, indices) -> "ImageFiles":
        """The files at `indices`, in that order."""
        rows = self.rows[np.asarray(indices, np.int64)]
        return ImageFiles(self.root, self.names, self.columns, rows, containers=self.containers)

    @classmethod
    def joined(cls, parts: "Sequence[ImageFiles]") -> "ImageFiles":
        """The files of all parts, one part after the other."""
        first = parts[0]
        if all(part.columns is first.columns for part in parts):
            rows = np.concatenate([part.rows for part in parts])
            return cls(first.root, first.names, first.columns, rows, containers=first.containers)
        return cls.of(file for part in parts for file in part)

    def column(self, name: str) -> np.ndarray:
        """(N,) a column of these files."""
        return self.columns[name][self.rows]

    def sizes(self) -> set[tuple[int, int]]:
        """The different (height, width) of the upright images in pixels."""
        sides = self.upright_sizes().astype(np.int64)
        return {(int(code >> 32), int(code & 0xFFFFFFFF)) for code in np.unique(sides[0] << 32 | sides[1])}

    def upright_sizes(self) -> np.ndarray:
        """(2, N) int32: height and width of each upright image in pixels."""
        sides = np.stack([self.column(name).astype(np.int32) for name in ("height", "width")])
        return np.where(self.column("orientation") >= 5, sides[::-1], sides)

    def modes(self) -> set[str]:
        """The different modes."""
        words = np.unique(self.column("mode").view("<u8"))  # numbers: texts take twenty times as long
        return {mode.decode() for mode in words.view(FACTS["mode"])}

    def paths(self, indices: np.ndarray | None = None) -> list[str]:
        """The path of each file, or of those at `indices`; of an image in a shard, the path of the shard."""
        rows = self.rows if indices is None else self.rows[indices]
        if self.containers:
            return [self.containers[number] for number in self.columns["container"][rows]]
        root = "" if self.root == Path() else str(self.root)
        return [os.path.join(root, name) for name in self.names.take(rows)]


def _plain(value):
    return value.decode() if isinstance(value, bytes) else value.item()
