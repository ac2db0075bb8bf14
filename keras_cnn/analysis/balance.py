"""Whether the runs fill the grid of their settings evenly; only then do plain group means compare like with like."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_cnn.analysis.factors import Factor, short_names, show, varied
from keras_cnn.errors import InputError

_SPARSE = 2  # with more than this many cells per cell in use, the runs count as a sample
_NAMED = 5


def balance(runs: pd.DataFrame, factors: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per cell of the grid: a column per factor, `runs`, `expected` (the most common count) and `state`.

    `state` is missing, under, over or even. `attrs["warning"]` is a sentence that names the cells that are missing or
    hold an unusual number of runs; it is empty for a balanced grid. `attrs["uneven_pairs"]` lists the pairs of factors
    in which one is not spread in equal shares over the values of the other. `attrs["notes"]` names the numbers with too
    many values to be a dimension of a grid. If less than half the cells are in use, the runs count as a sample, and
    only the cells in use are listed.

    Raises InputError for an empty table, or if no factor varies.
    """
    if not len(runs):
        raise InputError("the table has no rows; expected at least one run")
    settings = varied(runs, factors)
    grid = [setting for setting in settings if setting.repeated or not setting.numeric]
    if not settings:
        raise InputError(f"no setting differs among {len(runs)} runs; there is no grid")
    quantities = [setting.name for setting in settings if setting.numeric and not setting.repeated]
    notes = [f"no dimension of a grid, with hardly two runs a value: {', '.join(quantities)}"] if quantities else []
    counts = Counter(zip(*(setting.codes.tolist() for setting in grid), strict=True))
    total = math.prod(len(setting.levels) for setting in grid)
    sparse = not grid or total > _SPARSE * len(counts)
    usual = max(Counter(counts.values()).items(), key=lambda item: (item[1], item[0]))[0] if grid else 0
    cells = sorted(counts) if sparse else itertools.product(*(range(len(setting.levels)) for setting in grid))
    rows = [
        {setting.name: setting.levels[code] for setting, code in zip(grid, cell, strict=True)}
        | {"runs": counts[cell], "expected": usual, "state": _state(counts[cell], usual)}
        for cell in cells
    ]
    table = pd.DataFrame(rows, columns=[*(setting.name for setting in grid), "runs", "expected", "state"])
    table.attrs = {
        "warning": f"no grid: {len(runs)} runs in {len(counts)} of {total:,} cells"
        if sparse
        else _warning(table, grid, usual),
        "uneven_pairs": [(a.name, b.name) for a, b in itertools.combinations(grid, 2) if _is_uneven(a, b)],
        "notes": notes,
    }
    return table


def pair_counts(factors: Sequence[Factor]) -> pd.DataFrame:
    """(L, L) number of runs with each pair of levels, over all levels of all factors; indexed by (factor, level)."""
    marks = {
        (setting.name, show(level)): setting.codes == i for setting in factors for i, level in enumerate(setting.levels)
    }
    has = np.column_stack(list(marks.values())).astype(int)
    index = pd.MultiIndex.from_tuples(marks)
    return pd.DataFrame(has.T @ has, index=index, columns=index)


def _state(count: int, usual: int) -> str:
    return "missing" if not count else "even" if count == usual else "over" if count > usual else "under"


def _warning(table: pd.DataFrame, grid: Sequence[Factor], usual: int) -> str:
    parts = []
    for state, saying in (
        ("missing", "missing"),
        ("over", f"with more than the usual {usual}"),
        ("under", f"with fewer than the usual {usual}"),
    ):
        cells = pd.DataFrame(table[table["state"] == state])
        if len(cells):
            parts.append(f"{len(cells)} {saying} ({_named(cells, grid)})")
    if not parts:
        return ""
    return f"the grid is not balanced, plain means of its groups mislead: of {len(table)} cells {', '.join(parts)}"


def _named(cells: pd.DataFrame, grid: Sequence[Factor]) -> str:
    short = short_names([setting.name for setting in grid])
    names = [
        ", ".join(f"{short[setting.name]} {show(row[setting.name])}" for setting in grid)
        for row in cells.head(_NAMED).to_dict("records")
    ]
    return "; ".join(names) + (f"; and {len(cells) - _NAMED} more" if len(cells) > _NAMED else "")


def _is_uneven(a: Factor, b: Factor) -> bool:
    """Whether any pair of levels occurs more or less often than if the factors were independent."""
    pairs, of_a, of_b = Counter(zip(a.codes, b.codes, strict=True)), Counter(a.codes), Counter(b.codes)
    return any(pairs[i, j] * len(a.codes) != of_a[i] * of_b[j] for i in of_a for j in of_b)
