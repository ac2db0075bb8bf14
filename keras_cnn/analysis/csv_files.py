"""Reads tables of runs from CSV files, such as W&B's export, into the columns of `table`."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from keras_cnn.analysis.table import ACCURACIES, COLUMNS, LOSSES, column_of, distinct_names, words
from keras_cnn.checking import nearest
from keras_cnn.csv_tables import csv_rows
from keras_cnn.errors import InputError

# Names of our columns in other programs, in lower case with one underscore between words; the first one found wins.
_ALIASES = {
    "run": ("run", "name", "run_name", "run_id", "id", "trial", "trial_id", "number"),
    "state": ("state", "status"),
    "created": ("created", "created_at", "createdat", "started", "start_time", "datetime_start"),
    "seed": ("seed", "random_seed"),
    "epoch": ("epoch",),
    "best_epoch": ("best_epoch",),
    "seconds": ("seconds", "runtime", "run_duration", "run_seconds", "duration"),
    "epoch_seconds": ("epoch_seconds", "epoch_duration"),
    "parameters": ("parameters", "total_parameters", "total_params", "params", "n_params", "num_parameters"),
    "multiply_adds": ("multiply_adds", "macs"),
    "loss": ("loss", "train_loss", "training_loss"),
    "validation_loss": ("validation_loss", "val_loss", "valid_loss"),
    "test_loss": ("test_loss",),
    "train_accuracy": ("train_accuracy", "train_acc", "training_accuracy", "accuracy", "acc"),
    "validation_accuracy": ("validation_accuracy", "val_accuracy", "val_acc", "valid_accuracy", "validation_acc"),
    "test_accuracy": ("test_accuracy", "test_acc"),
}
# Columns of W&B's run table and similar tables that are not settings; nor are names that begin with an underscore.
_DESCRIBING = set(
    """id name display_name notes user tags group job_type host hostname url sweep sweep_name updated end_time project
    entity commit github git command program python os gpu_count gpu_type cpu_count heartbeat storage_id step""".split()  # noqa: SIM905 - a list of quoted words is four times as long
)
_MEASURING = re.compile(  # words in the names of measured numbers
    r"(^|_)(loss|acc|accuracy|f1|auc|recall|top_?\d|error|err|score|best|time|seconds|duration|runtime|overfit|kappa)(_|$)"
)
_MISSING = frozenset(("", "-", "nan", "none", "null", "n/a"))


def read_table(
    path: Path, columns: Mapping[str, str] | None = None, factors: Sequence[str] | None = None
) -> pd.DataFrame:
    """Reads a CSV file with one row per run, or one per run and epoch, such as W&B's export of its run table.

    `columns` maps our names to the file's, {"test_accuracy": "Acc@1 (test)"}; other columns are recognised by common
    names (val_acc, Runtime, total parameters, ...). `factors` names the settings to study. Without it, they are all
    columns that are not recognised, differ between runs, are constant within a run, and by their names are settings
    rather than measurements; `notes` says which were taken and which were left aside. Accuracies in percent become
    shares, which `notes` also reports. A table with an epoch column but one row per run is a table of runs.

    Raises InputError, naming file, column and line, for a file that is not such a table, a missing column (with the
    nearest name), a cell that is not a number, an accuracy outside its range, or a run with the same epoch twice.
    """
    path = Path(path)
    cells = _read_csv(path)
    roles = _roles(path, list(cells), columns or {})
    by_epoch = _is_by_epoch(path, cells, roles)
    if not by_epoch:
        roles.pop("epoch", None)
    if not roles.keys() & {*ACCURACIES, *LOSSES}:
        raise InputError(
            f"{path}: no column with an accuracy or a loss; expected one of {', '.join((*ACCURACIES, *LOSSES))}"
            f"{_nearest_pair(cells)}; or name one: columns={{'test_accuracy': ...}}"
        )
    notes: list[str] = []
    table = pd.DataFrame({ours: _converted(path, ours, cells[theirs], notes) for ours, theirs in roles.items()})
    runs = pd.Series(_run_names(path, table, by_epoch, notes))
    table["run"] = runs
    chosen = _factors(path, cells, roles, runs, wanted=factors, notes=notes)
    for name in chosen:
        table[name] = _setting(cells[name])
    table = pd.DataFrame(table[["run", *(c for c in COLUMNS if c in table and c != "run"), *chosen]])
    table.attrs = {"factors": chosen, "notes": notes}
    return table


def _read_csv(path: Path) -> dict[str, list[str]]:
    """Column name -> its cells as text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row in csv_rows(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected a CSV file") from None
    except ValueError as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if len(lines) < 2:
        problem = "empty" if not lines else "a header and no rows"
        raise InputError(f"{path}: {problem}; expected a header and a row for each run, or for each run and epoch")
    header = [cell.strip() for cell in lines[0]]
    if len(header) == 1:
        raise InputError(f"{path}: one column, {header[0][:60]!r}; expected several, separated by commas")
    if twice := next((name for i, name in enumerate(header) if name in header[:i]), None):
        raise InputError(f"{path}: two columns are named {twice!r}; expected different names")
    for number, row in enumerate(lines[1:], 2):
        if len(row) != len(header):
            raise InputError(f"{path}: row {number} has {len(row)} cells; expected {len(header)} as in the header")
    return {name: [row[i].strip() for row in lines[1:]] for i, name in enumerate(header) if name}


def _roles(path: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Our name -> the file's name."""
    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise InputError(f"columns: no column of ours is called {ours!r}{nearest(ours, dict.fromkeys(COLUMNS))}")
        if theirs not in header:
            raise InputError(f"{path}: no column {theirs!r} for {ours}{nearest(theirs, dict.fromkeys(header))}")
    normal = {}
    for name in header:
        normal.setdefault(_normal(name), name)
    taken = set(columns.values())
    roles = dict(columns)
    for ours, aliases in _ALIASES.items():
        known = next((normal[a] for a in aliases if a in normal and normal[a] not in taken), None)
        if ours not in roles and known is not None:
            roles[ours] = known
            taken.add(known)
    return roles


def _is_by_epoch(path: Path, cells: Mapping[str, list[str]], roles: Mapping[str, str]) -> bool:
    if "epoch" not in roles:
        return False
    if "run" not in roles:
        epochs = cells[roles["epoch"]]
        if len(set(epochs)) == len(epochs) or len(epochs) == 1:
            return False
        raise InputError(
            f"{path}: a column of epochs, {roles['epoch']!r}, and none that names the run; expected 'run'"
            f"{_hint('run', cells)}"
        )
    runs = cells[roles["run"]]
    return len(set(runs)) < len(runs)


def _run_names(path: Path, table: pd.DataFrame, by_epoch: bool, notes: list[str]) -> list[str]:
    if "run" not in table:
        notes.append("no column names the runs: they are numbered from 1 in the order of the rows")
        return [str(i) for i in range(1, len(table) + 1)]
    names = table["run"].tolist()
    if not by_epoch:
        if len(set(names)) < len(names):
            notes.append("several runs have the same name: the later ones are numbered")
        return distinct_names(names)
    if np.any(table["epoch"].isna()):
        raise InputError(f"{path}: row {table['epoch'].isna().argmax() + 2} has no epoch; expected one in every row")
    twice = table.duplicated(["run", "epoch"])
    if twice.any():
        row = int(twice.argmax())
        raise InputError(
            f"{path}: row {row + 2} is epoch {table['epoch'].iloc[row]:g} of run {names[row]!r} again; "
            "expected every epoch of a run once"
        )
    return names


def _factors(
    path: Path,
    cells: Mapping[str, list[str]],
    roles: Mapping[str, str],
    runs: pd.Series,
    *,
    wanted: Sequence[str] | None,
    notes: list[str],
) -> list[str]:
    """The columns that are settings: the `wanted` ones, else those that look like settings, listed in `notes`."""
    if wanted is not None:
        for name in wanted:
            if name not in cells:
                raise InputError(f"{path}: no column {name!r}{nearest(name, dict.fromkeys(cells))}")
        return list(wanted)
    free = [name for name in cells if name not in roles.values()]
    several = [name for name in free if len({_key(cell) for cell in cells[name]}) > 1]
    taken = [name for name in several if _is_setting(name, cells[name], runs)]
    notes.append(f"taken as settings: {', '.join(taken) or 'none'}")
    if aside := [name for name in several if name not in taken]:
        notes.append(f"left aside, no settings by name or content: {', '.join(aside)}")
    return taken


def _is_setting(name: str, cells: list[str], runs: pd.Series) -> bool:
    normal = _normal(name)
    if name.startswith("_") or normal in _DESCRIBING or any(normal in names for names in _ALIASES.values()):
        return False
    numeric = all(_key(cell) is None or _as_number(cell) is not None for cell in cells)
    if numeric and _MEASURING.search(normal):
        return False
    keys = pd.Series([_key(cell) for cell in cells], dtype=object).fillna("")
    if np.any(keys.groupby(runs.to_numpy()).nunique() > 1):
        return False  # a setting does not change while a run trains
    count = runs.nunique()
    return numeric or count < 3 or keys.nunique() < count  # a text that differs in every run names the run


def _converted(path: Path, ours: str, cells: list[str], notes: list[str]) -> pd.Series:
    if ours in ("run", "state"):
        return pd.Series([cell.lower() if ours == "state" else cell for cell in cells], dtype=object)
    if ours == "created":
        return _times(path, cells)
    numbers = [math.nan if _key(cell) is None else _as_number(cell) for cell in cells]
    for row, (number, cell) in enumerate(zip(numbers, cells, strict=True), 2):
        if number is None:
            raise InputError(f"{path}: row {row}, {words(ours)}: found {cell!r}; expected a number")
    values = pd.Series(numbers, dtype=float)
    return _shares(path, ours, values, notes) if ours in ACCURACIES else values


def _shares(path: Path, ours: str, values: pd.Series, notes: list[str]) -> pd.Series:
    for row, value in enumerate(values, 2):
        if value < 0 or value > 100:
            raise InputError(
                f"{path}: row {row}, {words(ours)}: found {value:g}; expected a share in 0 to 1 or a percentage"
            )
    if values.max() > 1:
        notes.append(f"{words(ours)} is in percent in the file, here in shares")
        return values / 100
    return values


def _times(path: Path, cells: list[str]) -> pd.Series:
    times = []
    for row, cell in enumerate(cells, 2):
        try:
            times.append(pd.NaT if _key(cell) is None else pd.to_datetime(cell, utc=True))
        except ValueError:
            raise InputError(
                f"{path}: row {row}, created: found {cell!r}; expected a date and time such as 2026-11-21T12:37:06Z"
            ) from None
    return pd.Series(pd.DatetimeIndex(times, tz="UTC"))


def _setting(cells: list[str]) -> pd.Series:
    numbers = [None if _key(cell) is None else _as_number(cell) for cell in cells]
    if any(n is None and _key(cell) is not None for n, cell in zip(numbers, cells, strict=True)):
        lowered = {cell.lower() for cell in cells}
        if lowered <= {"true", "false"}:
            return column_of([cell.lower() == "true" for cell in cells])
        return column_of([_key(cell) for cell in cells])
    integral = all(n is None or (math.isfinite(n) and n == int(n)) for n in numbers)
    return column_of([int(n) if integral and n is not None else n for n in numbers])


def _key(cell: str) -> str | None:
    return None if cell.lower() in _MISSING else cell


def _as_number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _nearest_pair(cells: Mapping[str, list[str]]) -> str:
    for name in cells:
        hint = nearest(_normal(name), dict.fromkeys((*ACCURACIES, *LOSSES)))
        if "did you mean" in hint:
            return f"; the column {name!r} is near {hint.removeprefix('; did you mean ').removesuffix('?')}"
    return f"; its columns are {', '.join(cells)}"


def _hint(name: str, cells: Mapping[str, list[str]]) -> str:
    hint = nearest(name, dict.fromkeys(cells))
    return hint if "did you mean" in hint else f"; its columns are {', '.join(cells)}"
