"""Predictions by a network whose probabilities are worked out by hand: its logits are the mean channels, times four."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

from keras_cnn.cli import detect
from keras_cnn.cli.program import run as program
from keras_cnn.config import Config, dump
from keras_cnn.errors import InputError
from keras_cnn.models.class_names import save_with_classes
from keras_cnn.prediction.classifier import open_classifier
from keras_cnn.prediction.images import ListedImage, list_images, stem_of
from keras_cnn.prediction.predicting import predict
from keras_cnn.prediction.submission import plan_submission, write_submission
from keras_cnn.prediction.table import ImagePredictions

CLASSES = ["red", "green", "blue"]
COLOURS = {"red": (200, 0, 0), "green": (0, 255, 0), "blue": (10, 20, 250)}


def network(activation: str | None = None) -> keras.Model:
    image = keras.Input((6, 8, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = layers.Conv2D(3, 1, name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, layers.Dense(3, activation=activation, name="logits")(x), name="colours")
    model.get_layer("conv").set_weights([np.eye(3)[None, None], np.zeros(3)])
    model.get_layer("logits").set_weights([4 * np.eye(3), np.zeros(3)])
    return model


def softmax(colour, temperature: float = 1.0) -> np.ndarray:
    powers = np.exp(4 * np.array(colour) / 255 / temperature)
    return powers / powers.sum()


def make_run(folder: Path, metrics: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    network().save(folder / "model.keras")
    (folder / "config.yaml").write_text(dump(Config()))
    (folder / "split.json").write_text(json.dumps({"classes": CLASSES}))
    (folder / "metrics.json").write_text(json.dumps(metrics or {}))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the run `runs/colours` and photos of one colour, at two depths, with three files that are none."""
    place = tmp_path_factory.mktemp("place")
    make_run(place / "runs" / "colours")
    (place / "photos" / "unknown").mkdir(parents=True)
    for number, (name, colour) in enumerate(COLOURS.items()):
        folder = place / "photos" / ("unknown" if name == "blue" else "")
        Image.new("RGB", (16, 12 + number), colour).save(folder / f"{name}.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(place / "whole.jpg")
    (place / "photos" / "cut.jpg").write_bytes((place / "whole.jpg").read_bytes()[:2000])
    (place / "photos" / "text.jpg").write_text("no image")
    (place / "photos" / "empty.png").write_bytes(b"")
    (place / "photos" / "notes.txt").write_text("no image")
    return place


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_a_folder_is_predicted_with_unreadable_files_kept_and_named(here, messages):
    assert program("predict", ["runs/colours", "photos"]) == 0
    rows = table(here / "predictions" / "photos" / "predictions.csv")
    assert list(rows) == [
        f"photos/{name}" for name in ("cut.jpg", "empty.png", "green.png", "red.png", "text.jpg", "unknown/blue.png")
    ]
    for name, colour in COLOURS.items():
        row = rows[f"photos/{'unknown/' if name == 'blue' else ''}{name}.png"]
        expected = softmax(colour)
        assert (row["predicted"], row["error"]) == (name, "")
        assert [float(row[f"p_{other}"]) for other in CLASSES] == pytest.approx(expected, abs=1e-6)
        assert float(row["probability"]) == pytest.approx(expected.max(), abs=1e-6)
    assert rows["photos/empty.png"]["error"] == "empty (0 bytes)"
    assert rows["photos/cut.jpg"]["error"].startswith("corrupt or truncated")
    assert rows["photos/text.jpg"]["error"].startswith("not a JPEG")
    assert all(rows[f"photos/{name}"]["p_red"] == "" for name in ("cut.jpg", "empty.png", "text.jpg"))
    assert "images      6; left out: 1 .txt" in messages
    assert any(line.startswith("3 of 6 images could not be read") for line in messages)
    assert "  photos/empty.png: empty (0 bytes)" in messages
    assert all(len(line) <= 80 for line in messages if not line.startswith("  photos"))


def test_without_a_run_the_newest_predicts_and_several_sources_join(here, messages):
    assert program("predict", ["photos/*.png", "photos/unknown", "photos/red.png", "--top", "2"]) == 0
    assert messages[0] == "run         runs/colours, the newest that has finished"
    assert list(table(here / "predictions" / "photos" / "predictions.csv")) == [
        "photos/empty.png",
        "photos/green.png",
        "photos/red.png",
        "photos/unknown/blue.png",
    ]
    assert "note        1 image was named more than once" in messages
    assert f"  {'red':<50}   92.01%" in messages


def test_absolute_and_relative_paths_are_shown_together(here, messages):
    assert program("predict", ["runs/colours", "photos", str(here / "whole.jpg")]) == 0
    assert "images      7; left out: 1 .txt" in messages
    (line,) = (line for line in messages if "whole.jpg" in line)
    assert len(line) <= 80


def test_no_readable_image_is_status_2_and_the_file_has_the_reasons(here, capsys):
    assert program("predict", ["runs/colours", "photos/text.jpg", "photos/empty.png"]) == 2
    assert "error: none of the 2 images could be read" in capsys.readouterr().err
    assert len(table(here / "predictions" / "text" / "predictions.csv")) == 2


def test_a_list_names_images_without_their_ending_and_missing_ones_stay(here, messages):
    (here / "list.csv").write_text("Id,other\nred,1\nunknown/blue,2\nnone,3\n")
    assert program("predict", ["runs/colours", "list.csv", "--output", "out/found.csv"]) == 0
    rows = table(here / "out" / "found.csv")
    assert {name: row["predicted"] for name, row in rows.items()} == {"red": "red", "unknown/blue": "blue", "none": ""}
    assert rows["none"]["error"] == "no such image"
    assert any("1 of 3 images do not exist in photos: 'none'" in line for line in messages)


@pytest.mark.parametrize(("kind", "named"), [("csv", "list.csv"), ("parquet", "list.parquet"), ("folder", "photos")])
def test_images_are_also_named_as_a_source_of_training_is(here, kind, named):
    table_of = pd.DataFrame({"path": ["photos/red.png", "photos/green.png"]})
    table_of.to_csv(here / "list.csv", index=False)
    table_of.to_parquet(here / "list.parquet")
    plain, prefixed = list_images([named]), list_images([f"{kind}:{named}"])
    assert [image.path for image in prefixed.images] == [image.path for image in plain.images]
    assert len(plain.images) == (6 if kind == "folder" else 2)
    assert stem_of(f"{kind}:{named}") == stem_of(named) == named.partition(".")[0]


def test_submission_and_template(here, messages):
    assert program("predict", ["runs/colours", "photos/green.png", "photos/unknown", "--submission"]) == 0
    assert (here / "predictions/green/submission.csv").read_text() == "id,label\ngreen,green\nblue,blue\n"
    (here / "sample.csv").write_text("label,image_id\nx,unknown/blue.png\nx,green\n")
    arguments = ["runs/colours", "photos", "--template", "sample.csv", "--output"]
    assert program("predict", [*arguments, "mine.csv"]) == 0
    assert (here / "mine.csv").read_text() == "label,image_id\nblue,unknown/blue.png\ngreen,green\n"
    (here / "shares.csv").write_text("id,blue,red,green\nred,0,0,0\n")
    assert program("predict", ["runs/colours", "photos", "--template", "shares.csv", "--output", "mine2.csv"]) == 0
    head, row = (here / "mine2.csv").read_text().splitlines()
    assert head == "id,blue,red,green"
    red, green, blue = softmax(COLOURS["red"])
    assert row.startswith("red,")
    assert [float(cell) for cell in row.split(",")[1:]] == pytest.approx([blue, red, green], abs=1e-6)


def test_ids_and_labels_of_a_submission_are_written_as_they_are(tmp_path):
    """A competition compares them letter by letter, so that no apostrophe may stand before a formula's sign."""
    plan = plan_submission([ListedImage("+1.png", Path("+1.png"))], ("=a", "b"), None)
    write_submission(tmp_path / "s.csv", plan, ImagePredictions("run", ("=a", "b"), ("+1.png",), np.eye(2)[:1], {}))
    assert (tmp_path / "s.csv").read_text() == "id,label\n+1,=a\n"


def test_a_detector_keeps_the_results_of_images_of_one_name(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(detect, "main", given.append)
    assert program("predict", ["yolov3-tiny", "a/dog.jpg", "b/dog.jpg", "eagle.jpg"]) == 0
    assert [arguments[-1] for arguments in given] == ["detections/dog", "detections/dog-2", "detections/eagle"]
    assert [arguments[:3] for arguments in given[:1]] == [["a/dog.jpg", "--model", "yolov3-tiny"]]


@pytest.mark.parametrize("damage", [lambda data: data.replace(b"PK\x01\x02", b"PKxx"), lambda data: data[:200]])
def test_a_damaged_archive_is_wrong_input(here, tmp_path, capsys, damage):
    (tmp_path / "model.keras").write_bytes(damage((here / "runs/colours/model.keras").read_bytes()))
    assert program("predict", [str(tmp_path / "model.keras"), "photos"]) == 2
    assert "model.keras: not a Keras model that can be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs/colours", "photo.jpg"], "photo.jpg: no such run, model, image, folder or list"),
        (["runs/colours"], "runs/colours: no images to predict"),
        (["runs/colours", "photos", "--output", "runs/colours/predictions.csv"], "exists and is not replaced"),
        (["runs/colours", "photos", "--template", "wrong.csv"], "wrong.csv: no class 'gren'; did you mean green?"),
        (["runs/colours", "photos", "--template", "ids.csv"], "ids.csv: 1 of 2 ids have no image: yellow"),
        (["runs/colours", "photos", "--template", "ids.csv", "--output", "ids.csv"], "ids.csv: exists and is not"),
        (["runs/gone", "photos"], "runs/gone: its model.keras is gone"),
        (["runs/colours/model.keras", "photos", "--classes", "a"], "the run has the names of its classes"),
        (["runs/colours", "photos", "--top", "0"], "--top 0: expected at least 1"),
    ],
)
def test_wrong_input_is_one_line(here, capsys, arguments, words):
    (here / "runs" / "colours" / "predictions.csv").write_text("id,path,true,predicted,correct\n")
    (here / "wrong.csv").write_text("id,red,gren\nred,0,0\n")
    if "--output" in arguments:
        (here / "ids.csv").write_text("id,label\nred,x\n")
    else:
        (here / "ids.csv").write_text("id,label\nred,x\nyellow,x\n")
    gone = here / "runs" / "gone"
    gone.mkdir(exist_ok=True)
    (gone / "config.yaml").write_text(dump(Config()))
    before = {path: path.read_bytes() for path in here.glob("*.csv")}
    assert program("predict", arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


def test_the_temperature_of_a_run_calibrates(here, tmp_path):
    folder = make_run(tmp_path / "run", {"temperature": {"value": 2.0, "validation_images": 50}})
    calibrated = predict(folder, "photos/red.png")
    assert calibrated.probabilities[0] == pytest.approx(softmax(COLOURS["red"], 2.0), abs=1e-6)
    plain = predict(folder, "photos/red.png", calibrated=False)
    assert plain.probabilities[0] == pytest.approx(softmax(COLOURS["red"]), abs=1e-6)
    evaluated = make_run(tmp_path / "other")
    for name, views in (("test-flip", "flip"), ("test", "none")):
        (evaluated / "evaluations" / name).mkdir(parents=True)
        found = {
            "views": {"name": views},
            "temperature": {"value": {"flip": 9.0, "none": 0.5}[views], "validation_images": 9},
        }
        (evaluated / "evaluations" / name / "metrics.json").write_text(json.dumps(found))
    assert open_classifier(evaluated).temperature.value == 0.5
    (evaluated / "evaluations" / "test" / "metrics.json").write_text(
        json.dumps({"temperature": {"value": 0.01, "validation_images": 9}})
    )
    assert open_classifier(evaluated).temperature is None  # at the end of its range


def test_a_model_file_with_a_softmax_gives_its_own_probabilities(here, tmp_path):
    model = network("softmax")
    model.save(tmp_path / "soft.keras")
    found = predict(tmp_path / "soft.keras", ["photos/red.png", "photos/unknown/blue.png"], top=2)
    assert found.classes == ("class 0", "class 1", "class 2")
    assert found.probabilities[1] == pytest.approx(softmax(COLOURS["blue"]), abs=1e-6)
    assert found[0].classes == ("class 0", "class 1")
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    assert predict(tmp_path / "soft.keras", "photos/red.png").predicted == ("red",)


def test_a_model_file_alone_has_the_names_of_its_classes_inside(here, tmp_path, capsys):
    save_with_classes(network(), alone := tmp_path / "alone.keras", CLASSES)
    assert program("predict", [str(alone), "photos/green.png", "--output", str(tmp_path / "found.csv")]) == 0
    assert table(tmp_path / "found.csv")["photos/green.png"]["predicted"] == "green"
    assert "not known" not in capsys.readouterr().out
    assert program("predict", [str(alone), "photos/green.png", "--classes", *"abc"]) == 2
    assert f"{alone}: it has the names of its classes; expected none" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.keras", "last.keras"])
def test_a_model_of_another_run_is_refused_by_its_classes(tmp_path, name):
    run = make_run(tmp_path / "run")
    save_with_classes(network(), run / name, ["red", "blue", "green"])
    with pytest.raises(InputError, match=r"keras: class 1 is 'blue', but 'green' in .*split\.json$"):
        open_classifier(run / name if name == "last.keras" else run)


def test_pixels_are_predicted_and_shown_in_short(here):
    classifier = open_classifier("runs/colours")
    pixels = np.zeros((2, 30, 40, 3), np.uint8)
    pixels[0, ..., 1] = 255
    pixels[1, ..., 0] = 200
    found = predict(classifier, pixels, top=1)
    assert found.predicted == ("green", "red")
    assert found.probabilities[1] == pytest.approx(softmax(COLOURS["red"]), abs=1e-6)
    assert repr(found).splitlines() == ["2 images predicted by colours", "image 0: green 0.9647", "image 1: red 0.9201"]
    assert "<td>image 0</td><td>green 0.9647</td>" in found._repr_html_()
    with pytest.raises(InputError, match="found float64"):
        predict(classifier, pixels / 255)


def test_an_explanation_of_each_image_has_a_verdict_of_its_own(here, messages):
    arguments = ["runs/colours", "photos/red.png", "photos/unknown/blue.png", "--explain", "grad-cam"]
    assert program("predict", [*arguments, "--output", "why/found.csv"]) == 0
    drawn = sorted(path.name for path in (here / "why" / "grad-cam").iterdir())
    assert drawn == ["blue.npz", "blue.png", "red.npz", "red.png"]
    with np.load(here / "why" / "grad-cam" / "blue.npz") as arrays:
        assert arrays["images"].shape == (1, 6, 8, 3)
        assert tuple(arrays["images"][0, 0, 0]) == COLOURS["blue"]
        assert arrays["scores"] == pytest.approx([4 * 250 / 255], abs=1e-5)
    # Maps of one colour say nothing.
    said = {line.split()[0]: line for line in messages if line.endswith("  says nothing: the maps are blank")}
    assert list(said) == ["red.png", "unknown/blue.png"]
    assert any("grad-cam: 0 of 2 pass their sanity checks" in line for line in messages)


def test_an_export_whose_classes_have_another_order_is_refused(here, capsys):
    folder = here / "runs" / "colours" / "export"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"not read")
    (folder / "classes.json").write_text(json.dumps(["red", "blue", "green"]))
    described = {"input": {"shape": ["N", 6, 8, 3]}, "output": {}}
    (folder / "export.json").write_text(json.dumps(described))
    assert program("predict", ["runs/colours/export/model.onnx", "photos"]) == 2
    assert "classes.json: class 1 is 'blue', but 'green' in" in capsys.readouterr().err
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    assert program("predict", ["runs/colours/export/model.onnx", "photos"]) == 2
    assert "model.onnx: cannot be opened:" in capsys.readouterr().err
    assert program("predict", ["runs/colours/export", "photos"]) == 2
    assert "a folder of exports; expected one of them: model.onnx" in capsys.readouterr().err
