"""Groups of images that stay in one split, such as those of a patient, a site or a burst, and splits that divide them.

The option `data.group` names them: a column of a table, a folder of the image's path by its level, or a pattern in it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.messages import counted

NO_GROUP = -1  # the number of images that are in no group
LISTED = 100  # groups across splits that the findings list; all are counted
_SEPARATOR = " / "  # between the parts of a group that a pattern with several parentheses finds


def column_of(group: int | str | None) -> str | None:
    """The column that `data.group` names; None if it is a level of folders, a pattern or nothing."""
    return group if isinstance(group, str) and "(" not in group else None


def group_names(ids: Iterable[str], group: int | str, where: str) -> list[str]:
    """The group of each image by its id, a POSIX path: the name of a folder, or what a pattern finds in the path.

    group: a level of folders, 1 for the folder that holds the image, or a pattern with parentheses.
    where: names the source in messages.

    Raises InputError for a pattern that is none, and if an image has no such folder or does not match.
    """
    if isinstance(group, bool) or (isinstance(group, int) and group < 1):
        raise InputError(f"data.group: found {group!r}, expected a level of folders from 1")
    pattern = None if isinstance(group, int) else _pattern(group)
    names, without, first = [], 0, ""
    for image in ids:
        name = _found(pattern, image) if pattern else _folder(int(group), image)
        if not name:
            without, first = without + 1, first or image
        names.append(name)
    if without:
        lacks = "does not match" if pattern else f"has no folder {group} levels up"
        expected = "a pattern that finds a group in each path" if pattern else "a level that each path has"
        found = f"{first!r} {lacks} ({without:,} of {len(names):,} images)"
        raise InputError(f"data.group {group}: {where}: {found}; expected {expected}")
    return names


def _folder(level: int, image: str) -> str:
    folders = image.split("/")[:-1]
    return folders[-level] if level <= len(folders) else ""


def _found(pattern: re.Pattern[str], image: str) -> str:
    match = pattern.search(image)
    return _SEPARATOR.join(part or "" for part in match.groups()) if match and any(match.groups()) else ""


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"data.group {text}: not a regular expression: {error}; expected one, as '(P\\d+)_'") from None
    if not pattern.groups:
        raise InputError(f"data.group {text}: no parentheses that say which part is the group; expected '(P\\d+)_'")
    return pattern


def numbered(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N,) int64 numbers of groups, NO_GROUP for "", and the names by number, in order of first occurrence."""
    known = {"": NO_GROUP} | {name: number for number, name in enumerate(dict.fromkeys(filter(None, names)))}
    return np.array([known[name] for name in names], np.int64), tuple(known)[1:]


def connected(*labellings: np.ndarray) -> np.ndarray:
    """(N,) int64: the least index of the images that share a value in one of the (N,) labellings, also through others.

    NO_GROUP is shared with nobody.
    """
    alone = np.arange(len(labellings[0]))
    keyed = [np.where(values == NO_GROUP, values.max(initial=0) + 1 + alone, values) for values in labellings]
    first = alone
    while True:
        before = first
        for values in keyed:
            first = least_of_equal(values, first)
        if np.array_equal(first, before):
            return first


def least_of_equal(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(N,) for each element the least of `numbers` among the elements with the same value."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0][: len(order)])
    least = np.empty_like(numbers)
    least[order] = np.repeat(np.minimum.reduceat(numbers[order], starts), np.diff(np.r_[starts, len(order)]))
    return least


def group_findings(splits: Mapping[str, np.ndarray], names: Sequence[str]) -> dict:
    """What split.json says about groups: their number, and those across splits; splits: (N,) numbers of each split."""
    counts = {split: np.bincount(groups[groups >= 0], minlength=len(names)) for split, groups in splits.items()}
    table = np.stack(list(counts.values()))
    across = np.flatnonzero((table > 0).sum(axis=0) > 1)
    elsewhere = sum(count for split, count in counts.items() if split != "test")
    in_test = counts["test"][np.asarray(elsewhere) > 0].sum() if "test" in counts else 0
    shown = [{n: int(table[i, g]) for i, n in enumerate(counts) if table[i, g]} for g in across[:LISTED].tolist()]
    return {
        "groups": int((table.sum(axis=0) > 0).sum()),
        "largest": int(table.sum(axis=0).max(initial=0)),
        "across_splits": len(across),
        "test_images_of_groups_elsewhere": int(in_test),
        "listed": [[names[g], found] for g, found in zip(across[:LISTED].tolist(), shown, strict=True)],
    }


def leaks_in_words(findings: dict) -> list[str]:
    """A note if splits divide groups, with the first of them."""
    if not findings["across_splits"]:
        return []
    name, counts = findings["listed"][0]
    images = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    groups_are = counted(findings["across_splits"], "group is", "groups are")
    return [f"{groups_are} in several of the source's own splits, the first {name!r}: {images} images"]
