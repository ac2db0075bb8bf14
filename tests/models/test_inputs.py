"""Models with another input give the answers of the first one."""

import keras
import numpy as np
from keras import layers

from keras_cnn.models.inputs import with_image_shape, with_input_range


def network(shape) -> keras.Model:
    image = keras.Input(shape, dtype="float32", name="first")
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(image)), name="own")


def test_a_model_for_any_size_gets_one():
    model = network((None, None, 3))
    fixed = with_image_shape(model, (5, 4, 3))
    images = np.random.default_rng(0).random((2, 5, 4, 3), np.float32)
    assert (fixed.name, fixed.input_shape, fixed.inputs[0].name) == ("own", (None, 5, 4, 3), "image")
    np.testing.assert_array_equal(fixed(images), model(images))
    assert fixed.weights[0] is model.weights[0]


def test_bytes_reach_a_model_in_its_own_range():
    model = network((2, 2, 1))
    scaled = with_input_range(model, -3.0, 7.0)
    images = np.array([0, 51, 204, 255], np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(scaled(images), model(images / 25.5 - 3), rtol=1e-5)
    assert (scaled.name, scaled.input_shape) == ("own", (None, 2, 2, 1))
    assert np.ravel(scaled.get_layer("input_range")(images)).tolist() == [-3, -1, 5, 7]
