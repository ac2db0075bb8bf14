import math

import keras
import numpy as np
import pytest

from keras_cnn.training.optimizers import build_optimizer, build_schedule, exclude_from_decay


def test_step_schedule_is_pytorchs_step_lr():
    rate = build_schedule("step", 0.5, 30, step_epochs=7, gamma=0.1)
    expected = [0.5] * 7 + [0.05] * 7 + [0.005] * 7
    assert [rate(e) for e in range(21)] == pytest.approx(expected)
    assert rate(6.99) == 0.5


def test_exponential_and_cosine_by_hand():
    assert build_schedule("exponential", 1.0, 10, gamma=0.5)(3.0) == pytest.approx(0.125)
    cosine = build_schedule("cosine", 2.0, 12, warmup_epochs=2)
    assert [cosine(e) for e in (0, 1, 2, 7, 12)] == pytest.approx([0, 1, 2, 1, 0])
    third = 2 + 10 / 3
    assert cosine(third) == pytest.approx(2 * 0.75)  # (1 + cos 60°) / 2


def test_one_cycle_by_hand():
    rate = build_schedule("one_cycle", 1.0, 10)
    assert [rate(0), rate(3), rate(10)] == pytest.approx([1 / 25, 1, 1 / 250_000])
    assert rate(1.5) == pytest.approx((1 + 1 / 25) / 2)
    assert all(rate(e / 10) <= 1 for e in range(101))


def test_constant_and_plateau_leave_the_rate():
    assert build_schedule("constant", 0.1, 5)(4.2) == build_schedule("plateau", 0.1, 5)(4.2) == 0.1


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


def test_schedules_never_leave_the_reals():
    for name in ("constant", "step", "exponential", "cosine", "one_cycle", "plateau"):
        rate = build_schedule(name, 0.1, 3, warmup_epochs=1)
        assert all(math.isfinite(rate(p / 100)) and 0 <= rate(p / 100) <= 0.1 for p in range(301))
