"""The settings that a sweep varies: their levels, how a model codes them, and which runs can be compared at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.table import factors_of, listed, words
from keras_cnn.charts import is_logarithmic
from keras_cnn.checking import nearest
from keras_cnn.errors import InputError

MOST_LEVELS = 10  # a number with more values than this is taken as a quantity
NONE = "-"  # stands for a missing or null value


@dataclass(frozen=True)
class Factor:
    """One setting over N runs."""

    name: str
    values: np.ndarray  # (N,) objects: numbers, strings or booleans; NONE if missing
    levels: tuple[Any, ...]  # the distinct values in ascending order, strings after numbers

    @property
    def codes(self) -> np.ndarray:
        """(N,) the index of each run's value among the levels."""
        place = {(type(level) is bool, level): i for i, level in enumerate(self.levels)}
        return np.array([place[type(value) is bool, value] for value in self.values], dtype=int)

    @property
    def numeric(self) -> bool:
        return all(isinstance(level, int | float) and not isinstance(level, bool) for level in self.levels)

    @property
    def logarithmic(self) -> bool:
        """Whether its logarithm is used: its values are positive and span a factor of four."""
        return self.numeric and is_logarithmic(self.levels)

    @property
    def repeated(self) -> bool:
        """Whether runs can be averaged by level: few levels, with at least two runs each on average."""
        return len(self.levels) <= MOST_LEVELS and 2 * len(self.levels) <= len(self.values)

    def texts(self) -> list[str]:
        return [show(level) for level in self.levels]


def factor(table: pd.DataFrame, name: str) -> Factor:
    """A column as a factor. Raises InputError, with the nearest name, for a missing column."""
    if name not in table:
        raise InputError(f"no column {name!r} in the table{nearest(name, dict.fromkeys(map(str, table.columns)))}")
    return factor_of(name, table[name].tolist())


def factor_of(name: str, values: Sequence[Any]) -> Factor:
    """The values of one setting, one per run, as a factor."""
    plain = np.empty(len(values), dtype=object)
    plain[:] = [NONE if _is_missing(value) else _python(value) for value in values]
    distinct = {(type(value) is bool, value): value for value in plain}
    levels = sorted(distinct.values(), key=lambda v: (isinstance(v, str), v if not isinstance(v, str) else 0, str(v)))
    return Factor(name, plain, tuple(levels))


def varied(table: pd.DataFrame, names: Sequence[str] | None = None) -> list[Factor]:
    """The factors with at least two levels in the table, only those in `names` if given."""
    factors = [factor(table, name) for name in (factors_of(table) if names is None else names)]
    return [each for each in factors if len(each.levels) > 1]


def usable(table: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows with a finite `metric`, and a note naming the runs that are left out.

    Raises InputError for an empty table, a metric not in it (with the nearest name), or one that no run has.
    """
    if not len(table):
        raise InputError("the table has no rows; expected at least one run")
    if metric not in table:
        raise InputError(f"no column {metric!r} in the table{nearest(metric, dict.fromkeys(map(str, table.columns)))}")
    finite = np.isfinite(np.array(pd.to_numeric(table[metric], errors="coerce"), dtype=float))
    if not finite.any():
        raise InputError(f"none of {len(table)} rows has a finite {words(metric)}")
    kept = pd.DataFrame(table[finite].reset_index(drop=True))
    kept.attrs = dict(table.attrs)
    lost = table.loc[~finite, "run"].astype(str).drop_duplicates().tolist()
    if not lost:
        return kept, []
    runs = "run has" if len(lost) == 1 else "runs have"
    return kept, [f"left out: {len(lost)} {runs} no finite {words(metric)}: {listed(lost)}"]


def comparable(
    table: pd.DataFrame, metric: str, names: Sequence[str] | None = None
) -> tuple[pd.DataFrame, list[Factor], list[str]]:
    """(rows with the metric, factors, notes), for methods that explain the metric by the factors.

    Raises InputError if there is nothing to explain, or nothing to explain it by: fewer than three runs, the same
    metric in all of them, or no factor that varies.
    """
    kept, notes = usable(table, metric)
    if len(kept) < 3:
        raise InputError(f"runs with a {words(metric)}: {len(kept)}; expected at least 3 to compare")
    values = kept[metric].to_numpy(float)
    if np.ptp(values) == 0:
        raise InputError(f"{words(metric)} is {values[0]:g} in all {len(kept)} runs; nothing varies to be explained")
    factors = varied(kept, names)
    if not factors:
        raise InputError(f"no setting differs among the {len(kept)} runs with a {words(metric)}; nothing to compare")
    return kept, factors, notes


def cells(factors: Sequence[Factor]) -> np.ndarray:
    """(N,) the cell (combination of values) of each run, as a number; runs of one cell differ only in seed."""
    codes = np.column_stack([factor.codes for factor in factors])
    return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Name -> its shortest ending that no other name has: learning_rate for optim.learning_rate.

    The ending `.name` of a choice is dropped: data.augment.name becomes augment.
    """
    plain = {name: name.removesuffix(".name") for name in names}
    short = {}
    for name, field in plain.items():
        parts = field.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        alone = (end for end in ends if sum(f".{other}".endswith(f".{end}") for other in plain.values()) == 1)
        short[name] = next(alone, name)
    return short


def show(value: Any) -> str:
    """A level as it is printed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _python(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float) else str(value)
