"""Plain means over groups of rows, as a report prints them, each table with the convention that it follows."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from keras_cnn.analysis.factors import cells, factor
from keras_cnn.analysis.table import ACCURACIES, LOSSES, best_rows, chooser, has_numbers, is_better_higher, words
from keras_cnn.errors import InputError

Convention = Literal["all", "last", "best"]
CONVENTIONS: tuple[Convention, ...] = ("all", "last", "best")


def grouped_means(table: pd.DataFrame, by: Sequence[str], epochs: Convention = "all") -> pd.DataFrame:
    """Mean losses, accuracies, overfit% and parameters by one or more factors, or by `epoch`; one row per group.

    `table` has one row per run, or one per run and epoch; `epochs` then selects all, each run's last, or its best. The
    columns are those of `by`, the numbers of `runs` and of `rows`, the means, and overfit% twice: `overfit_percent` is
    100 (train - held-out accuracy) with negative rows set to zero, as in the CS7015 report, and
    `overfit_percent_unclipped` leaves them negative. The held-out images are the test images if all selected rows have
    a test accuracy, else the validation images. A mean is NaN if one of its rows has no number; `attrs["notes"]` says
    so. `attrs["convention"]` is the sentence to print below the table, `attrs["taken"]` its part about the rows.

    Raises InputError for an empty table, or for a missing column (with the nearest name).
    """
    if not len(table):
        raise InputError("the table has no rows; expected at least one run")
    if epochs not in CONVENTIONS:
        raise InputError(f"epochs: {epochs!r}; expected one of {', '.join(CONVENTIONS)}")
    factors = [factor(table, name) for name in by]  # names a missing column before anything is computed
    rows, which = _taken(table, epochs)
    rows = pd.DataFrame(rows.reset_index(drop=True))
    overfit, held_out = _overfit(rows)
    factors = [factor(rows, name) for name in by]
    groups = cells(factors)
    measured = [name for name in (*LOSSES, *ACCURACIES, "parameters") if has_numbers(rows, name)]
    numbers = pd.DataFrame(rows[measured].astype(float))
    if overfit is not None:
        numbers["overfit_percent"] = overfit.clip(lower=0)
        numbers["overfit_percent_unclipped"] = overfit
    in_order = [n for n in numbers if n != "parameters"] + [n for n in numbers if n == "parameters"]
    numbers = pd.DataFrame(numbers[in_order])
    groups_of_rows, notes = [], []
    for group in range(groups.max() + 1):
        mine = groups == group
        first = int(np.flatnonzero(mine)[0])
        groups_of_rows.append(
            {setting.name: setting.values[first] for setting in factors}
            | {"runs": int(rows.loc[mine, "run"].nunique()), "rows": int(mine.sum())}
            | {name: _mean(numbers.loc[mine, name]) for name in numbers}
        )
    means = pd.DataFrame(groups_of_rows)
    for name in numbers:
        lacking = int((~np.isfinite(numbers[name])).sum())
        if lacking:
            notes.append(f"{words(name)}: {lacking} of {len(rows)} rows have none; no mean for groups with such a row")
    means = means.drop(columns=[name for name in numbers if np.all(means[name].isna())])
    convention = taken = f"mean over {which}"
    if overfit is not None:
        convention += f"; overfit% = 100 (train - {held_out} accuracy), clipped: a row below 0 counts as 0"
    counts = Counter(rows["run"]).values()
    if "epoch" in table and epochs == "all" and min(counts) < max(counts) and "epoch" not in by:
        notes.append(f"runs have {min(counts)} to {max(counts)} epochs: the longer ones weigh more")
    means.attrs = {"convention": convention, "taken": taken, "notes": notes}
    return means


def best_row(table: pd.DataFrame) -> pd.DataFrame:
    """One row: the best run, or the best (run, epoch), with overfit% clipped and unclipped.

    `chooser` sets the column to choose by, and `attrs["convention"]` names it. The first of equal rows is taken.
    """
    column, sentence = chooser(table)
    values = table[column].astype(float)
    row = table.loc[[values.idxmax() if is_better_higher(column) else values.idxmin()]].reset_index(drop=True)
    overfit, held_out = _overfit(row)
    if overfit is not None:
        row["overfit_percent"] = overfit.clip(lower=0)
        row["overfit_percent_unclipped"] = overfit
        sentence += f"; overfit% = 100 (train - {held_out} accuracy)"
    row.attrs = {"convention": sentence, "notes": []}
    return row


def _taken(table: pd.DataFrame, epochs: Convention) -> tuple[pd.DataFrame, str]:
    if "epoch" not in table:
        return table, "runs, one row each"
    if epochs == "last":
        return table.loc[table.groupby("run", sort=False)["epoch"].idxmax()], "the last epoch of each run"
    if epochs == "best":
        return best_rows(table), f"the best epoch of each run ({chooser(table)[1]})"
    return table, "all epochs of all runs"


def _overfit(rows: pd.DataFrame) -> tuple[pd.Series | None, str]:
    """100 (train - held-out accuracy) of each row, and the name of the held-out split; None without such a pair."""
    if "train_accuracy" not in rows:
        return None, ""
    splits = [split for split in ("test", "validation") if f"{split}_accuracy" in rows]
    complete = [split for split in splits if np.all(rows[f"{split}_accuracy"].notna())]
    for split in (*complete, *reversed(splits)):
        if has_numbers(rows, f"{split}_accuracy"):
            gap = np.array(rows["train_accuracy"], float) - np.array(rows[f"{split}_accuracy"], float)
            return pd.Series(100 * gap, index=rows.index), split
    return None, ""


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if np.all(np.isfinite(values)) else math.nan
