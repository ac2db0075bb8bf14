"""The cost of a sweep's largest cell, estimated before anything is trained."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras_cnn import models
from keras_cnn.config import Config
from keras_cnn.data.cache import available_memory
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.models import arithmetic, backbones, custom
from keras_cnn.models.graph import unallocated
from keras_cnn.sweeps import space
from keras_cnn.sweeps.space import Sweep
from keras_cnn.training.optimizers import SLOTS

MULTIPLY_ADDS_LIMIT = 1e14  # of a cell's training; minutes to a quarter of an hour on two cores
MEMORY_SHARE_LIMIT = 0.5  # of the memory that is available now
PASSES = 3  # a training step costs a forward pass, and twice as much for the backward pass
BYTES = 4  # of a weight, and at most of an activation
_EXTREMES = (0.0, 0.25, 0.5, 0.75, 1 - 2**-40)  # quantiles of a parameter that is no list
_MOST_VALUES = 12  # of a parameter that are built; of more, evenly spaced ones with both ends

TrialConfig = Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True, order=True)
class CellCost:
    """The estimated training cost of one cell, ordered by multiply-adds, then by memory."""

    multiply_adds: float  # of all epochs, forward and backward, validation left out
    memory: float  # bytes of weights, gradients, the optimizer's state and a batch's activations
    parameters: int
    assignment: Mapping[str, Any]

    @property
    def above_limit(self) -> bool:
        available = available_memory()
        too_large = available > 0 and self.memory > MEMORY_SHARE_LIMIT * available
        return self.multiply_adds > MULTIPLY_ADDS_LIMIT or too_large


def largest_cell(
    sweep: Sweep, first: Mapping[str, Any], trial_config: TrialConfig, load: Callable[[Config], Dataset]
) -> CellCost:
    """The most expensive cell that is found by raising one parameter after the other, from the possible cell `first`.

    Networks are built without memory for their weights. Cells that the config or the network refuses are left out.
    """
    largest = _cost(first, trial_config, load)
    for name, values in _costly(sweep):
        for value in values:
            try:
                cost = _cost({**largest.assignment, name: value}, trial_config, load)
            except InputError:
                continue
            if (cost.multiply_adds, cost.memory) > (largest.multiply_adds, largest.memory):
                largest = cost
    return largest


def _costly(sweep: Sweep) -> Iterator[tuple[str, list[Any]]]:
    """The parameters that can change the cost, with the values to try."""
    for name, distribution in sweep.parameters.items():
        fields = space.fields_of(sweep, name)
        if distribution.kind == "constant" or not any(map(_changes_cost, fields)):
            continue
        values = distribution.values() or [distribution.from_unit(u) for u in _EXTREMES]
        step = max(1, math.ceil(len(values) / _MOST_VALUES))
        yield name, [*values[::step], values[-1]]


def _changes_cost(field: str) -> bool:
    is_data = field.startswith("data.") and not field.startswith("data.augment")
    return is_data or field.startswith("model") or field in ("train.epochs", "train.batch_size", "optim.optimizer")


def _cost(assignment: Mapping[str, Any], trial_config: TrialConfig, load: Callable[[Config], Dataset]) -> CellCost:
    config = trial_config(assignment)
    dataset, options = load(config), dict(config.model.options)
    if config.model.name in backbones.names():
        options["weights"] = "none"
    with contextlib.nullcontext() if config.model.name == custom.NAME else unallocated():
        model = models.build(config.model.name, dataset.image_shape, len(dataset.classes), **options)
        rows = arithmetic.table(model)
        parameters = sum(math.prod(weight.shape) for weight in model.weights)
    images = min(len(dataset.train), config.train.batch_size)
    activations = sum(math.prod(side or 1 for side in row.output_shape) for row in rows)
    return CellCost(
        float(PASSES * arithmetic.totals(rows).multiply_adds * len(dataset.train) * config.train.epochs),
        float(BYTES * (parameters * (2 + SLOTS[config.optim.optimizer]) + images * activations)),
        parameters,
        assignment,
    )
