"""`activation-maximization`, also as `maximise`, from its arguments to its files: values, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source


def test_pictures_stand_beside_the_best_images_of_the_split(run, tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--layer", "conv1", "--channels", "1", "3", "--steps", "4"]
    assert run_program(visualize.main, [str(run), "maximise", *arguments]) == 0
    assert "2 of 6 channels of conv1" in capsys.readouterr().out
    opened = open_source(str(run), VisualizeOptions(image_count=100))
    before_relu = keras.Model(opened.model.inputs[0], opened.model.get_layer("bn1").output)
    with np.load(tmp_path / "activation-maximization" / "activation-maximization-conv1_channel.npz") as arrays:
        assert arrays["pictures"].shape == (2, 16, 16, 3)
        assert arrays["pictures"].dtype == np.uint8
        made = before_relu(arrays["pictures"].astype(np.float32)).numpy().mean(axis=(1, 2))[[0, 1], [1, 3]]
        np.testing.assert_allclose(arrays["values"], made, atol=1e-4)
        real = before_relu(opened.images.pixels.astype(np.float32)).numpy().mean(axis=(1, 2))[:, [1, 3]]
        np.testing.assert_allclose(arrays["real_values"], real.max(axis=0), atol=1e-4)
        best = real.argmax(axis=0)
        np.testing.assert_array_equal(arrays["real_images"], opened.images.pixels[best])
        assert arrays["real_names"].tolist() == [opened.images.names[i].rpartition("/")[2] for i in best]


def test_classes_by_name_and_a_picture_that_real_images_surpass(run, tmp_path, capsys):
    arguments = [str(run), "activation-maximization", "--out", str(tmp_path), "--target", "bee", "0", "--steps", "1"]
    assert run_program(visualize.main, arguments) == 0
    printed = capsys.readouterr().out
    with np.load(tmp_path / "activation-maximization" / "activation-maximization-classes.npz") as arrays:
        assert arrays["names"].tolist() == ["bee", "ant"]
        below = [n for n, v, r in zip(*(arrays[k] for k in ("names", "values", "real_values")), strict=True) if v <= r]
    assert below  # one step from noise: random weights like other noise as well
    assert f"{2 - len(below)} of 2 pictures above every real image; not above: {', '.join(below)}" in printed


def test_a_grey_network_and_a_unit_that_is_dead(tmp_path, capsys):
    image = keras.Input((12, 12, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="conv")(image)
    model = keras.Model(image, layers.MaxPooling2D(name="pool")(x), name="grey")
    kernel = np.ones((3, 3, 1, 2))
    model.set_weights([kernel * [1, 0], np.array([0, -1])])  # the second is −1 whatever it sees
    model.save(file := tmp_path / "grey.keras")
    Image.fromarray(np.full((12, 12), 9, np.uint8)).save(photo := tmp_path / "photo.png")
    common = [str(file), "maximise", "--image", str(photo), "--out", str(tmp_path / "out"), "--steps", "3"]
    assert run_program(visualize.main, [*common, "--layer", "pool", "conv", "--channels", "0", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("1 of 2 pictures above every real image; dead, no step had a gradient: channel 1") == 2
    with np.load(tmp_path / "out" / "activation-maximization" / "activation-maximization-conv_channel.npz") as arrays:
        assert arrays["pictures"].shape == (2, 12, 12, 1)
        assert arrays["values"][0] > arrays["start_values"][0] > 9 * 9
        np.testing.assert_allclose([arrays["values"][1], arrays["real_values"][1]], -1, atol=1e-5)
    assert run_program(visualize.main, [*common, "--layer", "conv", "--channels", "0", "--unit", "middle"]) == 0
    assert (tmp_path / "out" / "activation-maximization" / "activation-maximization-conv_middle.png").is_file()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--target", "bea"), "unknown class 'bea'; did you mean bee"),
        (("--channels", "1"), "--channels needs --layer"),
        (("--layer", "conv3"), "no layer 'conv3'"),
        (("--layer", "conv1", "--channels", "6"), "channel 6, expected 0 to 5"),
        (("--layer", "hidden", "--unit", "middle"), "expected a map with a middle"),
        (("--steps", "0"), "--steps"),
    ],
)
def test_wrong_options_are_one_line(run, tmp_path, capsys, options, error):
    assert run_program(visualize.main, [str(run), "maximise", "--out", str(tmp_path), *options]) == 2
    printed = capsys.readouterr().err
    assert error in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())
