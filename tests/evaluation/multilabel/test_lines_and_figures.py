"""What the lines and the figures of images with several labels say: four images worked out by hand, and 50 classes."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation.multilabel import gallery, tables
from keras_cnn.evaluation.multilabel.comparison import ScoreChange, compare
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.evaluation.multilabel.recorded import check_metrics, recorded_thresholds
from keras_cnn.evaluation.test_time_augmentation import ONE
from keras_cnn.run_folder.record import Record

CLASSES = ("cat", "dog", "eel", "fox")
LABELS = [[1, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
LOGITS = [[-2, -1, 3, 1], [-3, 2, -1, -2], [-1, 1, -1, -1], [-2, -2, -2, 0.5]]  # only the third image is right


def evaluation_of(labels, logits, classes=CLASSES) -> MultilabelEvaluation:
    labels, count = np.array(labels, np.uint8), len(labels)
    pixels = np.arange(4 * count).reshape(count, 2, 2, 1).astype(np.uint8)
    images = Split(tuple(f"of/test/{i}" for i in range(count)), labels, pixels=pixels)
    dataset = Dataset("made", classes, (2, 2, 1), images.take([]), images.take([]), images)
    thresholds = np.full(len(classes), 0.5)
    return MultilabelEvaluation(
        dataset, "test", "crop", ONE, "float32", np.array(logits, np.float32), thresholds, "validation"
    )


@pytest.fixture(scope="module")
def few() -> MultilabelEvaluation:
    return evaluation_of(LABELS, LOGITS)


@pytest.fixture(scope="module")
def many() -> MultilabelEvaluation:
    """50 classes, the lower the better known, and the last without images."""
    random = np.random.default_rng(0)
    labels = (random.random((60, 50)) < 0.3) & (np.arange(50) < 49)
    logits = random.normal(size=labels.shape) + labels * np.linspace(3, 0, 50)
    return evaluation_of(labels, logits, tuple(f"class {i}" for i in range(50)))


def ends(interval) -> str:
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_few_lines_worked_out_by_hand(few):
    """Of six labels and five predictions one is right; only fox has all images of other classes before its own."""
    found = few.metrics
    loss = reference.log_loss(np.ravel(LABELS), 1 / (1 + np.exp(-np.ravel(LOGITS))))
    assert list(tables.brief(found)) == [
        f"mAP         {(1 / 2 * (1 / 2 + 2 / 3) + 1 / 2 * (1 / 3 + 1 / 2) + 1 / 3 + 1 / 4) / 4:.4f}"
        f"  {ends(found['map_interval'])}   95 % interval over the images",
        f"micro F1    {2 / 11:.4f}  {ends(found['micro']['f1_interval'])}",
        f"macro F1    {0.5 / 4:.4f}  {ends(found['macro']['f1_interval'])}",
        f"exact match 0.2500 of the images have every class right; loss {loss:.4f}",
        "weakest     fox: average precision 0.2500, F1 0.0000, 1 image",
        "worst pair  dog said and cat missed: 1 image, 50.0% of cat",
    ]


def test_all_lines_worked_out_by_hand(few):
    found = few.metrics
    lines = list(tables.evaluation(found))
    assert lines[1] == f"micro F1    0.1818  {ends(found['micro']['f1_interval'])}   precision 0.2000, recall 0.1667"
    assert lines[2] == f"macro F1    0.1250  {ends(found['macro']['f1_interval'])}   precision 0.1250, recall 0.1250"
    assert lines[3].startswith(f"exact match 0.2500  {ends(found['exact_match_interval'])}   share of images")
    assert lines[4].startswith(f"Hamming     {9 / 16:.4f}  {ends(found['hamming_loss_interval'])}   share of wrong")
    assert lines[6:8] == [
        "labels      1.50 an image, 1.25 predicted",
        "thresholds  chosen on validation, by the largest F1 of each class",
    ]
    heading, *rows = lines[9:14]
    for row, name, average, score, images in zip(
        rows, CLASSES, (5 / 12, 7 / 12, 1 / 3, 1 / 4), (0, 0.5, 0, 0), "2211", strict=True
    ):
        assert row.startswith(name)
        assert row[heading.index("average precision") :].startswith(f"{average:.4f}  [")
        for word in ("precision  ", "recall", "F1"):
            assert row[heading.index(word, 30) :].startswith(f"{score:.4f}  [")
        assert row.split()[-2:] == ["0.500", images]
    assert any(line.endswith("2,000 resamples") for line in lines)
    assert not any("more classes" in line for line in lines)


def test_of_many_classes_the_lowest_are_listed(many):
    found = many.metrics
    averages = {n: row["average_precision"] for n, row in found["per_class"].items() if row["support"]}
    lowest = sorted(averages, key=averages.get)[:20]
    lines = list(tables.evaluation(found))
    assert [line.partition("  ")[0] for line in lines if line.startswith("class ")][1:] == lowest
    assert "30 more classes in metrics.json; shown are the 20 of lowest precision" in lines
    assert lines[-1] == "note        no images of class 49: the mAP is of the other classes"
    assert f"weakest     {lowest[0]}: " in "\n".join(tables.brief(found))


def test_lines_of_a_comparison(few, many):
    right = evaluation_of(LABELS, np.where(LABELS, 2.0, -2.0))
    lines = list(tables.comparison(compare(few.predictions, right.predictions), "a", "b"))
    assert lines[0] == "before a, after b: the same 4 images"
    assert lines[4].split()[:5] == ["micro", "F1", "0.1818", "1.0000", "+81.82"]
    assert lines[5].split()[:5] == ["exact", "match", "0.2500", "1.0000", "+75.00"]
    assert [line.split()[:4] for line in lines[6:10]] == [
        ["cat", "0.4167", "1.0000", "+58.33"],
        ["dog", "0.5833", "1.0000", "+41.67"],
        ["eel", "0.3333", "1.0000", "+66.67"],
        ["fox", "0.2500", "1.0000", "+75.00"],
    ]
    assert lines[-1].endswith("exact matches lost 0, gained 3: McNemar p 0.25")
    worse = evaluation_of(many.images.labels, np.zeros((60, 50)), many.classes)
    change = compare(many.predictions, worse.predictions)
    lines = list(tables.comparison(change, "a", "b"))
    sizes = {name: -abs(each.difference) for name, each in change.average_precision.items()}
    most = sorted(sizes, key=sizes.get)
    assert [line.partition("  ")[0] for line in lines if line.startswith("class ")] == most[:20]
    assert "29 more classes in comparison.json; shown are those that changed most" in lines


def test_an_evaluation_and_a_comparison_say_their_numbers(few, many):
    found = few.metrics
    text = f"mAP 0.3958 {ends(found['map_interval'])}, micro F1 0.1818 on 4 test images of made"
    assert repr(few) == f"<MultilabelEvaluation: {text}>"
    assert few.map_interval == tuple(found["map_interval"])
    assert list(few.per_class.index) == list(CLASSES)
    assert few.cooccurrence.loc["cat"].tolist() == [2, 1, 1, 1]
    none = evaluation_of(np.zeros((4, 4)), LOGITS)
    assert (none.map, none.map_interval) == (None, None)
    assert "mAP unknown, micro F1 0.0000" in repr(none)
    assert "mAP 1.0000, micro F1 1.0000" in repr(evaluation_of(LABELS, np.where(LABELS, 2.0, -2.0)))
    change = compare(few.predictions, evaluation_of(LABELS, np.where(LABELS, 2.0, -2.0)).predictions)
    low, high = change.scores["map"].interval
    text = f"mAP 0.3958 before, 1.0000 after, difference +0.6042 [{low:+.4f}, {high:+.4f}]"
    assert repr(change) == f"<MultilabelComparison of 4 images: {text}>"
    assert change.as_json()["confidence_level"] == 0.95
    page = many._repr_html_()
    assert "The 40 of 50 classes of lowest average precision." in page
    lowest = many.per_class["average_precision"].sort_values(kind="stable").index
    assert [page.count(f"<th>{name}</th>") for name in (lowest[0], lowest[39], lowest[40])] == [1, 1, 0]
    assert "classes of lowest" not in few._repr_html_()


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch) -> dict[str, list[tuple]]:
    """The arguments of every figure, by the function that would draw it; nothing is drawn."""
    made: dict[str, list[tuple]] = {}

    def keeping(name: str):
        return lambda *arguments: made.setdefault(name, []).append(arguments)

    for name in ("image_sheet", "prediction_sheet", "row_sheet"):
        monkeypatch.setattr(gallery.sheets, name, keeping(name))
    monkeypatch.setattr(gallery, "png", SimpleNamespace(figure=keeping("figure")))
    monkeypatch.setattr(gallery.ranking_figures, "precision_recall_curves", keeping("curves"))
    monkeypatch.setattr(gallery.style, "save", lambda figure, path: None)
    return made


def test_every_figure_of_an_evaluation(few, drawn, tmp_path):
    paths = gallery.draw(few, tmp_path / "new", "t")
    names = ["classes", "cooccurrence", "scores", "sample", "top_losses", "precision_recall"]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert [arguments[1] for arguments in drawn["figure"]] == [
        "t: average precision of each class",
        "t: classes that occur together",
    ]
    assert [plot.heading for plot in drawn["figure"][1][0]] == ["in the labels, %", "in the predictions, %"]


def test_the_highest_losses_name_what_was_missed_and_what_is_false(few, drawn):
    gallery.top_losses(few, "t")
    [(pixels, captions, columns, heading, note)] = drawn["image_sheet"]
    chances = 1 / (1 + np.exp(-np.array(LOGITS)))
    losses = -np.log(np.where(LABELS, chances, 1 - chances)).mean(axis=1)
    assert captions == [
        f"test/1\nmissed: cat, eel +1\nfalse: dog\nloss {losses[1]:.2f}",
        f"test/0\nmissed: cat, dog\nfalse: eel, fox\nloss {losses[0]:.2f}",
        f"test/3\nmissed: none\nfalse: fox\nloss {losses[3]:.2f}",
        f"test/2\nmissed: none\nfalse: none\nloss {losses[2]:.2f}",
    ]
    np.testing.assert_array_equal(pixels, few.images.pixels[[1, 0, 3, 2]])
    assert (columns, heading) == (5, "t: the 4 highest losses")
    assert "nats" in note


def test_a_sample_says_which_images_are_right(few, drawn, tmp_path):
    gallery.draw(few, tmp_path, "t")
    [(_, captions, right, columns, heading)] = drawn["prediction_sheet"]
    assert [caption.split("\n")[0] for caption in captions] == [f"test/{i}" for i in range(4)]
    assert (right, columns) == ([False, False, True, False], 3)
    assert heading == "t: 4 images at random, 1 with every class right"


def test_the_highest_and_lowest_probabilities_of_each_class(few, drawn, tmp_path):
    gallery.draw(few, tmp_path, "t", ["fox"])
    [(pixels, headings, captions, heading, note)] = drawn["row_sheet"]
    words = "probabilities among all images, whatever their classes"
    assert headings == [f"fox: highest {words}", f"fox: lowest {words}"]
    chances = 1 / (1 + np.exp(-np.array(LOGITS)[:, 3]))
    highest = [f"{chances[i]:.3f}\n{'has it' if i == 1 else 'without it'}" for i in (0, 3, 2, 1)]
    assert captions == [highest, highest[::-1]]
    np.testing.assert_array_equal(pixels[0], few.images.pixels[[0, 3, 2, 1]])
    assert heading == "t: highest and lowest probabilities of 1 of 4 classes"
    assert "of all 4 images" in note


def test_of_many_classes_the_lowest_are_drawn(many, drawn, tmp_path):
    gallery.draw(many, tmp_path, "t")
    [(_, headings, captions, heading, _)] = drawn["row_sheet"]
    averages = many.per_class["average_precision"].dropna().sort_values(kind="stable")
    lowest = sorted(int(name.split()[1]) for name in averages.index[:10])
    assert [text.partition(":")[0] for text in headings[::2]] == [f"class {i}" for i in lowest]
    assert {len(row) for row in captions} == {10}
    assert heading.endswith("of 10 of 50 classes")
    assert len(drawn["prediction_sheet"][0][1]) == len(drawn["image_sheet"][0][1]) == 30
    [(curves, title, classes)] = drawn["curves"]
    assert (title, classes) == ("t: precision and recall of each class", 50)
    assert list(curves) == [f"class {i}" for i in range(49)]
    for place in (0, 48):
        own = many.images.labels[:, place]
        curve = curves[f"class {place}"]
        assert curve.area == pytest.approx(reference.average_precision_score(own, many.logits[:, place]))
        assert curve.chance == own.mean()
    titles = [arguments[1] for arguments in drawn["figure"]]
    assert titles == [
        "t: average precision of the 40 lowest of 50 classes",
        "t: labels that occur together most often",
    ]


def test_changes_of_the_classes_are_in_points_and_of_many_the_largest(few, many, drawn, tmp_path):
    change = compare(few.predictions, evaluation_of(LABELS, np.where(LABELS, 2.0, -2.0)).predictions)
    gallery.draw_comparison(change, few, tmp_path, "t")
    (([rows], title),) = drawn["figure"]
    assert title == "t: each class"
    assert [row.label for row in rows.rows] == list(CLASSES)
    assert rows.rows[0].value == pytest.approx(100 * 7 / 12)
    low, high = change.average_precision["cat"].interval
    assert (rows.rows[0].low, rows.rows[0].high) == pytest.approx((100 * low, 100 * high))
    changes = {f"class {i}": ScoreChange(0.5, 0.5, (-1) ** i * i / 100, (0, 0)) for i in range(50)}
    gallery.draw_comparison(replace(change, average_precision=changes), many, tmp_path, "t")
    shown = drawn["figure"][1][0][0].rows
    assert [row.label for row in shown] == [f"class {i}" for i in range(49, 9, -1)]


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        *("images", "map", "map_interval", "micro", "macro.f1", "micro.f1_interval", "loss", "exact_match"),
        *("exact_match_interval", "hamming_loss", "labels_per_image.predicted", "per_class.fox.support"),
        *(
            "per_class.cat.threshold",
            "per_class.cat.average_precision_interval",
            "worst_pair.count",
            "worst_pair.share",
        ),
        *("classes_without_images", "bootstrap.resamples"),
    ],
)
def test_a_damaged_field_of_the_record_is_named(few, field):
    damaged: dict[str, Any] = copy.deepcopy(few.metrics)
    check_metrics(damaged, "m.json")
    *path, last = field.split(".")
    inner = damaged
    for name in path:
        inner = inner[name]
    inner[last] = "much"
    with pytest.raises(InputError, match=f"m.json: {field}: found 'much'"):
        check_metrics(damaged, "m.json")


def test_thresholds_of_a_record_are_its_own_or_those_of_its_validation():
    own, tried = ({"dog": 0.25, "cat": value} for value in (0.75, 0.5))

    def thresholds(metrics) -> list[float] | None:
        found = recorded_thresholds(Record(Path("r"), metrics=metrics, split={"classes": ["cat", "dog"]}))
        return None if found is None else found.tolist()

    assert thresholds({"thresholds": own, "validation": {"thresholds": tried}}) == [0.75, 0.25]
    assert thresholds({"validation": {"thresholds": tried}}) == [0.5, 0.25]
    assert thresholds({}) is None
    assert thresholds({"validation": {"map": 1.0}}) is None
    with pytest.raises(InputError, match=r"r.metrics.json: thresholds.cat: found None, expected a number"):
        thresholds({"thresholds": {"dog": 0.5}})
