"""Cross-validation: folds as the trials of one sweep, trained in this process, and what they say together."""

import contextlib
import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from keras_cnn.analysis.folds import read_folds
from keras_cnn.analysis.folds_section import folds_section, write_folds
from keras_cnn.analysis.run_tables import Swept
from keras_cnn.cli import detect, evaluate, finetune, program, train
from keras_cnn.config.shipped import find_config
from keras_cnn.errors import InputError
from keras_cnn.evaluation import label_error_files
from keras_cnn.evaluation.label_errors import find_label_errors
from keras_cnn.evaluation.predictions import read_predictions
from keras_cnn.report.pages import write_pages
from keras_cnn.run_folder import read_json
from keras_cnn.sweeps import folds, local, worker
from keras_cnn.sweeps.study import Study
from tests.drawing import draw_nothing

OPTIONS = [
    *("--data.source", "fashion-mini", "--data.per_class", "12", "--model.name", "lenet", "--train.epochs", "1"),
    *("--train.batch_size", "32", "--tracking.wandb", "off"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A cross-validation of two folds, and the second fold trained alone, by train.py; without their figures."""
    place = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        study = folds.create(find_config(Path("default")), OPTIONS, 2, run_dir=place / "folds")
        worker.work(study)
        alone = [*OPTIONS, "--data.fold", "2/2", "--run-dir", str(place / "alone")]
        assert program.run(train.main, ["default", *alone]) == 0
    return place


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def swept(folder: Path) -> Swept:
    return Swept.of(Study(folder))


def test_a_fold_is_the_run_that_holds_it_out(trained):
    """To the bit, also the network's predictions: the sweep adds nothing but the order."""
    runs = [trained / "folds" / "0002", trained / "alone"]
    tables = [(run / "predictions.csv").read_text() for run in runs]
    assert tables[0] == tables[1]
    assert read_json(runs[0] / "split.json")["counts"] == {"train": 50, "validation": 10, "test": 60}
    assert len(rows_of(runs[0] / "test_readings.csv")) == 1


def test_pooled_predictions_have_each_image_once_from_the_run_that_has_not_seen_it(trained):
    written = write_folds(swept(trained / "folds"))
    pooled = read_predictions(trained / "folds" / "out_of_fold" / "predictions.csv")
    assert len(pooled) == len(set(pooled.ids)) == 120
    for run in ("0001", "0002"):
        ids = read_json(trained / "folds" / run / "split.json")["ids"]
        own = read_predictions(trained / "folds" / run / "predictions.csv")
        assert set(own.ids) == set(ids["test"])
        assert not set(own.ids) & {*ids["train"], *ids["validation"]}
        places = [pooled.ids.index(image) for image in own.ids]
        np.testing.assert_array_equal(pooled.probabilities[places], own.probabilities)
    numbers = json.loads((trained / "folds" / "out_of_fold" / "metrics.json").read_text())
    assert numbers["accuracy"] == accuracy_score(pooled.labels, pooled.predicted)
    assert numbers["images"] == 120
    assert "corrected for the folds' overlap" in "\n".join(written)


def test_the_mean_has_the_corrected_interval(trained):
    """Two folds of halves: ratio 1, t of one degree of freedom 12.7062, variance of the mean S^2 (1/2 + 1)."""
    read = read_folds(trained / "folds", Study(trained / "folds").sweep, Study(trained / "folds").trials())
    values = [read_json(trained / "folds" / run / "metrics.json")["loss"] for run in ("0001", "0002")]
    assert read.ratio == 1.0
    half = 12.706205 * np.std(values, ddof=1) * np.sqrt(1.5)
    row = read.table.set_index("measure").loc["loss"]
    assert row[["mean", "low", "high"]].tolist() == pytest.approx(
        [np.mean(values), np.mean(values) - half, np.mean(values) + half], rel=1e-6
    )
    apart = replace(read, runs=read.runs.assign(loss=[0.1, 0.9], accuracy=[0.1, 0.9]))
    assert (apart.interval("loss")[0], apart.interval("accuracy")) == (0.0, (0.0, 1.0))
    trial = Study(trained / "folds").trials()[1]
    assert trial.value == read_json(trained / "folds" / "0002" / "metrics.json")["accuracy"]


def test_the_page_begins_with_the_folds_and_names_no_best_one(trained):
    page = write_pages([trained / "folds"]).read_text()
    assert "Cross-validation" in page
    assert "2 folds of 2, 120 images held out in turn" in page
    assert "cannot be compared" not in page
    assert "Best run" not in page
    assert (trained / "folds" / "analysis" / "folds.csv").is_file()
    with pytest.raises(InputError, match=r"folds have no best one; a network of all the images: .*base\.yaml"):
        local.finish(Study(trained / "folds"))


def test_a_fold_that_is_missing_is_said(trained):
    study = Study(trained / "folds")
    found = read_folds(trained / "folds", study.sweep, study.trials()[:1])
    assert found.notes == ("left out: fold 2/2 (not begun), so that its images have no prediction",)
    assert found.interval("accuracy") is None
    assert len(found.pooled) == 60
    empty = folds_section(Swept(trained / "folds", study.sweep, ()))
    assert empty.warnings == (f"Not shown: {trained / 'folds'}: no fold has finished; nothing to sum up.",)


def test_suspected_label_errors_of_all_folds_are_listed(trained, capsys, monkeypatch):
    """The table has the images of the pooled predictions in the order of the probability of their label."""
    folder = trained / "folds"
    write_folds(swept(folder))
    before = {path: path.read_bytes() for path in folder.glob("0*/*.csv")}
    draw, sheets = label_error_files.sheets.image_sheet, []
    monkeypatch.setattr(label_error_files.sheets, "image_sheet", lambda *given: sheets.append(given) or draw(*given))
    assert program.run(evaluate.main, [str(folder), "--label-errors"]) == 0
    out = capsys.readouterr().out
    assert "of 120 suspected, of the out of fold images" in out
    pooled = read_predictions(folder / "out_of_fold" / "predictions.csv")
    expected = find_label_errors(pooled.labels, pooled.probabilities)
    rows = rows_of(folder / "label_errors" / "out_of_fold.csv")
    assert [row["id"] for row in rows] == [pooled.ids[i] for i in expected.indices]
    assert [float(row["p_label"]) for row in rows] == sorted(float(row["p_label"]) for row in rows)
    for rank, (row, image, suggested) in enumerate(zip(rows, expected.indices, expected.suggested, strict=True), 1):
        label, chances = pooled.labels[image], pooled.probabilities[image]
        assert (row["rank"], row["path"]) == (str(rank), pooled.paths[image])
        assert (row["label"], row["suggested"]) == (pooled.classes[label], pooled.classes[suggested])
        assert float(row["p_label"]) == pytest.approx(chances[label], rel=1e-8)
        assert float(row["p_suggested"]) == pytest.approx(chances[suggested], rel=1e-8)
    pairs = Counter((row["label"], row["suggested"]) for row in rows).most_common()
    assert read_json(folder / "label_errors" / "out_of_fold.json") == {
        "predictions": "out_of_fold",
        "images": 120,
        "suspected": len(rows),
        "pairs": [{"label": label, "suggested": other, "images": n} for (label, other), n in pairs],
    }
    (label, other), number = pairs[0]
    assert f"{label} that may be {other}: {number} image" in " ".join(out.split())
    [(pixels, captions, columns, title)] = sheets
    assert len(pixels) == len(captions) == min(30, len(rows)) > 1
    assert captions[1].split("\n")[1].split() == [
        "label:",
        *rows[1]["label"].split(),
        f"{float(rows[1]['p_label']):.3f}",
    ]
    assert captions[1].split("\n")[2].startswith(f"maybe: {rows[1]['suggested']}  ")
    assert (columns, title.partition(",")[0]) == (5, f"folds: {len(captions)} of {len(rows)} suspected label errors")
    assert (folder / "label_errors" / "out_of_fold.png").stat().st_size > 10_000
    assert {path: path.read_bytes() for path in folder.glob("0*/*.csv")} == before
    page = write_pages([folder]).read_text()
    assert f"{len(rows)} of 120 labels are suspected" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["alone", "--label-errors", "--split", "train"],
            "the network knows these images; expected test",
        ),
        (["folds", "--label-errors", "--split", "test"], "found test; expected a cross-validation of a classifier"),
        (["alone", "folds", "--label-errors"], "several runs does not fit --label-errors"),
        (["alone", "--label-errors", "--views", "flip"], "--views does not fit --label-errors"),
    ],
)
def test_a_wrong_question_for_label_errors_is_one_line(trained, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(trained)
    assert program.run(evaluate.main, arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (train, ["--folds", "1"], "--folds 1: expected at least 2 folds"),
        (train, ["--folds", "3", "--overfit-batch"], "--overfit-batch does not fit --folds"),
        (train, ["--folds", "3", "--sweep", "quick"], "--sweep does not fit --folds"),
        (train, ["--folds", "3", "--data.fold", "1/3"], "--folds 3 and data.fold 1/3: expected one of the two"),
        (train, ["--folds", "3", "--workers", "0"], "--workers 0: expected a number from 1"),
        (train, ["--folds", "1000", "--data.per_class", "12"], "class 'T-shirt/top' has 12 images, too few for 1000"),
        (train, ["--data.fold", "4/3"], "data.fold: found '4/3', expected a fold such as 2/5"),
        (finetune, ["--folds", "3", "--compare", "quick"], "--compare does not fit --folds"),
        (finetune, ["--folds", "3", "--model.name", "lenet"], "lenet is no backbone, and train.py trains it"),
        (detect, ["--folds", "3", "--model", "yolov3-tiny", "x.jpg"], "--folds and --workers are for a training"),
        (detect, ["--train", "--workers", "2"], "--workers is for a cross-validation; expected --folds with it"),
    ],
)
def test_a_wrong_command_is_one_line(tmp_path, monkeypatch, capsys, command, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("keras_cnn.cli.folds.PrewarmedWorkers", lambda count: contextlib.nullcontext())
    assert program.run(command.main, arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert not list(Path().glob("runs/*"))
