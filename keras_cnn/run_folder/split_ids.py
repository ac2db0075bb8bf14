"""The ids of a run's images: in split.json or, if they are many, in a table beside it."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from keras_cnn.csv_tables import CsvWriter, csv_rows
from keras_cnn.run_folder.files import replacing

NAME = "split_ids.csv"
_PLAIN = re.compile(r"\w[\w./ -]*")  # needs neither quotes nor an apostrophe: one regular expression, not ten calls


def write_ids(folder: Path, ids: Mapping[str, Sequence[str]]) -> None:
    """Writes split_ids.csv, with a row (split, id) for each image, atomically."""
    with replacing(folder / NAME) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = CsvWriter(file)
        rows.writerow(("split", "id"))
        for split, members in ids.items():
            for name in members:
                if _PLAIN.fullmatch(name):
                    file.write(f"{split},{name}\n")
                else:
                    rows.writerow((split, name))


def ids_of(folder: Path, record: Mapping, split: str) -> tuple[str, ...] | None:
    """The ids of a split, in order; None if they are not on record. `record` is the content of split.json."""
    listed = record.get("ids")
    if listed is None and "counts" in record and (folder / NAME).is_file():
        listed = _read(folder / NAME, (folder / NAME).stat().st_mtime_ns)
    ids = (listed or {}).get(split)
    return None if ids is None else tuple(ids)


@lru_cache(2)
def _read(path: Path, modified: int) -> dict[str, tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        found: dict[str, list[str]] = {}
        rows = csv_rows(file)
        next(rows, None)
        for split, name in rows:
            found.setdefault(split, []).append(name)
    return {split: tuple(ids) for split, ids in found.items()}
