"""Checks of a classifier by calling it: active random layers, batch norm's mode, an activation on the outputs.

Each fact is measured on the model's outputs; the graph, where there is one, only serves to name the layer. In Keras 3
`predict` and `model(images, training=False)` override a `training=True` that was fixed when a layer was called, while
a plain `model(images)` keeps it. Both ways of calling are therefore measured.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.facts import Protocol, combined

SIGNIFICANT = 1e-3  # share of the largest output; repeated calls of the same shape differ by rounding at most
_ROW_SUM = 1e-2  # largest distance from 1 of the sum of a bfloat16 softmax
_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Identity,
    keras.layers.Reshape,
)  # layers that keep the sign of the output of an activation before them
_ACTIVATIONS = {
    "elu",
    "gelu",
    "leakyrelu",
    "logsoftmax",
    "prelu",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
}  # types of layers and operations, in lower case


@dataclass(frozen=True)
class OutputDifference:
    """Largest difference between outputs that should be equal."""

    largest: float  # absolute difference
    scale: float  # the largest absolute output
    layer: str | None = None  # the first that differs, as "name (type)"; None without a difference or a graph

    @property
    def significant(self) -> bool:
        return self.largest > SIGNIFICANT * self.scale


@dataclass(frozen=True)
class OutputSummary:
    """The activation and the range of a model's outputs."""

    activation: str  # on the logits, from the graph or from the values; "linear" for none
    layer: str | None  # the layer that applies it, or the last layer; None without a graph
    smallest: float
    largest: float
    zeros: float  # share of outputs that are exactly 0
    row_sum_error: float  # largest distance of the sum over the classes from 1


def model_facts(model: keras.Model, images: np.ndarray) -> Protocol:
    """Measured facts for `protocol.audit`; their sources give the numbers and layers.

    `images` are (N, H, W, C) in the model's type and range, N at least 2; 16 suffice. The model is left unchanged,
    including its statistics and random seeds. Raises InputError for images or outputs that cannot be assessed.
    """
    calls, batches = between_calls(model, images), between_batches(model, images)
    plain_calls, plain_batches = between_calls(model, images, None), between_batches(model, images, None)
    summary = summarise_output(model, images)
    augmenting = calls.significant and calls.layer is not None and "(Random" in calls.layer
    pairs = [(plain_calls, calls), (plain_batches, batches)]  # training=False overrides a fixed training mode
    fixed = [a.layer or "a layer" for a, b in pairs if a and b and a.significant and not b.significant]
    again, beside = "the same images twice", "the same images beside others"
    facts = Protocol(
        dropout_active=None if augmenting else calls.significant,
        test_augmentation=f"{calls.layer} inside the network" if augmenting else None,
        batch_norm_training=None if batches is None else batches.significant,
        fixed_training_mode=", ".join(dict.fromkeys(fixed)) or "none",
        output_activation=summary.activation,
        sources={
            "dropout_active": _measured(calls, again, len(images)),
            "test_augmentation": _measured(calls, again, len(images)),
            "batch_norm_training": _measured(batches, beside, len(images)),
            "fixed_training_mode": f"called without training=False: {_measured(plain_calls, again, len(images))};"
            f" {_measured(plain_batches, beside, len(images))}",
            "output_activation": _described_output(summary),
        },
    )
    return combined(facts)  # drops the sources of unknown facts


def between_calls(model: keras.Model, images: np.ndarray, training: bool | None = False) -> OutputDifference:
    """Difference between two calls with the same images, caused by random layers such as dropout."""
    _checked(images)
    with _restoring(model):
        return _difference(model, training, lambda call: (call(images), call(images)))


def between_batches(model: keras.Model, images: np.ndarray, training: bool | None = False) -> OutputDifference | None:
    """Difference in the outputs of the first half of the images, beside the second half and beside noise.

    Random layers get the same seeds in both calls. None where a layer uses another random generator, because its
    effect cannot be separated from the effect of the batch.
    """
    _checked(images)

    def twice(call: Callable, again: np.ndarray, count: int) -> tuple:
        """The outputs of the first `count` images, and of the same number of `again`, with the same random seeds."""
        outputs = []
        for given in (images, again):
            with _restoring(model):
                outputs.append([output[:count] for output in call(given)])
        return tuple(outputs)

    if _difference(model, training, lambda call: twice(call, images, len(images))).significant:
        return None
    return _difference(model, training, lambda call: twice(call, _beside_noise(images), len(images) // 2))


def summarise_output(model: keras.Model, images: np.ndarray) -> OutputSummary:
    """The activation of the outputs, from the graph where it ends in a known layer, otherwise from the values.

    Values reveal a softmax (none negative, rows sum to 1), a ReLU (none negative, some exactly 0), a sigmoid (all
    between 0 and 1) and other functions that are never negative. They are measured for the images and for noise.
    """
    _checked(images)
    with _restoring(model):
        values = np.concatenate([_call(model, batch, False)[0] for batch in (images, _beside_noise(images))])
    smallest, largest = float(values.min()), float(values.max())
    zeros = float(np.mean(values == 0))
    row_sum_error = float(np.abs(values.sum(axis=1) - 1).max())
    activation, layer = _by_graph(model)
    if activation is None:
        activation = _by_values(smallest, largest, zeros, row_sum_error)
    return OutputSummary(activation, layer, smallest, largest, zeros, row_sum_error)


def _by_values(smallest: float, largest: float, zeros: float, row_sum_error: float) -> str:
    if smallest < 0:
        return "linear"
    if row_sum_error < _ROW_SUM:
        return "softmax"
    if zeros:
        return "relu"
    return "sigmoid" if largest <= 1 else "a function that is never negative"


def _by_graph(model: keras.Model) -> tuple[str | None, str | None]:
    """The activation on the logits and the layer that applies it; None where the graph does not show it."""
    makers = {id(tensor): operation for operation, tensor in _steps(model)}
    tensor = model.outputs[0] if makers else None
    last = makers.get(id(tensor))
    operation, activation = last, None
    while operation is not None:
        activation = _activation(operation)
        if activation not in (None, "linear"):
            return activation, operation.name
        passing = isinstance(operation, (*_PASSING, keras.layers.Activation))
        if not passing:
            break
        operation = makers.get(id(operation.input))
        activation = None
    return activation, None if last is None else last.name


def _activation(operation) -> str | None:
    """Name of the activation of an operation, "linear" for none; None where the operation does not determine it."""
    function = getattr(operation, "activation", None)
    if function is not None:
        return getattr(function, "__name__", type(function).__name__).lower()
    kind = type(operation).__name__.lower()
    return kind if kind in _ACTIVATIONS else None


def _steps(model: keras.Model) -> list[tuple]:
    """(operation, output) pairs in the order of the graph; empty for a model without a graph."""
    if isinstance(model, keras.Sequential):
        return [(layer, layer.output) for layer in model.layers]
    operations = getattr(model, "operations", [])
    return [(o, tensor) for o in operations for tensor in keras.tree.flatten(o.output)]


def _difference(model: keras.Model, training: bool | None, both: Callable) -> OutputDifference:
    """Difference between the two lists of outputs that `both` returns; names the first layer if significant."""
    before, after = both(lambda images: _call(model, images, training))
    difference = OutputDifference(_distance(before[0], after[0]), float(np.abs(before[0]).max()))
    steps = _steps(model)
    if not difference.significant or not steps:
        return difference
    every = keras.Model(model.inputs[0], [tensor for _, tensor in steps])
    for (operation, _), a, b in zip(steps, *both(lambda images: _call(every, images, training)), strict=True):
        if OutputDifference(_distance(a, b), float(np.abs(a).max())).significant:
            return replace(difference, layer=f"{operation.name} ({type(operation).__name__})")
    return difference


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def _call(model: keras.Model, images: np.ndarray, training: bool | None) -> list[np.ndarray]:
    """The outputs as float64 arrays."""
    outputs = model(images) if training is None else model(images, training=training)
    arrays = [np.asarray(keras.ops.convert_to_numpy(o), np.float64) for o in keras.tree.flatten(outputs)]
    if not np.isfinite(arrays[-1]).all():
        raise InputError(f"{model.name}: outputs that are not finite; expected finite logits")
    return arrays


@contextmanager
def _restoring(model: keras.Model) -> Iterator[None]:
    """Restores what a call may change: batch norm's statistics and the states of random generators."""
    variables = model.non_trainable_variables
    values = [keras.ops.convert_to_numpy(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _beside_noise(images: np.ndarray) -> np.ndarray:
    """The images, with their second half replaced by noise of the same range."""
    low, high = images.min(), images.max()
    noise = np.random.default_rng(0).uniform(low, high, images.shape).astype(images.dtype)
    noise[: len(images) // 2] = images[: len(images) // 2]
    return noise


def _checked(images: np.ndarray) -> None:
    if images.ndim != 4 or len(images) < 2:
        raise InputError(f"images of shape {images.shape}; expected (N, H, W, C) with at least 2 images")
    if not np.isfinite(images).all() or images.min() == images.max():
        raise InputError("images that are not finite or all have one value; expected images that differ")


def _described_output(summary: OutputSummary) -> str:
    layer = f"layer {summary.layer}; " if summary.layer else ""
    return (
        f"{layer}outputs from {summary.smallest:.3g} to {summary.largest:.3g}, {100 * summary.zeros:.3g} % exactly 0,"
        f" sums over the classes up to {summary.row_sum_error:.3g} away from 1"
    )


def _measured(difference: OutputDifference | None, what: str, images: int) -> str:
    if difference is None:
        return "a layer uses a random generator of its own"
    where = f", first in layer {difference.layer}" if difference.significant and difference.layer else ""
    return f"{what} ({images}): outputs up to {difference.largest:.3g} apart, of at most {difference.scale:.3g}{where}"
