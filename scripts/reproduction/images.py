"""The images of the experiments: CIFAR-10 as a folder of JPEG files, checked by counts and hash."""

import hashlib
from pathlib import Path

from keras_cnn.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5000, "test": 1000}
SHA256 = "ab68e4014d29e4e68d6b98cda2e8dd7776c901d7eec714b68fb44802cdbefe87"


def cifar10(folder: Path) -> str:
    """The data source of CIFAR-10 in `folder`: train/CLASS/*.jpg and test/CLASS/*.jpg.

    Raises InputError, one line, if there are other images: another number of them in a class, or other bytes.
    """
    for split, expected in PER_CLASS.items():
        for name in CLASSES:
            place = folder / split / name
            count = sum(1 for _ in place.glob("*.jpg"))
            if count != expected:
                raise InputError(f"{place}: found {count:,} .jpg files, expected {expected:,} of CIFAR-10")
    if (digest := sha256_of_images(folder)) != SHA256:
        raise InputError(f"{folder}: not the CIFAR-10 of these experiments: SHA-256 {digest}, expected {SHA256}")
    return f"folder:{folder}"


def sha256_of_images(folder: Path) -> str:
    """The SHA-256 of all .jpg files below `folder`: of each its path and its bytes, in the order of the paths."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.jpg"), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode()
        content = path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()
