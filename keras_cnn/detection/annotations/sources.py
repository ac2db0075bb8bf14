"""A source by its name, `coco:FILE.json`, `yolo:FOLDER` or `voc:FOLDER`, as pictures in three splits."""

import hashlib
import math
from pathlib import Path

from keras_cnn.data.pipeline import order
from keras_cnn.detection.annotations import coco, voc, yolo_txt
from keras_cnn.detection.annotations.dataset import SPLITS, BoxDataset, Picture, Reading, chosen_classes
from keras_cnn.errors import InputError, require

KINDS = ("coco", "yolo", "voc")


def load(
    source: str,
    *,
    classes: tuple[str, ...] | None = None,
    validation: int | float = 0.1,
    test: int | float = 0.1,
    seed: int = 1,
    bad_boxes: str = "fail",
) -> BoxDataset:
    """Reads a source. Splits that it does not have are cut from its training pictures, by a count or a share.

    Image files that are the same to the byte stay in one split where it is cut here. Raises InputError, a line a
    problem, for annotations that cannot be read, boxes outside their image or without area (unless `bad_boxes` is
    "skip"), classes without a name, missing images, and a split without a picture.
    """
    kind, _, place = source.partition(":")
    if kind not in KINDS or not place:
        raise InputError(f"data.source: found {source!r}, expected coco:FILE.json, yolo:FOLDER or voc:FOLDER")
    reading = Reading(bad_boxes == "skip")
    if kind == "coco":
        names, splits = coco.read(Path(place), reading)
    elif kind == "yolo":
        names, splits = yolo_txt.read(Path(place), classes, reading)
    else:
        names, splits = voc.read(Path(place), classes, reading)
    reading.conclude()
    require(sum(map(len, splits.values())) > 0, source, "no picture", "some with boxes")
    kept = chosen_classes(names, classes, source)
    splits = {name: [picture.of_classes(kept) for picture in found] for name, found in splits.items() if found}
    require("train" in splits, source, f"splits {', '.join(splits)}", "pictures to train on")
    own = tuple(name for name in SPLITS if name in splits and len(splits) > 1)
    prints = {p.id: hashlib.sha256(p.path.read_bytes()).hexdigest() for found in splits.values() for p in found}
    whole = _cut(splits, prints, {"validation": validation, "test": test}, seed, source)
    for name in SPLITS:
        boxes = sum((~picture.ignored).sum() for picture in whole[name])
        require(boxes > 0, source, f"no box in the {len(whole[name])} pictures of the {name} split", "at least one")
    copies: dict[str, list[str]] = {}
    for identity, content in prints.items():
        copies.setdefault(content, []).append(identity)
    same = tuple(tuple(group) for group in copies.values() if len(group) > 1)
    chosen = tuple(names[number] for number in kept)
    return BoxDataset(source, chosen, whole, own, tuple(_notes(whole, same, reading)), same)


def _cut(splits: dict, prints: dict, wanted: dict, seed: int, source: str) -> dict[str, tuple[Picture, ...]]:
    """The three splits; groups of identical files go to one of them, in an order from the seed."""
    pictures = splits["train"]
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(prints[picture.id], []).append(picture)
    members = list(groups.values())
    waiting = [members[i] for i in order(seed, 0, len(members))]
    whole = {name: list(found) for name, found in splits.items() if name != "train"}
    for name, share in wanted.items():
        if name in whole:
            continue
        count = math.ceil(share * len(pictures)) if isinstance(share, float) else share
        taken: list[Picture] = []
        while waiting and len(taken) < count:
            taken += waiting.pop()
        whole[name] = taken
    left = {picture.id for group in waiting for picture in group}
    whole["train"] = [picture for picture in pictures if picture.id in left]
    for name in SPLITS:
        found = f"{len(pictures)} pictures leave none for the {name} split"
        require(len(whole[name]) > 0, source, found, "at least 1 a split; see data.validation and data.test")
    return {name: tuple(whole[name]) for name in SPLITS}


def _notes(splits: dict[str, tuple[Picture, ...]], same: tuple, reading: Reading):
    if reading.skipped:
        yield f"{len(reading.skipped)} wrong boxes left out, the first: {reading.skipped[0]}"
    homes = {picture.id: name for name, found in splits.items() for picture in found}
    if across := sum(len({homes[identity] for identity in group}) > 1 for group in same):
        yield f"{across} sets of identical images lie across splits (see split.json)"
