import math

import keras
import numpy as np
import pytest

from keras_cnn.training.optimizers import build_optimizer, build_schedule, exclude_from_decay


def test_step_schedule_is_pytorchs_step_lr():
    rate = build_schedule("step", 0.5, 30, 10, step_epochs=7, gamma=0.1)
    expected = [0.5] * 7 + [0.05] * 7 + [0.005] * 7
    assert [rate(e) for e in range(21)] == pytest.approx(expected)
    assert rate(6.99) == 0.5


def test_exponential_and_cosine_by_hand():
    assert build_schedule("exponential", 1.0, 10, 10, gamma=0.5)(3.0) == pytest.approx(0.125)
    cosine = build_schedule("cosine", 2.0, 12, 100, warmup_epochs=2)
    assert [cosine(e) for e in (2, 7, 12)] == pytest.approx([2, 1, 0])
    third = 2 + 10 / 3
    assert cosine(third) == pytest.approx(2 * 0.75)  # (1 + cos 60°) / 2


def test_one_cycle_by_hand():
    rate = build_schedule("one_cycle", 1.0, 10, 10)
    assert [rate(0), rate(3), rate(10)] == pytest.approx([1 / 25, 1, 1 / 250_000])
    assert rate(1.5) == pytest.approx((1 + 1 / 25) / 2)
    assert all(rate(e / 10) <= 1 for e in range(101))


def test_constant_and_plateau_leave_the_rate():
    assert build_schedule("constant", 0.1, 5, 10)(4.2) == build_schedule("plateau", 0.1, 5, 10)(4.2) == 0.1


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"),
    [
        (1, 4, [1, 2, 3, 4, 4, 4, 4, 4]),  # quarters
        (2, 4, [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (0.5, 4, [2, 4, 4, 4, 4, 4, 4, 4]),
        (0.1, 4, [4, 4, 4, 4, 4, 4, 4, 4]),  # shorter than a step: none
    ],
)
def test_the_warm_up_counts_steps_from_one_and_wastes_none(epochs, steps, expected):
    rate = build_schedule("constant", 4.0, 10, steps, warmup_epochs=epochs)
    assert [rate(step / steps) for step in range(8)] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_weight_decay_is_decoupled_and_spares_biases(name):
    kernel = keras.Variable(np.full((2,), 3.0, "float32"), name="kernel")
    bias = keras.Variable(np.full((2,), 3.0, "float32"), name="bias")
    optimizer = build_optimizer(name, weight_decay=0.5)
    exclude_from_decay(optimizer, [kernel, bias])
    optimizer.build([kernel, bias])
    optimizer.learning_rate.assign(0.1)
    zero = np.zeros(2, "float32")
    optimizer.apply([zero, zero], [kernel, bias])
    np.testing.assert_allclose(np.asarray(kernel), 3.0 * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(bias), [3.0, 3.0])


def test_sgd_momentum_nesterov_and_clipping_by_hand():
    weight = keras.Variable(np.zeros(2, "float32"), name="kernel")
    optimizer = build_optimizer("sgd", momentum=0.9, clip_norm=1.0)
    optimizer.build([weight])
    optimizer.learning_rate.assign(0.1)
    for _ in range(2):
        optimizer.apply([np.array([3.0, 4.0], "float32")], [weight])  # clipped to (0.6, 0.8)
    np.testing.assert_allclose(np.asarray(weight), [-0.06 - 0.114, -0.08 - 0.152], rtol=1e-5)


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
    optimizer = build_optimizer(name, **settings)
    optimizer.build([weight])
    optimizer.learning_rate.assign(RATE)
    for gradient in GRADIENTS:
        optimizer.apply([gradient.astype("float32")], [weight])
    np.testing.assert_allclose(np.asarray(weight), by_hand(START), rtol=2e-5)


def test_schedules_never_leave_the_reals():
    for name in ("constant", "step", "exponential", "cosine", "one_cycle", "plateau"):
        rate = build_schedule(name, 0.1, 3, 8, warmup_epochs=1)
        assert all(math.isfinite(rate(p / 100)) and 0 <= rate(p / 100) <= 0.1 for p in range(301))
