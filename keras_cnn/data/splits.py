"""Cuts a source into train, validation and test: stratified, seeded, and the same on every machine.

No random number is drawn. Images are ranked by the SHA-256 of seed and id, so that a cut depends neither on the order
in which files are listed nor on a library's random generator. Images with the same pixels stay in the same split.
"""

import hashlib
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.fingerprints import (
    MAX_BITS,
    MAX_DIFFERENCE,
    MIN_CORRELATION,
    Fingerprints,
    exact_groups,
    near_pairs,
)
from keras_cnn.errors import InputError
from keras_cnn.messages import counted

NAMES = ("train", "validation", "test")
PART_OF = {  # the names that sources give to their splits
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
LISTED_ACROSS = 10_000  # duplicates across splits that the findings list (1 to 2 MB); all are counted
LISTED_WITHIN = 100  # duplicates within one split that the findings list


@dataclass(frozen=True)
class SourcePart:
    """The images of one split of a source, with their fingerprints."""

    split: Split
    fingerprints: Fingerprints
    groups: tuple[str, ...] = ()  # (N,) images of one group stay together; "" for an image of none; () without groups

    def take(self, indices) -> "SourcePart":
        """The images at `indices`, in that order."""
        pixels, groups = self.split.pixels, tuple(self.groups[i] for i in indices) if self.groups else ()
        if not isinstance(pixels, np.memmap):
            return SourcePart(self.split.take(indices), self.fingerprints.take(indices), groups)
        split = replace(replace(self.split, pixels=None).take(indices), pixels=_mapped(pixels, indices))
        return SourcePart(split, self.fingerprints.take(indices), groups)


@dataclass(frozen=True)
class LabelledSource:
    """The content of a source: the part "train", and "validation" and "test" if the source has them."""

    classes: tuple[str, ...]
    parts: dict[str, SourcePart]
    findings: dict = field(default_factory=dict)


def part_names(where: str, names: Iterable[str]) -> dict[str, str]:
    """Maps parts ("train", ...) to the one of `names` that means them. Raises InputError if two mean the same part."""
    meant: dict[str, str] = {}
    for name in names:
        part = PART_OF.get(name.lower())
        if part in meant:
            raise InputError(f"{where}: both {meant[part]!r} and {name!r} for {part}; expected one of them")
        if part:
            meant[part] = name
    return meant


def _mapped(pixels: np.memmap, indices: np.ndarray) -> np.memmap:
    """`pixels[indices]` in an unnamed file in the original's folder, because they may not fit into memory."""
    with tempfile.TemporaryFile(dir=Path(str(pixels.filename)).parent) as file:
        taken = np.memmap(file, pixels.dtype, "w+", shape=(len(indices), *pixels.shape[1:]))
    for start in range(0, len(indices), 256):
        taken[start : start + 256] = pixels[indices[start : start + 256]]
    return taken


def ranking(ids: Sequence[str], seed: int | str) -> list[bytes]:
    """The rank of each image: the SHA-256 of "seed|id"."""
    return [hashlib.sha256(f"{seed}|{name}".encode()).digest() for name in ids]


def first_batch(split: Split, size: int, seed: int) -> Split:
    """The `size` images of `split` that rank first, or all if there are fewer: the batch of the single-batch regime."""
    ranks = ranking(split.ids, seed)
    return split.take(sorted(range(len(split)), key=ranks.__getitem__)[:size])


def at_most_per_class(part: SourcePart, limit: int, seed: int) -> SourcePart:
    """`part` with the `limit` images of each class that rank first, in their original order."""
    ranks, taken, kept = ranking(part.split.ids, seed), Counter(), []
    labels = part.split.labels.tolist()
    for i in sorted(range(len(labels)), key=ranks.__getitem__):
        taken[labels[i]] += 1
        if taken[labels[i]] <= limit:
            kept.append(i)
    return part.take(np.sort(np.array(kept, np.int64)))


def cut(
    part: SourcePart,
    classes: Sequence[str],
    shares: dict[str, float | int],
    train: float | int | None = None,
    seed: int = 1,
) -> dict[str, SourcePart]:
    """Cuts `part` into "test" and "validation", if `shares` has them, and "train" (the rest, or the share `train`).

    A float below 1 is a fraction of `part`, with at least one image per class; a whole number is a count. Test is cut
    first, so that it does not depend on the size of validation. A set of pixel-identical images is never divided. It
    stays in "train" if other images suffice for the cuts, and always if its labels contradict each other (if `train`
    is given, a set with contradictory labels is left out). A group is never divided either; as groups have many images,
    the cuts then have about the wanted size. Raises InputError if a cut is impossible.
    """
    labels = part.split.labels
    requested = {name: shares[name] for name in ("test", "validation") if name in shares}
    if train is not None:
        requested["train"] = train
    wanted = {name: _count(value, name, len(labels), len(classes)) for name, value in requested.items()}
    _check_counts(wanted, len(labels), len(classes))
    needs, left = {}, np.bincount(labels, minlength=len(classes)).tolist()
    for name, total in wanted.items():
        needs[name] = apportion(total, left)
        left = [size - share for size, share in zip(left, needs[name], strict=True)]
    homes = (
        _group_homes(part, needs, seed) if part.groups else _homes(_identical_sets(part, seed), labels.tolist(), needs)
    )
    cuts = {name: part.take(np.flatnonzero(homes == name)) for name in ("train", *shares)}
    _check_classes(cuts, [name for name in cuts if wanted.get(name) != 0], classes, labels)
    return cuts


def apportion(total: int, sizes: Sequence[int]) -> list[int]:
    """Shares of `total` in proportion to `sizes`, by the largest-remainder method; the first of equal remainders wins.

    A class that would get nothing takes one from the largest share if `total` suffices for one per class.
    """
    available = max(1, sum(sizes))
    shares = [total * size // available for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda c: -(total * sizes[c] % available))
    for c in by_remainder[: total - sum(shares)]:
        shares[c] += 1
    for c, size in enumerate(sizes):
        if size and not shares[c] and total >= len(sizes):
            shares[shares.index(max(shares))] -= 1
            shares[c] = 1
    return shares


def overlaps(parts: dict[str, SourcePart]) -> dict:
    """The exact and near duplicates among the images of all splits, as JSON-able lists; those across splits first."""
    where = [(name, i) for name in parts for i in parts[name].split.ids]
    splits = np.repeat(np.arange(len(parts)), [len(part.split) for part in parts.values()])
    labels = np.concatenate([part.split.labels for part in parts.values()])
    hashes = [h for part in parts.values() for h in part.fingerprints.pixel_hashes]
    groups = sorted(exact_groups(hashes), key=lambda group: splits[group[0]] == splits[group[-1]])
    across = sum(bool(splits[group[0]] != splits[group[-1]]) for group in groups)
    shown = groups[: min(across, LISTED_ACROSS)] + groups[across : across + LISTED_WITHIN]
    return {
        "pixels_sha256": hashlib.sha256(b"".join(hashes)).hexdigest(),
        "duplicates": {
            "sets": len(groups),
            "images": sum(map(len, groups)),
            "sets_across_splits": across,
            "sets_with_different_labels": sum(len(set(labels[g].tolist())) > 1 for g in groups),
            "listing": _listing("sets", across, len(groups) - across) + f"; of a set the first {LISTED_WITHIN} images,"
            " from each of its splits in turn",
            "listed": [[where[i] for i in _in_turn(group, splits)[:LISTED_WITHIN]] for group in shown],
        },
        "near_duplicates": _near_overlaps(parts, where, splits, hashes),
    }


def split_record(dataset: Dataset) -> dict:
    """The content of split.json: the ids of each split, a hash over ids, labels and pixels, and the findings.

    Raises InputError if an id is in two splits.
    """
    ids = {name: list(getattr(dataset, name).ids) for name in NAMES}
    _check_disjoint(ids)
    labels = {name: getattr(dataset, name).labels.tolist() for name in NAMES}
    content = json.dumps([ids, labels, dataset.findings.get("pixels_sha256")], separators=(",", ":")).encode()
    findings = {
        key: dataset.findings[key]
        for key in ("skipped", "ignored", "duplicates", "near_duplicates")
        if key in dataset.findings
    }
    across = findings.get("duplicates", {}).get("sets_across_splits")
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        "sha256": hashlib.sha256(content).hexdigest(),
        "counts": {name: len(ids[name]) for name in NAMES},
        "disjoint_by_id": True,
        "disjoint_by_pixels": None if across is None else across == 0,
        **findings,
        "ids": ids,
    }


def check_share(name: str, value: float | int) -> None:
    """Raises InputError unless `value` is a fraction or a count."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not value >= 0 or (isinstance(value, float) and not value < 1):
        raise InputError(f"{name} = {value!r}: expected a fraction from 0 to below 1, or a whole number of images")


def _count(value: float | int, name: str, available: int, classes: int) -> int:
    """The number of images for `value`. Fractions are rounded half up in decimal, so that 0.15 of 10 is always 2."""
    check_share(name, value)
    if isinstance(value, int):
        return value
    return max(classes, int(Fraction(repr(value)) * available + Fraction(1, 2))) if value else 0


def _check_counts(wanted: dict[str, int], available: int, classes: int) -> None:
    for name, total in wanted.items():
        if 0 < total < classes:
            raise InputError(f"{name} gets {total} images, too few for {classes} classes: give it a larger share")
    if wanted.get("train") == 0:
        raise InputError("train gets no images: give it a larger share")
    least = 0 if "train" in wanted else classes
    if sum(wanted.values()) + least > available:
        parts = " + ".join(f"{total} for {name}" for name, total in wanted.items())
        raise InputError(
            f"{parts} cannot be cut from {available} images of {classes} classes: lower the shares or add images;"
            " every split needs at least one image of each class"
        )


def _identical_sets(part: SourcePart, seed: int) -> list[list[int]]:
    """Indices grouped by pixels: single images first, then pairs, and so on, each size in order of rank."""
    ranks = ranking(part.split.ids, seed)
    groups = exact_groups(part.fingerprints.pixel_hashes)
    grouped = {i for group in groups for i in group}
    groups += [[i] for i in range(len(ranks)) if i not in grouped]
    return sorted(groups, key=lambda group: (len(group), min(ranks[i] for i in group)))


def _homes(sets: Iterable[list[int]], labels: list[int], needs: dict[str, list[int]]) -> np.ndarray:
    """(N,) split names. A set goes to the first split with room for all of it, or that needs its class and has none."""
    homes = np.full(len(labels), "" if "train" in needs else "train", dtype="U10")
    taken = Counter()
    for members in sets:
        label = labels[members[0]]
        if any(labels[i] != label for i in members):
            continue
        for name, need in needs.items():
            so_far = taken[name, label]
            if so_far + len(members) <= need[label] or (need[label] and not so_far):
                homes[members] = name
                taken[name, label] += len(members)
                break
    return homes


def _group_homes(part: SourcePart, needs: dict[str, list[int]], seed: int) -> np.ndarray:
    """(N,) split names for images with groups, which may have several labels, in order of rank.

    A group goes to the first split that has room for it: one that misses at least half of it in each of its classes.
    A set in which identical images have different labels goes to none.
    """
    contradictory = {i for group in exact_groups(part.fingerprints.pixel_hashes) if _differ(part, group) for i in group}
    labels, homes = part.split.labels, np.full(len(part.split), "" if "train" in needs else "train", dtype="U10")
    left = {name: np.array(need) for name, need in needs.items()}
    for members in _together(part, seed):
        if not contradictory.isdisjoint(members):
            continue
        sizes = np.bincount(labels[members], minlength=len(next(iter(left.values()))))
        for name, need in left.items():
            if np.all(2 * need[sizes > 0] >= sizes[sizes > 0]):
                homes[members] = name
                left[name] = need - sizes
                break
    return homes


def _differ(part: SourcePart, members: list[int]) -> bool:
    """Whether the images have different labels."""
    return len(set(part.split.labels[members].tolist())) > 1


def _together(part: SourcePart, seed: int) -> list[list[int]]:
    """Indices of the images that share a group or their pixels, directly or through others, in order of rank."""
    ranks, parents = ranking(part.split.ids, seed), list(range(len(part.split)))

    def first_of(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    seen: dict[object, int] = {}
    for index, (pixels, group) in enumerate(zip(part.fingerprints.pixel_hashes, part.groups, strict=True)):
        for key in (pixels, group) if group else (pixels,):
            parents[first_of(index)] = first_of(seen.setdefault(key, index))
    sets: dict[int, list[int]] = {}
    for index in range(len(parents)):
        sets.setdefault(first_of(index), []).append(index)
    return sorted(sets.values(), key=lambda members: min(ranks[i] for i in members))


def _check_classes(cuts: dict[str, SourcePart], wanted: list[str], classes: Sequence[str], labels: np.ndarray) -> None:
    for label, title in enumerate(classes):
        for name in wanted:
            if label not in cuts[name].split.labels:
                kept = "groups and identical images" if cuts[name].groups or cuts["train"].groups else "identical ones"
                images = counted(int(np.count_nonzero(labels == label)), "image")
                raise InputError(
                    f"class {title!r} has {images} ({kept} stay together),"
                    f" too few for one in each of {', '.join(wanted)}"
                )


def _near_overlaps(parts: dict[str, SourcePart], where: list[tuple], splits: np.ndarray, hashes: list[bytes]) -> dict:
    first = {(split, h): i for i, (split, h) in reversed(list(enumerate(zip(splits.tolist(), hashes, strict=True))))}
    distinct = np.sort(np.fromiter(first.values(), np.int64))  # identical images of a split count once
    thumbnails = np.concatenate([part.fingerprints.thumbnails for part in parts.values()])
    numbers = {h: number for number, h in enumerate(dict.fromkeys(hashes))}
    images = np.array([numbers[hashes[i]] for i in distinct], np.int64)
    limits = (LISTED_ACROSS, LISTED_WITHIN)
    across, within = near_pairs(thumbnails[distinct], images, splits[distinct], limits)
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


def _check_disjoint(ids: dict[str, list[str]]) -> None:
    seen = {}
    for name, members in ids.items():
        for i in members:
            if i in seen:
                raise InputError(f"image {i!r} is in {seen[i]} and again in {name}: the splits must not share an image")
            seen[i] = name
