"""Reads images from shards."""

from collections import defaultdict

from keras_cnn.data.image_check import COMPARED, check_contents
from keras_cnn.data.image_files import ImageFiles
from keras_cnn.data.shards.opened import ShardVersion, open_shard
from keras_cnn.errors import Stopped
from keras_cnn.operating_system import map_files

_AT_A_TIME = 64  # images


def contents(files: ImageFiles) -> list[bytes]:
    """The bytes of each image, read from its shard.

    Raises Stopped for a shard that is gone or has changed, and for a remote one that does not answer.
    """
    found: list[bytes] = [b""] * len(files)
    by_shard = defaultdict(list)
    offsets, sizes = files.column("offset").tolist(), files.column("size").tolist()
    for place, container in enumerate(files.column("container").tolist()):
        by_shard[container].append(place)

    def read(container: int) -> None:
        places = sorted(by_shard[container], key=offsets.__getitem__)
        version = ShardVersion(0, int(files.columns["modified"][files.rows[places[0]]]))
        where = files.containers[container]
        try:
            shard = open_shard(where, version, files.root)
            images = shard.read([offsets[place] for place in places], [sizes[place] for place in places])
        except OSError as error:
            reason = error.strerror or str(error)
            raise Stopped(f"{where}: {reason}; it was readable before: restore it") from error
        for place, image in zip(places, images, strict=True):
            found[place] = image

    map_files(read, list(by_shard))
    return found


def difference_in_shards(files: ImageFiles) -> str | None:
    """The first image that differs from its recorded facts now, and how; None if none does. Stopped as `contents`."""
    for start in range(0, len(files), _AT_A_TIME):
        some = files[start : start + _AT_A_TIME]
        names = list(some.names.take(some.rows))
        records, failed = check_contents(names, contents(some), [True] * len(some))
        for i, name in enumerate(names):
            where = f"{some.paths()[i]}: {name}"
            if i in failed:
                return f"{where}: {failed[i]}"
            if any(records[field][i] != some.column(field)[i] for field in COMPARED):
                return f"{where}: is another image than when it was checked"
    return None
