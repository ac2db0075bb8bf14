"""Labelled images in shards as a source: `shards:PATTERN`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_cnn.data.audit import AuditResult, refuse, without
from keras_cnn.data.folders import AuditOptions, ListedImages, source_of
from keras_cnn.data.shards import remote, shard_manifest
from keras_cnn.data.shards.class_titles import ClassList, read_class_list, titles_of
from keras_cnn.data.shards.opened import version_of
from keras_cnn.data.shards.pattern import find_shards, folder_of, is_shard, last_part, parts_of
from keras_cnn.data.shards.remote import is_url
from keras_cnn.data.shards.shard_audit import AuditedShards, audit_shards
from keras_cnn.data.shards.shard_manifest import ShardManifest, ShardRecord
from keras_cnn.data.splits import NAMES, LabelledSource
from keras_cnn.data.user_files import user_path
from keras_cnn.errors import InputError
from keras_cnn.messages import counted


def read_shards(pattern: str, options: AuditOptions, *, empty_classes: bool = False) -> LabelledSource:
    """Reads and checks the images in the shards of a pattern; see `find_shards`. Raises InputError as `read_folder`.

    The splits are those that the shards' names have. The classes are those of the list beside the shards, or else the
    labels themselves. A sample without a usable image or label is treated as an unreadable image is.
    """
    where = f"shards:{pattern}"
    shards = _remote_folder(where, pattern) if _is_remote_folder(pattern) else find_shards(pattern)
    parts = parts_of(where, shards)
    listed = _listed(pattern, shards, options)
    audited = audit_shards(shards, listed, options.cache_dir, options.verify)
    if options.corrupt == "fail":
        refuse(audited.unusable, len(audited.labels) + len(audited.unusable))
    if not len(audited.labels):
        raise InputError(f"{where}: no usable samples; the first: {next(iter(audited.unusable.items()))}")
    classes = read_class_list(shards)
    titles = titles_of(where, audited.titles, classes)
    passed = without(len(audited.labels), audited.failed)
    result = AuditResult(audited.files.take(passed), passed, audited.failed, len(passed))
    order = _order(titles, classes)
    images = _images(audited, titles, parts)
    source = source_of(where, images, result, options, empty_classes=empty_classes, order=order)
    return _with_notes(source, audited)


def _listed(pattern: str, shards: Sequence[str], options: AuditOptions) -> list[ShardRecord | None]:
    """What the manifests beside the shards say of each. InputError for a manifest of other shards, or a missing one."""
    manifests = {folder: shard_manifest.read_manifest(folder) for folder in dict.fromkeys(map(folder_of, shards))}
    for folder, manifest in manifests.items():
        if manifest is not None:
            sizes = {name: version_of(name, options.cache_dir).size for name in shards if folder_of(name) == folder}
            manifest.check_listed({last_part(name): size for name, size in sizes.items()})
            if not is_url(pattern) and user_path(pattern).is_dir():
                manifest.check_complete(list(map(last_part, shards)))
    return [_record(manifests[folder_of(name)], last_part(name)) for name in shards]


def _record(manifest: ShardManifest | None, name: str) -> ShardRecord | None:
    return None if manifest is None else manifest.shards[name]


def _is_remote_folder(pattern: str) -> bool:
    return is_url(pattern) and not is_shard(last_part(pattern)) and not set(last_part(pattern)) & set("*?[{")


def _remote_folder(where: str, url: str) -> list[str]:
    """The shards below a URL: those of its manifest, as a web server lists no files, or else those that are found."""
    folder = url.rstrip("/")
    manifest = shard_manifest.read_manifest(folder)
    found = [f"{folder}/{name}" for name in manifest.shards] if manifest else remote.matching(f"{folder}/*.tar")
    if not found:
        raise InputError(f"{where}: no shards and no {shard_manifest.MANIFEST} there; expected .tar files")
    return found


def _images(audited: AuditedShards, titles: Sequence[str], parts: Sequence[str]) -> ListedImages:
    names = tuple(dict.fromkeys(titles))
    codes = np.array([names.index(title) for title in titles], np.int32)
    numbers = np.array([NAMES.index(part) for part in parts], np.uint8)
    return ListedImages(audited.files.names, numbers[audited.files.columns["container"]], codes[audited.labels], names)


def _order(titles: Sequence[str], classes: ClassList | None) -> Callable[[str], Any]:
    """The order of the classes: that of their list, that of numbers, or else by their names."""
    if classes is not None:
        places = {name: place for place, name in enumerate(classes.names)}
        return places.__getitem__
    return (lambda title: (int(title), title)) if all(map(str.isdecimal, titles)) else str


def _with_notes(source: LabelledSource, audited: AuditedShards) -> LabelledSource:
    """The source with what was left out in its findings."""
    notes = []
    if audited.unusable:
        name, reason = next(iter(audited.unusable.items()))
        notes.append(f"{counted(len(audited.unusable), 'sample')} left out, the first: {name}: {reason}")
    skipped = [{"id": name, "reason": reason} for name, reason in audited.unusable.items()]
    findings = source.findings | {"ignored": dict(sorted(audited.ignored.items()))}
    findings["skipped"] = [*skipped, *findings["skipped"]]
    return replace(source, findings=findings | {"notes": [*notes, *findings["notes"]]})
