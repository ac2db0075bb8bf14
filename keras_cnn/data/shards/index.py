"""The samples of one shard: where each image lies, and its label."""

from dataclasses import dataclass, field
from urllib.parse import unquote

import numpy as np


@dataclass(frozen=True)
class ShardIndex:
    """The N samples of one shard, in its order."""

    ids: list[str]
    offsets: np.ndarray  # (N,) int64: bytes from the start of a tar; the number of a record of an ArrayRecord file
    sizes: np.ndarray  # (N,) int64: bytes of the image
    titles: tuple[str, ...]  # the distinct labels as the shard has them: texts or whole numbers
    labels: np.ndarray  # (N,) int32, index into titles
    problems: dict[str, str] = field(default_factory=dict)  # key of a sample that cannot be used -> reason
    ignored: dict[str, int] = field(default_factory=dict)  # kind of a member that belongs to no sample -> count

    def __len__(self) -> int:
        return len(self.ids)


class IndexBuilder:
    """Collects the samples of a shard."""

    def __init__(self):
        self._ids: list[str] = []
        self._rows: list[tuple[int, int, int]] = []
        self._titles: dict[str, int] = {}

    def add(self, identity: str, offset: int, size: int, label: str) -> None:
        """Adds a sample."""
        self._ids.append(identity)
        self._rows.append((offset, size, self._titles.setdefault(label, len(self._titles))))

    def index(self, problems: dict[str, str], ignored: dict[str, int]) -> ShardIndex:
        """The index of all samples that were added."""
        rows = np.array(self._rows, np.int64).reshape(-1, 3)
        offsets, sizes, labels = (np.ascontiguousarray(column) for column in rows.T)
        return ShardIndex(
            self._ids, offsets, sizes, tuple(self._titles), labels.astype(np.int32), dict(problems), dict(ignored)
        )


def escaped_key(identity: str) -> str:
    """An id as the key of a sample: its file name percent-encoded where it has a dot, at which WebDataset ends a key.

    There is a % in each such key, so that `id_of` knows that it is a whole id.
    """
    folder, slash, name = identity.rpartition("/")
    key = name.replace("%", "%25").replace(".", "%2E")
    if "%" not in key:
        key = key[:-1] + "".join(f"%{byte:02X}" for byte in key[-1:].encode())
    return folder + slash + key


def id_of(key: str, name: str) -> str:
    """The id of a sample: the name of its image's member or, where the key's file name has a %, the key decoded."""
    folder, slash, last = key.rpartition("/")
    if "%" not in last:
        return name
    try:
        return folder + slash + unquote(last, errors="strict")
    except UnicodeDecodeError:
        return name
