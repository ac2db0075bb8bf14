import math

import pytest

from keras_cnn.config import OptimConfig
from keras_cnn.errors import InputError
from keras_cnn.training.schedules import build_schedule


def schedule(name: str, peak: float, epochs: int, steps: int, **settings):
    return build_schedule(OptimConfig(schedule=name, learning_rate=peak, **settings), epochs=epochs, steps=steps)


def test_step_schedule_is_pytorchs_step_lr():
    rate = schedule("step", 0.5, 30, 10, step_epochs=7, gamma=0.1)
    expected = [0.5] * 7 + [0.05] * 7 + [0.005] * 7
    assert [rate(e) for e in range(21)] == pytest.approx(expected)
    assert rate(6.99) == 0.5


def test_exponential_and_cosine_by_hand():
    assert schedule("exponential", 1.0, 10, 10, gamma=0.5)(2.5) == pytest.approx(0.125 * math.sqrt(2))
    cosine = schedule("cosine", 2.0, 12, 100, warmup_epochs=2)
    assert [cosine(e) for e in (1, 2, 7, 12)] == pytest.approx([2 * 1.01 / 2, 2, 1, 0])  # first a warm-up alone
    third = 2 + 10 / 3
    assert cosine(third) == pytest.approx(2 * 0.75)  # (1 + cos 60°) / 2


def test_one_cycle_by_hand():
    rate = schedule("one_cycle", 1.0, 10, 10)
    assert [rate(0), rate(3), rate(10)] == pytest.approx([1 / 25, 1, 1 / 250_000])
    # A sixth of the way up and of the way down, (1 + cos 30°) / 2 of the start is left.
    left = (1 + math.sqrt(3) / 2) / 2
    assert rate(0.5) == pytest.approx(left / 25 + 1 - left)
    assert rate(3 + 7 / 6) == pytest.approx(left + (1 - left) / 250_000)
    assert all(rate(e / 10) <= 1 for e in range(101))


def test_constant_and_plateau_leave_the_rate():
    assert schedule("constant", 0.1, 5, 10)(4.2) == schedule("plateau", 0.1, 5, 10)(4.2) == 0.1


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
    rate = schedule("constant", 4.0, 10, steps, warmup_epochs=epochs)
    assert [rate(step / steps) for step in range(8)] == pytest.approx(expected)


def test_schedules_never_leave_the_reals():
    for name in ("constant", "step", "exponential", "cosine", "one_cycle", "plateau"):
        rate = schedule(name, 0.1, 3, 8, warmup_epochs=1)
        assert all(math.isfinite(rate(p / 100)) and 0 <= rate(p / 100) <= 0.1 for p in range(301))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match=r"^optim.schedule: found 'linear', expected constant, step, .* or plateau$"):
        schedule("linear", 0.1, 3, 8)
