"""What the layers of a network compute, as plain values that a later process can compare with its own network."""

from typing import Any

import keras

from keras_cnn.models.graph import Graph

# Names are counted in each process. Starting weights and seeds do not matter to a run that goes on: it takes both from
# its checkpoint, which also has the number format.
_LEFT_OUT = {"name", "dtype", "trainable", "seed"}
_CONSTANTS = (bool, int, float, str)


def layer_settings(model: keras.Model) -> list[dict[str, Any]]:
    """The settings of each call of a layer or operation, JSON-able; a call comes after those whose outputs it reads.

    With the weights they determine what the model computes. Each has the name of the layer, its class as `type`, the
    numbers of the calls that it reads as `inputs`, its constant arguments, such as the 0.5 of `0.5 * x`, and the
    layer's `config` as Keras saves it, without names, number formats, starting weights and seeds. Raises InputError for
    a model that is not a graph of layers.
    """
    nodes = Graph(model).nodes
    numbers = {name: number for number, name in enumerate(nodes)}
    return [
        {
            "layer": node.name,
            "type": type(node.operation).__name__,
            "inputs": [numbers[name] for name in node.inputs],
            "constants": [
                value
                for value in keras.tree.flatten((node.arguments, dict(node.options)))
                if isinstance(value, _CONSTANTS)
            ],
            "config": _compared(keras.saving.serialize_keras_object(node.operation))["config"],
        }
        for node in nodes.values()
    ]


def changed_setting(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str | None:
    """The first difference between the settings of two networks, in words; None if there is none.

    A setting that only one of them has is not compared: another version of Keras may have added it.
    """
    if len(before) != len(now):
        return f"{len(before)} -> {len(now)} layers"
    for old, new in zip(before, now, strict=True):
        for name, value in _values(old).items():
            if (other := _values(new).get(name, value)) != value:
                return f"layer {old['layer']}: {name}: {value} -> {other}"
    return None


def _values(call: dict[str, Any]) -> dict[str, Any]:
    return call["config"] | {name: call[name] for name in ("type", "inputs", "constants")}


def _compared(config: Any) -> Any:
    """A saved layer, with the configs inside it, without what is left out."""
    if isinstance(config, dict):
        kept = {k: v for k, v in config.items() if k not in _LEFT_OUT and not k.endswith("_initializer")}
        return {name: _compared(value) for name, value in kept.items()}
    return [_compared(value) for value in config] if isinstance(config, list) else config
