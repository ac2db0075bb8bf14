"""The shards that a user names: by a folder, a pattern with *, a range in braces, or a URL with either."""

import re
from collections.abc import Iterator
from pathlib import Path

from keras_cnn.data.shards import remote
from keras_cnn.data.splits import PART_OF
from keras_cnn.data.user_files import located, user_path
from keras_cnn.errors import InputError

MOST = 1_000_000  # shards that a range in braces may name
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_GLOB = re.compile(r"[*?\[]")
_ARRAY_RECORD = re.compile(r"(?:^|-)([^-]+)\.array_?record\b")


def find_shards(pattern: str) -> list[str]:
    """The paths or URLs of the shards in order. Raises InputError if there are none, or one of a range is missing."""
    where = f"shards:{pattern}"
    if not pattern:
        raise InputError(f"{where}: no pattern; expected shards:FOLDER or shards:train-{{000000..000012}}.tar")
    found = list(dict.fromkeys(name for text in expanded(where, pattern) for name in _found(where, text)))
    if not found:
        raise InputError(f"{where}: no such shards; expected .tar or ArrayRecord files")
    if odd := next((name for name in found if not is_shard(name)), None):
        raise InputError(f"{where}: {odd} is no shard; expected names that end in .tar or have .array_record")
    return found


def is_shard(name: str) -> bool:
    """Whether a file is a shard by its name."""
    return name.endswith(".tar") or is_array_record(name)


def is_array_record(name: str) -> bool:
    """Whether a shard is an ArrayRecord file by its name, such as `mnist-train.array_record-00000-of-00004`."""
    return bool(_ARRAY_RECORD.search(last_part(name)))


def expanded(where: str, pattern: str) -> Iterator[str]:
    """The pattern with each choice of its braces: `{000..012}` counts, and `{train,test}` lists."""
    found = _BRACES.search(pattern)
    if not found:
        if "{" in pattern or "}" in pattern:
            raise InputError(f"{where}: a brace without its other; expected {{000000..000012}} or {{train,test}}")
        yield pattern
        return
    head, tail = pattern[: found.start()], pattern[found.end() :]
    for choice in _choices(where, found[1]):
        yield from expanded(where, head + choice + tail)


def _choices(where: str, text: str) -> list[str]:
    counted = _RANGE.fullmatch(text)
    if not counted:
        if "," not in text:
            raise InputError(f"{where}: {{{text}}} in braces; expected a range such as {{000000..000012}}, or a list")
        return text.split(",")
    first, last = int(counted[1]), int(counted[2])
    if last < first or last - first >= MOST:
        raise InputError(f"{where}: the range {{{text}}}; expected it to rise, with at most {MOST:,} shards")
    return [f"{number:0{len(counted[1])}d}" for number in range(first, last + 1)]


def _found(where: str, text: str) -> list[str]:
    """The shards of a pattern without braces."""
    if remote.is_url(text):
        return remote.matching(text) if _GLOB.search(text) else [text]
    path = user_path(text)
    if path.is_dir():
        inside = sorted(str(file) for file in path.iterdir() if is_shard(file.name) and not file.name.startswith("."))
        if not inside:
            raise InputError(f"{where}: no shards in {located(path)}; expected .tar or ArrayRecord files")
        return inside
    if path.exists():
        return [str(path)]
    if not _GLOB.search(text):
        raise InputError(f"{where}: {located(path)}: no such shard")
    base = Path(path.anchor) if path.anchor else Path()
    parts = path.relative_to(base) if path.anchor else path
    return sorted(str(file) for file in base.glob(str(parts)) if not file.name.startswith("."))


def parts_of(where: str, shards: list[str]) -> list[str]:
    """The split of each shard by its name: `train-000000.tar`, `imagenet1k-validation-00.tar`. "train" for all if no
    name has one, or all have the same.

    Raises InputError if only some have one, or none is of train.
    """
    found = [_part(where, name) for name in shards]
    if len(set(found)) == 1:
        return ["train"] * len(shards)
    if None in found:
        odd, other = shards[found.index(None)], next(name for name, part in zip(shards, found, strict=True) if part)
        raise InputError(f"{where}: {last_part(other)} names a split, but {last_part(odd)} none; expected all or none")
    if "train" not in found:
        raise InputError(f"{where}: shards of {', '.join(sorted(set(map(str, found))))}, but none of train")
    return [str(part) for part in found]


def _part(where: str, name: str) -> str | None:
    """The split that the name of a shard has as a word, if any."""
    last = last_part(name).lower()
    record = _ARRAY_RECORD.search(last)
    words = [record[1]] if record else re.split(r"[^a-z]+", last.removesuffix(".tar"))
    parts = {PART_OF[word] for word in words if word in PART_OF}
    if len(parts) > 1:
        raise InputError(f"{where}: {last_part(name)} has the names of several splits; expected one")
    return next(iter(parts), None)


def folder_of(shard: str) -> str:
    """The folder, or the URL of the folder, of a shard."""
    return shard.rpartition("/")[0] if remote.is_url(shard) else str(Path(shard).parent)


def last_part(name: str) -> str:
    """The file name at the end of a path or URL."""
    return re.split(r"[/\\]", name)[-1]
