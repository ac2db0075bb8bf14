import keras
import numpy as np
import pytest

from keras_cnn.config import OptimConfig
from keras_cnn.training.optimizers import build_optimizer, exclude_from_decay


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_weight_decay_is_decoupled_and_spares_biases(name):
    kernel = keras.Variable(np.full((2,), 3.0, "float32"), name="kernel")
    bias = keras.Variable(np.full((2,), 3.0, "float32"), name="bias")
    optimizer = build_optimizer(OptimConfig(name, weight_decay=0.5))
    exclude_from_decay(optimizer, [kernel, bias])
    optimizer.build([kernel, bias])
    optimizer.learning_rate.assign(0.1)
    zero = np.zeros(2, "float32")
    optimizer.apply([zero, zero], [kernel, bias])
    np.testing.assert_allclose(np.asarray(kernel), 3.0 * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(bias), [3.0, 3.0])


def test_sgd_momentum_nesterov_and_clipping_by_hand():
    weight = keras.Variable(np.zeros(2, "float32"), name="kernel")
    optimizer = build_optimizer(OptimConfig("sgd", momentum=0.9, clip_norm=1.0))
    optimizer.build([weight])
    optimizer.learning_rate.assign(0.1)
    for _ in range(2):
        optimizer.apply([np.array([3.0, 4.0], "float32")], [weight])  # clipped to (0.6, 0.8)
    np.testing.assert_allclose(np.asarray(weight), [-0.06 - 0.114, -0.08 - 0.152], rtol=1e-5)


def test_the_norm_that_is_clipped_is_of_all_gradients_together():
    one, other = (keras.Variable(np.zeros(1, "float32"), name="kernel") for _ in range(2))
    optimizer = build_optimizer(OptimConfig("sgd", clip_norm=1.0))
    optimizer.build([one, other])
    optimizer.learning_rate.assign(1.0)
    optimizer.apply([np.array([3.0], "float32"), np.array([4.0], "float32")], [one, other])  # a norm of 5
    np.testing.assert_allclose([float(one[0]), float(other[0])], [-0.6, -0.8], rtol=1e-6)


def built(layer: keras.layers.Layer) -> keras.layers.Layer:
    layer.build((None, 8, 8, 3))
    return layer


def test_no_variable_but_a_kernel_decays():
    kernels = ("kernel", *(w.name for w in built(keras.layers.SeparableConv2D(2, 3, use_bias=False)).weights))
    names = (*kernels, "bias", "gamma", "beta", "moving_mean")
    variables = [keras.Variable(np.full((2,), 3.0, "float32"), name=name) for name in names]
    optimizer = build_optimizer(OptimConfig("adamw", weight_decay=0.5))
    exclude_from_decay(optimizer, variables)
    optimizer.build(variables)
    optimizer.learning_rate.assign(0.1)
    optimizer.apply([np.zeros(2, "float32")] * len(variables), variables)
    found = {variable.name: float(variable[0]) for variable in variables}
    assert found == pytest.approx(dict.fromkeys(names, 3.0) | dict.fromkeys(kernels, 3.0 * (1 - 0.1 * 0.5)))


def test_under_loss_scaling_the_kernel_decays_by_the_same_and_the_bias_not():
    variables = [keras.Variable(np.full((2,), 3.0, "float32"), name=name) for name in ("kernel", "bias")]
    optimizer = build_optimizer(OptimConfig("sgd", weight_decay=0.5), loss_scaling=True)
    exclude_from_decay(optimizer, variables)
    optimizer.build(variables)
    optimizer.learning_rate.assign(0.1)
    gradients = [np.full(2, float(optimizer.scale_loss(2.0)), "float32") for _ in variables]  # 2 before it was scaled
    optimizer.apply(gradients, variables)
    np.testing.assert_allclose(np.asarray(variables[0]), 3.0 * (1 - 0.1 * 0.5) - 0.1 * 2, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(variables[1]), 3.0 - 0.1 * 2, rtol=1e-6)


GRADIENTS = np.array([[0.5, -2.0], [-0.25, 1.0], [3.0, 0.125]])
START, RATE = np.array([1.0, -1.0]), 0.1


def nesterov(weights):
    """Sutskever et al. 2013: the velocity is looked ahead along."""
    velocity = np.zeros(2)
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity - RATE * gradient
        weights = weights + 0.9 * velocity - RATE * gradient
    return weights


def adam(weights):
    """Kingma & Ba 2015, algorithm 1; epsilon is too small to matter."""
    first, second = np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(GRADIENTS, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weights = weights - RATE * (first / (1 - 0.9**t)) / np.sqrt(second / (1 - 0.999**t))
    return weights


def adagrad(weights):
    """Duchi et al. 2011, from a sum of squares of 0.1."""
    squares = np.full(2, 0.1)
    for gradient in GRADIENTS:
        squares = squares + gradient**2
        weights = weights - RATE * gradient / np.sqrt(squares)
    return weights


def rmsprop(weights, momentum=0.0):
    """Tieleman & Hinton 2012, the mean of squares falling off by 0.9, with momentum on the step."""
    squares, velocity = np.zeros(2), np.zeros(2)
    for gradient in GRADIENTS:
        squares = 0.9 * squares + 0.1 * gradient**2
        velocity = momentum * velocity + RATE * gradient / np.sqrt(squares)
        weights = weights - velocity
    return weights


@pytest.mark.parametrize(
    ("name", "settings", "by_hand"),
    [
        ("sgd", {"momentum": 0.9, "nesterov": True}, nesterov),
        ("adam", {}, adam),
        ("adamw", {}, adam),
        ("adagrad", {}, adagrad),
        ("rmsprop", {}, rmsprop),
        ("rmsprop", {"momentum": 0.5}, lambda weights: rmsprop(weights, 0.5)),
    ],
)
def test_three_updates_of_each_rule_by_hand(name, settings, by_hand):
    weight = keras.Variable(START.astype("float32"), name="kernel")
    optimizer = build_optimizer(OptimConfig(name, **settings))
    optimizer.build([weight])
    optimizer.learning_rate.assign(RATE)
    for gradient in GRADIENTS:
        optimizer.apply([gradient.astype("float32")], [weight])
    np.testing.assert_allclose(np.asarray(weight), by_hand(START), rtol=2e-5)
