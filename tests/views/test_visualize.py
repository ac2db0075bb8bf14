"""`visualize.py` from its arguments to its files, on a run, a backbone and a model file; and what it refuses."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn import views
from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.errors import InputError
from keras_cnn.models.class_names import save_with_classes
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.visualization.attribution import METHODS


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 30, 3)).astype(np.uint8)).save(path)
    return path


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_kernels_of_a_run(run, tmp_path, capsys):
    assert run_program(visualize.main, [str(run), "kernels", "--out", str(tmp_path), "--count", "4"]) == 0
    stems = ("conv1_components", "conv1_rgb", "conv2_mean")
    assert _files(tmp_path / "kernels") == sorted(f"{stem}.{end}" for stem in stems for end in ("npz", "png"))
    model = keras.saving.load_model(run / "model.keras")
    with np.load(tmp_path / "kernels" / "conv1_rgb.npz") as arrays:
        np.testing.assert_array_equal(arrays["kernels"], model.get_layer("conv1").kernel.numpy()[..., :4])
        np.testing.assert_array_equal(arrays["channels"], [0, 1, 2, 3])
    with np.load(tmp_path / "kernels" / "conv2_mean.npz") as arrays:
        np.testing.assert_allclose(arrays["shown"], model.get_layer("conv2").kernel.numpy()[..., :4].mean(axis=2))
    assert "3 figures" in capsys.readouterr().out


def test_activations_are_of_images_of_the_validation_split(run, tmp_path):
    arguments = [str(run), "activations", "--out", str(tmp_path), "--layer", "conv1", "hidden", "--image-count", "2"]
    assert run_program(visualize.main, arguments) == 0
    opened = open_source(str(run), VisualizeOptions(image_count=2))
    assert set(opened.images.names) <= set(opened.dataset.validation.ids)
    model = opened.model
    found = sorted((tmp_path / "activations").glob("conv1_*.npz"))
    assert len(found) == 2
    with np.load(found[0]) as arrays:
        pixels, channels = arrays["image"], arrays["channels"]
        np.testing.assert_array_equal(pixels, opened.images.pixels[0])
        expected = keras.Model(model.inputs[0], [model.get_layer(n).output for n in ("conv1", "bn1", "relu1")])
        parts = ("convolution", "batch_norm", "activation")
        for part, values in zip(parts, expected(pixels[None].astype("float32")), strict=True):
            np.testing.assert_allclose(arrays[part], values[0].numpy()[..., channels], atol=1e-4)
    with np.load(tmp_path / "activations" / "hidden.npz") as arrays:
        assert arrays["values"].shape == (2, 5)


def test_maps_of_one_part_fill_a_page(run, photo, tmp_path, capsys):
    words = [str(run), "activations", "--out", str(tmp_path), "--image", str(photo), "--count", "64"]
    assert run_program(visualize.main, [*words, "--layer", "conv1", "--part", "batch-norm"]) == 0
    with np.load(tmp_path / "activations" / "conv1_1_photo.npz") as arrays:
        assert sorted(arrays) == ["batch_norm", "channels", "image"]
        model = keras.saving.load_model(run / "model.keras")
        normalised = keras.Model(model.inputs[0], model.get_layer("bn1").output)
        expected = normalised(arrays["image"][None].astype("float32"))[0].numpy()
        np.testing.assert_allclose(arrays["batch_norm"], expected, atol=1e-4)  # all six channels
    assert "conv1: batch norm (bn1) of photo" in capsys.readouterr().out
    assert run_program(visualize.main, [*words, "--layer", "conv2", "--part", "batch-norm"]) == 2
    assert "conv2: --part batch-norm: none, expected convolution or activation" in capsys.readouterr().err
    assert run_program(visualize.main, [*words, "--layer", "relu1", "--part", "activation"]) == 2
    assert "relu1: --part activation: a layer of one part, expected a convolution" in capsys.readouterr().err


def test_alexnet_pairs_of_three_images_at_three_depths(photo, tmp_path):
    """The figures of COMP5623, question 2.2.1, by one command; its layers 0, 3 and 10 are features_0, _3 and _10."""
    images = [str(photo)] * 3
    words = ["alexnet", "pairs", "--weights", "none", "--image-size", "64", "--image", *images, "--count", "2"]
    words += ["--layer", "features_0", "features_3", "features_10", "--out", str(tmp_path)]
    assert run_program(visualize.main, words) == 0
    drawn = {path.stem: np.load(path) for path in (tmp_path / "kernel-map-pairs").glob("*.npz")}
    assert sorted(drawn) == ["features_0_1-3", "features_10_1-3", "features_3_1-3"]
    for stem, depth, filters in (("features_0_1-3", 3, 11), ("features_3_1-3", 64, 5), ("features_10_1-3", 256, 3)):
        arrays = drawn[stem]
        assert arrays["kernels"].shape == (filters, filters, depth, 2)
        assert arrays["convolved"].shape == arrays["activated"].shape == (3, *arrays["convolved"].shape[1:3], 2)
        np.testing.assert_array_equal(arrays["activated"], np.maximum(arrays["convolved"], 0))


def test_pairs_say_how_well_the_maps_were_recomputed(run, photo, tmp_path, capsys):
    five = ["--image", *(str(photo) for _ in range(5))]
    assert run_program(visualize.main, [str(run), "pairs", "--out", str(tmp_path), "--channels", "1", "3", *five]) == 0
    assert _files(tmp_path / "kernel-map-pairs") == [
        f"conv{layer}_{part}.{end}" for layer in (1, 2) for part in ("1-3", "4-5") for end in ("npz", "png")
    ]
    assert "conv1: 2 pairs, recomputed to" in capsys.readouterr().out


def test_attributions_carry_their_verdict(run, photo, tmp_path, capsys):
    methods = ["integrated-gradients", "guided-backpropagation", "grad-cam++", "score-cam"]
    out = tmp_path / "out"
    common = [str(run), "attribution", "--out", str(out), "--image", str(photo)]
    assert run_program(visualize.main, [*common, "--method", *methods, "--target", "bee", "--against", "ant"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Verdict: ") == 4
    assert "completeness error at most" in printed
    with np.load(out / "attribution" / "integrated-gradients_bee-against-ant.npz") as arrays:
        assert arrays["values"].shape == (1, 16, 16, 3)
        assert arrays["cascade"].shape == (4, 2)
        error = arrays["values"].sum() - arrays["difference"]
        np.testing.assert_allclose(error, arrays["completeness_error"], atol=1e-4)
    assert run_program(visualize.main, [*common, "--method", "gradient", "--neuron", "conv2", "conv2:3,0,1"]) == 0
    with np.load(out / "attribution" / "gradient_conv2_strongest.npz") as arrays:
        assert arrays["values"].shape == (8, 16, 16, 3)  # conv2 has eight channels
        assert np.all(np.diff(arrays["scores"]) <= 0)
    assert (out / "attribution" / "gradient_conv2_3-0-1.png").is_file()


def test_a_model_file_with_a_network_inside_and_another_range(run, photo, tmp_path, capsys):
    inner = keras.saving.load_model(run / "model.keras")
    start = inner.get_layer("conv1")
    image = keras.Input((16, 16, 3))
    body = keras.Model(inner.get_layer("rescale").output, inner.get_layer("mean").output, name="body")
    model = keras.Model(image, layers.Dense(2, activation="softmax", name="head")(body(image)), name="outer")
    model.save(tmp_path / "outer.keras")
    arguments = [str(tmp_path / "outer.keras"), "activations", "--layer", "conv1", "--out", str(tmp_path / "out")]
    arguments += ["--image", str(photo), "--classes", "no", "yes"]
    assert run_program(visualize.main, arguments) == 0
    assert "no rescaling in the network: it gets 0-255" in capsys.readouterr().out
    assert run_program(visualize.main, [*arguments, "--input-range", "-1", "1"]) == 0
    with np.load(next((tmp_path / "out" / "activations").glob("conv1*.npz"))) as arrays:
        scaled = arrays["image"][None] / 127.5 - 1
        expected = keras.ops.conv(scaled.astype("float32"), start.kernel, padding="same") + start.bias
        np.testing.assert_allclose(arrays["convolution"], expected[0].numpy()[..., arrays["channels"]], atol=1e-4)
    opened = open_source(arguments[0], VisualizeOptions(images=(photo,), classes=("no", "yes"), input_range=(-1, 1)))
    np.testing.assert_allclose(opened.probabilities, model(scaled.astype("float32")), rtol=1e-4)
    assert opened.head.words == "logits before the softmax of head"
    assert opened.caption(0).startswith("photo.png, predicted ")


def test_a_model_file_has_the_names_of_its_classes_inside(run, photo, tmp_path):
    model = keras.saving.load_model(run / "model.keras")
    names = [f"kind {number}" for number in range(model.output_shape[-1])]
    save_with_classes(model, alone := tmp_path / "alone.keras", names)
    assert open_source(str(alone), VisualizeOptions(images=(photo,))).classes == tuple(names)
    with pytest.raises(InputError, match=r"--classes: .*alone\.keras has the names of its classes; expected none"):
        open_source(str(alone), VisualizeOptions(images=(photo,), classes=tuple(names)))
    save_with_classes(model, alone, names[1:])
    with pytest.raises(InputError, match=r"alone\.keras: classes\.json: .* names, expected .*, one for each class"):
        open_source(str(alone), VisualizeOptions(images=(photo,)))


def test_a_backbone_has_no_classes_but_neurons(photo, tmp_path):
    arguments = ["squeezenet1_1", "attribution", "--weights", "none", "--image-size", "64", "--image", str(photo)]
    arguments += ["--out", str(tmp_path / "out"), "--method", "gradient"]
    assert run_program(visualize.main, [*arguments, "--neuron", "features_0:5"]) == 0
    assert _files(tmp_path / "out" / "attribution") == ["gradient_features_0_5.npz", "gradient_features_0_5.png"]


def test_all_draws_what_there_is_and_says_what_it_leaves_out(run, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(views, "VIEWS", {name: views.VIEWS[name] for name in ("kernels", "attribution")})
    keras.saving.load_model(run / "model.keras")
    keras.Model(
        (model := keras.saving.load_model(run / "model.keras")).inputs[0], model.get_layer("conv2").output, name="maps"
    ).save(tmp_path / "maps.keras")
    arguments = [str(tmp_path / "maps.keras"), "all", "--image", str(photo), "--out", str(tmp_path / "out")]
    assert run_program(visualize.main, arguments) == 0
    printed = capsys.readouterr().out
    assert (
        "attribution: left out: command line: maps has no classes; explain neurons, such as --neuron conv2" in printed
    )
    assert "3 figures" in printed
    assert _files(tmp_path / "out") == ["index.html", "kernels", "views.json"]
    index = (tmp_path / "out" / "index.html").read_text()
    for words in ("kernels/conv1_rgb.png", "maps has no classes; explain neurons"):
        assert words in index


WRONG = {
    ("{run}", "kernal"): "unknown view 'kernal'; did you mean kernels?",
    ("{run}", "gradcam"): "unknown view 'gradcam'; did you mean attribution --method grad-cam?",
    ("{run}", "all", "kernels"): "all draws every view; expected no other view with it",
    ("{run}/nothing", "kernels"): "neither a run folder, nor a .keras, .h5 or .cfg file, nor a backbone",
    ("resnet5", "kernels"): "nor a backbone; did you mean resnet50?",
    ("{run}/nothing.keras", "kernels"): "nothing.keras: no model file; expected a .keras file",
    ("{run}", "kernels", "--layer", "relu1"): "relu1, of type Activation, has no kernels; expected one of conv1, conv2",
    ("{run}", "kernels", "--inputs", "9"): "tiny: conv1: input channel 9, expected 0 to 2",
    (
        "{run}",
        "kernels",
        "--scale",
        "comon",
    ): "--scale: found 'comon', expected one of common, own; did you mean common?",
    ("{run}", "kernels", "--count", "0"): "--count: found 0, expected at least 1",
    ("{run}", "kernels", "--colour", "red"): "unrecognized arguments: --colour; --help lists the options",
    ("{run}", "kernels", "--image-count", "0"): "--image-count: found 0, expected at least 1",
    ("{run}", "kernels", "--weights", "none"): "--weights has no meaning for a run",
    ("{run}", "activations", "--image", "{run}/no.png"): "no.png: no such file, expected an image",
    (
        "{run}",
        "activations",
        "--image",
        "{run}/config.yaml",
    ): "config.yaml: not a JPEG, PNG, BMP, GIF, WebP or TIFF",
    ("{run}", "activations", "--channels", "6"): "tiny: conv1: channel 6, expected 0 to 5",
    ("{run}", "attribution", "--target", "cat"): "tiny: unknown class 'cat'",
    ("{run}", "attribution", "--target", "beee"): "unknown class 'beee'; did you mean bee?",
    ("{run}", "attribution", "--method", "gradcam"): "--method: unknown method 'gradcam'; did you mean grad-cam?",
    ("{run}", "attribution", "--neuron", "conv2:8"): "tiny: conv2: channel 8, expected 0 to 7",
    ("{run}", "attribution", "--neuron", "conv2", "--target", "ant"): "--neuron explains neurons",
    ("squeezenet1_1", "kernels", "--weights", "none", "--classes", "a"): "--classes has no meaning for a backbone",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_input_is_one_line_and_leaves_no_folder(arguments, run, tmp_path, capsys):
    words = [word.format(run=run) for word in arguments]
    assert run_program(visualize.main, [*words, *(["--out", str(tmp_path / "out")] if len(words) > 1 else [])]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert WRONG[arguments] in error.replace(str(run), "{run}")
    assert not (tmp_path / "out").exists()
    assert not (run / "visualizations").exists()


def test_a_model_that_would_run_code_or_is_unknown_is_refused(tmp_path, capsys):
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Lambda(lambda x: x + 1)(image)).save(tmp_path / "lambda.keras")

    class Mine(layers.Layer):
        def call(self, inputs):
            return inputs

    keras.Model(image, Mine()(image)).save(tmp_path / "mine.keras")
    for name in ("lambda.keras", "mine.keras"):
        assert run_program(visualize.main, [str(tmp_path / name), "kernels"]) == 2
        error = capsys.readouterr().err
        assert f"{name}: not a Keras model that can be loaded" in error
        assert error.count("\n") == 1


def test_two_views_are_drawn_by_one_command_each_with_its_options(run, tmp_path, capsys):
    arguments = [str(run), "kernels", "receptive-field", "--count", "2", "--out", str(tmp_path / "out")]
    assert run_program(visualize.main, arguments) == 0
    assert _files(tmp_path / "out") == ["index.html", "kernels", "receptive-field", "views.json"]


def test_the_methods_that_need_no_import_are_those_of_attribution():
    assert tuple(METHODS) == views.METHODS


def test_every_view_has_a_function_with_options_of_its_own():
    common = {"image", "image_count", "out", "weights", "image_size", "input_range", "classes", "debug", "help"}
    for name in views.VIEWS:
        options = views.find(name).options
        assert not common & set(options)
        for hint, _, note in options.values():
            assert note, f"{name}: an option without help"
            visualize._kind(hint)


def test_pictures_of_other_sizes_come_at_the_size_of_the_network(run, tmp_path):
    Image.fromarray(np.full((50, 20), 77, np.uint8)).save(tmp_path / "grey.png")
    opened = open_source(str(run), VisualizeOptions(images=(tmp_path / "grey.png",)))
    np.testing.assert_array_equal(opened.images.pixels, np.full((1, 16, 16, 3), 77))
    image = keras.Input((None, None, 3))
    keras.Model(image, layers.Conv2D(1, 1)(image)).save(tmp_path / "model.keras")
    with pytest.raises(
        InputError, match=r"model\.keras: images: found \(None, None, 3\), expected --image-size PIXELS"
    ):
        open_source(str(tmp_path / "model.keras"), VisualizeOptions())


def test_all_shows_some_of_many_images_and_measures_all(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(views, "VIEWS", {name: views.VIEWS[name] for name in ("activations", "filters")})
    photos = []
    for number in range(13):
        photos.append(tmp_path / f"{number}.png")
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(photos[-1])
    words = [str(run), "all", "--out", str(tmp_path / "out"), "--image", *map(str, photos)]
    assert run_program(visualize.main, words) == 0
    assert "note  12 of 13 images in figures" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "activations").glob("conv1_*.png"))) == 12
    with np.load(tmp_path / "out" / "filters" / "filters-summary.npz") as arrays:
        assert arrays["conv1_top"].shape == (6, 13)
