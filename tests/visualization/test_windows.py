"""First layers on windows against the same layers on whole images, for every place of the square."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn import models
from keras_cnn.visualization import windows
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.windows import Windows, first_layers, maps_read, pasted, through

SHAPE = (19, 16, 2)


def network(*middle) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input(SHAPE, name="image")
    for layer in (layers.Rescaling(1 / 127.5, offset=-1), *middle):
        x = layer(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "beta", "moving_mean", "moving_variance", "bias")):
            variable.assign(rng.uniform(0.2, 1.2, variable.shape))
    return model


NETWORKS = {
    "same, batch norm, pool": lambda: network(
        layers.Conv2D(4, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.5),
        layers.MaxPooling2D(2),
        layers.Conv2D(3, 5, padding="same", activation="tanh"),
    ),
    "valid, dilated, oblong": lambda: network(
        layers.Conv2D(4, (2, 3), use_bias=False), layers.Conv2D(4, 3, dilation_rate=2, padding="same", groups=2)
    ),
    "strided, padded pools": lambda: network(
        layers.Conv2D(3, 3, strides=2, padding="same"),
        layers.MaxPooling2D(3, strides=1, padding="same"),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.LeakyReLU(),
    ),
    "stride beyond the kernel": lambda: network(layers.Conv2D(3, 2, strides=3)),
    "no convolution": lambda: network(layers.MaxPooling2D(2)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_windows_give_the_maps_of_the_changed_images(name, size, monkeypatch):
    monkeypatch.setattr(windows, "_LARGEST_SHARE", 1.0)  # up to the last map
    model = NETWORKS[name]()
    steps = first_layers(Probe(model), size)
    last = model.get_layer("flat").input
    assert steps[-1].node.name == last._keras_history.operation.name
    rng = np.random.default_rng(0)
    image, other = rng.integers(0, 256, (2, *SHAPE)).astype(np.float32)
    corners = [(r, c) for r in range(SHAPE[0] - size + 1) for c in range(SHAPE[1] - size + 1)]
    top, left = np.array(corners, np.int32).T
    squares = np.stack([other[r : r + size, c : c + size] for r, c in corners])
    changed = np.tile(image, (len(corners), 1, 1, 1))
    for place, (r, c) in enumerate(corners):
        changed[place, r : r + size, c : c + size] = squares[place]
    square = Windows(tf.constant(squares), tf.constant(top), tf.constant(left))
    np.testing.assert_array_equal(pasted(tf.constant(image[None]), square).numpy(), changed)
    names = maps_read(steps)
    outputs = [model.get_layer(name).output for name in names]
    maps = dict(zip(names, keras.Model(model.inputs[0], outputs)(image[None], training=False), strict=True))
    expected = keras.Model(model.inputs[0], last)(changed, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(through(steps, square, maps).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_steps_end_before_a_branch_another_layer_and_a_window_that_is_almost_the_map():
    def last(model, size=4):
        steps = first_layers(Probe(model), size)
        return steps[-1].node.name if steps else None

    assert last(models.build("net4", (32, 32, 3), l1_oc=4), 8) == "relu5"  # conv6: 12×12 of 13×13
    assert last(models.build("net4", (32, 32, 3), l1_oc=4), 31) is None
    x = inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, name="first")(x)
    branches = [layers.Conv2D(4, 3, padding="same")(x), x]
    branched = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Add()(branches))))
    assert last(branched) == "first"
    depthwise = layers.DepthwiseConv2D(3)(layers.ReLU(name="relu")(layers.Conv2D(4, 3)(inputs)))
    assert last(keras.Model(inputs, layers.GlobalAveragePooling2D()(depthwise))) == "relu"
    assert last(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.ReLU()(inputs))))) is None  # nothing slides
