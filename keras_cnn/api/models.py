"""Networks for the library: built by name, and recognised again when they are trained."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
import pandas as pd

from keras_cnn import models, networks
from keras_cnn.api.calls import public
from keras_cnn.errors import InputError
from keras_cnn.models.graph import is_graph
from keras_cnn.models.model_files import load_model


@dataclass(frozen=True)
class NamedNetwork:
    """The name and the options from which a model was built, and a digest of the model as it was then."""

    name: str
    options: dict[str, Any]
    digest: str


_BUILT: WeakKeyDictionary[keras.Model, NamedNetwork] = WeakKeyDictionary()


@public
def build_model(name: str, input_shape: tuple[int, int, int], classes: int = 10, **options: Any) -> keras.Model:
    """A network by its name, as in `model.name` of a config.

    >>> model = keras_cnn.build_model("net4", input_shape=(32, 32, 3), classes=10)
    >>> model.output_shape
    (None, 10)

    The model takes images `(N, H, W, C)` of 0 to 255, uint8 or float, and returns float32 logits `(N, classes)`. As
    long as it is not changed, `train` takes it as the name with its options: it begins with weights drawn from `seed`,
    as on the command line.

    Args:
        name: net1 to net4, model1, model2, lenet, five_block, imagenet10, layers, or a backbone such as resnet50.
        input_shape: (H, W, C) in pixels, with 1 or 3 channels.
        classes: number of classes.
        options: of the network; `python train.py --options` lists them.

    Raises:
        InputError: for an unknown name or option, with the nearest one, and for images too small for the network.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or not all(isinstance(side, int) for side in shape):
        raise InputError(f"input_shape: found {input_shape!r}, expected (height, width, channels) such as (32, 32, 3)")
    model = models.build(name, shape, classes, **options)
    _BUILT[model] = NamedNetwork(name, options, _digest(model))
    return model


@public
def list_models() -> pd.DataFrame:
    """The networks by name, as `keras-cnn models` lists them.

    >>> keras_cnn.list_models().loc["resnet50", ["image_size", "licence"]].tolist()
    ['224', 'MIT']

    Columns: image_size (the side in pixels of the published weights, or height x width x channels), parameters,
    multiply_adds (of one image), top1 and top5 (per cent of ImageNet's validation images) with their source, licence
    (of the weights), where the weights are: "here", a "download" of Keras, or for you to "bring"; and weights_path,
    their file. All but the first three are empty for networks that are trained from scratch.
    """
    every = [*networks.published(), *networks.from_scratch()]
    rows = [
        {
            "image_size": network.image_size,
            "parameters": network.parameters,
            "multiply_adds": network.multiply_adds,
            "top1": network.top1,
            "top5": network.top5,
            "source": network.source if network.family else None,
            "licence": network.licence if network.family else None,
            "weights": network.weights_come_from if network.family else None,
            "weights_path": str(network.weights_path) if network.family else None,
        }
        for network in every
    ]
    return pd.DataFrame(rows, index=pd.Index([network.name for network in every], name="name"))


def named_network(model: keras.Model) -> NamedNetwork | None:
    """What `build_model` made this model from; None if it did not, or if the model has changed since."""
    built = _BUILT.get(model)
    return built if built and built.digest == _digest(model) else None


def require_graph(model: keras.Model) -> None:
    """Raises InputError unless a user's model is a graph of layers that is not compiled."""
    if not is_graph(model) and not isinstance(model, keras.Sequential):
        expected = "keras.Sequential, or keras.Model(inputs, outputs) of the layers that its call() uses"
        raise InputError(f"{model.name}: a subclassed model ({type(model).__name__}); expected {expected}")
    if model.compiled:
        optimizer = type(model.optimizer).__name__
        remedy = "train() has its own optimizer and loss; model.compiled = False says that these are not wanted"
        raise InputError(f"{model.name}: is compiled, with {optimizer}; expected a model that is not: {remedy}")


def save_copy(model: keras.Model, path: Path) -> None:
    """Saves a user's model to train a copy of it. InputError, naming the layers, if the file cannot be loaded."""
    model.save(path)
    try:
        load_model(path)
    except InputError:
        own = sorted({type(layer).__name__ for layer in model._flatten_layers() if _is_own(layer)})
        found = f"found {', '.join(own)}, which no file can hold" if own else "a copy of it cannot be loaded"
        expected = "Keras's own layers, or yours under @keras.saving.register_keras_serializable()"
        raise InputError(f"{model.name}: {found}; expected {expected}") from None


def _is_own(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Lambda) or not type(layer).__module__.startswith(("keras.", "keras_cnn."))


def _digest(model: keras.Model) -> str:
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
