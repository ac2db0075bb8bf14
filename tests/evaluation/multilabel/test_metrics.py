"""Metrics of images with several labels against scikit-learn, their intervals against the bootstrap, and thresholds."""

import csv

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn import metrics as reference

from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.metrics import f1_interval
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
    assert (found["task"], found["images"], found["confidence_level"]) == ("multilabel", 300, 0.95)
    right = int((labels == predicted).all(axis=1).sum())
    assert found["exact_match_interval"] == list(wilson(right, 300))
    assert found["thresholds"] == dict(zip(CLASSES, thresholds, strict=True))
    for place, name in enumerate(CLASSES):
        row, own = found["per_class"][name], labels[:, place]
        hits = int((own & predicted[:, place]).sum())
        assert row["precision"] == pytest.approx(reference.precision_score(own, predicted[:, place]))
        assert row["recall"] == pytest.approx(reference.recall_score(own, predicted[:, place]))
        assert row["precision_interval"] == list(wilson(hits, int(predicted[:, place].sum())))
        assert row["recall_interval"] == list(wilson(hits, int(own.sum())))
        assert row["f1_interval"] == f1_interval(hits, int(own.sum()), int(predicted[:, place].sum()))
        assert row["threshold"] == thresholds[place]
        assert row["roc_area_interval"][0] < row["roc_area"] < row["roc_area_interval"][1]
        assert row["average_precision"] == pytest.approx(reference.average_precision_score(own, logits[:, place]))
        assert row["roc_area"] == pytest.approx(reference.roc_auc_score(own, logits[:, place]))
        assert row["f1"] == pytest.approx(reference.f1_score(own, predicted[:, place]))
        assert row["support"] == own.sum()
        assert row["predicted"] == predicted[:, place].sum()
    together = confusions.from_json(found["cooccurrence"]["true"])
    assert together.tolist() == (labels.T.astype(int) @ labels).tolist()
    together = confusions.from_json(found["cooccurrence"]["predicted"])
    assert together.tolist() == (predicted.T.astype(int) @ predicted).tolist()
    assert found["classes_without_images"] == []
    check_metrics(found, "metrics.json")


def test_intervals_are_percentiles_of_resampled_images(measured):
    """2,000 resamples, drawn again; of 20 of them scikit-learn computes the F1."""
    labels, logits, thresholds, found = measured
    assert found["bootstrap"] == {"resamples": 2000, "seed": 0}
    probabilities = metrics.sigmoid(logits)
    predicted = probabilities >= thresholds
    drawn_images = np.random.default_rng(0).integers(0, 300, (2000, 300))
    losses = -np.where(labels == 1, np.log(probabilities), np.log(1 - probabilities)).mean(axis=1)
    for name, values in (("loss", losses), ("hamming_loss", (labels != predicted).mean(axis=1))):
        ends = np.quantile(values[drawn_images].mean(axis=1), [0.025, 0.975])
        assert found[f"{name}_interval"] == pytest.approx(ends)
    hits, support, positives = (
        np.stack([cells[rows].sum(axis=0) for rows in drawn_images])
        for cells in (labels & predicted, labels, predicted)
    )
    f1 = {
        "micro": 2 * hits.sum(axis=1) / (support.sum(axis=1) + positives.sum(axis=1)),
        "macro": (2 * hits / np.maximum(support + positives, 1)).mean(axis=1),
    }
    recall = {"micro": hits.sum(axis=1) / support.sum(axis=1), "macro": (hits / np.maximum(support, 1)).mean(axis=1)}
    for average, values in f1.items():
        for rows, value in zip(drawn_images[:20], values, strict=False):
            theirs = reference.f1_score(labels[rows], predicted[rows], average=average, zero_division=0)
            assert value == pytest.approx(theirs)
        assert found[average]["f1_interval"] == pytest.approx(np.quantile(values, [0.025, 0.975]))
        assert found[average]["recall_interval"] == pytest.approx(np.quantile(recall[average], [0.025, 0.975]))


def test_the_most_frequent_confusion_is_counted_by_hand():
    labels = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]])
    logits = np.where(np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]), 3.0, -3.0)
    found = metrics.summary(labels, logits, np.full(4, 0.5), CLASSES)
    assert found["worst_pair"] == {"true": "cat", "predicted": "dog", "count": 2, "share": 2 / 3}
    assert found["exact_match"] == 0.25
    assert found["labels_per_image"] == {"true": 1.5, "predicted": 1.25}
    right = metrics.summary(labels, np.where(labels == 1, 3.0, -3.0), np.full(4, 0.5), CLASSES)
    assert right["worst_pair"] is None
    assert (right["map"], right["map_interval"]) == (1, None)


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


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((0.9, 0.7, 0.5, 0.1), 0.8), ((0.98, 0.94, 0.6, 0.5), 0.25)],  # 0.8 is closer to 0.5 than 0.05, 0.25 than 0.96
)
def test_of_equal_thresholds_the_one_closest_to_a_half_is_chosen(scores, expected):
    """The first image alone, and all four, have the F1 2/3: 2 · 1 / (2 + 1) and 2 · 2 / (2 + 4)."""
    found = choose_thresholds(np.array([[1], [0], [0], [1]]), np.array(scores)[:, None])
    assert found.tolist() == [pytest.approx(expected)]


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
    value = mean_average_precision(labels, logits)
    half = 1.959964 * np.sqrt(np.sum(found**2)) / (value * (1 - value))  # on the logit scale
    expected = expit(logit(value) + np.array([-half, half]))
    assert map_interval(value, found, 0.95) == pytest.approx(expected, rel=1e-6)
    assert map_interval(value, np.zeros(200), 0.95) is None


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows, expected a row for each image"),
        (["a,,cat,cat,1,1,1,0.9", "b,,cat,,0,1,0"], r"row 2 has 7 fields; expected 8 \(is it incomplete\?\)"),
        (["a,,cat,cat,1,1,1,much"], "could not convert string to float: 'much'; expected 0, 1 and probabilities"),
        (["a,,cat,cat,1,1,1,1", "b,,,,1,0,0,1.001"], "row 2: expected 0 or 1, and probabilities from 0 to 1"),
        (["a,,cat,cat,1,1,1,0", "b,,,,1,0,0,-0.001"], "row 2: expected 0 or 1, and probabilities from 0 to 1"),
        (["a,,cat,cat,1,2,1,0.9"], "row 1: expected 0 or 1"),
        (["a,,cat,cat,1,1,1,nan"], "row 1: expected 0 or 1"),
        (["a,,cat,cat,1,1,1,0.9", "a,,,,1,0,0,0.1"], "an image twice, expected each image once"),
    ],
)
def test_a_damaged_table_is_named_with_its_row(tmp_path, rows, message):
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["id,path,true,predicted,exact,true_cat,predicted_cat,p_cat", *rows]) + "\n")
    with pytest.raises(InputError, match=f"p.csv: {message}"):
        read_predictions(path)


def test_the_classes_of_a_row_are_joined_by_commas(tmp_path):
    """Two classes are true, one of which is predicted beside another; then an image without any."""
    labels, predicted = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.uint8), np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)
    made = MultilabelPredictions(("a", "b"), ("/x/a", ""), CLASSES, labels, predicted, np.full((2, 4), 1 / 3))
    with write_predictions(tmp_path / "p.csv", made).open(newline="") as file:
        first, second = csv.DictReader(file)
    values = [first[name] for name in ("id", "path", "true", "predicted", "exact")]
    assert values == ["a", "/x/a", "cat, eel", "cat, dog", "0"]
    assert [first[f"{kind}_eel"] for kind in ("true", "predicted", "p")] == ["1", "0", "0.333333333"]
    assert [second[name] for name in ("path", "true", "predicted", "exact")] == ["", "", "", "1"]
    read = read_predictions(tmp_path / "p.csv")
    assert (read.paths, read.exact.tolist()) == (("/x/a", ""), [False, True])


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
    lost, gained = before.exact & ~after.exact, ~before.exact & after.exact
    assert (found.images, found.newly_wrong, found.newly_right) == (200, lost.sum(), gained.sum())
    assert found.p == pytest.approx(binomtest(int(lost.sum()), int(lost.sum() + gained.sum())).pvalue)
    for place, name in enumerate(CLASSES):
        change = found.average_precision[name]
        assert change.before == pytest.approx(reference.average_precision_score(labels[:, place], logits[:, place]))
        assert change.after == pytest.approx(reference.average_precision_score(labels[:, place], better[:, place]))
    change = found.scores["map"]
    error = np.sqrt(np.sum((influences(labels, better) - influences(labels, logits)) ** 2))
    ends = change.difference - 1.959964 * error, change.difference + 1.959964 * error
    assert change.interval == pytest.approx(ends, rel=1e-6)
    drawn_images = np.random.default_rng(0).integers(0, 200, (2000, 200))
    ends = np.quantile((after.exact.astype(int) - before.exact)[drawn_images].mean(axis=1), [0.025, 0.975])
    assert found.scores["exact_match"].interval == pytest.approx(ends)
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
    with pytest.raises(InputError, match=r"different images: 1 are in one only \(199\.png\), of 200 and 199; expected"):
        compare(before, predictions(labels[:199], logits[:199]))
    with pytest.raises(InputError, match=r"4 are in one only \(196\.png, 197\.png, 198\.png, \.\.\.\), of 200 and 196"):
        compare(before, predictions(labels[:196], logits[:196]))
    with pytest.raises(InputError, match="2 classes are in one only, such as 'ant' in the second; expected the same"):
        compare(before, predictions(labels, logits, classes=("ant", *CLASSES[1:])))
    with pytest.raises(InputError, match="no image has any of the classes"):
        compare(predictions(0 * labels, logits), predictions(0 * labels, logits))


def test_the_mean_of_views_is_the_mean_probability():
    logits = np.array([[[0.0, 50.0]], [[2.0, -50.0]]])
    probabilities = metrics.sigmoid(mean_of_views(logits))
    np.testing.assert_allclose(probabilities, metrics.sigmoid(logits).mean(axis=0), rtol=1e-6)
