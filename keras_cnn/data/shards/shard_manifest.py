"""`manifest.json` beside shards: the classes, and each shard's split, samples, bytes and SHA-256."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_cnn.data.shards import remote
from keras_cnn.data.shards.pattern import is_shard
from keras_cnn.data.user_files import read_text
from keras_cnn.errors import InputError
from keras_cnn.messages import counted
from keras_cnn.operating_system import cores
from keras_cnn.run_folder.files import sha256_of, write_json

MANIFEST, CLASSES = "manifest.json", "classes.txt"
_FORMAT = "keras_cnn shards, 1"
_MAX_BYTES = 1 << 28
_TYPES = {"name": str, "split": str, "samples": int, "bytes": int, "sha256": str}


@dataclass(frozen=True)
class ShardRecord:
    """What a manifest says of one shard."""

    name: str
    split: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardManifest:
    """The content of a `manifest.json`."""

    where: str  # its path or URL
    classes: tuple[str, ...]
    settings: dict[str, Any]  # source, size, resize, quality, and a hash of all that the shards depend on
    shards: dict[str, ShardRecord]  # by name

    def write(self, folder: Path) -> None:
        """Writes the manifest into the folder of its shards."""
        shards = [asdict(record) for record in self.shards.values()]
        content = {"format": _FORMAT, "classes": list(self.classes), "settings": self.settings, "shards": shards}
        write_json(folder / MANIFEST, content)

    def check_listed(self, found: dict[str, int]) -> None:
        """Raises InputError unless each shard, by its name with its bytes, is listed with the same number of bytes."""
        for name, size in found.items():
            record = self.shards.get(name)
            if record is None:
                raise InputError(f"{self.where}: is of other shards: {name} is not listed; expected one that lists it")
            if size != record.bytes:
                raise InputError(
                    f"{self.where}: {name} has {size:,} bytes, expected {record.bytes:,}: truncated or replaced"
                )

    def check_complete(self, found: Sequence[str]) -> None:
        """Raises InputError if a listed shard is not among those found."""
        if missing := [name for name in self.shards if name not in set(found)]:
            more = f" (and {len(missing) - 1:,} more)" if len(missing) > 1 else ""
            raise InputError(
                f"{self.where}: lists {missing[0]}{more}, which is missing; expected all its shards beside it"
            )


def read_manifest(folder: str) -> ShardManifest | None:
    """The manifest in a folder or below a URL; None if there is none of this package. InputError for a damaged one."""
    where, text = _beside(folder, MANIFEST)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: cannot be read; expected what keras-cnn shards writes") from None
    if not isinstance(content, dict) or not str(content.get("format", "")).startswith("keras_cnn shards"):
        return None  # another program's file of this name
    if content["format"] != _FORMAT:
        raise InputError(f"{where}: the format is {content['format']!r}, expected {_FORMAT!r}")
    shards: Any = content.get("shards")
    classes: Any = content.get("classes")
    settings: Any = content.get("settings")
    if not _is_list_of(classes, str) or not _is_list_of(shards, dict) or not isinstance(settings, dict):
        raise InputError(f"{where}: classes, settings or shards are missing; expected what keras-cnn shards writes")
    records = {}
    for number, shard in enumerate(shards):
        if {name: type(value) for name, value in shard.items()} != _TYPES:
            raise InputError(f"{where}: shard {number} has {', '.join(shard)}; expected {', '.join(_TYPES)}")
        records[shard["name"]] = ShardRecord(**shard)
    return ShardManifest(where, tuple(classes), settings, records)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def read_classes(folder: str) -> tuple[str, ...] | None:
    """The names in `classes.txt`, one a line, in a folder or below a URL; None if there is no such file."""
    where, text = _beside(folder, CLASSES)
    if text is None:
        return None
    classes = tuple(line.strip() for line in text.splitlines())
    while classes and not classes[-1]:
        classes = classes[:-1]
    if not all(classes) or len(set(classes)) < len(classes):
        raise InputError(f"{where}: empty or repeated lines; expected the name of one class in each line")
    return classes


def _beside(folder: str, name: str) -> tuple[str, str | None]:
    """Path or URL, and text, of a file beside the shards; no text if there is no such file."""
    if not remote.is_url(folder):
        path = Path(folder) / name
        return str(path), read_text(path, name, _MAX_BYTES) if path.exists() else None
    url = f"{folder}/{name}"
    content = remote.read_whole(url, _MAX_BYTES)
    try:
        return url, None if content is None else content.decode()
    except UnicodeDecodeError:
        raise InputError(f"{url}: not UTF-8 text") from None


def verify(folder: Path) -> str:
    """Compares each shard in `folder` with the manifest there, and says so in words.

    Raises InputError with a line for each shard that is missing, not listed, or differs.
    """
    manifest = read_manifest(str(folder))
    if manifest is None:
        raise InputError(f"{folder}: no {MANIFEST}; expected a folder that keras-cnn shards has written")
    with ThreadPoolExecutor(len(cores())) as pool:
        problems = [line for line in pool.map(lambda shard: _problem(folder, shard), manifest.shards.values()) if line]
    problems += [f"{name}: not in the manifest" for name in _others(folder, manifest)]
    total = counted(len(manifest.shards), "shard")
    if problems:
        lines = (f"  {line}" for line in problems)
        raise InputError(f"{manifest.where}: {counted(len(problems), 'fault')} in {total}:", *lines)
    samples = sum(shard.samples for shard in manifest.shards.values())
    return f"{total} with {counted(samples, 'image')}: all as the manifest has them"


def _problem(folder: Path, shard: ShardRecord) -> str | None:
    path = folder / shard.name
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return f"{shard.name}: {size:,} bytes, expected {shard.bytes:,}"
        found = sha256_of(path)
    except OSError as error:
        return f"{shard.name}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}"
    return None if found == shard.sha256 else f"{shard.name}: SHA-256 {found[:16]}..., expected {shard.sha256[:16]}..."


def _others(folder: Path, manifest: ShardManifest) -> Iterator[str]:
    names = sorted(path.name for path in folder.iterdir() if is_shard(path.name) and not path.name.startswith("."))
    return (name for name in names if name not in manifest.shards)


def settings_hash(*values: Any) -> str:
    """SHA-256 of JSON-able values."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode("utf-8", "surrogateescape")).hexdigest()
