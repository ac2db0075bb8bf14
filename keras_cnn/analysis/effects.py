"""Effect of each setting with the others held: marginal means and differences from an additive model, with intervals.

The plain mean of all runs with some value mixes in whatever else those runs have in common. The model separates the
effects as far as the runs allow; those that the runs cannot separate are named and not estimated.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.factors import Factor, cells, comparable, show
from keras_cnn.analysis.table import listed, words
from keras_cnn.evaluation.intervals import student_t

_TOLERANCE = 1e-8  # relative to the largest entry of a contrast


@dataclass(frozen=True)
class AdditiveModel:
    """Ordinary least squares of a metric on factors, coded by level or, for a quantity, as one slope."""

    factors: tuple[Factor, ...]
    slopes: frozenset[str]  # factors taken as quantities
    columns: dict[str, slice]  # of each factor among the coefficients; column 0 is the intercept
    coefficients: np.ndarray  # (P,), of minimum norm if several fit equally well
    covariance: np.ndarray  # (P, P) of the coefficients, not yet times the residual variance
    null: np.ndarray  # (P, P - rank) orthonormal basis of the coefficient changes without effect on predictions
    freedom: int  # residual degrees of freedom
    variance: float  # residual variance; NaN without degrees of freedom
    method: str

    def row(self, contrast: np.ndarray, level: float, setting: str, name: str) -> dict[str, Any]:
        """The value of `contrast` (P,) · coefficients as `name`, with its interval `low` to `high`.

        All are NaN where the runs do not determine it; `confounded_with` then has the factors, other than `setting`,
        that it cannot be told apart from. The interval is NaN without degrees of freedom.
        """
        blurred = set(self._undetermined(contrast))
        confounders = [
            each.name
            for each in self.factors
            if each.name != setting and blurred.intersection(range(*self.columns[each.name].indices(len(contrast))))
        ]
        value = math.nan if blurred else float(contrast @ self.coefficients)
        half = math.nan
        if self.freedom:
            error = math.sqrt(max(contrast @ self.covariance @ contrast, 0) * self.variance)
            half = student_t(level, self.freedom) * error
        return {name: value, "low": value - half, "high": value + half, "confounded_with": ", ".join(confounders)}

    def _undetermined(self, contrast: np.ndarray) -> np.ndarray:
        """Indices of the coefficients in the part of the contrast that the runs do not determine."""
        return np.flatnonzero(np.abs(self.null @ (self.null.T @ contrast)) > _TOLERANCE * np.abs(contrast).max())

    def at(self, setting: Factor, code: int) -> np.ndarray:
        """(P,) the contrast of the mean at level `code` of `setting`, with equal weights for other factors' levels."""
        contrast = np.zeros(len(self.coefficients))
        contrast[0] = 1
        for other in self.factors:
            place = self.columns[other.name]
            if other is setting:
                contrast[place] = _dummies(np.array([code]), len(setting.levels))[0]
            elif other.name not in self.slopes:  # a slope is centred: its mean is at 0
                contrast[place] = 1 / len(other.levels)
        return contrast


def marginal_means(
    runs: pd.DataFrame, metric: str, factors: Sequence[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """The metric at each level of each factor: the plain mean, and the marginal mean as in a balanced grid.

    One row per level: `factor`, `level`, `runs`, `mean` (of those runs), `marginal_mean` (of the additive model, with
    equal weight for all combinations of the other factors' levels, and quantities at their mean) with `low` and
    `high`, and `confounded_with`: the factors that it cannot be told apart from, in which case it is NaN.
    Quantities, which have no levels, are only in `marginal_differences`. `attrs` has `method` and `notes`.

    Raises InputError as `importance` does.
    Source: S. R. Searle, F. M. Speed and G. A. Milliken, Population Marginal Means in the Linear Model, The American
    Statistician 34 (1980).
    """
    kept, settings, notes = comparable(runs, metric, factors)
    model = additive_model(kept[metric].to_numpy(float), settings)
    rows = []
    for setting in settings:
        if setting.name in model.slopes:
            continue
        for code, value in enumerate(setting.levels):
            contrast, mine = model.at(setting, code), setting.codes == code
            plain = {"runs": int(mine.sum()), "mean": float(kept.loc[mine, metric].mean())}
            estimate = model.row(contrast, level, setting.name, "marginal_mean")
            rows.append({"factor": setting.name, "level": value} | plain | estimate)
    columns = ["factor", "level", "runs", "mean", "marginal_mean", "low", "high", "confounded_with"]
    return _with_attrs(pd.DataFrame(rows, columns=columns), model, metric, notes)


def marginal_differences(
    runs: pd.DataFrame, metric: str, factors: Sequence[str] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """How the metric changes from one level to another with the other factors held, with Student's t intervals.

    One row per pair of levels: `factor`, `from`, `to`, `change` in words, `naive` (the difference of the plain means
    of the runs), `difference` with `low` and `high`, `confounded_with`. A quantity has one row, its slope: per doubling
    if it spans a factor of four or more (`from` and `to` are then empty), else from its least to its largest value.
    Each interval has confidence `level` on its own.

    If cells were repeated with several seeds, the model is fitted to the cells' means: the seeds of a cell share
    whatever an additive model misses about it, so they are not independent runs. If the model has as many free
    coefficients as cells, it is fitted to the runs themselves.

    Raises InputError as `importance` does.
    """
    kept, settings, notes = comparable(runs, metric, factors)
    values = kept[metric].to_numpy(float)
    model = additive_model(values, settings)
    rows = []
    for setting in settings:
        if setting.name in model.slopes:
            rows.append(_slope(model, setting, values, level))
            continue
        means = [values[setting.codes == code].mean() for code in range(len(setting.levels))]
        for a, b in itertools.combinations(range(len(setting.levels)), 2):
            contrast = model.at(setting, b) - model.at(setting, a)
            pair = {"from": setting.levels[a], "to": setting.levels[b]}
            change = " → ".join(map(show, pair.values()))
            plain = {"factor": setting.name, **pair, "change": change, "naive": float(means[b] - means[a])}
            rows.append(plain | model.row(contrast, level, setting.name, "difference"))
    return _with_attrs(pd.DataFrame(rows), model, metric, notes)


def additive_model(values: np.ndarray, factors: Sequence[Factor]) -> AdditiveModel:
    """Fits `values` (N,) by an intercept and the factors, without interactions.

    A number with more than ten values, or fewer than two runs per value on average, is one slope: of its logarithm if
    it spans a factor of four. If this leaves as many coefficients as runs or more, every number with more than two
    values is one slope.
    """
    quantities = [factor for factor in factors if factor.numeric and len(factor.levels) > 2]
    model = _fit(values, factors, frozenset(quantity.name for quantity in quantities if not quantity.repeated))
    if len(model.coefficients) < len(values):
        return model
    return _fit(values, factors, frozenset(quantity.name for quantity in quantities))


def _fit(values: np.ndarray, factors: Sequence[Factor], slopes: frozenset[str]) -> AdditiveModel:
    design, columns = _design(factors, slopes)
    groups = cells(factors)
    count, runs = int(groups.max()) + 1, len(values)
    rank = int(np.linalg.matrix_rank(design))
    by_cell = rank < count < runs
    if by_cell:
        first = np.unique(groups, return_index=True)[1]
        design = design[first]
        values = np.bincount(groups, values) / np.bincount(groups)
    left, sizes, right = np.linalg.svd(design, full_matrices=True)
    kept = right[:rank].T / sizes[:rank]
    coefficients = kept @ (left[:, :rank].T @ values)
    freedom = len(values) - rank
    residual = values - design @ coefficients
    return AdditiveModel(
        factors=tuple(factors),
        slopes=slopes,
        columns=columns,
        coefficients=coefficients,
        covariance=kept @ kept.T,
        null=right[rank:].T,
        freedom=freedom,
        variance=float(residual @ residual) / freedom if freedom else math.nan,
        method=_method(runs, count, by_cell, slopes, freedom),
    )


def _design(factors: Sequence[Factor], slopes: frozenset[str]) -> tuple[np.ndarray, dict[str, slice]]:
    """(N, P) design with the intercept first and without each factor's first level, and each factor's columns."""
    parts, columns, width = [np.ones((len(factors[0].values), 1))], {}, 1
    for setting in factors:
        part = _quantity(setting)[:, None] if setting.name in slopes else _dummies(setting.codes, len(setting.levels))
        parts.append(part)
        columns[setting.name] = slice(width, width + part.shape[1])
        width += part.shape[1]
    return np.hstack(parts), columns


def _dummies(codes: np.ndarray, levels: int) -> np.ndarray:
    return (codes[:, None] == np.arange(1, levels)).astype(float)


def _quantity(setting: Factor) -> np.ndarray:
    """(N,) values, or their logarithms, centred and scaled to a range of 1, which keeps least squares accurate."""
    values = setting.values.astype(float)
    if setting.logarithmic:
        values = np.log2(values)
    return (values - values.mean()) / np.ptp(values)


def _slope(model: AdditiveModel, setting: Factor, values: np.ndarray, level: float) -> dict:
    contrast = np.zeros(len(model.coefficients))
    low, high = setting.levels[0], setting.levels[-1]
    scale = 1 / math.log2(high / low) if setting.logarithmic else 1.0
    contrast[model.columns[setting.name]] = scale
    at = _quantity(setting)
    return {
        "factor": setting.name,
        "from": None if setting.logarithmic else low,
        "to": None if setting.logarithmic else high,
        "change": "per doubling" if setting.logarithmic else f"{low:.3g} → {high:.3g}, linear",
        "naive": scale * float(at @ values / (at @ at)),
    } | model.row(contrast, level, setting.name, "difference")


def _method(runs: int, count: int, by_cell: bool, slopes: frozenset[str], freedom: int) -> str:
    rows = f"the means of {count} cells of {runs} runs" if by_cell else f"{runs} runs"
    taken = f", {', '.join(sorted(slopes))} as quantities" if slopes else ""
    return f"least squares without interactions on {rows}{taken}; Student's t, {freedom} degrees of freedom"


def _with_attrs(table: pd.DataFrame, model: AdditiveModel, metric: str, notes: list[str]) -> pd.DataFrame:
    notes = list(notes)
    if not model.freedom:
        notes.append("as many coefficients as runs: no error to estimate, so no intervals")
    confounded = table[table["confounded_with"] != ""]
    together = {
        tuple(sorted([name, *others.split(", ")]))
        for name, others in zip(confounded["factor"], confounded["confounded_with"], strict=True)
    }
    notes += [f"cannot be told apart, not estimated: {listed(names)}" for names in sorted(together)]
    table.attrs = {"method": f"{words(metric)}: {model.method}", "notes": notes, "freedom": model.freedom}
    return table
