"""A network of the user's own, from a `.keras` file, made ready for training on logits."""

from pathlib import Path

import keras
from keras import layers

from keras_cnn.errors import InputError, require
from keras_cnn.messages import log_sentence
from keras_cnn.models.graph import Graph, is_graph
from keras_cnn.models.layer_kinds import is_activation
from keras_cnn.models.model_files import load_model

NAME = "custom"
INITIAL = "initial.keras"  # in a run folder: the model that the run started with
Shape = tuple[int, int, int]


def custom(input_shape: Shape, classes: int, *, file: str) -> keras.Model:
    """Any model that is a graph of layers, with the weights in its file as the start.

    Options:
        file: a .keras file for images of 0-255 with one output a class; a run has its own copy, initial.keras
    """
    model = load_model(Path(file))
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *input_shape))
    require_fits(model, input_shape, classes)
    return _flat(_with_logits(model))


def require_fits(model: keras.Model, input_shape: Shape, classes: int) -> None:
    """Raises InputError unless the model can be trained on images (H, W, C) of `input_shape` with these classes.

    It must be a graph of layers from one image to one number a class, without a state that passes from batch to batch,
    and with no layer frozen: `finetune.freeze_upto` decides what is frozen.
    """
    graph = Graph(model)
    found = f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
    require(len(graph.inputs) == len(graph.outputs) == 1, model.name, found, "one image in and one number a class out")
    shape, outputs = graph.nodes[graph.inputs[0]].shape, graph.nodes[graph.output_names[0]].shape
    if shape != tuple(input_shape):
        size = "load_data(..., image_size=SIDE, channels=1 or 3) brings images to another size"
        raise InputError(f"{model.name}: takes images of {shape}, but the data has {tuple(input_shape)}; {size}")
    if outputs != (classes,):
        raise InputError(f"{model.name}: has outputs of {outputs}, but the data has {classes} classes")
    for node in graph.nodes.values():
        kind = type(node.operation).__name__
        if getattr(node.operation, "stateful", False):
            raise InputError(f"{model.name}: layer {node.name} ({kind}) is stateful; expected the same for any batch")
        if getattr(node.operation, "weights", ()) and not getattr(node.operation, "trainable", True):
            expected = "expected trainable layers: freeze_upto says what a training freezes"
            raise InputError(f"{model.name}: layer {node.name} ({kind}) is not trainable; {expected}")


def _flat(model: keras.Model) -> keras.Model:
    """The model as a Functional model of the same layers, without models inside it."""
    inner = [layer for layer in model.layers if is_graph(layer)]
    if not inner and not isinstance(model, keras.Sequential):
        return model
    for layer in inner:
        if any(node.arguments.kwargs.get("training") is not None for node in layer._inbound_nodes):
            expected = "expected no training=...; freeze_upto freezes layers and their batch norms"
            raise InputError(f"{model.name}: calls the model {layer.name} in a fixed mode; {expected}")
    graph = Graph(model)
    (start,), (end,) = graph.inputs, graph.output_names
    image = keras.Input(graph.nodes[start].shape, dtype=model.inputs[0].dtype, name=start)
    outputs = graph.run({start: image}, [end], lambda node, arguments, options: node.operation(*arguments, **options))
    try:
        return keras.Model(image, outputs[end], name=model.name)
    except ValueError as error:  # layers of two models inside it have the same name
        raise InputError(f"{model.name}: {' '.join(str(error).split())}") from None


def _with_logits(model: keras.Model) -> keras.Model:
    """The model without its final softmax. InputError for another final activation that is no logit."""
    graph = Graph(model)
    last = graph.nodes[graph.output_names[0]].operation
    activation = getattr(last, "activation", keras.activations.linear)
    if isinstance(last, layers.Softmax) and last in model.layers:
        model = keras.Model(model.inputs[0], last.input, name=model.name)
    elif activation is keras.activations.softmax:
        last.activation = keras.activations.linear
    elif activation is keras.activations.linear and not is_activation(last) and type(last).__name__ != "Softmax":
        return model
    else:
        name = getattr(activation, "__name__", type(activation).__name__)
        kind = name if activation is not keras.activations.linear else type(last).__name__
        raise InputError(
            f"{model.name}: ends with {kind} in {last.name}; expected logits, or a softmax over the classes"
        )
    log_sentence("note", f"{model.name}: the softmax of {last.name} is left out: outputs and training are on logits")
    return model
