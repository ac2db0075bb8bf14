"""Sources whose images are arrays: the embedded fashion-mini, Debian's Fashion-MNIST, and NPZ files."""

import gzip
import hashlib
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import IO

import numpy as np

from keras_cnn.checking import nearest
from keras_cnn.data import fingerprints
from keras_cnn.data.dataset import Split
from keras_cnn.data.groups import numbered as numbers_of_groups
from keras_cnn.data.label_arrays import are_sets, checked_sets, column_names
from keras_cnn.data.splits import PART_OF, LabelledSource, SourcePart, part_names
from keras_cnn.data.user_files import located
from keras_cnn.errors import InputError, require
from keras_cnn.messages import listed
from keras_cnn.operating_system import available_memory
from keras_cnn.run_folder.files import replacing

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # installed by Debian's package dataset-fashion-mnist
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
NEW_CLASSES = ("Pullover", "Dress", "Coat", "Shirt")  # of the source fashion-new


def part_of(pixels: np.ndarray, labels: np.ndarray, ids: Iterable[str]) -> SourcePart:
    """The SourcePart of (N, H, W, C) uint8 `pixels` with (N,) whole-number `labels`."""
    return SourcePart(Split(tuple(ids), labels.astype(np.int32), pixels=pixels), fingerprints.of_arrays(pixels))


def numbered(name: str, numbers: Iterable[int]) -> list[str]:
    """Ids such as "train/00017"."""
    return [f"{name}/{number:05d}" for number in numbers]


def read_fashion_mini() -> LabelledSource:
    """10,000 training and 2,000 test images of Fashion-MNIST with their original ids (scripts/make_fashion_mini.py)."""
    with files("keras_cnn.data").joinpath("embedded/fashion_mini.npz").open("rb") as file, np.load(file) as arrays:
        parts = {
            name: part_of(arrays[f"x_{name}"], arrays[f"y_{name}"], numbered(name, arrays[f"index_{name}"].tolist()))
            for name in ("train", "test")
        }
    return LabelledSource(FASHION_CLASSES, parts)


def read_fashion_classes(new: bool) -> LabelledSource:
    """The images of fashion-mini of NEW_CLASSES, or of the other six classes, on which ResNet8 was pretrained."""
    names = tuple(name for name in FASHION_CLASSES if (name in NEW_CLASSES) is new)
    labels = [FASHION_CLASSES.index(name) for name in names]
    parts = {}
    for name, part in read_fashion_mini().parts.items():
        taken = part.take(np.flatnonzero(np.isin(part.split.labels, labels)))
        own = np.searchsorted(labels, taken.split.labels).astype(np.int32)
        parts[name] = SourcePart(replace(taken.split, labels=own), taken.fingerprints)
    return LabelledSource(names, parts)


def read_fashion_mnist(folder: Path = FASHION_MNIST_FOLDER) -> LabelledSource:
    """All 60,000 training and 10,000 test images. Raises FileNotFoundError without the files, InputError if damaged."""
    parts = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
        if len(pixels) != len(labels):
            raise InputError(f"{folder}: {len(pixels)} {name} images but {len(labels)} labels")
        parts[name] = part_of(pixels[..., None], labels, numbered(name, range(len(labels))))
    return LabelledSource(FASHION_CLASSES, parts)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of a gzipped IDX file (Y. LeCun, the MNIST database)."""
    header = 4 + 4 * dimensions
    try:
        with gzip.open(path) as file:
            data = file.read(header)
            if len(data) == header:
                size = math.prod(np.frombuffer(data[4:], ">u4").tolist())
                _check_memory(path, size)
                data += file.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file ({error})") from None
    shape = tuple(np.frombuffer(data[4:header], ">u4").tolist()) if len(data) >= header else ()
    if data[:4] != bytes((0, 0, 8, dimensions)) or not shape or len(data) != header + math.prod(shape):
        raise InputError(f"{path}: expected a complete IDX file of bytes in {dimensions} dimensions")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_npz(path: Path) -> LabelledSource:
    """Reads the arrays x_train and y_train, optionally x_val and y_val, x_test and y_test; or just x and y.

    x is (N, H, W) or (N, H, W, 1 or 3) uint8, y is (N,) or (N, 1) whole numbers or strings, or (N, C) of 0 and 1 for
    images that may have several of C classes. The optional array `classes` names the classes 0, 1, ... of whole-number
    labels. The optional arrays group, or group_train and so on, (N,) whole numbers or strings, name groups of images
    that stay in one split. Raises InputError for anything else; nothing is unpickled.
    """
    if not path.is_file():
        raise InputError(f"npz:{located(path)}: {'not a file' if path.exists() else 'no such file'}")
    arrays = read_arrays(path)
    named = part_names(str(path), [name.removeprefix("x_") for name in arrays if name.startswith("x_")])
    suffixes = {part: f"_{name}" for part, name in named.items()}
    if not suffixes and "x" in arrays:
        suffixes = {"train": ""}
    if "train" not in suffixes:
        raise InputError(f"{path}: holds {', '.join(arrays) or 'no arrays'}; expected x_train and y_train, or x and y")
    _check_names(path, arrays)
    if are_sets(arrays.get(f"y{suffixes['train']}", np.zeros(0))):
        return _with_sets(path, arrays, suffixes)
    raw = {part: _raw_labels(path, arrays, suffix) for part, suffix in suffixes.items()}
    names = _class_names(path, arrays.get("classes"), raw["train"])
    parts = {}
    for part, suffix in suffixes.items():
        pixels = _pixels(path, arrays, suffix, len(raw[part]))
        labels = _indices(path, f"y{suffix}", raw[part], names)
        parts[part] = part_of(pixels, labels, numbered(suffix[1:] or "images", range(len(labels))))
    parts, groups = _with_groups(path, arrays, suffixes, parts)
    return LabelledSource(tuple(map(str, names.values())), parts, group_names=groups)


def _with_groups(
    path: Path, arrays: Mapping[str, np.ndarray], suffixes: Mapping[str, str], parts: dict[str, SourcePart]
) -> tuple[dict[str, SourcePart], tuple[str, ...]]:
    """The parts with the groups of the arrays that have them, and the names of the groups."""
    given = {part: arrays.get(f"group{suffix}") for part, suffix in suffixes.items()}
    if all(groups is None for groups in given.values()):
        return parts, ()
    for part, groups in given.items():
        count = len(parts[part].split)
        if groups is None or groups.shape != (count,) or groups.dtype.kind not in "iuU":
            found = "is missing" if groups is None else f"is {groups.dtype} {groups.shape}"
            raise InputError(f"{path}: group{suffixes[part]} {found}; expected ({count},) whole numbers or strings")
    names = {part: list(map(str, groups.tolist())) for part, groups in given.items() if groups is not None}
    numbers, known = numbers_of_groups([name for of_part in names.values() for name in of_part])
    cuts = np.split(numbers, np.cumsum([len(of_part) for of_part in names.values()])[:-1])
    return {part: replace(parts[part], groups=cut) for part, cut in zip(names, cuts, strict=True)}, known


def _with_sets(path: Path, arrays: dict[str, np.ndarray], suffixes: dict[str, str]) -> LabelledSource:
    """The source of images that may have several classes."""
    for suffix in suffixes.values():
        require(f"y{suffix}" in arrays, str(path), f"x{suffix} but no y{suffix}", "labels of each part")
    sets = checked_sets(str(path), {f"y{suffix}": arrays[f"y{suffix}"] for suffix in suffixes.values()})
    given = arrays.get("classes")
    columns = sets[f"y{suffixes['train']}"].shape[1]
    names = column_names(f"{path}: classes", None if given is None else [str(name) for name in given], columns)
    require(len(set(names)) == len(names), f"{path}: classes", "a name twice", "a different name for each class")
    parts = {}
    for part, suffix in suffixes.items():
        labels = sets[f"y{suffix}"]
        pixels = _pixels(path, arrays, suffix, len(labels))
        parts[part] = part_of(pixels, labels, numbered(suffix[1:] or "images", range(len(labels))))
    parts, groups = _with_groups(path, arrays, suffixes, parts)
    return LabelledSource(names, parts, group_names=groups)


def keep_arrays(arrays: Mapping[str, np.ndarray], cache: Path) -> str:
    """Writes arrays, named as in `read_npz`, to a file below `cache`; returns their source, `arrays:KEY`.

    The key is a SHA-256 of names, types, shapes and content, so that the same arrays share a file.
    """
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    path = _kept_file(digest.hexdigest()[:16], cache)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
    return f"arrays:{path.stem}"


def read_kept(key: str, cache: Path) -> LabelledSource:
    """The arrays that `keep_arrays` wrote. Raises InputError if they are not in `cache`."""
    path = _kept_file(key, cache)
    if not path.is_file():
        raise InputError(
            f"arrays:{key}: no {path}: the arrays of the library's load_data were kept there; load them again"
        )
    return read_npz(path)


def _kept_file(key: str, cache: Path) -> Path:
    if not re.fullmatch("[0-9a-f]{16}", key):
        raise InputError(f"arrays:{key}: expected the 16 digits that load_data gave the arrays")
    return cache / "arrays" / f"{key}.npz"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name. Their declared size is compared with the available memory before any is read.

    Raises InputError, in one line, for a damaged file; nothing is unpickled.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path}: not an .npz file of arrays; expected numpy.savez(FILE, x=..., y=...)")
            file.seek(0)
            _check_memory(path, sum(map(_declared_bytes, _members(path))))
            with np.load(file, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable .npz file without Python objects ({reason})") from None


def _members(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as member:
                    yield member


def _declared_bytes(member: IO[bytes]) -> int:
    """The size of the array in an .npy file, from its header."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    return math.prod(shape) * dtype.itemsize


def _check_memory(path: Path, size: int) -> None:
    memory = available_memory()
    if memory and size > memory:
        found, free = f"{size / 2**30:,.1f} GiB", f"{memory / 2**30:,.1f} GiB"
        raise InputError(f"{path}: declares arrays of {found}, where {free} of memory are available")


def _check_names(path: Path, arrays: Iterable[str]) -> None:
    """Raises InputError for an array with an unknown name, because it may be a split."""
    kinds = ("x", "y", "group")
    known = ["classes", *kinds, *(f"{kind}_{name}" for kind in kinds for name in PART_OF)]
    for name in arrays:
        if name.lower() not in known:
            raise InputError(f"{path}: unknown array {name}{nearest(name, known)}")


def _raw_labels(path: Path, arrays: dict, suffix: str) -> np.ndarray:
    name = f"y{suffix}"
    if name not in arrays:
        raise InputError(f"{path}: has x{suffix} but no {name}")
    labels = arrays[name]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise InputError(f"{path}: {name} is {labels.dtype} {labels.shape}; expected (N,) whole numbers or strings")
    return labels


def _class_names(path: Path, titles: np.ndarray | None, labels: np.ndarray) -> dict:
    """Maps the values in y, in order, to the names of their classes."""
    if titles is None:
        return {value: str(value) for value in np.unique(labels).tolist()}
    if titles.ndim != 1 or titles.dtype.kind != "U" or labels.dtype.kind == "U":
        raise InputError(f"{path}: classes is {titles.dtype} {titles.shape}; expected strings, for whole numbers in y")
    names: list[str] = titles.tolist()
    for i, name in enumerate(names):
        if not name or name in names[:i]:
            found = f"{name!r} for {names.index(name)} and {i}" if name else f"an empty name for {i}"
            raise InputError(f"{path}: classes has {found}; expected a different name for each class")
    return dict(enumerate(names))


def _indices(path: Path, name: str, labels: np.ndarray, names: dict) -> np.ndarray:
    unknown = sorted(set(labels.tolist()) - set(names))
    if unknown:
        raise InputError(f"{path}: {name} has the label {unknown[0]!r}; the classes are {listed([*names.values()])}")
    index = {value: i for i, value in enumerate(names)}
    return np.array([index[value] for value in labels.tolist()], np.int32)


def _pixels(path: Path, arrays: dict, suffix: str, count: int) -> np.ndarray:
    pixels = arrays[f"x{suffix}"]
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise InputError(
            f"{path}: x{suffix} is {pixels.dtype} {pixels.shape}; expected uint8 from 0 to 255,"
            " (N, H, W) or (N, H, W, 1 or 3)"
        )
    if len(pixels) != count:
        raise InputError(f"{path}: x{suffix} has {len(pixels)} images, y{suffix} has {count} labels")
    return pixels
