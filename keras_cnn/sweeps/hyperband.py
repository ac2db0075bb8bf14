"""Early termination of a sweep's runs as W&B does it.

L. Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 18 (2018), in the form of
`hyperband_stopping.py` of W&B's package `sweeps` 0.3.0: successive halving among whatever runs there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from keras_cnn.checking import Limit

AT_LEAST_1 = Limit("a number of at least 1", lambda v: v >= 1)
ABOVE_1 = Limit("a number above 1", lambda v: v > 1)


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """The section `early_terminate`. `strict` is true by default in W&B's engine; its documentation says false."""

    type: Literal["hyperband"]
    min_iter: Annotated[int | None, AT_LEAST_1] = None
    max_iter: int | None = None
    s: int | None = None
    eta: Annotated[float, ABOVE_1] = 3.0
    strict: bool = True


def rungs(hyperband: Hyperband) -> list[int]:
    """Iterations at which runs are compared, in ascending order and counted from 1.

    With min_iter: min_iter · eta^k for k = 0, 1, ..., rounded down (W&B stops after 100, this code also at 2^53). With
    max_iter, which takes precedence: max_iter / eta^k for k = 1 to s, rounded down, while it is at least 1. So max_iter
    itself is not a rung: max_iter 27, s 2 and eta 3 give rungs 3 and 9.
    """
    iterations, eta = set(), hyperband.eta
    if hyperband.max_iter is not None:
        rung = float(hyperband.max_iter)
        for _ in range(hyperband.s or 0):
            rung /= eta
            if rung < 1:
                break
            iterations.add(int(rung))
    else:
        rung = float(hyperband.min_iter or 1)
        for _ in range(100):
            if rung >= 2**53:
                break
            iterations.add(int(rung))
            rung *= eta
    return sorted(iterations)


def should_stop(
    hyperband: Hyperband,
    goal: Literal["minimize", "maximize"],
    history: Sequence[float],
    others: Sequence[Sequence[float]],
) -> bool:
    """Whether W&B would stop the run that has logged `history`, one value per iteration, among `others`.

    The run is compared at the last rung that it has reached with all runs that have reached it, running or not, itself
    included. Of n runs the best floor(n / eta) + 1 go on, and those equal to the last of these. So the first run to
    reach a rung always passes it, and a run between rungs may still be stopped for its last rung when better runs
    arrive there. With `strict` the value at the rung is compared, otherwise the best value so far. Values that are not
    finite are left out, as in W&B, so they do not count as iterations.
    """
    sign = -1.0 if goal == "maximize" else 1.0
    own, *rest = ([sign * value for value in run if math.isfinite(value)] for run in (history, *others))
    reached = [rung for rung in rungs(hyperband) if rung <= len(own)]
    if not reached:
        return False
    rung = reached[-1]
    at_rung = sorted(run[rung - 1] for run in (own, *rest) if len(run) >= rung)
    threshold = at_rung[int(1 / hyperband.eta * len(at_rung))]
    return (own[rung - 1] if hyperband.strict else min(own)) > threshold
