"""The runs of a report: their folders, their labels, and the numbers that all sections need."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_cnn.checking import near_path
from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.predictions import find_predictions, read_predictions
from keras_cnn.evaluation.results_folder import restore_evaluations
from keras_cnn.messages import listed
from keras_cnn.report.scores import SplitScores, number, read_scores
from keras_cnn.run_folder import is_detection_run
from keras_cnn.run_folder.record import Record, read_record

FEW = 12  # largest number of runs that are all shown individually
SPLITS = ("test", "validation", "train")
AGAIN = ", evaluated again"  # suffix for a split that the run has measured itself


@dataclass(frozen=True)
class ReportedRun:
    """A run in a report."""

    number: int  # from 0, in the order of the report; determines colour and dash
    label: str  # the folder's name, with the part of its path that makes it unique
    record: Record
    scores: dict[str, SplitScores]  # by split or by the name of the evaluation
    problems: tuple[str, ...]
    ended: str = ""  # the state in which a trial of a sweep ended; "" for other runs

    @property
    def result_split(self) -> str:
        """The split of the run's result: test, or validation for runs that were not tested, such as trials."""
        return "validation" if self.test.accuracy is None and self.validation.accuracy is not None else "test"

    @property
    def result(self) -> SplitScores:
        return self.scores.get(self.result_split, SplitScores())

    @property
    def calibrated(self) -> tuple[str, SplitScores]:
        """Name and scores of the result, or of a later evaluation of its images if only that has a calibration.

        Runs of older versions have a calibration only in later evaluations.
        """
        named = self.result_split, self.result
        if self.result.calibration:
            return named
        later = self.result_split + AGAIN
        return (later, self.scores[later]) if later in self.scores else named

    @property
    def test(self) -> SplitScores:
        return self.scores.get("test", SplitScores())

    @property
    def validation(self) -> SplitScores:
        return self.scores.get("validation", SplitScores())

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the saved model; for an unfinished run, the best epoch so far."""
        recorded = number(self.record.metrics.get("best_epoch"))
        row = _best_row(self.record)
        return int(recorded) if recorded is not None else int(row["epoch"]) if row else None

    @property
    def monitor(self) -> str:
        """The quantity that chose the best epoch: val_accuracy or val_loss."""
        return _monitor(self.record)

    @property
    def seconds(self) -> float | None:
        """Training time in seconds until the end of the last epoch."""
        return number(self.record.history[-1].get("run_seconds")) if self.record.history else None

    @property
    def epochs(self) -> int:
        return len(self.record.history)

    def total(self, name: str) -> float | None:
        """A total of model.json: `trainable`, `other` or `multiply_adds`."""
        totals = self.record.model.get("totals")
        return number(totals.get(name)) if isinstance(totals, dict) else None

    @property
    def state(self) -> str:
        if self.ended or self.record.finished:
            return self.ended or "finished"
        planned = self.record.config.get("train.epochs")
        return f"unfinished: epoch {self.epochs} of {planned}" if planned else f"unfinished: epoch {self.epochs}"


def find_runs(paths: list[Path]) -> tuple[list[ReportedRun], list[str]]:
    """The runs at `paths`, which are run folders or folders of them, and the problems that belong to no run.

    A run that is named several times occurs once. Raises InputError for a path that is neither.
    """
    folders: dict[Path, Path] = {}
    problems: list[str] = []
    for path in paths:
        named = [path] if (path / "config.yaml").is_file() else _below(path)
        detectors = [folder for folder in named if folder != path and is_detection_run(folder)]
        problems += [f"{folder}: a run of detect.py, which has its own page; left out" for folder in detectors]
        several = [folder for folder in named if folder != path and is_multilabel_run(folder)]
        problems += [f"{folder}: several labels an image, which has its own page; left out" for folder in several]
        named = [folder for folder in named if folder not in (*detectors, *several)]
        for folder in named:
            folders.setdefault(folder.resolve(), folder)
        if named != [path]:
            problems += [
                f"{folder}: not a run folder: it has no config.yaml; left out"
                for folder in sorted(path.iterdir())
                if folder not in (*named, *detectors, *several)
                and ((folder / "run.lock").is_file() or (folder / "metrics.json").is_file())
            ]
    for folder in folders.values():
        restore_evaluations(folder)
    records = [read_record(folder) for folder in folders.values()]
    labels = _labels(list(folders))
    return [_run(i, label, record) for i, (label, record) in enumerate(zip(labels, records, strict=True))], problems


def is_multilabel_run(path: Path) -> bool:
    """Whether a folder is that of a run whose images may have several labels."""
    return (path / "config.yaml").is_file() and read_record(path).several_labels


def _below(path: Path) -> list[Path]:
    """The run folders in a folder in natural order: run-2 before run-10."""
    if not path.is_dir():
        near = near_path(path)
        hint = f"; did you mean {near}?" if near else ""
        raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion{hint}")
    folders = [p.parent for p in path.glob("*/config.yaml") if p.is_file()]
    if not folders:
        raise InputError(f"{path}: not a run folder: neither it nor a folder in it has a config.yaml")
    return sorted(folders, key=lambda p: [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in _words(p.name)])


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"([0-9]+)", name) if word]


def _labels(folders: list[Path]) -> list[str]:
    """Folder names, with as many parent folders as make them unique."""
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


def _run(index: int, label: str, record: Record) -> ReportedRun:
    scores: dict[str, SplitScores] = {}
    problems = [*record.problems, *_damage(record)]
    for name, metrics, place in _sources(record):
        if not isinstance(metrics, dict):
            kind = type(metrics).__name__
            problems.append(f"{place}: {name} is {kind}; expected a mapping of numbers; left out")
            continue
        split_scores, invalid = read_scores(metrics, place)
        problems += invalid
        scores[name + AGAIN if name in scores else name] = split_scores
    if record.history and "validation" not in scores:
        scores["validation"] = _so_far(record)
    return ReportedRun(index, label, record, scores, tuple(dict.fromkeys(problems)))


def _damage(record: Record) -> Iterator[str]:
    """Problems of the other files of a finished run."""
    if not record.finished:
        return
    if not (record.path / "model.keras").is_file():
        yield f"{record.path / 'model.keras'}: missing, so the run cannot be evaluated again"
    predictions = find_predictions(record.path)
    if predictions is None:
        return
    try:
        stored = read_predictions(predictions)
    except InputError as error:
        yield str(error)
        return
    classes = record.split.get("classes")
    if isinstance(classes, list) and list(stored.classes) != classes:
        own = listed(list(map(str, classes)))
        yield f"{predictions}: classes {listed(stored.classes)}; expected those of the run: {own}"
    images = number(record.metrics.get("images"))
    if images is not None and len(stored) != images:
        yield f"{predictions}: {len(stored):,} images; expected {images:,.0f}, as in metrics.json"


def _sources(record: Record) -> list[tuple[str, Any, str]]:
    """(name, metrics, file) of every evaluation; the run's own comes before later ones of the same split."""
    own = str(record.path / "metrics.json")
    trial = "accuracy" not in record.metrics and isinstance(record.metrics.get("validation"), dict)
    sources = [("test", record.metrics, own)] if record.metrics and not trial else []
    sources += [(split, record.metrics[split], own) for split in SPLITS[1:] if split in record.metrics]
    sources += [(n, m, str(record.path / "evaluations" / n / "metrics.json")) for n, m in record.evaluations.items()]
    order = {name: i for i, name in enumerate(SPLITS)}
    return sorted(sources, key=lambda source: order.get(source[0], len(order)))


def _monitor(record: Record) -> str:
    monitor = record.metrics.get("chosen_by") or record.config.get("train.monitor")
    return monitor if monitor in ("val_accuracy", "val_loss") else "val_accuracy"


def _best_row(record: Record) -> dict[str, float] | None:
    monitor = _monitor(record)
    better = max if monitor == "val_accuracy" else min
    rows = [row for row in record.history if number(row.get(monitor)) is not None]
    return better(rows, key=lambda row: row[monitor]) if rows else None


def _so_far(record: Record) -> SplitScores:
    """The validation accuracy of an unfinished run in its best epoch, with an interval from the size of the split."""
    accuracy = number((_best_row(record) or {}).get("val_accuracy"))
    counts = record.split.get("counts")
    images = number(counts.get("validation")) if isinstance(counts, dict) else None
    if accuracy is None or not 0 <= accuracy <= 1:
        return SplitScores()
    interval = wilson(round(accuracy * images), int(images)) if images else None
    return SplitScores(images=int(images) if images else None, accuracy=accuracy, interval=interval)
