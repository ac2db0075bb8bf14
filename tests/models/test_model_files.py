"""Model files of users: what opens, and what is refused in one line before memory is taken."""

import json
import zipfile
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.models import model_files
from keras_cnn.models.model_files import load_model
from keras_cnn.models.weights.keras_files import check_unpacked_size


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    stack = [layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat"), layers.Dense(3, name="dense")]
    return keras.Sequential([keras.Input((8, 8, 3)), *stack], name="small")


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewritten(path, change) -> None:
    """The archive with its config changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    members["config.json"] = change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def layer_of(config: dict, name: str) -> dict:
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_whole_model_is_loaded(model, tmp_path, name):
    model.save(tmp_path / name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(load_model(tmp_path / name)(pixels), model(pixels), rtol=1e-6)


def test_a_file_that_keras_2_wrote_is_loaded(tmp_path):
    """Keras 2 names classes without their module and says `batch_input_shape`."""
    kernel, bias = np.full((12, 2), 0.5, np.float32), np.array([1, -1], np.float32)
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "old",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 2, 2, 3], "dtype": "float32", "name": "image"},
                },
                {"class_name": "Flatten", "config": {"name": "flat", "trainable": True, "dtype": "float32"}},
                {
                    "class_name": "Dense",
                    "config": {"name": "dense", "units": 2, "activation": "linear", "use_bias": True},
                },
            ],
        },
    }
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"image", b"flat", b"dense"]
        for name in ("image", "flat"):
            weights.create_group(name).attrs["weight_names"] = np.array([], "S1")
        group = weights.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group["dense/kernel:0"], group["dense/bias:0"] = kernel, bias
    np.testing.assert_allclose(load_model(tmp_path / "old.h5")(np.ones((1, 2, 2, 3))), [[7, 5]])


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, number):
    image = keras.Input((2, 2, 1))
    diverged = keras.Model(image, layers.Conv2D(2, 1, name="conv")(image))
    diverged.get_layer("conv").kernel.assign(np.full((1, 1, 1, 2), [1, number]))
    diverged.save(tmp_path / "diverged.keras")
    with pytest.raises(InputError, match=r"diverged\.keras: conv/kernel: weights that are not finite numbers"):
        load_model(tmp_path / "diverged.keras")


def test_files_that_hold_no_model_are_refused(model, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    with pytest.raises(InputError, match=r"SavedModel.*expected a .keras or .h5 file.*tf_keras"):
        load_model(tmp_path / "exported")
    model.save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InputError, match="weights without a model"):
        load_model(tmp_path / "only.weights.h5")
    model.save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "hdf5.keras")
    with pytest.raises(InputError, match=r"an HDF5 file, whose name ends in .h5"):
        load_model(tmp_path / "hdf5.keras")
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.keras").rename(tmp_path / "archive.h5")
    with pytest.raises(InputError, match=r"an archive, whose name ends in .keras"):
        load_model(tmp_path / "archive.h5")
    (tmp_path / "cut.keras").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(InputError, match=r"cut\.keras: not a Keras model that can be loaded: no archive"):
        load_model(tmp_path / "cut.keras")
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(InputError, match=r"cut\.h5: not a Keras model that can be loaded: no HDF5 file"):
        load_model(tmp_path / "cut.h5")
    with pytest.raises(InputError, match=r"found a \.pth, expected a \.keras or \.h5 file"):
        load_model(tmp_path / "net.pth")
    with pytest.raises(InputError, match="no model file"):
        load_model(tmp_path / "absent.keras")


def test_deep_json_is_refused(saved):
    rewritten(saved, lambda config: "[" * 200_000 + "]" * 200_000)
    with pytest.raises(InputError, match="not a Keras model that can be loaded: it is nested too deeply"):
        load_model(saved)


def test_a_layer_with_more_units_than_the_file_has_weights_is_refused(saved):
    def change(config: dict) -> str:
        layer_of(config, "dense")["config"]["units"] = 10**10
        return json.dumps(config)

    rewritten(saved, change)
    # conv: 4 (27 + 1), dense: (144 + 1) 10^10, against what is stored: 4 (27 + 1) + 3 (144 + 1)
    with pytest.raises(InputError, match=r"declares a model of 1,450,000,000,112 weights, and the file has 547"):
        load_model(saved)


@pytest.mark.parametrize(("over", "message"), [(0, "not a Keras model that can be loaded"), (1, "declares a model of")])
def test_twice_the_weights_of_the_file_and_a_mebi_more_may_be_declared(saved, monkeypatch, over, message):
    monkeypatch.setattr(model_files, "weight_count", lambda build: 2 * 547 + 2**20 + over)
    rewritten(saved, lambda config: json.dumps(config | {"class_name": "Sequentiell"}))
    with pytest.raises(InputError, match=message):
        load_model(saved)


def test_a_dataset_of_four_terabytes_is_refused(model, tmp_path):
    model.save(path := tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        group = file["model_weights/dense"]
        names = [name for name in group.attrs["weight_names"] if "kernel" in str(name)]
        name = names[0].decode() if isinstance(names[0], bytes) else names[0]
        del group[name]
        group.create_dataset(name, (10**12,), "f4", chunks=(1024,), compression="gzip")[:1024] = 1
    with pytest.raises(InputError, match=r"kernel declares 4,000,000,000,000 bytes of numbers"):
        load_model(path)


def declaring(*sizes: int):
    """An archive of files that declare these sizes."""
    return SimpleNamespace(infolist=lambda: [SimpleNamespace(file_size=size) for size in sizes])


def test_an_archive_that_unpacks_to_gigabytes_is_refused(saved):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more", "w") as more:
        for _ in range(300):
            more.write(bytes(2**20))
    with pytest.raises(InputError, match="unpacks to 300 MiB"):
        load_model(saved)
    limit = 20 * saved.stat().st_size + 2**28
    check_unpacked_size(saved, declaring(limit - 1, 1))
    with pytest.raises(ValueError, match="it unpacks to"):
        check_unpacked_size(saved, declaring(limit, 1))


@pytest.mark.parametrize("kind", ["TorchModuleWrapper", "TFSMLayer"])
def test_a_layer_that_holds_a_program_is_refused(saved, kind):
    def change(config: dict) -> str:
        layer_of(config, "flat")["class_name"] = kind
        return json.dumps(config)

    rewritten(saved, change)
    with pytest.raises(InputError, match=r"layer flat is a .*, which is .*not run"):
        load_model(saved)


def test_the_message_about_a_lambda_is_whole(tmp_path):
    image = keras.Input((4, 4, 3))
    keras.Model(image, layers.Lambda(lambda x: x / 255, name="scale")(image)).save(path := tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"arbitrary code execution.*safe_mode") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)


def test_a_config_may_have_64_mebibytes(saved, monkeypatch):
    assert model_files._LARGEST_CONFIG == 64 * 1024**2
    with zipfile.ZipFile(saved) as archive:
        size = archive.getinfo("config.json").file_size
    monkeypatch.setattr(model_files, "_LARGEST_CONFIG", size)
    load_model(saved)
    monkeypatch.setattr(model_files, "_LARGEST_CONFIG", size - 1)
    with pytest.raises(InputError, match=f"a config.json of {size:,} bytes, expected at most {size - 1:,}"):
        load_model(saved)


def test_configs_are_found_at_any_depth():
    inner = {"class_name": "A", "config": {"layers": [{"class_name": "B"}, [{"x": {"class_name": "C"}}], 3]}}
    assert sorted(found["class_name"] for found in model_files._layer_configs([inner, {"class_name": 5}])) == list(
        "ABC"
    )
    for config, name in (({"name": "mine"}, "mine"), ({}, "JaxLayer"), (None, "JaxLayer")):
        with pytest.raises(InputError, match=f"layer {name} is a JAX function"):
            model_files._refuse_programs("a", {"class_name": "JaxLayer", "config": config})
