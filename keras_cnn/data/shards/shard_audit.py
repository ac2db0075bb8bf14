"""Checks the images of shards before training starts: each shard once, by one process, from its begin to its end.

The result for a shard is kept in the cache folder and reused as long as its size and time stay the same. The results
for all shards of a source are joined in the order of the ids in one file, which every process maps read-only.
"""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.data import manifest, worker_processes
from keras_cnn.data.audit import SAMPLE, VERIFY
from keras_cnn.data.columns import Texts, joined, read_columns, write_columns
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.data.image_check import check_contents
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.manifest import RECORD
from keras_cnn.data.shards.index import ShardIndex
from keras_cnn.data.shards.opened import Shard, ShardVersion, open_shard, version_of
from keras_cnn.data.shards.remote import is_url
from keras_cnn.data.shards.shard_manifest import ShardRecord
from keras_cnn.errors import InputError
from keras_cnn.operating_system import cores, map_files
from keras_cnn.progress_bar import ProgressBar
from keras_cnn.run_folder.files import sha256_of

_VERSION = 1
_FEW = 64 << 20  # bytes of all shards; fewer are checked in this process, because starting others takes as long
_AT_A_TIME = 64  # images that are held in memory


@dataclass(frozen=True)
class AuditedShards:
    """The N images of all shards in the order of their ids, those that cannot be decoded included."""

    files: ImageFiles
    labels: np.ndarray  # (N,) int32, index into `titles`
    titles: tuple[str, ...]  # the distinct labels as the shards have them
    failed: dict[int, str]  # the reason for each image that cannot be used, by its place
    unusable: dict[str, str]  # the reason for each sample that cannot be used, by "shard: key"
    ignored: Counter  # members that belong to no sample, by their kind


def audit_shards(
    shards: Sequence[str], listed: Sequence[ShardRecord | None], cache_dir: Path, verify: str
) -> AuditedShards:
    """Checks the images of all shards; `listed` has what their manifest says of each.

    verify: "full" decodes every image; "sample" does so for about SAMPLE, evenly spaced, and reads the headers of the
        others; "none" reads headers alone. In any case, a changed shard is noticed.
    Raises InputError for a shard that is damaged or not as its manifest has it.
    """
    versions = map_files(lambda shard: version_of(shard, cache_dir), shards)
    place = _file(cache_dir, "\n".join(map(_absolute, shards)))
    with manifest.only_one_process(place):
        facts = {"versions": [list(version) for version in versions], "shards": list(map(_absolute, shards))}
        known = _read(place, facts, verify)
        if known is None:
            parts = _checked_shards(shards, versions, listed, cache_dir, verify)
            known = _write_joined(place, parts, facts | {"verify": verify})
    columns, facts = known
    names = Texts(columns["letters"], columns["ends"])
    return AuditedShards(
        ImageFiles(cache_dir, names, columns, containers=shards),
        columns["label"],
        tuple(facts["titles"]),
        {int(place): reason for place, reason in facts["failed"].items()},
        facts["unusable"],
        Counter(facts["ignored"]),
    )


def _absolute(shard: str) -> str:
    return shard if is_url(shard) else os.path.abspath(shard)


def _file(cache_dir: Path, identity: str) -> Path:
    return cache_dir / "audit" / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.columns"


def _read(path: Path, expected: dict[str, Any], verify: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The columns and facts of a file, if it is as expected and at least as much was decoded as `verify` says."""
    try:
        columns, facts = read_columns(path)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    versions = {"shard_audit": _VERSION, "manifest": manifest.VERSION}
    if any(facts.get(name) != value for name, value in (expected | versions).items()):
        return None
    return (columns, facts) if VERIFY.index(facts["verify"]) <= VERIFY.index(verify) else None


def _write(path: Path, columns: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    versions = {"shard_audit": _VERSION, "manifest": manifest.VERSION}
    write_columns(path, columns, facts | versions)


# --- one shard --------------------------------------------------------------------------------------------------------


def _checked_shards(
    shards: Sequence[str],
    versions: Sequence[ShardVersion],
    listed: Sequence[ShardRecord | None],
    cache_dir: Path,
    verify: str,
) -> list[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Columns and facts of each shard; the shards that are new or have changed are checked now."""
    files = [_file(cache_dir, _absolute(shard)) for shard in shards]
    expected = [{"version": list(version), "listed": record and record.sha256} for version, record in
                zip(versions, listed, strict=True)]  # fmt: skip
    missing = [i for i, file in enumerate(files) if _read(file, expected[i], verify) is None]
    sampled = -(-SAMPLE // len(shards))
    requests = [(shards[i], versions[i], listed[i], cache_dir, (files[i], verify, sampled)) for i in missing]
    total = sum(versions[i].size for i in missing)
    bar, done = ProgressBar("checking shards", total), 0
    try:
        for i, _ in zip(missing, _results(requests, total), strict=True):
            done += versions[i].size
            bar.show(done, str)
    finally:
        bar.close()
    found = [_read(file, wanted, verify) for file, wanted in zip(files, expected, strict=True)]
    return [part for part in found if part is not None]


def _results(requests: Sequence[tuple], total: int) -> Iterable[None]:
    if total < _FEW or len(cores()) < 2 or len(requests) < 2:
        return (check_shard(*request) for request in requests)
    return worker_processes.answers(check_shard, requests, min(len(cores()), len(requests)))


def check_shard(
    shard: str, version: ShardVersion, listed: ShardRecord | None, cache_dir: Path, task: tuple[Path, str, int]
) -> None:
    """Checks the images of one shard and writes the result into a file.

    task: the file, how much to decode (see `audit_shards`), and how many images for "sample".
    """
    file, verify, sampled = task
    opened = open_shard(shard, version, cache_dir)
    if listed is not None and verify == "full" and not is_url(shard):
        _compare(shard, listed)
    index = opened.index()
    if listed is not None and len(index) + len(index.problems) != listed.samples:
        raise InputError(f"{shard}: has {len(index):,} samples, its manifest lists {listed.samples:,}")
    ids = [manifest.image_id(name) for name in index.ids]
    decoded = np.full(len(ids), verify == "full")
    decoded[evenly_spaced(len(ids), sampled if verify == "sample" else 0)] = True
    records, failed = _records(opened, index, ids, decoded)
    records["modified"] = version.modified
    names = Texts.of(ids)
    columns = {name: records[name] for name in RECORD.names or ()}
    columns |= {"letters": names.letters, "ends": names.ends, "offset": index.offsets, "label": index.labels}
    facts = {
        "version": list(version),
        "listed": listed and listed.sha256,
        "verify": verify,
        "titles": index.titles,
        "failed": failed,
        "unusable": {f"{shard}: {key}": reason for key, reason in index.problems.items()},
        "ignored": index.ignored,
    }
    _write(file, columns, facts)


def _compare(shard: str, listed: ShardRecord) -> None:
    found = sha256_of(Path(shard))
    if found != listed.sha256:
        raise InputError(
            f"{shard}: SHA-256 {found[:16]}..., its manifest lists {listed.sha256[:16]}...: damaged or replaced"
        )


def _records(
    opened: Shard, index: ShardIndex, ids: list[str], decoded: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """The RECORD of each image, and the reasons for those that cannot be used by their place."""
    records, failed = np.zeros(len(ids), RECORD), {}
    for start in range(0, len(ids), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        images = opened.read(index.offsets[part].tolist(), index.sizes[part].tolist())
        records[part], wrong = check_contents(ids[part], images, decoded[part].tolist())
        failed |= {start + i: reason for i, reason in wrong.items()}
    return records, failed


# --- all shards -------------------------------------------------------------------------------------------------------


def _write_joined(
    path: Path, parts: Sequence[tuple[dict[str, np.ndarray], dict[str, Any]]], facts: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Joins the results of all shards in the order of the ids in a file, and maps it."""
    titles: dict[str, int] = {}
    labels, failed, start = [], {}, 0
    for columns, own in parts:
        codes = np.array([titles.setdefault(title, len(titles)) for title in own["titles"]], np.int32)
        labels.append(codes[columns["label"]])
        failed |= {start + int(place): reason for place, reason in own["failed"].items()}
        start += len(columns["label"])
    names = joined([Texts(columns["letters"], columns["ends"]) for columns, _ in parts])
    counts = [len(columns["label"]) for columns, _ in parts]
    order, twins = _in_order(names, facts["shards"], counts)
    fields = (*(RECORD.names or ()), "offset")
    whole = {name: np.concatenate([c[name] for c, _ in parts])[order] for name in fields}
    whole["container"] = np.repeat(np.arange(len(parts), dtype=np.int32), counts)[order]
    whole["label"] = np.concatenate(labels)[order]
    rows = np.arange(len(names))[order]
    packed = names.take(rows).packed()
    whole |= {"letters": packed.letters, "ends": packed.ends}
    places = {int(row): place for place, row in enumerate(rows) if row in failed} if failed else {}
    facts = facts | {
        "titles": list(titles),
        "failed": {places[row]: reason for row, reason in failed.items() if row in places},
        "unusable": twins | {key: reason for _, own in parts for key, reason in own["unusable"].items()},
        "ignored": sum((Counter(own["ignored"]) for _, own in parts), Counter()),
    }
    _write(path, whole, facts)
    return read_columns(path)


def _in_order(names: Texts, shards: Sequence[str], counts: Sequence[int]) -> tuple[np.ndarray | slice, dict[str, str]]:
    """The rows in the order of their ids; those whose id an earlier row has are left out, with their reasons."""
    if all(a < b for a, b in itertools.pairwise(names)):  # the usual case, without a million strings in memory
        return slice(None), {}
    texts = list(names)
    return _without_twins(texts, sorted(range(len(texts)), key=texts.__getitem__), shards, counts)


def _without_twins(
    texts: list[str], rows: list[int], shards: Sequence[str], counts: Sequence[int]
) -> tuple[np.ndarray, dict[str, str]]:
    """The rows without those whose id an earlier row has, and the reasons for these by "shard: id"."""
    ends = np.cumsum(counts)
    twins, before = {}, -1
    kept = []
    for row in rows:
        if before >= 0 and texts[row] == texts[before]:
            own, other = (shards[int(np.searchsorted(ends, r, side="right"))] for r in (row, before))
            twins[f"{own}: {texts[row]}"] = f"the key is in {other} too; expected one sample for each key"
            continue
        kept.append(row)
        before = row
    return np.array(kept, np.int64), twins
