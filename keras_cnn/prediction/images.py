"""The images that a user names for a prediction: files, folders, globs and tables of paths."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from keras_cnn.checking import near_path
from keras_cnn.data.decoding import UnreadableImageError, read_image_file
from keras_cnn.data.image_files import ImageFile
from keras_cnn.data.tables import find_files, read_csv, read_parquet
from keras_cnn.data.user_files import user_path
from keras_cnn.data.walking import extension, ignored_text, is_image, walk
from keras_cnn.errors import InputError
from keras_cnn.messages import counted
from keras_cnn.operating_system import cores

_TABLES = {".csv": read_csv, ".parquet": read_parquet}  # suffix of a table that lists images -> its reader
_KINDS = ("csv:", "parquet:", "folder:")  # how `data.source` of a training names them


@dataclass(frozen=True)
class ListedImage:
    """An image that a user named."""

    name: str  # its path as the user sees it
    path: Path
    id: str = ""  # in the table that lists it; "" for other images


@dataclass
class ImageListing:
    """The images in the order in which they were named, each once, and what was left out."""

    images: list[ListedImage] = field(default_factory=list)
    ignored: Counter = field(default_factory=Counter)  # files that are no images, by kind
    notes: list[str] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)  # that list images


def list_images(named: Sequence[str]) -> ImageListing:
    """The images of files, folders (searched at any depth), globs and `.csv` or `.parquet` files with paths.

    A file is taken whatever its name; a folder or glob only gives files with an image's ending. Images of a table that
    do not exist stay in the list. Raises InputError for what does not exist, and for a folder or glob without an image.
    """
    listing = ImageListing()
    for text in named:
        listing.images += _listed(text, listing)
    if not listing.images:
        raise InputError("no images given; expected image files, folders, globs or a list.csv")
    unique: dict[str, ListedImage] = {}
    for image in listing.images:
        unique.setdefault(os.path.abspath(image.path), image)
    if repeated := len(listing.images) - len(unique):
        listing.notes.append(f"{counted(repeated, 'image was', 'images were')} named more than once")
    listing.images = list(unique.values())
    return listing


def _listed(text: str, listing: ImageListing) -> list[ListedImage]:
    text = _without_kind(text)
    path = user_path(text)
    if path.is_dir():
        ignored = Counter()
        images = [ListedImage(str(path / name), path / name) for name in walk(path, ignored)]
        listing.ignored += ignored
        if not images:
            found = f"; it has {ignored_text(ignored)}" if ignored else ""
            raise InputError(f"{text}: no image in this folder or below it{found}")
        return images
    if path.exists() and extension(path.name) in _TABLES:
        return list(_in_table(path, listing))
    if os.path.lexists(path):
        return [ListedImage(str(path), path)]
    if glob.has_magic(text):
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if not os.path.isdir(name)]
        listing.ignored.update(extension(p.name) or "without extension" for p in found if not is_image(p.name))
        images = [ListedImage(str(p), p) for p in found if is_image(p.name)]
        if not images:
            raise InputError(f"{text}: no image matches; expected a glob of images, in quotes")
        return images
    near = near_path(path)
    hint = f"; did you mean {near}?" if near else f"; looked in {Path.cwd()}"
    raise InputError(f"{text}: no such run, model, image, folder or list{hint}")


def _without_kind(text: str) -> str:
    kind = next((kind for kind in _KINDS if text.startswith(kind)), "")
    return text if os.path.lexists(text) else text.removeprefix(kind)


def _in_table(file: Path, listing: ImageListing) -> Iterator[ListedImage]:
    table = _TABLES[extension(file.name)](file)
    listing.tables.append(file)
    values = table.column(table.path_column())
    found = find_files(values, file.parent, "the folder to list instead:")
    if found.missing(values):
        listing.notes.append(f"{file}: {found.missing_in_words(values)}")
    for value, path in zip(values, found.paths, strict=True):
        yield ListedImage(value, path or found.root / value, value)


def read_files(images: Sequence[ListedImage]) -> tuple[list[ImageFile], list[int], dict[int, str]]:
    """The images whose header can be read, with their indices, and the reason for each other image by its index.

    No pixel is decoded.
    """

    def read(image: ListedImage) -> ImageFile | str:
        try:
            return read_image_file(image.path)
        except UnreadableImageError as error:
            return error.reason

    with ThreadPoolExecutor(len(cores())) as pool:
        results = list(pool.map(read, images, chunksize=64))
    files = {i: result for i, result in enumerate(results) if isinstance(result, ImageFile)}
    return list(files.values()), list(files), {i: r for i, r in enumerate(results) if isinstance(r, str)}


def stem_of(named: str) -> str:
    """A name for the results of what a user named: a folder's or file's, or "images" for a glob."""
    named = _without_kind(named)
    if glob.has_magic(named) and not os.path.lexists(named):
        named = os.path.dirname(named)
        named = "images" if glob.has_magic(named) else named
    stem = user_path(named).resolve().stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem).lstrip(".") or "images"
