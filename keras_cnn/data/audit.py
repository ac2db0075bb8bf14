"""Checks the image files before training starts. No image file is changed.

A file passes if it can be decoded to its last row. The results are kept in a manifest in a cache folder (by default
`default_cache_dir`) and reused as long as the file's size and modification time stay the same.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_cnn.data import manifest, worker_processes
from keras_cnn.data.columns import Texts
from keras_cnn.data.contents import difference_in_shards
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.data.fingerprints import Fingerprints
from keras_cnn.data.image_check import check_files, difference
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.manifest import RECORD, Manifest
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import cores, map_files
from keras_cnn.progress_bar import ProgressBar

VERIFY = ("full", "sample", "none")
SAMPLE = 1000  # images that `verify: sample` looks at, evenly spaced
_BATCH = 64  # files per task: handing over a single small file takes as long as checking it
_FEW = 4000  # files; fewer are checked in this process, because starting others takes as long


@dataclass(frozen=True)
class AuditResult:
    """The files that passed, and why others did not."""

    files: ImageFiles  # (M,) those that passed; with the columns of `manifest.RECORD`
    passed: np.ndarray  # (M,) int64, their places among the names
    problems: dict[int, str]  # the reason for each of the others, by its place
    compared: int  # of those that passed, how many were read now or have still the size and time of the manifest

    @property
    def fingerprints(self) -> Fingerprints:
        """The fingerprints of the files that passed."""
        return Fingerprints(self.files.columns["pixel_hash"], self.files.columns["thumbnail"], self.files.rows)


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/keras_cnn`, or `~/.cache/keras_cnn`."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "keras_cnn"


def audit(root: Path, names: Sequence[str], cache_dir: Path, verify: str = "full") -> AuditResult:
    """Checks the files `names` below `root`; several processes do not check the same files twice.

    verify: "full" decodes every image once and, from then on, compares its size and time; "sample" does so for SAMPLE
        images, evenly spaced, and reads the headers of new ones; "none" reads the headers of new images alone.
    """
    names, path = Texts.of(names), manifest.manifest_path(root, cache_dir)
    problems: dict[int, str] = {}
    with manifest.only_one_process(path):
        known = manifest.read(path)
        rows = known.find(names)
        compared, stale = _stale(root, names, known, rows, verify)
        places, records = [np.empty(0, np.int64)], [np.empty(0, RECORD)]
        try:
            for batch, checked, failed in _checks(root, names, stale, verify):
                problems |= {int(batch[i]): reason for i, reason in failed.items()}
                places.append(np.delete(batch, list(failed)))
                records.append(checked)
        finally:  # what was checked is kept, also if the rest was interrupted
            if any(map(len, records)):
                good = np.concatenate(places)
                known = known.with_records(names.take(good), rows[good], np.concatenate(records))
                known = manifest.write(path, known.in_order_of(names))
        rows = known.find(names) if len(stale) else rows
    passed = without(len(names), problems)
    seen = int(np.count_nonzero(compared[passed]))
    return AuditResult(ImageFiles(root, known.names, known.columns, rows[passed]), passed, problems, seen)


def _stale(root: Path, names: Texts, known: Manifest, rows: np.ndarray, verify: str) -> tuple[np.ndarray, np.ndarray]:
    """Which names are compared with the manifest or are new, and the places of those that must be checked (again)."""
    new = rows < 0
    if verify == "full":
        new |= ~np.where(rows >= 0, known.columns["decoded"][rows], False) if len(known) else new
    kept = np.flatnonzero(~new)
    looked_at = kept if verify == "full" else kept[evenly_spaced(len(kept), SAMPLE if verify == "sample" else 0)]
    changed = _changed(root, names, known, rows, looked_at)
    if verify == "sample" and len(changed):  # others may have changed too
        looked_at, changed = kept, _changed(root, names, known, rows, kept)
    compared, stale = new.copy(), new
    compared[looked_at] = stale[changed] = True
    return compared, np.flatnonzero(stale)


def _changed(root: Path, names: Texts, known: Manifest, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Those of `places` whose files have another size or time than in the manifest, or cannot be found."""
    sizes, times = known.columns["size"], known.columns["modified"]

    def changed(batch: np.ndarray) -> list[int]:
        now = map(_size_and_time, (os.path.join(root, name) for name in names.take(batch)))
        then = zip(sizes[rows[batch]].tolist(), times[rows[batch]].tolist(), strict=True)
        return [place for place, a, b in zip(batch.tolist(), now, then, strict=True) if a != b]

    found = map_files(changed, _batches(places, 256))
    return np.array([place for batch in found for place in batch], np.int64)


def _size_and_time(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def without(count: int, places: Iterable[int]) -> np.ndarray:
    """The numbers 0 to `count` - 1 without `places`, ascending."""
    kept = np.ones(count, bool)
    kept[list(places)] = False
    return np.flatnonzero(kept)


def _batches(places: np.ndarray, size: int) -> list[np.ndarray]:
    return [places[start : start + size] for start in range(0, len(places), size)]


def _checks(
    root: Path, names: Texts, places: np.ndarray, verify: str
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
    """Some of `places`, the records of those that pass, and the reasons for the others by their index; and so on."""
    decoded = np.full(len(places), verify == "full")
    decoded[evenly_spaced(len(places), SAMPLE if verify == "sample" else 0)] = True
    work = list(zip(_batches(places, _BATCH), _batches(decoded, _BATCH), strict=True))
    requests = ((str(root), list(names.take(batch)), part) for batch, part in work)
    few = len(places) < _FEW or len(cores()) < 2
    results = _in_this_process(requests) if few else worker_processes.answers(check_files, requests, len(cores()))
    bar, done = ProgressBar("checking images", len(places)), 0
    with contextlib.closing(bar):
        for (batch, _), (checked, failed) in zip(work, results, strict=True):
            yield batch, checked, failed
            done += len(batch)
            bar.show(done, str)


def _in_this_process(requests: Iterable[tuple]) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    with ThreadPoolExecutor(len(cores())) as pool:
        yield from pool.map(lambda request: check_files(*request), requests)


def refuse(problems: Mapping[str, str], total: int) -> None:
    """Raises InputError with a line for each file that failed the audit; does nothing if none did."""
    if problems:
        lines = [f"  {name}: {reason}" for name, reason in sorted(problems.items())]
        summary = f"{len(problems)} of {total} image files cannot be used; repair or remove them, or leave them out"
        raise InputError(f"{summary} with --data.corrupt skip:", *lines)


def no_longer_readable(files: ImageFiles, error: Exception) -> Stopped:
    """The exception to raise for `error`, which occurred while reading `files`. All of them had passed `audit`.

    The files are checked again, the last changed first. The exception names the first that differs, and how.
    """
    if files.containers:
        if reason := difference_in_shards(files):
            return Stopped(f"{reason}; it was readable before: restore it")
        return _unexplained(error)
    when = {file.path: _changed_at(file.path) for file in files}
    missing = sum(time == math.inf for time in when.values())
    others = f" (like {missing - 1:,} others)" if missing > 1 else ""
    for file in sorted(files, key=lambda file: when[file.path], reverse=True):
        if reason := difference(file):
            return Stopped(f"{file.path}: {reason}{others}; it was readable before: restore it")
    return _unexplained(error)


def _unexplained(error: Exception) -> Stopped:
    reason = " ".join(str(error).split())[:300]
    return Stopped(f"an image could not be read, although each can be read now ({reason})")


def _changed_at(path: Path) -> float:
    """The time at which the file's content, name or permissions last changed; infinity if it does not exist."""
    try:
        return path.stat().st_ctime
    except OSError:
        return math.inf
