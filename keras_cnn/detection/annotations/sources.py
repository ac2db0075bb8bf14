"""Loads a source by its name, `coco:FILE.json`, `yolo:FOLDER` or `voc:FOLDER`, as annotated images in three splits."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_cnn.data.audit import audit, default_cache_dir
from keras_cnn.data.folds import fold_numbers, parse_fold
from keras_cnn.data.groups import column_of, connected, group_findings, group_names, leaks_in_words, numbered
from keras_cnn.data.pipeline import order
from keras_cnn.data.user_files import user_path
from keras_cnn.detection.annotations import coco, voc, yolo_txt
from keras_cnn.detection.annotations.dataset import SPLITS, AnnotatedImage, BoxDataset, Reading, chosen_classes
from keras_cnn.errors import InputError, require
from keras_cnn.messages import counted
from keras_cnn.run_folder.files import sha256_of

KINDS = ("coco", "yolo", "voc")


def load(
    source: str,
    *,
    classes: tuple[str, ...] | None = None,
    validation: int | float = 0.1,
    test: int | float = 0.1,
    seed: int = 1,
    group: int | str | None = None,
    fold: str | None = None,
    bad_boxes: str = "fail",
) -> BoxDataset:
    """Reads a source. Missing splits are cut from its training images; `validation` and `test` are counts or shares.

    Image files that are identical byte for byte stay together in these cuts, and so do images of one group: `group` is
    a field of COCO's images, a level of folders, 1 for the one that holds the image, or a pattern of the id. Raises
    InputError, with a line for each problem, for annotations that cannot be read, boxes outside their image or without
    area (unless `bad_boxes` is "skip"), classes without a name, missing or damaged images, and a split without an
    image.
    """
    kind, _, place = source.partition(":")
    if kind not in KINDS or not place:
        raise InputError(f"data.source: found {source!r}, expected coco:FILE.json, yolo:FOLDER or voc:FOLDER")
    reading, path = Reading(bad_boxes == "skip"), user_path(place)
    if kind == "coco":
        names, splits = coco.read(path, reading, column_of(group))
    elif kind == "yolo":
        names, splits = yolo_txt.read(path, classes, reading)
    else:
        names, splits = voc.read(path, reading)
    reading.problems += _damaged([image.path for images in splits.values() for image in images])
    reading.conclude()
    require(sum(map(len, splits.values())) > 0, source, "no image", "images with boxes")
    splits = _grouped(splits, group, source)
    kept = chosen_classes(names, classes, source)
    splits = {name: [image.of_classes(kept) for image in images] for name, images in splits.items() if images}
    require("train" in splits, source, f"splits {', '.join(splits)}", "images to train on")
    own = tuple(name for name in SPLITS if name in splits and len(splits) > 1)
    hashes = {image.id: sha256_of(image.path) for images in splits.values() for image in images}
    notes = []
    if fold is not None:
        splits, notes = _with_fold(splits, hashes, fold, seed)
    cuts = _cut(splits, hashes, {"validation": validation, "test": test}, seed, source)
    for name in SPLITS:
        boxes = sum((~image.ignored).sum() for image in cuts[name])
        require(boxes > 0, source, f"no box in the {len(cuts[name])} images of the {name} split", "at least one")
    copies: dict[str, list[str]] = {}
    for identity, content in hashes.items():
        copies.setdefault(content, []).append(identity)
    identical = tuple(tuple(group) for group in copies.values() if len(group) > 1)
    chosen = tuple(names[number] for number in kept)
    files = hashlib.sha256("".join(hashes[identity] for identity in sorted(hashes)).encode()).hexdigest()
    groups = _group_findings(cuts) if group is not None else {}
    notes += [*_notes(cuts, identical, reading), *(leaks_in_words(groups) if groups else ())]
    return BoxDataset(source, chosen, cuts, own, tuple(notes), groups, identical, files)


def _with_fold(
    splits: dict[str, list[AnnotatedImage]], hashes: dict[str, str], fold: str, seed: int
) -> tuple[dict[str, list[AnnotatedImage]], list[str]]:
    """The splits with a fold of the training images as "test", and notes. An image counts for its rarest class."""
    images, (number, count) = splits["train"], parse_fold(fold)
    members = together(images, hashes)
    place = {image.id: index for index, image in enumerate(images)}
    sets = [[place[image.id] for image in members[i]] for i in order(seed, 0, len(members))]
    frequency = np.bincount(np.concatenate([image.classes for image in images]).astype(np.int64))
    none = len(frequency)  # the class of images without a box
    labels = np.array([min(i.classes.tolist(), key=lambda c: (frequency[c], c), default=none) for i in images])
    held = fold_numbers(labels, [np.array(each) for each in sets], count) == number - 1
    notes = [f"fold {fold}: {np.count_nonzero(held):,} of {len(images):,} images are held out as the test split"]
    if "test" in splits:
        notes.append(f"the source's own test split of {len(splits['test']):,} images is left out of the folds")
    kept = {"train": [image for image, out in zip(images, held, strict=True) if not out]}
    return splits | kept | {"test": [image for image, out in zip(images, held, strict=True) if out]}, notes


def _grouped(
    splits: dict[str, list[AnnotatedImage]], group: int | str | None, source: str
) -> dict[str, list[AnnotatedImage]]:
    """The images with the groups that `group` finds in their ids; those of a field are there already."""
    if group is None:
        return splits
    if column := column_of(group):
        expected = "a level of folders, as 1, or a pattern with the group in parentheses, as '(P\\d+)_'"
        require(source.startswith("coco:"), f"data.group {column}", f"{source} has no fields of images", expected)
        return splits
    return {
        name: [
            replace(image, group=found)
            for image, found in zip(images, group_names([i.id for i in images], group, source), strict=True)
        ]
        for name, images in splits.items()
    }


def _group_findings(cuts: dict[str, tuple[AnnotatedImage, ...]]) -> dict:
    numbers, names = numbered([image.group for images in cuts.values() for image in images])
    ends = np.cumsum([len(images) for images in cuts.values()])
    return group_findings(dict(zip(cuts, np.split(numbers, ends[:-1]), strict=True)), names)


def _damaged(paths: Sequence[Path]) -> list[str]:
    """A line for each image file that cannot be decoded to its end."""
    if not paths:
        return []
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    names = {os.path.relpath(path.absolute(), root): path for path in paths}
    listed = list(names)
    problems = audit(root, listed, default_cache_dir()).problems
    return [f"{names[listed[place]]}: {reason}" for place, reason in sorted(problems.items())]


def _cut(
    splits: dict[str, list[AnnotatedImage]], hashes: dict[str, str], shares: dict, seed: int, source: str
) -> dict[str, tuple[AnnotatedImage, ...]]:
    """The three splits. Identical files and images of one group go to one split, in an order of the seed."""
    images = splits["train"]
    members = together(images, hashes)
    waiting = [members[i] for i in order(seed, 0, len(members))]
    cuts = {name: list(own) for name, own in splits.items() if name != "train"}
    for name, share in shares.items():
        if name in cuts:
            continue
        count = math.ceil(share * len(images)) if isinstance(share, float) else share
        taken: list[AnnotatedImage] = []
        while waiting and len(taken) < count:
            taken += waiting.pop()
        cuts[name] = taken
    left = {image.id for group in waiting for image in group}
    cuts["train"] = [image for image in images if image.id in left]
    for name in SPLITS:
        found = f"{len(images)} images leave none for the {name} split"
        require(len(cuts[name]) > 0, source, found, "at least 1 a split; see data.validation and data.test")
    return {name: tuple(cuts[name]) for name in SPLITS}


def together(images: Sequence[AnnotatedImage], hashes: dict[str, str]) -> list[list[AnnotatedImage]]:
    """The images in sets of those that share their file's hash or their group, directly or through others."""
    if not images:
        return []
    files, _ = numbered([hashes[image.id] for image in images])
    groups, _ = numbered([image.group for image in images])
    sets: dict[int, list[AnnotatedImage]] = {}
    for image, first in zip(images, connected(files, groups).tolist(), strict=True):
        sets.setdefault(first, []).append(image)
    return list(sets.values())


def _notes(splits: dict[str, tuple[AnnotatedImage, ...]], identical: tuple, reading: Reading):
    yield from reading.notes
    if reading.skipped:
        yield f"{counted(len(reading.skipped), 'wrong box', 'wrong boxes')} left out, the first: {reading.skipped[0]}"
    homes = {image.id: name for name, images in splits.items() for image in images}
    if across := sum(len({homes[identity] for identity in group}) > 1 for group in identical):
        sets = counted(across, "set of identical images lies", "sets of identical images lie")
        yield f"{sets} across splits (see split.json)"
