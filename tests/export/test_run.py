"""Exporting a run folder: which images are looked at, what is said, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from keras_cnn import config as config_module
from keras_cnn import data, run_folder
from keras_cnn.errors import InputError
from keras_cnn.export import litert_int8
from keras_cnn.export.run import export_run, validation_images
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.models.model_files import load_model

CLASSES = ("Bag", "Boot", "Coat")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run on garments of the embedded Fashion-MNIST, with a network of three convolutions as its best model."""
    folder = tmp_path_factory.mktemp("runs")
    garments = data.load("fashion-mini", seed=0).test
    np.savez(folder / "garments.npz", x=garments.pixels[:300], y=garments.labels[:300] % 3, classes=np.array(CLASSES))
    settings = folder / "settings.yaml"
    settings.write_text(
        f"name: garments\ndata: {{source: 'npz:{folder / 'garments.npz'}', train: 60, validation: 100, test: 100}}\n"
        "model: {name: layers, table: [{conv: 8, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }]}\n"
    )
    config = config_module.load(settings, [], BUILDERS)
    path = folder / "garments"
    with run_folder.RunFolder.create("garments", path=path) as made:
        made.describe(config, config, {})
        dataset = data.load(config.data.source, train=60, validation=100, test=100, seed=config.seed)
        run_folder.write_json(made / "split.json", data.split_record(dataset))
        table = config.model.options["table"]
        model = BUILDERS["model"]["layers"](dataset.image_shape, len(CLASSES), table=table)
        rng = np.random.default_rng(0)
        for weight in model.get_layer("bn1").weights:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        model.save(made / "model.keras")
        run_folder.write_json(made / "metrics.json", {"accuracy": 0.5})
    return path


@pytest.fixture
def path(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "garments")


def test_a_run_is_exported_and_its_lines_are_shown(path, messages):
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    results = export_run(path, ["savedmodel", "litert", "onnx"])
    files = {"classes.json", "export.json", "model.onnx", "model.tflite", "savedmodel"}
    files |= {"predict_onnx.py", "predict_litert.py", "predict_savedmodel.py"}
    assert {file.name for file in (path / "export").iterdir()} == files
    assert json.loads((path / "export" / "classes.json").read_text()) == list(CLASSES)
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before  # no test reading
    for one in results:
        assert one.images == one.same_predictions == 64
        assert one.max_relative_difference < 1e-5
    assert f"{path}: layers in float32; uint8 images of 28×28×1 to logits" in " ".join(map(str.strip, messages))
    assert "compared    with Keras on 64 validation images: within 0.0001 of the top logit" in messages
    assert [line.split()[0] for line in messages if "64/64" in line] == ["savedmodel", "litert", "onnx"]
    assert any(line.startswith(f"written     {path / 'export'}") for line in messages)


def test_the_images_are_spread_over_the_validation_split(path):
    config = run_folder.RunFolder.open(path).config(BUILDERS)
    found = validation_images(load_dataset(config), config.data.fit)
    ids = json.loads((path / "split.json").read_text())["ids"]["validation"]
    source = np.load(config.data.source.removeprefix("npz:"))["x"]
    places = {source[int(i.partition("/")[2])].tobytes(): place for place, i in enumerate(ids)}
    chosen = [places[image.tobytes()] for image in found]
    assert (len(ids), len(chosen), chosen[0], chosen[-1]) == (100, 64, 0, 99)
    assert set(np.diff(chosen)) == {1, 2}


def test_a_small_validation_split_is_taken_whole(path):
    settings = (path / "config.yaml").read_text().replace("validation: 100", "validation: 7")
    (path / "config.yaml").write_text(settings)
    config = run_folder.RunFolder.open(path).config(BUILDERS)
    assert validation_images(load_dataset(config), config.data.fit).shape == (7, 28, 28, 1)


def test_a_quantised_run_says_what_its_accuracy_costs_on_the_whole_validation_split(path, messages):
    (result,) = export_run(path, ["litert-int8"])
    change = result.accuracy
    assert change.images == 100
    stored = json.loads((path / "export" / "export.json").read_text())["formats"][0]["accuracy"]
    assert (stored["b"], stored["c"], stored["p"]) == (change.b, change.c, change.p)
    dataset = load_dataset(run_folder.RunFolder.open(path).config(BUILDERS))
    images, labels = dataset.validation.pixels, dataset.validation.labels
    right = load_model(path / "model.keras")(images).numpy().argmax(axis=1) == labels
    quantised = litert_int8.load(path / "export" / "model_int8.tflite")(images).argmax(axis=1) == labels
    assert (change.b, change.c) == (np.sum(right & ~quantised), np.sum(~right & quantised))
    assert change.p == pytest.approx(min(1, 2 * binom.cdf(min(change.b, change.c), change.b + change.c, 0.5)))
    text = " ".join(map(str.strip, messages))
    assert f"accuracy    litert-int8: {right.mean():.4f} in float32, {quantised.mean():.4f} quantised, on 100" in text
    assert (path / "export" / "predict_litert_int8.py").is_file()


def unfinished(path: Path) -> None:
    (path / "metrics.json").unlink()


def without_model(path: Path) -> None:
    (path / "model.keras").unlink()


def without_split(path: Path) -> None:
    (path / "split.json").unlink()


def held(path: Path) -> None:
    run_folder.RunFolder.open(path).lock()


@pytest.mark.parametrize(
    ("damage", "formats", "said"),
    [
        (
            unfinished,
            ["onnx"],
            "garments: not finished: it has no metrics.json; expected a finished run",
        ),
        (without_model, ["onnx"], "model.keras: no model file"),
        (without_split, ["onnx"], "split.json: does not list the run's classes"),
        (held, ["onnx"], "garments: in use by process"),
        (
            lambda path: None,
            ["tflight"],
            "formats: unknown format 'tflight'; expected one of keras, savedmodel, litert",
        ),
        (shutil.rmtree, ["onnx"], "garments: no such folder; expected a run folder"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(damage, formats, said, path):
    damage(path)
    with pytest.raises(InputError, match=said) as error:
        export_run(path, formats)
    assert "\n" not in str(error.value)
    assert not list(path.glob("*export*")) + list(path.glob(".*export*"))


def test_another_export_takes_the_place_of_the_last(path):
    export_run(path, ["onnx"])
    export_run(path, ["litert", "litert"])
    assert {file.name for file in (path / "export").iterdir()} == {
        *("classes.json", "export.json", "model.tflite", "predict_litert.py")
    }
