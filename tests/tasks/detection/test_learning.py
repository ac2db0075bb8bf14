"""A small detector learns coloured rectangles; its run folder, its page, and what `detect.py` makes of it."""

import csv
import json
import shutil
import zipfile

import numpy as np
import pytest

from keras_cnn import run_folder
from keras_cnn.cli import detect, evaluate, finetune, program, train
from keras_cnn.config import load
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.cfg import read_cfg
from keras_cnn.detection.network import open_network
from keras_cnn.detection.yolo import Detector
from keras_cnn.errors import InputError
from keras_cnn.report.detection import content, lead
from keras_cnn.report.html import write_report
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.starting_weights import trainable_model
from keras_cnn.tasks.detection.task import prepare
from keras_cnn.training import experiment


def fields(cfg, source, **changes) -> list[str]:
    options = {
        "data.source": f"coco:{source}",
        "data.image_size": "64",
        "model.cfg": str(cfg),
        "precision": "float32",
        "augment.hue": "0",
        "augment.mosaic": "0.2",
        "augment.scale": "0.2",
        "optim.learning_rate": "5e-3",
        "train.epochs": "16",
        "train.ema": "0.95",
        "train.batch_size": "8",
        "tracking.wandb": "off",
    }
    options |= {name.replace("__", "."): value for name, value in changes.items()}
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def source(tmp_path_factory, rectangles):
    return rectangles(tmp_path_factory.mktemp("set"), {"train": 160, "val": 12, "test": 24})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_cfg, source, module_messages):
    """The run folder, what was said, and its metrics."""
    folder = run_folder.RunFolder.create("learnt", path=tmp_path_factory.mktemp("runs") / "learnt")
    with folder:
        metrics = experiment.train(load(None, fields(small_cfg, source), kind=BoxConfig), folder, prepare)
    return folder.path, list(module_messages), metrics


def test_it_learns(trained):
    _, said, metrics = trained
    assert metrics["map50"] > 0.9
    low, high = metrics["map50_interval"]
    assert low <= metrics["map50"] <= high
    assert metrics["map"] < metrics["map50"]
    assert any(line.startswith("anchors   kmeans:") for line in said)
    assert "mean IoU with the training boxes 0." in " ".join(" ".join(said).split())


def test_the_run_folder_has_everything(trained):
    path, _, metrics = trained
    assert json.loads((path / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert not (path / "best.npz").exists()
    head, *rows = csv.reader((path / "history.csv").read_text().splitlines())
    assert head == ["epoch", "loss", "box_loss", "object_loss", "class_loss", "val_loss", "val_map50", "val_map",
                    "learning_rate", "epoch_seconds", "run_seconds"]  # fmt: skip
    assert len(rows) == 16
    values = {name: float(value) for name, value in zip(head, rows[-1], strict=True)}
    assert values["loss"] == pytest.approx(values["box_loss"] + values["object_loss"] + values["class_loss"], rel=1e-4)
    assert len((path / "test_readings.csv").read_text().splitlines()) == 2
    split = json.loads((path / "split.json").read_text())
    assert split["counts"] == {"train": 160, "validation": 12, "test": 24}
    assert {p.name for p in (path / "figures").iterdir()} == {
        "augmentation.png",
        "curves.png",
        "detections.png",
        "precision_recall.png",
    }


def test_the_numbers_are_those_of_pycocotools_on_the_predictions_file(trained, source):
    """The real result, read back from what the run has written, and COCO's own reader for the true boxes."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path, _, metrics = trained
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(source.with_name("instances_test.json")))
        images = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
        classes = {category["name"]: category["id"] for category in truth.dataset["categories"]}
        for annotation in truth.dataset["annotations"]:
            annotation |= {"area": annotation["bbox"][2] * annotation["bbox"][3], "iscrowd": 0}
        results = []
        for row in csv.DictReader((path / "predictions.csv").read_text().splitlines()):
            x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
            entry = {"image_id": images[row["image"]], "category_id": classes[row["class"]]}
            results.append(entry | {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(row["confidence"])})
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = (metrics["map"], metrics["map50"], metrics["map75"])
    assert found == pytest.approx(tuple(evaluation.stats[:3]), abs=1e-9)


def test_the_saved_network_is_opened_like_any_other_and_finds_the_same(trained, source, tmp_path, capsys):
    path, _, _ = trained
    network = open_network(str(path))
    assert network.names == ["red", "green", "blue"]
    with zipfile.ZipFile(path / "model.keras") as archive:
        assert "classes=3" in archive.read("darknet.cfg").decode()
    photo = source.parent / "images" / "test_3.png"
    assert program.run(detect.main, [str(photo), "--model", str(path), "--out", str(tmp_path)]) == 0
    found = list(csv.DictReader((tmp_path / "detections.csv").read_text().splitlines()))
    written = [
        row
        for row in csv.DictReader((path / "predictions.csv").read_text().splitlines())
        if row["image"] == "images/test_3.png" and float(row["confidence"]) > 0.25
    ]
    assert len(found) == len(written) > 0
    for one, other in zip(found, written, strict=True):
        assert one["class"] == other["class"]
        assert float(one["confidence"]) == pytest.approx(float(other["confidence"]), abs=1e-6)
        edges = [min(max(float(one[name]), 0), 64) for name in ("x0", "y0", "x1", "y1")]
        assert edges == pytest.approx([float(other[name]) for name in ("x0", "y0", "x1", "y1")], abs=0.006)


def test_darknet_itself_finds_the_same_with_the_cfg_and_weights_of_the_run(trained, source, darknet):
    path, _, _ = trained
    photos = sorted((source.parent / "images").glob("test_*.png"))[:8]
    job = {"cfg": str(path / "model.cfg"), "weights": str(path / "model.weights"), "images": list(map(str, photos))}
    network = open_network(str(path))
    detector, total = Detector(network.model, network.heads), 0
    for photo, rows in zip(photos, darknet([job])[0], strict=True):
        found, expected = detector(read_image(photo)), np.array(rows).reshape(-1, 6)
        assert found.classes.tolist() == expected[:, 0].tolist(), photo
        np.testing.assert_allclose(found.confidences, expected[:, 1], atol=1e-3)
        np.testing.assert_allclose(found.boxes, expected[:, 2:], atol=0.5)
        total += len(found)
    assert total >= 8


def test_a_training_goes_on_from_the_weights_of_another(trained, small_cfg):
    path, _, _ = trained
    _, loaded = trainable_model(read_cfg(path / "model.cfg"), 1, str(path / "model.weights"))
    assert str(loaded).startswith("whole, of 3 classes: 5 convolutions loaded")


def test_the_page_says_the_result_with_its_interval(trained, tmp_path):
    path, _, metrics = trained
    page = write_report([path], tmp_path / "page.html").read_text()
    low, high = metrics["map50_interval"]
    assert f'{metrics["map50"]:.4f} <span class="interval">[{low:.4f}, {high:.4f}]' in page
    for word in ("precision-recall", "curve-2", "augmentation", "Boxes by class", "optim.learning_rate", "processor"):
        assert word in page
    result, classes = (next(part for part in content(path)[1] if part.name == name) for name in ("result", "classes"))
    ((_, table),) = result.tables
    test, validation = (dict(zip(table.head, row, strict=True)) for row in table.rows)
    assert (test["split"], test["images"], validation["split"], validation["images"]) == (
        "test", "24", "validation", "12"
    )  # fmt: skip
    for row, scores in (test, metrics), (validation, metrics["validation"]):
        for column, key in {"mAP@0.5": "map50", "mAP@[.5:.95]": "map", "mAP@0.75": "map75"}.items():
            assert row[column].split(" ")[0] == f"{scores[key]:.4f}"
        assert row["boxes"] == str(scores["boxes"])
    ((_, table),) = classes.tables
    for name, *row in table.rows:
        values = dict(zip(table.head[1:], row, strict=True))
        for column, key in {"AP@0.5": "map50", "AP@[.5:.95]": "map"}.items():
            assert values[column].split(" ")[0] == f"{metrics['per_class'][name][key]:.4f}"
    assert f"mAP@0.5 {metrics['map50']:.4f} [" in lead(content(path)[0])
    assert '<h2 id="problems-title">' not in page
    assert "http" not in page.partition('id="plotly"')[0].replace("http-equiv", "")


def test_a_page_of_a_damaged_or_unfinished_run_says_what_is_missing(trained, tmp_path):
    path, _, _ = trained
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    (copy / "metrics.json").unlink()
    (copy / "split.json").write_text("{")
    page = write_report([copy]).read_text()
    assert "Unfinished: epoch 16 of 16; the test images have not been read." in page
    assert "split.json: cannot be read" in page


def test_a_detection_run_is_alone_on_its_page(trained, tmp_path):
    path, _, _ = trained
    with pytest.raises(InputError, match="has its own page"):
        write_report([path, tmp_path])


def test_resume_and_train_tell_the_two_kinds_of_runs_apart(trained, monkeypatch, tmp_path):
    path, _, _ = trained
    assert run_folder.is_detection_run(path)
    assert not run_folder.is_detection_run(tmp_path)
    (tmp_path / "runs" / "boxes").mkdir(parents=True)
    shutil.copytree(path, tmp_path / "runs" / "boxes", dirs_exist_ok=True)
    (tmp_path / "runs" / "boxes" / "metrics.json").unlink()
    monkeypatch.chdir(tmp_path)
    assert run_folder.latest_unfinished(detecting=True).name == "boxes"
    with pytest.raises(InputError, match="no unfinished run"):
        run_folder.latest_unfinished()


def refused(arguments, capsys) -> str:
    assert program.run(detect.main, list(map(str, arguments))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_programs_for_classifiers_refuse_it_in_one_line(trained, capsys):
    path, _, _ = trained
    for command, arguments in ((evaluate, [path]), (train, ["--resume", path]), (finetune, ["--export", path])):
        assert program.run(command.main, list(map(str, arguments))) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "a run of detect.py" in line


def test_wrong_arguments_get_one_line(trained, small_cfg, source, tmp_path, capsys):
    path, _, _ = trained
    base = ["--train", *fields(small_cfg, source)]
    for arguments, words in (
        ((*base, "--data.image_size", "100"), "data.image_size: found 100, expected a multiple of 32"),
        ((*base, "--data.imag_size", "64"), "did you mean image_size?"),
        ((*base, "--model.weights", tmp_path / "no.weights"), "no.weights: cannot read the Darknet weights"),
        ((*base, "--data.classes", "[red, purple]"), "has no class 'purple'"),
        (("photo.jpg", *base), "photo.jpg is for detection"),
        (("--resume", path), "this run is complete"),
        (("photo.jpg", "--model", "x.cfg", "--optim.learning_rate", "1"), "fields of a config go with --train"),
        (("photo.jpg", "--model", tmp_path), "no model.keras in this folder"),
    ):
        assert words in refused((*arguments, "--debug")[:-1], capsys)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_writes_nothing(small_cfg, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert program.run(detect.main, ["--train", *fields(small_cfg, source), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for word in (
        "160 train, 12 validation, 24 test; 3 classes",
        "anchors   kmeans:",
        "cost      16 epochs of 20 steps",
    ):
        assert word in said
    assert not list(tmp_path.iterdir())


def test_numbers_of_a_split_without_a_class_are_null(trained):
    from keras_cnn.detection.annotations import AnnotatedImage
    from keras_cnn.detection.boxes import Detections
    from keras_cnn.tasks.detection import results, validation

    picture = AnnotatedImage("a", None, (10, 10), np.array([[0.0, 0, 5, 5]]), np.zeros(1, int), *np.zeros((2, 1), bool))
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    found = results.summary([picture], validation.score([picture], [nothing], 2), ["cat", "dog"])
    assert found["per_class"]["dog"]["map"] is None
    assert found["per_class"]["dog"]["map_interval"] is None
    assert found["map50"] == 0
    json.dumps(found, allow_nan=False)
