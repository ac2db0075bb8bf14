"""Kernels of every kind of convolution, and maps computed again from one kernel."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization import kernel_map_pairs as pairs_module
from keras_cnn.visualization.activations import first_and_last, most_active, parts_of, spread
from keras_cnn.visualization.kernel_map_pairs import KernelMapPairs, convolve, kernel_map_pairs, points_of
from keras_cnn.visualization.kernels import Kernels, kernels
from keras_cnn.visualization.probe import taps

CONVOLUTIONS = {
    "plain": lambda: layers.Conv2D(6, 3, name="conv"),
    "strided, same": lambda: layers.Conv2D(6, (3, 2), strides=2, padding="same", name="conv"),
    "large stride, same": lambda: layers.Conv2D(4, 2, strides=3, padding="same", name="conv"),
    "dilated, same": lambda: layers.Conv2D(5, 3, dilation_rate=(2, 3), padding="same", name="conv"),
    "without bias": lambda: layers.Conv2D(6, 3, use_bias=False, name="conv"),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2, name="conv"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, name="conv"),
    "separable": lambda: layers.SeparableConv2D(5, 3, depth_multiplier=3, padding="same", name="conv"),
    "with its activation": lambda: layers.Conv2D(6, 3, activation="tanh", name="conv"),
}


def pairs(model: keras.Model, images: np.ndarray, layer: str, channels) -> KernelMapPairs:
    return kernel_map_pairs(model, taps(model, points_of(model, layer))(images), layer, channels)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_each_map_is_made_by_its_own_kernel(kind, photos):
    keras.utils.set_random_seed(9)
    image = keras.Input((16, 16, 3))
    before = layers.Conv2D(4, 1, name="before")(image)
    conv = CONVOLUTIONS[kind]()
    model = keras.Model(image, conv(before))
    if conv.use_bias:
        conv.bias.assign(np.linspace(-1, 1, conv.bias.shape[0]))
    found = pairs(model, photos, "conv", range(model.output.shape[-1]))
    assert found.difference < 2e-6
    assert found.kernels.shape[-1] == model.output.shape[-1]
    maps = np.tanh(found.convolved) if kind == "with its activation" else found.convolved
    np.testing.assert_allclose(maps, model(photos), rtol=1e-4, atol=1e-3)


def test_one_filter_against_loops():
    generator = np.random.default_rng(1)
    maps, kernel = generator.normal(size=(1, 5, 4, 2)), generator.normal(size=(2, 3, 2))
    expected = np.zeros((1, 2, 2))  # 5 and 4 places by 2, rounded down: rows 0 and 2, columns 0 and 1
    for row in range(2):
        for column in range(2):
            for i in range(2):
                for j in range(3):
                    for c in range(2):
                        expected[0, row, column] += maps[0, 2 * row + i, column + j, c] * kernel[i, j, c]
    np.testing.assert_allclose(convolve(maps, kernel, 0.5, strides=(2, 1)), expected + 0.5)


def test_a_kernel_beside_the_wrong_map_is_noticed(small, photos, monkeypatch):
    assert pairs(small, photos, "conv1", [0, 1]).difference < 1e-6

    def shifted(probe, layer):
        right = kernels(probe, layer)
        return Kernels(right.layer, np.roll(right.values, 1, axis=-1), right.bias, right.groups)

    monkeypatch.setattr(pairs_module, "kernels", shifted)
    with pytest.raises(ArithmeticError, match="small: conv1: maps differ from those of their kernels by"):
        pairs(small, photos, "conv1", [0, 1])


def test_the_maps_are_those_before_and_after_batch_norm_and_activation(small, photos):
    found = pairs(small, photos, "conv1", [4, 2])
    assert found.points == ("conv1", "bn1", "relu1")
    expected = keras.Model(small.inputs[0], [small.get_layer(n).output for n in found.points])(photos)
    for ours, theirs in zip((found.convolved, found.normalised, found.activated), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy()[..., [4, 2]], atol=1e-5)
    np.testing.assert_array_equal(found.kernels, small.get_layer("conv1").kernel.numpy()[..., [4, 2]])
    with pytest.raises(InputError, match="small: conv1: channel 6, expected 0 to 5"):
        pairs(small, photos, "conv1", [6])


def test_norms_and_groups():
    keras.utils.set_random_seed(2)
    image = keras.Input((8, 8, 4))
    grouped = layers.Conv2D(6, 3, groups=2, name="grouped")
    model = keras.Model(image, layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(grouped(image)))
    found = kernels(model, "grouped")
    assert [found.inputs_of(u) for u in (0, 2, 3, 5)] == [slice(0, 2), slice(0, 2), slice(2, 4), slice(2, 4)]
    weights = grouped.kernel.numpy()
    assert found.norms[3] == pytest.approx(np.sqrt(sum(w * w for w in weights[..., 3].ravel())))
    deep = kernels(model, "deep")
    assert deep.values.shape == (3, 3, 1, 12)
    assert [deep.inputs_of(u) for u in (0, 1, 2, 11)] == [slice(0, 1), slice(0, 1), slice(1, 2), slice(5, 6)]


def test_which_layers_and_channels_are_shown(small, photos):
    assert parts_of(small, "conv1") == {"convolution": "conv1", "batch norm": "bn1", "activation": "relu1"}
    assert parts_of(small, "conv2") == {"convolution": "conv2:linear", "activation": "conv2"}
    assert first_and_last(small) == ("conv1", "separable")
    assert spread(small, 2) == ("conv1", "separable")
    assert spread(small, 9) == ("conv1", "conv2", "separable")
    maps = np.zeros((2, 3, 3, 4))
    maps[0, 1, 1] = [0, 5, -7, 1]
    np.testing.assert_array_equal(most_active(maps, 2), [1, 2])


def test_of_equally_active_channels_the_first_and_of_even_counts_the_nearest():
    maps = np.zeros((1, 2, 2, 5))
    maps[0, 0, 0] = [1, 3, 3, 3, 0]
    assert most_active(maps, 2).tolist() == [1, 2]
    assert most_active(maps[0, :, 0], 1).tolist() == [1]
    image = x = keras.Input((4, 4, 1))
    for number in range(6):
        x = layers.Conv2D(1, 1, name=f"c{number}")(x)
    model = keras.Model(image, x)
    assert spread(model, 3) == ("c0", "c2", "c5")  # 2.5 is rounded to the even number
    assert spread(model, 4) == ("c0", "c2", "c3", "c5")
    assert spread(model, 1) == ("c0",)
    none = keras.Model(image, layers.Flatten()(image))
    for wrong in (lambda: spread(none, 3), lambda: first_and_last(none)):
        with pytest.raises(InputError, match="no convolutions, expected at least one"):
            wrong()
    one = keras.Model(image, layers.Conv2D(1, 1, name="only")(image))
    assert first_and_last(one) == ("only",)


def test_a_difference_of_a_thousandth_of_the_largest_value_is_the_most(small, photos, monkeypatch):
    maps = taps(small, points_of(small, "conv1"))(photos)
    for difference, fits in ((1e-3, True), (1.1e-3, False)):
        monkeypatch.setattr(pairs_module, "_difference", lambda *_, value=difference: value)
        if fits:
            assert kernel_map_pairs(small, maps, "conv1", [5]).difference == 1e-3
        else:
            with pytest.raises(ArithmeticError, match=r"by 1\.1e-03 of the largest value; expected at most 0\.001"):
                kernel_map_pairs(small, maps, "conv1", [5])
    with pytest.raises(InputError, match="small: conv1: channel -1, expected 0 to 5"):
        kernel_map_pairs(small, maps, "conv1", [-1])
