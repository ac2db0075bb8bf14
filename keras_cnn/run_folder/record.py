"""Reads a run's record from its folder; missing or damaged files become a list of problems, not an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_cnn.config import read_flat
from keras_cnn.csv_tables import csv_rows
from keras_cnn.errors import InputError
from keras_cnn.run_folder.json_files import read_json
from keras_cnn.run_folder.split_ids import ids_of
from keras_cnn.run_folder.test_readings import read_test_readings

# Fields whose types are checked here; readers check all others themselves.
_ENVIRONMENT = {
    "started": str | None,
    "command": str | None,
    "python": str | None,
    "platform": str | None,
    "git": str | None,
    "packages": dict | None,
    "hardware": dict | None,
    "resumes": list[dict] | None,
}
_SPLIT = {"ids": dict[str, list[str]] | None, "classes": list[str] | None}

# The seed, and config fields that do not change a run's numbers, such as names and cache settings.
_IGNORED_IN_COMPARISON = ("name", "seed", "data.cache", "data.cache_dir", "train.checkpoint_minutes", "published")


@dataclass(frozen=True)
class Record:
    """One run as its folder records it. A file that is missing or damaged leaves its field empty and adds a problem."""

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
    problems: tuple[str, ...] = ()  # lines naming the file, what was found and what is expected

    def ids_of(self, split: str) -> tuple[str, ...] | None:
        """The ids of the images of a split; None if they are not on record."""
        return ids_of(self.path, self.split, split)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def several_labels(self) -> bool:
        """Whether an image of the run may have several classes, or none."""
        return self.split.get("several_labels") is True

    @property
    def finished(self) -> bool:
        """Whether the run is complete, even if its numbers can no longer be read."""
        return bool(self.metrics) or (self.path / "metrics.json").is_file()


def changes_numbers(field: str) -> bool:
    """Whether a config field, other than the seed, can change a run's numbers."""
    return field not in _IGNORED_IN_COMPARISON and not field.startswith(("tracking.", "published."))


def read_record(path: Path) -> Record:
    """Reads a run folder, finished or not. InputError if `path` is not a folder or has no config.yaml."""
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
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, not a number
            problems.append(
                f"{file}: cannot be read ({' '.join(str(error).split())[:120]}); expected what a run writes"
            )
        return empty

    def mapping(name: str, fields: Mapping[str, Any] | None = None, absent: str | None = None) -> dict:
        try:
            return read_json(path / name, fields)
        except FileNotFoundError:
            if absent:
                problems.append(f"{path / name}: missing; {absent}")
        except InputError as error:
            problems.append(str(error))
        return {}

    def history(text: str) -> tuple[dict[str, float], ...]:
        rows, wrong = _history(text)
        problems.extend(f"{path / 'history.csv'}: {line}" for line in wrong)
        return rows

    fields = {
        "config": read("config.yaml", lambda text: read_flat(path / "config.yaml"), {}),
        "changes": read("changes.txt", lambda text: tuple(text.splitlines()), ()),
        "environment": mapping("environment.json", _ENVIRONMENT, "how the run was made is not known"),
        "history": read("history.csv", history, (), "no epoch has been completed"),
        "metrics": mapping("metrics.json", absent="the run is not finished: no final numbers"),
        "split": mapping("split.json", _SPLIT, "whether the images are still the same, and duplicates, are not known"),
        "model": mapping("model.json", absent="written by an older version: no table of layers"),
        **dict(zip(("test_readings", "other_readings"), read("test_readings.csv", _readings, ((), ())), strict=True)),
        "evaluations": {
            file.parent.name: numbers
            for file in sorted(path.glob("evaluations/*/metrics.json"))
            if not file.parent.name.startswith(".") and (numbers := mapping(str(file.relative_to(path))))
        },
    }
    return Record(path, **fields, problems=tuple(problems))


def _history(text: str) -> tuple[tuple[dict[str, float], ...], list[str]]:
    """The complete rows, and a message for each incomplete one."""
    head, *lines = csv_rows(text.splitlines() or [""])
    if not head:
        raise ValueError("no header")
    rows, wrong = [], []
    for number, line in enumerate(lines, 1):
        if len(line) != len(head):
            wrong.append(f"row {number} has {len(line)} of {len(head)} fields (is it cut off?); left out")
        else:
            rows.append({k: int(v) if k == "epoch" else float(v) for k, v in zip(head, line, strict=True)})
    return tuple(rows), wrong or ([] if rows else ["no rows; expected one per epoch"])


def _readings(text: str) -> tuple[tuple[dict[str, str], ...], ...]:
    """Readings of the test split, and of other images. Older versions read only the test split and did not name it."""
    rows = read_test_readings(text)
    of_own = [_of_own_split(row.get("images") or "test split") for row in rows]
    return tuple(tuple(row for row, own in zip(rows, of_own, strict=True) if own == wanted) for wanted in (True, False))


def _of_own_split(images: str) -> bool:
    return images == "test split" or images.startswith("test split (")  # (what for)
