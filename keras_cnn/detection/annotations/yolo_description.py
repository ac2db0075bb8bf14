"""The description in a YOLO folder: class names, splits and keypoints, from data.yaml or from lists."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import yaml

from keras_cnn.data.user_files import read_text, user_path
from keras_cnn.detection.annotations.split_names import split_named
from keras_cnn.errors import InputError, require

_YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt")
_MAX_YAML = 16 << 20  # bytes


@dataclass(frozen=True)
class YoloDescription:
    """The description of one folder; any part may be missing.

    An entry of a split is a folder of images, a list of images (a .txt file) or a glob, as written in the description.
    """

    root: Path  # the folder of the images
    names: list[str] = field(default_factory=list)
    names_place: str = "data.classes"  # for messages
    splits: dict[str, list[str]] = field(default_factory=dict)
    splits_place: str = ""
    keypoint_numbers: int = 0  # how many keypoint numbers follow each box

    def images_of(self, entry: str, names: list[str]) -> list[str]:
        """The images among `names` (paths below the root) that an entry means; empty if it does not exist.

        Raises InputError for a list that names other images.
        """
        if entry.endswith(".txt"):
            files = [self.root / tail for tail in _tails(entry, self.root)]
            return next((self._listed(file, names) for file in files if os.path.isfile(file)), [])
        for tail in _tails(entry, self.root):
            prefix = f"{tail}/" if tail else ""
            matching = [name for name in names if name.startswith(prefix)]
            if not matching and any(sign in tail for sign in "*?["):
                matching = [name for name in names if fnmatchcase(name, tail)]
            if matching:
                return matching
        return []

    def _listed(self, file: Path, names: list[str]) -> list[str]:
        known, listed = set(names), []
        for number, line in enumerate(read_text(file, "list of images").splitlines(), 1):
            if line.strip():
                name = next((tail for tail in _tails(line.strip(), self.root) if tail in known), "")
                require(bool(name), f"{file}:{number}", f"found {line.strip()[:80]!r}", f"an image below {self.root}")
                listed.append(name)
        return listed


def _tails(path: str, root: Path) -> Iterator[str]:
    """The path below `root`, then without its first folders, one by one: it may be from another machine or folder."""
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in ("/", ".", "..")]
    if PurePosixPath(path).is_absolute() and PurePosixPath(path).is_relative_to(root.absolute().as_posix()):
        parts = list(PurePosixPath(path).relative_to(root.absolute().as_posix()).parts)
        yield "/".join(parts)
    elif not parts:
        yield ""
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def read_description(folder: Path) -> YoloDescription:
    """The description in data.yaml or dataset.yaml, or else lists of names and images. Raises InputError if wrong."""
    others = sorted(path.name for ending in ("yaml", "yml") for path in folder.glob(f"*.{ending}"))
    for name in (*_YAML_FILES, *(others if len(others) == 1 else ())):
        if (folder / name).is_file():
            return _from_yaml(folder, folder / name)
    if len(darknet := sorted(folder.glob("*.data"))) == 1:
        return _from_darknet(folder, darknet[0])
    names, place = _listed_names(folder)
    lists = {split: [name] for name in _LISTS if (folder / name).is_file() and (split := split_named(name[:-4]))}
    splits = lists if "train" in lists else {}
    return YoloDescription(folder, names, place, splits, str(folder / "train.txt"))


def _from_darknet(folder: Path, file: Path) -> YoloDescription:
    """The description in a Darknet file of lines such as `valid = data/val.txt`."""
    lines = [line.partition("=") for line in read_text(file, "description of the data", _MAX_YAML).splitlines()]
    fields = {key.strip(): value.strip() for key, equals, value in lines if equals}
    splits = {split: [value] for key, value in fields.items() if (split := split_named(key))}
    listed = [folder / tail for tail in _tails(fields.get("names", ""), folder) if os.path.isfile(folder / tail)]
    names, place = (read_names(listed[0]), str(listed[0])) if listed else _listed_names(folder)
    return YoloDescription(folder, names, place, splits, str(file))


def _listed_names(folder: Path) -> tuple[list[str], str]:
    """The lines of classes.txt, obj.names or the first file ending in .names, and the path of that file."""
    files = [folder / "classes.txt", folder / "obj.names", *sorted(folder.glob("*.names"))]
    files.append(folder / "labels" / "classes.txt")  # where LabelImg puts it
    for path in files:
        if path.is_file():
            return read_names(path), str(path)
    return [], "data.classes"


def read_names(file: Path) -> list[str]:
    """The class names of a text file, one per line. Raises InputError for an empty line between them."""
    lines = [line.strip() for line in read_text(file, "names of the classes", _MAX_YAML).rstrip().splitlines()]
    for number, line in enumerate(lines, 1):
        require(bool(line), f"{file}:{number}", "found an empty line", "the name of a class on each line")
    return lines


def _from_yaml(folder: Path, file: Path) -> YoloDescription:
    fields = _fields(file)
    splits: dict[str, list[str]] = {}
    for key, node in fields.items():
        if (split := split_named(key)) and (entries := [text for text in _texts(node, f"{file}: {key}") if text]):
            require(split not in splits, f"{file}: {key}", f"a second {split} split", "one of them")
            splits[split] = entries
    if splits:
        require("train" in splits, str(file), f"splits {', '.join(splits)}", "train as well")
    names = _names(fields["names"], f"{file}: names") if "names" in fields else []
    if "nc" in fields and names:
        count = _scalar(fields["nc"], f"{file}: nc")
        require(count == str(len(names)), f"{file}: nc", f"found {count}", f"{len(names)}, as there are names")
    place = f"{file}: names"
    if not names:
        names, place = _listed_names(folder)
    return YoloDescription(_root(folder, fields, file), names, place, splits, str(file), _keypoints(fields, file))


def _root(folder: Path, fields: dict[str, yaml.Node], file: Path) -> Path:
    """The folder of the images: `folder`, unless `path` in the file names another one elsewhere."""
    path = user_path(_scalar(fields["path"], f"{file}: path")) if "path" in fields else Path()
    root = folder / path
    elsewhere = root.is_dir() and not root.resolve().is_relative_to(folder.resolve())
    return root if elsewhere else folder


def _keypoints(fields: dict[str, yaml.Node], file: Path) -> int:
    """The count of keypoint numbers of a box, K * D, from `kpt_shape: [K, D]`."""
    if "kpt_shape" not in fields:
        return 0
    where = f"{file}: kpt_shape"
    texts = _texts(fields["kpt_shape"], where)
    fits = len(texts) == 2 and all(re.fullmatch(r"\d{1,4}", text) for text in texts)
    require(fits, where, f"found {texts}", "two whole numbers: keypoints, and numbers of each")
    return int(texts[0]) * int(texts[1])


def _names(node: yaml.Node, where: str) -> list[str]:
    """The class names as text, from a list or from a mapping of class numbers to names."""
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(item, where) for item in node.value]
    expected = "a list [car, bus] or a mapping {0: car, 1: bus}"
    require(isinstance(node, yaml.MappingNode), where, f"found {str(node.value)[:60]!r}", expected)
    names: dict[int, str] = {}
    for key, value in node.value:
        text = _scalar(key, where)
        require(bool(re.fullmatch(r"\d{1,9}", text)), where, f"the key {text!r}", "numbers of classes, from 0")
        require(int(text) not in names, where, f"class {text} twice", "each class once")
        names[int(text)] = _scalar(value, where)
    gaps = [number for number in range(len(names)) if number not in names]
    require(not gaps, where, f"no class {', '.join(map(str, gaps[:5]))}", f"the classes 0 to {len(names) - 1}")
    return [names[number] for number in range(len(names))]


def _fields(file: Path) -> dict[str, yaml.Node]:
    """The values of the file by their names. Scalars stay text, because YAML would read `no` as a boolean."""
    try:
        node = yaml.compose(read_text(file, "description of the data", _MAX_YAML), yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "nested too deeply"
        raise InputError(f"{file}{line}: not valid YAML: {problem}") from None
    require(isinstance(node, yaml.MappingNode), str(file), "no mapping", "names: [car, bus]")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value if node else []:
        text = _scalar(key, str(file))
        require(text not in fields, str(file), f"{text} twice", "each field once")
        fields[text] = value
    return fields


def _texts(node: yaml.Node, where: str) -> list[str]:
    """The text of a scalar, or the texts of a list of scalars; null gives an empty text."""
    return [_scalar(item, where) for item in (node.value if isinstance(node, yaml.SequenceNode) else [node])]


def _scalar(node: yaml.Node, where: str) -> str:
    require(isinstance(node, yaml.ScalarNode), where, "a list or mapping", "text")
    return "" if node.tag.endswith(":null") else str(node.value)
