"""A cache of images as smaller JPEG files, all in one file: lossy, but a small part of the decoded images' size."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np

from keras_cnn.data import worker_processes
from keras_cnn.data.cache import cache_key, checked_folder, locked, too_small
from keras_cnn.data.columns import Texts, read_columns, write_columns
from keras_cnn.data.dataset import Split, evenly_spaced
from keras_cnn.data.decoding import identify, read_image_file
from keras_cnn.data.image_files import FACTS, ImageFiles
from keras_cnn.data.shards.resizing import resized
from keras_cnn.errors import InputError, Stopped
from keras_cnn.messages import logger
from keras_cnn.operating_system import cores

QUALITY = 90  # of Pillow's encoder, up to 95
SAMPLE = 64  # images that are encoded to estimate the size of all
_VERSION = 1  # increased when the encoding changes
_BATCH = 32  # images per task
_FEW = 500  # images; fewer are encoded in this process, because starting others takes as long
_WHAT = "cache of JPEG files"


def keep_as_jpegs(split: Split, image_shape: tuple[int, int, int], folder: str | Path) -> Split:
    """`split` with its images as JPEG files of QUALITY, whose shorter side is 8/7 of the network's longer one.

    For 224 pixels that is 256. A smaller image keeps its size. The estimated size is logged before anything is
    written. Raises InputError, with the needed and the free space, if the disk is too small, and for images in shards.
    """
    files = split.files
    assert files is not None
    if files.containers:
        raise InputError("data.cache: found jpeg for images in shards; expected none (keras-cnn shards has --resize)")
    folder, side = checked_folder(folder), -(-8 * max(image_shape[:2]) // 7)
    settings = json.dumps([_VERSION, QUALITY, side]).encode()
    key = hashlib.sha256(settings + cache_key(split, image_shape, "jpeg")).hexdigest()
    place = folder / f"{key[:32]}.jpegs"
    with locked(folder, "jpegs-"):
        columns = _read(place, key)
        if columns is None:
            _write(place, key, split, side)
            columns = _read(place, key)
    if columns is None:
        raise Stopped(f"{place}: cannot be read back after it was written; is the disk damaged?")
    ids = Texts.of(split.ids)
    return replace(split, files=ImageFiles(folder, ids, columns | {"key": split.keys}, containers=[str(place)]))


def _read(place: Path, key: str) -> dict[str, np.ndarray] | None:
    """The columns of a complete cache; None if there is none."""
    try:
        columns, facts = read_columns(place.with_suffix(".columns"))
        status = place.stat()
    except (OSError, ValueError, LookupError):
        return None
    if facts != {"key": key, "bytes": status.st_size}:
        return None
    count = len(columns["size"])
    same = {"modified": status.st_mtime_ns, "container": 0, "orientation": 1, "transparent": False}
    types = FACTS | {"container": "<i4"}
    return columns | {name: np.full(count, value, types[name]) for name, value in same.items()}


def _write(place: Path, key: str, split: Split, side: int) -> None:
    files = split.files
    assert files is not None
    free = shutil.disk_usage(place.parent).free
    some = [encoded(path, side) for path in files.paths(evenly_spaced(len(files), SAMPLE))]
    need = int(np.mean([len(content) for content, *_ in some]) * len(files))
    logger.info(
        f"images      the {_WHAT}, shorter side {side}, quality {QUALITY}, takes about {need / 1e9:,.2f} GB;"
        f" {free / 1e9:,.1f} GB are free"
    )
    if need > free:
        raise too_small(place.parent, need, free, _WHAT)
    facts, part, total = [], place.with_suffix(".part"), 0
    try:
        with part.open("wb") as file:
            for content, mode, width, height in _all_encoded(files.paths(), side):
                file.write(content)
                facts.append((len(content), total, b"JPEG", mode.encode(), width, height))
                total += len(content)
        part.replace(place)
    except OSError as error:
        raise too_small(place.parent, need, shutil.disk_usage(place.parent).free, _WHAT) from error
    finally:
        part.unlink(missing_ok=True)
    kinds = {"size": "<i8", "offset": "<i8", **{name: FACTS[name] for name in ("format", "mode", "width", "height")}}
    values = zip(*facts, strict=True)
    columns = {name: np.array(column, kinds[name]) for name, column in zip(kinds, values, strict=True)}
    write_columns(place.with_suffix(".columns"), columns, {"key": key, "bytes": total})


def _all_encoded(paths: list[str], side: int) -> Iterator[tuple[bytes, str, int, int]]:
    requests = ((paths[start : start + _BATCH], side) for start in range(0, len(paths), _BATCH))
    several = len(paths) >= _FEW and len(cores()) > 1
    in_turn = (encode_all(*request) for request in requests)
    for batch in worker_processes.answers(encode_all, requests, len(cores())) if several else in_turn:
        yield from batch


def encode_all(paths: list[str], side: int) -> list[tuple[bytes, str, int, int]]:
    """`encoded` for each file."""
    return [encoded(path, side) for path in paths]


def encoded(path: str, side: int) -> tuple[bytes, str, int, int]:
    """The image as a JPEG file with its mode, width and height; the file itself if it is a small upright JPEG."""
    facts = read_image_file(Path(path))
    shorter = min(facts.width, facts.height)
    if facts.format == "JPEG" and facts.mode in ("RGB", "L") and facts.orientation == 1 and shorter <= side:
        return Path(path).read_bytes(), facts.mode, facts.width, facts.height
    content = resized(Path(path), min(side, shorter), QUALITY)
    with identify(path, BytesIO(content)) as image:
        return content, image.mode, image.width, image.height
