import math

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.metrics import softmax
from keras_cnn.evaluation.ranking import areas, highest_losses, precision_recall, roc, top_and_bottom


def roc_area_interval(labels, probabilities, index: int):
    return areas(np.asarray(labels), probabilities)[index]["roc_area_interval"]


def average_precision_interval(labels, probabilities, index: int):
    return areas(np.asarray(labels), probabilities)[index]["average_precision_interval"]


def random_case(seed: int, decimals: int | None, n: int = 300, classes: int = 4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    probabilities = softmax(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels])
    return labels, probabilities if decimals is None else probabilities.round(decimals)


# Scores of class 0: 0.9 yes, 0.8 no, 0.8 yes, 0.4 yes, 0.2 no.
LABELS = np.array([0, 1, 0, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.2, 0.8]])


def test_roc_worked_out_by_hand():
    curve = roc(LABELS, PROBABILITIES, 0)
    assert curve.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.4, 0.2]
    assert curve.true_positive_rate == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert curve.false_positive_rate == pytest.approx([0, 0, 0.5, 0.5, 1])
    # Of the 6 pairs of a yes and a no, 4 are in order, one is tied and one is not.
    assert curve.area == pytest.approx((4 + 0.5) / 6)


def test_precision_recall_worked_out_by_hand():
    curve = precision_recall(LABELS, PROBABILITIES, 0)
    assert curve.thresholds.tolist() == [0.2, 0.4, 0.8, 0.9]
    assert curve.precision == pytest.approx([3 / 5, 3 / 4, 2 / 3, 1, 1])
    assert curve.recall == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


# --- intervals --------------------------------------------------------------------------------------------------------


def test_roc_area_interval_worked_out_by_hand():
    # Of the positives, 0.9 beats all, 0.8 beats one and ties one, 0.4 beats one: 1, 3/4, 1/2, of variance 1/16.
    # 0.8 lies below one of the three positives and ties one, 0.2 below all: 1/2, 1, of variance 1/8.
    error = math.sqrt(1 / 16 / 3 + 1 / 8 / 2)
    centre, half = math.log(3), 1.959963985 * error / (0.75 * 0.25)  # the logit of 3/4, and its slope
    expected = [1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1)]
    assert roc_area_interval(LABELS, PROBABILITIES, 0) == pytest.approx(expected, rel=1e-8)
    assert expected == pytest.approx([0.128, 0.984], abs=5e-4)


@pytest.mark.parametrize("decimals", [None, 1])
def test_delongs_variance_equals_that_of_all_pairs_one_by_one(decimals):
    labels, probabilities = random_case(4, decimals, 120)
    scores = probabilities[:, 2]
    own, others = scores[labels == 2].tolist(), scores[labels != 2].tolist()
    wins = np.array([[(a > b) + (a == b) / 2 for b in others] for a in own])
    variance = wins.mean(axis=1).var(ddof=1) / len(own) + wins.mean(axis=0).var(ddof=1) / len(others)
    area = wins.mean()
    low, high = roc_area_interval(labels, probabilities, 2)
    logits = np.log(np.array([low, area, high]) / (1 - np.array([low, area, high])))
    half = 1.959963985 * math.sqrt(variance) / (area * (1 - area))
    np.testing.assert_allclose(np.diff(logits), half, rtol=1e-7)


def test_roc_area_intervals_hold_the_true_area_about_19_times_of_20():
    """Two normal distributions one apart: the area is Φ(1 / √2)."""
    rng, truth, held = np.random.default_rng(2), 0.5 * (1 + math.erf(0.5)), 0
    labels = np.repeat([0, 1], 60)
    for _ in range(400):
        logits = rng.normal(size=120) + (labels == 0)
        p = 1 / (1 + np.exp(-logits))
        low, high = roc_area_interval(labels, np.stack([p, 1 - p], axis=1), 0)
        held += low <= truth <= high
    assert 368 <= held <= 396


def test_average_precision_interval_worked_out_by_hand():
    found = 29 / 36  # of three images of the class
    half = 1.959963985 / math.sqrt(3 * found * (1 - found))
    odds = found / (1 - found) * np.exp([-half, half])
    assert average_precision_interval(LABELS, PROBABILITIES, 0) == pytest.approx(odds / (1 + odds), rel=1e-8)


@pytest.mark.parametrize(
    ("labels", "area", "precision"),
    [
        ([0, 0, 1, 1], None, None),  # in perfect order
        ([1, 1, 0, 0], None, "interval"),  # in the reverse
        ([0, 1, 1, 1], None, None),  # a single image, and it is first
        ([1, 1, 1, 1], None, None),  # no image of the class
        ([0, 1, 0, 1], "interval", "interval"),
    ],
)
def test_where_a_variance_cannot_be_had_there_is_no_interval(labels, area, precision):
    p = np.array([0.9, 0.8, 0.3, 0.2])
    chances = np.stack([p, 1 - p], axis=1)
    assert (roc_area_interval(labels, chances, 0) is None) == (area is None)
    assert (average_precision_interval(labels, chances, 0) is None) == (precision is None)


def test_what_is_left_out_lies_on_the_drawn_curve():
    sk = pytest.importorskip("sklearn.metrics")
    labels, probabilities = random_case(1, None, n=2000)
    truth, scores = labels == 2, probabilities[:, 2]
    whole_false, whole_true, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    curve = roc(labels, probabilities, 2)
    assert len(curve.thresholds) < len(whole_true) / 2
    assert sk.auc(curve.false_positive_rate, curve.true_positive_rate) == pytest.approx(sk.auc(whole_false, whole_true))
    whole = sk.precision_recall_curve(truth, scores)
    drawn = precision_recall(labels, probabilities, 2)
    for recall in np.unique(whole[1]):
        ours, theirs = drawn.precision[drawn.recall == recall], whole[0][whole[1] == recall]
        assert (ours.min(), ours.max()) == pytest.approx((theirs.min(), theirs.max()))


def test_area_is_the_share_of_pairs_in_order():
    labels, probabilities = random_case(3, 1)
    yes, no = probabilities[labels == 1, 1], probabilities[labels != 1, 1]
    pairs = np.sign(yes[:, None] - no[None, :])
    assert roc(labels, probabilities, 1).area == pytest.approx((pairs.mean() + 1) / 2, rel=1e-12)


def test_perfect_and_useless_scores():
    labels = np.array([0, 0, 1, 1])
    perfect, useless = np.eye(2)[labels], np.full((4, 2), 0.5)
    assert roc(labels, perfect, 1).area == 1
    assert roc(labels, perfect[:, ::-1], 1).area == 0
    assert roc(labels, useless, 1).area == 0.5
    assert precision_recall(labels, perfect, 1).average_precision == 1
    assert precision_recall(labels, useless, 1).average_precision == 0.5


def test_perfect_scores_are_perfect_for_any_number_of_images():
    """Steps of 1/N need not sum up to 1: 1.0000000000000002 for 43 images, whose variance would be negative."""
    for images in (7, 10, 43, 58):
        labels, scores = np.repeat([1, 0], images), np.linspace(0.9, 0.1, 2 * images)
        probabilities = np.stack([1 - scores, scores], axis=1)
        assert precision_recall(labels, probabilities, 1).average_precision == 1
        assert average_precision_interval(labels, probabilities, 1) is None


def test_a_class_without_images_has_no_curve_and_says_so():
    labels, probabilities = np.array([0, 0, 0, 0, 0]), PROBABILITIES
    empty = roc(labels, probabilities, 1)
    assert empty.area is None
    assert np.isnan(empty.true_positive_rate).all()
    assert empty.false_positive_rate[[0, -1]].tolist() == [0, 1]
    nothing = precision_recall(labels, probabilities, 1)
    assert nothing.average_precision is None
    assert np.isnan(nothing.recall).all()
    assert (nothing.precision[:-1] == 0).all()
    assert len(nothing.precision) == len(nothing.recall) == len(nothing.thresholds) + 1


def test_a_class_without_others_has_no_roc_but_a_precision():
    labels = np.array([0, 0, 0, 0, 0])
    assert roc(labels, PROBABILITIES, 0).area is None
    assert np.isnan(roc(labels, PROBABILITIES, 0).false_positive_rate).all()
    assert roc(labels, PROBABILITIES, 0).true_positive_rate[[0, -1]].tolist() == [0, 1]
    assert precision_recall(labels, PROBABILITIES, 0).average_precision == 1


def test_one_image_is_enough_for_a_curve_of_its_class():
    assert precision_recall([0], np.array([[0.7, 0.3]]), 0).average_precision == 1
    assert roc([0], np.array([[0.7, 0.3]]), 0).area is None


def test_top_and_bottom_are_ordered_with_ties_in_order():
    scores = np.array([0.2, 0.9, 0.5, 0.9, 0.1, 0.5])
    top, bottom = top_and_bottom(np.stack([1 - scores, scores], axis=1), 1, n=3)
    assert top.tolist() == [1, 3, 2]
    assert bottom.tolist() == [4, 0, 2]


def test_equal_scores_stay_in_order():
    high = np.random.default_rng(0).random(500) < 0.5
    scores = np.where(high, 0.75, 0.25)
    top, bottom = top_and_bottom(np.stack([scores, 1 - scores], axis=1), 0, n=500)
    in_order = [np.flatnonzero(high).tolist(), np.flatnonzero(~high).tolist()]
    assert top.tolist() == in_order[0] + in_order[1]
    assert bottom.tolist() == in_order[1] + in_order[0]
    losses = highest_losses(np.zeros(500, int), np.stack([scores, 1 - scores], axis=1), 500)
    assert losses.tolist() == in_order[1] + in_order[0]


def test_top_and_bottom_of_few_images_take_them_all():
    top, bottom = top_and_bottom(PROBABILITIES, 0)
    assert top.tolist() == [0, 1, 2, 3, 4]
    assert bottom.tolist() == [4, 3, 1, 2, 0]


def test_highest_losses_take_right_predictions_too():
    labels, probabilities = random_case(7, None)
    found = highest_losses(labels, probabilities, 300)
    assert sorted(found.tolist()) == list(range(300))
    losses = -np.log(probabilities[np.arange(300), labels])
    assert (np.diff(losses[found]) <= 0).all()
    assert highest_losses(labels, probabilities, 5).tolist() == found[:5].tolist()
    assert highest_losses([0, 1], np.eye(2), 2).tolist() == [0, 1]


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_of_no_class_is_named(index):
    message = f"class index {index} for probabilities of 2 classes; expected 0 to 1"
    for call in (roc, precision_recall):
        with pytest.raises(InputError, match=message):
            call(LABELS, PROBABILITIES, index)
    with pytest.raises(InputError, match=message):
        top_and_bottom(PROBABILITIES, index)


def test_values_that_are_no_probabilities_are_named():
    with pytest.raises(InputError, match=r"probabilities\[0, 1\] is nan"):
        roc(LABELS, np.where(PROBABILITIES == 0.1, np.nan, PROBABILITIES), 0)
    with pytest.raises(InputError, match="logits"):
        highest_losses(LABELS, 9 * PROBABILITIES, 3)


@pytest.mark.parametrize("decimals", [None, 2])
def test_the_areas_of_all_classes_at_once_are_scikit_learns(decimals):
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, probabilities = random_case(8, decimals, n=700, classes=70)
    labels[labels == 3] = 4  # a class without images; more classes than are sorted at a time
    found = areas(labels, probabilities)
    for i, row in enumerate(found):
        if i == 3:
            assert set(row.values()) == {None}
            continue
        assert row["roc_area"] == pytest.approx(roc_auc_score(labels == i, probabilities[:, i]), rel=1e-12)
        assert row["roc_area"] == roc(labels, probabilities, i).area
        assert row["average_precision"] == average_precision_score(labels == i, probabilities[:, i])
