from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

IMAGE = np.array([[1, 2], [3, 0]], np.float32)[None, :, :, None]


def by_hand(activation: str = "linear", nested: bool = False) -> keras.Model:
    """A 2×2 image x to two 1×1 kernels, 2x and 1 − x, their ReLU, the means of both, and two logits.

    On IMAGE the ReLU maps are [[2, 4], [6, 0]] and [[0, 0], [0, 1]], the means 3 and 1/4, and the logits
    1·3 + 4/4 = 4 and −1·3 + 2/4 = −2.5.
    """
    image = keras.Input((2, 2, 1), name="image")
    features = layers.Conv2D(2, 1, name="conv")(image)
    features = layers.ReLU(name="relu")(features)
    if nested:
        features = keras.Model(image, features, name="inner")(outer := keras.Input((2, 2, 1), name="outer"))
        image = outer
    means = layers.GlobalAveragePooling2D(name="mean")(features)
    model = keras.Model(image, layers.Dense(2, activation=activation, name="logits")(means), name="by_hand")
    model.set_weights(
        [np.array([[[[2.0, -1.0]]]]), np.array([0.0, 1.0]), np.array([[1.0, -1.0], [4.0, 2.0]]), np.zeros(2)]
    )
    return model


def trained_like(seed: int = 0) -> keras.Model:
    """A small classifier with every kind of part: padding, batch norm, pooling, an activation argument, a residual."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    y = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.SeparableConv2D(8, 3, name="separable")(x)
    x = keras.ops.relu(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, layers.Dense(4, name="logits")(x), name="small")
    generator = np.random.default_rng(seed)
    model.set_weights(
        [
            np.abs(w) + 0.5 if "variance" in v.name or "gamma" in v.name else generator.normal(0, 0.3, w.shape)
            for v, w in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    return model


def state(model: keras.Model) -> list:
    """All that a view could change by mistake, for comparison before and after."""
    found = []
    for layer in model._flatten_layers():
        found.append(
            (layer.name, layer.trainable, layer.dtype_policy.name, len(layer._inbound_nodes), len(layer.losses))
        )
        found.append((getattr(layer, "activation", None), id(layer.call.__func__)))
        found += [(id(v), v.trainable, v.numpy().tobytes()) for v in layer.weights]
    return found


@pytest.fixture
def hand() -> Callable[..., keras.Model]:
    return by_hand


@pytest.fixture
def hand_image() -> np.ndarray:
    return IMAGE


@pytest.fixture
def small() -> keras.Model:
    return trained_like()


@pytest.fixture
def photos() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)


@pytest.fixture
def state_of() -> Callable[[keras.Model], list]:
    return state
