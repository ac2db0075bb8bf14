"""The command line of `keras-cnn shards`."""

import re
from pathlib import Path
from typing import Any

from keras_cnn.cli import early
from keras_cnn.cli.parser import Parser
from keras_cnn.errors import UsageError
from keras_cnn.messages import counted, logger

EXAMPLES = """examples:
  keras-cnn shards photos/ shards/                  files of about 256 MB; the images' bytes as they are
  keras-cnn shards photos/ shards/ --resize 256     the shorter side at 256 pixels, as JPEG
  keras-cnn shards csv:labels.csv shards/           a table of labels, with its splits
  keras-cnn shards --verify shards/                 compare each file with its checksum
  keras-cnn train --data shards:shards/             train on them

Shards are tar files with WebDataset's naming, and manifest.json beside them. A command that was stopped goes on where
it was. The images keep their ids, so that a run on shards gets the same splits and order as one on the folder.
"""
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_LEAST = 10**4  # bytes of a shard
_TABLE = ("path", "label", "split", "group", "root")


def main(arguments: list[str]) -> None:
    """`keras-cnn shards`: see its --help."""
    parser = Parser(
        prog="keras-cnn shards", description="Writes images into shards, of which many fit one file.", epilog=EXAMPLES
    )
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="folder of class folders, or a table of labels")
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, help="an empty or new folder")
    parser.add_argument("--size", default="256MB", metavar="SIZE", help="bytes of a shard, about; default 256MB")
    parser.add_argument(
        "--resize",
        type=int,
        metavar="PIXELS",
        help="shorter side of the images; smaller ones stay as they are; default: all do",
    )
    parser.add_argument(
        "--quality", type=int, default=90, metavar="Q", help="of the JPEG files of resized images, 1 to 95; default 90"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default one for each core")
    parser.add_argument(
        "--verify", type=Path, metavar="FOLDER", help="compare the shards in FOLDER with their manifest"
    )
    parser.add_argument(
        "--data.corrupt",
        dest="corrupt",
        default="fail",
        choices=("fail", "skip"),
        help="images that cannot be read: name them and stop, or leave them out",
    )
    parser.add_argument("--data.cache_dir", dest="cache_dir", metavar="FOLDER", help="for the results of the audit")
    for name in _TABLE:
        parser.add_argument(f"--data.table.{name}", dest=name, metavar="NAME", help=f"{name} of a table of labels")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.verify is not None:
        if chosen.source is not None:
            raise UsageError("command line: --verify FOLDER takes no SOURCE; expected keras-cnn shards --verify FOLDER")
        from keras_cnn.data.shards.shard_manifest import verify

        logger.info(verify(chosen.verify))
        return
    _check(chosen)
    _write(chosen, _bytes(chosen.size))


def _check(chosen: Any) -> None:
    if chosen.out is None:
        raise UsageError("command line: expected keras-cnn shards SOURCE OUT")
    for name, low, high in (("resize", 1, 65535), ("quality", 1, 95), ("workers", 1, 1024)):
        value = getattr(chosen, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"command line: --{name} {value}: expected {low} to {high:,}")


def _bytes(text: str) -> int:
    """The number of bytes in a text such as 256MB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", text.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    size = round(float(found[1]) * unit) if found and unit else 0
    if size < _LEAST:
        raise UsageError(f"command line: --size {text}: expected bytes such as 256MB or 1GB, at least 10KB")
    return size


def _write(chosen: Any, size: int) -> None:
    source = early.as_source(chosen.source)

    from keras_cnn.config.schema import TableColumns  # takes a second; --help does not need it
    from keras_cnn.data.shards.writer import write_shards
    from keras_cnn.data.shards.writing_plan import WriteOptions, make_plan
    from keras_cnn.data.sources import read_source
    from keras_cnn.operating_system import cores

    table = TableColumns(**{name: getattr(chosen, name) for name in _TABLE})
    labelled = read_source(source, corrupt=chosen.corrupt, cache_dir=chosen.cache_dir, table=table)
    for note in labelled.findings.get("notes", ()):
        logger.info(f"note    {note}")
    plan = make_plan(source, labelled, WriteOptions(size, chosen.resize, chosen.quality))
    manifest = write_shards(plan, source, chosen.out, chosen.workers or len(cores()))
    images = sum(shard.samples for shard in manifest.shards.values())
    total = sum(shard.bytes for shard in manifest.shards.values())
    held = f"{counted(images, 'image')} of {counted(len(manifest.classes), 'class', 'classes')}"
    logger.info(f"{held} in {counted(len(manifest.shards), 'shard')}, {total / 1e9:,.2f} GB: {chosen.out}")
