import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin

from keras_cnn.csv_tables import csv_rows
from keras_cnn.errors import InputError
from keras_cnn.evaluation import conformal
from keras_cnn.evaluation.conformal import METHODS, aps_scores, prediction_sets, split_check, threshold, uniforms
from keras_cnn.evaluation.intervals import paired_bootstrap, wilson

CLASSES = ("cat", "dog", "owl", "eel")


def drawn(seed: int, images: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels drawn from the probabilities of random logits, these probabilities, and ids."""
    random = np.random.default_rng(seed)
    powers = np.exp(sharpness * random.normal(size=(images, len(CLASSES))))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < random.random((images, 1))).sum(axis=1)
    return labels, probabilities, [f"{seed}/{i}" for i in range(images)]


def sets_of(test, calibration, **settings):
    return prediction_sets(
        *test[:2], *calibration[:2], classes=CLASSES, ids=test[2], calibration_ids=calibration[2], **settings
    )


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_sets_worked_out_by_hand():
    of_truth = [0.9, 0.8, 0.75, 0.6, 0.5, 0.45, 0.4, 0.3, 0.2]  # scores 0.1 to 0.8; the 8th of 9 is 1 - 0.3
    calibration = np.array([[p, 1 - p, 0, 0] for p in of_truth])
    images = np.array([[0.5, 0.31, 0.19, 0], [0.29, 0.28, 0.27, 0.16], [1, 0, 0, 0]])
    found = sets_of(([1, 0, 1], images, "abc"), (np.zeros(9, int), calibration, "abcdefghi"), level=0.75)
    assert found.threshold == pytest.approx(0.7)  # ⌈10 · 0.75⌉ = 8
    assert found.names == [("cat", "dog"), (), ("cat",)]
    assert found.sizes.tolist() == [2, 0, 1]
    assert found.covered.tolist() == [True, False, False]
    numbers = found.as_json()
    assert (numbers["coverage"], numbers["mean_size"]) == pytest.approx((1 / 3, 1))
    assert (numbers["empty"], numbers["single"]) == pytest.approx((1 / 3, 1 / 3))
    assert numbers["coverage_interval"] == list(wilson(1, 3))
    assert numbers["mean_size_interval"] == list(paired_bootstrap(np.array([2, 0, 1])))
    lowest = {"class": "cat", "coverage": 0, "images": 1, "interval": list(wilson(0, 1))}
    assert numbers["lowest_class"] == lowest
    described = conformal.summary([found])
    assert described["methods"]["lac"] == numbers
    assert (described["level"], described["calibrated_on"], described["calibration_images"]) == (0.75, "validation", 9)
    assert conformal.summary([]) is None


def test_adaptive_scores_worked_out_by_hand():
    scores = aps_scores(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), np.array([0.5, 0.25]))
    # 0.5 of the best class less its random share, then the sums; the lower of equal classes comes first
    np.testing.assert_allclose(scores, [[1 - 0.1, 0.5 - 0.25, 0.8 - 0.15], [0.4 - 0.1, 0.8 - 0.1, 1 - 0.05]])


def test_too_few_images_for_the_level_give_every_class():
    test, calibration = drawn(0, 5), drawn(1, 8)  # nine would do: ⌈10 · 0.9⌉ = 9
    found = sets_of(test, calibration, level=0.9)
    assert found.threshold == math.inf
    assert found.members.all()
    assert found.as_json()["threshold"] is None
    assert found.expected_range == (1, 1)
    assert math.isfinite(sets_of(test, drawn(1, 9), level=0.9).threshold)


def test_the_rank_does_not_rise_by_rounding():
    scores = np.arange(1.0, 100)  # 99 images
    for percent in range(1, 100):
        assert threshold(scores, percent / 100) == percent


# --- against others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_sets_equal_those_of_mapie(level, monkeypatch):

    class Known(ClassifierMixin, BaseEstimator):
        """A classifier whose inputs are its probabilities."""

        classes_ = np.arange(len(CLASSES))

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, inputs, labels):
            return self

        def predict_proba(self, inputs):
            return np.asarray(inputs)

        def predict(self, inputs):
            return np.asarray(inputs).argmax(axis=1)

    test, calibration = drawn(2, 200), drawn(3, 150)
    monkeypatch.setattr(conformal, "uniforms", lambda ids: np.random.RandomState(7).uniform(size=len(ids)))
    for method in METHODS:
        theirs = SplitConformalClassifier(
            Known(), confidence_level=level, prefit=True, conformity_score=method, random_state=7
        )
        theirs.conformalize(calibration[1], calibration[0])
        options = {"conformity_score_params": {"include_last_label": "randomized"}} if method == "aps" else {}
        _, members = theirs.predict_set(test[1], **options)
        np.testing.assert_array_equal(sets_of(test, calibration, method=method, level=level).members, members[..., 0])


# --- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_coverage_over_many_samples_is_the_level(method, level):
    images, calibration_images = 100, 99
    coverages, inside = [], 0
    for seed in range(200):
        found = sets_of(drawn(2 * seed, images), drawn(2 * seed + 1, calibration_images), method=method, level=level)
        coverages.append(found.coverage)
        low, high = found.expected_range
        inside += low <= found.coverage <= high
    assert np.mean(coverages) == pytest.approx(
        level, abs=4 * np.std(coverages) / 200**0.5
    )  # 99 + 1 images: the level itself
    assert 0.91 < inside / 200 < 0.995


def test_a_hundred_splits_cover_as_the_theory_says():
    _, probabilities, _ = drawn(5, 2001)
    check = split_check(1 - probabilities[:, 0], 0.9)
    assert check["calibration_images"] == 1000
    assert check["expected"] == 901 / 1001
    assert check["mean"] == pytest.approx(check["expected"], abs=0.003)
    low, high = check["expected_range"]
    half = 1.96 * math.sqrt(0.09 / 1000 + 0.09 / 1001)  # both samples are drawn
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half), abs=2e-3)
    coverages = []
    for split in range(100):
        order = np.random.default_rng([0, split]).permutation(2001)
        first, second = np.split((1 - probabilities[:, 0])[order], [1000])
        coverages.append(np.mean(second <= np.sort(first)[900]))  # the 901st of 1000
    assert (check["number"], check["seed"]) == (100, 0)
    assert (check["mean"], check["std"]) == pytest.approx((np.mean(coverages), np.std(coverages, ddof=1)))
    assert check["inside"] == sum(low <= coverage <= high for coverage in coverages) >= 88
    assert split_check(np.array([0.5]), 0.9) is None


def test_the_expected_range_is_that_of_a_binomial_whose_share_is_drawn():
    """The 14th of 19 scores: its coverage is Beta(14, 6), and the covered of 30 images are binomial of it."""
    found = sets_of(drawn(0, 30), drawn(1, 19), level=0.7)
    shares = stats.beta.ppf((np.arange(2000) + 0.5) / 2000, 14, 6)
    cumulated = stats.binom.cdf(np.arange(31)[:, None], 30, shares).mean(axis=1)
    expected = [np.argmax(cumulated >= probability) / 30 for probability in (0.025, 0.975)]
    assert found.expected_range == pytest.approx(expected)
    assert 0 < expected[0] < expected[1] < 1


def test_images_unlike_the_calibration_are_covered_less_than_expected():
    _, probabilities, ids = drawn(6, 500)
    wrong = (np.random.default_rng(0).integers(0, 4, 500), probabilities, ids)
    found = sets_of(wrong, drawn(7, 500))
    assert found.coverage < found.expected_range[0]


def test_adaptive_sets_cover_hard_images_as_often_as_easy_ones():
    def of(seed: int, images: int = 4000):
        random = np.random.default_rng(seed)
        kinds = np.array([[0.97, 0.01, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1]])  # every second image is hard
        probabilities = kinds[np.arange(images) % 2]
        labels = (probabilities.cumsum(axis=1) < random.random((images, 1))).sum(axis=1)
        return labels, probabilities + random.uniform(0, 1e-6, (images, 1)), [f"{seed}/{i}" for i in range(images)]

    lac, aps = (sets_of(of(0), of(1), method=method, level=0.8) for method in METHODS)
    assert lac.sizes.mean() < aps.sizes.mean()
    assert lac.covered[1::2].mean() == pytest.approx(0.63, abs=0.03)  # (0.97 + 0.63) / 2 is the level
    assert aps.covered[1::2].mean() == pytest.approx(0.8, abs=0.03)
    assert aps.covered[::2].mean() == pytest.approx(0.8, abs=0.03)


def test_numbers_of_images_depend_on_their_ids_alone():
    ids = [f"image {i}" for i in range(20_000)]
    found = uniforms(ids)
    np.testing.assert_array_equal(uniforms(ids[::-1])[::-1], found)
    assert found.min() >= 0
    assert found.max() < 1
    digest = hashlib.sha256(b"image 0").digest()
    assert found[0] == pytest.approx(int.from_bytes(digest[:8], "little") / 2**64)
    counts, _ = np.histogram(found, 10, (0, 1))
    assert np.abs(counts - 2000).max() < 5 * math.sqrt(1800)


# --- files and errors -------------------------------------------------------------------------------------------------


def test_the_table_has_the_set_of_each_image(tmp_path):
    test = drawn(8, 30)
    both = [sets_of(test, drawn(9, 60), method=method) for method in METHODS]
    both = [dataclasses.replace(sets, classes=("cat", "a, b", '"owl"', "=eel")) for sets in both]
    conformal.write_sets(tmp_path / "sets.csv", test[2], both)
    with (tmp_path / "sets.csv").open(newline="") as file:
        head, *rows = csv_rows(file)
    assert head == ["id", "true", "lac", "aps"]
    assert [row[0] for row in rows] == test[2]
    assert [row[1] for row in rows] == [both[0].classes[label] for label in test[0]]
    for place, sets in enumerate(both, 2):
        assert [tuple(json.loads(row[place])) for row in rows] == sets.names


def test_wrong_arguments_are_named():
    test, calibration = drawn(0, 3), drawn(1, 9)
    for level in (0.0, 1.0, 90.0, math.nan):
        with pytest.raises(InputError, match=r"level .*: expected a share of images above 0 and below 1"):
            sets_of(test, calibration, level=level)
    with pytest.raises(InputError, match="method 'raps': expected one of lac, aps"):
        sets_of(test, calibration, method="raps")
