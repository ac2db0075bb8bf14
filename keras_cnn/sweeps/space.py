"""The space of a sweep: its parameters with their values, its grid, and the fields of a config that they set."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError
from keras_cnn.sweeps.distributions import Distribution, key
from keras_cnn.sweeps.hyperband import Hyperband

SECTION = "keras_cnn"  # of a sweep's file, for settings that W&B lacks
FOLD = "data.fold"  # the only parameter of a cross-validation
_MOST_CELLS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The number that a sweep optimises."""

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None  # once a run reaches it, no further run starts
    impute: Literal["latest", "best", "worst"] = "worst"
    impute_while_running: Literal["latest", "best", "worst", "false"] = "false"


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file. `parameters` are in W&B's order: by name within each level of nesting."""

    path: Path
    method: Literal["grid", "random", "bayes"]
    parameters: Mapping[str, Distribution]
    metric: Metric | None
    early_terminate: Hyperband | None
    run_cap: int | None
    name: str | None
    description: str | None
    project: str | None
    entity: str | None
    base: Path | None  # config of every trial; None: the defaults of all fields
    repeats: int
    order: Literal["given", "random"]  # of a grid's cells
    names: Mapping[str, str | Mapping[str, Mapping[str, Any]]]  # parameter -> field, or value -> {field: its value}
    notes: tuple[str, ...]  # on settings without effect, or easily misread
    definition: Mapping[str, Any]  # the file without our section, for wandb.sweep

    @property
    def metric_name(self) -> str:
        """The history's column that is optimised; validation accuracy if the file names none."""
        return self.metric.name if self.metric else "val_accuracy"

    @property
    def goal(self) -> Literal["minimize", "maximize"]:
        return self.metric.goal if self.metric else "maximize"

    @property
    def folds(self) -> int:
        """The number of folds of a cross-validation, a grid of them all and nothing else; 0 for another sweep."""
        if self.method != "grid" or list(self.parameters) != [FOLD]:
            return 0
        values = self.parameters[FOLD].values() or []
        return len(values) if values == fold_names(len(values)) else 0

    @property
    def sign(self) -> int:
        """The factor with which a larger value of the metric is better."""
        return 1 if self.goal == "maximize" else -1


def fold_names(count: int) -> list[str]:
    """The values of `data.fold` for every fold: 1/3, 2/3, 3/3."""
    return [f"{number}/{count}" for number in range(1, count + 1)]


def cells(sweep: Sweep) -> list[dict[str, Any]]:
    """Every cell of the grid as {parameter: value}, in W&B's order: parameters by name, the last one fastest.

    Raises InputError naming the first parameter that cannot be gridded, or for more than a million cells.
    """
    columns = [distribution.grid() for distribution in sweep.parameters.values()]
    count = math.prod(map(len, columns))
    if count > _MOST_CELLS:
        raise InputError(f"{sweep.path}: parameters: {count} cells, expected at most {_MOST_CELLS}; or method: random")
    return [dict(zip(sweep.parameters, cell, strict=True)) for cell in itertools.product(*columns)]


def typed(value: Any) -> str:
    """A value as the command line expects it: text as it is, anything else as JSON, which YAML reads."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def overrides(sweep: Sweep, assignment: Mapping[str, Any]) -> list[str]:
    """The `--a.b=value` of a trial in which each parameter has its value in `assignment`.

    Raises InputError if `assignment` names other parameters than the sweep, or a value without a row in its table.
    """
    wrong = sorted(set(assignment) ^ set(sweep.parameters))
    if wrong:
        raise InputError(f"{sweep.path}: {', '.join(wrong)}: expected one value for each parameter of the sweep")
    return [
        f"--{field}={typed(value)}"
        for name in sweep.parameters
        for field, value in _fields(sweep, name, assignment[name]).items()
    ]


def fields_of(sweep: Sweep, name: str) -> list[str]:
    """The fields of a config that a parameter sets with any of its values."""
    target = sweep.names.get(name, name)
    return [target] if isinstance(target, str) else list(dict.fromkeys(f for row in target.values() for f in row))


def _fields(sweep: Sweep, name: str, value: Any) -> Mapping[str, Any]:
    target = sweep.names.get(name, name)
    if isinstance(target, str):
        return {target: value}
    if key(value) not in target:
        hint = nearest(key(value), target)
        raise InputError(f"{sweep.path}: {SECTION}.names.{name}: no row for {typed(value)}{hint}")
    return target[key(value)]
