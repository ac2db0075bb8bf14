import json
import math

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.calibration import TEMPERATURES, brier, fit_temperature, reliability
from keras_cnn.evaluation.metrics import cross_entropy, softmax


def random_case(seed: int, n: int = 500, classes: int = 4, sharpness: float = 2.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return labels, sharpness * (rng.normal(size=(n, classes)) + np.eye(classes)[labels])


def of_confidence(*values: float) -> np.ndarray:
    """Two-class probabilities whose first class has these."""
    return np.array([[value, 1 - value] for value in values])


# --- reliability ------------------------------------------------------------------------------------------------------


def test_reliability_worked_out_by_hand():
    probabilities = of_confidence(0.9, 0.85, 0.7, 0.55, 0.3)
    found = reliability([0, 1, 0, 1, 1], probabilities, bins=5)  # right: yes, no, yes, no, yes
    assert found.edges.tolist() == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert found.counts.tolist() == [0, 0, 1, 2, 2]  # the last image is of confidence 0.7 in the second class
    assert np.isnan(found.confidence[:2]).all()
    assert np.isnan(found.accuracy[:2]).all()
    assert found.confidence[2:] == pytest.approx([0.55, 0.7, 0.875])
    assert found.accuracy[2:] == pytest.approx([0, 1, 0.5])
    assert found.error == pytest.approx((1 * 0.55 + 2 * 0.3 + 2 * 0.375) / 5)


def test_a_confidence_on_an_edge_falls_below_it_as_in_guo_et_al():
    found = reliability([0] * 4, of_confidence(0.6, 0.8, 1.0, 0.8 + 1e-12))  # 15 bins: 9/15, 12/15, 15/15
    assert np.flatnonzero(found.counts).tolist() == [8, 11, 12, 14]
    for k in range(8, 16):
        assert reliability([0], of_confidence(k / 15)).counts[k - 1] == 1


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_error_equals_a_plain_loop_over_images_and_bins(bins, decimals):
    labels, logits = random_case(1)
    probabilities = softmax(logits).round(decimals)
    expected = 0.0
    for k in range(bins):
        inside = []
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
            if k / bins < max(row) <= (k + 1) / bins:
                inside.append((max(row), float(row.index(max(row)) == label)))
        if inside:
            stated, right = (math.fsum(column) / len(inside) for column in zip(*inside, strict=True))
            expected += len(inside) / len(labels) * abs(right - stated)
    assert reliability(labels, probabilities, bins).error == pytest.approx(expected, abs=1e-12)


def test_bins_hold_all_images_and_average_to_the_whole():
    labels, logits = random_case(2)
    probabilities = softmax(logits)
    found = reliability(labels, probabilities)
    filled = found.counts > 0
    assert found.counts.sum() == len(labels)
    assert np.average(found.accuracy[filled], weights=found.counts[filled]) == pytest.approx(
        np.mean(probabilities.argmax(axis=1) == labels)
    )
    assert np.average(found.confidence[filled], weights=found.counts[filled]) == pytest.approx(
        probabilities.max(axis=1).mean()
    )


def test_calibration_equals_scikit_learns_curve_in_the_binary_case():
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 800)
    right = rng.random(800) < confidence**2
    found = reliability(np.where(right, 0, 1), of_confidence(*confidence))
    accuracy, stated = calibration.calibration_curve(right, confidence, n_bins=15)
    filled = found.counts > 0
    assert found.accuracy[filled] == pytest.approx(accuracy, abs=1e-12)
    assert found.confidence[filled] == pytest.approx(stated, abs=1e-12)


def test_a_sure_and_right_model_has_no_error_and_a_sure_and_wrong_one_has_1():
    assert reliability([0, 1], np.eye(2)).error == 0
    assert reliability([1, 0], np.eye(2)).error == 1


def test_probabilities_a_little_above_1_by_rounding_fall_in_the_last_bin():
    found = reliability([0], np.array([[1.0005, 0.0]]))
    assert found.counts.tolist() == [0] * 14 + [1]
    assert found.error == 0


def test_reliability_survives_json_without_nan():
    labels, logits = random_case(3)
    plain = reliability(labels, softmax(logits)).as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert list(plain) == ["value", "bins", "edges", "counts", "confidence", "accuracy"]
    assert plain["bins"] == len(plain["counts"]) == len(plain["edges"]) - 1 == 15
    assert plain["confidence"][0] is None  # four classes: no confidence below 1/4
    assert plain["accuracy"][0] is None


# --- Brier ------------------------------------------------------------------------------------------------------------


def test_brier_worked_out_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    assert brier([0, 1], probabilities) == pytest.approx(((0.25 + 0.09 + 0.04) + (1 + 1)) / 2)
    assert brier([0, 1, 2], np.eye(3)) == 0
    assert brier([1, 2, 0], np.eye(3)) == 2
    assert brier([0, 1], np.full((2, 4), 0.25)) == 0.75


@pytest.mark.parametrize("classes", [2, 5])
def test_brier_equals_scikit_learn(classes):
    sk = pytest.importorskip("sklearn.metrics")
    labels, logits = random_case(4, classes=classes)
    probabilities = softmax(logits)
    expected = sk.brier_score_loss(labels, probabilities, scale_by_half=False)
    assert brier(labels, probabilities) == pytest.approx(expected, rel=1e-9)


def test_brier_leaves_its_input_alone():
    probabilities = np.eye(2)
    brier([0, 1], probabilities)
    np.testing.assert_array_equal(probabilities, np.eye(2))


# --- temperature ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 8.0])
def test_temperature_equals_scipys_minimum(seed, sharpness):
    optimize = pytest.importorskip("scipy.optimize")
    labels, logits = random_case(seed, sharpness=sharpness)
    found = optimize.minimize_scalar(
        lambda log_t: cross_entropy(labels, logits / math.exp(log_t)),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-9},
    )
    # SciPy compares losses, which are flat at their minimum: its place is known to about the root of their rounding.
    assert fit_temperature(labels, logits) == pytest.approx(math.exp(found.x), rel=1e-6)
    assert cross_entropy(labels, logits / fit_temperature(labels, logits)) <= found.fun + 1e-15


def test_temperature_worked_out_by_hand():
    # Two classes, gap 2 for the true one in three images of four: the best probability is 3/4 = 1 / (1 + exp(-2 / T)).
    logits = np.array([[2.0, 0], [2, 0], [2, 0], [2, 0]])
    assert fit_temperature([0, 0, 0, 1], logits) == pytest.approx(2 / math.log(3), rel=1e-9)
    assert fit_temperature([0, 0, 0, 1], 10 * logits + 7) == pytest.approx(20 / math.log(3), rel=1e-9)


def test_temperature_undoes_a_scaling_of_logits():
    labels, logits = random_case(5)
    once = fit_temperature(labels, logits)
    assert fit_temperature(labels, 3 * logits) == pytest.approx(3 * once, rel=1e-8)
    assert fit_temperature(labels, logits / once) == pytest.approx(1, rel=1e-8)


def test_temperature_mends_an_overconfident_model():
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(20_000, 3))
    labels = (rng.random((20_000, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1)  # drawn from the softmax
    assert fit_temperature(labels, logits) == pytest.approx(1, abs=0.05)
    sure = 4 * logits
    mended = sure / fit_temperature(labels, sure)
    assert reliability(labels, softmax(mended)).error < 0.02 < 0.2 < reliability(labels, softmax(sure)).error


def test_temperature_is_a_bound_where_there_is_no_best_one():
    labels = np.array([0, 1, 2])
    assert fit_temperature(labels, np.eye(3)) == TEMPERATURES[0]  # all right: the colder the better
    assert fit_temperature(labels, 1e4 * np.eye(3)) == TEMPERATURES[0]  # the loss is 0 already
    assert fit_temperature(labels, -np.eye(3)) == TEMPERATURES[1]  # all wrong: the hotter the better
    assert fit_temperature(labels, np.ones((3, 3))) == 1  # no temperature changes a thing
    assert fit_temperature([0, 0], np.zeros((2, 1))) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability([0, 1], np.eye(2), bins=0), "reliability: 0 bins; expected at least 1"),
        (lambda: reliability([0, 1], 3 * np.eye(2)), r"probabilities\[0, 0\] is 3.0"),
        (lambda: reliability([0, 2], np.eye(2)), r"labels\[1\] is 2 \(1 in all\); expected 0 to 1"),
        (lambda: brier([0, 1], [[0.5, math.nan], [0, 1]]), r"probabilities\[0, 1\] is nan"),
        (lambda: brier([0], np.eye(2)), r"labels have shape \(1,\), the outputs are of 2 images"),
        (lambda: fit_temperature([0, 1], [[0.5, math.inf], [0, 1]]), r"logits\[0, 1\] is inf"),
        (lambda: fit_temperature(np.zeros(0, int), np.zeros((0, 3))), r"logits have shape \(0, 3\)"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
