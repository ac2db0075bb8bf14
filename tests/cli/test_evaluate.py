"""`python evaluate.py` as a user meets it, on tiny runs of the train face: numbers, files, and what it refuses."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sklearn_metrics

from keras_cnn.cli import evaluate, program
from keras_cnn.prediction.predicting import predict
from keras_cnn.run_folder.record import read_record
from tests.drawing import draw_nothing

ROOT = Path(__file__).resolve().parents[2]
CLASSES, SIDE, TRAIN, TEST = ("cat", "dog", "Äpfel"), 12, 16, 9
TINY = "[{conv: 4, kernel: 3}, {relu: }, {pool: 2}, {flatten: }]"
SETTINGS = ["--model.name", "layers", "--model.table", TINY, "--tracking.wandb", "off", "--precision", "float32"]
SETTINGS += ["--data.validation", "12", "--train.batch_size", "8", "--optim.learning_rate", "0.01"]


def draw(folder: Path, counts: dict[str, int], classes=CLASSES, seed: int = 3) -> None:
    """Noise about a brightness and a colour of each class, so that a network finds it neither hopeless nor trivial."""
    rng = np.random.default_rng(seed)
    for part, count in counts.items():
        for i, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 200, (SIDE, SIDE, 3)) + 15 * np.arange(3) * (i - 1)
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / part / name / f"{number} ☀.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train_several) -> Path:
    """A folder with photos and runs that nobody changes: `one`, `two` of another seed, `longer` of another recipe."""
    folder = tmp_path_factory.mktemp("evaluate")
    draw(folder / "photos", {"train": TRAIN, "test": TEST})
    base = [*SETTINGS, "--data.source", f"folder:{folder / 'photos'}", "--data.cache_dir", folder / "cache"]
    plain = [*base, "--data.augment.name", "none"]
    short = [*base, "--train.epochs", "2", "--data.augment.name", "light", "--name", "short"]
    lines = {
        "one": [*short, "--run-dir", "runs/one"],
        "two": [*short, "--run-dir", "runs/two", "--seed", "2"],
        "longer": [*plain, "--train.epochs", "5", "--run-dir", "runs/longer", "--name", "longer"],
    }
    for name, answer in train_several(folder, lines).items():
        assert answer["status"] == 0, (name, answer["err"])
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the runs, to be changed at will; the working directory is above it."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained / "runs", tmp_path / "runs")).relative_to(tmp_path)


@pytest.fixture
def call_and_draw(capsys):
    """Runs the program with --full: (exit status, standard output, lines of standard error)."""

    def run(*arguments, full: bool = True) -> tuple[int, str, list[str]]:
        status = program.run(evaluate.main, [*map(str, arguments), *(["--full"] if full else [])])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    return run


@pytest.fixture
def call(call_and_draw, monkeypatch):
    """The same without figures, which take most of the time."""
    draw_nothing(monkeypatch)
    return call_and_draw


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def read_table(path: Path) -> tuple[list[dict[str, str]], np.ndarray, np.ndarray]:
    """Rows of predictions.csv, true labels (N,) and probabilities (N, C)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([CLASSES.index(row["true"]) for row in rows])
    return rows, labels, np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])


def readings(run: Path) -> int:
    return len((run / "test_readings.csv").read_text().splitlines()) - 1


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_every_number_is_that_of_scikit_learn_on_the_predictions(runs, call):
    status, out, err = call(runs / "one")
    assert (status, err) == (0, [])
    folder = runs / "one" / "evaluations" / "test"
    assert not (folder / "figures").exists()  # `call` draws none
    found = read_json(folder / "metrics.json")
    rows, labels, chances = read_table(folder / "predictions.csv")
    predicted = chances.argmax(axis=1)
    report = sklearn_metrics.classification_report(
        labels, predicted, target_names=CLASSES, output_dict=True, zero_division=0
    )
    assert found["images"] == len(rows) == len(CLASSES) * TEST
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    for name, scores in {**found["per_class"], "macro": found["macro"], "weighted": found["weighted"]}.items():
        theirs = report.get(name) or report[f"{name} avg"]
        for mine, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert scores[mine] == pytest.approx(theirs[key]), (name, key)
    assert found["confusion"] == sklearn_metrics.confusion_matrix(labels, predicted).tolist()
    assert found["loss"] == pytest.approx(sklearn_metrics.log_loss(labels, chances), abs=1e-7)
    assert found["brier"] == pytest.approx(np.mean(np.sum((chances - np.eye(3)[labels]) ** 2, axis=1)), abs=1e-7)
    top = sklearn_metrics.top_k_accuracy_score(labels, chances, k=2)
    assert found["top_k"]["2"]["accuracy"] == pytest.approx(top)
    for i, name in enumerate(CLASSES):
        scores = found["ranking"]["per_class"][name]
        assert scores["roc_area"] == pytest.approx(sklearn_metrics.roc_auc_score(labels == i, chances[:, i]))
        average = sklearn_metrics.average_precision_score(labels == i, chances[:, i])
        assert scores["average_precision"] == pytest.approx(average)
    confidence, right = chances.max(axis=1), predicted == labels
    gaps = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gaps += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert found["ece"]["value"] == pytest.approx(gaps, abs=1e-7)
    assert f"accuracy    {report['accuracy']:.4f}  [" in out
    assert re.search(rf"^ECE         {gaps:.4f}  \[0\.\d{{4}}, 0\.\d{{4}}\].*15 equal-width bins", out, re.MULTILINE)


def test_the_script_with_other_peoples_code_finds_every_number_again(runs, call, capsys, monkeypatch):
    for options in (["--split", "validation"], [], ["--temperature"]):
        assert call(runs / "one", *options)[0] == 0
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import recompute_metrics

    for name in ("test", "test-temperature"):
        monkeypatch.setattr(sys, "argv", ["recompute_metrics.py", str(runs / "one"), "--evaluation", name])
        assert recompute_metrics.main() == 0
        evaluation, run = capsys.readouterr().out.split("runs/one/metrics.json\n")
        assert "0 beyond 1e-06" in evaluation
        assert "0 beyond 1e-06" in run
        assert "not in the file" not in evaluation + run.replace("not in the file ranking", "")  # not of a run's own
        assert "nothing here computes it" not in evaluation + run
    path = runs / "one" / "evaluations" / name / "metrics.json"
    found = read_json(path)
    found["macro"]["f1_interval"][0] += 1e-4
    path.write_text(json.dumps(found))
    assert recompute_metrics.main() == 1
    assert "WRONG           macro/f1_interval/0" in capsys.readouterr().out


def test_logits_and_softmax_are_the_predictions_and_the_run_is_met_again(runs, call):
    assert call(runs / "one")[0] == 0
    folder = runs / "one" / "evaluations" / "test"
    _, labels, chances = read_table(folder / "predictions.csv")
    logits, softmax = np.load(folder / "logits.npy"), np.load(folder / "softmax.npy")
    assert (logits.dtype, softmax.dtype, logits.shape) == (np.float32, np.float64, chances.shape)
    powers = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(softmax, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(softmax, chances, atol=1e-8)
    _, own_labels, own = read_table(runs / "one" / "predictions.csv")
    np.testing.assert_array_equal(labels, own_labels)
    np.testing.assert_allclose(chances, own, atol=1e-6)
    assert read_json(folder / "metrics.json")["accuracy"] == read_json(runs / "one" / "metrics.json")["accuracy"]


def test_the_temperature_is_fitted_on_validation_alone(runs, call):
    assert call(runs / "one", "--split", "validation")[0] == 0
    assert call(runs / "one")[0] == 0
    folder = runs / "one" / "evaluations"
    logits = np.load(folder / "validation" / "logits.npy").astype(np.float64)
    labels = read_table(folder / "validation" / "predictions.csv")[1]

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))

    found = read_json(folder / "test" / "metrics.json")["temperature"]
    assert found["value"] == read_json(folder / "validation" / "metrics.json")["temperature"]["value"]
    assert (found["fitted_on"], found["validation_images"], found["applied"]) == ("validation", 12, False)
    tried = np.geomspace(0.05, 50, 4001)
    assert found["value"] == pytest.approx(tried[np.argmin([loss(t) for t in tried])], rel=2e-3)


def test_temperature_scales_what_is_written(runs, call):
    status, out, _ = call(runs / "one", "--temperature")
    assert status == 0
    folder = runs / "one" / "evaluations" / "test-temperature"
    found = read_json(folder / "metrics.json")
    scaled = np.load(folder / "logits.npy").astype(np.float64) / found["temperature"]["value"]
    powers = np.exp(scaled)
    np.testing.assert_allclose(np.load(folder / "softmax.npy"), powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    assert found["loss"] == pytest.approx(found["temperature"]["after"]["loss"])
    assert "; applied" in out


def test_the_train_and_validation_splits_are_not_readings_of_the_test(runs, call):
    for split, images in (("train", len(CLASSES) * TRAIN - 12), ("validation", 12)):
        status, out, _ = call(runs / "one", "--split", split)
        assert status == 0
        assert f"images      {images}: {split} split" in out
        assert "readings" not in out
        recorded = read_json(runs / "one" / "metrics.json")[split]
        assert read_json(runs / "one" / "evaluations" / split / "metrics.json")["loss"] == pytest.approx(
            recorded["loss"], abs=1e-6
        )
    assert readings(runs / "one") == 1


def test_ten_lines_of_80_characters_say_what_matters(runs, call):
    assert call(runs / "one", full=False)[0] == 0
    status, out, _ = call(runs / "one", full=False)
    assert status == 0
    lines = out.splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 80
    found = read_json(runs / "one" / "evaluations" / "test" / "metrics.json")
    recalls = {name: row["recall"] for name, row in found["per_class"].items()}
    assert f"accuracy    {found['accuracy']:.4f}  [" in out
    assert f"weakest     {min(recalls, key=recalls.get)}: recall {min(recalls.values()):.4f} of 9 images" in out
    assert "readings    the test split: read 3 times by this run" in out
    assert "note" not in out  # a second reading is counted, not scolded


def test_every_reading_of_the_test_split_is_counted(runs, call):
    for times in (2, 3):
        status, out, _ = call(runs / "one")
        assert status == 0
        assert readings(runs / "one") == times
        assert f"readings    the test split: read {times} time" in out
        assert read_json(runs / "one" / "evaluations" / "test" / "metrics.json")["test_readings"] == times
    assert "protocol    note: The test split was read 3 times" in out


FIGURES = "confusion mistakes precision_recall reliability roc sample scores top_losses"


def test_the_folder_is_complete_and_nothing_else_is_left(runs, call_and_draw):
    before = {p.name for p in (runs / "one").iterdir()}
    assert call_and_draw(runs / "one")[0] == 0
    assert {p.name for p in (runs / "one").iterdir()} == before | {"evaluations"}
    folder = runs / "one" / "evaluations" / "test"
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    arrays = {"metrics.json", "predictions.csv", "prediction_sets.csv", "logits.npy", "softmax.npy"}
    assert files == arrays | {f"figures/{name}.png" for name in FIGURES.split()}
    assert all((folder / name).stat().st_size for name in files)


def test_an_evaluation_that_fails_leaves_the_old_one_whole(runs, call, monkeypatch):
    assert call(runs / "one")[0] == 0
    folder = runs / "one" / "evaluations" / "test"
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_cnn.evaluation.evaluations.write_predictions", fail)
    status, _, err = call(runs / "one")
    assert status == 3
    assert "the disk is full" in err[0]
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert not list((runs / "one").glob(".evaluation-*"))


# --- other images, several views --------------------------------------------------------------------------------------


def test_other_images_are_evaluated_in_the_order_of_the_models_classes(runs, call, tmp_path):
    """The same test images under names that sort otherwise, as an npz with its classes in reverse."""
    rows, labels, chances = read_table(runs / "one" / "predictions.csv")
    pixels = np.stack([np.asarray(Image.open(row["path"])) for row in rows])
    np.savez(tmp_path / "turned.npz", x=pixels, y=2 - labels, classes=np.array(CLASSES[::-1]))
    status, out, err = call(runs / "one", "--source", f"npz:{tmp_path / 'turned.npz'}")
    assert (status, err) == (0, [])
    (folder,) = (runs / "one" / "evaluations").iterdir()
    assert folder.name.startswith("npz-turned.npz-")
    _, found_labels, found = read_table(folder / "predictions.csv")
    np.testing.assert_array_equal(found_labels, labels)
    np.testing.assert_allclose(found, chances, atol=1e-6)
    assert readings(runs / "one") == 2
    assert f"images      {len(rows)}: npz:" in out


def test_all_parts_of_a_source_count_unless_one_is_named(runs, call, trained):
    photos = f"folder:{trained / 'photos'}"
    assert f"images      {3 * (TRAIN + TEST)}: " in call(runs / "one", "--source", photos)[1]
    assert f"images      {3 * TEST}: " in call(runs / "one", "--source", photos, "--split", "test")[1]
    status, _, err = call(runs / "one", "--source", photos, "--split", "validation")
    assert status == 2
    assert "has no validation images" in err[0]


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((*CLASSES, "fox"), ["unknown fox", "expected the run's classes: cat, dog, Äpfel"]),
        (("cat", "dog", "fox"), ["no Äpfel; unknown fox"]),
    ],
)
def test_other_classes_are_named(runs, call, tmp_path, classes, words):
    draw(tmp_path / "other", {".": 2}, classes)
    status, _, err = call(runs / "one", "--source", f"folder:{tmp_path / 'other'}")
    assert (status, len(err)) == (2, 1)
    assert all(word in err[0] for word in words), err
    assert readings(runs / "one") == 1


@pytest.mark.parametrize("folder", [None, "Äpfel"])
def test_a_missing_class_is_named_and_the_others_are_measured(runs, call, tmp_path, folder):
    draw(tmp_path / "other", {".": 4}, ("cat", "dog"))
    if folder:
        (tmp_path / "other" / folder).mkdir()
    status, out, err = call(runs / "one", "--source", f"folder:{tmp_path / 'other'}")
    assert (status, err) == (0, [])
    assert f"note        folder:{tmp_path / 'other'}: no images of class 'Äpfel'" in out
    (evaluated,) = (runs / "one" / "evaluations").iterdir()
    found = read_json(evaluated / "metrics.json")
    assert (found["images"], found["per_class"]["Äpfel"]["support"]) == (8, 0)
    assert found["classes_without_images"] == ["Äpfel"]


def test_other_images_are_compared_with_those_trained_on(runs, call, trained, tmp_path):
    """Half of the other images are copies of training images, under other names."""
    draw(tmp_path / "other", {".": 4}, seed=4)
    for name in CLASSES:
        copied = sorted((trained / "photos" / "train" / name).iterdir())[:4]
        for i, path in enumerate(copied):
            shutil.copy(path, tmp_path / "other" / name / f"copy {i}{path.suffix}")
    _, out, _ = call(runs / "one", "--source", f"folder:{tmp_path / 'other'}")
    (evaluated,) = (runs / "one" / "evaluations").iterdir()
    split = read_json(evaluated / "split.json")
    assert split["duplicates"]["sets_across_splits"] == 12
    assert split["counts"]["test"] == 24
    assert "12 of 24 test images may have been memorised" in re.sub(r"\s+", " ", out)
    assert "readings    these images: read 1 time by this run" in out
    assert len(read_record(runs / "one").test_readings) == 1


def test_other_images_of_another_run_are_refused_before_any_is_looked_at(runs, call, tmp_path):
    path = runs / "two" / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    status, _, err = call(runs / "one", "--against", runs / "two")
    assert (status, len(err)) == (2, 1)
    assert "25 are in both, 2 only in runs/one and 0 only in the other run; expected the same images" in err[0]
    assert readings(runs / "one") == 1


def test_a_wrong_class_name_is_the_only_line(runs, call):
    status, out, err = call(runs / "one", "--class", "caat")
    assert (status, out, len(err)) == (2, f"evaluating  {runs / 'one'}\n", 1)
    assert "did you mean cat?" in err[0]


def test_a_class_without_images_has_no_scores_and_is_named(runs, call_and_draw, tmp_path):
    rows, labels, _ = read_table(runs / "one" / "predictions.csv")
    pixels = np.stack([np.asarray(Image.open(row["path"])) for row in rows])
    first, some = [0, TEST, 2 * TEST], labels < 2
    arrays = {"x_train": pixels[first], "y_train": labels[first], "x_test": pixels[some], "y_test": labels[some]}
    np.savez(tmp_path / "some.npz", classes=np.array(CLASSES), **arrays)
    status, out, err = call_and_draw(runs / "one", "--source", f"npz:{tmp_path / 'some.npz'}", "--split", "test")
    assert (status, err) == (0, [])
    assert "no images of Äpfel: their scores have no meaning" in out
    (folder,) = (runs / "one" / "evaluations").iterdir()
    found = read_json(folder / "metrics.json")
    assert found["classes_without_images"] == ["Äpfel"]
    assert set(found["ranking"]["per_class"]["Äpfel"].values()) == {None}
    areas = [found["ranking"]["per_class"][name]["roc_area"] for name in ("cat", "dog")]
    assert found["ranking"]["macro"]["roc_area"] == pytest.approx(np.mean(areas))


def test_the_mirror_image_is_averaged(runs, call):
    status, out, _ = call(runs / "one", "--views", "flip")
    assert status == 0
    assert "the image and its mirror image" in out
    folder = runs / "one" / "evaluations" / "test-flip"
    rows, _, chances = read_table(folder / "predictions.csv")
    pixels = np.stack([np.asarray(Image.open(row["path"])) for row in rows]).astype("float32")
    model = keras.saving.load_model(runs / "one" / "model.keras", compile=False)
    both = [np.asarray(keras.ops.softmax(model(views))) for views in (pixels, pixels[:, :, ::-1])]
    np.testing.assert_allclose(chances, np.mean(both, axis=0), atol=1e-5)
    assert read_json(folder / "metrics.json")["views"]["number"] == 2
    np.testing.assert_allclose(np.load(folder / "softmax.npy"), chances, atol=1e-7)


def test_augmented_views_are_the_same_every_time_and_in_every_batch(runs, call):
    tables = []
    for batch in (8, 5):
        config = (runs / "one" / "config.yaml").read_text()
        (runs / "one" / "config.yaml").write_text(config.replace("batch_size: 8", f"batch_size: {batch}"))
        assert call(runs / "one", "--views", "3")[0] == 0
        tables.append(read_table(runs / "one" / "evaluations" / "test-3-views" / "predictions.csv")[2])
    np.testing.assert_allclose(*tables, atol=1e-6)
    plain = read_table(runs / "one" / "predictions.csv")[2]
    assert np.abs(tables[0] - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("run", "views", "words"),
    [
        ("one", "0", "expected flip, or a number of views"),
        ("one", "mirror", "expected flip, or a number of views"),
        ("longer", "4", "trained without augmentation"),
    ],
)
def test_views_that_cannot_be_had(runs, call, run, views, words):
    status, _, err = call(runs / run, "--views", views)
    assert (status, len(err)) == (2, 1)
    assert words in err[0]


# --- two runs, several runs -------------------------------------------------------------------------------------------


def test_against_another_run(runs, call_and_draw):
    status, out, err = call_and_draw(runs / "longer", "--against", runs / "one")
    assert (status, err) == (0, [])
    folder = runs / "longer" / "evaluations" / "test" / "against_one"
    found = read_json(folder / "comparison.json")
    _, labels, before = read_table(runs / "one" / "predictions.csv")
    _, _, after = read_table(runs / "longer" / "predictions.csv")
    was, now = before.argmax(axis=1) == labels, after.argmax(axis=1) == labels
    assert found["difference"] == pytest.approx(now.mean() - was.mean())
    assert found["mcnemar"]["b"] == int((was & ~now).sum())
    assert found["mcnemar"]["c"] == int((~was & now).sum())
    assert found["before"] == pytest.approx(was.mean())
    assert found["after"] == pytest.approx(now.mean())
    assert sorted(p.stem for p in (folder / "figures").iterdir()) == [
        "class_differences", "confusion_difference", "newly_wrong"
    ]  # fmt: skip
    assert f"before one, after longer: the same {3 * TEST} images" in out
    assert readings(runs / "one") == 1  # what it predicted is on record
    assert readings(runs / "longer") == 2


def test_a_comparison_outlives_an_evaluation_of_the_same_predictions(runs, call):
    assert call(runs / "longer", "--against", runs / "one")[0] == 0
    kept = runs / "longer" / "evaluations" / "test" / "against_one" / "comparison.json"
    before = kept.read_bytes()
    assert call(runs / "longer")[0] == 0
    assert kept.read_bytes() == before
    shutil.copy(runs / "two" / "model.keras", runs / "longer" / "model.keras")
    assert call(runs / "longer")[0] == 0
    assert not kept.exists()  # it was of other predictions


def test_the_other_run_is_evaluated_where_it_has_no_predictions_of_these_images(runs, call):
    status, out, _ = call(runs / "longer", "--split", "train", "--against", runs / "one")
    assert status == 0
    assert (runs / "one" / "evaluations" / "train" / "metrics.json").is_file()
    assert f"the same {3 * TRAIN - 12} images" in out


def test_different_images_are_refused_with_their_number(runs, call):
    status, _, err = call(runs / "two", "--split", "validation", "--against", runs / "one")
    assert (status, len(err)) == (2, 1)
    of = [set(read_json(runs / name / "split.json")["ids"]["validation"]) for name in ("one", "two")]
    assert f"{len(of[0] - of[1])} only in the first" in err[0]


def test_a_foreign_predictions_file_is_named(runs, call):
    (runs / "one" / "predictions.csv").write_text("image,label\n1,cat\n")
    status, _, err = call(runs / "longer", "--against", runs / "one")
    assert (status, len(err)) == (2, 1)
    assert f"{runs / 'one' / 'predictions.csv'}: line 1 is 'image,label'" in err[0]


def test_several_runs_are_summed_up_from_their_records(runs, call):
    status, out, err = call(runs / "one", runs / "two", runs / "longer")
    assert (status, err) == (0, [])
    values = [read_json(runs / name / "metrics.json")["accuracy"] for name in ("one", "two")]
    assert f"short: mean {np.mean(values):.4f}" in out
    assert f"std {np.std(values, ddof=1):.4f}, n = 2; seeds 1, 2: {values[0]:.4f}, {values[1]:.4f}" in out
    assert "inconclusive: longer against short" in out
    assert [readings(runs / name) for name in ("one", "two", "longer")] == [1, 1, 1]


def test_several_runs_where_one_is_broken(runs, call):
    (runs / "two" / "config.yaml").unlink()
    status, out, err = call(runs / "one", runs / "two", runs / "longer", "--split", "validation")
    assert status == 2
    assert len(err) == 1
    assert "runs/two: not a run folder" in err[0]
    recorded = read_json(runs / "one" / "metrics.json")["validation"]["accuracy"]
    assert f"runs/one   seed 1   {recorded:.4f}" in out
    assert "runs/longer   seed 1" in out


def test_an_unfinished_run_is_not_summed_up(runs, call):
    (runs / "two" / "metrics.json").unlink()
    status, out, _ = call(runs / "one", runs / "two", runs / "longer")
    assert status == 0
    assert "runs/two: not finished" in out
    assert "n = 2" not in out


def test_several_runs_on_other_images(runs, call, trained):
    status, out, _ = call(runs / "one", runs / "two", "--source", f"folder:{trained / 'photos'}", "--split", "test")
    assert status == 0
    assert out.count("evaluated now") == 2
    values = [read_json(runs / name / "metrics.json")["accuracy"] for name in ("one", "two")]
    assert f"mean {np.mean(values):.4f}" in out


# --- bad input --------------------------------------------------------------------------------------------------------


def cut_off(run: Path) -> None:
    path = run / "model.keras"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_nan(run: Path) -> None:
    model = keras.saving.load_model(run / "model.keras", compile=False)
    model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan, "float32"))
    model.save(run / "model.keras")


def add_field(run: Path) -> None:
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("optim:", "optim:\n  nesterow: 3"))


def flip_bytes(run: Path) -> None:
    """Damage inside the archive, whose directory stays whole."""
    path = run / "model.keras"
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(255 - byte for byte in whole[middle : middle + 64])
    path.write_bytes(whole)


BROKEN = {
    "no model": (lambda run: (run / "model.keras").unlink(), ["model.keras: no model file"]),
    "half a model": (cut_off, ["model.keras: not a Keras model that can be loaded"]),
    "flipped bytes": (flip_bytes, ["model.keras: not a Keras model that can be loaded"]),
    "not finite": (make_nan, ["model.keras: logits/kernel: weights that are not finite numbers"]),
    "older config": (add_field, ["config.yaml:", "optim.nesterow: unknown field", "the run was made with"]),
    "no config": (lambda run: (run / "config.yaml").unlink(), ["not a run folder: it has no config.yaml"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_is_one_line_and_what_is_on_record_is_shown(runs, call, name):
    damage, words = BROKEN[name]
    accuracy = read_json(runs / "one" / "metrics.json")["accuracy"]
    damage(runs / "one")
    status, out, err = call(runs / "one")
    assert (status, len(err)) == (2, 1), err
    assert err[0].startswith("error: ")
    assert all(word in err[0] for word in words), err
    if name != "no config":
        assert f"{runs / 'one'}: recorded results, not evaluated again:" in out
        assert f"accuracy    {accuracy:.4f}  [" in out
    assert not (runs / "one" / "evaluations").exists()


def test_changed_images_are_refused(runs, call, trained, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(trained / "photos", photos)
    path = runs / "one" / "config.yaml"
    path.write_text(path.read_text().replace(str(trained / "photos"), str(photos)))
    assert call(runs / "one")[0] == 0  # the same images elsewhere
    (photos / "test" / "cat" / "0 ☀.png").unlink()
    status, _, err = call(runs / "one")
    assert (status, len(err)) == (2, 1)
    assert "images have changed" in err[0]
    assert "1 no longer in their split (such as test/cat/0 ☀.png in test)" in err[0]
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(photos / "test" / "cat" / "0 ☀.png")
    assert "the same ids, but other pixels or labels" in call(runs / "one")[2][0]
    assert readings(runs / "one") == 2


def test_other_images_can_be_evaluated_when_the_runs_own_are_gone(runs, call, trained, tmp_path):
    path = runs / "one" / "config.yaml"
    path.write_text(path.read_text().replace(str(trained / "photos"), "gone"))
    status, out, err = call(runs / "one", "--source", f"folder:{trained / 'photos'}", "--split", "test")
    assert (status, err) == (0, [])
    assert "note        no temperature, because the validation images are not available: folder:gone" in out
    (folder,) = (runs / "one" / "evaluations").iterdir()
    found = read_json(folder / "metrics.json")
    assert found["temperature"] is None
    assert found["accuracy"] == read_json(runs / "one" / "metrics.json")["accuracy"]


def test_an_unfinished_run_is_evaluated_with_a_note(runs, call):
    accuracy = read_json(runs / "one" / "metrics.json")["accuracy"]
    for name in ("metrics.json", "predictions.csv"):
        (runs / "one" / name).unlink()
    status, out, err = call(runs / "one")
    assert (status, err) == (0, [])
    assert "the run is not finished: this is its best model of 2 epochs so far" in out
    assert f"accuracy    {accuracy:.4f}" in out


def test_another_accuracy_than_on_record_is_a_note(runs, call):
    assert "on record" not in call(runs / "one")[1]
    shutil.rmtree(runs / "one" / "evaluations")
    path = runs / "one" / "metrics.json"
    path.write_text(json.dumps(read_json(path) | {"accuracy": 0.123}))
    assert "note        the recorded accuracy is 0.1230" in call(runs / "one")[1]


def test_a_damaged_record_is_a_note(runs, call):
    (runs / "one" / "history.csv").write_text("epoch,loss\n1,x\n")
    status, out, _ = call(runs / "one")
    assert status == 0
    assert "history.csv: cannot be read" in out


def test_classes_to_show_are_checked(runs, call):
    status, _, err = call(runs / "one", "--class", "Dog")
    assert (status, err) == (2, ["error: command line: --class 'Dog': unknown class; did you mean dog?"])
    assert readings(runs / "one") == 1
    assert call(runs / "one", "--class", "dog")[0] == 0


def test_prediction_sets_are_calibrated_on_validation_and_measured_on_the_evaluated_images(runs, call):
    _, out, _ = call(runs / "one", "--coverage", "0.75")
    folder = runs / "one" / "evaluations" / "test-coverage-0.75"
    found = read_json(folder / "metrics.json")["prediction_sets"]
    assert (found["level"], found["calibration_images"]) == (0.75, 12)
    assert call(runs / "one", "--split", "validation")[0] == 0
    validation = runs / "one" / "evaluations" / "validation"
    assert read_json(validation / "metrics.json")["prediction_sets"] is None
    assert not (validation / "prediction_sets.csv").exists()
    _, labels, chances = read_table(validation / "predictions.csv")
    limit = np.sort(1 - chances[np.arange(12), labels])[9]  # the 10th of 12: ⌈13 · 0.75⌉
    assert found["methods"]["lac"]["threshold"] == pytest.approx(limit, abs=1e-7)
    rows, labels, chances = read_table(folder / "predictions.csv")
    members = 1 - chances <= limit + 1e-7
    with (folder / "prediction_sets.csv").open(encoding="utf-8", newline="") as file:
        sets = list(csv.DictReader(file))
    assert [row["id"] for row in sets] == [row["id"] for row in rows]
    assert [json.loads(row["lac"]) for row in sets] == [[CLASSES[c] for c in np.flatnonzero(row)] for row in members]
    coverage = members[np.arange(len(labels)), labels].mean()
    assert found["methods"]["lac"]["coverage"] == pytest.approx(coverage)
    assert f"LAC: coverage {coverage:.4f}" in out


@pytest.mark.parametrize("level", ["0", "90", "nan"])
def test_a_coverage_that_is_no_share_is_the_only_line(runs, call, level):
    status, _, err = call(runs / "one", "--coverage", level)
    expected = "expected a share of images above 0 and below 1, such as 0.9"
    assert (status, err) == (2, [f"error: command line: --coverage {level}: {expected}"])
    assert readings(runs / "one") == 1


def test_unknown_images_are_compared_with_the_evaluated_ones(runs, call, tmp_path):
    unknown = tmp_path / "unknown"
    (unknown / "deeper").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(5):
        pixels = random.integers(0, 256, (20, 14, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(unknown / "deeper" / f"{number}.png")
    (unknown / "broken.png").write_bytes(b"no image")
    status, out, err = call(runs / "one", "--outliers", unknown)
    assert (status, err) == (0, [])
    (folder,) = (runs / "one" / "evaluations" / "test").glob("outliers_unknown-*")
    found = read_json(folder / "outliers.json")
    assert (found["known_images"], found["unknown_images"]) == (len(CLASSES) * TEST, 5)
    assert list(found["unreadable"]) == [str(unknown / "broken.png")]
    assert "1 file cannot be read" in out
    with (folder / "outliers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    logits = np.load(folder.parent / "logits.npy").astype(np.float64)
    known = np.log(np.exp(logits).sum(axis=1))
    scores = np.concatenate([known, [float(row["energy"]) for row in rows]])
    area = sklearn_metrics.roc_auc_score(np.repeat([1, 0], [len(known), 5]), scores)
    assert found["scores"]["energy"]["roc_area"] == pytest.approx(area)
    predicted = [answer.classes[0] for answer in predict(runs / "one", [row["image"] for row in rows])]
    assert [row["predicted"] for row in rows] == predicted
    assert call(runs / "one")[0] == 0
    assert (folder / "outliers.json").is_file()  # of the same predictions


def test_unknown_images_that_are_not_there_are_named_before_any_reading(runs, call, tmp_path):
    status, _, err = call(runs / "one", "--outliers", tmp_path / "nowhere")
    assert status == 2
    assert len(err) == 1
    assert "nowhere: no such" in err[0]
    assert readings(runs / "one") == 1
    status, _, err = call(runs / "one", "--outliers", tmp_path, "--views", "flip")
    expected = "error: command line: --outliers measures one run on single images; found --views beside it"
    assert (status, err) == (2, [expected])


def test_errors_under_corruption_are_relative_to_those_of_another_run(runs, call):
    status, _, err = call(runs / "one", "--corruptions", "5", "--against", runs / "two")
    assert (status, len(err)) == (2, 1)
    assert "two: was not measured under corruption; expected" in err[0]
    status, _, err = call(runs / "one", "--corruptions", "5", "--against", runs / "nowhere")
    assert status == 2
    assert "nowhere: no such folder; expected a run folder" in err[0]
    assert readings(runs / "one") == 1
    assert call(runs / "two", "--corruptions", "5")[0] == 0
    status, out, err = call(runs / "one", "--corruptions", "5", "--against", runs / "two")
    assert (status, err, readings(runs / "one")) == (0, [], 2)
    new, old = (
        read_json(runs / name / "evaluations" / "corruptions-test" / "corruptions.json") for name in ("one", "two")
    )
    assert new["ids"] == old["ids"]
    assert len(new["ids"]) == 5
    fog = sum(new["corruptions"]["fog"]["errors"]) / sum(old["corruptions"]["fog"]["errors"])
    assert new["corruptions"]["fog"]["relative_to_reference"] == pytest.approx(fog)
    assert f"mCE {new['mce']:.3f}" in " ".join(out.split())
    assert (runs / "one" / "evaluations" / "corruptions-test" / "figures" / "curves.png").is_file()
    err = call(runs / "one", "--corruptions", "4", "--against", runs / "two")[2]
    assert "was measured on other images" in err[0]
    err = call(runs / "one", "--corruptions", "0")[2]
    assert err == ["error: command line: --corruptions 0: expected a number of images from 1"]


def test_a_run_against_itself_or_many_is_refused(runs, call):
    assert "the run itself" in call(runs / "one", "--against", runs / "one")[2][0]
    err = call(runs / "one", runs / "two", "--against", runs / "longer")[2]
    assert "--against compares one run with another" in err[0]


def test_help_does_not_wait_for_tensorflow_and_has_examples_to_copy():
    code = "import sys; from keras_cnn.cli import evaluate, program\n"
    code += "try: program.run(evaluate.main, ['--help'])\n"
    code += "finally: print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.endswith("[]\n")
    assert done.stdout.count("keras-cnn evaluate ") >= 4


def test_the_script_itself_exits_with_2_and_writes_one_line(tmp_path):
    command = [sys.executable, ROOT / "evaluate.py", tmp_path / "nothing"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"error: {tmp_path / 'nothing'}: no such folder; expected a run folder, such as runs/fashion\n"
    )


# --- ensembles and soups ----------------------------------------------------------------------------------------------


def ensemble_folder(run: Path) -> Path:
    (folder,) = (run / "ensembles").iterdir()
    return folder


def test_an_ensemble_is_the_mean_of_the_probabilities_beside_the_best_single_run(runs, call):
    """Every number from the recorded predictions of the runs, which validated on different images."""
    paths = [runs / name for name in ("one", "two", "longer")]
    before = [readings(path) for path in paths]
    status, out, err = call(*paths, "--ensemble", full=False)
    assert (status, err) == (0, [])
    assert [readings(path) for path in paths] == [count + 1 for count in before]
    folder = ensemble_folder(paths[0])
    found, change = read_json(folder / "metrics.json"), read_json(folder / "comparison.json")
    tables = [read_table(path / "predictions.csv") for path in paths]
    labels, chances = tables[0][1], np.mean([table[2] for table in tables], axis=0)
    np.testing.assert_allclose(read_table(folder / "predictions.csv")[2], chances, atol=1e-6)
    right = chances.argmax(axis=1) == labels
    assert found["accuracy"] == pytest.approx(right.mean())
    validation = [read_json(path / "metrics.json")["validation"] for path in paths]
    best = min(range(3), key=lambda i: (-validation[i]["accuracy"], validation[i]["loss"]))
    assert found["ensemble"]["best"] == str(paths[best])
    assert [row["validation_accuracy"] for row in found["ensemble"]["runs"]] == pytest.approx(
        [each["accuracy"] for each in validation]
    )
    alone = tables[best][2].argmax(axis=1) == labels
    assert (change["before"], change["after"]) == pytest.approx((alone.mean(), right.mean()))
    assert (change["mcnemar"]["b"], change["mcnemar"]["c"]) == (sum(alone & ~right), sum(~alone & right))
    low, high = change["difference_interval"]
    assert low <= change["difference"] <= high
    assert found["temperature"] is None  # no validation images that all runs kept apart
    assert "mean probability of 3 runs" in out
    assert len([line for line in out.splitlines() if "best on validation" in line]) == 1


def test_a_soup_is_one_network_with_the_mean_of_the_weights(runs, call):
    """Of a run and its copy, which is always as accurate; and of two trainings from the same weights."""
    shutil.copytree(runs / "one", runs / "copy")
    status, out, err = call(runs / "one", runs / "copy", "--soup", full=False)
    assert (status, err) == (0, [])
    assert "mean weights of 2 of 2 runs" in out
    folder = ensemble_folder(runs / "one")
    soup, own = (keras.models.load_model(path) for path in (folder / "soup.keras", runs / "one" / "model.keras"))
    for ours, theirs in zip(soup.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    change = read_json(folder / "comparison.json")
    assert (change["difference"], change["mcnemar"]["p"]) == (0, 1)

    assert call(runs / "longer", runs / "one", "--soup", full=False)[0] == 0
    folder = ensemble_folder(runs / "longer")
    weights = [keras.models.load_model(runs / name / "model.keras").get_weights() for name in ("longer", "one")]
    rows = read_json(folder / "metrics.json")["ensemble"]["runs"]
    averaged = [arrays for arrays, row in zip(weights, rows, strict=True) if row["averaged"]]
    for ours, *theirs in zip(keras.models.load_model(folder / "soup.keras").get_weights(), *averaged, strict=True):
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), atol=1e-7)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["one", "two"], ["--soup"], "runs/two: found random weights of seed 2 as start, random weights of seed 1 in"),
        (["one", "one"], ["--ensemble"], "command line: found runs/one, runs/one, expected two or more different runs"),
        (["one"], ["--ensemble"], "command line: --ensemble averages several runs; found one run, expected RUN RUN-2"),
        (["one"], ["--soup", "--against", "runs/two"], "command line: --soup averages several runs; found --against,"),
        (
            ["one", "two"],
            ["--ensemble", "--temperature"],
            "--temperature: found other validation images in runs/two than",
        ),
        (
            ["one", "other"],
            ["--ensemble"],
            "runs/other: found the classes ['a', 'b'], expected ['cat', 'dog', 'Äpfel']",
        ),
        (["one", "several"], ["--ensemble"], "runs/several: found images that may have several labels, expected one"),
        (["one", "fewer"], ["--ensemble"], "runs/fewer: found 0 test images that runs/one does not have, expected the"),
    ],
)
def test_runs_that_cannot_be_averaged_are_refused_in_one_line(runs, call, names, options, message):
    for name in {*names} & {"other", "fewer", "several"}:
        shutil.copytree(runs / "one", runs / name)
        split = read_json(runs / name / "split.json")
        split |= {"other": {"classes": ["a", "b"]}, "several": {"several_labels": True}}.get(name, {})
        split["ids"]["test"] = split["ids"]["test"][:-1] if name == "fewer" else split["ids"]["test"]
        (runs / name / "split.json").write_text(json.dumps(split))
    before = readings(runs / "one")
    status, _, err = call(*(runs / name for name in names), *options)
    assert (status, len(err)) == (2, 1)
    assert message in err[0]
    assert not (runs / "one" / "ensembles").exists()
    assert readings(runs / "one") == before
