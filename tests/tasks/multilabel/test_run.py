"""A run with several labels an image, from training to every program: squares of three colours, any of which may be in
an image."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn import metrics as reference

import keras_cnn
from keras_cnn.cli import evaluate, predict
from keras_cnn.cli.program import run as program
from keras_cnn.config.schema import TableColumns
from keras_cnn.data.shards.writing_plan import WriteOptions, make_plan
from keras_cnn.data.sources import read_source
from keras_cnn.errors import InputError
from keras_cnn.evaluation import kinds
from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
from keras_cnn.export import litert, onnx
from keras_cnn.models.class_names import classes_in, has_several_labels
from keras_cnn.prediction.label_table import LabelPredictions
from keras_cnn.run_folder.record import read_record
from keras_cnn.tasks.multilabel import results

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
OPTIONS = {"learning_rate": 0.01, "epochs": 8, "batch_size": 16, "precision": "float32", "wandb": "off"}


def make_photos(folder: Path, images: int = 120) -> Path:
    """Images with a square of each of some colours in one of four corners, and their table."""
    random, rows = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(images):
        canvas = random.integers(0, 40, (16, 16, 3)).astype(np.uint8)
        corners = random.permutation(4)
        has = random.random(3) < 0.4
        for corner, (colour, present) in enumerate(zip(COLOURS.values(), has, strict=True)):
            top, left = 8 * (corners[corner] // 2), 8 * (corners[corner] % 2)
            if present:
                canvas[top : top + 8, left : left + 8] = colour
        Image.fromarray(canvas).save(folder / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{' '.join(n for n, p in zip(COLOURS, has, strict=True) if p)}")
    (folder / "labels.csv").write_text("\n".join(["image,labels", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The working folder, with the photos."""
    place = tmp_path_factory.mktemp("several")
    make_photos(place / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


@pytest.fixture(scope="module")
def data(place):
    table = {"separator": " "}
    return keras_cnn.load_data("csv:photos/labels.csv", table=table, validation=30, test=30, cache_dir="cache")


@pytest.fixture(scope="module")
def run(data):
    return keras_cnn.train("lenet", data, name="squares", path="run", monitor="val_map", verbose=False, **OPTIONS)


def test_the_metrics_of_a_run_are_those_of_its_table_by_scikit_learn(run, data):
    with (run.path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    true, predicted, scores = (
        np.array([[float(row[f"{kind}_{name}"]) for name in data.classes] for row in rows])
        for kind in ("true", "predicted", "p")
    )
    assert true.tolist() == data.test.labels.tolist()
    found = run.metrics
    assert found["task"] == "multilabel"
    assert found["map"] == pytest.approx(reference.average_precision_score(true, scores), abs=1e-9)
    assert found["map"] > 0.9  # the squares can be told apart
    assert found["micro"]["f1"] == pytest.approx(reference.f1_score(true, predicted, average="micro"))
    assert found["macro"]["f1"] == pytest.approx(reference.f1_score(true, predicted, average="macro"))
    assert found["validation"]["thresholds"] == found["thresholds"]
    assert list(run.history.columns[:5]) == ["loss", "exact_match", "val_loss", "val_map", "val_exact_match"]
    assert found["validation"]["map"] == pytest.approx(run.history["val_map"].max())
    assert "test mAP" in repr(run)
    assert {path.stem for path in (run.path / "figures").glob("*.png")} >= {"curves", "classes", "cooccurrence"}
    card = (run.path / "README.md").read_text()
    assert "may have several labels" in card
    assert f"| micro F1 | {found['micro']['f1']:.4f} |" in card


def test_the_record_and_the_file_of_the_model_say_that_there_are_several_labels(run):
    assert read_record(run.path).several_labels
    assert has_several_labels(run.path / "model.keras")
    assert classes_in(run.path / "model.keras") == run.classes == ("blue", "green", "red")


def test_an_evaluation_repeats_the_numbers_and_compares(run, capsys, monkeypatch):
    monkeypatch.setattr(kinds, "SEVERAL_LABELS", replace(kinds.SEVERAL_LABELS, draw=lambda *_: None))
    evaluation = run.evaluate("test")
    assert isinstance(evaluation, MultilabelEvaluation)
    assert evaluation.map == pytest.approx(run.metrics["map"])
    assert evaluation.metrics["micro"] == run.metrics["micro"]
    assert evaluation.cooccurrence.loc["red", "red"] == run.metrics["per_class"]["red"]["support"]
    assert evaluation.against(evaluation).scores["map"].difference == 0
    other = run.evaluate(data="csv:photos/labels.csv")
    assert len(other.images) == 120
    assert other.metrics["thresholds"] == run.metrics["thresholds"]
    with pytest.raises(InputError, match="temperature: images of run may have several labels"):
        run.evaluate("test", temperature=True)
    capsys.readouterr()
    assert program(evaluate.main, ["run", "--split", "validation", "--views", "flip", "--full"]) == 0
    shown = capsys.readouterr().out
    assert "thresholds  chosen on validation, by the largest F1 of each class" in shown
    assert "threshold  images" in shown


def test_predictions_name_every_class_that_reaches_its_threshold(run, place):
    names = [f"photos/{number:03d}.png" for number in range(6)]
    predictions = run.predict(names)
    assert isinstance(predictions, LabelPredictions)
    thresholds = np.array([run.metrics["thresholds"][name] for name in run.classes])
    expected = predictions.probabilities >= thresholds
    for row, chosen in zip(predictions.labels, expected, strict=True):
        assert set(row) == {name for name, is_label in zip(run.classes, chosen, strict=True) if is_label}
    assert predictions.table["predicted_red"].tolist() == expected[:, run.classes.index("red")].tolist()
    predictions.to_csv(place / "predicted.csv")
    with (place / "predicted.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == [" ".join(names) for names in predictions.labels]  # as in the table
    of_file = keras_cnn.predict(run.path / "model.keras", names)
    assert np.allclose(of_file.probabilities, predictions.probabilities)
    path = run.submission(names, "submission.csv")
    assert path.read_text().splitlines()[1] == f"000,{' '.join(predictions.labels[0])}"


def test_each_predicted_class_of_an_image_is_explained(run, place, capsys):
    images = ["photos/001.png", "photos/002.png"]
    assert program(predict.main, ["run", *images, "--explain", "grad-cam", "--output", "p/p.csv"]) == 0
    labels = [names or ("",) for names in run.predict(images).labels]
    assert len(list((place / "p" / "grad-cam").glob("*.png"))) == sum(map(len, labels))
    figures = run.view("attribution", images, method="grad-cam")
    assert len(figures.arrays()["scores"]) == sum(map(len, labels))
    with pytest.raises(InputError, match="ablation: images that may have several classes"):
        run.view("ablation")
    capsys.readouterr()


def test_the_page_has_the_numbers_of_the_run(run):
    page = keras_cnn.report(run, "page.html").read_text()
    for words in (f"{run.metrics['map']:.4f}", "Co-occurrence", "Average precision of each class", "threshold"):
        assert words in page
    with pytest.raises(InputError, match="has its own page; expected no other run"):
        keras_cnn.report([run, run])


def test_an_export_and_its_program_know_sigmoid_and_thresholds(run, place, fork_server):
    files = run.export(["keras", "litert", "onnx"], verbose=False)
    path = files["keras"]
    described = json.loads((path.parent / "export.json").read_text())
    assert described["thresholds"] == run.metrics["thresholds"]
    assert described["output"]["activation"] == "sigmoid"
    expected = keras_cnn.predict(path, ["photos/001.png"])
    assert expected.labels == run.predict(["photos/001.png"]).labels
    names = [f"photos/{number:03d}.png" for number in range(20)]
    pixels, chances = np.stack([np.asarray(Image.open(name)) for name in names]), run.predict(names).probabilities
    for name, module in (("litert", litert), ("onnx", onnx)):
        np.testing.assert_allclose(expit(module.load(files[name])(pixels)), chances, rtol=0, atol=1e-5)
    code = (path.parent / "predict_keras.py").read_text()
    assert "np.tanh" in code
    assert "softmax" not in code
    code = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = fork_server.run(code, path.parent.resolve() / "predict_keras.py", "photos/001.png", folder=place)
    assert done.returncode == 0, done.stderr
    shown = [line.split("  ")[-1] for line in done.stdout.splitlines()]
    assert shown == list(expected.labels[0] or ("none of the classes",))


def test_a_frozen_network_and_balanced_weights_train_too(data, run, monkeypatch):
    monkeypatch.setattr(results, "draw_figures", lambda *_: None)
    options = {**OPTIONS, "epochs": 1, "class_weights": "balanced"}
    tuned = keras_cnn.finetune("resnet8", data, weights="none", path="tuned", verbose=False, **options)
    assert 0 <= tuned.metrics["map"] <= 1
    assert program(evaluate.main, ["tuned", "--against", "run"]) == 0
    found = json.loads((tuned.path / "evaluations" / "test" / "against_run" / "comparison.json").read_text())
    assert found["scores"]["map"]["before"] == pytest.approx(run.metrics["map"], abs=1e-7)
    assert found["scores"]["map"]["after"] == pytest.approx(tuned.metrics["map"], abs=1e-7)
    with pytest.raises(InputError, match="run: several labels an image; expected it alone, or with --against RUN"):
        keras_cnn.evaluate_runs(["run", "tuned"])


def test_one_batch_can_be_memorised(data):
    options = {"learning_rate": 3e-3, "batch_size": 8, "wandb": "off"}
    learnt = keras_cnn.overfit_batch("lenet", data, path="batch", verbose=False, **options)
    assert learnt.metrics["exact_match"] == 1
    assert learnt.metrics["split"] == "train"


def test_other_labels_are_refused(run):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3))
    arrays = (pixels, np.array(["red", "blue", "green"] * 10))
    single = keras_cnn.load_data(arrays, validation=6, test=6, cache_dir="cache")
    several = read_source("csv:photos/labels.csv", table=TableColumns(separator=" "), cache_dir="cache")
    with pytest.raises(InputError, match="images that may have several labels, expected one class an image"):
        make_plan("csv:photos/labels.csv", several, WriteOptions(10**6, None, 90))
    with pytest.raises(InputError, match="one class an image; expected several labels an image, as in the run"):
        run.evaluate(data=single)
    with pytest.raises(InputError, match=r"train\.monitor: found val_map, of one class an image"):
        keras_cnn.train("lenet", single, monitor="val_map", path="never", verbose=False, **OPTIONS)
    assert not Path("never").exists()
