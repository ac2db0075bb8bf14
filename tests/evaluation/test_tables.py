"""Lines for a terminal, and figures, where there are more classes than fit."""

import numpy as np
import pytest

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.evaluation import gallery, tables
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.views import ONE

MANY = tuple(f"a species of bird, the one of number {i}" for i in range(30))


def evaluation_of(skill: float) -> Evaluation:
    """30 classes of 10 images, the last without any; the lower the class the better it is known."""
    labels = np.repeat(np.arange(29), 10).astype(np.int32)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(290, 30)) + np.eye(30)[labels] * skill * np.linspace(2, 0, 30)
    pixels = rng.integers(0, 256, (290, 8, 8, 1)).astype(np.uint8)
    test = Split(tuple(f"test/{i}" for i in range(290)), labels, pixels=pixels)
    none = test.take([])
    dataset = Dataset("made", MANY, (8, 8, 1), train=none, validation=none, test=test)
    return Evaluation(dataset, "test", "crop", ONE, "float32", logits.astype(np.float32), None, scaled=False)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluation_of(1.5)


def test_of_many_classes_those_of_lowest_recall_are_listed(found):
    lines = list(tables.evaluation(found.metrics))
    rows = [line for line in lines if line.startswith("a species")]
    recalls = sorted(row["recall"] for row in found.metrics["per_class"].values() if row["support"])
    assert [float(row.split()[-7]) for row in rows] == pytest.approx(recalls[:20], abs=5e-5)
    assert "10 more classes in metrics.json; these are the 20 of lowest recall" in lines
    assert any(line.startswith("note        no images of a species of bird, the one of number 29") for line in lines)
    assert max(map(len, rows)) <= 120


def test_columns_stand_below_their_headings(found):
    lines = list(tables.evaluation(found.metrics))
    heading = next(line for line in lines if line.startswith("class"))
    rows = [line for line in lines if line.startswith(("a species", "macro"))]
    for word in ("precision", "recall", "F1", "images", "ROC area", "average precision"):
        end = heading.index(word) + len(word)
        for row in rows:
            assert row[end - 1].isdigit(), (word, row)
            assert row[end : end + 1] in ("", " ")


def test_a_comparison_of_many_classes_lists_those_that_changed_most(found):
    change = compare(evaluation_of(0.5).predictions, found.predictions)
    lines = list(tables.comparison(change, "before", "after"))
    differences = sorted((abs(c.difference) for c in change.per_class.values() if c.images), reverse=True)
    shown = [abs(float(line.split("[")[0].split()[-1])) / 100 for line in lines if line.startswith("a species")]
    assert shown == pytest.approx(differences[:20], abs=5e-5)
    assert "10 more classes in comparison.json; these changed most" in lines


def test_of_many_classes_those_of_lowest_recall_have_their_images_shown(found, tmp_path, monkeypatch):
    headings = []
    draw_rows = gallery.sheets.row_sheet

    def row_sheet(images, names, captions, title):
        headings.extend([*names, title])
        return draw_rows(images, names, captions, title)

    monkeypatch.setattr(gallery.sheets, "row_sheet", row_sheet)
    gallery.draw(found, tmp_path, "many")
    recalls = {name: row["recall"] for name, row in found.metrics["per_class"].items() if row["support"]}
    lowest = set(sorted(recalls, key=recalls.get)[:10])
    assert {heading.partition(":")[0] for heading in headings[:-1]} == lowest
    assert "of 10 of 30 classes" in headings[-1]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 8
