"""Weights files: what every format holds, what is refused, and that nothing in a file is ever run."""

import collections
import contextlib
import io
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from keras_cnn.errors import InputError
from keras_cnn.models import backbones
from keras_cnn.models.weights import keras_files, load_weights, safetensors_files, torch_files, weights_at_hand
from keras_cnn.models.weights.matching import LoadedWeights, assign
from keras_cnn.models.weights.stored import Stored, canonical, canonically_named, snake_case, split_number

FIXTURES = Path(__file__).with_name("fixtures")


def squeezenet(classes: int = 4, size: int = 32) -> keras.Model:
    """The smallest network of `classics`, 0.7 million parameters."""
    return backbones.classifier("squeezenet1_1", (size, size, 3), classes, weights="none", head="reference")


def torch_state(model: keras.Model) -> dict[str, np.ndarray]:
    """Random weights for a model of `classics` in PyTorch's names and layouts, written down by hand."""
    random = np.random.default_rng(0)
    state = {}
    for layer in model.layers:
        if layer.weights:
            height, width, inputs, outputs = layer.kernel.shape
            module = layer.name.replace("_", ".")
            state[f"{module}.weight"] = random.normal(size=(outputs, inputs, height, width)).astype(np.float32)
            state[f"{module}.bias"] = random.normal(size=outputs).astype(np.float32)
    return state


# ---- PyTorch's files


@pytest.mark.parametrize("name", ["tiny_zip.pth", "tiny_legacy.pth"])
def test_both_formats_of_torch_save_by_hand(name):
    content = torch_files.read(FIXTURES / name)
    assert content["epoch"] == 5
    state = torch_files.tensors(content)
    assert list(state) == [
        "conv.weight", "conv.bias", "half", "bfloat16", "double", "bn.num_batches_tracked", "parameter", "empty",
    ]  # fmt: skip
    np.testing.assert_array_equal(state["conv.weight"], [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]])
    np.testing.assert_array_equal(state["conv.bias"], [4, 5, 6])
    np.testing.assert_array_equal(state["half"], [1.5, -2.25, 65504])
    np.testing.assert_array_equal(state["bfloat16"].astype(np.float32), [[1, -0.5], [3.140625, 2.0**100]])
    assert state["double"] == 0.1
    assert state["bn.num_batches_tracked"] == 2**40
    np.testing.assert_array_equal(state["parameter"], [7, 7])
    assert state["empty"].shape == (0, 3)


class Touch:
    """Runs code where pickle rebuilds it: makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def zip_of(data: bytes, path: Path, *, compression: int = zipfile.ZIP_STORED, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {"data.pkl": data, "byteorder": b"little", **more}.items():
            archive.writestr(f"archive/{name}", content)
    return path


def legacy_of(data: bytes, path: Path) -> Path:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    first = b"".join(pickle.dumps(value, 2) for value in (torch_files.MAGIC, torch_files.PROTOCOL, machine))
    path.write_bytes(first + data + pickle.dumps([], 2))
    return path


@pytest.mark.parametrize("write", [zip_of, legacy_of])
def test_code_in_a_file_is_refused_and_not_run(write, tmp_path):
    marker = tmp_path / "marker"
    data = pickle.dumps(collections.OrderedDict(weight=Touch(marker)), 2)
    pickle.loads(data)  # as anything else would read it
    assert marker.exists()
    marker.unlink()
    with pytest.raises(InputError) as error:
        torch_files.read(write(data, tmp_path / "evil.pth"))
    assert not marker.exists()
    assert str(error.value).startswith(f"{tmp_path / 'evil.pth'}: holds {os.system.__module__}.system, which is")
    assert "\n" not in str(error.value)


def test_code_in_the_first_pickles_of_the_old_format_is_not_run_either(tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Touch(marker), 2))
    with pytest.raises(InputError, match="system"):
        torch_files.read(path)
    assert not marker.exists()


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def tensor(count: int, offset: int, shape: str, strides: str) -> bytes:
    """The pickle of {"a": one tensor}, by hand: a storage of `count` floats under key 0, and a view of it."""
    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI%d\ntQ" % count
    view = f"I{offset}\n({shape}t({strides}tI00\n".encode()
    return b"(Va\n" + TENSOR + b"(" + storage + view + b"}tRd."


def ints(*values: int) -> str:
    return "".join(f"I{value}\n" for value in values)


def test_a_tensor_within_its_storage(tmp_path):
    numbers = np.arange(6, dtype="<f4").tobytes()
    data = tensor(6, 1, ints(2, 2), ints(3, 1))
    content = torch_files.read(zip_of(data, tmp_path / "a.pth", **{"data/0": numbers}))
    np.testing.assert_array_equal(content["a"], [[1, 2], [4, 5]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tensor(6, 5, ints(2), ints(1)), r"a tensor of shape \(2,\) in a storage of 6 numbers"),
        (tensor(6, 0, ints(4, 4), ints(0, 0)), "in a storage of 6 numbers"),
        (tensor(6, 0, ints(2), ints(-1)), "strides"),
        (tensor(6, -2, ints(2), ints(1)), "strides"),
        (tensor(6, 0, ints(2, 2), ints(1)), "strides"),
        (tensor(10**12, 0, ints(2), ints(1)), "no readable PyTorch file"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"ctorch\nIntStorage\n.", "torch.IntStorage"),
        (b"cnumpy\nndarray\n.", "numpy.ndarray"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(N}Va\nI1\nstb.", "an attribute 'a' to be set"),
        (b"(I1\nI2\nl.", "holds a list"),
        (b"I1\n.", "holds a int"),
        (b"\x96\xff\x00\x00\x00\x00\x00\x00\x00.", "no readable PyTorch file"),
        (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.", "the pickle instruction BYTEARRAY8"),
        (b"(ios\nsystem\n.", "the pickle instruction INST"),
        (b"}r\xff\xff\xff\x7f.", "the pickle instruction LONG_BINPUT"),
        (b"(Vmodule\nVx\ntQ.", "no readable PyTorch file"),
        (b"(Vmodule\nVx\nVy\nVz\nI1\ntQ.", "a reference 'module'"),
        (b"garbage", "no readable PyTorch file"),
        (b"", "no readable PyTorch file"),
    ],
)
def test_refused_pickles(data, message, tmp_path):
    numbers = np.arange(6, dtype="<f4").tobytes()
    with pytest.raises(InputError, match=message) as error:
        torch_files.read(zip_of(data, tmp_path / "a.pth", **{"data/0": numbers}))
    assert "\n" not in str(error.value)


def test_refused_archives(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(InputError, match="compressed data"):
        torch_files.read(zip_of(b"}.", path, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(InputError, match="TorchScript"):
        torch_files.read(zip_of(b"}.", path, **{"constants.pkl": b"}."}))
    with pytest.raises(InputError, match="not little-endian"):
        torch_files.read(zip_of(b"}.", path, byteorder=b"big"))
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="no readable PyTorch file"):
        torch_files.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ["tiny_zip.pth", "tiny_legacy.pth"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(name, tmp_path):
    whole = (FIXTURES / name).read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.pth"
    refused = 0
    for turn in range(400):
        damaged = bytearray(whole)
        if turn % 4 == 0:
            damaged = damaged[: random.integers(len(whole))]
        else:
            for place in random.integers(len(whole), size=turn % 4):
                damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            torch_files.read(path)
            refused -= 1
        refused += 1
    assert refused > 100


def test_what_torch_writes_is_what_we_read(tmp_path):
    torch = pytest.importorskip("torch")
    random = torch.Generator().manual_seed(0)
    types = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    state = {f"{t}": torch.randn(3, 5, 2, generator=random).to(t).transpose(0, 2) for t in types}
    state["count"] = torch.tensor([2**40, -1])
    for zipped in (True, False):
        torch.save({"model": state, "epoch": 1}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        found = torch_files.tensors(torch_files.read(tmp_path / "a.pt"))
        assert list(found) == list(state)
        for name, expected in state.items():
            np.testing.assert_array_equal(found[name].astype(np.float64), expected.double().numpy())
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    torch.save(module, tmp_path / "module.pt")
    with pytest.raises(InputError, match=r"holds torch\.nn\.modules\.container\.Sequential"):
        torch_files.read(tmp_path / "module.pt")


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_wrapped_checkpoints(prefix, key):
    state = {f"{prefix}fc.weight": np.ones((1, 1)), f"{prefix}fc.bias": np.ones(1)}
    content = {"epoch": 3, key: state} if key else state
    assert set(torch_files.tensors(content)) == {"fc.weight", "fc.bias"}


# ---- from names to layers


def test_safetensors_and_pth_give_the_same_network(tmp_path):
    model, other = squeezenet(), squeezenet()
    state = torch_state(model)
    safetensors.numpy.save_file(state, tmp_path / "a.safetensors")
    loaded = load_weights(model, tmp_path / "a.safetensors")
    assert len(loaded.loaded) == 26
    assert loaded.kept == loaded.unused == ()
    kernel = state["features.3.expand3x3.weight"]
    np.testing.assert_array_equal(model.get_layer("features_3_expand3x3").kernel[2, 0, 5, 7], kernel[7, 5, 2, 0])
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, tmp_path / "a.pth")
    load_weights(other, tmp_path / "a.pth")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_half_precision_safetensors_and_foreign_numbers(tmp_path):
    model = squeezenet()
    state = torch_state(model)
    halves = {name: array.astype(ml_dtypes.bfloat16) for name, array in state.items()}
    raw = {name: {"shape": array.shape, "data": array.tobytes()} for name, array in halves.items()}
    (tmp_path / "a.safetensors").write_bytes(serialized(raw, "BF16"))
    load_weights(model, tmp_path / "a.safetensors")
    bias = model.get_layer("features_0").bias.numpy()
    np.testing.assert_array_equal(bias, halves["features.0.bias"].astype(np.float32))
    (tmp_path / "b.safetensors").write_bytes(serialized({"a": {"shape": (2,), "data": b"\0\0"}}, "U8"))
    with pytest.raises(InputError, match="a: numbers of type U8, expected one of F64, F32"):
        load_weights(model, tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-7])
    with pytest.raises(InputError, match=r"c\.safetensors: no readable safetensors file"):
        load_weights(model, tmp_path / "c.safetensors")


def serialized(tensors: dict, dtype: str) -> bytes:
    """A safetensors file by its specification: length of the header, header, data."""
    header, data = {}, b""
    for name, t in tensors.items():
        header[name] = {"dtype": dtype, "shape": t["shape"], "data_offsets": [len(data), len(data) + len(t["data"])]}
        data += t["data"]
    text = json.dumps(header)
    return struct.pack("<Q", len(text)) + text.encode() + data


def test_head_of_another_task_is_kept_and_reported(tmp_path):
    source = squeezenet(classes=9)
    safetensors.numpy.save_file(torch_state(source), tmp_path / "nine.safetensors")
    model = squeezenet(classes=4)
    before = model.get_layer("classifier_1").get_weights()
    loaded = load_weights(model, tmp_path / "nine.safetensors")
    assert loaded.kept == ("classifier_1",)
    np.testing.assert_array_equal(model.get_layer("classifier_1").get_weights()[0], before[0])
    assert str(loaded) == "25 layers loaded; not in the file, as initialised: classifier_1"
    backbone = backbones.backbone("squeezenet1_1", (32, 32, 1), weights="none")
    assert load_weights(backbone, tmp_path / "nine.safetensors").unused == ("classifier_1",)


def test_mismatch_lists_everything_in_one_line_and_changes_nothing(tmp_path):
    model = squeezenet()
    state = torch_state(model)
    state["features.13.squeeze.weight"] = state.pop("features.12.squeeze.weight")
    del state["features.12.squeeze.bias"]
    state["features.0.weight"] = np.zeros((64, 1, 3, 3), np.float32)
    safetensors.numpy.save_file(state, tmp_path / "a.safetensors")
    before = model.get_weights()
    with pytest.raises(InputError) as error:
        load_weights(model, tmp_path / "a.safetensors")
    assert str(error.value) == (
        f"{tmp_path / 'a.safetensors'}: no weights of squeezenet1_1: 1 missing in the file: features_12_squeeze; "
        "1 of another shape: features_0: found 3×3×1×64 64, expected 3×3×3×64 64; "
        "1 extra in the file: features_13_squeeze"
    )
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_that_are_not_finite_are_refused_by_layer(tmp_path):
    model = squeezenet()
    state = torch_state(model)
    state["features.0.weight"] = np.full((64, 3, 3, 3), np.nan, np.float32)
    state["features.3.squeeze.bias"][2] = np.inf
    safetensors.numpy.save_file(state, tmp_path / "a.safetensors")
    before = model.get_weights()
    with pytest.raises(InputError) as error:
        load_weights(model, tmp_path / "a.safetensors")
    words = "2 with numbers that are nan or infinite: features_0, features_3_squeeze"
    assert str(error.value) == f"{tmp_path / 'a.safetensors'}: no weights of squeezenet1_1: {words}"
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_of_timm_and_of_older_torchvision(tmp_path):
    image = keras.Input((7, 7, 2))
    flat = keras.layers.Flatten(name="flatten")(image)
    x = keras.layers.Dense(5, name="classifier_0")(flat)
    x = keras.layers.Dense(5, name="classifier_3")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="vgg11")
    random = np.random.default_rng(0)
    shapes = {
        "pre_logits.fc1": (5, 2, 7, 7), "pre_logits.fc2": (5, 5, 1, 1), "head.fc": (3, 5),
    }  # fmt: skip
    state = {f"{n}.weight": random.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    state |= {f"{n}.bias": random.normal(size=shape[0]).astype(np.float32) for n, shape in shapes.items()}
    safetensors.numpy.save_file(state, tmp_path / "timm.safetensors")
    load_weights(model, tmp_path / "timm.safetensors")
    x = random.normal(size=(2, 7, 7, 2)).astype(np.float32)
    first = np.einsum("nhwc,ochw->no", x, state["pre_logits.fc1.weight"]) + state["pre_logits.fc1.bias"]
    second = first @ state["pre_logits.fc2.weight"][:, :, 0, 0].T + state["pre_logits.fc2.bias"]
    expected = second @ state["head.fc.weight"].T + state["head.fc.bias"]
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)

    from keras_cnn.models.weights import torch_names

    old = {"features.denseblock1.denselayer2.norm.1.running_var": np.ones(3)}
    assert torch_names.stored(old, model)[0].name == "features_denseblock1_denselayer2_norm1"


def test_pytorch_weights_choose_torchvisions_layout(tmp_path):
    twin = backbones.backbone("torchvision_resnet50", (32, 32, 3), weights="none")
    model = backbones.backbone("resnet50", (32, 32, 3), weights="none")
    safetensors.numpy.save_file({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="expected the network torchvision_resnet50, in torchvision's layout"):
        load_weights(model, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no weights of torchvision_resnet50: 105 missing"):
        backbones.backbone("resnet50", (32, 32, 3), weights=tmp_path / "a.safetensors")
    assert twin.get_layer("layer2_0_conv1").strides == (1, 1)
    assert twin.get_layer("layer2_0_conv2").strides == (2, 2)
    with pytest.raises(InputError, match="mobilenet, which has Keras's layers and names; PyTorch weights fit: alexnet"):
        backbones.backbone("mobilenet", (32, 32, 3), weights=tmp_path / "a.safetensors")


def test_torchvisions_file_in_the_cache_is_its_imagenet_weights(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    state = torch_state(squeezenet(classes=9))
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "squeezenet1_1-b8a52dc0.pth"
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = backbones.classifier("squeezenet1_1", (32, 32, 3), 9, head="reference")
    kernel = model.get_layer("classifier_1").kernel.numpy()
    np.testing.assert_array_equal(kernel[0, 0], state["classifier.1.weight"][:, :, 0, 0].T)


# ---- Keras's files


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    """Keras's MobileNet with its top, random weights: statistics of batch norm too."""
    model = keras.applications.MobileNet(weights=None, classes=11, input_shape=(32, 32, 3), name="mobilenet")
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_files_of_keras_with_and_without_the_top(ending, top, mobilenet, tmp_path):
    source = mobilenet if top else keras.Model(mobilenet.input, mobilenet.get_layer("conv_pw_13_relu").output)
    path = tmp_path / f"file{ending}"
    if ending == ".weights.h5":
        source.save_weights(path)
    elif ending == ".h5":
        legacy_weights(source, path)
    else:
        source.save(path)
    model = backbones.classifier("mobilenet", (40, 40, 1), 3, weights="none")
    loaded = load_weights(model, path)
    assert loaded.kept == ("logits",)
    assert loaded.unused == (("conv_preds",) if top else ())
    for layer in mobilenet.layers:
        if layer.weights and layer.name != "conv_preds":
            for a, b in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)


def legacy_weights(model: keras.Model, path: Path) -> None:
    """What Keras 2 wrote with save_weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group[name] = weight


def test_nested_and_nameless_file_of_keras_3(mobilenet, tmp_path):
    """Keras before 3.6 wrote no layer names into weights files; transfer learning nests the backbone."""
    image = keras.Input((32, 32, 3))
    base = keras.Model(mobilenet.input, mobilenet.get_layer("conv_pw_13_relu").output, name="base")
    x = keras.layers.GlobalAveragePooling2D()(base(image))
    whole = keras.Model(image, keras.layers.Dense(5)(x))
    path = tmp_path / "nested.weights.h5"
    whole.save_weights(path)
    with h5py.File(path, "a") as file:
        groups = [file]
        file.visititems(lambda _, item: groups.append(item))
        assert sum(group.attrs.pop("name", None) is not None for group in groups) > 80
    model = backbones.classifier("mobilenet", (32, 32, 3), 3, weights="none")
    assert load_weights(model, path).kept == ("logits",)
    bn = model.get_layer("conv_dw_7_bn").get_weights()
    np.testing.assert_array_equal(bn, mobilenet.get_layer("conv_dw_7_bn").get_weights())


def test_our_own_run_is_loaded_with_its_head(tmp_path):
    source = backbones.classifier("mobilenet", (32, 32, 4), 3, weights="none", dropout=0.1)
    source.save(tmp_path / "model.keras")
    model = backbones.classifier("mobilenet", (32, 32, 4), 3, weights=tmp_path / "model.keras")
    for a, b in zip(source.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_deeper_network_of_the_same_family_is_refused(tmp_path):
    keras.applications.VGG19(weights=None, include_top=False).save_weights(tmp_path / "vgg19.weights.h5")
    with pytest.raises(InputError) as error:
        backbones.backbone("vgg16", (32, 32, 3), weights=tmp_path / "vgg19.weights.h5")
    assert "no weights of vgg16: 2 extra in the file: block3_conv4, block4_conv4" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "weights: found '.*a.txt', expected imagenet, none or a file (.keras, .h5, .weights.h5, .pth"),
        ("a.keras", b"PK\x03\x04 no", "a.keras: no readable Keras file"),
        ("a.weights.h5", b"\x89HDF\r\n\x1a\n", "a.weights.h5: no readable Keras file"),
        ("a.pth", b"\x80\x02", "a.pth: no readable PyTorch file"),
        ("missing.pth", None, "missing.pth: no such weights file"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "a.safetensors: a pointer of Git LFS"),
    ],
)
def test_refused_files(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message).replace(r"\.\*", ".*")) as error:
        load_weights(squeezenet(), tmp_path / name)
    assert "\n" not in str(error.value)


def test_truncated_and_empty_keras_files(mobilenet, tmp_path):
    mobilenet.save_weights(tmp_path / "whole.weights.h5")
    whole = (tmp_path / "whole.weights.h5").read_bytes()
    (tmp_path / "half.weights.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no readable Keras file"):
        backbones.backbone("mobilenet", (32, 32, 3), weights=tmp_path / "half.weights.h5")
    with h5py.File(tmp_path / "empty.weights.h5", "w"):
        pass
    with pytest.raises(InputError, match="no weights in it"):
        backbones.backbone("mobilenet", (32, 32, 3), weights=tmp_path / "empty.weights.h5")


def test_numbers_of_other_files_are_not_read(mobilenet, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4 * 32))
    dataset = "layers/batch_normalization/vars/0"
    path = tmp_path / "a.weights.h5"

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            backbones.backbone("mobilenet", (32, 32, 3), weights=path)

    mobilenet.save_weights(path)
    with h5py.File(path, "a") as file:
        del file[dataset]
        file.create_dataset(dataset, (32,), "f4", external=[(str(tmp_path / "secret"), 0, 4 * 32)])
    refused("vars/0 declares .* which are not in this file")
    with h5py.File(path, "a") as file:
        del file[dataset]
        file[dataset] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    refused("vars/0 is a link")
    with h5py.File(path, "a") as file:
        del file[dataset]
        file.create_dataset(dataset, (10**13,), "f4", chunks=(1024,))  # announced, never written
    refused("vars/0 declares .* which are not in this file")


# ---- names


def test_automatic_names_are_counted_anew():
    names = [("conv2d_94", "conv2d"), ("conv2d_101", "conv2d"), ("conv1", "conv2d"), ("add_9", "add")]
    assert canonical(names) == {"conv2d_94": "conv2d", "conv2d_101": "conv2d_1", "add_9": "add"}


def test_stored_layers_get_the_names_of_a_first_network():
    stored = [Stored(name, "conv2d", ()) for name in ("conv2d_7", "own", None, "conv2d_9")]
    assert [layer.name for layer in canonically_named(stored)] == ["conv2d", "own", None, "conv2d_1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("conv2d_12", ("conv2d", 12)), ("conv2d", ("conv2d", 0)), ("a_b_3", ("a_b", 3)), ("_3", ("_3", 0)),
     ("a_", ("a_", 0)), ("a_3b", ("a_3b", 0)), ("dense_0", ("dense", 0))],
)  # fmt: skip
def test_the_number_at_the_end_of_a_name(name, expected):
    assert split_number(name) == expected


def test_of_many_names_five_are_said():
    names = tuple("abcdef")
    assert str(LoadedWeights((), names[:5], ())) == "0 layers loaded; not in the file, as initialised: a, b, c, d, e"
    expected = "1 layers loaded; in the file, not used: a, b, c, d, e and 1 more"
    assert str(LoadedWeights(("x",), (), names)) == expected


def small() -> keras.Model:
    dense = [keras.layers.Dense(1, name=name) for name in ("first", "second", "logits")]
    return keras.Sequential([keras.Input((2,)), *dense], name="small")


def weights_of(*names: str | None, kind: str | None = "dense", shape=(1, 1)) -> list[Stored]:
    shapes = {"first": (2, 1)}
    return [Stored(n, kind, (np.full(shapes.get(n, shape), 3.0), np.full(shape[1:], 4.0))) for n in names]


def test_a_layer_more_is_part_of_another_head_only_behind_the_last_one_that_is_used():
    loaded = assign(small(), weights_of("first", "second", "other"), "file")
    assert (loaded.loaded, loaded.kept, loaded.unused) == (("first", "second"), ("logits",), ("other",))
    for stored in (
        weights_of("first", "other", "second"),
        weights_of("other", "first", "second"),
        weights_of("first", "second", "other", kind=None),  # of a file without an order
    ):
        with pytest.raises(InputError, match="file: no weights of small: 1 extra in the file: other"):
            assign(small(), stored, "file")
    top = [replace(layer, top=layer.name == "other") for layer in weights_of("other", "first", "second")]
    assert assign(small(), top, "file").unused == ("other",)


def test_layers_without_names_are_taken_in_order():
    model = small()
    stored = [Stored(None, "dense", (np.full(shape, number), np.zeros(1)))
              for number, shape in enumerate([(2, 1), (1, 1), (1, 1), (1, 1)], 1)]  # fmt: skip
    loaded = assign(model, stored, "file")
    assert [layer.kernel.numpy().ravel()[0] for layer in model.layers] == [1, 2, 3]
    assert loaded.unused == ("dense (1)",)


def test_a_large_memo_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_files, "LARGEST_MEMO_INDEX", 5)
    assert torch_files.read(zip_of(b"}q\x05.", tmp_path / "a.pth")) == {}
    with pytest.raises(InputError, match="holds the pickle instruction BINPUT"):
        torch_files.read(zip_of(b"}q\x06.", tmp_path / "b.pth"))


@pytest.mark.parametrize("kind", ["Conv2D", "BatchNormalization", "ReLU", "DepthwiseConv2D", "Dense", "LayerScale"])
def test_snake_case_is_that_of_keras(kind):
    assert snake_case(kind) == sys.modules["keras.src.utils.naming"].to_snake_case(kind)


def test_two_layers_of_one_name_are_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    one = Stored("a", "dense", (np.zeros((2, 1)), np.zeros(1)))
    with pytest.raises(InputError, match="two layers named a"):
        assign(model, [one, one], "file")


# ---- real weights


@pytest.fixture
def photos(shared_data) -> np.ndarray:
    """Eight ImageNet photos, 150 px, RGB 0-255."""
    from PIL import Image

    with zipfile.ZipFile(shared_data / "imagenet200.zip") as archive:
        files = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))[::25]
        images = [Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((150, 150)) for name in files]
    return np.stack([np.asarray(image, dtype=np.float32) for image in images])


def test_real_xception_gives_the_answers_of_keras(published_weights, photos):
    theirs = keras.models.load_model(published_weights / "xception_kitchenware.keras", compile=False)
    base = next(layer for layer in theirs.layers if isinstance(layer, keras.Model))
    expected = base.predict(keras.applications.xception.preprocess_input(photos.copy()), verbose=0)
    ours = backbones.backbone("xception", (150, 150, 3), weights=published_weights / "xception_kitchenware.keras")
    found = ours.predict(photos, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())
    assert expected.max() > 0.1


def test_the_real_kitchenware_model_answers_the_same_through_our_loader(published_weights):
    """Base and head of a nested model on its own photos: 18 of six classes of kitchenware."""
    from PIL import Image

    file = published_weights / "xception_kitchenware.keras"
    paths = sorted((published_weights / "kitchenware").glob("*.jpg"))
    images = np.stack([np.asarray(Image.open(path).convert("RGB").resize((150, 150))) for path in paths])
    theirs = keras.models.load_model(file, compile=False)
    expected = theirs.predict([keras.applications.xception.preprocess_input(images.astype("float32"))], verbose=0)
    ours = backbones.classifier("xception", (150, 150, 3), 6, weights="none", dense=100, dropout=0.2)
    assert str(load_weights(ours, file)) == "82 layers loaded"
    found = ours.predict(images, verbose=0)
    assert len(set(expected.argmax(axis=1))) == 6
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    other = backbones.classifier("xception", (150, 150, 3), 10, weights="none")
    loaded = load_weights(other, file)
    assert (loaded.kept, loaded.unused) == (("logits",), ("dense",))


def test_real_vgg16_convolutions_give_the_answers_of_their_own_layers(published_weights, photos):
    ours = backbones.backbone("vgg16", (150, 150, 3), weights=published_weights / "vgg16_hed.weights.h5")
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(150, 150, 3))
    with h5py.File(published_weights / "vgg16_hed.weights.h5") as file:
        for block in range(1, 6):
            for i, layer in enumerate(x for x in theirs.layers if x.name.startswith(f"block{block}_conv")):
                stored = file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"]
                layer.set_weights([stored["0"][()], stored["1"][()]])
    expected = theirs.predict(keras.applications.vgg16.preprocess_input(photos.copy()), verbose=0)
    found = ours.predict(photos, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())
    assert expected.max() > 0


def test_a_reason_is_cut_after_120_characters(tmp_path, monkeypatch):
    """Its white space is that of one line before."""
    reason, words = "a\n " + "b" * 200, "a " + "b" * 118

    def broken(error: type[Exception]):
        def read(*_: object) -> None:
            raise error(reason)

        return read

    for name, module, function, error in (
        ("a.safetensors", safetensors_files.safetensors, "deserialize", safetensors.SafetensorError),
        ("a.pth", torch_files, "_read_legacy", ValueError),
        ("a.weights.h5", keras_files, "_read_hdf5", ValueError),
    ):
        (tmp_path / name).write_bytes(b"nothing")
        monkeypatch.setattr(module, function, broken(error))
        with pytest.raises(InputError, match=rf"{name}: no readable \S+ file \({words}\)"):
            load_weights(squeezenet_of_names(), tmp_path / name)
    monkeypatch.setattr(torch_files, "_read_legacy", lambda _: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(InputError, match=r"a\.pth: no readable PyTorch file \(MemoryError\)"):
        torch_files.read(tmp_path / "a.pth")


def squeezenet_of_names() -> keras.Model:
    """A model that passes for the network, for files that are refused before its layers matter."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="logits")], name="squeezenet1_1")


def legacy_parts(path: Path, *, little: bool = True, protocol: int = torch_files.PROTOCOL, count: int = 6) -> Path:
    """A file of the old format with one tensor of six numbers, whose storage says `count`."""
    machine = {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}
    first = b"".join(pickle.dumps(value, 2) for value in (torch_files.MAGIC, protocol, machine))
    numbers = struct.pack("<q", count) + np.arange(6, dtype="<f4").tobytes()
    path.write_bytes(first + tensor(6, 0, ints(2, 3), ints(1, 2)) + pickle.dumps(["0"], 2) + numbers)
    return path


def test_the_old_format_is_read_as_far_as_it_fits(tmp_path):
    path = tmp_path / "a.pth"
    np.testing.assert_array_equal(torch_files.read(legacy_parts(path))["a"], [[0, 2, 4], [1, 3, 5]])
    for options, message in (
        ({"little": False}, "holds numbers that are not little-endian"),
        ({"protocol": 1002}, r"no readable PyTorch file \(not PyTorch's magic number\)"),
        ({"count": 5}, r"no readable PyTorch file \(storage 0 of 5 numbers, 6 announced\)"),
    ):
        with pytest.raises(InputError, match=message):
            torch_files.read(legacy_parts(path, **options))


@pytest.mark.parametrize(
    ("count", "view", "message"),
    [
        (b"I-1\n", b"", "a reference 'storage' that is no storage of numbers"),
        (b"I6\n", b"I1\n", "a reference 'storage'"),
        (b"I6\n", b"N", None),
        (b"I0\n", b"", None),
        (b"I01\n", b"", "a reference 'storage'"),
    ],
)
def test_a_storage_is_a_count_of_numbers_without_a_view(count, view, message, tmp_path):
    data = b"}(Va\n(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n" + count + view + b"tQu."
    file = zip_of(data, tmp_path / "a.pth", **{"data/0": bytes(24)})
    if message is None:
        assert torch_files.read(file)["a"].dtype == np.dtype("<f4")
    else:
        with pytest.raises(InputError, match=message):
            torch_files.read(file)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "fits"),
    [
        *((0, ints(6), ints(1), True), (0, ints(7), ints(1), False), (1, ints(6), ints(1), False)),
        *((5, ints(1), ints(9), True), (6, ints(1), ints(1), False), (9, ints(0), ints(1), True)),
        *((0, ints(2, 2), ints(3, 2), True), (0, ints(2, 2), ints(3, 3), False), (0, ints(6), ints(0), True)),
        (0, ints(7), ints(0), False),
    ],
)
def test_a_view_ends_within_its_storage(offset, shape, strides, fits, tmp_path):
    file = zip_of(tensor(6, offset, shape, strides), tmp_path / "a.pth", **{"data/0": bytes(24)})
    if fits:
        assert torch_files.read(file)["a"].dtype == np.dtype("<f4")
    else:
        with pytest.raises(InputError, match="in a storage of 6 numbers"):
            torch_files.read(file)


def test_weights_at_hand_need_no_download(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    names = ("resnet8", "resnet18", "mobilenetv2", "mobilenetv3large", "vgg16")
    assert [weights_at_hand(name, (32, 32, 3)) for name in names] == [["fashion"], [], [], [], []]
    for file in (
        *("resnet18-f37072fd.pth", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5"),
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5",
    ):
        (tmp_path / "models" / file).touch()
    assert [weights_at_hand(name, (32, 32, 3)) for name in names] == [["fashion"], ["imagenet"], [], ["imagenet"], []]
    assert weights_at_hand("mobilenetv2", (96, 96, 3)) == ["imagenet"]


def test_groups_and_arrays_of_a_keras_file_are_told_apart(tmp_path):
    path = tmp_path / "a.weights.h5"
    for make, message in (
        (lambda file: file.create_group("dense").create_dataset("vars", data=[1.0]), "/dense/vars is no group"),
        (lambda file: file.create_group("dense/vars/0"), "/dense/vars/0 is no array of numbers"),
        (lambda file: file.create_dataset("dense", data=[1.0]), "no weights in it"),
        (lambda file: file.create_dataset("optimizer/vars/0", data=[1.0]), "no weights in it"),
        (lambda file: file.create_dataset("seed_generator/vars/0", data=[1.0]), "no weights in it"),
    ):
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(InputError, match=message):
            keras_files.read(path)
    with h5py.File(path, "w") as file:
        for number, group in ((2, "dense_1"), (3, "dense_10"), (1, "dense"), (4, "model/layers/dense")):
            for i in range(11):
                file.create_dataset(f"{group}/vars/{i}", data=[float(100 * number + i)])
    found = keras_files.read(path)
    assert [layer.arrays[0][0] for layer in found] == [100, 200, 300, 400]
    assert [array[0] for array in found[0].arrays] == list(range(100, 111))
    assert [layer.kind for layer in found] == ["dense"] * 4


def test_of_more_than_two_dense_layers_that_keras_named_none_is_known_to_be_the_head():
    from keras_cnn.models import weights

    layers = [Stored(name, "dense", ()) for name in ("conv", "dense", "dense_1", "dense_2", None)]
    for count, names in (
        (2, ["conv", "logits"]),
        (3, ["conv", "dense", "logits"]),
        (4, ["conv", "dense", "dense_1", "dense_2"]),
    ):
        found = weights._renamed(layers[:count])
        assert [layer.name for layer in found] == names
        assert [layer.top for layer in found] == [False, *[count < 4] * (count - 1)]
    ends = [
        Stored(name, None, ()) for name in ("a_head_dense", "a_head_layernorm", "predictions", "my_predictions", None)
    ]
    expected = ["logits", "layer_normalization", "logits", "logits", None]
    assert [layer.name for layer in weights._renamed(ends)] == expected
