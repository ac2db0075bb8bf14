"""Confidence intervals of proportions, means and differences, and exact tests.

SciPy is imported inside the functions that need it, because it takes a second.
"""

import math
from statistics import NormalDist

import numpy as np

from keras_cnn.errors import InputError

Interval = tuple[float, float]  # low, high

EXACT_PAIRS = 20  # most pairs for an exact test: 2^20 sums take 8 MB
_FEW_VALUES = 32  # up to this number of distinct differences, their counts are drawn instead of images
_CHUNK = 2**22  # indices drawn at a time: 32 MB


def wilson(correct: int, total: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion, as (low, high) in [0, 1].

    Unlike the textbook p ± z·se, it stays inside [0, 1], is wider than 0 at p = 0 and p = 1, and covers close to
    `level` for small counts. Without any images, it is (0, 1).

    Raises InputError for counts that do not form a proportion or a level outside (0, 1).
    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).
    """
    if not 0 <= correct <= total:
        raise InputError(f"wilson: {correct} correct of {total}; expected 0 <= correct <= total")
    _check_level("wilson", level)
    if total == 0:
        return 0.0, 1.0
    # SciPy has this interval in the result of `binomtest`, which takes a hundred times as long for its p-value.
    correct, total = int(correct), int(total)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = (correct + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * math.sqrt(correct * (total - correct) / total + z * z / 4)
    return (middle - half if correct else 0.0), (middle + half if correct < total else 1.0)


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value of McNemar's test that two models are wrong equally often on the same images.

    `b` images are right with the first model only, `c` with the second only. Under the null hypothesis b is
    binomial(b + c, 1/2); p is twice its smaller tail and at most 1. Where the models never differ, p is 1.

    Raises InputError for a negative count.
    Source: Q. McNemar, Note on the Sampling Error of the Difference between Correlated Proportions, Psychometrika 12
    (1947), in its exact binomial form.
    """
    b, c = int(b), int(c)
    if min(b, c) < 0:
        raise InputError(f"mcnemar_exact: counts {b} and {c}; expected at least 0")
    if b == c == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(b, b + c).pvalue)


def holm(p_values) -> np.ndarray:
    """(M,) p-values adjusted for M tests: at most α where Holm's procedure rejects at the family-wise error rate α.

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian J. of Statistics 6 (1979).
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(raised)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return adjusted


def paired_bootstrap(differences, level: float = 0.95, seed: int = 0, samples: int = 10_000) -> Interval:
    """Percentile bootstrap interval, as (low, high), of the mean of paired `differences` (N,), one per image.

    The same `seed` gives the same interval. If all differences are equal, the interval has no width. Resampling
    draws only observed values, so an interval from few images, or from few nonzero differences, is too narrow.

    Raises InputError for no differences, values that are not finite, or a level outside (0, 1).
    Source: B. Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7 (1979).
    """
    differences = _checked("paired_bootstrap", differences, at_least=1)
    _check_level("paired_bootstrap", level)
    generator, n = np.random.default_rng(seed), len(differences)
    values, counts = np.unique(differences, return_counts=True)
    if len(values) <= _FEW_VALUES:
        # The counts of the values in N draws with replacement are multinomial. The means have the same distribution as
        # when drawing images, and 10,000 resamples of 10,000 images take 2 ms instead of 0.6 s.
        means = generator.multinomial(n, counts / n, size=samples) @ values / n
    else:
        rows = max(1, _CHUNK // n)
        sizes = [min(rows, samples - start) for start in range(0, samples, rows)]
        means = np.concatenate([differences[generator.integers(0, n, (size, n))].mean(axis=1) for size in sizes])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sign_flip(differences) -> float:
    """Two-sided p-value of the sign-flip (Fisher's randomisation) test that paired `differences` (n,) are centred on 0.

    p is the share of the 2^n choices of signs whose sum is at least as far from 0 as the observed sum, which is one
    of them. The smallest p of n pairs is therefore 2 / 2^n, above 0.05 for fewer than six pairs. Beyond 20 pairs,
    100,000 choices are drawn with a fixed seed, and p is (hits + 1) / (draws + 1), never 0 (Phipson and Smyth 2010).

    Raises InputError for no differences or values that are not finite.
    Source: R. A. Fisher, The Design of Experiments (1935), section 21.
    """
    differences = _checked("sign_flip", differences, at_least=1)
    observed = abs(differences.sum())
    slack = 1e-12 * np.abs(differences).sum()  # sums in another order round differently
    if len(differences) <= EXACT_PAIRS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= observed - slack))
    draws, generator = 100_000, np.random.default_rng(0)
    hits = 0
    for _ in range(draws // 1000):
        signs = generator.choice((-1.0, 1.0), (1000, len(differences)))
        hits += int(np.sum(np.abs(signs @ differences) >= observed - slack))
    return (hits + 1) / (draws + 1)


def mean_interval(values, level: float = 0.95) -> Interval:
    """Student's t interval, as (low, high), of the population mean, from independent `values` (n,), n at least 2.

    Raises InputError for fewer than two values, values that are not finite, or a level outside (0, 1).
    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).
    """
    values = _checked("mean_interval", values, at_least=2)
    half = student_t(level, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def corrected_interval(values, ratio: float, level: float = 0.95) -> Interval:
    """The interval, as (low, high), of the mean of scores (J,) of J trainings on overlapping images, J at least 2.

    ratio: images tested on to images trained on; 1 / (K - 1) for K folds.

    The variance of the mean is S² (1 / J + ratio) instead of S² / J: the scores are not independent, because the
    trainings share images. It is that of the corrected resampled t-test, with J - 1 degrees of freedom.

    Raises InputError for fewer than two values, values that are not finite, a ratio of 0 or less, or a level outside
    (0, 1).
    Source: C. Nadeau and Y. Bengio, Inference for the Generalization Error, Machine Learning 52 (2003).
    """
    values = _checked("corrected_interval", values, at_least=2)
    if not ratio > 0:
        raise InputError(f"corrected_interval: ratio {ratio}; expected test images over training images, above 0")
    half = student_t(level, len(values) - 1) * values.std(ddof=1) * math.sqrt(1 / len(values) + ratio)
    return float(values.mean() - half), float(values.mean() + half)


def welch_interval(a, b, level: float = 0.95) -> Interval:
    """Welch's t interval, as (low, high), of mean(a) - mean(b), for independent `a` (n,) and `b` (m,), n, m at least 2.

    The variances may differ. Where both are 0, the interval has no width.

    Raises InputError for fewer than two values, values that are not finite, or a level outside (0, 1).
    Source: B. L. Welch, The Generalization of "Student's" Problem when Several Different Population Variances are
    Involved, Biometrika 34 (1947).
    """
    a, b = _checked("welch_interval", a, at_least=2), _checked("welch_interval", b, at_least=2)
    difference = a.mean() - b.mean()
    variances = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])  # of the two means
    if not variances.any():
        _check_level("welch_interval", level)
        return float(difference), float(difference)
    shares = variances / variances.sum()  # the squares of tiny variances would underflow
    freedom = 1 / (shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1))
    half = student_t(level, freedom) * math.sqrt(variances.sum())
    return float(difference - half), float(difference + half)


def student_t(level: float, freedom: float) -> float:
    """The t with P(|T| < t) = `level`, T having Student's distribution with `freedom` degrees of freedom."""
    _check_level("student_t", level)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def _checked(name: str, values, at_least: int) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < at_least:
        raise InputError(f"{name}: values of shape {values.shape}; expected ({at_least} or more,)")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(f"{name}: value {bad[0]} is {values[bad[0]]} ({len(bad)} in all); expected finite numbers")
    return values


def _check_level(name: str, level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"{name}: level {level}; expected a number between 0 and 1, such as 0.95")
