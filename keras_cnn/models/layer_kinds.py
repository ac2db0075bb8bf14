"""Kinds of layers and operations, by what they do to a map."""

from typing import Any

import keras
from keras import layers

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
# Layers whose `call` is an affine map followed by `activation`, so that the two can be separated.
AFFINE = (*CONVOLUTIONS, layers.Conv2DTranspose, layers.Dense)
ACTIVATION_LAYERS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU)
# Activations called as functions become operations of these names in `keras.ops` and `keras.activations`.
ACTIVATION_OPERATIONS = frozenset(
    ("Relu", "Relu6", "ReLU", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "HardSilu", "Sigmoid", "Tanh", "Softplus")
)
NORMALIZATIONS = (layers.GroupNormalization, layers.LayerNormalization)
MERGES = (
    layers.Add,
    layers.Average,
    layers.Concatenate,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.Subtract,
)
ELEMENT_WISE_LAYERS = (  # each output is computed from one place of the map
    *ACTIVATION_LAYERS,
    layers.BatchNormalization,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.Normalization,
    layers.Rescaling,
    layers.Softmax,
    layers.SpatialDropout2D,
)
# Arithmetic with numbers or between tensors: `x / 127.5 - 1` in a functional model.
ARITHMETIC_OPERATIONS = frozenset(
    (
        "Absolute",
        "Add",
        "Cast",
        "Clip",
        "Divide",
        "Maximum",
        "Minimum",
        "Multiply",
        "Negative",
        "Subtract",
        "TrueDivide",
    )
)


def is_activation(operation: Any) -> bool:
    """Whether it is an element-wise activation: a layer of that kind, or an activation called as a function."""
    if isinstance(operation, layers.Layer):
        is_linear = getattr(operation, "activation", None) is keras.activations.linear
        return isinstance(operation, ACTIVATION_LAYERS) and not is_linear
    return type(operation).__name__ in ACTIVATION_OPERATIONS


def is_element_wise(operation: Any) -> bool:
    """Whether each output is computed from the inputs at one place, as by an activation or by arithmetic."""
    if isinstance(operation, layers.Layer):
        return isinstance(operation, ELEMENT_WISE_LAYERS)
    return type(operation).__name__ in ACTIVATION_OPERATIONS | ARITHMETIC_OPERATIONS | {"Softmax"}


def is_merge(operation: Any) -> bool:
    """Whether it joins several tensors, element by element or by concatenation."""
    return isinstance(operation, MERGES) or type(operation).__name__ in ARITHMETIC_OPERATIONS


def is_channel_flip(operation: Any) -> bool:
    """Whether it reverses the order of the channels, as from RGB to BGR."""
    return type(operation).__name__ == "Flip" and operation.axis == -1
