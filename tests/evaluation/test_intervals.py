import itertools
import math
import subprocess
import sys
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import (
    corrected_interval,
    holm,
    mcnemar_exact,
    mean_interval,
    paired_bootstrap,
    sign_flip,
    student_t,
    welch_interval,
    wilson,
)


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
    z = NormalDist().inv_cdf((1 + level) / 2)
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


# --- exact tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("b", "c", "expected"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 · 1/2
        (0, 6, 2 / 64),
        (1, 4, 2 * (1 + 5) / 32),
        (2, 3, 1.0),  # 2 · 16/32
        (3, 3, 1.0),  # twice the tail is more than 1
    ],
)
def test_mcnemar_worked_out_by_hand(b, c, expected):
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-14)
    assert mcnemar_exact(np.uint8(c), np.uint8(b)) == mcnemar_exact(b, c)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (7, 9), (40, 12), (250, 199), (500, 500), (3000, 3300), (0, 900)])
def test_mcnemar_equals_the_sum_of_binomial_coefficients(b, c):
    tail = sum(math.comb(b + c, i) for i in range(min(b, c) + 1))
    assert mcnemar_exact(b, c) == pytest.approx(float(min(1, Fraction(2 * tail, 2 ** (b + c)))), rel=1e-12)


def test_mcnemar_of_a_hopeless_case_is_0_and_not_an_error():
    assert mcnemar_exact(0, 5000) == 0


def test_holm_worked_out_by_hand():
    # Sorted 0.01 0.02 0.03 0.04, times 4 3 2 1: 0.04 0.06 0.06 0.04, and never falling: 0.04 0.06 0.06 0.06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06], rel=1e-14)
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_equals_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p = np.random.default_rng(seed).random(9).round(1) ** 3
        np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 64),  # all of one sign: only all + and all - lie as far
        ([-0.1] * 6, 2 / 64),
        ([1, 2, 3, 4, 5, -6], 28 / 64),  # |sum| of 9 or more: those turned sum to at most 6, in 14 ways, or the rest do
        ([1, 1, 1, -1], 10 / 16),  # |sum| at least 2: all choices but the six with sum 0
        ([1, 1], 0.5),
        ([3], 1.0),
        ([0, 0, 0], 1.0),
        ([1, -1, 0], 1.0),
    ],
)
def test_sign_flip_worked_out_by_hand(differences, expected):
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-14)


def test_sign_flip_equals_trying_all_signs_and_scipy():
    stats = pytest.importorskip("scipy.stats")
    for seed in range(8):
        differences = np.random.default_rng(seed).normal(0.4, 1, 9).round(seed % 3)  # rounded: with ties
        far = abs(math.fsum(differences)) - 1e-9
        signs = itertools.product((-1, 1), repeat=9)
        hits = sum(abs(math.fsum(s * d for s, d in zip(sign, differences, strict=True))) >= far for sign in signs)
        assert sign_flip(differences) == pytest.approx(hits / 512, rel=1e-14)
        expected = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(differences) == pytest.approx(expected.pvalue, rel=1e-12)


def test_sign_flip_is_not_fooled_by_rounding():
    assert sign_flip([0.1, 0.2, 0.3, 0.1, 0.2, 0.3]) == 2 / 64
    assert sign_flip(np.array([0.1, 0.2, 0.3, -0.1, -0.2, -0.3])) == 1


def test_sign_flip_of_many_pairs_is_close_to_the_exact_share():
    differences = np.random.default_rng(3).normal(0.3, 1, 24)
    halves = [np.zeros(1), np.zeros(1)]
    for i, difference in enumerate(differences):
        halves[i % 2] = np.concatenate([halves[i % 2] + difference, halves[i % 2] - difference])
    left, right = halves[0], np.sort(halves[1])
    far = abs(differences.sum()) - 1e-9
    exact = 2 * np.sum(len(right) - np.searchsorted(right, far - left)) / 2**24
    assert exact == pytest.approx(sign_flip(differences), abs=5 * math.sqrt(exact * (1 - exact) / 100_000))
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip(np.ones(20)) == 2 / 2**20  # the most pairs of which all choices are tried
    assert sign_flip(np.ones(21)) == 1 / 100_001


# --- means ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "freedom", "expected"),
    [
        (0.5, 1, 1.0),  # tan(π · level / 2), the Cauchy distribution
        (0.95, 1, math.tan(math.pi * 0.475)),
        (0.95, 2, 0.95 * math.sqrt(2 / (1 - 0.95**2))),
        (0.999, 2, 0.999 * math.sqrt(2 / (1 - 0.999**2))),
    ],
)
def test_students_t_where_it_has_a_closed_form(level, freedom, expected):
    assert student_t(level, freedom) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("freedom", [3, 5.5, 9, 30, 400.5, 10_000])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_students_density_between_minus_t_and_t_integrates_to_the_level(level, freedom):
    # With T = sqrt(freedom) · tan(angle) the density of the angle is proportional to cos(angle)^(freedom - 1).
    angle = math.atan(student_t(level, freedom) / math.sqrt(freedom))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    assert angle * constant * float(weights @ np.cos(angle * nodes) ** (freedom - 1)) == pytest.approx(level, rel=1e-8)


def test_results_are_plain_floats_so_that_json_takes_them():
    numbers = [*wilson(np.int64(3), np.int64(7)), mcnemar_exact(np.int64(3), np.int64(7)), student_t(0.95, 4)]
    numbers += [*wilson(0, 3), *wilson(3, 3), *mean_interval([1, 2]), *welch_interval([1, 2], [3, 5]), sign_flip([1])]
    assert {type(number) for number in numbers} == {float}


def test_importing_the_intervals_does_not_import_scipy():
    code = "import sys; import keras_cnn.evaluation.intervals; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mean_interval_from_the_printed_table_of_t():
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx(
        (3 - 2.776445 * math.sqrt(0.5), 3 + 2.776445 * math.sqrt(0.5)), abs=1e-6
    )
    assert mean_interval([2.0, 2.0]) == (2.0, 2.0)


def test_mean_interval_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    for n in (2, 3, 12):
        values = np.random.default_rng(n).normal(0.7, 0.01, n)
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert mean_interval(values, 0.9) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "spread"), [(2, 2, 1), (3, 8, 0.1), (6, 6, 5), (2, 9, 100)])
def test_welch_interval_equals_scipy(n, m, spread):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n)
    a, b = rng.normal(1, 1, n), rng.normal(0, spread, m)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert welch_interval(a, b) == pytest.approx((expected.low, expected.high), rel=1e-9)
    low, high = welch_interval(b, a)
    assert welch_interval(a, b) == pytest.approx((-high, -low), rel=1e-12)


def test_welch_interval_without_spread_is_a_point_and_tiny_spreads_do_not_vanish():
    assert welch_interval([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25)
    # Where one side has no spread, the other's mean and its degrees of freedom count alone.
    low, high = mean_interval([0.1, 0.2, 0.6])
    assert welch_interval([0.5, 0.5], [0.1, 0.2, 0.6]) == pytest.approx((0.5 - high, 0.5 - low))
    tiny = np.array([0.0, 1e-100])
    assert np.array(welch_interval(tiny, -tiny)) * 1e100 == pytest.approx(welch_interval([0, 1], [0, -1]), rel=1e-9)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def paired_changes(n: int, b: int, c: int) -> np.ndarray:
    return np.array([-1.0] * b + [1.0] * c + [0.0] * (n - b - c))


def test_bootstrap_of_signs_equals_scipy_within_the_noise_of_resampling():
    stats = pytest.importorskip("scipy.stats")
    changes = paired_changes(400, 30, 55)
    ours = paired_bootstrap(changes, samples=20_000)
    theirs = stats.bootstrap((changes,), np.mean, n_resamples=20_000, method="percentile", rng=7, batch=2000)
    # A quantile at 2.5 % of 20,000 draws has the standard error sqrt(0.025 · 0.975 / 20,000) / density, here 0.0004.
    assert ours == pytest.approx(theirs.confidence_interval, abs=6 * 0.0004)


def test_bootstrap_of_two_values_has_the_quantiles_of_the_binomial():
    stats = pytest.importorskip("scipy.stats")
    low, high = paired_bootstrap(paired_changes(50, 0, 20), samples=200_000)
    assert (50 * low, 50 * high) == pytest.approx(stats.binom.ppf([0.025, 0.975], 50, 0.4), abs=1e-9)


def test_bootstrap_of_any_values_equals_the_normal_interval_of_their_mean():
    values = np.random.default_rng(0).normal(0.2, 1, 5000)
    half = 1.959964 * values.std() / math.sqrt(5000)
    # Standard error of such a quantile: sqrt(0.025 · 0.975 / 10,000) / 0.058 standard errors of the mean.
    noise = 6 * 0.027 * values.std() / math.sqrt(5000)
    assert paired_bootstrap(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=noise)


def test_bootstrap_draws_images_and_draws_counts_to_the_same_end():
    changes = paired_changes(300, 20, 45)
    nearly = changes + np.linspace(0, 1e-9, 300)  # 300 different values: images are drawn
    ours, images = (paired_bootstrap(values, samples=20_000) for values in (changes, nearly))
    assert ours == pytest.approx(images, abs=1 / 300 + 1e-6)  # one image more or less


def test_bootstrap_of_signs_covers_the_truth_nineteen_times_in_twenty():
    rng, truth = np.random.default_rng(11), 0.05
    chances = (0.10, 0.75, 0.15)  # of -1, 0 and 1
    trials = 2000
    hits = 0
    for trial in range(trials):
        b, _, c = rng.multinomial(500, chances)
        low, high = paired_bootstrap(paired_changes(500, b, c), seed=trial, samples=1000)
        hits += low <= truth <= high
    assert 0.935 < hits / trials < 0.965  # three standard errors are 0.015


def test_bootstrap_depends_on_the_seed_alone():
    changes = paired_changes(300, 20, 45)
    assert paired_bootstrap(changes, seed=3) == paired_bootstrap(list(changes), seed=3)
    assert len({paired_bootstrap(changes + np.linspace(0, 1e-3, 300), seed=s) for s in range(3)}) == 3
    state = np.random.get_state()[1].copy()
    paired_bootstrap(changes)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_bootstrap_without_change_has_no_width_and_a_wider_level_is_wider():
    assert paired_bootstrap(np.zeros(10)) == (0.0, 0.0)
    low, high = paired_bootstrap(paired_changes(300, 20, 45), level=0.8)
    lower, higher = paired_bootstrap(paired_changes(300, 20, 45), level=0.99)
    assert lower < low < 25 / 300 < high < higher


def test_bootstrap_mirrors():
    low, high = paired_bootstrap(paired_changes(1000, 0, 100))
    lower, higher = paired_bootstrap(paired_changes(1000, 100, 0))
    assert (low, high) == pytest.approx((-higher, -lower), abs=0.002)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_bootstrap([]), r"paired_bootstrap: values of shape \(0,\); expected \(1 or more,\)"),
        (lambda: paired_bootstrap([[1.0]]), r"paired_bootstrap: values of shape \(1, 1\)"),
        (lambda: paired_bootstrap([0, math.nan]), r"paired_bootstrap: value 1 is nan \(1 in all\)"),
        (lambda: paired_bootstrap([0, 1], level=95), "paired_bootstrap: level 95; expected a number between 0 and 1"),
        (lambda: sign_flip([]), r"sign_flip: values of shape \(0,\)"),
        (lambda: sign_flip([math.inf, 1]), "sign_flip: value 0 is inf"),
        (lambda: mean_interval([0.5]), r"mean_interval: values of shape \(1,\); expected \(2 or more,\)"),
        (lambda: mean_interval([0.5, math.nan]), "mean_interval: value 1 is nan"),
        (lambda: mean_interval([0.5, 0.6], 1), "level 1"),
        (lambda: welch_interval([1, 2], [1]), r"welch_interval: values of shape \(1,\); expected \(2 or more,\)"),
        (lambda: welch_interval([1, 1], [1, 1], 0), "welch_interval: level 0"),
        (lambda: mcnemar_exact(-1, 4), "mcnemar_exact: counts -1 and 4; expected at least 0"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_corrected_interval_by_hand():
    """Five folds: S^2 = 0.00025, variance of the mean S^2 (1/5 + 1/4), t of 4 degrees of freedom 2.776445."""
    scores = [0.80, 0.82, 0.84, 0.81, 0.83]
    half = 2.776445 * math.sqrt(0.00025 * (1 / 5 + 1 / 4))
    assert corrected_interval(scores, 1 / 4) == pytest.approx((0.82 - half, 0.82 + half), abs=1e-6)
    assert corrected_interval([2.0, 2.0], 1.0) == (2.0, 2.0)


def test_corrected_interval_fits_the_corrected_t_test_of_scikit_learns_example():
    """The p value of the corrected t-test is 5 % at the end of the 95 % interval of a difference."""
    stats = pytest.importorskip("scipy.stats")
    differences = np.random.default_rng(3).normal(0.02, 0.03, 100)  # 10 times 10 folds

    def p_value(shift: float) -> float:
        moved = differences - shift
        corrected_std = np.sqrt(np.var(moved, ddof=1) * (1 / 100 + 10 / 90))
        return 2 * float(stats.t.sf(abs(np.mean(moved) / corrected_std), 99))

    for end in corrected_interval(differences, 10 / 90):
        assert p_value(end) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("values", "ratio"), [([1.0], 0.25), ([1.0, 2.0], 0.0), ([1.0, np.nan], 0.25)])
def test_corrected_interval_refuses(values, ratio):
    with pytest.raises(InputError, match="corrected_interval: "):
        corrected_interval(values, ratio)
