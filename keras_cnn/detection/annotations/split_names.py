"""Splits by the names of folders and files."""

import re
from pathlib import PurePath

from keras_cnn.data.splits import PART_OF

_YEAR = re.compile(r"[-_ ]?(19|20)\d\d$")  # COCO's folders are called train2017, val2017 and test2017


def split_named(name: str) -> str | None:
    """The split "train", "validation" or "test" for a name such as "val" or "train2017"; None for any other."""
    return PART_OF.get(_YEAR.sub("", name.lower()))


def folder_split(path: PurePath) -> str | None:
    """The split of the first folder on the path that names one; None if no folder does."""
    return next((split for part in path.parts[:-1] if (split := split_named(part))), None)
