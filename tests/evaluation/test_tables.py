"""Lines for a terminal, and figures, where there are more classes than fit."""

import numpy as np
import pytest

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.evaluation import gallery, tables
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.protocol import Finding
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

    def row_sheet(images, names, captions, title, note):
        headings.extend([*names, title])
        assert "of all 290 images" in note
        return draw_rows(images, names, captions, title, note)

    monkeypatch.setattr(gallery.sheets, "row_sheet", row_sheet)
    gallery.draw(found, tmp_path, "many")
    recalls = {name: row["recall"] for name, row in found.metrics["per_class"].items() if row["support"]}
    lowest = set(sorted(recalls, key=recalls.get)[:10])
    assert {heading.partition(":")[0] for heading in headings[:-1]} == lowest
    assert "of 10 of 30 classes" in headings[-1]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 8


def sheet_of(draw, name: str, monkeypatch) -> tuple[list[str], str]:
    """Captions and title of the sheet of images that `draw` makes and saves as `name`."""
    made, saved = {}, {}
    draw_images = gallery.sheets.image_sheet

    def image_sheet(images, captions, columns, title, note=""):
        figure = draw_images(images, captions, columns, title, note)
        made[figure] = (list(captions), title)
        return figure

    monkeypatch.setattr(gallery.sheets, "image_sheet", image_sheet)
    monkeypatch.setattr(gallery.style, "save", lambda figure, path: saved.update({path.stem: figure}))
    draw()
    return made[saved[name]]


def test_the_highest_losses_have_their_loss_falling(found, tmp_path, monkeypatch):
    captions, title = sheet_of(lambda: gallery.draw(found, tmp_path, "many"), "top_losses", monkeypatch)
    z = found.logits.astype(np.float64)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(290), found.images.labels]
    worst = np.argsort(-losses)[:30]
    assert title == "many: the 30 highest losses, right or wrong"
    assert [caption.split("\n")[0] for caption in captions] == [f"test/{i}" for i in worst]
    assert [caption.split("\n")[1] for caption in captions] == [f"loss {losses[i]:.2f}" for i in worst]


def test_newly_wrong_images_say_what_was_predicted_before_and_after_and_how_they_were_chosen(
    found, tmp_path, monkeypatch
):
    before = evaluation_of(4)
    change = compare(before.predictions, found.predictions)
    captions, title = sheet_of(
        lambda: gallery.draw_comparison(change, found, tmp_path, "two"), "newly_wrong", monkeypatch
    )
    wrong = np.flatnonzero(
        (before.logits.argmax(axis=1) == found.images.labels) & (found.logits.argmax(axis=1) != found.images.labels)
    )
    assert 0 < len(captions) == min(30, len(wrong))
    assert title == f"two: {len(captions)} of {len(wrong)} newly wrong images, at random"
    for caption in captions:
        name, was, now, _ = caption.split("\n")
        image = int(name.removeprefix("test/"))
        assert was == f"before: {MANY[before.logits[image].argmax()]}"
        assert now == f"after: {MANY[found.logits[image].argmax()]}"


@pytest.mark.parametrize(("terminal", "width"), [("60", 60), ("0", 100), ("10", 48)])
def test_findings_are_wrapped_to_the_width_of_the_terminal(terminal, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", terminal)
    monkeypatch.setattr("sys.__stdout__", None)  # no terminal to ask
    dates = ", ".join(f"2026-11-{day}T14:21:02+00:00" for day in (19, 20, 21))
    sentence = "The test split was read 3 times: " + "every look is a chance to choose by it " * 5
    lines = list(tables.findings([Finding("test_reuse", "note", sentence, (f"test readings: 3 (a.csv: {dates})",))]))
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("protocol    note: The test")
    text = " ".join(" ".join(lines).split())
    assert text == (
        f"protocol note: {sentence}test readings: 3 (a.csv: 2026-11-19T14:21:02+00:00 to 2026-11-21T14:21:02+00:00)"
    )
    first = next(i for i, line in enumerate(lines) if line.startswith(14 * " " + "test readings"))
    assert all(line.startswith(12 * " ") and line[12] != " " for line in lines[1:first])
    assert all(line.startswith(16 * " ") for line in lines[first + 1 :])
