"""Which layers of a network are frozen, and the last tensor that is computed by frozen layers alone."""

import keras
from keras import layers

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models.graph import Graph
from keras_cnn.models.stages import HEAD, INPUT, stages

ALL = "all"
Upto = int | str


def weighted_layers(model: keras.Model) -> list[layers.Layer]:
    """The backbone's layers with trainable weights, frozen or not, in order from the input.

    The head is left out, and so is `to_rgb`, which does not belong to the published network.
    """
    head = {layer.name for layer in dict(stages(model)).get(HEAD, [])}
    own = {"to_rgb", *head}
    return [layer for layer in model.layers if layer.name not in own and trains(layer)]


def frozen_layers(model: keras.Model, upto: Upto) -> list[str]:
    """Names of the layers that `upto` freezes, in order from the input, including layers without weights.

    `upto` is one of the following. The name of a stage or a layer freezes it and everything before it. A number
    freezes that many of the `weighted_layers` from the input; 0 freezes nothing; a negative number leaves that many at
    the end trainable. "all" freezes the backbone. "Before" refers to the order of `model.layers`, in which a layer
    comes after the layers that it depends on.

    Raises InputError for an unknown name, with the nearest one, for a number out of range, and for a layer after which
    nothing is left to train.
    """
    names = [layer.name for layer in model.layers]
    by_stage = {stage: [layer.name for layer in stage_layers] for stage, stage_layers in stages(model)}
    if upto == ALL:
        backbone = {name for stage, members in by_stage.items() if stage != HEAD for name in members}
        return [name for name in names if name in backbone]
    if isinstance(upto, int):
        return names[: _end_of_number(model, upto, names)]
    freezable = [stage for stage in by_stage if stage not in (INPUT, HEAD)]
    if upto not in freezable and upto not in names:
        known = (ALL, *freezable, *names)
        raise InputError(f"finetune.freeze_upto: {model.name} has no stage or layer {upto!r}{nearest(upto, known)}")
    if upto in freezable:
        earlier = list(by_stage)[: list(by_stage).index(upto) + 1]
        frozen = {name for stage in earlier for name in by_stage[stage]}
        return [name for name in names if name in frozen]
    frozen = names[: names.index(upto) + 1]
    is_left = any(trains(layer) for layer in model.layers[len(frozen) :])
    problem = f"found {upto}, behind which {model.name} has no layer with weights"
    require(is_left, "finetune.freeze_upto", problem, "a layer before it")
    return frozen


def _end_of_number(model: keras.Model, number: int, names: list[str]) -> int:
    weighted = weighted_layers(model)
    count = len(weighted)
    expected = f"-{count} to {count}, a stage or a layer, or all: {model.name} has {count} layers with weights"
    require(-count <= number <= count, "finetune.freeze_upto", f"found {number}", expected)
    frozen = number if number >= 0 else count + number
    return names.index(weighted[frozen - 1].name) + 1 if frozen else 0


def freeze(model: keras.Model, upto: Upto) -> None:
    """Makes the layers of `frozen_layers` untrainable and all others trainable.

    A frozen batch norm then runs in inference mode and keeps its statistics, in training too.
    """
    frozen = set(frozen_layers(model, upto))
    for layer in model.layers:
        layer.trainable = layer.name not in frozen


def boundary(model: keras.Model) -> str | None:
    """Name of the layer after which training begins, in a model to which `freeze` has been applied.

    Its output is the last tensor on every path from the input that is the same for an image at every step. Layers
    without weights after the last frozen layer count as frozen, up to the first that draws random numbers. Returns
    None if there are no frozen weights before such a tensor.
    """
    nodes = list(Graph(model).nodes.values())
    places = {node.name: place for place, node in enumerate(nodes)}
    last_reads = list(range(len(nodes)))  # for each node, the place of the last node that reads it
    for place, node in enumerate(nodes):
        for name in node.inputs:
            last_reads[places[name]] = place
    end, has_weights, furthest = None, False, 0
    for place, node in enumerate(nodes[:-1]):
        if not _is_fixed(node.operation):
            break
        has_weights = has_weights or trains(node.operation)
        is_cut = furthest <= place  # nothing computed earlier is needed later
        furthest = max(furthest, last_reads[place])
        if is_cut and has_weights:
            end = node.name
    return end


def _is_fixed(operation: keras.Operation) -> bool:
    """Whether the operation's output depends on its input alone while the model trains."""
    frozen = not getattr(operation, "trainable", False)
    return frozen or not (trains(operation) or _draws(operation))


def _draws(operation: keras.Operation) -> bool:
    """Whether the operation draws random numbers in training, as dropout does."""
    return hasattr(operation, "seed_generator")


def split(model: keras.Model, boundary: str) -> tuple[keras.Model, keras.Model]:
    """The frozen part up to the layer `boundary` and the trained part after it; they share layers and weights."""
    tensor = next(operation.output for operation in model.operations if operation.name == boundary)
    return (
        keras.Model(model.input, tensor, name=f"{model.name}_frozen"),
        keras.Model(tensor, model.output, name=f"{model.name}_trained"),
    )


def trained_part(model: keras.Model) -> keras.Model:
    """The part of the model after its `boundary`, or the whole model if it has none."""
    end = boundary(model)
    return model if end is None else split(model, end)[1]


def trains(operation: keras.Operation) -> bool:
    """Whether the operation has weights or statistics that training changes unless it is frozen."""
    return bool(getattr(operation, "weights", ())) and not isinstance(operation, layers.Normalization)
