"""Cuts images that may have several classes into train, validation and test, so that each has its share of each class.

Iterative stratification: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011.
No random number is drawn: images are ranked as in `splits`.
"""

from collections.abc import Sequence

import numpy as np

from keras_cnn.data.fingerprints import exact_groups, image_numbers
from keras_cnn.data.label_sets import label_numbers
from keras_cnn.data.splits import SourcePart, check_counts, together, wanted_count
from keras_cnn.errors import InputError
from keras_cnn.messages import counted

_LEFT_OUT = ""


def cut_by_iteration(
    part: SourcePart,
    classes: Sequence[str],
    shares: dict[str, float | int],
    train: float | int | None = None,
    seed: int = 1,
) -> dict[str, SourcePart]:
    """`splits.cut` for images that may have several classes.

    The class with the fewest images that are still to be placed comes first; each of its images goes to the split that
    misses most of the class, of equal ones to that which misses most images. A split with its wanted number of images
    takes no more. Images with the same pixels, and those of a group, are placed together.
    """
    labels = part.split.labels
    requested = {name: shares[name] for name in ("test", "validation") if name in shares}
    if train is not None:
        requested["train"] = train
    wanted = {name: wanted_count(value, name, len(labels), 1) for name, value in requested.items()}
    check_counts(wanted, len(labels), 1)
    rest = "train" if train is None else _LEFT_OUT
    sizes = wanted | {rest: len(labels) - sum(wanted.values())}
    homes = _homes(part, sizes, rest, seed)
    cuts = {name: part.take(np.flatnonzero(homes == name)) for name in ("train", *shares)}
    _check_classes(cuts, [name for name in cuts if wanted.get(name) != 0], classes, labels)
    return cuts


def _homes(part: SourcePart, sizes: dict[str, int], rest: str, seed: int) -> np.ndarray:
    """(N,) split names; sets of identical images whose labels differ are in `rest`."""
    labels, names = part.split.labels.astype(np.int64), list(sizes)
    numbers = image_numbers(part.fingerprints.pixel_hashes)
    units = together(part, seed)
    counts = np.stack([labels[members].sum(axis=0) for members in units])
    room = np.array([sizes[name] for name in names], np.float64)
    missing = _shares_of_classes(labels.sum(axis=0), sizes, rest)
    homes, place_of_rest = np.full(len(labels), rest, dtype="U10"), names.index(rest)
    codes, contradictory = label_numbers(part.split.labels), np.zeros(len(labels), bool)
    for group in exact_groups(numbers):
        contradictory[group] = np.any(codes[group] != codes[group[0]])

    open_units = np.ones(len(units), bool)

    def put(unit: int, place: int) -> None:
        open_units[unit] = False
        homes[units[unit]] = names[place]
        room[place] -= len(units[unit])
        missing[place] -= counts[unit]

    for unit in [u for u, members in enumerate(units) if contradictory[members].any()]:
        put(unit, place_of_rest)
    for label in _rarest_first(counts, open_units):
        for unit in np.flatnonzero(open_units & (counts[:, label] > 0)):
            put(int(unit), _neediest(missing[:, label], room))
    for unit in np.flatnonzero(open_units):  # without any class
        put(int(unit), _neediest(room, room))
    return homes


def _rarest_first(counts: np.ndarray, open_units: np.ndarray):
    """Yields the class with the fewest images in the units that are still open, until none is left."""
    while True:
        left = counts[open_units].sum(axis=0)
        if not left.any():
            return
        yield int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())


def _neediest(missing: np.ndarray, room: np.ndarray) -> int:
    """The place, among the splits with room, with most of `missing`, then of `room`, then the first."""
    has_room = room > 0 if np.any(room > 0) else np.ones(len(room), bool)
    best = np.flatnonzero(has_room & (missing == missing[has_room].max()))
    return int(best[room[best].argmax()])


def _shares_of_classes(totals: np.ndarray, sizes: dict[str, int], rest: str) -> np.ndarray:
    """(splits, classes) images of each class that each split should get: at least one where there are enough."""
    every = sum(sizes.values())
    shares = np.outer(list(sizes.values()), totals) / max(1, every)
    needy = np.array([name != _LEFT_OUT and size > 0 for name, size in sizes.items()])
    raised = np.where(needy[:, None] & (totals >= needy.sum()), np.maximum(shares, 1), shares)
    place = list(sizes).index(rest)
    raised[place] = np.maximum(shares[place] - (raised - shares).sum(axis=0) + (raised - shares)[place], 0)
    return raised


def _check_classes(cuts: dict[str, SourcePart], wanted: list[str], classes: Sequence[str], labels: np.ndarray) -> None:
    for name in wanted:
        present = cuts[name].split.labels.any(axis=0)
        if not present.all():
            absent = int(np.flatnonzero(~present)[0])
            images = counted(int(labels[:, absent].sum()), "image")
            raise InputError(
                f"class {classes[absent]!r} has {images}, and none of them came into {name}: add images, or give"
                f" {name} a larger share; expected one of each class in {', '.join(wanted)}"
            )
