import json
import math

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.intervals import paired_bootstrap
from keras_cnn.evaluation.metrics import softmax, summary
from keras_cnn.evaluation.predictions import Predictions

CLASSES = ("cat", "dog", "owl")


def predictions(labels, predicted, classes=CLASSES, ids=None) -> Predictions:
    ids = tuple(f"test/{i}" for i in range(len(labels))) if ids is None else tuple(ids)
    paths = tuple(f"/data/{name}" for name in ids)
    return Predictions(ids, paths, classes, np.asarray(labels, int), np.eye(len(classes))[list(predicted)])


def random_pair(seed: int, n: int = 600) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    shared = rng.normal(size=(n, 3)) + np.eye(3)[labels]
    made = [softmax(shared + rng.normal(size=(n, 3)) + edge * np.eye(3)[labels]) for edge in (0, 0.4)]
    ids = tuple(f"{i:04}" for i in range(n))
    return tuple(Predictions(ids, ("",) * n, CLASSES, labels, probabilities) for probabilities in made)


def shuffled(made: Predictions, seed: int, columns=(2, 0, 1)) -> Predictions:
    """The same predictions with images and classes in another order."""
    order = np.random.default_rng(seed).permutation(len(made))
    labels = np.array([list(columns).index(label) for label in made.labels[order]])
    classes = tuple(made.classes[c] for c in columns)
    ids, paths = (tuple(values[i] for i in order) for values in (made.ids, made.paths))
    return Predictions(ids, paths, classes, labels, made.probabilities[order][:, list(columns)])


BEFORE = predictions([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1, 0])
AFTER = predictions([0, 0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 1, 1, 1, 1])


def test_comparison_worked_out_by_hand():
    found = compare(BEFORE, AFTER)
    whole = found.overall
    assert (whole.images, whole.before, whole.after, whole.difference) == (8, 5 / 8, 7 / 8, 2 / 8)
    assert (whole.b, whole.c, whole.p) == (1, 3, pytest.approx(2 * (1 + 4) / 16))
    assert whole.before_interval == pytest.approx((0.305742, 0.863156), abs=1e-6)  # Wilson of 5 of 8
    assert whole.after_interval == pytest.approx((0.529112, 0.977583), abs=1e-6)  # of 7 of 8
    assert whole.p_holm is None
    assert found.newly_wrong.tolist() == [0]
    assert found.newly_right.tolist() == [2, 3, 7]
    cat, dog, owl = (found.per_class[name] for name in CLASSES)
    assert (cat.images, cat.before, cat.after, cat.difference) == (4, 2 / 4, 3 / 4, 1 / 4)
    assert (cat.b, cat.c, cat.p) == (1, 2, pytest.approx(1))
    assert (dog.images, dog.before, dog.after, dog.b, dog.c, dog.p) == (4, 3 / 4, 1, 0, 1, pytest.approx(1))
    assert found.confusion_before.tolist() == [[2, 2, 0], [1, 3, 0], [0, 0, 0]]
    assert found.confusion_after.tolist() == [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    assert found.confusion_difference.tolist() == [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]
    assert (owl.images, owl.before, owl.after, owl.difference, owl.p) == (0, None, None, None, None)
    assert (owl.before_interval, owl.difference_interval, owl.p_holm) == ((0, 1), None, None)
    assert found.classes_tested == 2


def test_comparison_equals_summary_statsmodels_and_the_bootstrap():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    before, after = random_pair(0)
    found = compare(before, after)
    alone = [summary(made.labels, np.log(made.probabilities), CLASSES) for made in (before, after)]
    assert [found.overall.before, found.overall.after] == [one["accuracy"] for one in alone]
    assert list(found.overall.after_interval) == alone[1]["accuracy_interval"]
    assert [found.confusion_before.tolist(), found.confusion_after.tolist()] == [one["confusion"] for one in alone]
    for name in CLASSES:
        change, old, new = found.per_class[name], alone[0]["per_class"][name], alone[1]["per_class"][name]
        assert (change.before, change.after, change.images) == (old["recall"], new["recall"], new["support"])
        assert [list(change.before_interval), list(change.after_interval)] == [
            old["recall_interval"],
            new["recall_interval"],
        ]
    p_values = []
    for chosen in (np.full(len(before), True), *(before.labels == i for i in range(3))):
        was, now = before.correct[chosen], after.correct[chosen]
        table = [[np.sum(was & now), np.sum(was & ~now)], [np.sum(~was & now), np.sum(~was & ~now)]]
        p_values.append(tables.mcnemar(table, exact=True).pvalue)
    assert found.overall.p == pytest.approx(p_values[0], rel=1e-9)
    assert [change.p for change in found.per_class.values()] == pytest.approx(p_values[1:], rel=1e-9)
    adjusted = multitest.multipletests(p_values[1:], method="holm")[1]
    assert [change.p_holm for change in found.per_class.values()] == pytest.approx(adjusted, rel=1e-9)
    changes = after.correct.astype(int) - before.correct
    assert found.overall.difference_interval == paired_bootstrap(changes)
    assert found.overall.difference_interval[0] < changes.mean() < found.overall.difference_interval[1]


def test_order_of_images_and_classes_is_that_of_the_first_and_changes_nothing():
    before, after = random_pair(1)
    straight, crossed = compare(before, after), compare(before, shuffled(after, 5))
    assert crossed.as_json() == straight.as_json()
    assert crossed.ids == before.ids
    np.testing.assert_array_equal(crossed.newly_wrong, np.flatnonzero(before.correct & ~after.correct))


def test_exchanged_models_give_the_mirrored_comparison():
    before, after = random_pair(2)
    ahead, back = compare(before, after), compare(after, before)
    assert back.overall.difference == -ahead.overall.difference
    assert (back.overall.b, back.overall.c, back.overall.p) == (ahead.overall.c, ahead.overall.b, ahead.overall.p)
    np.testing.assert_array_equal(back.confusion_difference, -ahead.confusion_difference)
    np.testing.assert_array_equal(back.newly_wrong, ahead.newly_right)


def test_what_must_hold_of_any_comparison():
    for seed in range(3):
        found = compare(*random_pair(seed, n=90))
        assert (found.confusion_difference.sum(axis=1) == 0).all()
        assert len(found.newly_wrong) == found.overall.b == sum(c.b for c in found.per_class.values())
        assert len(found.newly_right) == found.overall.c == sum(c.c for c in found.per_class.values())
        assert found.overall.difference == pytest.approx((found.overall.c - found.overall.b) / 90)
        assert sum(c.images for c in found.per_class.values()) == found.overall.images == 90


def test_a_model_against_itself_has_not_changed():
    before, _ = random_pair(3)
    found = compare(before, shuffled(before, 1))
    assert (found.overall.difference, found.overall.difference_interval, found.overall.p) == (0, (0, 0), 1)
    assert not found.confusion_difference.any()
    assert len(found.newly_wrong) == len(found.newly_right) == 0


def test_json_is_plain_and_names_images():
    plain = compare(BEFORE, AFTER).as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["mcnemar"] == {"b": 1, "c": 3, "p": pytest.approx(0.625)}
    assert plain["newly_wrong"] == ["test/0"]
    assert plain["newly_right"] == ["test/2", "test/3", "test/7"]
    assert plain["per_class"]["cat"]["mcnemar"] == pytest.approx({"b": 1, "c": 2, "p": 1.0, "p_holm": 1.0})
    assert plain["per_class"]["owl"]["mcnemar"]["p_holm"] is None
    assert plain["classes_tested"] == 2
    assert plain["confidence_level"] == 0.95


def test_different_images_are_counted_and_named():
    before = predictions([0, 1, 2, 0, 1, 2], [0] * 6, ids="abcdef")
    after = predictions([0, 1, 0, 0], [0] * 4, ids="bcdz")  # b was 1 and c was 2
    with pytest.raises(InputError) as caught:
        compare(before, after)
    assert str(caught.value) == (
        "cannot compare predictions of different images: 3 only in the first (a, e, f); 1 only in the second (z); "
        "2 with another true class (b, c); of 6 and 4 images; expected the same images with the same true classes"
    )


def test_many_different_images_are_not_all_printed():
    before, after = predictions([0] * 50, [0] * 50), predictions([0] * 50, [0] * 50, ids=map(str, range(50)))
    with pytest.raises(
        InputError, match=r"50 only in the first \(test/0, test/1, test/2, \.\.\.\); 50 only in the sec"
    ):
        compare(before, after)


def test_classes_in_another_order_do_not_hide_another_true_class():
    before, after = random_pair(4, n=30)
    other = shuffled(after, 2)
    labels = other.labels.copy()
    labels[7] = (labels[7] + 1) % 3
    wrong = Predictions(other.ids, other.paths, other.classes, labels, other.probabilities)
    with pytest.raises(InputError, match=rf"1 with another true class \({other.ids[7]}\)"):
        compare(before, wrong)


def test_different_classes_are_named():
    other = predictions([0] * 8, [0] * 8, classes=("cat", "dog", "emu"))
    with pytest.raises(InputError, match="2 classes are in one only, such as 'emu' in the second; expected the same"):
        compare(BEFORE, other)


def test_difference_interval_of_the_whole_is_close_to_the_textbook_formula():
    before, after = random_pair(6, n=5000)
    changes = after.correct.astype(int) - before.correct
    half = 1.959964 * changes.std() / math.sqrt(5000)
    low, high = compare(before, after).overall.difference_interval
    assert (low, high) == pytest.approx((changes.mean() - half, changes.mean() + half), abs=0.0015)
