"""Backbones against keras.applications' own networks with their own preprocess_input."""

import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.models import arithmetic, backbones
from keras_cnn.models.applications import APPLICATIONS, FAMILIES
from keras_cnn.models.stages import stages

# One network of every family of keras.applications, the smallest.
FAMILY = [
    "vgg16", "resnet50", "resnet50v2", "densenet121", "xception", "inceptionv3", "inceptionresnetv2", "mobilenet",
    "mobilenetv2", "mobilenetv3small", "efficientnetb0", "efficientnetv2b0", "convnexttiny", "nasnetmobile",
]  # fmt: skip

ADDED = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)  # the blocks of MobileNetV2 that end in an addition
STAGE_ENDS = {  # the last layer of each stage but the first, in the order of the publications
    "vgg16": {f"block{i}": f"block{i}_pool" for i in range(1, 6)},
    "resnet50": {"conv1": "pool1_pool"} | {f"conv{i}": f"conv{i}_block{n}_out" for i, n in enumerate((3, 4, 6, 3), 2)},
    "resnet50v2": {
        "conv1": "pool1_pool",
        **{f"conv{i}": f"conv{i}_block{n}_out" for i, n in enumerate((3, 4, 6, 3), 2)},
        "post": "post_relu",
    },
    "densenet121": {
        "conv1": "pool1",
        **{f"conv{i}": f"conv{i}_block{n}_concat" for i, n in enumerate((6, 12, 24, 16), 2)},
        **{f"pool{i}": f"pool{i}_pool" for i in (2, 3, 4)},
        "norm": "relu",
    },
    "xception": {
        "block1": "block1_conv2_act",
        "block2": "add",
        **{f"block{i}": f"add_{i - 2}" for i in range(3, 14)},
        "block14": "block14_sepconv2_act",
    },
    "inceptionv3": {"stem": "max_pooling2d_1"} | {f"mixed{i}": f"mixed{i}" for i in range(11)},
    "inceptionresnetv2": {
        "stem": "max_pooling2d_1",
        **{f"mixed_{part}": f"mixed_{part}" for part in ("5b", "6a", "7a")},
        "block35": "block35_10_ac",
        "block17": "block17_20_ac",
        "block8": "custom_scale_layer_39",
        "conv_7b": "conv_7b_ac",
    },
    "mobilenet": {"conv1": "conv1_relu"} | {f"block{i}": f"conv_pw_{i}_relu" for i in range(1, 14)},
    "mobilenetv2": {
        "conv1": "Conv1_relu",
        "block0": "expanded_conv_project_BN",
        **{f"block{i}": f"block_{i}_{'add' if i in ADDED else 'project_BN'}" for i in range(1, 17)},
        "conv2": "out_relu",
    },
    "mobilenetv3small": {
        "conv0": "conv_bn",
        "block0": "expanded_conv_project_bn",
        **{f"block{i}": f"expanded_conv_{i}_{'project_bn' if i in (1, 3, 6, 8) else 'add'}" for i in range(1, 11)},
        "conv1": "activation_17",
    },
    "efficientnetb0": {
        "stem": "stem_activation",
        **{f"block{name[0]}": f"block{name}_add" for name in ("2b", "3b", "4c", "5c", "6d")},
        **{f"block{i}": f"block{i}a_project_bn" for i in (1, 7)},
        "top": "top_activation",
    },
    "efficientnetv2b0": {
        "stem": "stem_activation",
        "block1": "block1a_project_activation",
        **{f"block{name[0]}": f"block{name}_add" for name in ("2b", "3b", "4c", "5e", "6h")},
        "top": "top_activation",
    },
    "convnexttiny": {
        "stem": "convnext_tiny_stem_layernorm",
        **{f"stage_{i}": f"convnext_tiny_stage_{i}_block_{n}_identity" for i, n in enumerate((2, 2, 8, 2))},
        "norm": "layer_normalization",
    },
    "nasnetmobile": {
        **{f"stem_{i}": f"reduction_concat_stem_{i}" for i in (1, 2)},
        **{f"cell_{i}": f"normal_concat_{i}" for i in range(12) if i != 4},
        **{f"reduce_{i}": f"reduction_concat_reduce_{i}" for i in (4, 8)},
        "cell_12": "activation_187",
    },
}


def randomised(model: keras.Model) -> None:
    """Random statistics and scales; kernels keep their random start, with which numbers neither vanish nor explode."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance", "variance") or "layer_scale" in weight.path:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif name in ("beta", "moving_mean", "mean", "bias"):
            weight.assign(random.normal(0, 0.1, weight.shape))


@pytest.fixture
def keras_cache(monkeypatch, tmp_path):
    """Stands in for Keras's downloads: ({file name asked for}, function that puts a model's weights there)."""
    asked = []
    path = tmp_path / "downloaded.weights.h5"

    def get_file(name, *_, **__):
        asked.append(name)
        return str(path)

    monkeypatch.setattr(sys.modules["keras.src.utils.file_utils"], "get_file", get_file)
    return asked, lambda model: model.save_weights(path)


@pytest.mark.parametrize("name", FAMILY)
def test_imagenet_weights_give_the_answers_of_keras_applications(name, keras_cache):
    asked, put = keras_cache
    build = APPLICATIONS[name].build
    shape = (80, 76, 3)
    theirs = build(weights=None, include_top=False, input_shape=shape)
    randomised(theirs)
    put(theirs)
    if name == "efficientnetb0":  # has one layer more where it has ImageNet's weights
        theirs = build(weights="imagenet", include_top=False, input_shape=shape)
        asked.clear()

    ours = backbones.backbone(name, shape, weights="imagenet")

    assert asked == [APPLICATIONS[name].weights_file(APPLICATIONS[name].side)]
    images = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.float32)
    preprocess = sys.modules[f"keras.src.applications.{build.__module__.rsplit('.', 1)[-1]}"].preprocess_input
    expected = np.asarray(theirs(preprocess(images.copy()), training=False))  # predict would compile for seconds
    found = np.asarray(ours(images, training=False))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert_flat_and_counted(ours)
    assert {stage: members[-1].name for stage, members in stages(ours)[1:]} == STAGE_ENDS[name]
    every = [layer for _, layers in stages(ours) for layer in layers]
    assert sorted(layer.name for layer in every) == sorted(layer.name for layer in ours.layers)


def assert_flat_and_counted(model: keras.Model) -> None:
    assert not any(isinstance(layer, keras.Model) for layer in model._flatten_layers(include_self=False))
    rows = arithmetic.table(model)
    assert len(rows) == len(model.operations)
    totals = arithmetic.totals(rows)
    assert totals.trainable + totals.other == model.count_params()
    for _, members in stages(model):  # each can be looked at: the model can be cut behind it
        assert keras.Model(model.input, members[-1].output).output.shape == members[-1].output.shape


def test_every_network_of_keras_applications_is_known():
    functions = [name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)]
    assert set(APPLICATIONS) == {name.lower() for name in functions}
    assert len(APPLICATIONS) >= 38
    assert {application.build.__module__.rsplit(".", 1)[-1] for application in APPLICATIONS.values()} == set(FAMILIES)
    sides = {name: backbones.default_side(name) for name in APPLICATIONS if not name.startswith("efficientnet")}
    published = {"inceptionv3": 299, "inceptionresnetv2": 299, "xception": 299, "nasnetlarge": 331}
    assert sides == dict.fromkeys(sides, 224) | published
    sides = [APPLICATIONS["mobilenetv2"].weights_side(*size) for size in ((96, 96), (96, 128), (100, 100))]
    assert sides == [96, 224, 224]  # Keras has others for a few square sizes alone


@pytest.mark.parametrize("name", [n for n in APPLICATIONS if n.startswith("efficientnet")])
def test_default_sides_are_those_in_keras_source(name):
    source = inspect.getsource(APPLICATIONS[name].build)
    found = re.search(r"default_size=(\d+)|EfficientNet\(\s*[\d.]+,\s*[\d.]+,\s*(\d+)", source)
    assert backbones.default_side(name) == int(found.group(1) or found.group(2))


@pytest.mark.parametrize(
    "family", sorted(set(FAMILIES) - {"mobilenet_v3", "resnet_v2"})
)  # these two have no source of it
def test_smallest_and_published_sides_are_those_in_keras_source(family):
    source = inspect.getsource(sys.modules[f"keras.src.applications.{family}"])
    assert {int(side) for side in re.findall(r"min_size=(\d+)", source)} == {FAMILIES[family].smallest}
    squares = re.search(r"rows not in \[([\d, ]+)\]", source)
    published = {int(side) for side in squares[1].split(",")} - {224} if squares else set()
    assert set(FAMILIES[family].published_sides) == published


def test_families_without_a_source_of_it_take_images_of_32_pixels():
    assert {FAMILIES[name].smallest for name in ("mobilenet_v3", "resnet_v2")} == {32}


@pytest.fixture(scope="module")
def xception() -> keras.Model:
    return backbones.backbone("xception", (71, 71, 3), weights="none")


def test_names_do_not_depend_on_the_session(xception):
    first = xception
    keras.layers.Conv2D(1, 1)
    second = backbones.backbone("xception", (80, 71, 3), weights="none")
    names = [operation.name for operation in first.operations]
    assert names == [operation.name for operation in second.operations]
    assert {"conv2d", "conv2d_3", "batch_normalization", "add_11"} <= set(names)


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet50", 1), ("efficientnetb0", 5), ("convnexttiny", 1), ("mobilenetv3small", 3)]
)
def test_saved_model_loads_in_plain_keras(name, channels, tmp_path):
    keras.utils.set_random_seed(1)
    model = backbones.classifier(name, (64, 64, channels), 3, weights="none", dropout=0.2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, channels), dtype=np.uint8)
    expected = model.predict(images, verbose=0)
    assert expected.shape == (2, 3)
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)


def test_grey_is_repeated():
    rgb = backbones.backbone("mobilenet", (40, 40, 3), weights="none")
    grey = backbones.backbone("mobilenet", (40, 40, 1), weights="none")
    grey.set_weights(rgb.get_weights())
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 1)).astype(np.float32)
    np.testing.assert_allclose(grey(image), rgb(np.repeat(image, 3, axis=-1)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("channels", "kept"), [(2, [[0.5] * 3] * 2), (4, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0] * 3])])
def test_other_channels_go_through_a_trainable_projection(channels, kept):
    rgb = backbones.backbone("vgg11", (40, 40, 3), weights="none")
    model = backbones.backbone("vgg11", (40, 40, channels), weights="none")
    projection = model.get_layer("to_rgb")
    assert projection.trainable_weights[0].shape == (1, 1, channels, 3)
    model.set_weights([*projection.get_weights(), *rgb.get_weights()])
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 40, channels)).astype(np.float32)
    np.testing.assert_allclose(model(image), rgb(image @ np.array(kept, np.float32)), rtol=1e-4, atol=1e-5)


def test_classifier_is_backbone_pool_and_dense():
    model = backbones.classifier("resnet18", (64, 48, 3), 6, weights="none", pooling="max", dropout=0.3)
    assert [layer.name for layer in model.layers[-3:]] == ["pool", "dropout", "logits"]
    assert model.get_layer("dropout").rate == 0.3
    logits = model.get_layer("logits")
    assert logits.dtype_policy.name == "float32"
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 11_179_590
    maps = keras.Model(model.input, model.get_layer("pool").input)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3)).astype(np.float32)
    pooled = maps.predict(images, verbose=0).max(axis=(1, 2))
    expected = pooled @ logits.get_weights()[0] + logits.get_weights()[1]
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_preprocessing_stays_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        models = [backbones.backbone(n, (40, 40, 3), weights="none") for n in ("efficientnetb0", "mobilenetv3small")]
        models.append(backbones.classifier("vgg16", (40, 40, 3), 2, weights="none"))
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        first = dict(stages(model))["input"][1:]
        assert first
        assert all(layer.compute_dtype == "float32" for layer in first)
        assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert models[-1].output.dtype == "float32"


STAGES = {
    "vgg16": "input block1 block2 block3 block4 block5 head",
    "xception": "input " + " ".join(f"block{i}" for i in range(1, 15)) + " head",
    "inceptionv3": "input stem " + " ".join(f"mixed{i}" for i in range(11)) + " head",
    "resnet34": "input conv1 layer1 layer2 layer3 layer4 head",
    "alexnet": "input block1 block2 block3 head",
    "squeezenet1_1": "input block1 block2 block3 block4 head",
}


@pytest.mark.parametrize("name", STAGES)
def test_stages(name):
    model = backbones.classifier(name, (80, 80, 3), 2, weights="none")
    found = stages(model)
    assert [stage for stage, _ in found] == STAGES[name].split()
    # Nothing of a stage is needed before it: what comes first can be frozen, and never waits for what comes later.
    place = {layer.name: i for i, (_, layers) in enumerate(found) for layer in layers}
    for layer in model.layers[1:]:
        before = [tensor._keras_history.operation.name for tensor in keras.tree.flatten(layer.input)]
        assert all(place[b] <= place[layer.name] for b in before if b in place)


def test_shortcut_of_a_xception_block_belongs_to_the_block(xception):
    model = xception
    found = {stage: [layer.name for layer in layers] for stage, layers in stages(model)}
    for block, number in (("block2", ""), ("block3", "_1"), ("block4", "_2"), ("block13", "_3")):
        assert {f"conv2d{number}", f"batch_normalization{number}"} <= set(found[block])


def test_stages_of_any_other_network_go_by_name():
    x = image = keras.Input((8, 8, 3), name="image")
    for name in ("conv1_a", "conv1_b", "conv2_a"):
        x = keras.layers.Conv2D(2, 1, name=name)(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(2, name="logits")(x))
    found = [(stage, [layer.name for layer in layers]) for stage, layers in stages(model)]
    assert found == [
        ("input", ["image"]),
        ("conv1", ["conv1_a", "conv1_b"]),
        ("conv2", ["conv2_a"]),
        ("head", ["pool", "logits"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet5", (64, 64, 3)), "unknown backbone 'resnet5'; did you mean resnet50?"),
        (("resnet50", (64, 31, 3)), "resnet50: images of 64×31, expected at least 32×32"),
        (("xception", (70, 71, 3)), "xception: images of 70×71, expected at least 71×71"),
        (("alexnet", (62, 62, 3)), "alexnet: images of 62×62, expected at least 63×63"),
        (("vgg16", (64, 64)), "vgg16: input_shape: found (64, 64), expected height, width and channels"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InputError) as error:
        backbones.backbone(*arguments, weights="none")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "vgg11: classes: found 1, expected at least 2"),
        ({"classes": 2, "dropout": 1.0}, "vgg11: dropout: found 1.0, expected at least 0 and below 1"),
        ({"classes": 2, "dropout": -0.1}, "vgg11: dropout: found -0.1"),
        ({"classes": 2, "dense": -1}, "vgg11: dense: found -1, expected at least 0"),
    ],
)
def test_refused_heads(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        backbones.classifier("vgg11", (32, 32, 3), weights="none", **options)
    with pytest.raises(InputError, match="resnet50: head: found 'reference'"):
        backbones.classifier("resnet50", (32, 32, 3), 2, weights="none", head="reference")


def test_offline_imagenet_names_the_file_to_bring(monkeypatch, tmp_path):
    def get_file(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(sys.modules["keras.src.utils.file_utils"], "get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError) as error:
        backbones.backbone("mobilenet", (128, 128, 3))
    text = str(error.value)
    assert "mobilenet_1_0_128_tf_no_top.h5" in text
    assert str(Path(tmp_path) / "models") in text
    assert "Name or service not known" in text
    assert "\n" not in text
    with pytest.raises(InputError) as error:
        backbones.backbone("resnet18", (64, 64, 3))
    assert f"put torchvision's resnet18-f37072fd.pth into {tmp_path / 'models'}" in str(error.value)


def test_the_receptive_field_is_known_behind_the_change_to_bgr():
    rows = arithmetic.table(backbones.backbone("vgg16", (64, 64, 3), weights="none"))
    fields = [row.field.height.size for row in rows if row.type == "Conv2D"]
    assert fields[:4] == [3, 5, 10, 14]
