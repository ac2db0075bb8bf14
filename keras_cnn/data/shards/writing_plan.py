"""Which image goes into which shard, and under which key: a function of the source and the options."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL

from keras_cnn.data.dataset import Split
from keras_cnn.data.label_sets import has_sets
from keras_cnn.data.shards.index import escaped_key
from keras_cnn.data.shards.resizing import resized
from keras_cnn.data.shards.shard_manifest import settings_hash
from keras_cnn.data.splits import LabelledSource, in_rank_order
from keras_cnn.data.walking import IMAGE_EXTENSIONS
from keras_cnn.errors import InputError, require

SAMPLED = 64  # images that are resized to learn how large the others become
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_EXTENSION = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "TIFF": "tif"}
_HEADERS = 2 * 512 + 512  # bytes of a sample beside its image: two headers and the label
_LONG_NAME = 2 * 1024  # bytes more if its names do not fit into the headers


@dataclass(frozen=True)
class WriteOptions:
    """How shards are written."""

    size: int  # bytes of a shard, about
    resize: int | None  # pixels of an image's shorter side; None leaves the files' bytes as they are
    quality: int  # of the JPEG files of resized images, 1 to 95


class ShardSample(NamedTuple):
    """A sample to write."""

    key: str
    extension: str  # of its image
    label: int
    path: str
    resize: bool


class PlannedShard(NamedTuple):
    """A shard to write: the images `rows` of a part of the source."""

    name: str
    part: str
    rows: np.ndarray


@dataclass(frozen=True)
class WritingPlan:
    """The shards to write."""

    source: LabelledSource
    options: WriteOptions
    shards: list[PlannedShard]
    escaped: dict[str, np.ndarray]  # part -> (N,) bool: whether an image's key is its escaped id

    def samples(self, shard: PlannedShard) -> Iterator[ShardSample]:
        """The samples of a shard, in its order."""
        split = self.source.parts[shard.part].split
        assert split.files is not None
        shrinks, escaped = _shrinks(split, self.options), self.escaped[shard.part]
        formats = split.files.column("format")
        for row, path in zip(shard.rows.tolist(), split.files.paths(shard.rows), strict=True):
            identity, shrink = str(split.ids[row]), bool(shrinks[row])
            extension = _extension(identity, bytes(formats[row]).decode(), shrink)
            key = escaped_key(identity) if escaped[row] else identity.rpartition(".")[0]
            yield ShardSample(key, extension, int(split.labels[row]), path, shrink)

    def settings(self, source: str) -> dict:
        """What the manifest says of the shards' making, with a hash of all that they depend on."""
        parts = self.source.parts.items()
        rows = [
            [name, list(p.split.ids), p.split.labels.tolist(), p.split.files.column("size").tolist(),
             p.split.files.column("modified").tolist()]
            for name, p in parts
            if p.split.files is not None
        ]  # fmt: skip
        shards = [(shard.name, len(shard.rows)) for shard in self.shards]
        options = asdict(self.options)
        return {
            "source": source,
            **options,
            "depends_on": settings_hash(PIL.__version__, options, self.source.classes, shards, rows),
        }


def make_plan(where: str, source: LabelledSource, options: WriteOptions) -> WritingPlan:
    """The plan for a source, which messages call `where`. Raises InputError for one that shards cannot hold."""
    shards, escaped = [], {}
    for name, part in source.parts.items():
        if part.split.files is None:
            raise InputError(f"{where}: has arrays of pixels; expected image files, as of folder: or csv:")
        several = has_sets(part.split.labels)
        require(
            not several, where, "found images that may have several labels", "one class an image, which shards hold"
        )
        if source.group_names:
            raise InputError(
                f"{where}: has groups, which shards do not keep; expected --data.table.group none, to leave them out"
            )
        escaped[name] = _escaped(part.split, options)
        rows = in_rank_order(part.split.ids, "shards")  # other programs read in order, and need mixed classes
        for number, taken in enumerate(_cut(rows, _bytes(part.split, rows, options), options.size)):
            shards.append(PlannedShard(f"{name}-{number:06d}.tar", name, taken))
    return WritingPlan(source, options, shards, escaped)


def _shrinks(split: Split, options: WriteOptions) -> np.ndarray:
    """(N,) bool: whether an image is resized; smaller ones keep their bytes."""
    assert split.files is not None
    if options.resize is None:
        return np.zeros(len(split), bool)
    return np.minimum(split.files.column("width"), split.files.column("height")) > options.resize


def _extension(identity: str, image_format: str, shrink: bool) -> str:
    """The extension of the image's member: that of the id where it is an image's, and a JPEG's if it is resized."""
    own = identity.rpartition(".")[2]
    fits = f".{own.lower()}" in (_JPEG if shrink else IMAGE_EXTENSIONS)
    return own if fits else _EXTENSION["JPEG" if shrink else image_format]


def _escaped(split: Split, options: WriteOptions) -> np.ndarray:
    """(N,) bool: whether the id without its extension cannot be the key."""
    assert split.files is not None
    stems = Counter(identity.rpartition(".")[0] for identity in split.ids)
    facts = zip(split.ids, split.files.column("format"), _shrinks(split, options), strict=True)
    return np.array([not _is_plain(identity, kind.decode(), shrink, stems) for identity, kind, shrink in facts], bool)


def _is_plain(identity: str, image_format: str, shrink: bool, stems: Counter) -> bool:
    stem, dot, own = identity.rpartition(".")
    name = stem.rpartition("/")[2]
    plain = bool(dot and name) and "." not in name and "%" not in name and stems[stem] == 1
    return plain and own == _extension(identity, image_format, shrink)


def _bytes(split: Split, rows: np.ndarray, options: WriteOptions) -> np.ndarray:
    """(N,) int64: the bytes of each sample in a tar, in the order of `rows`; those of resized images are estimated."""
    assert split.files is not None
    images = split.files.column("size")[rows].astype(np.int64)
    shrink = _shrinks(split, options)[rows]
    if shrink.any():
        assert options.resize is not None
        chosen = rows[np.flatnonzero(shrink)[:SAMPLED]]
        sizes = [len(resized(Path(path), options.resize, options.quality)) for path in split.files.paths(chosen)]
        images[shrink] = round(sum(sizes) / len(sizes))
    return (
        (images + 511) // 512 * 512 + _HEADERS + _LONG_NAME * np.array([_is_long(str(split.ids[row])) for row in rows])
    )


def _is_long(identity: str) -> bool:
    return len(identity) > 90 or not identity.isascii()


def _cut(rows: np.ndarray, sizes: np.ndarray, limit: int) -> Iterator[np.ndarray]:
    """The rows in runs of at most `limit` bytes, or of one image."""
    start, total = 0, 0
    for at, size in enumerate(sizes.tolist()):
        if total and total + size > limit:
            yield rows[start:at]
            start, total = at, 0
        total += size
    if start < len(rows):
        yield rows[start:]
