"""The distributions of W&B's sweeps: for each a function that returns its quantile at u, 0 <= u < 1.

Keyword-only parameters are the keys that W&B allows besides `distribution`, with its defaults. The quantiles are those
of W&B's package `sweeps` 0.3.0 (`params.py`), except that whole multiples of q are integers here, as they are after
they pass through W&B's server.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np

from keras_cnn.checking import Limit
from keras_cnn.errors import InputError

POSITIVE = Limit("a number above 0", lambda v: v > 0)
AT_LEAST_0 = Limit("a number of at least 0", lambda v: v >= 0)
NOT_EMPTY = Limit("at least one entry", lambda v: len(v) > 0)
NO_NEGATIVE = Limit("probabilities of at least 0", lambda v: min(v, default=0) >= 0)


def _constant(u: float, *, value: Any) -> Any:
    return value


def _categorical(u: float, *, values: Annotated[list[Any], NOT_EMPTY]) -> Any:
    return values[int(u * len(values))]


def _categorical_w_probabilities(
    u: float,
    *,
    values: Annotated[list[Any], NOT_EMPTY],
    probabilities: Annotated[list[float], NOT_EMPTY, NO_NEGATIVE],
) -> Any:
    reached = np.cumsum(probabilities)
    return values[int(np.searchsorted(reached / reached[-1], u, side="right"))]  # W&B lets the sum be off by 1e-5


def _int_uniform(u: float, *, min: int, max: int) -> int:
    return min + int(u * (max - min + 1))


def _uniform(u: float, *, min: float, max: float) -> float:
    return min + u * (max - min)


def _log_uniform(u: float, *, min: float, max: float) -> float:
    return _exp(_uniform(u, min=min, max=max))


def _log_uniform_values(u: float, *, min: Annotated[float, POSITIVE], max: float) -> float:
    return _exp(_uniform(u, min=math.log(min), max=math.log(max)))


def _inv_log_uniform(u: float, *, min: float, max: float) -> float:
    return _exp(-_uniform(1 - u, min=min, max=max))


def _normal(u: float, *, mu: float = 0.0, sigma: Annotated[float, AT_LEAST_0] = 1.0) -> float:
    return mu + sigma * NormalDist().inv_cdf(max(u, 2**-54))  # a generator returns 0 for anything below 2^-53


def _log_normal(u: float, *, mu: float = 0.0, sigma: Annotated[float, AT_LEAST_0] = 1.0) -> float:
    return _exp(_normal(u, mu=mu, sigma=sigma))


def _beta(u: float, *, a: Annotated[float, POSITIVE] = 1.0, b: Annotated[float, POSITIVE] = 1.0) -> float:
    from scipy.special import betaincinv  # takes a quarter of a second, and few sweeps need it

    return float(betaincinv(a, b, u))


def _multiples(quantile: Callable[..., float]) -> Callable[..., float]:
    """The distribution of the nearest multiples of its key `q`; its other keys are those of `quantile`."""

    def quantised(u: float, *, q: float = 1.0, **settings: float) -> float:
        """An integer if `q` is whole. As in W&B, it may be up to q/2 outside of [min, max]."""
        return round(quantile(u, **settings) / q) * (int(q) if q.is_integer() else q)

    annotation = Annotated[float, POSITIVE]
    own = inspect.Parameter("q", inspect.Parameter.KEYWORD_ONLY, default=1.0, annotation=annotation)
    signature = inspect.signature(quantile)
    typed: Any = quantised  # config sections are read by the signature and its annotations
    typed.__signature__ = signature.replace(parameters=[*signature.parameters.values(), own])
    typed.__annotations__ = quantile.__annotations__ | {"q": annotation}
    return quantised


DISTRIBUTIONS = {
    "constant": _constant,
    "categorical": _categorical,
    "categorical_w_probabilities": _categorical_w_probabilities,
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _multiples(_uniform),
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _multiples(_log_uniform),
    "q_log_uniform_values": _multiples(_log_uniform_values),
    "inv_log_uniform": _inv_log_uniform,
    # 1/x is log-uniform exactly where x is; W&B's quantiles of the two are the same function.
    "inv_log_uniform_values": _log_uniform_values,
    "normal": _normal,
    "q_normal": _multiples(_normal),
    "log_normal": _log_normal,
    "q_log_normal": _multiples(_log_normal),
    "beta": _beta,
    "q_beta": _multiples(_beta),
}
EXPONENTS = ("log_uniform", "q_log_uniform", "inv_log_uniform")  # deprecated by W&B: limits are natural logarithms
_COUNTABLE = ("constant", "categorical", "categorical_w_probabilities", "int_uniform")
_MOST_VALUES = 100_000
_GRIDDED = ("constant", "categorical", "int_uniform", "q_uniform")


def _exp(exponent: float) -> float:
    return math.exp(min(exponent, 709.0))  # e^710 is beyond the largest number


@dataclass(frozen=True)
class Distribution:
    """The distribution of one parameter. `settings` are W&B's keys for `kind`, defaults filled in."""

    name: str  # dotted if it was nested
    kind: str  # a key of DISTRIBUTIONS
    settings: Mapping[str, Any]
    place: str  # "sweep.yaml:12"

    def from_unit(self, u: float) -> Any:
        """The quantile at `u`, 0 <= u < 1, so that uniform draws of `u` give draws of the parameter."""
        if not 0 <= u < 1:
            raise ValueError(f"{self.name}: quantile at {u}, expected at least 0 and below 1")
        return DISTRIBUTIONS[self.kind](u, **self.settings)

    def values(self) -> list | None:
        """Its possible values without duplicates, or None if they are not a short list."""
        if self.kind not in _COUNTABLE:
            return None
        if self.kind == "int_uniform":
            low, high = self.settings["min"], self.settings["max"]
            return list(range(low, high + 1)) if high - low < _MOST_VALUES else None
        given = [self.settings["value"]] if self.kind == "constant" else self.settings["values"]
        return list({key(value): value for value in given}.values())

    def grid(self) -> list:
        """Its values in a grid search. Raises InputError if it cannot be gridded, as in W&B.

        As in W&B, `q_uniform` goes from min in steps of q, without max.
        """
        where = f"{self.place}: parameters.{self.name}: {self.kind}"
        if self.kind not in _GRIDDED:
            raise InputError(f"{where} cannot be gridded; expected one of {', '.join(_GRIDDED)}")
        if self.kind != "q_uniform":
            if (values := self.values()) is None:
                raise InputError(f"{where} has more than {_MOST_VALUES} values; expected fewer in a grid")
            return values
        low, high, q = self.settings["min"], self.settings["max"], self.settings["q"]
        if (high - low) / q > _MOST_VALUES:
            raise InputError(f"{where} has more than {_MOST_VALUES} values; expected fewer in a grid")
        steps = np.arange(low, high, q).tolist()
        return [int(step) for step in steps] if low.is_integer() and q.is_integer() else steps


def key(value: Any) -> str:
    """Text that is equal for values that W&B treats as the same: 2 and 2.0, but not 1, true and "1"."""
    is_integer = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if is_integer else value, sort_keys=True, default=str)
