"""The settings of each trial: a cell of the grid, a random draw, or what the trials before it suggest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from keras_cnn.sweeps import gaussian, space
from keras_cnn.sweeps.distributions import Distribution, key
from keras_cnn.sweeps.space import Sweep

RANDOM_FIRST = 10  # trials drawn at random before the Bayesian sampler has something to learn from


@dataclass(frozen=True)
class Draw:
    """The settings of a trial, {parameter: value}, and their form in Optuna (empty for a grid)."""

    assignment: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)


class Sampler:
    """Draws trials by their number, counted from 1.

    A draw depends on the sweep's seed, the trial's number and, for Bayes, the earlier trials, not on the worker:
    workers share no random stream, and a resumed sweep does not restart one.
    """

    def __init__(self, sweep: Sweep, seed: int):
        self._sweep, self._seed = sweep, seed
        self._cells = None
        if sweep.method == "grid":
            self._cells = space.cells(sweep)
            self._order = np.arange(len(self._cells))
            if sweep.order == "random":
                self._order = np.random.default_rng([seed, 0]).permutation(len(self._cells))
        limits = [sweep.run_cap, len(self._cells) if self._cells else None]
        self.cap = min((limit for limit in limits if limit is not None), default=None)  # most trials, if limited

    def draw(self, number: int, before: Sequence[FrozenTrial]) -> Draw:
        if self._cells is not None:
            return Draw(self._cells[self._order[number - 1]])
        generator = np.random.default_rng([self._seed, number])
        distributions = self._distributions()
        if self._sweep.method == "bayes" and number > RANDOM_FIRST and any(t.value is not None for t in before):
            params = self._learnt(distributions, before, generator)
            return Draw({n: _value(d, params.get(n)) for n, d in self._sweep.parameters.items()}, params, distributions)
        units = {name: float(generator.random()) for name in self._sweep.parameters}
        values = {name: d.from_unit(units[name]) for name, d in self._sweep.parameters.items()}
        params = {n: _param(self._sweep.parameters[n], values[n], units[n]) for n in distributions}
        return Draw(values, params, distributions)

    def _learnt(
        self,
        distributions: Mapping[str, BaseDistribution],
        before: Sequence[FrozenTrial],
        generator: np.random.Generator,
    ) -> dict[str, Any]:
        """Optuna's parameters of a Bayesian trial; a failed trial counts as the worst, which is W&B's default."""
        sign = self._sweep.sign
        worst = min(sign * t.value for t in before if t.value is not None)
        known = {TrialState.COMPLETE: lambda t: sign * t.value, TrialState.FAIL: lambda t: worst}
        values = np.array([known.get(t.state, lambda t: np.nan)(t) for t in before])
        lows = np.array([d.low if isinstance(d, IntDistribution) else 0 for d in distributions.values()])
        tried = np.array([[t.params[name] for name in distributions] for t in before]) - lows
        space = [_dimension(d, self._sweep.parameters[name]) for name, d in distributions.items()]
        point = gaussian.propose(space, tried, values, generator) + lows
        return {n: _plain(x, d) for x, (n, d) in zip(point, distributions.items(), strict=True)}

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {n: known for n, d in self._sweep.parameters.items() if (known := _for_optuna(d))}


def _for_optuna(distribution: Distribution) -> BaseDistribution | None:
    """What Optuna stores of a parameter: the index of a value, an integer, or a quantile."""
    if distribution.kind == "constant":
        return None
    if distribution.kind == "int_uniform":
        return IntDistribution(distribution.settings["min"], distribution.settings["max"])
    if (values := distribution.values()) is not None:
        return CategoricalDistribution(range(len(values)))
    return FloatDistribution(0.0, 1.0)


def _dimension(known: BaseDistribution, distribution: Distribution) -> gaussian.Dimension:
    """Listed numbers are ordered if their list is sorted; other listed values are unordered."""
    if isinstance(known, FloatDistribution):
        return gaussian.Dimension()
    if isinstance(known, IntDistribution):
        return gaussian.Dimension(known.high - known.low + 1)
    values = distribution.values() or []
    numbers = all(type(v) in (int, float) for v in values)
    return gaussian.Dimension(len(values), ordered=numbers and values in (sorted(values), sorted(values, reverse=True)))


def _plain(number: float, known: BaseDistribution) -> int | float:
    return float(number) if isinstance(known, FloatDistribution) else int(number)


def _value(distribution: Distribution, chosen: Any) -> Any:
    if distribution.kind == "constant":
        return distribution.settings["value"]
    if distribution.kind == "int_uniform":
        return chosen
    if (values := distribution.values()) is not None:
        return values[chosen]
    return distribution.from_unit(chosen)


def _param(distribution: Distribution, value: Any, unit: float) -> Any:
    if distribution.kind == "int_uniform":
        return value
    if (values := distribution.values()) is not None:
        return [key(v) for v in values].index(key(value))  # 1 == True in Python, not in a sweep
    return unit
