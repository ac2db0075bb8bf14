import json
import math

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation import metrics

CLASSES = ("cat", "dog", "owl")
# True and predicted class: cat as cat, cat, dog; dog as dog; owl never seen and never predicted.
LABELS = np.array([0, 0, 0, 1])
LOGITS = np.array([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 1.0, 0.0]])

# The printed logs of the COMP5623 report: training and validation loss of graphs 1.1.2 (one batch) and 1.2.1 (all).
BATCH_TRAIN = [2.321, 2.287, 2.538, 2.261, 2.278, 2.284, 2.280, 2.266, 2.239, 2.190, 2.128, 2.104, 2.027, 1.973, 1.916]
BATCH_TRAIN += [1.836, 1.753, 1.685, 1.606, 1.519, 1.433, 1.338, 1.333, 1.292, 1.040, 1.031, 0.820, 0.727, 0.596, 0.432]
BATCH_VAL = [2.309, 3.198, 2.341, 2.300, 2.298, 2.296, 2.293, 2.287, 2.287, 2.305, 2.420, 2.378, 2.310, 2.318, 2.422]
BATCH_VAL += [2.575, 2.738, 2.871, 2.906, 3.105, 3.407, 3.552, 3.622, 3.478, 3.618, 3.782, 4.207, 4.437, 4.590, 5.415]
FULL_TRAIN = [1.979, 1.711, 1.500, 1.289, 1.050, 0.734, 0.435, 0.246, 0.184, 0.146, 0.144, 0.127, 0.105, 0.077, 0.064]
FULL_TRAIN += [0.087, 0.050, 0.113, 0.077, 0.057, 0.085, 0.089, 0.066, 0.060, 0.066, 0.032, 0.093, 0.048, 0.045, 0.105]
FULL_VAL = [1.874, 1.574, 1.438, 1.395, 1.426, 1.532, 2.016, 2.387, 2.907, 2.884, 2.820, 3.416, 3.202, 3.828, 3.829]
FULL_VAL += [3.727, 4.137, 3.757, 3.924, 3.859, 4.324, 4.042, 4.570, 4.404, 4.129, 4.669, 4.440, 4.775, 5.409, 3.792]


def random_case(seed: int, n: int = 400, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return labels, 2 * rng.normal(size=(n, classes)) + 2 * np.eye(classes)[labels]


def test_summary_worked_out_by_hand():
    result = metrics.summary(LABELS, LOGITS, CLASSES)
    e = math.e
    losses = [math.log(1 + 2 / e**2), math.log(1 + 2 / e), math.log(2 + e**3), math.log(1 + 2 / e)]
    assert result["images"] == 4
    assert result["accuracy"] == 0.75
    assert result["accuracy_interval"] == pytest.approx([0.300642, 0.954413], abs=1e-6)
    assert result["confidence_level"] == 0.95
    assert result["loss"] == pytest.approx(sum(losses) / 4, rel=1e-12)
    assert result["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert result["worst_pair"] == {"true": "cat", "predicted": "dog", "count": 1, "share": pytest.approx(1 / 3)}
    cat, dog, owl = (result["per_class"][name] for name in CLASSES)
    assert (cat["precision"], cat["recall"], cat["f1"], cat["support"]) == pytest.approx((1, 2 / 3, 0.8, 3))
    assert (dog["precision"], dog["recall"], dog["f1"], dog["support"]) == pytest.approx((0.5, 1, 2 / 3, 1))
    unknown = {"precision_interval": [0, 1], "recall_interval": [0, 1], "f1_interval": [0, 1]}
    assert owl == {"precision": 0, "recall": 0, "f1": 0, "support": 0} | unknown
    assert cat["recall_interval"] == pytest.approx([0.207660, 0.938508], abs=1e-6)  # 2 of 3
    assert dog["precision_interval"] == pytest.approx([0.094531, 0.905469], abs=1e-6)  # 1 of 2
    assert cat["precision_interval"] == pytest.approx([0.342380, 1.0], abs=1e-6)  # 2 of 2
    # Hits among the images of either kind: 2 of 3 cats, 1 of 2 dogs; Wilson as above, through 2 J / (1 + J).
    assert cat["f1_interval"] == pytest.approx([2 * 0.207660 / 1.207660, 2 * 0.938508 / 1.938508], abs=1e-6)
    assert dog["f1_interval"] == pytest.approx([2 * 0.094531 / 1.094531, 2 * 0.905469 / 1.905469], abs=1e-6)
    # Ranks of the true class: 0, 0, 1, 0, so all are among the best two.
    assert result["top_k"] == {"2": {"accuracy": 1.0, "interval": pytest.approx([0.510109, 1.0], abs=1e-6)}}
    rows = ((e**2, 1, 1), (e, 1, 1), (1, e**3, 1), (1, e, 1))
    p = [[value / sum(row) for value in row] for row in rows]
    squares = [sum((p[i][c] - (c == LABELS[i])) ** 2 for c in range(3)) for i in range(4)]
    assert result["brier"] == pytest.approx(sum(squares) / 4, rel=1e-12)
    # Confidences 0.787, 0.576, 0.909, 0.576 lie in the bins 11, 8, 13, 8 of 15; the third is wrong.
    assert result["ece"]["counts"] == [0] * 8 + [2, 0, 0, 1, 0, 1, 0]
    error = 2 * (1 - p[1][0]) + (1 - p[0][0]) + p[2][1]
    assert result["ece"]["value"] == pytest.approx(error / 4, rel=1e-12)
    assert result["ece"]["bins"] == 15
    assert result["ece"]["accuracy"] == [None] * 8 + [1, None, None, 1, None, 0, None]
    scores = ("precision", "recall", "f1")
    assert [result["macro"][name] for name in scores] == pytest.approx([0.5, 5 / 9, 22 / 45])
    assert [result["weighted"][name] for name in scores] == pytest.approx([0.875, 0.75, 23 / 30])


@pytest.mark.parametrize("seed", range(3))
def test_summary_equals_scikit_learn(seed):
    sk = pytest.importorskip("sklearn.metrics")
    labels, logits = random_case(seed)
    logits[:, 5] -= 20  # class 5 is never predicted
    labels[labels == 6] = 0  # class 6 has no images
    names = tuple("abcdefg")
    result = metrics.summary(labels, logits, names)
    predicted = logits.argmax(axis=1)
    report = sk.classification_report(
        labels, predicted, labels=range(7), target_names=names, output_dict=True, zero_division=0
    )
    for ours, theirs in (
        *((result["per_class"][name], report[name]) for name in names),
        (result["macro"], report["macro avg"]),
        (result["weighted"], report["weighted avg"]),
    ):
        for ours_name, theirs_name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert ours[ours_name] == pytest.approx(theirs[theirs_name], abs=1e-12)
    assert [result["per_class"][name]["support"] for name in names] == [report[name]["support"] for name in names]
    assert result["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted), abs=1e-12)
    assert result["confusion"] == sk.confusion_matrix(labels, predicted, labels=range(7)).tolist()
    probabilities = metrics.softmax(logits)
    assert result["loss"] == pytest.approx(sk.log_loss(labels, probabilities, labels=range(7)), rel=1e-9)
    brier = sk.brier_score_loss(labels, probabilities, labels=range(7), scale_by_half=False)
    assert result["brier"] == pytest.approx(brier, rel=1e-9)
    assert list(result["top_k"]) == ["2", "3", "5"]
    for k, found in result["top_k"].items():
        expected = sk.top_k_accuracy_score(labels, logits, k=int(k), labels=range(7))
        assert found["accuracy"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("classes", "expected"), [(2, []), (3, ["2"]), (5, ["2", "3"]), (6, ["2", "3", "5"])])
def test_top_k_is_given_where_it_says_something(classes, expected):
    labels, logits = random_case(0, 50, classes)
    assert list(metrics.summary(labels, logits, tuple("abcdef"[:classes]))["top_k"]) == expected


def test_ranks_of_the_true_class_give_a_tie_to_the_lower_class():
    scores = np.array([[1.0, 5, 5, 0], [1, 5, 5, 0], [1, 5, 5, 0], [2, 2, 2, 2], [9, 1, 1, 1]])
    assert metrics.true_class_ranks([1, 2, 0, 3, 3], scores).tolist() == [0, 1, 2, 3, 3]
    labels, logits = random_case(5)
    first = metrics.true_class_ranks(labels, logits.round()) == 0
    np.testing.assert_array_equal(first, logits.round().argmax(axis=1) == labels)


def test_summary_survives_json_and_is_made_of_plain_values():
    labels, logits = random_case(0)
    result = metrics.summary(labels.astype(np.int32), logits.astype(np.float32), tuple("abcdefg"))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_f1_intervals_hold_the_true_f1_about_19_times_of_20_even_where_hits_are_few():
    rng, held = np.random.default_rng(0), 0
    right, kinds = 0.3, np.array([0.06, 0.08, 0.86])  # of the class and found, of the class or taken for it, neither
    truth = 2 * right / (1 + right)
    for _ in range(500):
        union = int(rng.multinomial(100, kinds)[:2].sum())
        hits = int(rng.binomial(union, right))
        support = hits + int(rng.binomial(union - hits, 0.5))
        low, high = metrics.f1_interval(hits, support, union - support + hits)
        held += low <= truth <= high
    assert 465 <= held <= 495


def test_a_perfect_model_has_no_worst_pair():
    assert metrics.summary([0, 1], np.eye(2), ("a", "b"))["worst_pair"] is None


def test_worst_pair_is_the_most_frequent_mistake_not_the_diagonal():
    predicted = np.array([0] * 9 + [1] + [1] * 5 + [2] * 4 + [2])
    labels = np.array([0] * 10 + [1] * 9 + [2])
    pair = metrics.summary(labels, np.eye(3)[predicted], CLASSES)["worst_pair"]
    assert pair == {"true": "dog", "predicted": "owl", "count": 4, "share": pytest.approx(4 / 9)}


def test_loss_and_softmax_are_stable_for_huge_logits():
    logits = np.array([[1e4, 0.0], [-1e4, 0.0]], np.float32)
    assert metrics.cross_entropy([1, 0], logits) == pytest.approx(1e4)
    assert metrics.cross_entropy([0, 1], logits) == 0
    np.testing.assert_array_equal(metrics.softmax(logits), [[1, 0], [0, 1]])
    assert metrics.softmax(random_case(0)[1]).sum(axis=1) == pytest.approx(1, abs=1e-14)


def test_softmax_ignores_a_shift_and_equals_scipy():
    special = pytest.importorskip("scipy.special")
    _, logits = random_case(1)
    np.testing.assert_allclose(metrics.softmax(logits), special.softmax(logits, axis=1), rtol=1e-13)
    np.testing.assert_allclose(metrics.softmax(logits + 64), metrics.softmax(logits), rtol=1e-12)


def test_worst_mistakes_come_by_the_probability_of_the_true_class():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.8, 0.2]])
    labels = np.array([1, 0, 0, 0, 1])
    assert metrics.worst_mistakes(labels, probabilities, 10).tolist() == [0, 3, 4, 2]
    assert metrics.worst_mistakes(labels, probabilities, 2).tolist() == [0, 3]
    assert metrics.worst_mistakes(labels[1:2], probabilities[1:2], 2).tolist() == []


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        ([4, 3, 2, 1, 0.5], [5, 4, 4.1, 4.2, 4.3], 2),
        ([5, 4, 3, 2, 1], [5, 4, 3, 2, 1], None),  # validation falls to the end
        ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5], 1),  # rises from the start
        ([5, 4, 3, 2, 1], [3, 3, 3, 3, 3], None),  # never rises
        ([5, 4, 3, 2, 1, 0], [5, 2, 2, 3, 3, 3], 3),  # the last of two equal minima
        ([5, 4, 3, 2], [5, 4, 4.1, 4.2], None),  # two later epochs confirm nothing
        ([1, 1, 1, 1, 1], [3, 2, 3, 3, 3], None),  # training stands still: diverging, not overfitting
        ([2, 1, 2, 3, 4], [3, 2, 3, 4, 5], None),  # both rise: diverging
        ([9, 5, 4, 6, 3, 2], [9, 5, 7, 5.5, 8, 6], 2),  # noise on both
        ([9, 5, 4, 3, 2, 1], [9, 5, 7, 4.9, 4.95, 8], None),  # a new minimum after a bump, too late to be confirmed
        ([3, 2, 1.5, 1, 0.5], [2, 1, math.inf, math.nan, 3], 2),
        ([3, 2, 1, 1, 1], [math.nan] * 5, None),
        ([3], [3], None),
        ([], [], None),
    ],
)
def test_overfitting_onset_worked_out_by_hand(train, val, expected):
    assert metrics.overfitting_onset(train, val) == expected


def test_overfitting_onset_of_the_logs_of_comp5623():
    assert metrics.overfitting_onset(FULL_TRAIN, FULL_VAL) == 3 + 1  # the log counts from 0
    assert metrics.overfitting_onset(BATCH_TRAIN, BATCH_VAL) == 8 + 1  # 2.287 at epochs 7 and 8


def test_overfitting_onset_refuses_different_lengths():
    with pytest.raises(InputError, match=r"\(2,\) and \(3,\)"):
        metrics.overfitting_onset([1, 2], [1, 2, 3])


def with_value(array: np.ndarray, index: tuple, value: float) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("labels", "logits", "classes", "message"),
    [
        ([0, 0, 0, 3], LOGITS, CLASSES, r"labels\[3\] is 3 \(1 in all\); expected 0 to 2"),
        ([0, -1, -1, 1], LOGITS, CLASSES, r"labels\[1\] is -1 \(2 in all\)"),
        ([0, 1], LOGITS, CLASSES, r"labels have shape \(2,\), the outputs are of 4 images"),
        ([0.0, 0.0, 0.0, 1.0], LOGITS, CLASSES, "type float64; expected integers"),
        (LABELS, with_value(LOGITS, (2, 1), math.nan), CLASSES, r"logits\[2, 1\] is nan \(1 in all\)"),
        (LABELS, with_value(LOGITS, (0, 2), math.inf), CLASSES, r"logits\[0, 2\] is inf"),
        (LABELS, LOGITS[0], CLASSES, r"logits have shape \(3,\)"),
        (LABELS[:0], LOGITS[:0], CLASSES, r"logits have shape \(0, 3\)"),
        (LABELS, LOGITS, CLASSES[:2], "2 class names for outputs of 3 classes"),
        (LABELS, LOGITS, ("cat", "dog", "cat"), "class name 'cat' occurs 2 times"),
    ],
)
def test_summary_names_what_is_wrong(labels, logits, classes, message):
    with pytest.raises(InputError, match=message):
        metrics.summary(labels, logits, classes)


def test_what_is_no_probability_is_named():
    probabilities = metrics.softmax(LOGITS)
    with pytest.raises(InputError, match=r"probabilities\[0, 0\] is 2.0; expected 0 to 1 \(logits\?\)"):
        metrics.worst_mistakes(LABELS, LOGITS, 3)
    with pytest.raises(InputError, match=r"probabilities\[1, 0\] is nan"):
        metrics.worst_mistakes(LABELS, with_value(probabilities, (1, 0), math.nan), 3)
