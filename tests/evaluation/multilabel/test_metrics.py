"""Metrics of images with several labels against scikit-learn, their intervals against the bootstrap, and thresholds."""

import csv

import numpy as np
import pytest
from sklearn import metrics as reference

from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.evaluation.multilabel import metrics
from keras_cnn.evaluation.multilabel.average_precision import influences, map_interval, mean_average_precision
from keras_cnn.evaluation.multilabel.comparison import compare
from keras_cnn.evaluation.multilabel.evaluations import mean_of_views
from keras_cnn.evaluation.multilabel.predictions import MultilabelPredictions, read_predictions, write_predictions
from keras_cnn.evaluation.multilabel.recorded import check_metrics
from keras_cnn.evaluation.multilabel.thresholds import choose_thresholds, read_thresholds

CLASSES = ("cat", "dog", "eel", "fox")


def drawn(images: int = 300, seed: int = 0, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits with many equal scores."""
    random = np.random.default_rng(seed)
    labels = (random.random((images, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(np.uint8)
    return labels, np.round(random.normal(size=labels.shape) + 1.5 * labels - 1, decimals).astype(np.float32)


@pytest.fixture(scope="module")
def measured():
    labels, logits = drawn()
    thresholds = choose_thresholds(labels, metrics.sigmoid(logits))
    return labels, logits, thresholds, metrics.summary(labels, logits, thresholds, CLASSES)


def test_every_number_is_scikit_learns(measured):
    labels, logits, thresholds, found = measured
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    predicted = probabilities >= thresholds
    assert found["map"] == pytest.approx(reference.average_precision_score(labels, logits, average="macro"))
    for average in ("micro", "macro"):
        for name in ("precision", "recall", "f1"):
            score = getattr(reference, f"{name}_score")
            assert found[average][name] == pytest.approx(score(labels, predicted, average=average, zero_division=0))
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(labels, predicted))
    assert found["exact_match"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["loss"] == pytest.approx(reference.log_loss(labels.ravel(), probabilities.ravel()))
    for place, name in enumerate(CLASSES):
        row, own = found["per_class"][name], labels[:, place]
        assert row["average_precision"] == pytest.approx(reference.average_precision_score(own, logits[:, place]))
        assert row["roc_area"] == pytest.approx(reference.roc_auc_score(own, logits[:, place]))
        assert row["f1"] == pytest.approx(reference.f1_score(own, predicted[:, place]))
        assert row["support"] == own.sum()
        assert row["predicted"] == predicted[:, place].sum()
    together = confusions.from_json(found["cooccurrence"]["true"])
    assert together.tolist() == (labels.T.astype(int) @ labels).tolist()
    check_metrics(found, "metrics.json")


def test_the_most_frequent_confusion_is_counted_by_hand():
    labels = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]])
    logits = np.where(np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]), 3.0, -3.0)
    found = metrics.summary(labels, logits, np.full(4, 0.5), CLASSES)
    assert found["worst_pair"] == {"true": "cat", "predicted": "dog", "count": 2, "share": 2 / 3}
    assert found["exact_match"] == 0.25
    assert found["labels_per_image"] == {"true": 1.5, "predicted": 1.25}


def test_thresholds_have_the_largest_f1_of_all_thresholds(measured):
    labels, logits, thresholds, found = measured
    probabilities = metrics.sigmoid(logits)
    for place, name in enumerate(CLASSES):
        own, scores = labels[:, place], probabilities[:, place]
        best = max(reference.f1_score(own, scores >= value) for value in np.unique(scores))
        assert found["per_class"][name]["f1"] == pytest.approx(best)
        assert not np.isin(thresholds[place], scores)  # halfway, so that rounding does not change a prediction
    worked = choose_thresholds(np.array([[1], [1], [0], [0]]), np.array([[0.9], [0.6], [0.2], [0.1]]))
    assert worked.tolist() == [pytest.approx(0.4)]  # halfway between 0.6 and 0.2
    assert choose_thresholds(np.zeros((3, 1), int), np.array([[0.1], [0.2], [0.3]])).tolist() == [0.5]


def test_the_interval_of_the_map_agrees_with_the_bootstrap_and_its_influences_with_differences():
    labels, logits = drawn(200)
    found = influences(labels, logits)
    assert found.sum() == pytest.approx(0, abs=1e-12)

    def weighted(weights):
        scores = [
            reference.average_precision_score(labels[:, c], logits[:, c], sample_weight=weights) for c in range(4)
        ]
        return np.mean(scores)

    for image in (0, 17, int(labels[:, 3].argmax())):
        step = np.zeros(200)
        step[image] = 1e-4
        slope = (weighted(1 + step) - weighted(1 - step)) / 2e-4
        assert found[image] == pytest.approx(slope, abs=1e-8)
    random = np.random.default_rng(1)
    resampled = [mean_average_precision(labels[rows], logits[rows]) for rows in random.integers(0, 200, (400, 200))]
    assert np.sqrt(np.sum(found**2)) == pytest.approx(np.std(resampled), rel=0.15)
    low, high = map_interval(mean_average_precision(labels, logits), found, 0.95)
    assert 0 < low < mean_average_precision(labels, logits) < high < 1


def test_classes_without_images_are_left_out_of_the_map_and_named():
    labels, logits = drawn()
    labels[:, 2] = 0
    found = metrics.summary(labels, logits, np.full(4, 0.5), CLASSES)
    kept = [0, 1, 3]
    assert found["map"] == pytest.approx(reference.average_precision_score(labels[:, kept], logits[:, kept]))
    assert found["classes_without_images"] == ["eel"]
    empty = metrics.summary(np.zeros_like(labels), logits, np.full(4, 0.5), CLASSES)
    assert empty["map"] is None
    assert empty["map_interval"] is None


def test_what_are_no_sets_or_no_logits_is_refused():
    labels, logits = drawn(5)
    with pytest.raises(InputError, match="values other than 0 and 1"):
        metrics.summary(2 * labels + 1, logits, np.full(4, 0.5), CLASSES)
    with pytest.raises(InputError, match=r"shape \(5,\) for outputs \(5, 4\)"):
        metrics.summary(labels[:, 0], logits, np.full(4, 0.5), CLASSES)
    with pytest.raises(InputError, match=r"logits\[0, 0\] is nan"):
        metrics.summary(labels, logits * np.nan, np.full(4, 0.5), CLASSES)
    with pytest.raises(InputError, match=r"m\.json: thresholds\.fox: found None, expected a number"):
        read_thresholds({"cat": 0.5, "dog": 0.1, "eel": 0.2}, CLASSES, "m.json")


def predictions(labels, logits, thresholds=0.5, classes=CLASSES) -> MultilabelPredictions:
    probabilities = metrics.sigmoid(logits)
    ids = tuple(f"{number:03d}.png" for number in range(len(labels)))
    return MultilabelPredictions(ids, ids, classes, labels, probabilities >= thresholds, probabilities)


def test_the_table_of_predictions_reads_back(tmp_path):
    labels, logits = drawn(40)
    written = predictions(labels, logits, classes=("=cat", "a,b", "eel", "fox"))
    path = write_predictions(tmp_path / "predictions.csv", written)
    read = read_predictions(path)
    assert (read.ids, read.classes) == (written.ids, written.classes)
    assert (read.labels == labels).all()
    assert (read.predicted == written.predicted).all()
    np.testing.assert_allclose(read.probabilities, written.probabilities, rtol=1e-8)
    with path.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["exact"] == str(int((labels[0] == written.predicted[0]).all()))
    path.write_text(path.read_text().replace(",p_fox", ",p_fix"))
    with pytest.raises(InputError, match=r"line 1 is .* expected id,path,true,predicted,exact"):
        read_predictions(path)
    path.write_text("")
    with pytest.raises(InputError, match="line 1 is ''"):
        read_predictions(path)


def test_a_comparison_has_the_differences_of_both_models_and_orders_do_not_matter():
    labels, logits = drawn(200)
    better = np.where(labels == 1, logits + 1, logits)
    before, after = predictions(labels, logits), predictions(labels, better)
    turned = np.arange(200)[::-1]
    mixed = MultilabelPredictions(
        tuple(after.ids[i] for i in turned),
        after.paths,
        CLASSES[::-1],
        labels[turned][:, ::-1],
        after.predicted[turned][:, ::-1],
        after.probabilities[turned][:, ::-1],
    )
    found = compare(before, mixed)
    for name, score in (
        ("map", lambda p: reference.average_precision_score(labels, p.probabilities)),
        ("micro_f1", lambda p: reference.f1_score(labels, p.predicted, average="micro")),
        ("macro_f1", lambda p: reference.f1_score(labels, p.predicted, average="macro")),
        ("exact_match", lambda p: reference.accuracy_score(labels, p.predicted)),
    ):
        change = found.scores[name]
        assert change.before == pytest.approx(score(before))
        assert change.after == pytest.approx(score(after))
        assert change.interval[0] < change.difference < change.interval[1]
    same = compare(before, before)
    assert all(change.interval == (0, 0) for change in same.scores.values())
    assert same.p == 1
    with pytest.raises(InputError, match=r"1 images have other labels, such as 000\.png"):
        compare(before, predictions(np.vstack([1 - labels[:1], labels[1:]]), logits))
    with pytest.raises(InputError, match="predictions of different images: 1 are in one only"):
        compare(before, predictions(labels[:199], logits[:199]))


def test_the_mean_of_views_is_the_mean_probability():
    logits = np.array([[[0.0, 50.0]], [[2.0, -50.0]]])
    probabilities = metrics.sigmoid(mean_of_views(logits))
    np.testing.assert_allclose(probabilities, metrics.sigmoid(logits).mean(axis=0), rtol=1e-6)
