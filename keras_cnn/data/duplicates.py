"""Duplicate images across the splits of a source and within them, as findings."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_cnn.data.fingerprints import (
    MAX_BITS,
    MAX_DIFFERENCE,
    MIN_CORRELATION,
    exact_groups,
    image_numbers,
    near_pairs,
    rows_of,
)
from keras_cnn.data.label_sets import label_numbers
from keras_cnn.data.splits import SourcePart
from keras_cnn.errors import Stopped
from keras_cnn.run_folder.files import write_json

LISTED_ACROSS = 10_000  # duplicates across splits that the findings list (1 to 2 MB); all are counted
LISTED_WITHIN = 100  # duplicates within one split that the findings list
_MANY = 20_000  # images; the findings of more are kept in the cache
_VERSION = 1  # increased when the findings change


def overlaps(parts: Mapping[str, SourcePart], cache_dir: Path | None = None) -> dict:
    """The exact and near duplicates among the images of all splits, as JSON-able lists; those across splits first.

    With a `cache_dir`, the findings of many images are kept there, under a hash of all that they depend on.
    """
    if cache_dir is None or sum(len(part.split) for part in parts.values()) < _MANY:
        return _overlaps(parts)
    path = cache_dir / "duplicates" / f"{_key(parts)}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and kept.keys() == {"pixels_sha256", "duplicates", "near_duplicates"}:
            return kept
    except (OSError, ValueError):
        pass  # not there yet, or damaged: it is computed again
    found = _overlaps(parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    except (OSError, Stopped):
        pass  # a cache that cannot be written costs time alone
    return found


def _key(parts: Mapping[str, SourcePart]) -> str:
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for name, part in parts.items():
        digest.update(f"{name} {len(part.split)}".encode())
        for array in (part.split.keys, part.split.labels, part.fingerprints.pixel_hashes, part.fingerprints.thumbnails):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


class _Places:
    """The images of all splits one after the other: (split, id) by number."""

    def __init__(self, parts: Mapping[str, SourcePart]):
        self._parts = list(parts.items())
        self.splits = np.repeat(np.arange(len(parts)), [len(part.split) for part in parts.values()])
        self._starts = np.searchsorted(self.splits, np.arange(len(parts)))

    def __getitem__(self, number: int) -> tuple[str, str]:
        which = self.splits[number]
        name, part = self._parts[which]
        return name, part.split.ids[number - self._starts[which]]


def _overlaps(parts: Mapping[str, SourcePart]) -> dict:
    where = _Places(parts)
    splits = where.splits
    labels = label_numbers(np.concatenate([part.split.labels for part in parts.values()]))
    hashes = np.concatenate([part.fingerprints.pixel_hashes for part in parts.values()])
    numbers = image_numbers(hashes)
    groups = sorted(exact_groups(numbers), key=lambda group: splits[group[0]] == splits[group[-1]])
    across = sum(bool(splits[group[0]] != splits[group[-1]]) for group in groups)
    shown = groups[: min(across, LISTED_ACROSS)] + groups[across : across + LISTED_WITHIN]
    return {
        "pixels_sha256": hashlib.sha256(hashes.tobytes()).hexdigest(),
        "duplicates": {
            "sets": len(groups),
            "images": sum(map(len, groups)),
            "sets_across_splits": across,
            "sets_with_different_labels": sum(len(set(labels[g].tolist())) > 1 for g in groups),
            "listing": _listing("sets", across, len(groups) - across) + f"; of a set the first {LISTED_WITHIN} images,"
            " from each of its splits in turn",
            "listed": [[where[i] for i in _in_turn(group, splits)[:LISTED_WITHIN]] for group in shown],
        },
        "near_duplicates": _near_overlaps(parts, where, numbers),
    }


def _near_overlaps(parts: Mapping[str, SourcePart], where: _Places, numbers: np.ndarray) -> dict:
    splits = where.splits
    # Identical images of a split count once.
    _, distinct = np.unique(splits * (numbers.max(initial=0) + 1) + numbers, return_index=True)
    distinct = np.sort(distinct)
    thumbnails = np.concatenate([part.fingerprints.thumbnails for part in parts.values()])
    limits = (LISTED_ACROSS, LISTED_WITHIN)
    across, within = near_pairs(rows_of(thumbnails, distinct), numbers[distinct], splits[distinct], limits)
    return {
        "rule": f"dHash within {MAX_BITS} of 64 bits, thumbnails correlated by {MIN_CORRELATION} and within "
        f"{MAX_DIFFERENCE} of 255 grey levels",
        "pairs": across.count + within.count,
        "pairs_across_splits": across.count,
        "listing": _listing("pairs", across.count, within.count),
        "listed": [[where[distinct[i]], where[distinct[j]], bits] for bits, i, j in across.pairs + within.pairs],
    }


def _listing(what: str, across: int, within: int) -> str:
    """The number of duplicates that are listed, in words."""
    return (
        f"{min(across, LISTED_ACROSS):,} of {across:,} {what} across splits, then"
        f" {min(within, LISTED_WITHIN):,} of {within:,} inside one split"
    )


def _in_turn(group: list[int], splits: np.ndarray) -> list[int]:
    """The members of a group, taken from each split in turn, so that a shortened list shows every split."""
    members = [list(of_split) for _, of_split in itertools.groupby(group, key=lambda i: splits[i])]
    return [i for round_ in itertools.zip_longest(*members) for i in round_ if i is not None]
