"""The ReLUs that a score depends on, and their replacement by ReLUs with another gradient.

If any ReLU cannot be replaced, an error names it, since the result would mix two methods under one name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.evaluation.predict import LINEAR
from keras_cnn.models.layer_kinds import AFFINE, is_activation
from keras_cnn.visualization.gradients import Rewiring, relus_left
from keras_cnn.visualization.probe import Probe

_NAMED = 3  # layers named in an error message
_FUNCTIONS = {  # functions that are ReLUs -> their ceiling
    keras.activations.relu: None,
    keras.ops.relu: None,
    tf.nn.relu: None,
    keras.activations.relu6: 6.0,
    keras.ops.relu6: 6.0,
    tf.nn.relu6: 6.0,
}


@dataclass(frozen=True)
class Relu:
    """One ReLU of a network."""

    node: str
    written: str  # "layer", "activation argument" or "function call"
    ceiling: float | None  # where it clips: 6 in a ReLU6


def relus(probe: Probe, point: str) -> list[Relu]:
    """The ReLUs that the tensor at `point` depends on, each a node of the graph or an activation argument."""
    own_argument = point.removesuffix(LINEAR) if point.endswith(LINEAR) else None
    needed = probe.ancestors(point)
    nodes = [node for name, node in probe.nodes.items() if name in needed and name != own_argument]
    relus = ((node, _relu(node.operation)) for node in nodes)
    return [Relu(node.name, *relu) for node, relu in relus if relu]


def rewired(
    probe: Probe, point: str, rule: Callable[[float | None], Callable], method: str
) -> tuple[Rewiring, list[Relu]]:
    """The rewiring that gives the ReLUs before `point` the gradient of `rule`, and the list of these ReLUs.

    `rule` makes a ReLU from its ceiling. Raises InputError if there is no ReLU, and if any ReLU cannot be replaced.
    """
    return probe.once(("rewired", method, point), lambda: _rewired(probe, point, rule, method))


def _rewired(probe: Probe, point: str, rule: Callable, method: str) -> tuple[Rewiring, list[Relu]]:
    replaced = relus(probe, point)
    functions = {relu.node: rule(relu.ceiling) for relu in replaced}
    left = relus_left(probe, point, functions) + _beyond_the_rule(probe, point)
    if left:
        names = list(dict.fromkeys(left))
        kinds = ", ".join(f"{name} ({type(probe.nodes[name].operation).__name__})" for name in names[:_NAMED])
        kinds += f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
        where = f"{probe.name}: {method} must replace every ReLU"
        raise InputError(f"{where}, and cannot in {kinds}; expected plain ReLUs")
    if not replaced:
        raise InputError(f"{probe.name}: {method} is a rule for ReLUs, and {point} depends on none")
    return Rewiring(f"{method} to {point}", functions), replaced


def other_activations(probe: Probe, point: str) -> list[str]:
    """Element-wise activations before `point` that are not ReLUs; they keep their own gradient."""
    needed, known = probe.ancestors(point), {relu.node for relu in relus(probe, point)}
    return [n for n, node in probe.nodes.items() if n in needed and n not in known and is_activation(node.operation)]


def _beyond_the_rule(probe: Probe, point: str) -> list[str]:
    """ReLU layers with a threshold: they do not use TensorFlow's ReLU, so a trace does not show them."""
    needed = probe.ancestors(point)
    return [n for n, node in probe.nodes.items() if n in needed and getattr(_kind(node.operation), "threshold", 0)]


def _kind(operation):
    """The ReLU layer that is the operation's activation argument, else the operation."""
    return operation.activation if isinstance(getattr(operation, "activation", None), layers.ReLU) else operation


def _relu(operation) -> tuple[str, float | None] | None:
    """How a ReLU is written, and its ceiling; None for any other operation."""
    kind = type(operation)
    written = "layer" if isinstance(operation, layers.Layer) else "function call"
    written = "activation argument" if kind in AFFINE else written
    if kind in AFFINE or kind is layers.Activation:
        function = operation.activation
        if isinstance(function, layers.ReLU):
            operation, kind = function, layers.ReLU
        else:
            return (written, _FUNCTIONS[function]) if function in _FUNCTIONS else None
    if kind is layers.ReLU or kind.__name__ == "ReLU":
        plain = not operation.negative_slope and not operation.threshold
        ceiling = operation.max_value
        return (written, None if ceiling is None else float(ceiling)) if plain else None
    names = {"Relu": None, "Relu6": 6.0}  # keras.ops.relu in a functional graph
    return (written, names[kind.__name__]) if kind.__name__ in names else None
