"""Reads images from shards."""

import os
from collections import defaultdict

from keras_cnn.data.image_files import ImageFiles


def contents(files: ImageFiles) -> list[bytes]:
    """The bytes of each image, read from its shard."""
    found: list[bytes] = [b""] * len(files)
    by_container = defaultdict(list)
    for place, container in enumerate(files.column("container").tolist()):
        by_container[container].append(place)
    offsets, sizes = files.column("offset").tolist(), files.column("size").tolist()
    for container, places in by_container.items():
        with open(files.containers[container], "rb", buffering=0) as file:
            for place in sorted(places, key=offsets.__getitem__):
                found[place] = os.pread(file.fileno(), sizes[place], offsets[place])
    return found
