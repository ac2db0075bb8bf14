"""The library: what `import keras_cnn` promises, its errors, and the code of its documentation on one tiny data set."""

import contextlib
import dataclasses
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_cnn as kc
from keras_cnn.api.settings import BoxSettings, Settings, short_names
from keras_cnn.config import Config, names
from keras_cnn.models.class_names import classes_in
from keras_cnn.models.model_files import load_model
from keras_cnn.tasks.detection.settings import BoxConfig
from tests.drawing import draw_nothing

PUBLIC = (
    *("BackboneRanking", "ComparisonResult", "Dataset", "DetectorRun", "DryRun", "EnsembleResult", "Evaluation"),
    *("Explanation", "Figures", "FoldsResult", "ImageDetections", "ImagePredictions", "InputError"),
    *("LabelPredictions", "MachineReport", "MultilabelEvaluation", "ObjectDetector", "Run", "SeedSummary", "Stopped"),
    *("SweepResult", "build_model", "compare", "cross_validate", "cross_validate_detector", "demo", "doctor"),
    *("dry_run", "evaluate_ensemble", "evaluate_runs", "explain", "find_learning_rate", "finetune", "list_models"),
    *("list_options", "load_data", "open_detector", "open_run", "overfit_batch", "predict", "rank_backbones"),
    *("report", "resume", "sweep", "train", "train_detector", "view"),
)
PIXELS = np.random.default_rng(0).integers(0, 256, (90, 16, 16, 3))
LABELS = np.arange(90) % 3
PIXELS[..., 0] = 80 * LABELS[:, None, None]
ONE_IMAGE = PIXELS[0].astype(np.uint8)


def test_the_import_imports_nothing_else():
    code = "import sys; import keras_cnn\n"
    code += "print({'numpy', 'keras', 'tensorflow', 'yaml'} & set(sys.modules), 'train' in dir(keras_cnn))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.split() == ["set()", "True"], done.stderr


def test_the_public_names_are_these_and_each_says_how_it_is_used():
    assert tuple(kc.__all__) == PUBLIC
    functions = [name for name in PUBLIC if name[0].islower()]
    assert all(">>> " in getattr(kc, name).__doc__ for name in functions)
    assert all(getattr(kc, name).__doc__ for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = kc.trian


def test_the_typed_keywords_of_a_training_are_the_options_of_a_config():
    assert set(Settings.__annotations__) == set(short_names())
    assert set(BoxSettings.__annotations__) == set(short_names(BoxConfig))


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory):
    """Arrays are kept below a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


# --- data ---


def shares(**more):
    return {"validation": 0.2, "test": 0.2} | more


def test_arrays_become_splits_that_their_source_loads_again():
    data = kc.load_data((PIXELS, LABELS), **shares())
    assert repr(data.train) == "<Split: 54 images of 3 classes, an array (54, 16, 16, 3)>"
    assert repr(data) == f"<Dataset {data.source}: 54 train, 18 validation, 18 test; 3 classes; 16×16×3>"
    again = kc.load_data(data.source, **shares())
    assert again.test.ids == data.test.ids
    np.testing.assert_array_equal(again.test.pixels, data.test.pixels)
    floats = kc.load_data((PIXELS / 255, LABELS.astype(str)), value_range=(0, 1), **shares())
    assert floats.source == data.source  # the same pixels, labels and names
    named = kc.load_data({"train": (PIXELS[:60], LABELS[:60]), "test": (PIXELS[60:], LABELS[60:])}, classes=list("abc"))
    assert (named.classes, len(named.test), named.findings["own_splits"]) == (("a", "b", "c"), 30, ["train", "test"])


def test_wrong_arrays_are_named_with_what_is_expected():
    onehot = np.eye(3)[LABELS]
    cases = {
        "x: found float64 (90, 16, 16, 3) from 0 to 1; expected whole numbers from 0 to 255, or value_range=(BLACK,": (
            PIXELS / 255,
            LABELS,
        ),
        "x: found int64 (90, 16, 16, 3) from 0 to 510; expected whole numbers of 0 to 255": (2 * PIXELS, LABELS),
        "x: found int64 (90, 3, 16, 16); expected (N, H, W) or": (PIXELS.transpose(0, 3, 1, 2), LABELS),
        "y: found the labels 1, 2, 3; expected 0 to C-1 without a gap": (PIXELS, LABELS + 1),
        "y: found float64 (90, 3); expected (N,) whole numbers or text; labels.argmax(axis=1)": (PIXELS, onehot),
        "x has 90 images, y has 80 labels; expected a label for each image": (PIXELS, LABELS[:80]),
        "load_data: found a set; expected the name of a source": {1},
    }
    for message, source in cases.items():
        with pytest.raises(kc.InputError) as caught:
            kc.load_data(source)
        assert str(caught.value).startswith(message)
    with pytest.raises(kc.InputError, match=r"x: .* from 0 to 1; expected values inside value_range \(0, 0.5\)"):
        kc.load_data((PIXELS / 255, LABELS), value_range=(0, 0.5))
    with pytest.raises(kc.InputError, match=r"^load_data: unknown keyword 'imagesize'; did you mean image_size\?$"):
        kc.load_data((PIXELS, LABELS), imagesize=3)
    with pytest.raises(kc.InputError, match="y_test: the label 'c' is none of the classes a, b"):
        kc.load_data(((PIXELS, np.array(["a", "b"] * 45)), (PIXELS, np.array(["c"] * 90))))


def test_a_finite_tf_data_dataset_is_read_and_an_endless_one_refused():
    import tensorflow as tf

    finite = tf.data.Dataset.from_tensor_slices((PIXELS.astype(np.uint8), LABELS))
    expected = kc.load_data((PIXELS, LABELS), **shares()).source
    assert kc.load_data(finite.batch(7), **shares()).source == expected
    with pytest.raises(kc.InputError, match=r"load_data: an endless tf\.data\.Dataset; expected a finite"):
        kc.load_data(finite.repeat())


def test_a_data_frame_names_its_files(tmp_path):
    import pandas as pd
    from PIL import Image

    for number in range(30):
        Image.fromarray(PIXELS[number].astype(np.uint8)).save(tmp_path / f"{number}.png")
    frame = pd.DataFrame({"path": [str(tmp_path / f"{n}.png") for n in range(30)], "label": ["dog", "cat", "owl"] * 10})
    data = kc.load_data(frame, **shares(validation=3, test=3))
    assert (data.classes, len(data.train), data.image_shape) == (("cat", "dog", "owl"), 24, (16, 16, 3))
    assert kc.load_data(data.source, **shares(validation=3, test=3)).train.ids == data.train.ids
    with pytest.raises(kc.InputError, match=r"^data frame: no column label among path, kind; expected path"):
        kc.load_data(frame.rename(columns={"label": "kind"}))


# --- a network of the user's own: trained, interrupted, moved, resumed, measured and looked at ---


def own_network():
    import keras

    keras.utils.set_random_seed(3)
    base = [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3, activation="relu", name="conv1")]
    base = keras.Sequential([*base, keras.layers.Dropout(0.5)], name="base")
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax", name="classes")]
    return keras.Sequential([keras.Input((16, 16, 3)), base, *head], name="mine")


@pytest.fixture(scope="module")
def data():
    return kc.load_data((PIXELS, LABELS), **shares(classes=("cat", "dog", "owl")))


@contextlib.contextmanager
def no_figures():
    """Trainings and evaluations draw nothing inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        yield


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, module_messages):
    """A finished run of `own_network`."""
    folder = tmp_path_factory.mktemp("api") / "own"
    with no_figures():
        return kc.train(own_network(), data, epochs=2, learning_rate=0.01, path=folder, wandb="off")


@pytest.fixture(scope="module")
def resumed(run, data, tmp_path_factory):
    """The same training, stopped after its first epoch, moved and resumed."""
    from keras_cnn.training.session import TrainingSession

    done = TrainingSession.epoch_done

    def stop(session, row):
        goes_on = done(session, row)
        signal.raise_signal(signal.SIGINT)
        return goes_on

    folder = tmp_path_factory.mktemp("api")
    with no_figures(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingSession, "epoch_done", stop)
        with pytest.raises(kc.Stopped, match="after 1 epochs"):
            kc.train(own_network(), data, epochs=2, learning_rate=0.01, path=folder / "stopped", wandb="off")
    os.rename(folder / "stopped", folder / "moved")
    with no_figures():
        return kc.resume(folder / "moved")


def test_an_own_network_trains_as_a_copy_on_logits(run, module_messages):
    import keras

    own = own_network()
    assert run.model.name == "mine"
    assert run.model.layers[-1].activation is keras.activations.linear
    assert not np.array_equal(run.model.get_weights()[0], own.get_weights()[0])
    assert (run.classes, run.config["model.name"]) == (("cat", "dog", "owl"), "custom")
    assert classes_in(run.path / "model.keras") == classes_in(run.path / "last.keras") == run.classes
    assert list(run.history.index) == [1, 2]
    assert repr(run).startswith(f"<Run {run.path}: test accuracy {run.metrics['accuracy']:.4f} [")
    assert keras.config.dtype_policy().name == "float32"
    said = "\n".join(module_messages)
    assert "the softmax of classes is left out" in said
    assert "mine has no layer that rescales: it gets pixel values from 0 to 255" in said
    assert "precision float32: " in said


def test_an_own_network_resumes_to_the_bit_in_a_moved_folder(run, resumed):
    for one, other in zip(run.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(kc.InputError, match="this run is complete; to train longer, start a new one"):
        kc.resume(resumed)


def test_evaluations_are_tables_and_are_compared(run, resumed, data, messages):
    with no_figures():
        evaluation = run.evaluate("test", verbose=True)
    assert 5 <= len(messages) <= 11  # in short
    assert evaluation.accuracy == run.metrics["accuracy"]
    assert evaluation.confusion.to_numpy().sum() == 18
    assert list(evaluation.per_class["support"]) == [6, 6, 6]
    logits = run.model.predict(data.test.pixels, verbose=0)
    assert evaluation.accuracy == np.mean(logits.argmax(axis=1) == data.test.labels)
    with no_figures():
        comparison = evaluation.against(resumed)
    assert (comparison.overall.difference, comparison.overall.images) == (0.0, 18)
    assert len(repr(comparison)) < 200
    with pytest.raises(kc.InputError, match=r"^split: found 'tset', .*; did you mean test\?"):
        run.evaluate("tset")


def test_a_run_predicts_files_and_arrays(run, data, tmp_path):
    from PIL import Image

    Image.fromarray(ONE_IMAGE).save(tmp_path / "dog.png")
    logits = run.model.predict(ONE_IMAGE[None], verbose=0)[0]
    file, array = run.predict(tmp_path / "dog.png", top=2), run.predict(ONE_IMAGE)
    assert file.predicted == array.predicted == (run.classes[int(logits.argmax())],)
    assert len(file[0].classes) == 2
    with pytest.raises(kc.InputError, match=r"nothere\.jpg"):
        run.predict("nothere.jpg")


def test_a_network_is_looked_at_by_names_and_numbers(run):
    maps = run.activations(ONE_IMAGE, layers=["conv1"])
    assert maps.arrays()["activation"].shape == (14, 14, 8)
    assert run.kernels(1).arrays()["kernels"].shape == (3, 3, 3, 8)
    assert "<img" in run.occlusion(ONE_IMAGE, target=2, patch=4)._repr_html_()
    assert len(run.filters("conv1", filters=[0])) >= 1
    assert len(run.activations([ONE_IMAGE, ONE_IMAGE], "conv1")) == 2
    assert len(run.activations([ONE_IMAGE, ONE_IMAGE], "conv1", image_count=1)) == 1
    explained = kc.explain(run.model, ONE_IMAGE, "grad-cam", target="cat")
    by_number = kc.explain(run, [ONE_IMAGE], "grad-cam", target=0)
    assert explained.map.shape == (16, 16)
    np.testing.assert_array_equal(explained.map, by_number.map)
    assert repr(explained) == f"<Explanation: grad-cam of cat in 1 image: {explained.verdict.words}>"
    for call, message in (
        (lambda: run.kernels("conv2"), r"mine: no layer 'conv2'; did you mean conv1\?"),
        (lambda: run.occlusion(ONE_IMAGE, target="owll"), r"own: unknown class 'owll'; did you mean owl\?"),
        (lambda: run.view("kernel"), r"unknown view 'kernel'; did you mean kernels\?"),
        (lambda: run.occlusion(ONE_IMAGE, ptach=3), r"occlusion: unknown keyword 'ptach'; did you mean patch\?"),
        (lambda: kc.explain(run, ONE_IMAGE / 255), r"images: found float64 \(16, 16, 3\); expected files, or uint8"),
    ):
        with pytest.raises(kc.InputError, match=f"^{message}"):
            call()


def test_a_page_and_an_export(run, resumed, tmp_path):
    page = kc.report([run, str(resumed.path)], tmp_path / "report.html")
    assert "moved" in page.read_text()
    assert run.export("keras", verbose=False)["keras"].is_file()
    assert kc.open_run(run.path).metrics == run.metrics


def test_files_and_runs_predict_alike_with_and_without_the_temperature(run):
    named = kc.predict(run, ONE_IMAGE).probabilities
    np.testing.assert_array_equal(named, run.predict(ONE_IMAGE).probabilities)
    np.testing.assert_array_equal(named, kc.predict(run.path / "model.keras", ONE_IMAGE).probabilities)
    logits = run.model.predict(ONE_IMAGE[None], verbose=0).astype(float)
    plain = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(kc.predict(run, ONE_IMAGE, temperature=False).probabilities, plain, rtol=1e-5)
    np.testing.assert_allclose(run.predict(ONE_IMAGE, temperature=False).probabilities, plain, rtol=1e-5)
    for model, more, message in (
        (3, {}, "model: found a int, expected a run, its folder or a file"),
        (run, {"classes": ["a", "b", "c"]}, r".*own: has its own classes; only a Keras model file is given one"),
        (run, {"topp": 1}, r"predict: unknown keyword 'topp'; did you mean top\?"),
    ):
        with pytest.raises(kc.InputError, match=f"^{message}$"):
            kc.predict(model, ONE_IMAGE, **more)


def test_an_evaluation_takes_what_the_command_takes(run, monkeypatch):
    from keras_cnn.evaluation import kinds

    drawn = []
    draw = lambda evaluation, folder, title, classes: drawn.append(classes)  # noqa: E731
    monkeypatch.setattr(kinds, "ONE_CLASS", dataclasses.replace(kinds.ONE_CLASS, draw=draw))
    evaluation = run.evaluate("validation", classes=["dog", 2], devices="cpu")
    assert drawn == [("dog", "owl")]
    assert evaluation.accuracy == run.metrics["validation"]["accuracy"]
    with pytest.raises(kc.InputError, match=r"^classes: found 'dgo', .*; did you mean dog\?$"):
        run.evaluate("validation", classes="dgo")


def test_seeds_of_a_recipe_are_summed_up(run, tmp_path):
    paths = []
    for seed, accuracy in ((2, 0.5), (3, 0.7)):
        shutil.copytree(run.path, tmp_path / f"seed{seed}")
        paths.append(tmp_path / f"seed{seed}")
        config, metrics = paths[-1] / "config.yaml", paths[-1] / "metrics.json"
        config.write_text(re.sub(r"^seed: \d+$", f"seed: {seed}", config.read_text(), flags=re.MULTILINE))
        metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"accuracy": accuracy}))
    summary = kc.evaluate_runs(paths)
    row = summary.table.iloc[0]
    half = 12.7062047 * 0.02**0.5 / 2**0.5  # Student's t of one degree of freedom, at 95 %
    assert (row["n"], row["seeds"], row["values"]) == (2, [2, 3], [0.5, 0.7])
    np.testing.assert_allclose(
        [row["mean"], row["std"], row["low"], row["high"]], [0.6, 0.02**0.5, 0.6 - half, 0.6 + half]
    )
    assert "mean 0.6000" in repr(summary)
    assert len(summary.differences) == 0
    for runs, message in ((run, "runs: found a Run, expected a list"), (["nowhere"], "nowhere: ")):
        with pytest.raises(kc.InputError, match=f"^{message}"):
            kc.evaluate_runs(runs)


def test_a_report_goes_to_wandb_if_it_can(run, tmp_path, monkeypatch, messages):
    from keras_cnn.report import wandb

    monkeypatch.setattr(wandb, "save", lambda report: f"https://wandb.example/{report.title}")
    kc.report(run, tmp_path / "page.html", wandb=True)
    assert messages[-1] == f"W&B     https://wandb.example/{run.name}"


def test_another_number_of_devices_is_asked_for_by_name(resumed, tmp_path, monkeypatch):
    from keras_cnn.api import training

    shutil.copytree(resumed.path, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    seen = []
    monkeypatch.setattr(
        training.experiment, "train", lambda config, folder, prepare, **more: seen.append((config.devices, more))
    )
    kc.resume(tmp_path / "run", devices="cpu:2", verbose=False)
    kc.resume(tmp_path / "run", verbose=False)
    assert seen == [
        ("cpu:2", {"watch": None, "other_devices": True}),
        ("auto", {"watch": None, "other_devices": False}),
    ]
    with pytest.raises(kc.InputError, match=r"^devices: found \[0, 1\], expected "):
        kc.resume(tmp_path / "run", devices=[0, 1])


# --- plans ---


def test_a_dry_run_says_what_a_call_would_do_and_leaves_nothing(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = kc.dry_run(kc.train, own_network(), data, epochs=2, batch_size=20)
    convolution, dense = 14 * 14 * 8 * 27, 8 * 3
    assert (plan.trials, plan.epochs, plan.steps, plan.images, plan.parameters) == (1, 2, 3, 54, 8 * 28 + 3 * 9)
    assert plan.multiply_adds == 3 * (convolution + dense) * 54 * 2  # forward, and backward at twice that
    assert repr(plan).splitlines()[-1] == "dry run: no run folder was made, no image kept"
    tuned = kc.dry_run(kc.finetune, "resnet8", data, weights="fashion", freeze_upto="all", epochs=1)
    assert "frozen" in tuned.text
    parameters = {"optim.learning_rate": {"values": [0.01, 0.02, 0.03]}}
    content = {"method": "grid", "metric": {"name": "val_loss", "goal": "minimize"}, "parameters": parameters}
    swept = kc.dry_run(kc.sweep, content, data, epochs=1, options={"model.name": "lenet"})
    assert (swept.trials, swept.epochs) == (3, 1)
    assert "0.01, 0.02, 0.03" in swept.text
    recipes = {"method": "grid", "parameters": {"model.name": {"values": ["lenet", "model2"]}}}
    assert kc.dry_run(kc.compare, recipes, data, epochs=1).trials == 2
    assert capsys.readouterr().out == ""
    for call, arguments, more, message in (
        (kc.train, ("lenett", data), {}, r"model.name: 'lenett' is unknown; did you mean lenet\?"),
        (kc.train, ("lenet", data), {"epoch": 1}, r"train: unknown keyword 'epoch'; did you mean epochs\?"),
        (kc.sweep, (), {}, "sweep: missing a required argument: 'file'; expected sweep"),
        (kc.report, (), {}, "call: found 'report', expected one of train, finetune, sweep, compare, train_detector"),
    ):
        with pytest.raises(kc.InputError, match=f"^{message}"):
            kc.dry_run(call, *arguments, **more)
    assert list(tmp_path.iterdir()) == []


def test_the_options_are_listed_with_the_defaults_of_a_config():
    listed = kc.list_options()
    fields = listed[listed["only_for"] == ""]
    assert [name.removesuffix(".name") for name in fields.index if name != "name"] == [
        name.removesuffix(".name") for name in names() if name != "name"
    ]
    assert fields.loc["optim.learning_rate", "default"] == Config().optim.learning_rate
    assert listed[listed["only_for"] == "net4"].index.str.startswith("model.").all()
    assert list(kc.list_options("detector").index) == names(BoxConfig)


# --- networks by name, and wrong input of a training ---


def test_a_built_network_is_its_name_until_it_changes(data):
    from keras_cnn.api.models import named_network

    model = kc.build_model("lenet", input_shape=(16, 16, 3), classes=3)
    assert named_network(model).name == "lenet"
    model.layers[-1].bias.assign([1.0, 0.0, 0.0])
    assert named_network(model) is None


def test_a_cross_validation_takes_the_networks_and_configs_of_a_training(data, tmp_path, monkeypatch):
    """Planned and not trained: the folds start from a copy of the network's weights in their folder."""
    from keras_cnn.api import folds
    from keras_cnn.config import load
    from keras_cnn.loading import BUILDERS

    def begun(model, name, config, **settings):
        folder = tmp_path / name
        with pytest.raises(kc.Stopped):
            kc.cross_validate(model, data, folds=3, config=config, path=folder, verbose=False, **settings)
        return folder, load(folder / "base.yaml", [], BUILDERS)

    def stop(*arguments, **options):
        raise kc.Stopped("begun")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folds.local, "run", stop)
    monkeypatch.setattr(folds, "PrewarmedWorkers", lambda count: contextlib.nullcontext())
    (tmp_path / "own.yaml").write_text("train: {epochs: 7}")
    network = own_network()
    folder, config = begun(network, "own", tmp_path / "own.yaml")
    assert (config.train.epochs, config.model.name) == (7, "custom")
    assert Path(config.model.options["file"]) == folder / "initial.keras"
    copied = load_model(folder / "initial.keras").get_weights()
    assert all(map(np.array_equal, copied, network.get_weights()))
    _, config = begun(kc.build_model("net1", (16, 16, 3), 3, l1_oc=6), "named", {"train": {"epochs": 8}}, batch_size=9)
    assert (config.train.epochs, config.train.batch_size, config.model.options["l1_oc"]) == (8, 9, 6)
    _, config = begun(None, "default", "clothes")
    assert config.name == "clothes"
    wrong = kc.build_model("lenet", (20, 20, 3), 3)
    with pytest.raises(kc.InputError, match=r"^lenet: takes images of \(20, 20, 3\), but the data has \(16, 16, 3\)"):
        kc.cross_validate(wrong, data, path=tmp_path / "never")
    with pytest.raises(kc.InputError, match=r"^model: found int, expected a name or a Keras model"):
        kc.cross_validate(3, data, path=tmp_path / "never")
    with pytest.raises(kc.InputError, match=r"gone\.keras: no model file; expected a \.keras file"):
        kc.cross_validate("custom", data, options={"model.file": "gone.keras"}, path=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_wrong_input_of_a_training_leaves_no_run_folder(data, tmp_path, monkeypatch):
    import keras

    monkeypatch.chdir(tmp_path)
    compiled = own_network()
    compiled.compile("adam", "categorical_crossentropy")
    frozen = own_network()
    frozen.layers[0].trainable = False
    image = keras.Input((16, 16, 3))
    recurrent = keras.layers.Reshape((16, 48))(image)
    recurrent = keras.Model(image, keras.layers.LSTM(3, stateful=False, name="lstm")(recurrent), name="recurrent")
    recurrent.layers[-1].stateful = True

    class Subclassed(keras.Model):
        def call(self, images):
            return images

    class Own(keras.layers.Layer):
        def call(self, images):
            return images

    flat = keras.layers.Flatten()
    with_own = keras.Model(image, keras.layers.Dense(3)(flat(Own()(image))), name="with_own")
    with_lambda = keras.Model(image, keras.layers.Dense(3)(flat(keras.layers.Lambda(lambda x: x)(image))), name="with")
    sigmoid = keras.Sequential([image, keras.layers.Flatten(), keras.layers.Dense(3, "sigmoid")], name="many")
    small, many = (kc.build_model("lenet", shape, n) for shape, n in (((20, 20, 3), 3), ((16, 16, 3), 7)))
    cases = {
        r"train: unknown keyword 'epoch'; did you mean epochs\?": ("lenet", {"epoch": 1}),
        r"train: unknown keyword 'lr'; did you mean learning_rate\?": ("lenet", {"lr": 1}),
        r"optim.weigt_decay: unknown field of optim; did you mean weight_decay\?": (
            "lenet",
            {"options": {"optim.weigt_decay": 1}},
        ),
        "train: epochs and options.'train.epochs'.: expected one": (
            "lenet",
            {"epochs": 1, "options": {"train.epochs": 2}},
        ),
        "optim.learning_rate: found 'fast', expected a number": ("lenet", {"learning_rate": "fast"}),
        r"seed: found 3, but the data was loaded with 1; see load_data\(..., seed=3\)": ("lenet", {"seed": 3}),
        r"model.name: 'lenett' is unknown; did you mean lenet\?": ("lenett", {}),
        "model: found int, expected a name or a Keras model": (3, {}),
        r"lenet: takes images of \(20, 20, 3\), but the data has \(16, 16, 3\)": (small, {}),
        r"lenet: has outputs of \(7,\), but the data has 3 classes": (many, {}),
        "mine: is compiled, with Adam; expected a model that is not": (compiled, {}),
        "mine: layer conv1 .Conv2D. is not trainable; expected trainable layers": (frozen, {}),
        "recurrent: layer lstm .LSTM. is stateful": (recurrent, {}),
        "many: ends with sigmoid in dense.*; expected logits, or a softmax over the classes": (sigmoid, {}),
        r"sub: a subclassed model \(Subclassed\); expected keras.Sequential, or keras.Model\(inputs, outputs\)": (
            Subclassed(name="sub"),
            {},
        ),
        "with_own: found Own, which no file can hold; expected Keras's own layers, or yours under": (with_own, {}),
        "with: found Lambda, which no file can hold; expected Keras's own layers": (with_lambda, {}),
        "precision: found mixed_bfloat16, but mine computes in float32": (
            own_network(),
            {"precision": "mixed_bfloat16"},
        ),
    }
    for message, (model, settings) in cases.items():
        with pytest.raises(kc.InputError, match=f"^{message}"):
            kc.train(model, data, verbose=False, **settings)
    assert list(tmp_path.iterdir()) == []


def test_fine_tuning_needs_a_backbone_and_takes_the_settings_of_its_config(data, monkeypatch):
    from keras_cnn.api import training

    with pytest.raises(kc.InputError, match=r"^finetune: 'resnet51' is no backbone; did you mean resnet"):
        kc.finetune("resnet51", data)
    seen = {}
    monkeypatch.setattr(training, "_train", lambda model, data, config, given, places: seen.update(given))
    kc.finetune("mobilenetv2", data, epochs=3)
    expected = {"model.weights": "imagenet", "finetune.freeze_upto": "all", "train.batch_size": 32, "train.epochs": 3}
    assert expected.items() <= seen.items()


def test_a_sweep_gives_its_best_run(data, tmp_path, monkeypatch):
    from keras_cnn.api import sweeps
    from keras_cnn.sweeps import worker

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeps, "PrewarmedWorkers", lambda count: contextlib.nullcontext())
    monkeypatch.setattr(sweeps.local, "run", lambda study, *_, **__: worker.work(study))  # in this process
    parameters = "parameters: {optim.learning_rate: {values: [0.01]}}"
    Path("sweep.yaml").write_text(f"method: random\nmetric: {{name: val_loss, goal: minimize}}\n{parameters}\n")
    sweep = kc.sweep("sweep.yaml", data, run_cap=1, epochs=1, options={"model.name": "lenet"}, wandb="off")
    assert sweep.best_settings == {"optim.learning_rate": 0.01}
    assert sweep.best.config["data.source"] == data.source
    assert sweep.trials.loc[1, "value"] == sweep.best.metrics["validation"]["loss"]
    assert "<td>finished</td>" in sweep._repr_html_()
    with pytest.raises(kc.InputError, match="workers: found 0, expected a whole number from 1"):
        kc.sweep("sweep.yaml", data, workers=0)


def test_a_sweep_of_the_library_names_no_absolute_path(monkeypatch):
    from keras_cnn.sweeps import local

    told = []
    monkeypatch.setattr(local, "worker_pool", lambda *_: contextlib.nullcontext([]))
    monkeypatch.setattr(local, "_conclude", lambda study: None)
    study = type("Study", (), {"folder": Path("runs/x"), "cap": 3, "trials": lambda self: [], "wandb_sweep": None})()
    study.sweep = type("Sweep", (), {"method": "bayes"})()
    monkeypatch.setattr(local.logger, "info", told.append)
    local.run(study, 1, may_join=False)
    assert told == ["sweep     runs/x   (bayes, 3 trials, 1 worker)", "epochs    in runs/x/worker-1.log"]


def test_report_is_the_library_function_also_after_its_package_was_imported():
    importlib.import_module("keras_cnn.report.html")
    with pytest.raises(kc.InputError, match="report: unknown keyword 'wrong'; expected one of runs, path, wandb"):
        kc.report(["nowhere"], wrong=1)
