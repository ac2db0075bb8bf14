"""Converts state dicts of torchvision and timm to layers of the networks in `classics`, named as in torchvision."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import keras
import numpy as np
from keras import layers

from keras_cnn.models.weights.stored import Stored

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
# Names of the same module in other versions and libraries: pattern, torchvision's name.
SYNONYMS = (
    (r"(denselayer\d+)\.(norm|conv|relu)\.(\d)", r"\1.\2\3"),  # DenseNet before torchvision 0.3
    (r"pre_logits\.fc1", "classifier.0"),  # VGG in timm
    (r"pre_logits\.fc2", "classifier.3"),
    (r"head\.fc", "classifier.6"),
)
LOGITS = ("fc", "classifier", "classifier.6")
TOP = ("fc", "classifier")


def stored(state: Mapping[str, np.ndarray], model: keras.Model) -> list[Stored]:
    """The modules of a state dict with Keras's names and layouts, for a network of `classics`.

    Kernels (O, I, H, W) become (H, W, I, O); dense kernels (O, I) become (I, O). A dense layer after a flattened map
    has its inputs in Keras's order: height, width, channels.
    """
    modules: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for key, array in state.items():
        module, _, parameter = key.rpartition(".")
        if parameter != "num_batches_tracked":
            modules[_torchvision_name(module)][parameter] = array
    stored_layers = []
    for module, parameters in modules.items():
        name = "logits" if module in LOGITS else module.replace(".", "_")
        order = [*(p for p in BATCH_NORM if p in parameters), *(p for p in parameters if p not in BATCH_NORM)]
        arrays = tuple(_keras_layout(parameters[p], name, model) for p in order)
        stored_layers.append(Stored(name, None, arrays, top=module.split(".")[0] in TOP))
    return stored_layers


def _torchvision_name(module: str) -> str:
    for pattern, name in SYNONYMS:
        module = re.sub(pattern, name, module)
    return module


def _keras_layout(array: np.ndarray, name: str, model: keras.Model) -> np.ndarray:
    array = np.asarray(array, dtype=np.float32)
    layer = next((layer for layer in model.layers if layer.name == name), None)
    if isinstance(layer, layers.Dense) and array.ndim in (2, 4):
        return _dense_kernel(array.reshape(array.shape[0], -1), layer, model)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _dense_kernel(matrix: np.ndarray, layer: layers.Dense, model: keras.Model) -> np.ndarray:
    """(O, C·H·W) as (H·W·C, O) if the layer is the first after a flattened map, else the transpose."""
    before = [at for at in model.layers if isinstance(at, layers.Dense | layers.Flatten)]
    position = before.index(layer)
    if position > 0 and isinstance(before[position - 1], layers.Flatten):
        height, width, channels = cast(Any, before[position - 1].input).shape[1:]
        if matrix.shape[1] == math.prod((height, width, channels)):
            return matrix.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, matrix.shape[0])
    return matrix.T
