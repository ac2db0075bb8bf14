"""The contract that every network keeps, and what is refused."""

import re
import subprocess
import sys
from typing import get_type_hints

import keras
import numpy as np
import pytest

from keras_cnn.checking import keyword_options
from keras_cnn.errors import InputError
from keras_cnn.models import FROM_SCRATCH, build
from keras_cnn.models.blocks import BatchNormalization

# Keras 3.15 saving under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

TABLE = [
    {"conv": 6, "kernel": 5, "stride": 2, "padding": "same"},
    {"bn": None},
    {"leaky_relu": None},
    {"spatial_dropout": 0.1},
    {"avgpool": 2},
    {"conv": 4, "dilation": 2},
    {"gap": None},
    {"dense": 5},
    {"tanh": None},
    {"dropout": 0.5},
]
OPTIONS = {"layers": {"table": TABLE}}
SIZES = {"imagenet10": 64}

every_network = pytest.mark.parametrize("name", FROM_SCRATCH)


def _build(name: str, channels: int = 3, classes: int = 7) -> keras.Model:
    size = SIZES.get(name, 32)
    return build(name, (size, size, channels), classes, **OPTIONS.get(name, {}))


def _images(model: keras.Model, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *model.input_shape[1:]), dtype=np.uint8)


@pytest.fixture
def mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@every_network
def test_graph_is_flat_named_and_ends_in_float32_logits(name):
    model = _build(name)
    assert model.name == name
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert [layer.name for layer in model.layers[:2]] == ["image", "rescale"]
    names = [layer.name for layer in model.layers]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*\d*", n) for n in names)  # Keras would call it conv2d_3
    assert names == [layer.name for layer in _build(name).layers]  # a second model gets the same names
    logits = model.layers[-1]
    assert logits.name == "logits"
    assert logits.activation is keras.activations.linear
    assert logits.compute_dtype == "float32"
    assert model.output_shape == (None, 7)


@every_network
def test_bytes_and_floats_of_the_same_image_give_the_same_finite_logits(name):
    model = _build(name, channels=1)
    images = _images(model)
    logits = model.predict(images, verbose=0)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(logits, model.predict(images.astype(np.float32), verbose=0))


@every_network
def test_rescale_maps_0_255_to_the_range_of_the_network_in_float32_and_logits_stay_float32(name, mixed_bfloat16):
    """-1 to 1, but 0 to 1 for CS7015's, whose author's code does not centre the pixels."""
    model = _build(name)
    inner = keras.Model(model.input, model.get_layer("rescale").output)
    levels = np.linspace(0, 255, 3 * 4, dtype=np.uint8).reshape(1, 2, 2, 3)
    images = np.zeros((1, *model.input_shape[1:]), np.uint8)
    images[:, :2, :2] = levels
    rescaled = inner.predict(images, verbose=0)
    assert rescaled.dtype == np.float32
    low = 0 if name in ("net1", "net2", "net3", "net4") else -1
    np.testing.assert_allclose(rescaled[:, :2, :2], low + (1 - low) / 255 * levels, atol=1e-6)
    assert model(_images(model)).dtype == "float32"
    assert {layer.compute_dtype for layer in model.layers} >= {"bfloat16"}


@every_network
def test_a_saved_model_is_plain_keras_with_the_same_outputs(name, tmp_path):
    model = _build(name)
    _move_statistics(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not any(isinstance(layer, BatchNormalization) for layer in loaded.layers)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(loaded.predict(_images(model), verbose=0), model.predict(_images(model), verbose=0))


def test_a_process_without_the_package_loads_saved_models(tmp_path):
    for name in ("model2", "net3"):
        model = build(name, (32, 32, 3), **({"l1_oc": 4} if name == "net3" else {}))
        _move_statistics(model)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", images=_images(model), logits=model.predict(_images(model), verbose=0))
    script = """
import sys, keras, numpy as np
for name in ("model2", "net3"):
    model, saved = keras.saving.load_model(name + ".keras"), np.load(name + ".npz")
    np.testing.assert_allclose(model.predict(saved["images"], verbose=0), saved["logits"], atol=1e-5)
assert "keras_cnn" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_network
def test_every_option_is_typed_has_a_default_and_one_line_of_help(name):
    builder = FROM_SCRATCH[name]
    options = keyword_options(builder)
    hints = get_type_hints(builder)
    assert set(options) <= set(hints)
    documented = re.findall(r"^ {8}(\w+): \S", builder.__doc__.partition("Options:")[2], re.MULTILINE)
    assert documented == options
    assert set(builder.__kwdefaults__ or {}) == set(options) - {"table"}


def test_the_defaults_are_those_of_the_reports():
    cs7015 = {"filter_multiplier": 2.0, "stride": 1}
    cnn = {"activation": "relu", "batch_norm": True, "padding": "same"}
    tdt4265 = {"dropout": 0.1, "batch_norm": True, "downsampling": "pool"}
    expected = {
        "net1": cs7015 | {"l1_oc": 18, "kernel_size": 3},
        "net2": cs7015 | {"l1_oc": 64, "kernel_size": 5},
        "net3": cs7015 | {"l1_oc": 96, "kernel_size": 3, "dropout_rate": 0.1},
        "net4": cs7015 | {"l1_oc": 64, "kernel_size": 3, "dropout_rate": 0.3},
        "five_block": cnn | {"filters": 32, "kernel_size": 3, "organisation": 2.0, "dropout": 0.2, "dense": 128},
        "model1": tdt4265,
        "model2": tdt4265,
        "imagenet10": {"dropout": (0.0, 0.0, 0.0)},
        "lenet": {},
        "layers": {},
    }
    assert {name: builder.__kwdefaults__ or {} for name, builder in FROM_SCRATCH.items()} == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("net5", {}, "unknown network 'net5'; did you mean net4"),
        ("net1", {"l1oc": 6}, "net1: unknown option 'l1oc'; did you mean l1_oc"),
        ("net1", {"dropout_rate": 0.1}, "net1: unknown option 'dropout_rate'"),
        ("lenet", {"filters": 3}, "lenet: unknown option 'filters'; none exist"),
        ("net1", {"l1_oc": 6.5}, "net1: l1_oc: found 6.5, expected a whole number"),
        ("net1", {"l1_oc": True}, "net1: l1_oc: found True"),
        ("net1", {"l1_oc": 0}, "net1: l1_oc: found 0, expected at least 1"),
        ("net1", {"stride": 0}, "net1: conv1: stride 0, expected at least 1"),
        ("net1", {"filter_multiplier": 0.01}, r"filter_multiplier: 0.01 makes \[18, 0\] filters"),
        ("net3", {"dropout_rate": 1.0}, "net3: dropout: rate 1.0"),
        ("net3", {"dropout_rate": "0.1"}, "net3: dropout_rate: found '0.1', expected a number"),
        ("five_block", {"activation": "rely"}, "activation: found 'rely', expected one of relu"),
        ("five_block", {"batch_norm": 1}, "batch_norm: found 1, expected true or false"),
        ("five_block", {"organisation": float("nan")}, "organisation: found nan"),
        ("five_block", {"filters": 8, "organisation": 0.5}, r"makes \[8, 4, 2, 1, 0\] filters"),
        ("imagenet10", {"dropout": [0.2, 0.3]}, r"dropout: found \[0.2, 0.3\], expected a list of 3"),
        ("five_block", {"padding": "valid"}, "five_block: conv4: a 3×3 window on a 2×2 map"),
        ("net2", {"stride": 2}, "net2: conv4: a 5×5 window on a 1×1 map"),
        ("imagenet10", {}, "imagenet10: conv4: a 3×3 window on a 2×2 map"),
    ],
)
def test_bad_names_types_values_and_sizes_are_refused_by_name(name, options, message):
    with pytest.raises(InputError, match=message) as error:
        build(name, (32, 32, 3), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((32, 32), 10, "input_shape"),
        ((32, 0, 3), 10, "input_shape"),
        ((None, None, 3), 10, "input_shape"),
        ((32, 32, 3), 1, "classes: found 1"),
    ],
)
def test_impossible_shapes_and_class_counts_are_refused(shape, classes, message):
    with pytest.raises(InputError, match=message):
        build("lenet", shape, classes)


def _move_statistics(model: keras.Model) -> None:
    """Give every batch norm moving statistics that differ from their start."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
