"""Responses of filters against a plain NumPy loop over Keras's own maps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization import filters
from keras_cnn.visualization.filters import TOP, Responding
from keras_cnn.visualization.passes import one_pass

SHAPE = (12, 10, 3)


def respond(model, batches, layers=None, *, top=TOP):
    return one_pass(model, batches, [Responding(model, layers, top=top)])[0]


def network(nested: bool = False) -> keras.Model:
    """conv1 with batch norm and ReLU; conv2 with a ReLU of its own; conv3 whose batch norm is behind the ReLU."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.BatchNormalization(name="bn1")(layers.Conv2D(4, 3, padding="same", name="conv1")(x))
    x = layers.ReLU(name="relu1")(x)
    if nested:
        y = keras.Input(x.shape[1:])
        x = keras.Model(y, layers.Conv2D(5, 3, activation="relu", name="conv2")(y), name="inner")(x)
    else:
        x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    x = layers.ReLU(name="relu3")(layers.DepthwiseConv2D(2, name="conv3")(x))
    x = layers.BatchNormalization(name="bn3")(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten()(x)))
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "beta", "moving_mean", "moving_variance", "bias")):
            variable.assign(rng.uniform(0.2, 1.2, variable.shape))
    bias = next(v for v in model.variables if v.path.endswith("conv2/bias"))
    bias.assign([2.0, -1e4, 2.0, 2.0, 2.0])  # the second filter of conv2 is dead
    return model


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (23, *SHAPE)).astype(np.uint8)
    pixels[17] = pixels[4]  # equal responses: the earlier image first
    return pixels, rng.integers(0, 3, 23)


def batches(pixels, labels, size):
    """A generator: it can be read once."""
    return ((pixels[i : i + size], labels[i : i + size]) for i in range(0, len(pixels), size))


def maps(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What Keras has before each activation."""
    x = pixels / np.float32(255)
    conv1, bn1, conv2, conv3 = (model.get_layer(name) for name in ("conv1", "bn1", "conv2", "conv3"))
    first = bn1(conv1(x), training=False).numpy()
    second = conv2.convolution_op(np.maximum(first, 0), conv2.kernel).numpy() + np.array(conv2.bias)
    third = conv3(np.maximum(second, 0)).numpy()
    return {"conv1": first, "conv2": second, "conv3": third}


@pytest.mark.parametrize("size", [5, 23])
def test_equals_a_numpy_loop(size):
    model, (pixels, labels) = network(), images()
    found = {r.layer: r for r in respond(model, batches(pixels, labels, size), top=6)}
    assert list(found) == ["conv1", "conv2", "conv3"]
    for name, values in maps(model, pixels).items():
        r, sums = found[name], values.sum(axis=(1, 2), dtype=np.float64)
        assert r.images == 23
        np.testing.assert_allclose(r.mean, sums.mean(axis=0), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(r.top_mean, -np.sort(-sums, axis=0)[:6].mean(axis=0), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(r.largest, values.max(axis=(0, 1, 2)), rtol=1e-5, atol=1e-5)
        for f in range(values.shape[-1]):
            order = sorted(range(23), key=lambda i: -sums[i, f])[:6]
            assert r.top[f].tolist() == order, (name, f)
            np.testing.assert_allclose(r.responses[f], sums[order, f], rtol=1e-5, atol=1e-4)
            assert r.labels[f].tolist() == labels[order].tolist()
            for k, image in enumerate(order):
                place = np.unravel_index(values[image, :, :, f].argmax(), values.shape[1:3])
                assert tuple(r.units[f, k]) == place
                assert r.peaks[f, k] == pytest.approx(values[image, :, :, f].max(), rel=1e-5, abs=1e-5)
        np.testing.assert_array_equal(r.maximum, r.responses.max(axis=1))
    assert found["conv2"].dead.tolist() == [False, True, False, False, False]


def test_few_gathered_at_a_time_give_the_same(monkeypatch):
    model, (pixels, labels) = network(), images()
    whole = respond(model, batches(pixels, labels, 8), top=4)
    monkeypatch.setattr(filters, "_GATHERED", 300)
    parts = respond(model, batches(pixels, labels, 8), top=4)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.units, b.units)
        np.testing.assert_array_equal(a.peaks, b.peaks)


def test_in_a_nested_model_it_is_the_same():
    pixels, labels = images()
    flat = respond(network(), batches(pixels, labels, 8), top=3)
    nested = respond(network(nested=True), batches(pixels, labels, 8), top=3)
    for a, b in zip(flat, nested, strict=True):
        np.testing.assert_array_equal(a.top, b.top)
        np.testing.assert_allclose(a.responses, b.responses, rtol=1e-4, atol=1e-3)


def test_fewer_images_than_are_kept():
    pixels, labels = images()
    (found,) = respond(network(), batches(pixels[:3], labels[:3], 2), ["conv1"], top=20)
    assert found.top.shape == (4, 3)
    assert (np.sort(found.top, axis=1) == [0, 1, 2]).all()


def test_of_a_tie_the_first_class():
    pixels, _ = images()
    (found,) = respond(network(), [(pixels[:4], np.array([2, 1, 1, 2]))], ["conv1"])
    assert found.class_counts(3).tolist() == [[0, 2, 2]] * 4
    assert found.class_most_seen(3).tolist() == [1] * 4


def test_bad_input_is_told_in_one_line():
    pixels, labels = images()
    with pytest.raises(InputError, match="no images"):
        respond(network(), [])
    with pytest.raises(InputError, match="found 0, expected at least 1"):
        respond(network(), [(pixels, labels)], top=0)
    with pytest.raises(InputError, match="relu1, of type ReLU, has no kernels; expected one of conv1, conv2, conv3"):
        respond(network(), [(pixels, labels)], ["relu1"])
    broken = network()
    broken.get_layer("conv1").bias.assign([np.nan, 0, 0, 0])
    with pytest.raises(InputError, match="conv1: a response that is not finite"):
        respond(broken, [(pixels, labels)])


def test_a_function_that_finds_maxima_is_compiled_once_for_each_type():
    assert filters._peak_finder(tf.float32) is filters._peak_finder(tf.float32)
    maps = tf.constant(np.array([[1, 5, 5, 2], [7, 0, 0, 9]], np.float32).reshape(2, 2, 2, 1))
    places, peaks = filters._peaks(maps, np.array([0, 1]), np.array([0, 0]))
    assert (places.tolist(), peaks.tolist()) == ([1, 3], [5, 9])
    assert [len(part) for part in filters._peaks(maps, np.zeros(0, int), np.zeros(0, int))] == [0, 0]
