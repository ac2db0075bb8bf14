"""Networks of others: Sequential and nested ones, several outputs, one unit, any size, `.h5`; machines that say no."""

import errno
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.views.support import saving

SIDES = (24, 20)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[str]:
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    files = [folder / f"{number}.png" for number in range(5)]
    for file in files:
        Image.fromarray(generator.integers(0, 256, (*SIDES, 3)).astype(np.uint8)).save(file)
    return list(map(str, files))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("models")

    def body() -> list:
        return [
            layers.Conv2D(4, (3, 5), activation="relu", name="conv_a"),
            layers.MaxPooling2D((2, 1), name="pool"),
            layers.Conv2D(4, 3, activation="relu", name="conv_b"),
        ]

    shape = (*SIDES, 3)
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(3, name="scores")]
    sequential = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), *body(), *ends])
    sequential.save(folder / "sequential.keras")
    sequential.save(folder / "sequential.h5")
    keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4), layers.Dense(3)]).save(
        folder / "dense.keras"
    )
    image = keras.Input(shape)
    inner = keras.Sequential([keras.Input(shape), *body()], name="body")
    keras.Model(image, layers.Dense(3)(layers.Flatten()(inner(image)))).save(folder / "nested.keras")
    image = keras.Input((None, None, 3))
    scaled = layers.Conv2D(4, 3, padding="same", name="conv")(image / 127.5 - 1)
    keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(scaled))).save(folder / "any.keras")
    image = x = keras.Input(shape)
    for layer in (layers.Rescaling(1 / 255), *body(), layers.GlobalAveragePooling2D(name="_mean")):
        x = layer(x)
    ages = layers.Dense(2, activation="softmax", name="age")(x)
    keras.Model(image, [layers.Dense(3, name="kind")(x), ages]).save(folder / "two.keras")
    x = layers.Conv2D(4, 3, activation="relu", name="_x")(layers.Rescaling(1 / 255)(image))
    x = layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="_y")(layers.GlobalMaxPooling2D()(x))
    keras.Model(image, x).save(folder / "sigmoid.keras")
    return folder


@pytest.fixture
def draw(models, photos, tmp_path):
    """Runs `visualize.py MODEL VIEW OPTION ...` on some of the photos; (words, photos, status) -> folder of figures."""

    def call(words: str, count: int = 2, status: int = 0) -> Path:
        model, view, *options = words.split()
        arguments = [str(models / model), view, "--image", *photos[:count], "--out", str(tmp_path), *options]
        assert run_program(visualize.main, arguments) == status
        return tmp_path / view

    return call


def pixels(photos: list[str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file), np.float32) for file in photos])


@pytest.mark.parametrize(
    "words", ["sequential.keras", "sequential.h5", "nested.keras", "nested.keras --input-range -1 1"]
)
def test_receptive_fields_whatever_the_graph_is_made_of(draw, words):
    model, *options = words.split()
    folder = draw(" ".join([model, "receptive-field", *options]))
    with np.load(folder / "receptive-field.npz") as arrays:
        sizes = dict(zip(arrays["layers"].tolist(), arrays["size"].tolist(), strict=True))
        strides = dict(zip(arrays["layers"].tolist(), arrays["stride"].tolist(), strict=True))
        # rows: 3, then a pool of 2 and 3 of its places, 2 apart; columns: 5, then 3 next to each other
        assert (sizes["conv_a"], sizes["pool"], sizes["conv_b"]) == ([3, 5], [4, 5], [8, 7])
        assert (strides["conv_a"], strides["pool"], strides["conv_b"]) == ([1, 1], [2, 1], [2, 1])
        assert arrays["strength"].shape == (2, *SIDES)
        for box, strength in zip(arrays["boxes"], arrays["strength"], strict=True):
            top, bottom, left, right = box
            assert strength[top:bottom, left:right].sum() == pytest.approx(strength.sum())  # nothing outside


@pytest.mark.parametrize("view", ["page", "kernels", "kernel-map-pairs"])
def test_a_sequential_model_has_the_other_views(draw, view):
    assert list(draw(f"sequential.keras {view}").glob("*.npz"))


def test_the_output_that_is_named_is_explained(draw, models, photos, capsys):
    model = keras.saving.load_model(models / "two.keras")
    ages = keras.Model(model.inputs[0], model.outputs[1])(pixels(photos[:2]))
    with np.load(draw("two.keras attribution --method gradient --output age") / "gradient_predicted.npz") as arrays:
        best = ages.numpy().argmax(axis=1)
        features = keras.Model(model.inputs[0], model.get_layer("_mean").output)(pixels(photos[:2])).numpy()
        kernel, bias = model.get_layer("age").get_weights()
        np.testing.assert_allclose(arrays["scores"], (features @ kernel + bias)[[0, 1], best], atol=1e-5)
    draw("two.keras attribution --method gradient --neuron conv_b:1")
    draw("two.keras statistics")
    capsys.readouterr()
    draw("two.keras attribution", status=2)
    assert "two has 2 outputs: choose one by --output kind or age, or explain neurons" in capsys.readouterr().err
    draw("two.keras occlusion --output agee", status=2)
    assert "no output 'agee'; did you mean age?" in capsys.readouterr().err


def test_one_unit_with_a_sigmoid_has_two_classes(draw, models, photos):
    model = keras.saving.load_model(models / "sigmoid.keras")
    image = pixels(photos[:1])
    image[0, 3:7, 5:9] = 127.5
    expected = float(model(image)[0, 0])
    for target, confidence in (("1", expected), ("0", 1 - expected)):
        folder = draw(f"sigmoid.keras occlusion --patch 4 --stride 1 --target {target}", count=1)
        with np.load(folder / "occlusion.npz") as arrays:
            assert arrays["confidence_4"][0, 3, 5] == pytest.approx(confidence, abs=1e-6)
    with np.load(draw("sigmoid.keras embedding --method pca", count=5) / "embedding-pca.npz") as arrays:
        assert arrays["predicted"].tolist() == (model(pixels(photos))[:, 0] > 0.5).numpy().astype(int).tolist()
    folder = draw("sigmoid.keras activation-maximization --steps 2 --target 0 1")
    with np.load(folder / "activation-maximization-classes.npz") as arrays:
        logits = -np.log(1 / model(arrays["pictures"].astype(np.float32)).numpy()[:, 0] - 1)
        np.testing.assert_allclose(arrays["values"], logits * [-1, 1], atol=1e-3)


def test_images_of_any_size_come_in_the_size_that_is_named(draw, capsys):
    folder = draw("any.keras activations --image-size 36", count=1)
    printed = capsys.readouterr().out
    assert "--input-range" not in printed  # the network scales its images by arithmetic
    with np.load(next(folder.glob("conv_1_*.npz"))) as arrays:
        assert arrays["image"].shape == (36, 36, 3)
        assert arrays["convolution"].shape == (36, 36, 4)
    draw("any.keras activations", status=2)
    assert "any.keras: images: found (None, None, 3), expected --image-size PIXELS" in capsys.readouterr().err
    draw("sequential.keras activations --image-size 36", status=2)
    assert "--image-size: found 36, but sequential.keras takes images of 24×20" in capsys.readouterr().err


def test_a_saved_model_is_refused_with_a_way_to_convert_it(tmp_path, capsys):
    (tmp_path / "saved" / "saved_model.pb").parent.mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert run_program(visualize.main, [str(tmp_path / "saved"), "kernels"]) == 2
    assert "SavedModel" in (error := capsys.readouterr().err)
    assert ".save('model.h5')" in error


def test_few_images_give_what_they_can(draw, capsys):
    folder = draw("sequential.keras statistics", count=1)
    assert "no spectrum of sequential on 1 image given: the covariance needs at least 2" in capsys.readouterr().out
    assert [file.name for file in folder.glob("*.npz")] == ["statistics-sparsity-sequential.npz"]
    draw("sequential.keras statistics", count=2)
    assert "of 4, at most 1 with 2 images" in capsys.readouterr().out
    draw("sequential.keras embedding", count=5)  # t-SNE's perplexity follows
    draw("sequential.keras embedding", count=4, status=2)
    assert "expected at least 5 images" in capsys.readouterr().err


def test_a_network_without_convolutions_has_its_spectrum(draw, capsys):
    folder = draw("dense.keras statistics", count=3)
    assert "no sparsity of dense: it has no convolutions" in capsys.readouterr().out
    assert [file.name for file in folder.glob("*.npz")] == ["statistics-spectra.npz"]
    draw("dense.keras statistics", count=1, status=2)
    assert "no convolutions and 1 image, expected convolutions, or at least 2 images" in capsys.readouterr().err


@pytest.mark.parametrize("view", ["filters", "kernel-map-pairs", "attribution --method gradient grad-cam"])
def test_a_layer_may_be_called_as_it_likes(draw, view):
    draw(f"sigmoid.keras {view}")


def test_a_full_disk_stops_with_the_name_of_the_file(draw, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("savez_compressed", "save"):
        with monkeypatch.context() as patch:
            patch.setattr(*(saving.np, name, full) if name == "savez_compressed" else (saving.style, name, full))
            folder = draw("sequential.keras kernels", status=3)
        error = capsys.readouterr().err
        assert "conv_a_rgb" in error or "conv_a_mean" in error
        assert "disk is full" in error
        assert [file.name for file in folder.glob("*") if file.suffix != ".png" or file.name.startswith(".")] == []
        for file in folder.glob("*"):
            file.unlink()


def test_a_folder_that_may_not_be_written_is_one_line(draw, monkeypatch, capsys):
    def denied(self, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    draw("sequential.keras kernels", status=2)
    error = capsys.readouterr().err
    assert "Permission denied" in error
    assert "--out DIR writes the figures elsewhere" in error
    assert error.count("\n") == 1


def test_names_of_files_do_not_command_the_terminal(models, tmp_path, capsys):
    file = tmp_path / "a\x1b[31mb.png"
    Image.fromarray(np.zeros((*SIDES, 3), np.uint8)).save(file)
    common = [str(models / "sequential.keras"), "activations", "--out", str(tmp_path / "out"), "--image"]
    assert run_program(visualize.main, [*common, str(file)]) == 0
    assert run_program(visualize.main, [*common, str(tmp_path / "no\x1b[31m.png")]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())
