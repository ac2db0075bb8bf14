"""What calling a classifier reveals of how it is evaluated: random layers, batch norm's mode, an output activation.

Each answer is measured on the model's outputs; the graph, where there is one, only serves to name the layer. In Keras 3
`predict` and `model(images, training=False)` override a `training=True` that was fixed when a layer was called, whereas
a plain `model(images)` keeps it: so both ways of calling are measured.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.facts import Protocol, combined

SIGNIFICANT = 1e-3  # of the largest output; repeated calls of the same shape differ by rounding at most
_ROW_SUM = 1e-2  # how far from 1 the sum of a bfloat16 softmax may be
_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Identity,
    keras.layers.Reshape,
)  # layers that keep the sign of what an activation before them put out
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
class Change:
    """How far apart outputs are that should agree."""

    largest: float  # absolute difference
    scale: float  # the largest absolute output
    layer: str | None = None  # the first that differs, as "name (type)"; None without a difference, or without a graph

    @property
    def significant(self) -> bool:
        return self.largest > SIGNIFICANT * self.scale


@dataclass(frozen=True)
class Output:
    """What the outputs look like."""

    activation: str  # on the logits, as the graph has it or the values show it; "linear" for none
    layer: str | None  # the layer that applies it, or the last one; None where there is no graph
    smallest: float
    largest: float
    zeros: float  # share of outputs that are exactly 0
    row_sum_error: float  # largest distance of the sum over the classes from 1


def model_facts(model: keras.Model, images: np.ndarray) -> Protocol:
    """Measured facts for `protocol.audit`; the numbers and layers stand in the sources.

    `images` are (N, H, W, C), of the kind and range that the model takes, N at least 2; 16 do. The model is left as it
    was, its statistics and random seeds included. Raises InputError for images or outputs that cannot be judged.
    """
    calls, batches = between_calls(model, images), between_batches(model, images)
    plain_calls, plain_batches = between_calls(model, images, None), between_batches(model, images, None)
    found = output(model, images)
    augmenting = calls.significant and calls.layer is not None and "(Random" in calls.layer
    pairs = [(plain_calls, calls), (plain_batches, batches)]  # what training=False puts right was fixed by a layer
    fixed = [a.layer or "a layer" for a, b in pairs if a and b and a.significant and not b.significant]
    again, beside = "the same images twice", "the same images beside others"
    facts = Protocol(
        dropout_active=None if augmenting else calls.significant,
        test_augmentation=f"{calls.layer} inside the network" if augmenting else None,
        batch_norm_training=None if batches is None else batches.significant,
        fixed_training_mode=", ".join(dict.fromkeys(fixed)) or "none",
        output_activation=found.activation,
        sources={
            "dropout_active": _told(calls, again, len(images)),
            "test_augmentation": _told(calls, again, len(images)),
            "batch_norm_training": _told(batches, beside, len(images)),
            "fixed_training_mode": f"called without training=False: {_told(plain_calls, again, len(images))};"
            f" {_told(plain_batches, beside, len(images))}",
            "output_activation": _described(found),
        },
    )
    return combined(facts)  # without the sources of what stayed unknown


def between_calls(model: keras.Model, images: np.ndarray, training: bool | None = False) -> Change:
    """Two calls with the same images: what differs is drawn at random, as by dropout."""
    _checked(images)
    with _restoring(model):
        return _change(model, training, lambda call: (call(images), call(images)))


def between_batches(model: keras.Model, images: np.ndarray, training: bool | None = False) -> Change | None:
    """The first half of the images beside the second half, and beside noise: a difference comes from the batch.

    Random layers are given the same seeds in both calls. None where a layer draws from elsewhere, so that what it
    changes cannot be told from what the batch changes.
    """
    _checked(images)
    kept, other = len(images) // 2, _beside_noise(images)

    def halves(call: Callable) -> tuple:
        with _restoring(model):
            first = call(images)
        with _restoring(model):
            return [a[:kept] for a in first], [b[:kept] for b in call(other)]

    def repeated(call: Callable) -> tuple:
        with _restoring(model):
            first = call(images)
        with _restoring(model):
            return first, call(images)

    return None if _change(model, training, repeated).significant else _change(model, training, halves)


def output(model: keras.Model, images: np.ndarray) -> Output:
    """The activation of the outputs, by the graph where it ends in a layer known here, else by their values.

    Values tell of a softmax (none negative, rows sum to 1), a ReLU (none negative, some exactly 0), a sigmoid (all
    between 0 and 1), and of outputs that are never negative for another reason. They are those of the images and of
    noise.
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
    return Output(activation, layer, smallest, largest, zeros, row_sum_error)


def _by_values(smallest: float, largest: float, zeros: float, row_sum_error: float) -> str:
    if smallest < 0:
        return "linear"
    if row_sum_error < _ROW_SUM:
        return "softmax"
    if zeros:
        return "relu"
    return "sigmoid" if largest <= 1 else "a function that is never negative"


def _by_graph(model: keras.Model) -> tuple[str | None, str | None]:
    """The activation on the logits and the layer that applies it; None where the graph does not tell."""
    makers = {id(tensor): operation for operation, tensor in _steps(model)}
    tensor = model.outputs[0] if makers else None
    last = makers.get(id(tensor))
    operation = last
    while operation is not None:
        activation = _activation(operation)
        if activation not in (None, "linear"):
            return activation, operation.name
        passing = isinstance(operation, (*_PASSING, keras.layers.Activation))
        if not passing:
            return activation, last.name
        operation = makers.get(id(operation.input))
    return None, None if last is None else last.name


def _activation(operation) -> str | None:
    """Its name, "linear" for none; None for an operation that says nothing about it."""
    function = getattr(operation, "activation", None)
    if function is not None:
        return getattr(function, "__name__", type(function).__name__).lower()
    kind = type(operation).__name__.lower()
    return kind if kind in _ACTIVATIONS else None


def _steps(model: keras.Model) -> list[tuple]:
    """(operation, its output) in the order of the graph; none for a model without one."""
    if isinstance(model, keras.Sequential):
        return [(layer, layer.output) for layer in model.layers]
    operations = getattr(model, "operations", [])
    return [(o, tensor) for o in operations for tensor in keras.tree.flatten(o.output)]


def _change(model: keras.Model, training: bool | None, both: Callable) -> Change:
    """The change of the outputs between the two lists that `both` gets by calling; names the layer if significant."""
    before, after = both(lambda images: _call(model, images, training))
    found = Change(_distance(before[0], after[0]), float(np.abs(before[0]).max()))
    steps = _steps(model)
    if not found.significant or not steps:
        return found
    every = keras.Model(model.inputs[0], [tensor for _, tensor in steps])
    for (operation, _), a, b in zip(steps, *both(lambda images: _call(every, images, training)), strict=True):
        if Change(_distance(a, b), float(np.abs(a).max())).significant:
            return Change(found.largest, found.scale, f"{operation.name} ({type(operation).__name__})")
    return found


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
    """Puts back what a call may change: batch norm's statistics and the states of random generators."""
    variables = model.non_trainable_variables
    values = [keras.ops.convert_to_numpy(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _beside_noise(images: np.ndarray) -> np.ndarray:
    """The images with their second half replaced by noise of the same range."""
    low, high = images.min(), images.max()
    noise = np.random.default_rng(0).uniform(low, high, images.shape).astype(images.dtype)
    noise[: len(images) // 2] = images[: len(images) // 2]
    return noise


def _checked(images: np.ndarray) -> None:
    if images.ndim != 4 or len(images) < 2:
        raise InputError(f"images of shape {images.shape}; expected (N, H, W, C) with at least 2 images")
    if not np.isfinite(images).all() or images.min() == images.max():
        raise InputError("images that are not finite or all of one value; expected images that differ")


def _described(found: Output) -> str:
    layer = f"layer {found.layer}; " if found.layer else ""
    return (
        f"{layer}outputs from {found.smallest:.3g} to {found.largest:.3g}, {100 * found.zeros:.3g} % exactly 0, sums"
        f" over the classes up to {found.row_sum_error:.3g} away from 1"
    )


def _told(change: Change | None, what: str, images: int) -> str:
    if change is None:
        return "a layer draws from a random generator of its own"
    where = f", first in layer {change.layer}" if change.significant and change.layer else ""
    return f"{what} ({images}): outputs up to {change.largest:.3g} apart, of at most {change.scale:.3g}{where}"
