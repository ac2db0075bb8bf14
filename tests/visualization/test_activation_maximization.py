"""Activation maximization: optima worked out by hand, the parts against NumPy, and nothing of the model changed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization.activation_maximization import (
    COLOUR_COVARIANCE,
    Parametrisation,
    Transforms,
    _ascend,
    before_activation,
    best_of,
    colour_mixing,
    maximize_activation,
    spectrum_scale,
    transformed,
    usual_rate,
)
from keras_cnn.visualization.gradients import Score
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.targets import ChannelMean, ClassScore, Neuron

STILL = Transforms(0, 0, 0)
KERNEL = np.array([[1.0, -2.0, 0.5], [-0.5, 3.0, -1.0], [0.25, -1.5, 2.0]])


@pytest.fixture
def linear() -> keras.Model:
    """A 6×6 grey image to a 4×4 map by KERNEL, plus 7."""
    image = keras.Input((6, 6, 1), name="image")
    model = keras.Model(image, layers.Conv2D(1, 3, name="conv")(image), name="linear")
    model.set_weights([KERNEL[..., None, None], np.array([7.0])])
    return model


# Waves carry some pixels of small weight along with their neighbours, deep into the flat part of the sigmoid.
@pytest.mark.parametrize(("kind", "share"), [("pixel", 0.99), ("fourier", 0.95)])
def test_a_linear_unit_comes_to_its_largest_value(linear, kind, share):
    target = Neuron("conv", (0,), (1, 2))
    found = maximize_activation(linear, target, 1, steps=500, parametrisation=kind, transforms=STILL)
    most = 255 * KERNEL[KERNEL > 0].sum() + 7  # white where a weight is positive, else black
    assert share * most < found.values[0] <= most
    window = found.pictures[0, 1:4, 2:5, 0]
    large = np.abs(KERNEL) > 0.5
    np.testing.assert_allclose(window[large], 255 * (KERNEL > 0)[large], atol=8)


def test_a_channel_mean_comes_to_its_largest_value(linear):
    found = maximize_activation(linear, ChannelMean("conv", (0,)), 1, steps=400, rate=0.2, transforms=STILL)
    weights = np.zeros((6, 6))  # of each pixel in the mean of the 16 units
    for row in range(4):
        for column in range(4):
            weights[row : row + 3, column : column + 3] += KERNEL / 16
    most = 255 * weights[weights > 0].sum() + 7
    assert 0.98 * most < found.values[0] <= most
    np.testing.assert_allclose(found.start_values, (found.start[..., 0] * weights).sum() + 7, rtol=1e-5)


@pytest.mark.parametrize("nested", [False, True])
def test_logits_of_the_hand_worked_network(hand, nested):
    # With x in 0-255: 2x + 4·relu(1−x) is largest for x = 255, 510; −2x + 2·relu(1−x) for x = 0, 2.
    options = {"steps": 300, "rate": 0.3, "parametrisation": "pixel", "transforms": STILL}
    found = maximize_activation(hand(nested=nested), ClassScore((0, 1)), 2, **options)
    assert found.values[0] > 505
    np.testing.assert_array_equal(found.pictures[1], 0)
    assert found.values[1] == 2
    assert found.pictures.shape == (2, 2, 2, 1)
    assert not found.dead.any()


def test_a_unit_behind_a_shut_relu_is_dead_and_is_raised_before_it(hand):
    model = hand()
    # The ReLU of 1 − x is shut at every grey near the start, 127.
    behind = maximize_activation(model, ChannelMean("relu", (0, 1)), 2, steps=20)
    np.testing.assert_array_equal(behind.dead, [False, True])
    np.testing.assert_array_equal(behind.pictures[1], behind.start)
    assert before_activation(model, "relu") == ("conv", "relu")
    before = maximize_activation(model, ChannelMean("conv", (1,)), 1, steps=300, rate=0.3, parametrisation="pixel")
    assert (before.values[0], before.highest[0], before.dead[0]) == (1, 1, False)


def test_where_units_are_raised(small):
    probe = Probe(small)
    relu = probe.readers("separable")[0].name
    points = {layer: before_activation(probe, layer) for layer in ("conv1", "bn1", "relu1", "conv2", "add", "logits")}
    first = ("bn1", "relu1")
    assert points == {
        **dict.fromkeys(("conv1", "bn1", "relu1"), first),
        "conv2": ("conv2:linear", "conv2"),
        "add": ("add", None),
        "logits": ("logits", None),
    }
    assert before_activation(probe, "separable") == ("separable", relu)


def test_values_are_those_of_the_bytes(small):
    found = maximize_activation(small, ClassScore((0, 1, 2, 3)), 4, steps=15)
    assert found.pictures.dtype == np.uint8
    logits = small.predict(found.pictures.astype(np.float32), verbose=0)
    np.testing.assert_allclose(found.values, np.diag(logits), rtol=1e-4, atol=1e-4)
    assert (found.values > found.start_values).all()
    start = small.predict(found.start[None].astype(np.float32), verbose=0)[0]
    np.testing.assert_allclose(found.start_values, start, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_pictures_whatever_else_is_asked_for(small):
    target = ChannelMean("bn1", (0, 3, 5))
    found = maximize_activation(small, target, 3, steps=10)
    np.testing.assert_array_equal(found.pictures, maximize_activation(Probe(small), target, 3, steps=10).pictures)
    alone = maximize_activation(small, ChannelMean("bn1", (3,)), 1, steps=10)
    np.testing.assert_allclose(alone.pictures[0].astype(int), found.pictures[1].astype(int), atol=1)
    assert (maximize_activation(small, target, 3, steps=10, seed=1).pictures != found.pictures).any()


def test_nothing_of_the_model_is_changed(small, state_of):
    before = state_of(small)
    maximize_activation(small, ChannelMean("relu1", (0,)), 1, steps=2)
    for wrong in (ChannelMean("bn1", 6), ChannelMean("no", 0), ClassScore(4)):
        with pytest.raises(InputError):
            maximize_activation(small, wrong, 1, steps=2)
    assert state_of(small) == before


def test_an_interrupted_ascent_leaves_the_model_as_it_was(small, state_of, monkeypatch):
    before = state_of(small)
    monkeypatch.setattr("keras_cnn.visualization.activation_maximization.transformed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        maximize_activation(small, ChannelMean("relu1", (0,)), 1, steps=2)
    assert state_of(small) == before


@pytest.mark.parametrize("size", [(8, 8, 3), (9, 7, 3), (6, 5, 1)])
def test_a_picture_written_as_its_spectrum_by_numpy_comes_back(size):
    height, width, channels = size
    picture = np.random.default_rng(0).uniform(5, 250, size)
    logits = np.log(picture / (255 - picture))
    values = np.linalg.solve(colour_mixing(channels), logits.reshape(-1, channels).T).reshape(channels, height, width)
    spectrum = np.fft.rfft2(values) / spectrum_scale(height, width)
    parameters = np.stack([spectrum.real, spectrum.imag])[None].astype(np.float32)
    made_of = Parametrisation("fourier", size)
    assert parameters.shape[1:] == made_of.shape
    np.testing.assert_allclose(made_of.picture(tf.constant(parameters))[0], picture, atol=0.02)


def test_waves_of_twice_the_frequency_have_half_the_size():
    scale = spectrum_scale(32, 32)
    assert scale[0, 1] / scale[0, 2] == pytest.approx(2)
    assert scale[1, 0] / scale[4, 0] == pytest.approx(4)
    assert scale[-3, 4] == pytest.approx(scale[0, 5])  # 3 and 4 make 5
    assert scale[0, 0] == scale[0, 1]
    large = spectrum_scale(299, 299)
    assert large[0, 4] / large[0, 16] == pytest.approx(8)
    assert large[0, 8] == pytest.approx(0.25 * 299 / (8 / 299))  # here as by the rule for small images


def test_mixed_colours_vary_together_as_in_photos():
    independent = np.random.default_rng(0).normal(size=(200_000, 3))
    mixed = independent @ colour_mixing(3).T
    deviation = np.sqrt(np.diag(COLOUR_COVARIANCE))
    expected = COLOUR_COVARIANCE / np.outer(deviation, deviation)
    np.testing.assert_allclose(np.corrcoef(mixed.T), expected, atol=0.005)

    cholesky = np.linalg.cholesky(COLOUR_COVARIANCE)
    product = colour_mixing(3) @ colour_mixing(3).T
    np.testing.assert_allclose(product / product[0, 0], cholesky @ cholesky.T / COLOUR_COVARIANCE[0, 0], rtol=1e-9)
    np.testing.assert_array_equal(colour_mixing(1), [[1]])


def test_transforms_move_turn_and_mirror_as_numpy_does():
    pictures = np.random.default_rng(1).uniform(0, 255, (2, 5, 5, 3)).astype(np.float32)
    still = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    np.testing.assert_array_equal(transformed(tf.constant(pictures), tf.constant(still)), pictures)
    moved = still + np.array([[0, 0, 2], [0, 0, -1]], np.float32)
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(transformed(tf.constant(pictures), tf.constant(moved)), padded[:, 4:9, 1:6])
    half = still + np.array([[0, 0, 0.5], [0, 0, 0]], np.float32)
    between = (padded[:, 2:7, 2:7] + padded[:, 3:8, 2:7]) / 2
    np.testing.assert_allclose(transformed(tf.constant(pictures), tf.constant(half)), between, rtol=1e-5)
    turned = np.array([[0, 1, 0], [-1, 0, 4]], np.float32)  # shows at (r, c) what is at (c, 4 − r)
    np.testing.assert_array_equal(
        transformed(tf.constant(pictures), tf.constant(turned)), np.rot90(pictures, axes=(1, 2))
    )


def test_drawn_transforms_stay_in_their_bounds():
    drawn = Transforms(2, 0.1, 5).matrices(500, (32, 32), seed=0)
    size = np.sqrt(np.linalg.det(drawn[:, :, :2]))
    assert 1 / 1.1 <= size.min() < 0.93
    assert 1.07 < size.max() <= 1 / 0.9
    angle = np.rad2deg(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]))
    assert -5 <= angle.min() < -4.5
    assert 4.5 < angle.max() <= 5
    middle = drawn[:, :, :2] @ np.array([15.5, 15.5]) + drawn[:, :, 2]
    assert 1.8 < np.abs(middle - 15.5).max() <= 2.0001
    np.testing.assert_allclose(STILL.matrices(3, (7, 9), 0), [[[1, 0, 0], [0, 1, 0]]] * 3, atol=1e-6)
    assert (Transforms.usual(32).jitter, Transforms.usual(299).jitter, Transforms.usual(8).jitter) == (2, 18, 1)


def test_the_best_real_image_is_that_of_a_plain_loop(small, photos):
    batches = [(photos, None), (photos, None)]  # the second time round none is better
    score = ChannelMean("conv1", (1, 4)).score(Probe(small), np.zeros((2, 16, 16, 3), np.float32))
    behind = ChannelMean("bn1", 3).score(Probe(small), np.zeros((1, 16, 16, 3), np.float32))
    found, other = best_of(small, [score, behind], batches)
    maps, later = keras.Model(small.inputs[0], [small.get_layer(name).output for name in ("conv1", "bn1")])(
        photos.astype(np.float32)
    )
    np.testing.assert_allclose(other.values, later.numpy().mean(axis=(1, 2))[:, 3].max(), rtol=1e-4)
    maps = maps.numpy()
    means = maps.mean(axis=(1, 2))[:, [1, 4]]
    np.testing.assert_allclose(found.values, means.max(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(found.numbers, means.argmax(axis=0))
    assert found.count == 6
    with pytest.raises(InputError, match="activation maximization: no images"):
        best_of(small, [score], [])


def test_what_cannot_be_maximised_is_refused(small, linear):
    with pytest.raises(InputError, match=r"bn1: channel 6, expected 0 to 5"):
        maximize_activation(small, ChannelMean("bn1", 6), 1)
    with pytest.raises(InputError, match="steps: found 0, expected at least 1"):
        maximize_activation(small, ChannelMean("bn1", 0), 1, steps=0)
    image = keras.Input((None, None, 3))
    free = keras.Model(image, layers.Conv2D(1, 1, name="conv")(image), name="free")
    with pytest.raises(InputError, match=r"free: activation maximization: images of shape \(None, None, 3\)"):
        maximize_activation(free, ChannelMean("conv", 0), 1)


def test_a_score_is_not_bound_to_a_target(linear):
    """What `best_of` takes is any weighted sum: here the corner unit twice."""
    weights = np.zeros((1, 4, 4, 1), np.float32)
    weights[0, 0, 0] = 2
    image = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    (found,) = best_of(linear, [Score("conv", weights, ("corner",))], [(image,)])
    assert found.values[0] == pytest.approx(2 * ((image[0, :3, :3, 0] * KERNEL).sum() + 7))


@pytest.mark.parametrize(("side", "rate", "power"), [(64, 0.1, 1), (65, 0.05, 1.5)])
def test_steps_and_waves_change_above_64_pixels(side, rate, power):
    assert usual_rate(side) == rate
    scale = spectrum_scale(side, side)
    assert scale[0, 2] / scale[0, 8] == pytest.approx(4**power)
    oblong = spectrum_scale(side, 20)
    assert oblong.shape == (side, 11)
    assert oblong[4, 0] / oblong[16, 0] == pytest.approx(4**power)
    assert oblong[0, 0] == pytest.approx(oblong[1, 0])  # the mean counts as the longest wave


def test_the_longer_side_sets_the_rate_and_the_shorter_one_the_jitter(monkeypatch):
    image = keras.Input((80, 33, 1))
    model = keras.Model(image, layers.Conv2D(1, 3, name="conv")(image))
    drawn = []
    matrices = Transforms.matrices
    monkeypatch.setattr(
        Transforms, "matrices", lambda self, *given: drawn.append((self, given)) or matrices(self, *given)
    )
    found = maximize_activation(model, ChannelMean("conv", 0), 1, steps=1, parametrisation="pixel", seed=3)
    assert found.rate == 0.05
    assert drawn == [(Transforms(2, 0.1, 5.0), (1, (80, 33), 3))]
    assert (found.start.shape, found.start.dtype) == ((80, 33, 1), np.uint8)
    noise = 255 / (1 + np.exp(-0.01 * np.random.default_rng([3, 0]).normal(size=(80, 33, 1))))
    np.testing.assert_allclose(found.start, noise, atol=0.51)


def test_the_ascent_is_kerass_adam():
    slopes = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    slopes[:, 1] = 0  # the second unit has no gradient
    steps = iter(slopes)
    first = np.array([0.5, -1, 2], np.float32)
    found, moved = _ascend(lambda *_: (None, next(steps)), first, np.zeros((2, 1)), np.zeros((4, 2, 3)), 0.2)
    variable = keras.Variable(np.stack([first, first]))
    adam = keras.optimizers.Adam(0.2, epsilon=1e-8)
    for gradient in slopes:
        adam.apply([-gradient], [variable])
    np.testing.assert_allclose(found, variable.numpy(), rtol=1e-4)
    assert moved.tolist() == [True, False]
