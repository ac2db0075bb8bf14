"""A user's network from a file: what is trained of it, and what is refused before a training begins."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.models.custom import custom, require_fits

SHAPE, CLASSES = (6, 5, 1), 3
PIXELS = np.random.default_rng(0).uniform(0, 255, (4, *SHAPE)).astype(np.float32)


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.set_random_seed(1)


def network(*last: layers.Layer) -> keras.Model:
    """A flat network that ends in `last`."""
    x = image = keras.Input(SHAPE, name="image")
    for layer in (layers.Conv2D(2, 3, name="conv"), layers.Flatten(name="flat"), *last):
        x = layer(x)
    return keras.Model(image, x, name="own")


def opened(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "own.keras")
    return custom(SHAPE, CLASSES, file=str(folder / "own.keras"))


def probabilities(logits) -> np.ndarray:
    return np.asarray(keras.ops.softmax(logits, axis=-1))


@pytest.mark.parametrize(
    "last",
    [
        (layers.Dense(CLASSES, activation="softmax", name="out"),),
        (layers.Dense(CLASSES, name="out"), layers.Softmax(name="soft")),
        (layers.Dense(CLASSES, name="out"), layers.Activation("softmax", name="soft")),
    ],
    ids=["inside", "layer", "activation"],
)
def test_a_last_softmax_is_left_out_with_the_weights_of_the_file(last, tmp_path, messages):
    model = network(*last)
    own = opened(model, tmp_path)
    logits = own(PIXELS)
    np.testing.assert_allclose(probabilities(logits), model(PIXELS), rtol=1e-5)
    kernel, bias = model.get_layer("out").get_weights()
    flat = keras.Model(model.input, model.get_layer("flat").output)(PIXELS)
    np.testing.assert_allclose(logits, flat @ kernel + bias, rtol=1e-4, atol=1e-4)
    assert own.name == "own"
    name = "out" if len(last) == 1 else "soft"
    expected = f"own: the softmax of {name} is left out: outputs and training are on logits"
    assert expected in " ".join(" ".join(messages).split())


def test_logits_are_left_as_they_are(tmp_path, messages):
    model = network(layers.Dense(CLASSES, name="out"))
    np.testing.assert_array_equal(opened(model, tmp_path)(PIXELS), model(PIXELS))
    model = network(layers.Dense(CLASSES, name="out"), layers.Reshape((CLASSES,), name="same"))
    np.testing.assert_array_equal(opened(model, tmp_path)(PIXELS), model(PIXELS))
    assert messages == []


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (layers.Dense(CLASSES, activation="sigmoid", name="out"), "sigmoid in out"),
        (layers.ReLU(name="out"), "ReLU in out"),
        (layers.Activation("tanh", name="out"), "tanh in out"),
    ],
)
def test_another_last_activation_is_refused(last, kind, tmp_path):
    ends = (last,) if isinstance(last, layers.Dense) else (layers.Dense(CLASSES), last)
    with pytest.raises(InputError, match=f"^own: ends with {kind}; expected logits, or a softmax over the classes$"):
        opened(network(*ends), tmp_path)


def test_models_inside_and_sequential_ones_become_one_flat_graph(tmp_path):
    inner = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(2, 3, name="conv"), layers.ReLU(name="relu")], name="in"
    )
    image = keras.Input(SHAPE, name="image")
    x = layers.Dense(CLASSES, name="out")(layers.Flatten(name="flat")(inner(image)))
    model = keras.Model(image, x, name="own")
    own = opened(model, tmp_path)
    assert [layer.name for layer in own.layers] == ["image", "conv", "relu", "flat", "out"]
    assert (own.name, type(own) is keras.Sequential) == ("own", False)
    np.testing.assert_array_equal(own(PIXELS), model(PIXELS))
    sequential = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(CLASSES)], name="own")
    own = opened(sequential, tmp_path)
    assert not isinstance(own, keras.Sequential)
    np.testing.assert_array_equal(own(PIXELS), sequential(PIXELS))


def test_layers_of_one_name_in_two_models_inside_are_refused(tmp_path):
    image = keras.Input(SHAPE, name="image")
    x = image
    for name in ("first", "second"):
        x = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(1, 1, name="conv")], name=name)(x)
    model = keras.Model(image, layers.Dense(CLASSES)(layers.Flatten()(x)), name="own")
    with pytest.raises(InputError, match=r'^own: The name "conv" is used 2 times in the model') as refused:
        opened(model, tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_sequential_model_without_an_input_takes_the_size_of_the_data(tmp_path):
    own = opened(keras.Sequential([layers.Flatten(), layers.Dense(CLASSES)], name="own"), tmp_path)
    assert (own.input_shape, own.output_shape) == ((None, *SHAPE), (None, CLASSES))


def test_a_model_inside_in_a_fixed_mode_is_refused(tmp_path):
    inner = keras.Sequential([keras.Input(SHAPE), layers.Dropout(0.5), layers.Flatten()], name="in")
    image = keras.Input(SHAPE, name="image")
    model = keras.Model(image, layers.Dense(CLASSES)(inner(image, training=False)), name="own")
    with pytest.raises(InputError, match=r"^own: calls the model in in a fixed mode; expected no training=\.\.\."):
        opened(model, tmp_path)


def frozen() -> keras.Model:
    model = network(layers.Dense(CLASSES, name="out"))
    model.get_layer("conv").trainable = False
    return model


def stateful() -> keras.Model:
    model = network(layers.Dense(CLASSES, name="out"))
    model.get_layer("conv").stateful = True
    return model


def of_two_images() -> keras.Model:
    images = [keras.Input(SHAPE, name=name) for name in ("left", "right")]
    return keras.Model(images, layers.Dense(CLASSES)(layers.Flatten()(layers.Add()(images))), name="own")


def of_two_answers() -> keras.Model:
    model = network(layers.Dense(CLASSES, name="out"))
    return keras.Model(model.input, [model.output, model.get_layer("flat").output], name="own")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (frozen, r"own: layer conv \(Conv2D\) is not trainable; expected trainable layers"),
        (stateful, r"own: layer conv \(Conv2D\) is stateful; expected the same for any batch"),
        (of_two_images, "own: 2 inputs and 1 outputs, expected one image in and one number a class out"),
        (of_two_answers, "own: 1 inputs and 2 outputs, expected one image in and one number a class out"),
        (lambda: network(layers.Dense(4)), r"own: has outputs of \(4,\), but the data has 3 classes"),
        (
            lambda: network(layers.Reshape((1, -1)), layers.Dense(3)),
            r"own: has outputs of \(1, 3\), but the data has 3",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(make: Callable[[], keras.Model], message):
    with pytest.raises(InputError, match=f"^{message}"):
        require_fits(make(), SHAPE, CLASSES)


def test_the_size_of_the_images_is_that_of_the_model():
    model = network(layers.Dropout(0.5), layers.Dense(CLASSES, name="out"))
    model.get_layer("flat").trainable = False  # it has no weights
    require_fits(model, SHAPE, CLASSES)
    with pytest.raises(InputError, match=r"^own: takes images of \(6, 5, 1\), but the data has \(5, 6, 1\); load_data"):
        require_fits(model, (5, 6, 1), CLASSES)
