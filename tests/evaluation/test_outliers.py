import math

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score, roc_curve

from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.outliers import SCORES, energy, max_softmax, outlier_detection
from keras_cnn.evaluation.ranking import separation

CLASSES = ("cat", "dog", "owl")


def logits(seed: int, images: int, spread: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=spread, size=(images, len(CLASSES))).round(1)


def test_scores_are_scipys():
    values = np.concatenate([logits(0, 50, 3), [[1000.0, 0, -1000], [-1000, -1000, -1000]]])
    np.testing.assert_allclose(energy(values), logsumexp(values, axis=1))
    np.testing.assert_allclose(max_softmax(values), softmax(values, axis=1).max(axis=1))


@pytest.mark.parametrize("name", SCORES)
def test_numbers_are_those_of_scikit_learn(name):
    found = outlier_detection(logits(1, 300, 3), logits(2, 120, 1), CLASSES)
    known, unknown = found.scores(name)
    numbers = found.as_json()["scores"][name]
    truth, scores = np.repeat([1, 0], [300, 120]), np.concatenate([known, unknown])
    assert numbers["roc_area"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert numbers["roc_area"] == pytest.approx(mannwhitneyu(known, unknown).statistic / (300 * 120), abs=1e-12)
    false_rate, true_rate, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    first = int(np.argmax(true_rate >= 0.95))
    assert numbers["threshold"] == thresholds[first]
    assert numbers["accepted"] == pytest.approx(false_rate[first])
    assert numbers["accepted_interval"] == list(wilson(round(120 * false_rate[first]), 120))
    assert numbers["edges"] == pytest.approx(np.linspace(scores.min(), scores.max(), 41))
    for which, values in (("known", known), ("unknown", unknown)):
        counts, _ = np.histogram(values, 40, (scores.min(), scores.max()))
        assert numbers[which] == pytest.approx(counts / len(values))
    whole = found.as_json()
    assert (whole["known_images"], whole["unknown_images"], whole["kept"]) == (300, 120, 0.95)


def test_the_threshold_keeps_95_percent_and_accepts_what_equals_it():
    known, unknown = (np.stack([v, np.full(len(v), -1e4)], axis=1) for v in (np.arange(20.0, 0, -1), [2, 1.5, 1, 5]))
    numbers = outlier_detection(known, unknown, CLASSES[:2]).as_json()["scores"]["energy"]
    assert (numbers["threshold"], numbers["accepted"]) == (2, 0.5)  # 19 of the known 20 have at least 2


def test_the_interval_is_delongs_on_the_logit_scale():
    own, others = np.array([0.9, 0.8, 0.4]), np.array([0.7, 0.5, 0.4, 0.1])
    above = [1, 1, (0 + 0 + 0.5 + 1) / 4]  # shares of the others below each own score
    below = [2 / 3, 2 / 3, 2.5 / 3, 1]  # shares of the own scores above each other
    area = np.mean(above)
    error = math.sqrt(np.var(above, ddof=1) / 3 + np.var(below, ddof=1) / 4) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    expected = [1 / (1 + math.exp(-(middle + side * 1.959963985 * error))) for side in (-1, 1)]
    found, ends = separation(own, others)
    assert found == pytest.approx(area)
    assert ends == pytest.approx(expected, rel=1e-8)
    assert separation(own, own - 1) == (1, None)


def test_unknown_images_are_counted_by_the_class_that_they_are_taken_for():
    unknown = np.array([[3.0, 0, 0], [0, 3, 0], [0, 3, 1], [0, 4, 0]])
    found = outlier_detection(logits(1, 20, 3), unknown, CLASSES)
    assert list(found.as_json()["taken_for"].items()) == [("dog", 0.75), ("cat", 0.25)]


def test_wrong_logits_are_named():
    with pytest.raises(InputError, match="logits of 3 and 2 classes; expected 3 of both"):
        outlier_detection(logits(0, 5, 1), np.zeros((4, 2)), CLASSES)
    with pytest.raises(InputError, match=r"unknown logits\[1, 2\] is nan"):
        outlier_detection(logits(0, 5, 1), [[0, 0, 0], [0, 0, math.nan]], CLASSES)
    with pytest.raises(InputError, match=r"score 'msp': expected one of max_softmax, energy"):
        outlier_detection(logits(0, 5, 1), logits(0, 5, 1), CLASSES).scores("msp")
