"""Two processes that build the same network find the same settings; another computation is named by its layer."""

import json
from functools import partial

import keras
import pytest
from keras import layers

from keras_cnn.models.layer_settings import changed_setting, layer_settings


def settings(model: keras.Model) -> list[dict]:
    return json.loads(json.dumps(layer_settings(model)))


@pytest.mark.parametrize(
    "build",
    [
        partial(keras.applications.MobileNetV3Small, input_shape=(64, 64, 3), weights=None),
        partial(keras.applications.EfficientNetB0, input_shape=(64, 64, 3), weights=None),
    ],
    ids=["operations", "layers"],
)
def test_names_that_are_counted_are_not_compared(build):
    first, second = build(), build()
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    assert changed_setting(settings(first), settings(second)) is None


def wrapped(name: str) -> keras.Model:
    """A network with a layer and an activation layer inside others' configs, which have names of their own."""
    inputs = keras.Input((4, 4, 3))
    x = layers.TimeDistributed(layers.Dense(2, name=name), name="rows")(inputs)
    x = layers.Conv2D(2, 1, activation=layers.ReLU(name=name), name="conv")(x)
    return keras.Model(inputs, layers.Flatten(name="flat")(x))


def test_names_inside_a_layer_are_not_compared():
    assert changed_setting(settings(wrapped("one")), settings(wrapped("two"))) is None


def network(*, scale=0.5, slope=0.1, rate=0.1, stride=1, seed=1, shared=False) -> keras.Model:
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs) * scale
    initializer = keras.initializers.GlorotUniform(seed)
    x = layers.Conv2D(3, 1, strides=stride, kernel_initializer=initializer, name="conv")(x)
    x = y = layers.LeakyReLU(slope, name="leaky")(x)
    x = layers.Dropout(rate, seed=seed, name="drop")(x)
    x = layers.Add(name="add")([x, x if shared else y])
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slope": 0.2}, "layer leaky: negative_slope: 0.1 -> 0.2"),
        ({"rate": 0.3}, "layer drop: rate: 0.1 -> 0.3"),
        ({"stride": 2}, "layer conv: strides: [1, 1] -> [2, 2]"),
        ({"shared": True}, "layer add: inputs: [5, 4] -> [5, 5]"),
        ({"seed": 2}, None),
    ],
)
def test_the_first_changed_setting_is_named(change, words):
    assert changed_setting(settings(network()), settings(network(**change))) == words


def test_a_constant_factor_and_another_number_of_layers_are_named():
    line = changed_setting(settings(network()), settings(network(scale=2)))
    assert line.startswith("layer multiply")
    assert line.endswith(": constants: [0.5] -> [2]")
    assert changed_setting(settings(network()), settings(network())[:-1]) == "8 -> 7 layers"


def test_a_setting_that_only_one_of_the_networks_has_is_not_compared():
    older = settings(network())
    del older[1]["config"]["offset"]
    assert changed_setting(older, settings(network())) is None
    assert changed_setting(settings(network()), older) is None
