"""The runs of a sweep as data frames: one row per run, or one per run and epoch, from run folders or from any CSV.

The columns have the same names whatever the source. Losses and accuracies are of the model that the run saved or, in a
table by epoch, of the row's epoch; accuracies lie in [0, 1].

- `run` names the run, `state` is finished or another outcome, `created` is its start (UTC), `seed` its seed.
- `epoch` counts from 1; `seconds` are from the start of training to the end of the row, `epoch_seconds` of the epoch.
- `parameters` are trainable, `multiply_adds` are for one image; `best_epoch` is the epoch of the saved model.
- `loss` and `train_accuracy` are of the training images; `validation_...`, `test_...` of the other splits.

All other columns are factors: the settings in which the runs differ, named as in the config or in the file.
`table.attrs` has `factors`, their names in order, and `notes`, a line for each thing a reader should know.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.errors import InputError
from keras_cnn.run_folder.record import Record, changes_numbers

ABSENT = "absent"  # the value of a field that a config does not have

ACCURACIES = ("train_accuracy", "validation_accuracy", "test_accuracy")
LOSSES = ("loss", "validation_loss", "test_loss")
_TEXTS = ("run", "state", "created")
_MEASURED = ("epoch", "best_epoch", "seconds", "epoch_seconds", "parameters", "multiply_adds", *LOSSES, *ACCURACIES)
COLUMNS = (*_TEXTS, "seed", *_MEASURED)

# --- run folders ------------------------------------------------------------------------------------------------------


def runs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run: its name, the fields of the config that vary, its cost, and its numbers as far as known.

    The numbers of a finished run are those of metrics.json, measured in the same way on all splits. An unfinished one
    has only those of its best validation accuracy so far. Options of a choice (such as an augmentation or a model) are
    left out if the choice determines them in all these runs.

    Raises InputError if there is no record.
    """
    if not records:
        raise InputError("no runs; expected at least one run folder")
    names = distinct_names([record.name for record in records])
    described = [
        {
            "run": name,
            "state": "finished" if record.finished else "unfinished",
            "created": record.environment.get("started"),
            "seed": record.config.get("seed"),
        }
        for record, name in zip(records, names, strict=True)
    ]
    table = pd.DataFrame([row | run_numbers(record) for row, record in zip(described, records, strict=True)])
    table["created"] = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    factors = _settings(varying_fields(records))
    settings = pd.DataFrame({field: column_of(values) for field, values in factors.items()}, index=table.index)
    first = ["run", "state", "created", "seed"]
    table = pd.concat([table[first], settings, table.drop(columns=first)], axis=1)
    notes = []
    if unfinished := [name for name, record in zip(names, records, strict=True) if not record.finished]:
        notes.append(
            f"{_count(len(unfinished), 'run is', 'runs are')} not finished, with the best validation accuracy so far: "
            + listed(unfinished)
        )
    table.attrs = {"factors": list(factors), "notes": notes}
    return table


def epochs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run and epoch, from history.csv, with the factors and the parameters of the run in every row.

    `loss` and `train_accuracy` were measured while training, on augmented images with dropout on. The test split is
    read once, so `test_accuracy` is only in the row of the saved model's epoch.

    Raises InputError if there is no record, or none has completed an epoch.
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
        table[field] = column_of(table[field].tolist())
    notes = ["loss and train accuracy of an epoch are measured while training, on augmented images with dropout on"]
    table.attrs = {"factors": factors, "notes": notes}
    return table


def run_numbers(record: Record) -> dict[str, Any]:
    """The cost of a run and its numbers, by the names of the columns; NaN for what is not known."""
    metrics, history = record.metrics, record.history
    totals, best = record.model.get("totals"), _best_so_far(record)
    validation = metrics.get("validation")
    return {
        "seconds": history[-1].get("run_seconds", math.nan) if history else math.nan,
        "epochs": len(history),
        "best_epoch": _number(metrics if record.finished else {"best_epoch": best.get("epoch")}, "best_epoch"),
        "parameters": _number(totals, "trainable"),
        "multiply_adds": _number(totals, "multiply_adds"),
        "loss": _number(metrics.get("train"), "loss"),
        "validation_loss": _number(validation, "loss") if record.finished else _number(best, "val_loss"),
        "test_loss": _number(metrics, "loss"),
        "train_accuracy": _number(metrics.get("train"), "accuracy"),
        "validation_accuracy": _number(validation, "accuracy") if record.finished else _number(best, "val_accuracy"),
        "test_accuracy": _number(metrics, "accuracy"),
    }


def _best_so_far(record: Record) -> dict[str, float]:
    rows = [row for row in record.history if math.isfinite(row.get("val_accuracy", math.nan))]
    return max(rows, key=lambda row: row["val_accuracy"], default={})


def _number(metrics: Any, name: str) -> float:
    """A number from a file that may be damaged; NaN if there is none."""
    value = metrics.get(name) if isinstance(metrics, Mapping) else None
    return float(value) if isinstance(value, int | float) else math.nan


def varying_fields(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Config field -> its value in each run, for the fields that have several values and can change a result.

    Lists and mappings are text; ABSENT stands for a field that a config does not have.
    """
    fields = filter(changes_numbers, dict.fromkeys(field for record in records for field in record.config))
    values = {field: [plain(record.config.get(field, ABSENT)) for record in records] for field in fields}
    return {field: in_runs for field, in_runs in values.items() if len(set(map(repr, in_runs))) > 1}


def _settings(fields: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The fields without those that a choice, such as an augmentation, determines in all these runs."""
    keys = {field: list(map(repr, values)) for field, values in fields.items()}
    brought = {
        field
        for choice in keys
        if choice.endswith(".name")
        for field in keys
        if field != choice
        and field.startswith(choice.removesuffix("name"))
        and len(set(zip(keys[choice], keys[field], strict=True))) == len(set(keys[choice]))
    }
    return {
        field: [None if value == ABSENT else value for value in values]
        for field, values in fields.items()
        if field not in brought
    }


def plain(value: Any) -> Any:
    """The value, or its text if it is a list or a mapping, which a column cannot hold."""
    return repr(value) if isinstance(value, list | dict | tuple) else value


# --- any table --------------------------------------------------------------------------------------------------------


def runs_of_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """One row per run from a table by epoch: the row of its best epoch, whose number becomes `best_epoch`.

    The best is chosen by validation accuracy or, if the table has none, by test accuracy, which flatters the run;
    `notes` says which. `seconds` are of the last row, `epochs` is the number of rows. Runs without such a number are
    left out and named.
    """
    chosen_by, sentence = chooser(epochs)
    best = best_rows(epochs)
    by_run = dict(groups(epochs, "run"))
    best = best.rename(columns={"epoch": "best_epoch"}).drop(columns="epoch_seconds", errors="ignore")
    best["epochs"] = [len(by_run[run]) for run in best["run"]]
    if "seconds" in epochs:
        best["seconds"] = [by_run[run]["seconds"].max() for run in best["run"]]
    notes = [*epochs.attrs.get("notes", ()), sentence]
    if lost := [run for run in by_run if run not in set(best["run"])]:
        notes.append(f"{_count(len(lost), 'run has', 'runs have')} no {words(chosen_by)}: {listed(lost)}")
    best.attrs = {"factors": list(factors_of(epochs)), "notes": notes}
    return best


def best_rows(epochs: pd.DataFrame) -> pd.DataFrame:
    """The row of the best epoch of each run, by `chooser`; the first of equal ones. Runs keep their order."""
    column, _ = chooser(epochs)
    usable = epochs[epochs[column].notna()]
    index = usable.groupby("run", sort=False)[column].agg("idxmax" if is_better_higher(column) else "idxmin")
    return epochs.loc[index].reset_index(drop=True)


def chooser(table: pd.DataFrame) -> tuple[str, str]:
    """The column that chooses the best epoch or run, and a sentence that says so."""
    for column in ("validation_accuracy", "test_accuracy", "validation_loss", "train_accuracy", "loss"):
        if has_numbers(table, column):
            flattering = ", chosen on the test images and so too good" if column == "test_accuracy" else ""
            return column, f"best by {words(column)}{flattering}"
    raise InputError(
        f"no accuracy and no loss in the table; expected one of {', '.join((*ACCURACIES, *LOSSES))}; "
        f"its columns are {', '.join(map(str, table.columns))}"
    )


def factors_of(table: pd.DataFrame) -> list[str]:
    """The table's factors: those it was read with, else every column that is not ours."""
    known = table.attrs.get("factors")
    if known is not None:
        return [name for name in known if name in table]
    return [name for name in table.columns if name not in COLUMNS and name != "epochs"]


def is_better_higher(metric: str) -> bool:
    return not re.search(r"(^|[^a-z])(loss|error|err|seconds)([^a-z]|$)", metric.lower())


def groups(table: pd.DataFrame, by: str | Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """(value, rows) of each group, in the order of first appearance."""
    keys = by if isinstance(by, str) else list(by)
    return iter(table.groupby(keys, sort=False))  # pyright: ignore[reportReturnType] - pandas' own hints are too wide


def has_numbers(table: pd.DataFrame, column: str) -> bool:
    """Whether the column exists and has a number in it."""
    return column in table and bool(np.any(table[column].notna()))


def words(name: str) -> str:
    """A column's name as words in a sentence."""
    return name.replace("_", " ")


def column_of(values: Sequence[Any], index: pd.Index | None = None) -> pd.Series:
    """Values of a setting as a column; values of mixed types, or with one missing, keep their types."""
    types = {type(value) for value in values}
    plain = types <= {int, float} or types == {bool}
    return pd.Series(values, index=index, dtype=None if plain else object)


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, with -2, -3, ... appended to those that occurred before."""
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
    """The names as text; of many, the first few."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _count(n: int, singular: str, plural: str) -> str:
    return f"{n} {singular if n == 1 else plural}"
