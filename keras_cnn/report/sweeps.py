"""A sweep, or a table of runs, as a report takes it: what was swept, what became of the trials, and their numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.errors import InputError
from keras_cnn.report.published_means import MeansBeside, beside_means, read_grid
from keras_cnn.report.sections import means
from keras_cnn.run_folder import write_text
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.sweeps import analysis
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Study, Trial
from keras_cnn.sweeps.table import COLUMNS, chooser, listed

BEST = "best"  # folder of the best trial, trained again and tested
TABLES = ".csv"  # suffix of a file with a row a run
STATES = ("finished", "early", "failed", "running", "stopped")
_DONE = ("finished", "early")
# A history's column -> the column of a table of runs that holds it in the epoch of the saved model.
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

    @property
    def metric(self) -> str:
        """The history's column that the sweep goes by."""
        return self.sweep.metric.name if self.sweep.metric else "val_accuracy"

    @property
    def minimizes(self) -> bool:
        return self.sweep.metric is not None and self.sweep.metric.goal == "minimize"

    @cached_property
    def best(self) -> Trial | None:
        """The trial that the sweep chooses; None if none has a value."""
        sign = -1 if self.minimizes else 1
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: (sign * trial.value, -trial.number), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state, those that occur."""
        found = Counter(trial.state for trial in self.trials)
        return {state: found[state] for state in (*STATES, *sorted(found.keys() - set(STATES))) if found[state]}

    def trial_of(self, run: str) -> Trial | None:
        """The trial of a run folder's name: 0007, or 0007-seed2; None for `best`."""
        return next((trial for trial in self.trials if trial.label == run.split("-")[0]), None)


@dataclass(frozen=True)
class RunTable:
    """The runs of a sweep or of a CSV file as data frames, and what a reader should know of them.

    `runs` is empty where no run has a number yet; `epochs` is None where there is no table by epoch.
    """

    name: str
    runs: pd.DataFrame
    epochs: pd.DataFrame | None
    metric: str  # the column that is explained
    swept: Swept | None = None
    record: Record | None = None  # the sweep's first run with a number, for what all its runs have in common

    @cached_property
    def means_beside(self) -> MeansBeside | None:
        """The published means of a grid beside those of this sweep; None where its runs name none.

        Raises InputError where they cannot be compared at all.
        """
        named = self.record.config.get("published") if self.record else None
        grid = read_grid(named) if isinstance(named, str) else None
        if grid is None:
            return None
        names = factor_names(self.swept.sweep)
        fields = {parameter: self.swept.sweep.names.get(parameter, parameter) for parameter in names}
        columns = {
            fields[parameter]: column for parameter, column in names.items() if isinstance(fields[parameter], str)
        }
        return beside_means(self.epochs, columns, self.record, grid)


def is_sweep(path: Path) -> bool:
    return (path / "sweep.json").is_file() and (path / "sweep.yaml").is_file()


def find_table(paths: Sequence[Path]) -> RunTable | None:
    """The sweep or the CSV file that `paths` name; None if they name runs.

    Raises InputError, in one line, for a file that is no table of runs, for one beside other paths, and for a sweep's
    folder that cannot be read.
    """
    files = [path for path in paths if path.is_file()]
    if files and len(paths) > 1:
        raise InputError(f"{files[0]}: a table of runs has a report of its own; expected it alone, or folders alone")
    if files:
        if files[0].suffix.lower() != TABLES:
            raise InputError(f"{files[0]}: expected a folder of runs, or a {TABLES} file with a row a run")
        return read_csv(files[0])
    return read_swept(paths[0]) if len(paths) == 1 and is_sweep(paths[0]) else None


def read_csv(path: Path) -> RunTable:
    """A CSV file with a row a run, or a row a run and epoch. Raises InputError as `read_table` does."""
    found = analysis.read_table(path)
    by_epoch = "epoch" in found
    runs = analysis.runs_of_epochs(found) if by_epoch else found
    return RunTable(path.stem, runs, found if by_epoch else None, chooser(runs)[0])


def read_swept(folder: Path) -> RunTable:
    """A sweep's folder: the runs of its trials that have ended with a value.

    Their settings are the sweep's parameters under their own names. `best` is left out: it is one of them again.
    """
    try:
        study = Study(folder)
        swept = Swept(folder, study.sweep, tuple(study.trials()))
    except (OSError, ValueError, KeyError, TypeError) as error:  # a journal or a sweep.json that is damaged
        raise InputError(f"{folder}: cannot be read as a sweep's folder: {type(error).__name__}: {error}") from None
    done = [(trial, record) for trial in swept.trials if trial.state in _DONE for record in _records(folder, trial)]
    metric = _COLUMNS.get(swept.metric, swept.metric)
    if not done:
        return RunTable(folder.resolve().name, pd.DataFrame(columns=["run"]), None, metric, swept)
    records = [record for _, record in done]
    names = factor_names(swept.sweep)
    settings = {name: [trial.assignment.get(parameter) for trial, _ in done] for parameter, name in names.items()}
    runs = _with_settings(analysis.runs_table(records), settings)
    runs["state"] = [trial.state for trial, _ in done]
    if metric not in runs or runs[metric].isna().all():
        runs[metric] = [_in_best_epoch(record, swept.metric) for record in records]
    runs.attrs["notes"] += _left_out(swept)
    epochs = analysis.epochs_table(records)
    rows = dict(zip(runs["run"], range(len(runs)), strict=True))
    which = [rows[run] for run in epochs["run"]]
    epochs = _with_settings(epochs, {name: [values[i] for i in which] for name, values in settings.items()})
    return RunTable(folder.resolve().name, runs, epochs, metric, swept, records[0])


def write_tables(table: RunTable, page: Path) -> tuple[Path, list[Path]]:
    """Writes the analysis as PNG and CSV: a sweep's into SWEEP/analysis, a file's beside the page. (folder, files).

    Raises InputError where no run has a number, and where the folder cannot be written.
    """
    folder = table.swept.folder / "analysis" if table.swept else page.with_name(f"{page.stem}_analysis")
    try:
        paths = analysis.write_analysis(folder, table.runs, table.epochs, table.metric)
        return folder, [*_write_means(table, paths[-1]), *paths]
    except OSError as error:
        raise InputError(f"{folder}: cannot write the analysis: {error.strerror or error}") from None


def _write_means(table: RunTable, notes: Path) -> list[Path]:
    """The files of the means beside published ones; what hinders the comparison, or forbids it, joins the notes."""
    try:
        found = table.means_beside
    except InputError as error:
        paths, said = [], [f"not written: {error}"]
    else:
        if found is None:
            return []
        paths, said = means.write(found, notes.parent), [*means.order_sentences(found), *found.hindrances]
    lines = "".join(f"published means: {line}\n" for line in said)
    write_text(notes, notes.read_text(encoding="utf-8") + lines)
    return paths


def _records(folder: Path, trial: Trial) -> list[Record]:
    """Of the trial's runs that have ended with their numbers."""
    paths = [folder / name for name in trial.runs]
    found = [read_record(path) for path in paths if (path / "config.yaml").is_file()]
    return [record for record in found if record.finished and record.history]


def factor_names(sweep: Sweep) -> dict[str, str]:
    """Parameter -> its column. One that is called as a column of numbers goes by its field, or gets a word more."""
    taken = {*COLUMNS, "epochs", "value"}
    names = {}
    for parameter in sweep.parameters:
        field = sweep.names.get(parameter)
        other = field if isinstance(field, str) and field not in taken else f"{parameter}_setting"
        names[parameter] = parameter if parameter not in taken else other
    return names


def _with_settings(table: pd.DataFrame, settings: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The table with these factors in the place of those that its records' configs differ in."""
    kept = table.drop(columns=table.attrs["factors"])
    columns = {name: _column(values, kept.index) for name, values in settings.items()}
    place = 1 + max(kept.columns.get_loc(name) for name in ("run", "state", "created", "seed") if name in kept)
    whole = pd.concat([kept.iloc[:, :place], pd.DataFrame(columns, index=kept.index), kept.iloc[:, place:]], axis=1)
    whole.attrs = {"factors": list(settings), "notes": list(table.attrs["notes"])}
    return whole


def _column(values: Sequence[Any], index: pd.Index) -> pd.Series:
    """Values of one setting; mixed ones keep their types, lists and the like become text."""
    values = [repr(value) if isinstance(value, list | dict) else value for value in values]
    types = {type(value) for value in values}
    return pd.Series(values, index=index, dtype=None if types <= {int, float} or types == {bool} else object)


def _in_best_epoch(record: Record, column: str) -> float:
    best = record.metrics.get("best_epoch")
    return next((float(row.get(column, np.nan)) for row in record.history if row["epoch"] == best), np.nan)


def _left_out(swept: Swept) -> list[str]:
    open_states = [state for state in swept.counts if state not in _DONE]
    states = {state: [t.label for t in swept.trials if t.state == state] for state in open_states}
    return [f"left out: {len(labels)} {state} ({listed(labels)})" for state, labels in states.items()]
