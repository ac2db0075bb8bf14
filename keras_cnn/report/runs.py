"""The runs of a report: found on disk, labelled, and each with the numbers that every section needs."""

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.records import Record, read_record
from keras_cnn.report.scores import Scores, number, read_scores

SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Run:
    """One run in a report."""

    number: int  # from 0, in the order of the report; decides colour and dash
    label: str  # the folder's name, with as much of its path as tells it from the others
    record: Record
    scores: dict[str, Scores]  # by split or by the name of the evaluation
    problems: tuple[str, ...]

    @property
    def test(self) -> Scores:
        return self.scores.get("test", Scores())

    @property
    def validation(self) -> Scores:
        return self.scores.get("validation", Scores())

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the saved model; of an unfinished run, the best so far."""
        said = number(self.record.metrics.get("best_epoch"))
        row = _best_row(self.record)
        return int(said) if said is not None else int(row["epoch"]) if row else None

    @property
    def monitor(self) -> str:
        """What chose the best epoch."""
        return _monitor(self.record)

    @property
    def seconds(self) -> float | None:
        """Time of training until the end of the last epoch."""
        return number(self.record.history[-1].get("run_seconds")) if self.record.history else None

    @property
    def epochs(self) -> int:
        return len(self.record.history)

    def total(self, name: str) -> int | None:
        """A total of model.json: trainable, other or multiply_adds."""
        totals = self.record.model.get("totals")
        return number(totals.get(name)) if isinstance(totals, dict) else None

    @property
    def state(self) -> str:
        if self.record.finished:
            return "finished"
        planned = self.record.config.get("train.epochs")
        return f"unfinished: epoch {self.epochs} of {planned}" if planned else f"unfinished: epoch {self.epochs}"


def find_runs(paths: list[Path]) -> tuple[list[Run], list[str]]:
    """The runs that `paths` name, each a run folder or a folder of them, and what is wrong beside the runs' own.

    Each run comes once, however often it is named. InputError, in one line, for a path that is neither.
    """
    folders: dict[Path, Path] = {}
    problems: list[str] = []
    for path in paths:
        found = [path] if (path / "config.yaml").is_file() else _below(path)
        for folder in found:
            folders.setdefault(folder.resolve(), folder)
        if found != [path]:
            problems += [
                f"{folder}: not a run folder: it has no config.yaml; left out"
                for folder in sorted(path.iterdir())
                if folder not in found and ((folder / "run.lock").is_file() or (folder / "metrics.json").is_file())
            ]
    records = [read_record(folder) for folder in folders.values()]
    labels = _labels(list(folders))
    return [_run(i, label, record) for i, (label, record) in enumerate(zip(labels, records, strict=True))], problems


def _below(path: Path) -> list[Path]:
    """The run folders in a folder, in the order a person counts: run-2 before run-10."""
    if not path.is_dir():
        siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion{hint}")
    found = [p.parent for p in path.glob("*/config.yaml") if p.is_file()]
    if not found:
        raise InputError(f"{path}: not a run folder: it has no config.yaml; nor has a folder in it")
    return sorted(found, key=lambda p: [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in _words(p.name)])


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"([0-9]+)", name) if word]


def _labels(folders: list[Path]) -> list[str]:
    """Folder names; where two are equal, with as many parents as tell them apart."""
    depths = [1] * len(folders)
    while True:
        labels = ["/".join(folder.parts[-depth:]) for folder, depth in zip(folders, depths, strict=True)]
        deeper = [
            depth + 1 if labels.count(label) > 1 and depth < len(folder.parts) else depth
            for folder, label, depth in zip(folders, labels, depths, strict=True)
        ]
        if deeper == depths:
            return labels
        depths = deeper


def _run(index: int, label: str, record: Record) -> Run:
    scores: dict[str, Scores] = {}
    problems = list(record.problems)
    for name, metrics, place in _sources(record):
        if not isinstance(metrics, dict):
            found = type(metrics).__name__
            problems.append(f"{place}: {name} is {found}; expected a mapping of numbers; left out")
            continue
        read, wrong = read_scores(metrics, place)
        problems += wrong
        scores[name] = _filled(scores[name], read) if name in scores else read
    if record.history and "validation" not in scores:
        scores["validation"] = _so_far(record)
    return Run(index, label, record, scores, tuple(dict.fromkeys(problems)))


def _sources(record: Record) -> list[tuple[str, Any, str]]:
    """(name, metrics, file) of every evaluation, the run's own at its end before later ones of the same split."""
    own = str(record.path / "metrics.json")
    found = [("test", record.metrics, own)] if record.metrics else []
    found += [(split, record.metrics[split], own) for split in SPLITS[1:] if split in record.metrics]
    found += [(n, m, str(record.path / "evaluations" / n / "metrics.json")) for n, m in record.evaluations.items()]
    order = {name: i for i, name in enumerate(SPLITS)}
    return sorted(found, key=lambda source: order.get(source[0], len(order)))


def _filled(first: Scores, second: Scores) -> Scores:
    """`first`, with what it lacks from `second`: an older run has its calibration in a later evaluation alone."""
    lacking = [name for name, value in vars(first).items() if value is None or (name == "classes" and not value)]
    return replace(first, **{name: getattr(second, name) for name in lacking})


def _monitor(record: Record) -> str:
    found = record.metrics.get("chosen_by") or record.config.get("train.monitor")
    return found if found in ("val_accuracy", "val_loss") else "val_accuracy"


def _best_row(record: Record) -> dict[str, float] | None:
    monitor = _monitor(record)
    better = max if monitor == "val_accuracy" else min
    rows = [row for row in record.history if number(row.get(monitor)) is not None]
    return better(rows, key=lambda row: row[monitor]) if rows else None


def _so_far(record: Record) -> Scores:
    """An unfinished run's validation accuracy in its best epoch, with the interval that the split's size gives."""
    accuracy = number((_best_row(record) or {}).get("val_accuracy"))
    counts = record.split.get("counts")
    images = number(counts.get("validation")) if isinstance(counts, dict) else None
    if accuracy is None or not 0 <= accuracy <= 1:
        return Scores()
    interval = wilson(round(accuracy * images), int(images)) if images else None
    return Scores(images=images and int(images), accuracy=accuracy, interval=interval)
