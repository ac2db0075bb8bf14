"""Cuts a source into train, validation and test: stratified, seeded, and the same on every machine.

No random number is drawn. Images are ranked by the SHA-256 of seed and id, so that a cut depends neither on the order
in which files are listed nor on a library's random generator. Images with the same pixels stay in the same split.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from keras_cnn.data.columns import Texts, joined
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.fingerprints import Fingerprints, exact_groups, image_numbers
from keras_cnn.data.groups import connected, least_of_equal
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
LISTED_IDS = 100_000  # images; of more, split.json leaves out the ids (100 MB for a million)
_CHUNK = 1 << 16  # values at a time


@dataclass(frozen=True)
class SourcePart:
    """The images of one split of a source, with their fingerprints."""

    split: Split
    fingerprints: Fingerprints
    groups: np.ndarray | None = None  # (N,) int64: images with the same number stay together; -1 for those of no group

    def take(self, indices) -> "SourcePart":
        """The images at `indices`, in that order."""
        pixels, groups = self.split.pixels, None if self.groups is None else self.groups[indices]
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
    group_names: tuple[str, ...] = ()  # by the numbers of `SourcePart.groups`


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


def in_rank_order(ids: Iterable[str], seed: int | str) -> np.ndarray:
    """(N,) int64: the images in order of their ranks, the SHA-256 of "seed|id"."""
    begin = hashlib.sha256(f"{seed}|".encode())
    digests = bytearray()
    for name in ids:
        digest = begin.copy()
        digest.update(name.encode())
        digests += digest.digest()
    words = np.frombuffer(bytes(digests), ">u8").reshape(-1, 4).astype(np.uint64)
    order = np.argsort(words[:, 0], kind="stable")
    if np.any(np.diff(words[order, 0]) == 0):  # never seen: two digests with the same first 64 bits
        order = np.lexsort(tuple(words[:, place] for place in (3, 2, 1, 0)))
    return order


def first_batch(split: Split, size: int, seed: int) -> Split:
    """The `size` images of `split` that rank first, or all if there are fewer: the batch of the single-batch regime."""
    return split.take(in_rank_order(split.ids, seed)[:size])


def at_most_per_class(part: SourcePart, limit: int, seed: int) -> SourcePart:
    """`part` with the `limit` images of each class that rank first, in their original order."""
    order = in_rank_order(part.split.ids, seed)
    return part.take(np.sort(order[_occurrences(part.split.labels[order]) < limit]))


def _occurrences(labels: np.ndarray) -> np.ndarray:
    """(N,) int64: how many earlier elements equal each one."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0][: len(order)])
    earlier = np.empty(len(order), np.int64)
    earlier[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return earlier


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
    wanted = {name: wanted_count(value, name, len(labels), len(classes)) for name, value in requested.items()}
    check_counts(wanted, len(labels), len(classes))
    needs, left = {}, np.bincount(labels, minlength=len(classes)).tolist()
    for name, total in wanted.items():
        needs[name] = apportion(total, left)
        left = [size - share for size, share in zip(left, needs[name], strict=True)]
    homes = _homes(part, needs, seed) if part.groups is None else _group_homes(part, needs, seed)
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


def split_record(dataset: Dataset) -> dict:
    """The content of split.json: the ids of each split, a hash over ids, labels and pixels, and the findings.

    Of more than LISTED_IDS images, `ids` is null: see `run_folder/split_ids.py`. Raises InputError if an id is in
    two splits.
    """
    _check_disjoint(dataset.splits)
    count = sum(map(len, dataset.splits.values()))
    digest = hashlib.sha256()
    for piece in _split_text(dataset):
        digest.update(piece.encode())
    findings = {
        key: dataset.findings[key]
        for key in ("skipped", "ignored", "verified", "duplicates", "near_duplicates", "groups")
        if key in dataset.findings
    }
    across = findings.get("duplicates", {}).get("sets_across_splits")
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        **({"several_labels": True} if dataset.several_labels else {}),
        "sha256": digest.hexdigest(),
        "counts": {name: len(split) for name, split in dataset.splits.items()},
        "disjoint_by_id": True,
        "disjoint_by_pixels": None if across is None else across == 0,
        **findings,
        "ids": {name: list(split.ids) for name, split in dataset.splits.items()} if count <= LISTED_IDS else None,
    }


def _split_text(dataset: Dataset) -> Iterator[str]:
    """Pieces of the JSON text of [ids by split, labels by split, hash of the pixels], without spaces."""
    yield "[{"
    for number, (name, split) in enumerate(dataset.splits.items()):
        yield f'{"," if number else ""}"{name}":'
        yield from _list_text(split.ids)
    yield "},{"
    for number, (name, split) in enumerate(dataset.splits.items()):
        yield f'{"," if number else ""}"{name}":'
        yield from _list_text(split.labels.tolist())
    yield f"}},{json.dumps(dataset.findings.get('pixels_sha256'))}]"


def _list_text(values: Sequence) -> Iterator[str]:
    """Pieces of the JSON text of a list, so that it is never in memory as a whole."""
    for start in range(0, len(values), _CHUNK):
        text = json.dumps(list(values[start : start + _CHUNK]), separators=(",", ":"))
        yield ("," if start else "[") + text[1:-1]
    yield "]" if len(values) else "[]"


def check_share(name: str, value: float | int) -> None:
    """Raises InputError unless `value` is a fraction or a count."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not value >= 0 or (isinstance(value, float) and not value < 1):
        raise InputError(f"{name} = {value!r}: expected a fraction from 0 to below 1, or a whole number of images")


def wanted_count(value: float | int, name: str, available: int, classes: int) -> int:
    """The number of images for `value`. Fractions are rounded half up in decimal, so that 0.15 of 10 is always 2."""
    check_share(name, value)
    if isinstance(value, int):
        return value
    return max(classes, int(Fraction(repr(value)) * available + Fraction(1, 2))) if value else 0


def check_counts(wanted: dict[str, int], available: int, classes: int) -> None:
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


def _homes(part: SourcePart, needs: dict[str, list[int]], seed: int) -> np.ndarray:
    """(N,) split names for images without groups.

    Single images first, then pairs, and so on, each size in order of rank: a set of identical images goes to the first
    split with room for all of it, or that needs its class and has none.
    """
    labels, order = part.split.labels, in_rank_order(part.split.ids, seed)
    homes = np.full(len(labels), "" if "train" in needs else "train", dtype="U10")
    taken = Counter()
    repeated = exact_groups(image_numbers(part.fingerprints.pixel_hashes))
    is_single = np.ones(len(labels), bool)
    for members in repeated:
        is_single[members] = False
    singles = order[is_single[order]]
    earlier, begin = _occurrences(labels[singles]), np.zeros(len(next(iter(needs.values()), ())), np.int64)
    for name, need in needs.items():
        end = begin + need
        own = labels[singles]
        here = singles[(earlier >= begin[own]) & (earlier < end[own])]
        homes[here] = name
        taken.update({(name, label): int(n) for label, n in enumerate(np.bincount(labels[here], minlength=len(need)))})
        begin = end
    ranks = np.argsort(order)
    for members in sorted(repeated, key=lambda group: (len(group), ranks[group].min())):
        label = labels[members[0]]
        if np.any(labels[members] != label):
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
    labels, numbers = part.split.labels, image_numbers(part.fingerprints.pixel_hashes)
    homes = np.full(len(labels), "" if "train" in needs else "train", dtype="U10")
    contradictory = np.zeros(len(labels), bool)
    for group in exact_groups(numbers):
        contradictory[group] = np.any(labels[group] != labels[group[0]])
    left = {name: np.array(need) for name, need in needs.items()}
    classes = len(next(iter(needs.values()), ()))
    for members in together(part, seed):
        if np.any(contradictory[members]):
            continue
        sizes = np.bincount(labels[members], minlength=classes)
        for name, need in left.items():
            if np.all(2 * need[sizes > 0] >= sizes[sizes > 0]):
                homes[members] = name
                left[name] = need - sizes
                break
    return homes


def together(part: SourcePart, seed: int) -> list[np.ndarray]:
    """Indices of the images that share a group or their pixels, directly or through others, in order of rank."""
    numbers = image_numbers(part.fingerprints.pixel_hashes)
    first = connected(numbers, *([] if part.groups is None else [part.groups]))
    order = in_rank_order(part.split.ids, seed)
    best = least_of_equal(first, np.argsort(order))  # the rank of the image of each set that ranks first
    by_set = np.lexsort((np.arange(len(numbers)), best))
    return np.split(by_set, np.flatnonzero(np.diff(best[by_set])) + 1)


def _check_classes(cuts: dict[str, SourcePart], wanted: list[str], classes: Sequence[str], labels: np.ndarray) -> None:
    for label, title in enumerate(classes):
        for name in wanted:
            if label not in cuts[name].split.labels:
                kept = "identical ones" if cuts["train"].groups is None else "groups and identical images"
                images = counted(int(np.count_nonzero(labels == label)), "image")
                raise InputError(
                    f"class {title!r} has {images}{_in_groups(cuts, label)} ({kept} stay together),"
                    f" too few for one in each of {', '.join(wanted)}"
                )


def _in_groups(cuts: dict[str, SourcePart], label: int) -> str:
    """The number of groups that a class has, in words; "" without groups."""
    found = [p.groups[p.split.labels == label] for p in cuts.values() if p.groups is not None]
    groups = {number for numbers in found for number in numbers.tolist() if number >= 0}
    return f" in {counted(len(groups), 'group')}" if groups else ""


def _check_disjoint(splits: Mapping[str, Split]) -> None:
    """Raises InputError if an id is in two splits or twice in one; ids with one key of 64 bits are compared."""
    keys = np.concatenate([split.keys.view("<i8")[:, 0] for split in splits.values()])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    origins = np.repeat(np.arange(len(splits)), [len(split) for split in splits.values()])
    ids = joined([Texts.of(split.ids) for split in splits.values()]) if len(same) else ()
    for first, second in (sorted(order[at : at + 2]) for at in same):
        if ids[first] == ids[second]:
            a, b = (list(splits)[origins[place]] for place in (first, second))
            raise InputError(f"image {ids[first]!r} is in {a} and again in {b}: the splits must not share an image")
