"""Lines for a terminal, and figures, where there are more classes than fit."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.evaluation import gallery, tables
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.test_time_augmentation import ONE
from keras_cnn.evaluation.verdicts import Finding

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
    assert len(rows) == 40  # scores, then areas
    assert [numbers(row)[3] for row in rows[:20]] == pytest.approx(recalls[:20], abs=5e-5)
    assert "10 more classes in metrics.json; shown are the 20 of lowest recall" in lines
    assert any(line.startswith("note        no images of a species of bird, the one of number 29") for line in lines)
    assert max(map(len, rows)) <= 120
    twenty = dict(list(found.metrics["per_class"].items())[:20])
    lines = list(tables.evaluation(found.metrics | {"per_class": twenty}))
    rows = [line for line in lines if line.startswith("a species")][:20]
    in_order = [row["recall"] for row in twenty.values()]
    assert [numbers(row)[3] for row in rows] == pytest.approx(in_order, abs=5e-5)
    assert not any("more classes" in line for line in lines)


def numbers(row: str) -> list[float]:
    """All numbers of a line, those in brackets too."""
    return [float(word) for word in re.findall(r"\d\.\d{4}", row)]


def test_columns_stand_below_their_headings(found):
    lines = list(tables.evaluation(found.metrics))
    headings = [line for line in lines if line.startswith("class")]
    assert [heading.split()[1:] for heading in headings] == [
        ["precision", "recall", "F1", "images"],
        ["ROC", "area", "average", "precision"],
    ]
    for heading in headings:
        first = lines.index(heading) + 1
        for word in re.findall(r"precision|recall|F1|ROC area|average precision", heading):
            for row in lines[first : first + 21]:
                assert row.startswith(("a species", "macro"))
                assert re.match(r"  ([01]\.\d{4}\b|-)", row[heading.index(word) - 2 :]), (word, row)


def test_every_number_is_printed_with_its_interval(found):
    lines, whole = list(tables.evaluation(found.metrics)), found.metrics
    for name, value, ends in (
        ("accuracy", whole["accuracy"], whole["accuracy_interval"]),
        ("loss", whole["loss"], whole["loss_interval"]),
        ("Brier", whole["brier"], whole["brier_interval"]),
        ("ECE", whole["ece"]["value"], whole["ece"]["interval"]),
    ):
        line = next(line for line in lines if line.startswith(name))
        assert numbers(line)[:3] == pytest.approx([value, *ends], abs=5e-5)
    macro = next(line for line in lines if line.startswith("macro mean"))
    expected = [n for k in ("precision", "recall", "f1") for n in (whole["macro"][k], *whole["macro"][f"{k}_interval"])]
    assert numbers(macro) == pytest.approx(expected, abs=5e-5)


def test_numbers_of_an_older_version_are_printed_alone(found):
    def without(tree):
        if not isinstance(tree, dict):
            return tree
        return {key: without(value) for key, value in tree.items() if not key.endswith("_interval")}

    older = without(found.metrics) | {"accuracy_interval": found.metrics["accuracy_interval"]}
    del older["bootstrap"], older["ece"]["interval"]
    lines = list(tables.evaluation(older))
    assert f"loss        {older['loss']:.4f}  nats" in lines
    assert not any("bootstrap" in line for line in lines)


def test_a_comparison_of_many_classes_lists_those_that_changed_most(found):
    change = compare(evaluation_of(0.5).predictions, found.predictions)
    lines = list(tables.comparison(change, "before", "after"))
    differences = sorted((abs(c.difference) for c in change.per_class.values() if c.images), reverse=True)
    shown = [abs(float(line.split("[")[0].split()[-1])) / 100 for line in lines if line.startswith("a species")]
    assert shown == pytest.approx(differences[:20], abs=5e-5)
    assert "10 more classes in comparison.json; shown are those that changed most" in lines
    twenty = [(name, c) for name, c in change.per_class.items() if c.images][:20]
    lines = list(tables.comparison(replace(change, per_class=dict(twenty)), "before", "after"))
    shown = [float(line.split("[")[0].split()[-1]) / 100 for line in lines if line.startswith("a species")]
    assert shown == pytest.approx([c.difference for _, c in twenty], abs=5e-5)  # all of them, in their own order


@dataclass
class Drawn:
    """What the figures of an evaluation were made of, and the folder that has them."""

    folder: Path
    rows: tuple = ()  # arguments of the sheet of ranked images
    sheets: dict[str, tuple[list[str], str]] = field(default_factory=dict)  # captions and title, by name of the file


@pytest.fixture(scope="module")
def drawn(found, tmp_path_factory) -> Drawn:
    """All figures, drawn once: they take most of the time of this file."""
    made = Drawn(tmp_path_factory.mktemp("figures"))
    draw_rows = gallery.sheets.row_sheet

    def row_sheet(*arguments):
        made.rows = arguments
        return draw_rows(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery.sheets, "row_sheet", row_sheet)
        made.sheets = sheets_of(lambda: gallery.draw(found, made.folder, "many"), patch)
    return made


def test_of_many_classes_those_of_lowest_recall_have_their_images_shown(found, drawn):
    _, names, captions, title, note = drawn.rows
    assert "of all 290 images" in note
    assert [len(row) for row in captions] == [10] * 20  # the highest and the lowest of ten classes
    recalls = {name: row["recall"] for name, row in found.metrics["per_class"].items() if row["support"]}
    lowest = set(sorted(recalls, key=recalls.get)[:10])
    assert {name.partition(":")[0] for name in names} == lowest
    assert "of 10 of 30 classes" in title
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.folder.iterdir())
    assert len(list(drawn.folder.iterdir())) == 8


def sheets_of(draw, monkeypatch) -> dict[str, tuple[list[str], str]]:
    """Captions and title of each sheet of images that `draw` makes, by the name that it is saved as."""
    made, saved = {}, {}
    draw_images, save = gallery.sheets.image_sheet, gallery.style.save

    def keep(figure, path):
        saved[path.stem] = figure
        save(figure, path)

    def image_sheet(images, captions, columns, title, note=""):
        figure = draw_images(images, captions, columns, title, note)
        made[figure] = (list(captions), title)
        return figure

    monkeypatch.setattr(gallery.sheets, "image_sheet", image_sheet)
    monkeypatch.setattr(gallery.style, "save", keep)
    draw()
    return {name: made[figure] for name, figure in saved.items() if figure in made}


def test_the_highest_losses_have_their_loss_falling(found, drawn):
    captions, title = drawn.sheets["top_losses"]
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
    monkeypatch.setattr(gallery.style, "save", lambda *_: None)
    sheets = sheets_of(lambda: gallery.draw_comparison(change, found, tmp_path, "two"), monkeypatch)
    captions, title = sheets["newly_wrong"]
    wrong = np.flatnonzero(
        (before.logits.argmax(axis=1) == found.images.labels) & (found.logits.argmax(axis=1) != found.images.labels)
    )
    assert 0 < len(captions) == min(30, len(wrong))
    assert title == f"two: {len(captions)} of {len(wrong)} newly wrong images, drawn at random, the surest first"
    sure = []
    for caption in captions:
        name, was, now, _ = caption.split("\n")
        image = int(name.removeprefix("test/"))
        sure.append(found.probabilities[image].max())
        assert was == f"before: {MANY[before.logits[image].argmax()]}"
        assert now == f"after: {MANY[found.logits[image].argmax()]}"
    assert sure == sorted(sure, reverse=True)


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
