"""Writes an image source into tar files of WebDataset's naming, in parallel, and goes on after a kill.

A shard takes its name when it is whole. Its line in `PROGRESS` then says so, and the same command later keeps it. The
bytes of a shard depend on the source and the options alone.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from keras_cnn.data import worker_processes
from keras_cnn.data.decoding import UnreadableImageError, open_regular
from keras_cnn.data.shards.resizing import resized
from keras_cnn.data.shards.shard_manifest import MANIFEST, ShardManifest, ShardRecord, read_manifest
from keras_cnn.data.shards.writing_plan import ShardSample, WriteOptions, WritingPlan
from keras_cnn.data.user_files import located
from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.messages import counted, logger
from keras_cnn.operating_system import try_lock_file
from keras_cnn.run_folder.files import naming_a_full_disk, sha256_of

PROGRESS = ".shards.progress"  # in the folder of the shards, until all are written
_PARTIAL = ".partial"
_WAY_ON = "finished shards are kept; the same command goes on"


def write_shards(plan: WritingPlan, source: str, folder: Path, workers: int) -> ShardManifest:
    """Writes all shards of a plan, and their manifest, into a folder, by `workers` processes.

    Shards that an earlier call has finished are kept. Raises InputError if the folder has shards of another plan, and
    Stopped for a full disk or an image that can no longer be read; nothing unfinished remains.
    """
    settings = plan.settings(source)
    if (there := _made(folder)) is not None:
        if there.settings != settings:
            raise InputError(f"{folder}: has shards of another source or of other options; expected an empty folder")
        logger.info(f"nothing to do: {folder} has all {counted(len(there.shards), 'shard')}")
        return there
    with _progress(folder, settings["depends_on"]) as (done, file):
        _remove_partial(folder)  # left by a kill
        if done:
            logger.info(f"{len(done):,} of {counted(len(plan.shards), 'shard')} are there")
        for record in _write_missing(plan, folder, workers, done):
            done[record.name] = record
            with naming_a_full_disk(folder / PROGRESS):
                file.write(json.dumps(asdict(record)) + "\n")
                file.flush()
            logger.info(
                f"{record.name}  {counted(record.samples, 'image')}, {record.bytes / 1e6:,.1f} MB"
                f"  ({len(done):,} of {len(plan.shards):,})"
            )
        shards = {shard.name: done[shard.name] for shard in plan.shards}
        manifest = ShardManifest(str(folder / MANIFEST), plan.source.classes, settings, shards)
        manifest.write(folder)
    (folder / PROGRESS).unlink()
    return manifest


def _made(folder: Path) -> ShardManifest | None:
    """Makes the folder; the manifest that is there already."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{located(folder)}: is a file; expected a folder for the shards")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(str(folder))
    if manifest is None and not (folder / PROGRESS).exists() and next(folder.iterdir(), None):
        raise InputError(f"{located(folder)}: is not empty; expected an empty or new folder for the shards")
    return manifest


@contextmanager
def _progress(folder: Path, plan: str) -> Iterator[tuple[dict[str, ShardRecord], IO[str]]]:
    """The finished shards by name, and the open file to which lines are added; other processes are kept out."""
    with naming_a_full_disk(folder / PROGRESS), (folder / PROGRESS).open("a+", encoding="utf-8") as file:
        if not try_lock_file(file):
            raise InputError(f"{folder}: another process writes shards there; expected one at a time")
        file.seek(0)
        first, *lines = file.read().split("\n")
        if not lines:
            file.truncate(0)  # new, or ended by a kill within its first line
            file.write(plan + "\n")
            file.flush()
        elif first != plan:
            raise InputError(f"{folder}: has shards of another source or of other options; expected an empty folder")
        elif lines and lines[-1]:
            file.write("\n")  # the last line is incomplete: ended by a kill
        yield {record.name: record for line in lines if (record := _finished(folder, line))}, file


def _finished(folder: Path, line: str) -> ShardRecord | None:
    """The shard of a line, if the line is complete and the shard is there."""
    try:
        record = ShardRecord(**json.loads(line))
        return record if (folder / record.name).stat().st_size == record.bytes else None
    except (ValueError, TypeError, OSError):
        return None


def _write_missing(plan: WritingPlan, folder: Path, workers: int, done: dict[str, Any]) -> Iterator[ShardRecord]:
    """Writes the shards that are not done, and yields each in order when it is whole."""
    waiting = [shard for shard in plan.shards if shard.name not in done]
    requests = ((folder / shard.name, shard.part, list(plan.samples(shard)), plan.options) for shard in waiting)
    try:
        if waiting:
            yield from worker_processes.answers(write_shard, requests, min(workers, len(waiting)))
    except KeyboardInterrupt:
        raise Interrupted(f"stopped by a signal; {_WAY_ON}") from None
    except Stopped as error:
        error.add_note(_WAY_ON)
        raise
    finally:
        _remove_partial(folder)


def _remove_partial(folder: Path) -> None:
    for partial in folder.glob(f".*{_PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_shard(path: Path, part: str, samples: Sequence[ShardSample], options: WriteOptions) -> ShardRecord:
    """Writes one shard atomically.

    Raises Stopped for a full disk and for an image that cannot be read any more; nothing remains then.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{_PARTIAL}")  # another process may still write the same shard
    try:
        with naming_a_full_disk(path):
            with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
                for sample in samples:
                    _add(archive, f"{sample.key}.{sample.extension}", _content(sample, options))
                    _add(archive, f"{sample.key}.cls", str(sample.label).encode())
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            record = ShardRecord(path.name, part, len(samples), partial.stat().st_size, sha256_of(partial))
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return record


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a member whose header depends on name and content alone."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _content(sample: ShardSample, options: WriteOptions) -> bytes:
    """The bytes of a sample's image. Stopped if it cannot be read, as all could when they were checked."""
    path = Path(sample.path)
    try:
        if sample.resize:
            assert options.resize is not None
            return resized(path, options.resize, options.quality)
        with open_regular(path) as file:
            return file.read()
    except UnreadableImageError as error:
        raise Stopped(f"{path}: {error.reason}; it was readable before: restore it") from None
