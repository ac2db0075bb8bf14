"""A sweep, or a CSV file of runs, as tables: what was swept, what became of the trials, and their numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.csv_files import read_table
from keras_cnn.analysis.published_means import MeansComparison, compare_means, read_grid
from keras_cnn.analysis.table import (
    COLUMNS,
    chooser,
    column_of,
    epochs_table,
    has_numbers,
    listed,
    plain,
    run_numbers,
    runs_of_epochs,
    runs_table,
)
from keras_cnn.errors import InputError
from keras_cnn.run_folder import is_detection_run
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Study, Trial, best_of

RETRAINED = "best"  # folder of the best trial, trained again and tested
CSV_SUFFIX = ".csv"  # suffix of a file with one row per run
STATES = ("finished", "early", "failed", "running", "stopped")
_DONE = ("finished", "early")
# Numbers of the best trial trained again.
_TOLD = ("validation_accuracy", "test_accuracy", "validation_loss", "test_loss", "best_epoch", "parameters", "seconds")
# A history's column -> the column with its value at the saved model's epoch in a table of runs.
_COLUMNS = {
    "val_accuracy": "validation_accuracy",
    "val_loss": "validation_loss",
    "accuracy": "train_accuracy",
    "run_seconds": "seconds",
}


@dataclass(frozen=True)
class Swept:
    """A sweep's folder."""

    folder: Path
    sweep: Sweep
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, study: Study) -> "Swept":
        """The sweep of a study, as it is now."""
        return cls(study.folder, study.sweep, tuple(study.trials()))

    @property
    def metric(self) -> str:
        """The history's column that the sweep optimises."""
        return self.sweep.metric_name

    @cached_property
    def best(self) -> Trial | None:
        """The trial that the sweep chooses; None if none has a value."""
        return best_of(self.sweep, self.trials)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state that occurs."""
        states = Counter(trial.state for trial in self.trials)
        return {state: states[state] for state in (*STATES, *sorted(states.keys() - set(STATES))) if states[state]}

    def trial_of(self, run: str) -> Trial | None:
        """The trial of a run folder, by the folder's name: 0007 or 0007-seed2; None for `best`."""
        return next((trial for trial in self.trials if trial.label == run.split("-")[0]), None)


@dataclass(frozen=True, eq=False)
class RunTable:
    """The runs of a sweep or of a CSV file as data frames, and what a reader should know about them.

    `runs` is empty if no run has a number yet; `epochs` is None if there is no table by epoch.
    """

    name: str
    runs: pd.DataFrame
    epochs: pd.DataFrame | None
    metric: str  # the column to be explained
    swept: Swept | None = None
    record: Record | None = None  # the sweep's first run with a number, for the fields that all runs share
    retrained: Mapping[str, Any] = field(default_factory=dict)  # numbers of the sweep's best trial trained again

    @property
    def notes(self) -> list[str]:
        """What a reader should know about the tables."""
        of_runs = self.runs.attrs.get("notes", ())
        of_epochs = () if self.epochs is None else self.epochs.attrs.get("notes", ())
        return [*of_runs, *(f"epochs: {note}" for note in of_epochs if note not in of_runs)]

    @cached_property
    def published_means(self) -> MeansComparison | None:
        """The published means of a grid beside those of this sweep; None if its runs name no grid.

        Raises InputError if they cannot be compared at all.
        """
        if self.record is None or self.swept is None or self.epochs is None:
            return None
        named = self.record.config.get("published")
        grid = read_grid(named) if isinstance(named, str) else None
        if grid is None:
            return None
        sweep = self.swept.sweep
        fields = {column: sweep.names.get(parameter, parameter) for parameter, column in factor_names(sweep).items()}
        columns = {name: column for column, name in fields.items() if isinstance(name, str)}
        return compare_means(self.epochs, columns, self.record, grid)


def is_sweep(path: Path) -> bool:
    return (path / "sweep.json").is_file() and (path / "sweep.yaml").is_file()


def find_table(paths: Sequence[Path]) -> RunTable | None:
    """The sweep or the CSV file that `paths` name; None if they name runs.

    Raises InputError, in one line, for a file that is not a table of runs, for a file given with other paths, and for
    a sweep's folder that cannot be read.
    """
    files = [path for path in paths if path.is_file()]
    if files and len(paths) > 1:
        raise InputError(f"{files[0]}: a table of runs has a report of its own; expected it alone, or folders alone")
    if files:
        if files[0].suffix.lower() != CSV_SUFFIX:
            raise InputError(f"{files[0]}: expected a folder of runs, or a {CSV_SUFFIX} file with a row a run")
        return read_csv(files[0])
    return read_swept(paths[0]) if len(paths) == 1 and is_sweep(paths[0]) else None


def read_csv(path: Path) -> RunTable:
    """Reads a CSV file with one row per run, or per run and epoch. Raises InputError as `read_table` does."""
    table = read_table(path)
    by_epoch = "epoch" in table
    runs = runs_of_epochs(table) if by_epoch else table
    return RunTable(path.stem, runs, table if by_epoch else None, chooser(runs)[0])


def read_swept(folder: Path) -> RunTable:
    """Reads a sweep's folder: the runs of its trials that have ended with a value.

    Their settings are the sweep's parameters under their own names. `best` is left out because it repeats a trial.
    """
    try:
        study = Study(folder)
        swept = Swept.of(study)
    except (OSError, ValueError, KeyError, TypeError) as error:  # a damaged journal or sweep.json
        raise InputError(f"{folder}: cannot be read as a sweep's folder: {type(error).__name__}: {error}") from None
    done = [(trial, record) for trial in swept.trials if trial.state in _DONE for record in _records(folder, trial)]
    metric = _COLUMNS.get(swept.metric, swept.metric)
    if not done or is_detection_run(done[0][1].path):  # the folds of a detector have no other columns in common
        return RunTable(folder.resolve().name, pd.DataFrame(columns=["run"]), None, metric, swept)
    records = [record for _, record in done]
    names = factor_names(swept.sweep)
    settings = {name: [trial.assignment.get(parameter) for trial, _ in done] for parameter, name in names.items()}
    runs = _with_settings(runs_table(records), settings)
    runs["state"] = [trial.state for trial, _ in done]
    if not has_numbers(runs, metric):
        runs[metric] = [_in_best_epoch(record, swept.metric) for record in records]
    runs.attrs["notes"] += _left_out(swept)
    epochs = epochs_table(records)
    rows = dict(zip(runs["run"], range(len(runs)), strict=True))
    which = [rows[run] for run in epochs["run"]]
    epochs = _with_settings(epochs, {name: [values[i] for i in which] for name, values in settings.items()})
    return RunTable(folder.resolve().name, runs, epochs, metric, swept, records[0], _retrained(folder))


def _retrained(folder: Path) -> dict[str, Any]:
    """The numbers of the sweep's best trial, trained again and tested; empty if it was not."""
    path = folder / RETRAINED
    numbers = run_numbers(read_record(path)) if (path / "config.yaml").is_file() else {}
    return {name: numbers[name] for name in _TOLD} if np.isfinite(numbers.get("test_accuracy", np.nan)) else {}


def _records(folder: Path, trial: Trial) -> list[Record]:
    """The trial's finished runs that have a history."""
    paths = [folder / name for name in trial.runs]
    records = [read_record(path) for path in paths if (path / "config.yaml").is_file()]
    return [record for record in records if record.finished and record.history]


def factor_names(sweep: Sweep) -> dict[str, str]:
    """Parameter -> its column. A parameter named like another column takes its field's name, or a suffix."""
    taken = {*COLUMNS, "epochs", "value"}
    names = {}
    for parameter in sweep.parameters:
        field = sweep.names.get(parameter)
        other = field if isinstance(field, str) and field not in taken else f"{parameter}_setting"
        names[parameter] = parameter if parameter not in taken else other
    return names


def _with_settings(table: pd.DataFrame, settings: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The table with these factors instead of those in which its records' configs differ."""
    kept = table.drop(columns=table.attrs["factors"])
    columns = {name: column_of([plain(v) for v in values], kept.index) for name, values in settings.items()}
    place = 1 + max(list(kept.columns).index(name) for name in ("run", "state", "created", "seed") if name in kept)
    joined = pd.concat([kept.iloc[:, :place], pd.DataFrame(columns, index=kept.index), kept.iloc[:, place:]], axis=1)
    joined.attrs = {"factors": list(settings), "notes": list(table.attrs["notes"])}
    return joined


def _in_best_epoch(record: Record, column: str) -> float:
    best = record.metrics.get("best_epoch")
    return next((float(row.get(column, np.nan)) for row in record.history if row["epoch"] == best), np.nan)


def _left_out(swept: Swept) -> list[str]:
    open_states = [state for state in swept.counts if state not in _DONE]
    states = {state: [t.label for t in swept.trials if t.state == state] for state in open_states}
    return [f"left out: {len(labels)} {state} ({listed(labels)})" for state, labels in states.items()]
