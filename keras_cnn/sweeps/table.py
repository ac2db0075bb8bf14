"""The runs of a sweep as data frames: one row a run, or one row a run and epoch, from run folders or from any CSV.

The columns have the same names wherever a table comes from. Losses and accuracies are of the model that the run saved,
or in a table by epoch of that epoch; accuracies lie in [0, 1].

- `run` names the run, `state` is finished or what else became of it, `created` its start (UTC), `seed` its seed.
- `epoch` counts from 1; `seconds` run from the start of the training to the end of the row; `epoch_seconds`.
- `parameters` are trainable, `multiply_adds` are of one image; `best_epoch` is the epoch of the saved model.
- `loss` and `train_accuracy` are of the training images; `validation_...`, `test_...` of the other splits.

All other columns are factors: the settings in which the runs differ, under the name that they have in a config or in
the file. `table.attrs` has `factors`, their names in order, and `notes`, a line for each thing a reader should know.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError
from keras_cnn.run_folder.record import Record

# Fields that change no number that a run finds, or that only name it.
_ASIDE = ("name", "seed", "data.cache", "data.cache_dir", "train.checkpoint_minutes")
_ASIDE_SECTIONS = ("tracking.", "published")

ACCURACIES = ("train_accuracy", "validation_accuracy", "test_accuracy")
LOSSES = ("loss", "validation_loss", "test_loss")
_TEXTS = ("run", "state", "created")
_MEASURED = ("epoch", "best_epoch", "seconds", "epoch_seconds", "parameters", "multiply_adds", *LOSSES, *ACCURACIES)
COLUMNS = (*_TEXTS, "seed", *_MEASURED)

# What other programs call our columns, in lower case with one underscore between words; the first that is there wins.
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
# Columns of W&B's run table and the like that are no settings; so are those that begin with an underscore.
_DESCRIBING = set(
    """id name display_name notes user tags group job_type host hostname url sweep sweep_name updated end_time project
    entity commit github git command program python os gpu_count gpu_type cpu_count heartbeat storage_id step""".split()  # noqa: SIM905 - a list of quoted words is four times as long
)
_MEASURING = re.compile(  # words in the names of numbers that a run logs rather than gets
    r"(^|_)(loss|acc|accuracy|f1|auc|recall|top_?\d|error|err|score|best|time|seconds|duration|runtime|overfit|kappa)(_|$)"
)
_MISSING = frozenset(("", "-", "nan", "none", "null", "n/a"))


# --- run folders ------------------------------------------------------------------------------------------------------


def runs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a run: what it is called, the fields of the config that vary, its cost and its numbers as far as known.

    The numbers of a finished run are those of metrics.json, measured on all splits alike. An unfinished one has the
    best validation accuracy so far and no others. Options of a choice (of an augmentation, of a model) that follow
    from it in all these runs are not listed beside it.

    Raises InputError for no record.
    """
    if not records:
        raise InputError("no runs; expected at least one run folder")
    names = _distinct([record.name for record in records])
    table = pd.DataFrame([_row(record, name) for record, name in zip(records, names, strict=True)])
    table["created"] = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    factors = _varying(records)
    settings = pd.DataFrame({field: _column(values) for field, values in factors.items()}, index=table.index)
    table = pd.concat([table[["run", "state", "created", "seed"]], settings, table.drop(columns=_ID_COLUMNS)], axis=1)
    notes = []
    if unfinished := [name for name, record in zip(names, records, strict=True) if not record.finished]:
        notes.append(
            f"{_count(len(unfinished), 'run is', 'runs are')} not finished, with the best validation accuracy so far: "
            + listed(unfinished)
        )
    table.attrs = {"factors": list(factors), "notes": notes}
    return table


_ID_COLUMNS = ["run", "state", "created", "seed"]


def epochs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a run and epoch, from history.csv, with the factors and the parameters of the run in every row.

    `loss` and `train_accuracy` were measured while training, on augmented images with dropout on. The test split is
    read once, so `test_accuracy` stands in the row of the saved model's epoch and nowhere else.

    Raises InputError for no record, or none that has completed an epoch.
    """
    runs = runs_table(records)
    factors = runs.attrs["factors"]
    rows = []
    for record, run in zip(records, runs.to_dict("records"), strict=True):
        for epoch in record.history:
            rows.append(
                {name: run[name] for name in ("run", *factors)}
                | {
                    "epoch": epoch["epoch"],
                    "seconds": epoch.get("run_seconds"),
                    "epoch_seconds": epoch.get("epoch_seconds"),
                    "parameters": run["parameters"],
                    "loss": epoch.get("loss"),
                    "validation_loss": epoch.get("val_loss"),
                    "train_accuracy": epoch.get("accuracy"),
                    "validation_accuracy": epoch.get("val_accuracy"),
                    "test_accuracy": run["test_accuracy"] if epoch["epoch"] == run["best_epoch"] else math.nan,
                }
            )
    if not rows:
        raise InputError(f"no epochs: none of {_count(len(records), 'run', 'runs')} has completed one")
    table = pd.DataFrame(rows)
    for field in factors:
        table[field] = _column(table[field].tolist())
    notes = ["loss and train accuracy of an epoch are measured while training, on augmented images with dropout on"]
    table.attrs = {"factors": factors, "notes": notes}
    return table


def _row(record: Record, name: str) -> dict[str, Any]:
    metrics, history = record.metrics, record.history
    totals = record.model.get("totals")
    best = _best_so_far(record)
    return {
        "run": name,
        "state": "finished" if record.finished else "unfinished",
        "created": record.environment.get("started"),
        "seed": record.config.get("seed"),
        "seconds": history[-1].get("run_seconds", math.nan) if history else math.nan,
        "epochs": len(history),
        "best_epoch": _number(metrics if record.finished else {"best_epoch": best.get("epoch")}, "best_epoch"),
        "parameters": _number(totals, "trainable"),
        "multiply_adds": _number(totals, "multiply_adds"),
        "loss": _number(metrics.get("train"), "loss"),
        "validation_loss": _number(metrics.get("validation"), "loss") if record.finished else _number(best, "val_loss"),
        "test_loss": _number(metrics, "loss"),
        "train_accuracy": _number(metrics.get("train"), "accuracy"),
        "validation_accuracy": _number(metrics.get("validation"), "accuracy")
        if record.finished
        else _number(best, "val_accuracy"),
        "test_accuracy": _number(metrics, "accuracy"),
    }


def _best_so_far(record: Record) -> dict[str, float]:
    rows = [row for row in record.history if math.isfinite(row.get("val_accuracy", math.nan))]
    return max(rows, key=lambda row: row["val_accuracy"], default={})


def _number(metrics: Any, name: str) -> float:
    """A number of a file that may be damaged; NaN where there is none."""
    value = metrics.get(name) if isinstance(metrics, Mapping) else None
    return float(value) if isinstance(value, int | float) else math.nan


def _varying(records: Sequence[Record]) -> dict[str, list]:
    """Fields of the configs with more than one value among the runs; those that a choice brings with it left out."""
    fields = dict.fromkeys(field for record in records for field in record.config)
    keys: dict[str, list[str]] = {}
    for field in fields:
        if field in _ASIDE or field.startswith(_ASIDE_SECTIONS):
            continue
        found = [repr(record.config.get(field, "absent")) for record in records]
        if len(set(found)) > 1:
            keys[field] = found
    brought = {
        field
        for choice in keys
        if choice.endswith(".name")
        for field in keys
        if field != choice
        and field.startswith(choice.removesuffix("name"))
        and len(set(zip(keys[choice], keys[field], strict=True))) == len(set(keys[choice]))
    }
    return {f: [_plain(record.config.get(f)) for record in records] for f in keys if f not in brought}


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, list | dict | tuple) else value


# --- CSV files --------------------------------------------------------------------------------------------------------


def read_table(
    path: Path, columns: Mapping[str, str] | None = None, factors: Sequence[str] | None = None
) -> pd.DataFrame:
    """The table in a CSV file with one row a run, or one row a run and epoch; W&B's export of its run table is one.

    `columns` names columns of the file, {"test_accuracy": "Acc@1 (test)"}; the others are recognised by the names
    in use (val_acc, Runtime, total parameters, ...). `factors` names the settings to study. Without it they are all
    columns that are not recognised, differ between runs, are constant within a run, and by their names are settings
    rather than measurements; `notes` tells which were taken and which were left aside. Accuracies in percent become
    shares, which `notes` tells too. A table with an epoch but one row a run is one of runs.

    Raises InputError, naming file, column and line, for a file that is no such table, a column that is not there
    (with the nearest name), a number that is none, an accuracy outside its range, and a run with an epoch twice.
    """
    path = Path(path)
    found = _read_csv(path)
    roles = _roles(path, list(found), columns or {})
    by_epoch = _is_by_epoch(path, found, roles)
    if not by_epoch:
        roles.pop("epoch", None)
    if not roles.keys() & {*ACCURACIES, *LOSSES}:
        raise InputError(
            f"{path}: no column with an accuracy or a loss; expected one of {', '.join((*ACCURACIES, *LOSSES))}"
            f"{_nearest_pair(found)}; or name one: columns={{'test_accuracy': ...}}"
        )
    notes: list[str] = []
    table = pd.DataFrame({ours: _converted(path, ours, found[theirs], notes) for ours, theirs in roles.items()})
    table["run"] = _run_names(path, table, by_epoch, notes)
    chosen = _factors(path, found, roles, table["run"], factors, notes)
    for name in chosen:
        table[name] = _setting(found[name])
    table = table[["run", *(c for c in COLUMNS if c in table and c != "run"), *chosen]]
    table.attrs = {"factors": chosen, "notes": notes}
    return table


def runs_of_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """One row a run from a table by epoch: the row of its best epoch, which is `best_epoch` then.

    The best is chosen by validation accuracy, and where the table has none by test accuracy, which flatters the run:
    `notes` says which. `seconds` are of the last row, `epochs` counts them. Runs without any such number are left
    out, and named.
    """
    chosen_by, sentence = chooser(epochs)
    best = best_rows(epochs)
    grouped = epochs.groupby("run", sort=False)
    best = best.rename(columns={"epoch": "best_epoch"}).drop(columns="epoch_seconds", errors="ignore")
    best["epochs"] = best["run"].map(grouped.size())
    if "seconds" in epochs:
        best["seconds"] = best["run"].map(grouped["seconds"].max())
    notes = [*epochs.attrs.get("notes", ()), sentence]
    if lost := [run for run in grouped.groups if run not in set(best["run"])]:
        notes.append(f"{_count(len(lost), 'run has', 'runs have')} no {words(chosen_by)}: {listed(lost)}")
    best.attrs = {"factors": list(factors_of(epochs)), "notes": notes}
    return best


def best_rows(epochs: pd.DataFrame) -> pd.DataFrame:
    """The row of the best epoch of each run, by `chooser`; the first of equal ones. Runs in their order."""
    column, _ = chooser(epochs)
    usable = epochs[epochs[column].notna()]
    index = usable.groupby("run", sort=False)[column].agg("idxmax" if is_better_higher(column) else "idxmin")
    return epochs.loc[index].reset_index(drop=True)


def chooser(table: pd.DataFrame) -> tuple[str, str]:
    """The column that chooses the best epoch or run, and a sentence that says so."""
    for column in ("validation_accuracy", "test_accuracy", "validation_loss", "train_accuracy", "loss"):
        if column in table and table[column].notna().any():
            flattering = ", chosen on the test images and so too good" if column == "test_accuracy" else ""
            return column, f"best by {words(column)}{flattering}"
    raise InputError(
        f"no accuracy and no loss in the table; expected one of {', '.join((*ACCURACIES, *LOSSES))}; "
        f"its columns are {', '.join(map(str, table.columns))}"
    )


def factors_of(table: pd.DataFrame) -> list[str]:
    """The table's factors: those it was read with, else every column that is none of ours."""
    known = table.attrs.get("factors")
    if known is not None:
        return [name for name in known if name in table]
    return [name for name in table.columns if name not in COLUMNS and name != "epochs"]


def is_better_higher(metric: str) -> bool:
    return not re.search(r"(^|[^a-z])(loss|error|err|seconds)([^a-z]|$)", metric.lower())


def words(name: str) -> str:
    """A column's name as a sentence has it."""
    return name.replace("_", " ")


def _read_csv(path: Path) -> dict[str, list[str]]:
    """Column name -> its cells as text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row in csv.reader(file, strict=True) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected a CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if len(lines) < 2:
        found = "empty" if not lines else "a header and no rows"
        raise InputError(f"{path}: {found}; expected a header and a row for each run, or for each run and epoch")
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


def _is_by_epoch(path: Path, found: Mapping[str, list[str]], roles: Mapping[str, str]) -> bool:
    if "epoch" not in roles:
        return False
    if "run" not in roles:
        epochs = found[roles["epoch"]]
        if len(set(epochs)) == len(epochs) or len(epochs) == 1:
            return False
        raise InputError(
            f"{path}: a column of epochs, {roles['epoch']!r}, and none that names the run; expected 'run'"
            f"{_hint('run', found)}"
        )
    runs = found[roles["run"]]
    return len(set(runs)) < len(runs)


def _run_names(path: Path, table: pd.DataFrame, by_epoch: bool, notes: list[str]) -> list[str]:
    if "run" not in table:
        notes.append("no column names the runs: they are numbered from 1 in the order of the rows")
        return [str(i) for i in range(1, len(table) + 1)]
    names = table["run"].tolist()
    if not by_epoch:
        if len(set(names)) < len(names):
            notes.append("several runs have the same name: the later ones are numbered")
        return _distinct(names)
    if table["epoch"].isna().any():
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
    found: Mapping[str, list[str]],
    roles: Mapping[str, str],
    runs: pd.Series,
    asked: Sequence[str] | None,
    notes: list[str],
) -> list[str]:
    if asked is not None:
        for name in asked:
            if name not in found:
                raise InputError(f"{path}: no column {name!r}{nearest(name, dict.fromkeys(found))}")
        return list(asked)
    free = [name for name in found if name not in roles.values()]
    several = [name for name in free if len({_key(cell) for cell in found[name]}) > 1]
    taken = [name for name in several if _is_setting(name, found[name], runs)]
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
    if (keys.groupby(runs.to_numpy()).nunique() > 1).any():
        return False  # a setting does not change while a run trains
    count = runs.nunique()
    return numeric or count < 3 or keys.nunique() < count  # a text of its own for every run names the run


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
    for bad in values[(values < 0) | (values > 100)].head(1).items():
        raise InputError(
            f"{path}: row {bad[0] + 2}, {words(ours)}: found {bad[1]:g}; expected a share in 0 to 1 or a percentage"
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
            return _column([cell.lower() == "true" for cell in cells])
        return _column([_key(cell) for cell in cells])
    whole = all(n is None or (math.isfinite(n) and n == int(n)) for n in numbers)
    return _column([int(n) if whole and n is not None else n for n in numbers])


def _column(values: list) -> pd.Series:
    """Values of a setting; those of several types, or with one missing, keep their types."""
    types = {type(value) for value in values}
    plain = types <= {int, float} or types == {bool}
    return pd.Series(values, dtype=None if plain else object)


def _key(cell: str) -> str | None:
    return None if cell.lower() in _MISSING else cell


def _as_number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _nearest_pair(found: Mapping[str, list[str]]) -> str:
    for name in found:
        hint = nearest(_normal(name), dict.fromkeys((*ACCURACIES, *LOSSES)))
        if "did you mean" in hint:
            return f"; the column {name!r} is near {hint.removeprefix('; did you mean ').removesuffix('?')}"
    return f"; its columns are {', '.join(found)}"


def _hint(name: str, found: Mapping[str, list[str]]) -> str:
    hint = nearest(name, dict.fromkeys(found))
    return hint if "did you mean" in hint else f"; its columns are {', '.join(found)}"


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with -2, -3, ... behind those that were there before."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        own, number = name, 1
        while own in taken or (number > 1 and own in names):
            number += 1
            own = f"{name}-{number}"
        taken.add(own)
        distinct.append(own)
    return distinct


def listed(names: Sequence[str], most: int = 5) -> str:
    """The names, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
