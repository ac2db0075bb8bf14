"""Exported files against a network worked out in NumPy, and against Keras where NumPy would take too long."""

import errno
import json
import os
import runpy
import subprocess
import sys
import zipfile
from importlib import util
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image

from keras_cnn.data.decoding import decode, read_image_file
from keras_cnn.errors import InputError, Stopped
from keras_cnn.export import exports, litert, litert_int8
from keras_cnn.export.endpoint import in_float32
from keras_cnn.export.exports import CALLS, FORMATS, TOLERANCE, export
from keras_cnn.export.programs import program_name, write_program
from keras_cnn.export.quantisation import Quantisation
from keras_cnn.extras import install_line
from keras_cnn.models.blocks import BatchNormalization

SHAPE, CLASSES = (9, 6, 3), ("cat", "dog", "owl", "eel", "ant")


def images_of(shape, count: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *shape), np.uint8)


def trained(model: keras.Model) -> keras.Model:
    """With weights as after training: batch norm at its initial ones would do next to nothing."""
    rng = np.random.default_rng(1)
    for variable in model.variables:
        if "normalization" in variable.path or "bn" in variable.path or variable.path.endswith("bias"):
            variable.assign(rng.uniform(0.4, 1.6, variable.shape))
    return model


def small_net(policy: str = "float32") -> keras.Model:
    """A strided convolution with SAME padding, our batch norm, ReLU, the mean of the map, five logits."""
    image = keras.Input(SHAPE, name="photo")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescale")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", dtype=policy, name="conv1")(x)
    x = BatchNormalization(epsilon=1e-5, dtype=policy, name="bn1")(x)
    x = layers.Activation("relu", dtype=policy, name="relu1")(x)
    x = layers.GlobalAveragePooling2D(dtype=policy, name="gap")(x)
    return trained(keras.Model(image, layers.Dense(5, dtype="float32", name="logits")(x), name="small_net"))


def by_hand(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The logits of `small_net` in float64."""
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("conv1").get_weights())
    gamma, beta, mean, variance = (w.astype(np.float64) for w in model.get_layer("bn1").get_weights())
    # SAME at stride 2: 9 rows take 1 zero above and 1 below, 6 columns none left and 1 right.
    padded = np.pad(images / 127.5 - 1, ((0, 0), (1, 1), (0, 1), (0, 0)))
    maps = np.zeros((len(images), 5, 3, 8))
    for row in range(5):
        for column in range(3):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            maps[:, row, column] = np.einsum("nhwc,hwcf->nf", window, kernel) + bias
    maps = np.maximum((maps - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    weights, offset = model.get_layer("logits").get_weights()
    return maps.mean(axis=(1, 2)) @ weights + offset


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small_net()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "export"
    return folder, export(model, images_of(SHAPE), folder, list(FORMATS), CLASSES)


@pytest.mark.parametrize("name", FORMATS)
def test_files_answer_as_worked_out_by_hand_whatever_the_batch(name, exported, model):
    folder, _ = exported
    run = FORMATS[name].load(folder / FORMATS[name].FILE)
    for count in (1, 4, 2, 40):
        images = images_of(SHAPE, count)
        found = run(images)
        assert found.dtype == np.float32
        assert found.shape == (count, 5)
        assert distance(found, by_hand(model, images)) < 1e-6


def test_every_file_has_the_names_of_the_classes_where_its_own_format_keeps_them(exported):
    folder, _ = exported
    assert {module.classes_in(folder / module.FILE) for module in FORMATS.values()} == {CLASSES}
    for file in ("model.keras", "model.tflite"):  # LiteRT reads a file with an archive at its end, see the test above
        assert json.loads(zipfile.ZipFile(folder / file).read("classes.json")) == list(CLASSES)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(CLASSES)
    assert json.loads((folder / "savedmodel" / "assets.extra" / "classes.json").read_text()) == list(CLASSES)


def test_what_was_found_is_told_and_written(exported, model):
    folder, results = exported
    assert [one.format for one in results] == list(FORMATS)
    kept = json.loads((folder / "export.json").read_text())
    assert json.loads((folder / "classes.json").read_text()) == list(CLASSES)
    assert kept["input"] | {"name": ""} == {"name": "", "dtype": "uint8", "shape": ["N", 9, 6, 3], "values": "0 to 255"}
    assert kept["tolerance"] == TOLERANCE
    for one, row in zip(results, kept["formats"], strict=True):
        path = folder / row["path"]
        assert one.path == path
        inside = [Path(place) / name for place, _, names in os.walk(path) for name in names] or [path]
        assert one.bytes == row["bytes"] == sum(len(file.read_bytes()) for file in inside)
        difference = FORMATS[one.format].load(path)(images_of(SHAPE)) - model(images_of(SHAPE)).numpy()
        assert one.max_abs_difference == row["max_abs_difference"] == pytest.approx(np.abs(difference).max(), abs=1e-6)
        assert one.same_predictions == one.images == 5
        assert [(found.batch, found.calls) for found in one.latencies] == list(CALLS.items()) == [(1, 20), (32, 5)]
        for found in one.latencies:
            assert 0 < found.fastest <= found.median == one.milliseconds[found.batch] <= found.slowest


def test_quantised_weights_are_the_folded_kernels_to_half_a_step(model, tmp_path):
    images, labels = images_of(SHAPE, 60), np.arange(60) % 5
    needs = Quantisation(images[:40], lambda: [images[:32], images[32:]], labels, [str(i) for i in range(60)])
    (result,) = export(model, images[:5], tmp_path / "export", ["litert-int8"], CLASSES, quantisation=needs)
    reader = Interpreter(model_path=str(result.path))
    reader.allocate_tensors()
    kernel, _ = model.get_layer("conv1").get_weights()
    gamma, _, _, variance = model.get_layer("bn1").get_weights()
    folded = np.moveaxis(kernel * gamma / np.sqrt(variance + 1e-5), -1, 0)  # (8, 3, 3, 3), as LiteRT keeps kernels
    (stored,) = (t for t in reader.get_tensor_details() if t["dtype"] == np.int8 and tuple(t["shape"]) == (8, 3, 3, 3))
    steps = stored["quantization_parameters"]["scales"]
    np.testing.assert_allclose(steps, np.abs(folded).max(axis=(1, 2, 3)) / 127, rtol=1e-4)  # one for each channel
    values = reader.get_tensor(stored["index"]).astype(np.float64) * steps[:, None, None, None]
    assert np.abs(values - folded).max() <= steps.max() * 0.501
    found, expected = litert_int8.load(result.path)(images), by_hand(model, images)
    assert 1e-5 < distance(found, expected) < 0.05
    before, after = expected.argmax(axis=1) == labels, found.argmax(axis=1) == labels
    assert (result.accuracy.before, result.accuracy.after) == (before.mean(), after.mean())
    assert (result.accuracy.b, result.accuracy.c) == (np.sum(before & ~after), np.sum(~before & after))
    assert result.max_relative_difference > TOLERANCE
    assert litert_int8.classes_in(result.path) == CLASSES


def test_quantisation_without_images_is_refused(model, tmp_path):
    with pytest.raises(InputError, match=r"^formats: litert-int8: found no sample images"):
        export(model, images_of(SHAPE), tmp_path / "export", ["litert-int8"], CLASSES)
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_line_a_format_and_one_for_a_disturbed_latency():
    steady = exports.Latency(1, 20, median=1.4, fastest=1.0, slowest=30.0)
    disturbed = exports.Latency(32, 5, median=1.6, fastest=1.0, slowest=2.0)
    row = ("onnx", Path("export/model.onnx"), 1_234_567, 64, 2e-6, 3.21e-7, 63)
    lines = list(exports.table([exports.ExportedModel(*row, latencies=(steady, disturbed), runtime="onnxruntime 1")]))
    assert lines[0].split("  ")[0] == "format"
    assert lines[1].split() == ["onnx", "1.23", "1.40", "1.60", "3.2e-07", "63/64", "model.onnx"]
    note = " ".join(line.strip() for line in lines[2:])
    assert note.startswith("note        the machine was not idle")
    assert note.endswith("onnx 1.00 to 2.00 ms at batch 32")
    assert all(len(line) <= 80 for line in lines)


def test_every_format_names_its_input_and_output_alike(exported):
    folder, _ = exported
    served = tf.saved_model.load(folder / "savedmodel").signatures["serving_default"]
    (specification,) = served.structured_input_signature[1].values()
    assert (specification.name, specification.dtype, specification.shape.as_list()) == (
        "image",
        tf.uint8,
        [None, *SHAPE],
    )
    assert served.structured_outputs["logits"].shape.as_list() == [None, 5]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    found = [(value.name, value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())]
    assert found == [("image", "tensor(uint8)", ["N", *SHAPE]), ("logits", "tensor(float)", ["N", 5])]
    signature = Interpreter(model_path=str(folder / "model.tflite")).get_signature_list()
    assert signature == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}


def test_weights_are_written_once(exported, model):
    folder, _ = exported
    stored = tf.train.list_variables(str(folder / "savedmodel" / "variables" / "variables"))
    assert sum(int(np.prod(shape)) for name, shape in stored if "VARIABLE_VALUE" in name) == model.count_params()


def test_a_model_in_bfloat16_is_exported_in_float32_and_left_as_it_was(tmp_path):
    model = small_net("mixed_bfloat16")
    images = images_of(SHAPE)
    before = [weight.tobytes() for weight in model.get_weights()]
    answers = model(images).numpy()
    results = export(model, images, tmp_path / "export", list(FORMATS), CLASSES)
    expected = by_hand(model, images)
    assert distance(answers, expected) > 1e-4  # so that answers in bfloat16 would be seen
    for one in results:
        assert distance(FORMATS[one.format].load(one.path)(images), expected) < 1e-6
    assert [weight.tobytes() for weight in model.get_weights()] == before
    assert model.get_layer("conv1").dtype_policy.name == model.get_layer("bn1").dtype_policy.name == "mixed_bfloat16"
    assert type(model.get_layer("bn1")) is BatchNormalization
    np.testing.assert_array_equal(model(images).numpy(), answers)


def rich_net() -> keras.Model:
    """What the backbones are made of besides: statistics of the data, flips, depthwise, grouped and nested layers."""
    image = keras.Input((16, 16, 1))
    x = layers.Concatenate()([image] * 3)
    normalization = layers.Normalization(name="standardize")
    x = keras.ops.flip(normalization(x), axis=-1)
    normalization.set_weights([np.array([120.0, 110, 100]), np.array([3000.0, 3500, 4000]), np.array(0)])
    normalization.finalize_state()
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, strides=2, padding="valid")(x))
    x = BatchNormalization(scale=False)(layers.SeparableConv2D(8, 3, padding="same", use_bias=False)(x))
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))
    x = layers.Conv2D(8, 3, padding="same", groups=4)(layers.Multiply()([x, gate]))
    x = layers.Add()([x, *(layers.Activation(name)(x) for name in ("gelu", "mish", "silu", "elu", "selu", "tanh"))])
    x = keras.Sequential([layers.Conv2D(8, 3, dilation_rate=2), layers.LeakyReLU()], name="nested")(x)
    x = layers.AveragePooling2D(3, strides=1, padding="same")(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.Dropout(0.5)(layers.SpatialDropout2D(0.5)(x))
    return trained(keras.Model(image, layers.Dense(3, dtype="float32")(layers.Flatten()(x))))


def test_what_the_backbones_are_made_of_is_exported(tmp_path):
    model, images = rich_net(), images_of((16, 16, 1), 40)
    for one in export(model, images, tmp_path / "export", list(FORMATS), CLASSES[:3]):
        assert distance(FORMATS[one.format].load(one.path)(images), model(images).numpy()) < 1e-5


def test_in_float32_keeps_names_weights_and_statistics():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = rich_net()
    finally:
        keras.config.set_dtype_policy("float32")
    plain = in_float32(mixed)
    assert in_float32(plain) is plain
    assert {layer.compute_dtype for layer in plain._flatten_layers()} == {"float32"}
    assert [layer.name for layer in plain.layers] == [layer.name for layer in mixed.layers]
    for new, old in zip(plain.weights, mixed.weights, strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy())
    statistics = plain.get_layer("standardize")
    np.testing.assert_allclose(
        statistics(np.full((1, 1, 1, 3), 130.0)).numpy().ravel(), [10, 20, 30] / np.sqrt([3000, 3500, 4000]), rtol=1e-6
    )
    assert mixed.get_layer("nested").layers[0].compute_dtype == "bfloat16"


def spoiled(value: float):
    """`litert.write` with another first logit's bias."""

    def write(model: keras.Model, path: Path, classes: tuple[str, ...]) -> None:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.get_layer("logits").bias.assign_add([value, 0, 0, 0, 0])
        litert.write(copy, path, classes)

    return write


@pytest.mark.parametrize(("value", "said"), [(0.5, r"\(0\.5\)"), (np.nan, r"\(nan\)")])
def test_a_format_with_other_answers_is_refused_and_nothing_of_it_kept(value, said, model, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    export(model, images_of(SHAPE), folder, ["onnx"], CLASSES)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    broken = type(
        "broken", (), vars(litert) | {"write": staticmethod(spoiled(value)), "load": staticmethod(litert.load)}
    )
    monkeypatch.setitem(exports.ALL, "litert", broken)
    with pytest.raises(
        InputError, match=rf"^litert: the logits of 5 images .*{said}; expected at most 0\.0001; the file is removed$"
    ) as error:
        export(model, images_of(SHAPE), folder, ["savedmodel", "litert"], CLASSES)
    assert "\n" not in str(error.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_full_disk_leaves_the_older_export(model, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "older").write_text("kept")

    def full(proto, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("onnx.save", full)
    with pytest.raises(Stopped, match="the disk is full"):
        export(model, images_of(SHAPE), folder, ["onnx"], CLASSES)
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "older"]


KILLED = """
import os, signal, sys
from pathlib import Path
import keras, numpy as np
from keras_cnn.export import exports
def write(model, path, classes):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
exports.FORMATS["keras"].write = write
image = keras.Input((2, 2, 1))
model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
exports.export(model, np.zeros((1, 2, 2, 1), np.uint8), Path(sys.argv[1]), ["keras"], ("a", "b"))
"""


def test_a_killed_export_leaves_the_older_one_and_the_next_cleans_up(model, tmp_path):
    folder = tmp_path / "export"
    export(model, images_of(SHAPE), folder, ["keras"], CLASSES)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    environment = os.environ | {"PYTHONPATH": str(Path(exports.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], env=environment, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.read_bytes() for file in tmp_path.glob(".export.partial/*/model.keras")] == [b"half"]
    export(model, images_of(SHAPE), folder, ["onnx"], CLASSES)
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "classes.json",
        "export.json",
        "model.onnx",
        "predict_onnx.py",
    ]


@pytest.mark.parametrize(
    ("images", "formats", "classes", "said"),
    [
        (images_of(SHAPE), ["onnx", "litret"], CLASSES, "unknown format 'litret'; did you mean litert?"),
        (images_of(SHAPE), [], CLASSES, "none given, expected some of keras, savedmodel, litert, onnx"),
        (images_of(SHAPE), ["onnx"], CLASSES[:4], "found 4 class names, expected one per logit: 5"),
        (
            images_of((9, 6, 1)),
            ["onnx"],
            CLASSES,
            r"found uint8 images of \(5, 9, 6, 1\), expected uint8 of \(N, 9, 6, 3\)",
        ),
        (images_of(SHAPE) / 255, ["onnx"], CLASSES, r"found float64 images of \(5, 9, 6, 3\), expected uint8"),
        (images_of(SHAPE, 0), ["onnx"], CLASSES, r"found uint8 images of \(0, 9, 6, 3\)"),
    ],
)
def test_refusals_name_what_was_found(images, formats, classes, said, model, tmp_path):
    with pytest.raises(InputError, match=said) as error:
        export(model, images, tmp_path / "export", formats, classes)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_model_whose_logits_are_not_numbers_is_refused(tmp_path):
    model = small_net()
    model.get_layer("logits").bias.assign([0, 0, np.inf, 0, 0])
    with pytest.raises(InputError, match=r"^small_net: export: found logits that are not finite .*, expected numbers$"):
        export(model, images_of(SHAPE), tmp_path / "export", ["onnx"], CLASSES)


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_an_operation_that_a_format_lacks_is_named(name, tmp_path):
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.ops.erfinv(layers.Flatten()(image) / 300), name="odd")
    with pytest.raises(InputError, match=rf"^{name}: odd cannot be converted: .*Erfinv") as error:
        export(model, images_of((2, 2, 1)), tmp_path / "export", [name], CLASSES[:4])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_model_of_any_size_of_image_is_refused(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(image)), name="any_size")
    with pytest.raises(
        InputError, match=r"any_size: export: found images of \(None, None, 3\), expected a fixed height"
    ):
        export(model, images_of(SHAPE), tmp_path / "export", ["onnx"], CLASSES)


def test_a_missing_package_is_named_with_what_to_install(model, tmp_path, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name in ("tf2onnx", "ai_edge_litert") else found(name))
    with pytest.raises(InputError) as error:
        export(model, images_of(SHAPE), tmp_path / "export", ["savedmodel", "onnx", "litert"], CLASSES)
    assert str(error.value) == (f"formats: onnx: tf2onnx not found; install the extra export: {install_line('export')}")
    assert [one.format for one in export(model, images_of(SHAPE), tmp_path / "export", ["savedmodel"], CLASSES)]


@pytest.mark.parametrize(("name", "fit", "temperature"), [*((n, "crop", 1.0) for n in FORMATS), ("onnx", "pad", 2.0)])
def test_the_program_beside_a_file_classifies_photos_as_we_do(
    name, fit, temperature, exported, model, tmp_path, monkeypatch, capsys
):
    """A photo that is turned by EXIF, and a drawing with transparency, brought to the model's size."""
    folder, _ = exported
    photo = Image.fromarray(images_of((30, 41, 3), 1)[0])
    exif = photo.getexif()
    exif[274] = 6
    photo.save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(images_of((27, 20, 4), 1)[0]).save(tmp_path / "drawing.png")
    program = folder / program_name(name)
    assert len(program.read_text().splitlines()) < 40
    if temperature != 1.0:
        write_program(folder, name, FORMATS[name].FILE, SHAPE, fit=fit, temperature=temperature)
    paths = [str(tmp_path / "photo.png"), str(tmp_path / "drawing.png")]
    monkeypatch.setattr(sys, "argv", [str(program), *paths])
    runpy.run_path(str(program))
    lines = [line.rsplit("  ", 2) for line in capsys.readouterr().out.splitlines()]
    pixels = np.stack([decode(read_image_file(Path(path)), SHAPE[:2], 3, fit) for path in paths])
    powers = np.exp(by_hand(model, pixels) / temperature)
    for number, path in enumerate(paths):
        shown = lines[5 * number : 5 * number + 5]
        assert {line[0] for line in shown} == {path}
        expected = powers[number] / powers[number].sum()
        order = np.argsort(-expected)
        assert [line[2] for line in shown] == [CLASSES[index] for index in order]
        assert [float(line[1]) for line in shown] == pytest.approx(expected[order], abs=6e-5)
