"""Shares and spectra against NumPy on Keras's own maps, and the bootstrap against rows that are really repeated."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization import statistics
from keras_cnn.visualization.passes import one_pass
from keras_cnn.visualization.statistics import Features, NotPositive, Spectrum, effective_rank, spectrum


def sparsity(model, points, batches):
    return one_pass(model, batches, [NotPositive(model, points)])[0]


def features(model, point, batches, reduction="pooled"):
    return one_pass(model, batches, [Features(point, reduction)])[0]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((9, 8, 3))
    x = layers.ReLU(name="relu")(layers.Conv2D(5, 3, name="conv")(layers.Rescaling(1 / 127.5, offset=-1)(inputs)))
    return keras.Model(inputs, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x)))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (11, 9, 8, 3)).astype(np.uint8)


def batches(pixels, size=4):
    return ((pixels[i : i + size],) for i in range(0, len(pixels), size))


def at(model, layer, pixels):
    return keras.Model(model.inputs[0], model.get_layer(layer).output)(pixels).numpy()


def test_shares_of_non_positive_values(model, pixels):
    found = {s.layer: s for s in sparsity(model, ["conv", "relu", "gap"], batches(pixels))}
    for name, s in found.items():
        values = at(model, name, pixels)
        assert s.shape == values.shape[1:]
        np.testing.assert_allclose(s.shares, (values <= 0).reshape(11, -1).mean(axis=1), atol=1e-6)
        assert s.share == pytest.approx(np.mean(values <= 0), abs=1e-6)
        assert s.interval[0] <= s.share <= s.interval[1]
    assert found["relu"].share == pytest.approx(found["conv"].share, abs=1e-6)  # a ReLU's zeros are not positive
    assert 0.05 < found["relu"].share < 0.95


def test_avgpool_is_the_means_over_the_last_map_unless_a_layer_has_that_name(model, pixels):
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel, bias - 0.5])  # so that some means are 0
    (found,) = sparsity(model, ["avgpool"], batches(pixels))
    means = at(model, "relu", pixels).mean(axis=(1, 2))
    assert (found.layer, found.shape) == ("avgpool", (5,))
    np.testing.assert_allclose(found.shares, (means <= 0).mean(axis=1), atol=1e-6)
    (own,) = sparsity(model, ["gap"], batches(pixels))
    np.testing.assert_array_equal(own.shares, found.shares)
    model.get_layer("conv").set_weights([kernel, bias])
    named = keras.Sequential([keras.Input((9, 8, 3)), layers.AveragePooling2D(3, name="avgpool"), layers.Conv2D(2, 2)])
    (found,) = sparsity(named, ["avgpool"], batches(pixels))
    assert found.shape == (3, 2, 3)


def test_features_pooled_and_flattened(model, pixels):
    maps = at(model, "relu", pixels)
    np.testing.assert_allclose(features(model, "relu", batches(pixels)), maps.mean(axis=(1, 2)), atol=1e-5)
    flat = features(model, "relu", batches(pixels), "flattened")
    np.testing.assert_allclose(flat, maps.reshape(11, -1), atol=1e-5)
    assert features(model, "gap", batches(pixels)).shape == (11, 5)


@pytest.mark.parametrize("shape", [(30, 4), (6, 25), (12, 12)])
def test_the_spectrum_is_that_of_the_covariance(shape):
    values = np.random.default_rng(1).normal(size=shape) @ np.diag(np.linspace(0.2, 3, shape[1])) + 7
    found = spectrum(values, samples=5, seed=2)
    count = min(shape)
    expected = np.linalg.eigvalsh(np.cov(values, rowvar=False))[::-1][:count]
    np.testing.assert_allclose(found.eigenvalues, expected, atol=1e-9)
    assert np.count_nonzero(found.eigenvalues) == min(shape[0] - 1, shape[1])  # centred, N images leave N - 1
    drawn = np.random.default_rng(2).multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=5)
    for weights, resampled in zip(drawn, found.resampled, strict=True):
        repeated = np.repeat(values, weights, axis=0)
        expected = np.linalg.eigvalsh(np.cov(repeated, rowvar=False))[::-1][:count]
        np.testing.assert_allclose(resampled, np.maximum(expected, 0), atol=1e-9)


def test_intervals_hold_the_estimate_and_narrow_with_the_images():
    rng = np.random.default_rng(3)
    widths = []
    for count in (40, 640):
        found = spectrum(rng.normal(size=(count, 6)) * [3, 2, 1.5, 1, 0.5, 0.1])
        low, high = found.band
        assert (low <= found.eigenvalues).all()
        assert (found.eigenvalues <= high).all()
        low, high = found.effective_rank_interval
        assert low <= found.effective_rank <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2  # a quarter, but for chance


def test_effective_rank_by_hand():
    assert effective_rank(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_rank(np.array([5.0, 0, 0])) == pytest.approx(1)
    # shares 3/4 and 1/4: exp(-(0.75 log 0.75 + 0.25 log 0.25)) = (4/3)^0.75 · 4^0.25
    assert effective_rank(np.array([3.0, 1.0])) == pytest.approx((4 / 3) ** 0.75 * 4**0.25)
    assert effective_rank(np.zeros(3)) == 0


def test_bad_input_is_told_in_one_line(model, pixels, monkeypatch):
    for read in (lambda: sparsity(model, ["relu"], []), lambda: features(model, "relu", [])):
        with pytest.raises(InputError, match="no images"):
            read()
    with pytest.raises(InputError, match="no layer 'rely'; did you mean relu"):
        sparsity(model, ["rely"], batches(pixels))
    with pytest.raises(InputError, match="at least 2 rows"):
        spectrum(np.zeros((1, 4)))
    broken = keras.models.clone_model(model)
    broken.get_layer("conv").bias.assign([np.inf] * 5)
    with pytest.raises(InputError, match="relu: values that are not finite"):
        sparsity(broken, ["relu"], batches(pixels))
    with pytest.raises(InputError, match="values that are not finite"):
        features(broken, "relu", batches(pixels, size=1))
    monkeypatch.setattr(statistics, "_LARGEST", 4 * 5 * 7)
    with pytest.raises(InputError, match="8 of 5 numbers each, expected at most"):
        features(model, "relu", batches(pixels))


def test_a_band_is_the_estimate_times_the_resampled_percentiles_over_their_median():
    resampled = np.arange(1, 42.0)[:, None] * [1, 2, 0]  # medians 21, 42 and 0; 2.5 % of 40 steps is one
    found = Spectrum(50, 3, np.array([10.0, 42, 5]), resampled)
    np.testing.assert_allclose(found.band, [[10 * 2 / 21, 4, 5], [10 * 40 / 21, 80, 5]])
    assert (found.largest_rank, Spectrum(3, 3, found.eigenvalues, resampled).largest_rank) == (3, 2)
    low, high = found.effective_rank_interval
    np.testing.assert_allclose([low, high], found.effective_rank)  # equal shares in every sample


def test_two_hundred_samples_and_two_rows_are_enough():
    values = np.array([[0.0, 0], [2, 2]])
    found = spectrum(values)
    assert found.resampled.shape == (200, 2)
    np.testing.assert_allclose(found.eigenvalues, [4, 0])  # variance 2 of each of two equal features
    drawn = np.random.default_rng(0).multinomial(2, [0.5, 0.5], size=200)
    np.testing.assert_array_equal(found.resampled[:, 0] > 0, drawn.min(axis=1) > 0)  # one image twice has no variance


def test_features_may_take_a_gibibyte(monkeypatch):
    assert statistics._LARGEST == 2**30
    measure = Features("gap")
    few = SimpleNamespace(numpy=lambda: np.zeros((2, 5), np.float32))
    monkeypatch.setattr(statistics, "_LARGEST", 4 * 5 * 4)
    measure.add([few], None)
    measure.add([few], None)  # four images of five numbers in four bytes
    monkeypatch.undo()
    with pytest.raises(InputError, match="at most 1 GiB: pooled features, or fewer images"):
        measure.add([SimpleNamespace(numpy=lambda: np.broadcast_to(np.float32(0), (1, 2**28 + 1)))], None)
