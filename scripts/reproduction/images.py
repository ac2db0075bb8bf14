"""What the experiments are made of: CIFAR-10 as a folder of JPEG files, weights and photos, all checked."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from keras_cnn.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5000, "test": 1000}
SHA256 = "ab68e4014d29e4e68d6b98cda2e8dd7776c901d7eec714b68fb44802cdbefe87"
PHOTOS = 200
XCEPTION = "0e14f861010eafe9026a9d878b1cd260f705cb311a15226e0fbc0235b5529989"  # SHA-256 of its weights


@dataclass(frozen=True)
class Material:
    """What is at hand: CIFAR-10 and, if they were given, published weights and ImageNet photos."""

    cifar10: Path
    weights: Path | None = None  # a file of Xception's ImageNet weights
    photos: Path | None = None  # a ZIP file with PHOTOS photos

    @property
    def source(self) -> str:
        """The data source of CIFAR-10."""
        return f"folder:{self.cifar10}"

    def has(self, names: tuple[str, ...]) -> bool:
        return all(getattr(self, name) is not None for name in names)


def material(cifar10: Path, weights: Path | None = None, photos: Path | None = None) -> Material:
    """What is in these places. InputError, one line, if something else is."""
    check_cifar10(cifar10)
    if weights:
        if not weights.is_file():
            raise InputError(f"{weights}: not a file, expected Xception's weights")
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != XCEPTION:
            raise InputError(f"{weights}: not the weights of these experiments: SHA-256 {digest}, expected {XCEPTION}")
    if photos and (count := len(photo_names(photos))) != PHOTOS:
        raise InputError(f"{photos}: found {count} .jpg files, expected {PHOTOS} photos")
    return Material(cifar10, weights, photos)


def photo_names(path: Path) -> list[str]:
    """The names of the photos in a ZIP file. InputError if it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: {error}; expected a ZIP file of photos") from error


def check_cifar10(folder: Path) -> None:
    """Raises InputError, one line, unless train/CLASS/*.jpg and test/CLASS/*.jpg in `folder` are CIFAR-10.

    Other images are those of another number in a class, or of other bytes.
    """
    for split, expected in PER_CLASS.items():
        for name in CLASSES:
            place = folder / split / name
            count = sum(1 for _ in place.glob("*.jpg"))
            if count != expected:
                raise InputError(f"{place}: found {count:,} .jpg files, expected {expected:,} of CIFAR-10")
    if (digest := sha256_of_images(folder)) != SHA256:
        raise InputError(f"{folder}: not the CIFAR-10 of these experiments: SHA-256 {digest}, expected {SHA256}")


def sha256_of_images(folder: Path) -> str:
    """The SHA-256 of all .jpg files below `folder`: of each its path and its bytes, in the order of the paths."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.jpg"), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode()
        content = path.read_bytes()
        digest.update(b"%d %s %d\n" % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()
