"""The metric over the settings and over the cost: slices, a surface of two settings, progress, the Pareto front."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.factors import Factor, comparable, factor, usable
from keras_cnn.analysis.importance import encode, fitted_forest
from keras_cnn.analysis.table import has_numbers, is_better_higher, words
from keras_cnn.errors import InputError

_GRID = 25  # points along each quantity of a surface


def progress(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The runs in order of creation: `run`, `created`, the metric and `best_so_far`.

    Raises InputError if no run has a creation time. Runs without one, or without the metric, are left out and named.
    """
    kept, notes = usable(runs, metric)
    if not has_numbers(kept, "created"):
        raise InputError("no run has a time of creation; expected a column 'created'")
    lost = kept.loc[kept["created"].isna(), "run"].tolist()
    if lost:
        notes.append(f"left out, without a time of creation: {', '.join(map(str, lost))}")
    table = kept.loc[kept["created"].notna(), ["run", "created", metric]].sort_values("created", kind="stable")
    table["best_so_far"] = table[metric].cummax() if is_better_higher(metric) else table[metric].cummin()
    table = table.reset_index(drop=True)
    table.attrs = {"notes": notes}
    return table


def pareto(runs: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """One row per run, by ascending cost: `run`, the cost, the metric and `on_front`.

    A run is on the Pareto front if no other run is as cheap and better, or cheaper and as good; runs equal in both do
    not exclude each other. Runs without a cost are left out and named.
    """
    kept, notes = usable(runs, metric)
    kept, more = usable(kept, cost)
    table = pd.DataFrame(kept[["run", cost, metric]])
    costs = np.array(table[cost], float)
    gains = np.array(table[metric], float) * (1 if is_better_higher(metric) else -1)
    no_worse = (costs[:, None] <= costs) & (gains[:, None] >= gains)  # [i, j]: run i is no worse than run j
    better = (costs[:, None] < costs) | (gains[:, None] > gains)
    table["on_front"] = ~(no_worse & better).any(axis=0)
    table = table.sort_values(by=[cost, metric], kind="stable").reset_index(drop=True)
    table.attrs = {"notes": [*notes, *more]}
    return table


def slices(runs: pd.DataFrame, metric: str, names: Sequence[str]) -> pd.DataFrame:
    """One row per run and setting: `factor`, `value`, `run` and the metric."""
    kept, notes = usable(runs, metric)
    parts = [
        pd.DataFrame({"factor": name, "value": factor(kept, name).values, "run": kept["run"], metric: kept[metric]})
        for name in names
    ]
    table = pd.concat(parts, ignore_index=True)
    table.attrs = {"notes": notes}
    return table


def surface(runs: pd.DataFrame, metric: str, a: str, b: str, seed: int = 0) -> pd.DataFrame:
    """The metric over two settings, averaged over the others as in the runs: a random forest's partial dependence.

    One row per point: the values of `a` and `b`, `predicted`, and `runs`, the number of runs there. A number with more
    than ten values, or fewer than two runs per value on average, gets 25 points over its range, evenly spaced on a
    logarithmic scale if it spans a factor of four; any other setting gets its levels. A forest does not extrapolate,
    and between runs it is a step function.

    Raises InputError as `importance` does.
    Source: J. H. Friedman, Greedy Function Approximation: A Gradient Boosting Machine, Annals of Statistics 29 (2001).
    """
    kept, settings, notes = comparable(runs, metric)
    by_name = {setting.name: setting for setting in settings}
    for name in (a, b):
        if len(factor(kept, name).levels) == 1 or name not in by_name:
            raise InputError(f"{name}: the same in all {len(kept)} runs; expected a setting that varies")
    values = kept[metric].to_numpy(float)
    inputs = encode(settings)
    forest = fitted_forest(inputs.matrix, values, seed)
    points = list(itertools.product(_points(by_name[a]), _points(by_name[b])))
    moved = [
        encode([_fixed(setting, dict(zip((a, b), point, strict=True))) for setting in settings]).matrix
        for point in points
    ]
    predicted = forest.predict(np.concatenate(moved)).reshape(len(points), len(kept)).mean(axis=1)
    rows = [
        {a: first, b: second, "predicted": value, "runs": int(_here(by_name[a], first, by_name[b], second).sum())}
        for (first, second), value in zip(points, predicted, strict=True)
    ]
    table = pd.DataFrame(rows)
    table.attrs = {
        "notes": notes,
        "method": f"{words(metric)} by a random forest, averaged over the other settings of {len(kept)} runs, "
        f"out-of-bag R² {forest.oob_score_:.2f}",
    }
    return table


def _here(a: Factor, first: Any, b: Factor, second: Any) -> np.ndarray:
    return (a.values == first) & (b.values == second)


def _points(setting: Factor) -> list:
    if not setting.numeric or setting.repeated or len(setting.levels) == 2:
        return list(setting.levels)
    low, high = setting.levels[0], setting.levels[-1]
    return (np.geomspace if setting.logarithmic else np.linspace)(low, high, _GRID).tolist()


def _fixed(setting: Factor, at: dict) -> Factor:
    """The factor with every run at the same value, its levels unchanged so that it is coded as before."""
    if setting.name not in at:
        return setting
    values = np.empty(len(setting.values), dtype=object)
    values[:] = at[setting.name]
    return Factor(setting.name, values, setting.levels)
