"""Which settings the metric depends on: a random forest's importances beside linear correlations, as W&B shows them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from keras_cnn.analysis.factors import Factor, cells, comparable, show
from keras_cnn.analysis.table import words

TREES = 200
_RESAMPLED_TREES = 30  # per forest of the bootstrap; 100 of these take 3 s on one core


@dataclass(frozen=True)
class Inputs:
    """The factors as a forest's inputs: a number as it is, a boolean as 0 or 1, a string as one column per level."""

    matrix: np.ndarray  # (N, P) float64
    names: tuple[str, ...]  # (P,) the factor's, with "=level" for a column of a string
    factors: tuple[str, ...]  # (P,) the factor each belongs to


def encode(factors: Sequence[Factor]) -> Inputs:
    columns, names, owners = [], [], []
    for setting in factors:
        if _is_column(setting):
            columns.append(setting.values.astype(float))
            names.append(setting.name)
            owners.append(setting.name)
            continue
        for i, level in enumerate(setting.levels):
            columns.append((setting.codes == i).astype(float))
            names.append(f"{setting.name}={show(level)}")
            owners.append(setting.name)
    return Inputs(np.column_stack(columns), tuple(names), tuple(owners))


def importance(
    runs: pd.DataFrame, metric: str, factors: Sequence[str] | None = None, seed: int = 0, resamples: int = 100
) -> pd.DataFrame:
    """How much of the metric each setting explains, and how the two correlate, with 95 % bootstrap intervals.

    One row per input, the most important factor first: `factor`, `input` (a string has one for each of its values),
    `importance` with `importance_low` and `importance_high`, `factor_importance` (the sum over the factor's inputs)
    with its interval, `correlation` with its interval. As on W&B's parameter-importance panel, the importance comes
    from a random forest that predicts the metric from the settings: it is the share of the forest's variance reduction
    made at splits on the input. Importances sum to 1. The correlation is Pearson's. The intervals are percentiles over
    resampled runs; runs that differ only in their seed are drawn together.

    An impurity importance is a share of what the forest explains, however little that is, and favours settings with
    many values. `attrs["r2_out_of_bag"]` says how well the forest predicts runs that it has not seen; `attrs["notes"]`
    warns if that is no better than predicting the mean.

    Raises InputError if there is nothing to explain: fewer than three runs, a constant metric, no factor.
    Source: L. Breiman, Random Forests, Machine Learning 45 (2001); W&B's documentation of the panel.
    """
    kept, settings, notes = comparable(runs, metric, factors)
    inputs, values = encode(settings), kept[metric].to_numpy(float)
    forest = fitted_forest(inputs.matrix, values, seed)
    shares, correlations = forest.feature_importances_, _correlations(inputs.matrix, values)
    owners = np.array(inputs.factors)
    names = [setting.name for setting in settings]
    member = np.array([[owner == name for owner in owners] for name in names], dtype=float)  # (F, P)
    drawn = _resampled(inputs.matrix, values, cells(settings), seed, resamples)
    intervals = {
        "importance": _percentiles(drawn[0]),
        "factor_importance": _percentiles(drawn[0] @ member.T)[:, [names.index(owner) for owner in owners]],
        "correlation": _percentiles(drawn[1]),
    }
    points = {"importance": shares, "factor_importance": member.T @ (member @ shares), "correlation": correlations}
    table = pd.DataFrame({"factor": owners, "input": inputs.names})
    for name, point in points.items():
        table[name] = point
        table[f"{name}_low"], table[f"{name}_high"] = intervals[name]
    table = table.sort_values(["factor_importance", "factor", "importance"], ascending=[False, True, False])
    table = table.reset_index(drop=True)
    r2 = float(forest.oob_score_)
    if r2 <= 0:
        notes.append(
            f"the forest predicts unseen runs no better than their mean (R² {r2:.2f}): the importances are noise"
        )
    table.attrs = {
        "r2_out_of_bag": r2,
        "notes": notes,
        "method": f"random forest of {TREES} trees on {words(metric)} of {len(kept)} runs, out-of-bag R² {r2:.2f}; "
        f"Pearson's correlation; 95 % percentile intervals of {resamples} resamples of the runs",
    }
    return table


def fitted_forest(matrix: np.ndarray, values: np.ndarray, seed: int) -> RandomForestRegressor:
    """A forest fitted to predict `values` (N,) from `matrix` (N, P), with its out-of-bag score."""
    forest = RandomForestRegressor(TREES, random_state=seed, oob_score=True)
    with warnings.catch_warnings():
        # With three runs the score is of little use; its value shows that better than a warning does.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        return forest.fit(matrix, values)


def ranked(table: pd.DataFrame) -> list[str]:
    """The factors of `importance`'s table, the most important first."""
    return list(dict.fromkeys(table["factor"]))


def _is_column(setting: Factor) -> bool:
    return setting.numeric or all(isinstance(level, bool) for level in setting.levels)


def _correlations(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(P,) Pearson's r of each column with the values; NaN if the column or the values are constant."""
    left, right = matrix - matrix.mean(axis=0), values - values.mean()
    scale = np.sqrt((left**2).sum(axis=0) * (right**2).sum())
    spread = (np.ptp(matrix, axis=0) > 0) & (np.ptp(values) > 0)
    return np.where(spread, right @ left / np.where(spread, scale, 1), np.nan)


def _resampled(
    matrix: np.ndarray, values: np.ndarray, groups: np.ndarray, seed: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Importances and correlations, (resamples, P) each, of groups drawn with replacement; NaN where undefined."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    shares = np.full((resamples, matrix.shape[1]), np.nan)
    correlations = shares.copy()
    for i in range(resamples):
        rows = np.concatenate([members[g] for g in generator.integers(0, len(members), len(members))])
        if np.ptp(values[rows]) == 0:
            continue
        forest = RandomForestRegressor(_RESAMPLED_TREES, random_state=int(generator.integers(2**31)))
        shares[i] = forest.fit(matrix[rows], values[rows]).feature_importances_
        correlations[i] = _correlations(matrix[rows], values[rows])
    return shares, correlations


def _percentiles(drawn: np.ndarray) -> np.ndarray:
    """(2, P) the 2.5th and 97.5th percentiles of (resamples, P); NaN for a column without any value."""
    ends = np.full((2, drawn.shape[1]), np.nan)
    for j in np.flatnonzero(np.isfinite(drawn).any(axis=0)):
        ends[:, j] = np.nanquantile(drawn[:, j], [0.025, 0.975])
    return ends
