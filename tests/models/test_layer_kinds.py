"""What kind a layer or an operation is."""

import keras
import pytest
from keras import layers

from keras_cnn.models.layer_kinds import is_activation, is_channel_flip, is_element_wise, is_merge

KINDS = {is_activation: "activation", is_element_wise: "element-wise", is_merge: "merge", is_channel_flip: "flip"}


def operation_of(function) -> keras.Operation:
    """The operation that a function of a map becomes in a model."""
    return function(keras.Input((2, 3, 4)))._keras_history.operation


@pytest.mark.parametrize(
    ("operation", "kinds"),
    [
        (layers.ReLU(), "activation, element-wise"),
        (layers.PReLU(), "activation, element-wise"),
        (layers.Activation("tanh"), "activation, element-wise"),
        (layers.Activation("linear"), "element-wise"),
        (layers.Dense(2), ""),
        (layers.Dense(2, activation="relu"), ""),
        (layers.Conv2D(2, 1), ""),
        (layers.Flatten(), ""),
        (layers.MaxPooling2D(), ""),
        (layers.BatchNormalization(), "element-wise"),
        (layers.SpatialDropout2D(0.1), "element-wise"),
        (layers.Softmax(), "element-wise"),
        (layers.Rescaling(2.0), "element-wise"),
        (layers.Add(), "merge"),
        (layers.Concatenate(), "merge"),
        (operation_of(keras.ops.relu), "activation, element-wise"),
        (operation_of(keras.activations.gelu), "activation, element-wise"),
        (operation_of(keras.ops.softmax), "element-wise"),
        (operation_of(lambda x: x / 127.5), "element-wise, merge"),
        (operation_of(lambda x: x - 1.0), "element-wise, merge"),
        (operation_of(lambda x: keras.ops.flip(x, axis=-1)), "flip"),
        (operation_of(lambda x: keras.ops.flip(x, axis=1)), ""),
        (operation_of(lambda x: keras.ops.mean(x, axis=-1)), ""),
        (operation_of(lambda x: keras.ops.reshape(x, (-1, 24))), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.Operation) else "",
)
def test_kinds(operation, kinds):
    assert ", ".join(word for is_kind, word in KINDS.items() if is_kind(operation)) == kinds
