"""What a run folder says, read with tolerance: whatever is there is given, whatever is wrong is named."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_cnn.config import read_flat
from keras_cnn.errors import InputError

# Fields of a config that change no number that a run finds: they name it, or say where it keeps things.
_WITHOUT_EFFECT = ("name", "seed", "data.cache", "data.cache_dir", "train.checkpoint_minutes", "published")


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it. A file that is missing or damaged leaves its field empty and a problem."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)  # {"optim.learning_rate": 0.01, ...}
    changes: tuple[str, ...] = ()  # lines of changes.txt
    environment: dict = field(default_factory=dict)  # environment.json
    history: tuple[dict[str, float], ...] = ()  # rows of history.csv
    metrics: dict = field(default_factory=dict)  # metrics.json; {} until the run is complete
    split: dict = field(default_factory=dict)  # split.json
    model: dict = field(default_factory=dict)  # model.json: layers and totals
    test_readings: tuple[dict[str, str], ...] = ()  # of the test split: date, images, command
    other_readings: tuple[dict[str, str], ...] = ()  # of other images: date, images and command
    evaluations: dict[str, dict] = field(default_factory=dict)  # evaluations/NAME/metrics.json by NAME
    problems: tuple[str, ...] = ()  # one line each, naming file, what was found and what is expected

    @property
    def name(self) -> str:
        """The folder's name; those of a sweep have the sweep's before it."""
        return self.path.resolve().name

    @property
    def finished(self) -> bool:
        """Whether it has come to its end, even if its numbers cannot be read any more."""
        return bool(self.metrics) or (self.path / "metrics.json").is_file()


def changes_numbers(field: str) -> bool:
    """Whether a field of a config, other than the seed, can change a number that a run finds."""
    return field not in _WITHOUT_EFFECT and not field.startswith(("tracking.", "published."))


def read_record(path: Path) -> Record:
    """Reads a run folder, finished or not. InputError if `path` is none: no folder, or without config.yaml."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion")
    if not (path / "config.yaml").is_file():
        raise InputError(f"{path}: not a run folder: it has no config.yaml")
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Any], empty: Any, absent: str | None = None) -> Any:
        file = path / name
        try:
            return parse(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if absent:
                problems.append(f"{file}: missing; {absent}")
        except (OSError, ValueError, KeyError) as error:  # ValueError: JSON, UTF-8, numbers
            problems.append(
                f"{file}: cannot be read ({' '.join(str(error).split())[:120]}); expected what a run writes"
            )
        return empty

    def history(text: str) -> tuple[dict[str, float], ...]:
        rows, wrong = _history(text)
        problems.extend(f"{path / 'history.csv'}: {line}" for line in wrong)
        return rows

    fields = {
        "config": read("config.yaml", lambda text: read_flat(path / "config.yaml"), {}),
        "changes": read("changes.txt", lambda text: tuple(text.splitlines()), ()),
        "environment": read("environment.json", _mapping, {}, "how the run was made is not known"),
        "history": read("history.csv", history, (), "no epoch has been completed"),
        "metrics": read("metrics.json", _mapping, {}, "the run is not finished: no final numbers"),
        "split": read(
            "split.json", _mapping, {}, "whether the images are still the same, and duplicates, are not known"
        ),
        "model": read("model.json", _mapping, {}, "written by an older version: no table of layers"),
        **dict(zip(("test_readings", "other_readings"), read("test_readings.csv", _readings, ((), ())), strict=True)),
        "evaluations": {
            file.parent.name: found
            for file in sorted(path.glob("evaluations/*/metrics.json"))
            if (found := read(str(file.relative_to(path)), _mapping, {}))
        },
    }
    return Record(path, **fields, problems=tuple(problems))


def _mapping(text: str) -> dict:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"found {type(value).__name__}, expected a mapping")
    return value


def _history(text: str) -> tuple[tuple[dict[str, float], ...], list[str]]:
    """The rows that are whole, and a line for each that is not."""
    head, *lines = csv.reader(text.splitlines() or [""])
    if not head:
        raise ValueError("no header")
    rows, wrong = [], []
    for number, line in enumerate(lines, 1):
        if len(line) != len(head):
            wrong.append(f"row {number} has {len(line)} of {len(head)} fields (is it cut off?); left out")
        else:
            rows.append({k: int(v) if k == "epoch" else float(v) for k, v in zip(head, line, strict=True)})
    return tuple(rows), wrong or ([] if rows else ["no rows; expected one an epoch"])


def _readings(text: str) -> tuple[tuple[dict[str, str], ...], ...]:
    """Those of the test split, and those of other images; older versions did not say which, and read no others."""
    rows = tuple(csv.DictReader(text.splitlines()))
    of_own = [_of_own_split(row.get("images") or "test split") for row in rows]
    return tuple(tuple(row for row, own in zip(rows, of_own, strict=True) if own == wanted) for wanted in (True, False))


def _of_own_split(images: str) -> bool:
    return images == "test split" or images.startswith("test split (")  # (what for)
