import math

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import wilson


@pytest.mark.parametrize(
    ("correct", "total", "expected"),
    [  # worked out from Wilson's formula with z = 1.959964
        (8, 10, (0.490162, 0.943318)),
        (50, 100, (0.403832, 0.596168)),
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (1, 1, (0.206549, 1.0)),
    ],
)
def test_values_worked_out_by_hand(correct, total, expected):
    assert wilson(correct, total) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("correct", "total", "level"), [(3, 7, 0.9), (9012, 10000, 0.95), (1, 5000, 0.99)])
def test_ends_are_the_proportions_at_which_the_score_test_just_rejects(correct, total, level):
    stats = pytest.importorskip("scipy.stats")
    z = stats.norm.ppf((1 + level) / 2)
    for p in wilson(correct, total, level):
        assert abs(correct / total - p) == pytest.approx(z * math.sqrt(p * (1 - p) / total), rel=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("correct", "total"), [(0, 3), (1, 3), (2, 3), (3, 3), (437, 1000), (9999, 10000)])
def test_equals_statsmodels(correct, total, level):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    expected = proportion.proportion_confint(correct, total, alpha=1 - level, method="wilson")
    assert wilson(correct, total, level) == pytest.approx(expected, abs=1e-12)


def test_mirrored_counts_give_the_mirrored_interval():
    low, high = wilson(37, 120)
    assert wilson(83, 120) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_ends_are_exact_at_none_and_all_and_unknown_without_images():
    assert all(wilson(0, n)[0] == 0.0 and wilson(n, n)[1] == 1.0 for n in range(1, 500))
    assert wilson(0, 0) == (0.0, 1.0)


def test_small_numpy_integers_do_not_overflow():
    assert wilson(np.uint8(200), np.uint8(250)) == wilson(200, 250)


@pytest.mark.parametrize(("correct", "total", "level"), [(5, 4, 0.95), (-1, 4, 0.95), (1, 2, 0.0), (1, 2, 95)])
def test_impossible_arguments_are_refused(correct, total, level):
    with pytest.raises(InputError, match=rf"wilson: {correct} correct|wilson: level {level}"):
        wilson(correct, total, level)
