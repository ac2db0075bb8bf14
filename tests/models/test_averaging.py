"""Means of weights, and statistics of batch norms against NumPy."""

import keras
import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.models.averaging import StatisticsEstimator, differing_norms, mean_weights, require_same_layout

BATCHES = [
    np.random.default_rng(i).integers(0, 256, (count, 2, 2, 1)).astype(np.float32) for i, count in ((0, 8), (1, 4))
]


def network(width=3) -> keras.Model:
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.BatchNormalization(name="first", epsilon=1e-3)(keras.layers.Flatten()(inputs))
    x = keras.layers.Dense(width, name="middle")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    x = keras.layers.BatchNormalization(name="second", momentum=0.9, epsilon=1e-3)(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))


def test_a_mean_of_weights_is_taken_weight_by_weight():
    keras.utils.set_random_seed(1)
    first, second = network(), network()
    means = mean_weights([first.get_weights(), second.get_weights(), second.get_weights()])
    for mean, own, other in zip(means, first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(mean, (own + 2 * other) / 3, atol=1e-7)
        assert mean.dtype == own.dtype


def test_networks_of_other_layers_have_no_mean():
    with pytest.raises(
        InputError, match=r"b: another network than a: found middle/kernel \(4, 5\), expected middle/kern"
    ):
        require_same_layout([network(), network(5)], ["a", "b"])
    require_same_layout([network(), network()], ["a", "b"])


def test_statistics_are_the_means_of_those_of_the_batches():
    keras.utils.set_random_seed(1)
    model = network()
    before = model.get_config()
    StatisticsEstimator(model, ["first", "second"])(BATCHES)
    kernel, bias = model.get_layer("middle").get_weights()
    rows, found = [], []
    for batch in BATCHES:
        flat = batch.reshape(len(batch), -1).astype(np.float64)
        normed = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3)
        middle = normed @ kernel + bias  # no dropout
        rows.append([flat.mean(0), flat.var(0), middle.mean(0), middle.var(0)])
    for name, place in (("first", 0), ("second", 2)):
        layer = model.get_layer(name)
        for variable, i in ((layer.moving_mean, place), (layer.moving_variance, place + 1)):
            found.append(variable)
            expected = (8 * rows[0][i] + 4 * rows[1][i]) / 12
            np.testing.assert_allclose(np.asarray(variable), expected, rtol=1e-4, atol=1e-5)
    assert model.get_config() == before
    assert all(layer.trainable for layer in model.layers)


def test_batch_norms_that_are_alike_in_all_networks_keep_their_statistics():
    keras.utils.set_random_seed(1)
    model, other = network(), network()
    other.get_layer("second").moving_mean.assign([1.0, 2.0, 3.0])
    assert differing_norms([model, other]) == ["second"]
    StatisticsEstimator(model, ["second"])(BATCHES)
    assert np.asarray(model.get_layer("first").moving_mean).tolist() == [0, 0, 0, 0]
    assert (np.asarray(model.get_layer("second").moving_mean) != 0).all()


def test_networks_with_more_weights_have_no_mean_and_whole_numbers_are_the_first_ones():
    inputs = keras.Input((2,))
    x = keras.layers.Dense(3, name="middle")(inputs)
    short, long = keras.Model(inputs, x), keras.Model(inputs, keras.layers.Dense(3, name="last")(x))
    for models, message in (
        ([short, short, long], r"^c: another network than a: found weights \(4,\), expected weights \(2,\) for an av"),
        ([long, short], r"^b: another network than a: found weights \(2,\), expected weights \(4,\)"),
    ):
        with pytest.raises(InputError, match=message):
            require_same_layout(models, ["a", "b", "c"][: len(models)])
    counts = [[np.array([number, 7], kind), np.array([number], np.float16)] for number, kind in ((1, int), (4, int))]
    whole, half = mean_weights(counts)
    assert (whole.tolist(), whole.dtype.kind, half.tolist(), half.dtype.name) == ([1, 7], "i", [2.5], "float16")


def test_dropout_and_frozen_norms_are_as_before():
    model = network()
    model.get_layer("first").trainable = False
    StatisticsEstimator(model, ["second"])(BATCHES)
    assert [model.get_layer(name).trainable for name in ("first", "second")] == [False, True]
    assert (model.get_layer("dropout").rate, model.get_layer("second").momentum) == (0.5, 0.9)
