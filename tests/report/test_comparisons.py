"""The comparison that `evaluate.py RUN --against OTHER` left, on the page."""

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.charts import Chart, evaluation
from keras_cnn.charts.page import figure
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.predictions import Predictions
from keras_cnn.figures.style import BLUE, ORANGE
from keras_cnn.report import pictures
from keras_cnn.report import wandb as report_wandb
from keras_cnn.report.comparisons import StoredChange, StoredComparison, read_comparisons
from keras_cnn.report.html import write_report
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.comparisons import comparison_section

CLASSES = ("cat", "dog", "owl", "yak")
# Of 100 cats 60 are right both times, 10 only before, 30 never; of 100 dogs 50 both times, 40 only after, 10 never,
# which are taken for cats; the one owl is right both times; there is no yak.
LABELS = np.array([0] * 100 + [1] * 100 + [2])
BEFORE = np.array([0] * 70 + [1] * 30 + [1] * 50 + [0] * 50 + [2])
AFTER = np.array([0] * 60 + [1] * 40 + [1] * 90 + [0] * 10 + [2])


def predictions(guesses: np.ndarray) -> Predictions:
    ids = tuple(f"{i}" for i in range(len(LABELS)))
    return Predictions(ids, ("",) * len(ids), CLASSES, LABELS, np.eye(4)[guesses])


@pytest.fixture
def run(make_run, tmp_path) -> Path:
    """A run compared with one called older."""
    path = make_run(tmp_path / "newer", classes=CLASSES)
    folder = path / "evaluations" / "test" / "against_older"
    (folder / "figures").mkdir(parents=True)
    found = compare(predictions(BEFORE), predictions(AFTER)).as_json()
    (folder / "comparison.json").write_text(json.dumps(found))
    for name in ("newly_wrong", "class_differences", "confusion_difference"):
        Image.new("RGB", (400, 300), "#808080").save(folder / "figures" / f"{name}.png")
    return path


def test_numbers_worked_out_by_hand(run):
    (found,), problems = read_comparisons(find_runs([run])[0][0])
    assert problems == []
    shown = comparison_section(found, 0)
    # 121 and 151 of 201 right: 30 / 201 = 14.93 points; of 50 images that differ 10 got worse.
    begins = "75.12 % of the same 201 test images are classified correctly, with older 60.20 %: +14.93 points [+"
    assert shown.sentence.startswith(begins)
    assert shown.sentence.endswith("McNemar p < 0.0001. Newly right: 40; newly wrong: 10.")
    rows = {row[0]: row[1:] for row in shown.table.rows}
    assert list(rows) == ["all images", *CLASSES]
    assert rows["cat"][:3] == ("70.00 %", "60.00 %", "−10.00")
    assert rows["cat"][4:] == ("10", "0", "0.0039")  # 2 · 2 / 2^10, adjusted by Holm: twice for the second of three
    assert rows["dog"][4:] == ("0", "40", "< 0.0001")
    assert rows["owl"][2:] == ("+0.00", "[+0.00, +0.00]", "0", "0", "1")
    assert rows["yak"] == ("–", "–", "–", "–", "0", "0", "–")
    of_classes = shown.charts[0].table
    assert of_classes.head == ("class", "before", "after", "difference", "95 % interval")
    assert of_classes.rows == tuple((name, *rows[name][:4]) for name in CLASSES)
    change = dict(zip(CLASSES, shown.charts[1].table.rows, strict=True))
    assert change["cat"] == ("cat", "-10", "+10", "+0", "+0")
    assert change["dog"] == ("dog", "-40", "+40", "+0", "+0")


def test_a_difference_whose_interval_reaches_zero_may_be_chance():
    change = StoredChange(10, 0.5, 0.5, 0.0, (-0.1, 0.2), only_before=2, only_after=3, p=0.03)
    stored = StoredComparison(None, "older", "test", Path(), change, {"cat": change}, 1, np.zeros((1, 1), int))
    sentences = {
        ends: comparison_section(replace(stored, overall=replace(change, difference_interval=ends)), 0).sentence
        for ends in ((-0.1, 0.2), (0.0, 0.2), (-0.2, 0.0), (0.001, 0.2), (-0.2, -0.001), None)
    }
    chance = "; the interval includes 0, so the difference may be chance. Newly right: 3; newly wrong: 2."
    assert [sentence.endswith(chance) for sentence in sentences.values()] == [True, True, True, False, False, False]
    assert "+0.00 points [−10.00, +20.00], McNemar p 0.03" in sentences[-0.1, 0.2]
    assert sentences[None] == "older and this run have no test images in common."


def test_of_more_than_forty_classes_those_that_changed_most_come_first():
    names = [f"kind {i}" for i in range(41)]
    change = StoredChange(10, 0.5, 0.5, 0.0, (-0.1, 0.2), only_before=2, only_after=3, p=0.3)
    classes = {name: replace(change, difference=(-1) ** i * i / 100) for i, name in enumerate(names)}
    classes["kind 40"] = replace(change, difference=None)  # of which there is no image
    matrix = np.zeros((41, 41), int)
    matrix[1, 2], matrix[3, 4], matrix[5, 5], matrix[6, 1] = -5, 4, 9, 4
    shown = comparison_section(StoredComparison(None, "older", "test", Path(), change, classes, 40, matrix), 7)
    order = [names[i] for i in range(39, -1, -1)]
    assert [row[0] for row in shown.table.rows] == ["all images", *order, "kind 40"]
    assert [row[3] for row in shown.table.rows[1:3]] == ["−39.00", "+38.00"]
    of_classes, confusion = shown.charts
    assert (of_classes.name, confusion.name) == ("change-7", "confusion-change-7")
    assert of_classes.title == "The 40 of 41 classes that changed most"
    assert [row[0] for row in of_classes.table.rows] == order
    mistakes = [("kind 1", "kind 2", "-5"), ("kind 3", "kind 4", "+4"), ("kind 6", "kind 1", "+4")]
    assert list(confusion.table.rows) == mistakes
    assert confusion.drawing.columns[0].values == [5, -4, -4]  # fewer of them
    assert confusion.note.startswith("The 3 most frequent of 3 kinds of mistake, with their images: 13 of 13 wrong")
    assert (shown.table.searched, of_classes.table.searched, confusion.table.searched) == (True, False, True)
    fewer = replace(shown.stored, classes=dict(list(classes.items())[:40]), confusion=matrix[:40, :40])
    few = comparison_section(fewer, 0)
    assert [row[0] for row in few.table.rows] == ["all images", *names[:40]]
    assert few.charts[0].title == "Change of each class"
    assert list(few.charts[1].table.rows) == mistakes
    assert (few.table.searched, few.charts[1].table.searched) == (False, False)


def test_blue_is_better_on_and_beside_the_diagonal():
    drawing = evaluation.confusion_change(np.array([[5, -3], [4, -4]]), ("a", "b"))
    (heat,) = figure(Chart("change", "", drawing))["data"]
    np.testing.assert_allclose(np.square(heat["z"]) * np.sign(heat["z"]), [[5, 3], [-4, -4]], atol=0.01)
    assert heat["text"] == [["+5", "−3"], ["+4", "−4"]]
    assert heat["zmin"] == -heat["zmax"]


def test_a_class_that_may_not_have_changed_is_hollow(run):
    (found,), _ = read_comparisons(find_runs([run])[0][0])
    drawing = evaluation.class_changes(found.classes)
    marks = {(x, series.colour, series.hollow) for series in drawing.series for x in series.x}
    assert marks == {(-10.0, ORANGE, False), (40.0, BLUE, False), (0.0, ORANGE, True)}


def test_page_has_the_comparison_with_its_sheet_once(run, blobs):
    page = write_report([run]).read_text()
    assert 'id="comparisons"' in page
    assert {"change-0", "confusion-change-0"} <= blobs(page).keys()
    assert "newer against older" in unescape(page)
    assert page.count('aria-label="Enlarge newer against older, newly wrong"') == 1
    sources = [source for source in pictures.find(find_runs([run])[0]) if source.against]
    assert [(source.against, source.path.stem) for source in sources] == [("older", "newly_wrong")]


def test_the_wandb_report_has_the_comparison_too(run):
    blocks = report_wandb.build([run]).blocks
    written = "\n".join(getattr(block, "text", "") for block in blocks)
    assert "newer against older, test images" in written
    assert "75.12 % of the same 201 test images are classified correctly, with older 60.20 %" in written
    assert "| cat | 70.00 % | 60.00 % | −10.00 |" in written


def test_page_without_a_comparison_has_no_such_section(make_run, tmp_path):
    assert 'id="comparisons"' not in write_report([make_run(tmp_path / "alone")]).read_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: "{",
        lambda whole: json.dumps(whole | {"per_class": 3}),
        lambda whole: json.dumps(whole | {"confusion_difference": [[1]]}),
        lambda whole: json.dumps(whole | {"difference": "much" * 100}),
        lambda whole: json.dumps({key: value for key, value in whole.items() if key != "classes_tested"}),
    ],
)
def test_a_damaged_comparison_is_one_line_and_the_rest_is_shown(run, damage):
    path = run / "evaluations" / "test" / "against_older" / "comparison.json"
    path.write_text(damage(json.loads(path.read_text())))
    _, (line,) = read_comparisons(find_runs([run])[0][0])
    assert len(line) < len(str(path)) + 210  # of a long value the beginning is enough
    page = write_report([run]).read_text()
    assert 'id="comparisons"' not in page
    assert f"{path}: cannot be read" in unescape(page)
    assert 'id="runs"' in page
