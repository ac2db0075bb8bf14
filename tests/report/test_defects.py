"""What a reader once took wrongly from the page: mixed measurements, false alarms, hidden verdicts, ties."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.charts.page import base
from keras_cnn.errors import InputError
from keras_cnn.report import pictures, published
from keras_cnn.report.findings import findings
from keras_cnn.report.html import LIMIT, write_report
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.content import _publication, collect
from keras_cnn.report.sections.evaluations import evaluations
from keras_cnn.report.sections.runs import lead


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def evaluated(run: Path, name: str, metrics: dict) -> None:
    (run / "evaluations" / name).mkdir(parents=True, exist_ok=True)
    (run / "evaluations" / name / "metrics.json").write_text(json.dumps(metrics))


def picture(path: Path, size=(40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "#808080").save(path)


@pytest.fixture
def older(make_run, tmp_path) -> Path:
    """A run without calibration that was evaluated again, with another accuracy and other calibration."""
    run = make_run(tmp_path / "older")
    whole = metrics_of(run)
    evaluated(run, "test", whole | {"accuracy": 0.25, "brier": 1.5, "ece": whole["train"]["ece"]})
    (run / "metrics.json").write_text(json.dumps({k: v for k, v in whole.items() if k not in ("ece", "brier")}))
    return run


# --- two measurements never mix ---------------------------------------------------------------------------------------


def test_a_later_evaluation_is_a_row_of_its_own(older):
    (run,), _ = find_runs([older])
    own = metrics_of(older)
    assert run.test.accuracy == own["accuracy"]
    assert (run.test.brier, run.test.calibration) == (None, None)
    again = run.scores["test, evaluated again"]
    assert (again.accuracy, again.brier) == (0.25, 1.5)
    table = evaluations([run])
    rows = {row[1]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert list(rows) == ["test", "test, evaluated again", "validation", "train"]
    low, high = own["brier_interval"]
    assert rows["test"]["Brier score"] == "–"
    assert rows["test, evaluated again"]["Brier score"] == f"1.5000 [{low:.4f}, {high:.4f}]"
    assert rows["test, evaluated again"]["accuracy"].startswith("25.00 % [")


def test_calibration_says_which_evaluation_it_is_of(older):
    runs, _ = find_runs([older])
    (chart,) = collect(runs).calibration
    assert "From a later evaluation, because metrics.json has no calibration: older: test, evaluated" in chart.note
    said = [found.sentence for found in findings([runs[0].record]) if "confident" in found.sentence]
    assert all("test images, evaluated again" in sentence for sentence in said)


def test_own_calibration_comes_before_a_later_one(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    whole = metrics_of(run)
    evaluated(run, "test", whole | {"ece": whole["train"]["ece"]})
    runs, _ = find_runs([run])
    (chart,) = collect(runs).calibration
    assert "later evaluation" not in chart.note
    assert f"{100 * whole['ece']['value']:.2f} %" in chart.note


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_what_the_page_draws_is_no_picture_and_the_telling_ones_come_first(make_run, tmp_path):
    run = make_run(tmp_path / "run", pictures=0, data={"source": "npz:small", "augment": {"name": "none"}})
    for name in ("curves", "confusion_train", "confusion_validation", "mistakes", "augmentation", "another"):
        picture(run / "figures" / f"{name}.png")
    for name in ("confusion", "reliability", "roc", "sample", "scores", "mistakes"):
        picture(run / "evaluations" / "test" / "figures" / f"{name}.png")
    picture(run / "evaluations" / "test" / "against_older" / "figures" / "newly_wrong.png")
    picture(run / "evaluations" / "flip" / "figures" / "reliability.png")  # of which the page has no chart
    runs, _ = find_runs([run])
    shown, (more,), problems = pictures.embed(pictures.find(runs), 1_000_000)
    assert [(p.source.group, p.source.path.stem) for p in shown] == [
        ("test", "newly_wrong"),  # a comparison was asked for
        ("test", "mistakes"),
        ("test", "scores"),
        ("test", "sample"),
        ("", "mistakes"),
        ("test", "roc"),
        ("", "another"),
        ("flip", "reliability"),
    ]
    assert more.sentence == f"2 more pictures in {run / 'figures'}"
    assert [path.stem for path in more.paths] == ["confusion_train", "confusion_validation"]
    assert problems == []
    spread = pictures.OmittedPictures(more.run, tuple(map(Path, ("a/1.png", "b/2.png", "c/3.png", "a/4.png"))))
    assert spread.sentence == "4 more pictures in a, b and c"


def test_augmented_images_are_shown_where_images_were_augmented(make_run, tmp_path):
    run = make_run(tmp_path / "run", pictures=0, data={"source": "npz:small", "augment": {"name": "flip"}})
    picture(run / "figures" / "augmentation.png")
    runs, _ = find_runs([run])
    assert [source.title for source in pictures.find(runs)] == ["augmentation"]


def test_a_tall_sheet_keeps_a_width_that_can_be_read(make_run, tmp_path):
    """Rows of small pictures with captions, 1,080 pixels wide as figures are: 20 rows once shrank to 431 pixels."""
    run = make_run(tmp_path / "run", pictures=0)
    noise = np.random.default_rng(0).integers(0, 256, (125, 33, 3), np.uint8)
    tall = Image.fromarray(noise).resize((1080, 4010), Image.Resampling.NEAREST)
    (run / "evaluations" / "test" / "figures").mkdir(parents=True)
    for name, sheet in (("scores", tall), ("mistakes", tall.crop((0, 0, 1080, 1866)))):
        sheet.save(run / "evaluations" / "test" / "figures" / f"{name}.png")
    runs, _ = find_runs([run])
    shown, _, _ = pictures.embed(pictures.find(runs), 3_000_000)
    widths = {picture.source.title: picture.size[0] for picture in shown}
    assert widths["scores"] >= 540  # half: text of 8 points
    sizes = {picture.source.title: len(picture.url) for picture in shown}
    assert sizes["mistakes"] <= pictures.LARGEST
    assert sizes["scores"] <= 2 * pictures.LARGEST


def test_room_is_shared_among_runs_and_never_filled(make_run, tmp_path):
    runs, _ = find_runs([make_run(tmp_path / name, pictures=12) for name in ("one", "two")])
    shown, more, problems = pictures.embed(pictures.find(runs), 3_000_000)
    assert max(len(p.url) for p in shown) <= pictures.LARGEST
    assert [sum(p.source.run is run for p in shown) for run in runs] == [pictures.PER_RUN] * 2
    assert [len(found.paths) for found in more] == [12 - pictures.PER_RUN] * 2
    assert problems == []
    few, rest, _ = pictures.embed(pictures.find(runs), 5 * pictures.SMALLEST)
    assert len(few) + sum(len(found.paths) for found in rest) == 24
    place = write_report([run.record.path for run in runs])
    assert place.stat().st_size < LIMIT - 500_000
    assert 'id="problems"' not in place.read_text()


# --- published figures ------------------------------------------------------------------------------------------------


def test_caveats_of_all_rows_stand_once(make_run, tmp_path):
    figures = [
        {"figure": "test_accuracy", "value": 0.5, "source": "p. 1", "note": "one seed"},
        {"figure": "train_accuracy", "value": 0.5, "source": "p. 1", "note": "one seed"},
        {"figure": "trainable_parameters", "value": 504, "source": "p. 1"},
    ]
    run = make_run(tmp_path / "run", published=figures)
    runs, _ = find_runs([run])
    content = collect(runs)
    (found,) = content.publications
    assert found.caveats == ("one seed",)
    assert all("one seed" not in row.reason for row in found.rows)
    assert [("one seed" in row.reason) for row in content.published[0][1]] == [True, True, False]  # as W&B has it
    section = re.search(r'<section id="published".*?</section>', write_report([run]).read_text(), re.DOTALL)[0]
    assert section.count("one seed") == 1


def test_a_caveat_of_one_row_stays_there():
    rows = [
        published.PublishedComparison(name, 0.5, 1, 0.5, None, "agrees", "equal as printed", "p. 1", caveats)
        for name, caveats in (("a", ("all", "own")), ("b", ("all",)), ("c", ()))
    ]
    found = _publication(None, rows)
    assert found.caveats == ("all",)
    assert [row.caveats for row in found.rows] == [("own",), (), ()]


def test_an_unknown_publication_names_run_and_file(make_run, tmp_path):
    run = make_run(tmp_path / "run", published="cs7015/net9")
    (found,), _ = find_runs([run])
    with pytest.raises(InputError, match=re.escape(f"{run / 'config.yaml'}: published: 'cs7015/net9' is unknown")):
        published.figures_of(found.record)
    assert str(run / "config.yaml") in write_report([run]).read_text().split('id="published"')[0]


# --- damaged files ----------------------------------------------------------------------------------------------------


def predictions(run: Path, images=120, value="0.5", classes=("cat", "dog", "eel")) -> None:
    with (run / "predictions.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "path", "true", "predicted", "correct", *(f"p_{name}" for name in classes)])
        rest = [0.5, *[0] * (len(classes) - 2)]
        for i in range(images):
            rows.writerow([i, "", classes[0], classes[0], 1, value, *rest])


def cut_off(run: Path) -> None:
    predictions(run)
    text = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(text[: len(text) - 9])


DAMAGED = {
    "whole": (predictions, None),
    "foreign": (lambda run: (run / "predictions.csv").write_text("a,b\n1,2\n"), "predictions.csv: line 1 is 'a,b'"),
    "NaN": (lambda run: predictions(run, value="nan"), "predictions.csv: row 1: p_cat is nan"),
    "cut off": (cut_off, "predictions.csv: row 120 has"),
    "fewer images": (lambda run: predictions(run, 119), "predictions.csv: 119 images; expected 120"),
    "other classes": (lambda run: predictions(run, classes=("x", "y")), "predictions.csv: classes x, y; expected"),
    "no model": (lambda run: (run / "model.keras").unlink(), "model.keras: missing"),
    "no epochs": (lambda run: (run / "history.csv").write_text("epoch,loss\n"), "history.csv: no rows"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_of_a_finished_run_are_named(make_run, tmp_path, name):
    run = make_run(tmp_path / "run")
    spoil, words = DAMAGED[name]
    spoil(run)
    (found,), _ = find_runs([run])
    if words is None:
        assert found.problems == ()
    else:
        (line,) = found.problems
        assert line.startswith(str(run))
        assert words in line


def test_an_unfinished_run_lacks_no_model_and_has_its_best_epoch_so_far(make_run, tmp_path):
    """A nan in the history, as a damaged file may have, is no accuracy; 45 of 60 images are right in epoch 3."""
    run = make_run(tmp_path / "run")
    for name in ("metrics.json", "model.keras"):
        (run / name).unlink()
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    for row, accuracy in zip(rows[1:], ("nan", "0.5", "0.75", "inf"), strict=True):
        row[rows[0].index("val_accuracy")] = accuracy
    (run / "history.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    (found,), _ = find_runs([run])
    assert not any("model.keras" in line for line in found.problems)
    assert (found.best_epoch, found.validation.accuracy, found.validation.images) == (3, 0.75, 60)
    # statsmodels' proportion_confint(45, 60, method="wilson")
    assert found.validation.interval == pytest.approx((0.6276792992, 0.8422347747), abs=1e-9)
    assert found.state == "unfinished: epoch 4 of 4"
    (run / "config.yaml").write_text("train: {monitor: val_loss}\n")
    (run / "split.json").unlink()
    for row, loss, accuracy in zip(rows[1:], "4213", ("0.5", "0.5", "1.5", "0.5"), strict=True):
        row[rows[0].index("val_loss")], row[rows[0].index("val_accuracy")] = loss, accuracy
    (run / "history.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    (found,), _ = find_runs([run])
    assert (found.state, found.monitor, found.best_epoch) == ("unfinished: epoch 4", "val_loss", 3)
    assert found.validation.accuracy is None  # 1.5 is none
    (run / "history.csv").write_text((run / "history.csv").read_text().replace(",1.5,", ",1.0,"))
    (found,), _ = find_runs([run])
    assert (found.validation.accuracy, found.validation.interval) == (1, None)  # of so many images as nobody knows


# --- ties, ticks, matrices --------------------------------------------------------------------------------------------


def test_equal_runs_share_the_highest_accuracy(make_run, tmp_path):
    paths = [make_run(tmp_path / name) for name in ("a", "b", "c")]
    for path, accuracy in zip(paths, (0.9, 0.9, 0.8), strict=True):
        whole = metrics_of(path)
        whole["validation"]["accuracy"] = accuracy
        (path / "metrics.json").write_text(json.dumps(whole))
    runs, _ = find_runs(paths)
    assert "a has the highest validation accuracy, 90.00 %" in lead(runs)
    assert "shared by 2; it classifies" in lead(runs)
    assert "shared by" not in lead(runs[1:])


@pytest.mark.parametrize(
    ("epochs", "step"), [([1], 1), ([1, 2], 1), (range(1, 12), 1), (range(1, 13), 2), (range(1, 31), 5), ([0, 200], 20)]
)
def test_ticks_stand_at_whole_epochs(epochs, step):
    assert base.whole_ticks(list(epochs)) == {"tick0": 0, "dtick": step}


def test_matrices_of_further_evaluations_are_folded(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    for name in ("test", "flip"):
        evaluated(run, name, metrics_of(run)["train"])
    runs, _ = find_runs([run])
    content = collect(runs)
    assert [chart.title for chart in content.confusions] == ["run"]
    assert [chart.title for chart in content.more_confusions] == ["run: test, evaluated again", "run: flip"]
    text = write_report([run]).read_text()
    folded = re.search(r'<details class="further">.*?data-chart="confusion-2"', text, re.DOTALL)[0]
    assert 'data-chart="confusion-1"' in folded
    assert 'data-chart="confusion-0"' not in folded
