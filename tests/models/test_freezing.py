"""What is frozen, and where a network can be cut: beside a search of the graph that knows nothing of the code."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn import models
from keras_cnn.errors import InputError
from keras_cnn.models import freezing
from keras_cnn.models.stages import stages

SIDES = {"inceptionv3": 75, "xception": 71, "nasnetmobile": 32}


@functools.cache
def network(name: str, **options) -> keras.Model:
    keras.utils.set_random_seed(1)
    side = SIDES.get(name, 32)
    return models.build(name, (side, side, 3), 3, weights="none", **options)


def chain() -> keras.Model:
    """conv1 bn1 relu1 dropout1 conv2, each of a stage of its own, and a head."""
    x = image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(2, 3, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.Dropout(0.5, name="dropout1")(x)
    x = layers.Conv2D(2, 3, name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(2, name="logits")(x), name="chain")


# --- what is frozen ---------------------------------------------------------------------------------------------------


def test_the_weighted_layers_of_resnet18_are_torchvisions_without_its_head():
    names = [layer.name for layer in freezing.weighted_layers(network("resnet18"))]
    assert names[:3] == ["conv1", "bn1", "layer1_0_conv1"]
    # the first convolution and eight blocks of two, and a shortcut for three of the four stages; each with batch norm
    assert len(names) == 2 * (1 + 2 * 8 + 3) == len(set(names))
    assert not {"logits", "normalise", "pool"} & set(names)


def test_the_weighted_layers_stay_the_same_when_they_are_frozen_and_leave_out_what_brings_other_channels_to_rgb():
    model = models.build("resnet18", (32, 32, 5), 3, weights="none")
    before = [layer.name for layer in freezing.weighted_layers(model)]
    assert "to_rgb" not in before
    freezing.freeze(model, freezing.ALL)
    assert [layer.name for layer in freezing.weighted_layers(model)] == before
    assert not model.get_layer("to_rgb").trainable
    assert freezing.frozen_layers(model, 0) == []
    freezing.freeze(model, 0)
    assert all(layer.trainable for layer in model.layers)


def trained_weights(model: keras.Model, upto) -> list[str]:
    frozen = set(freezing.frozen_layers(model, upto))
    return [layer.name for layer in freezing.weighted_layers(model) if layer.name not in frozen]


def test_a_number_counts_layers_with_weights_from_the_input_or_leaves_some_at_the_end():
    model = network("resnet18")
    weighted = [layer.name for layer in freezing.weighted_layers(model)]
    for number in (1, 7, 39, 40):
        assert trained_weights(model, number) == weighted[number:]
        assert trained_weights(model, -number) == weighted[-number:]
    assert trained_weights(model, 0) == weighted


def test_a_layer_or_stage_is_frozen_with_all_before_it_and_all_is_the_backbone():
    model = network("resnet18")
    names = [layer.name for layer in model.layers]
    assert freezing.frozen_layers(model, "layer2_0_conv2") == names[: names.index("layer2_0_conv2") + 1]
    first_two = [
        layer.name for stage, found in stages(model) if stage in ("input", "conv1", "layer1") for layer in found
    ]
    assert sorted(freezing.frozen_layers(model, "layer1")) == sorted(first_two)
    assert trained_weights(model, "all") == []
    assert trained_weights(model, "layer4") == []
    head = ["pool", "logits"]
    assert freezing.frozen_layers(model, "all") == [name for name in names if name not in head]


@pytest.mark.parametrize("name", ["resnet18", "efficientnetb0", "inceptionv3", "densenet121", "nasnetmobile"])
def test_a_frozen_layer_never_waits_for_one_that_trains(name):
    model = network(name)
    weighted = len(freezing.weighted_layers(model))
    some = [stage for stage, _ in stages(model)][1:-1:3]
    for upto in ("all", 1, weighted // 2, -2, *some):
        frozen = set(freezing.frozen_layers(model, upto))
        for layer in model.layers:
            if layer.name in frozen and not isinstance(layer, layers.InputLayer):
                before = {tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input)}
                assert {b.name for b in before if isinstance(b, layers.Layer)} <= frozen


@pytest.mark.parametrize(
    ("upto", "message"),
    [
        (41, "finetune.freeze_upto: found 41, expected -40 to 40, a stage or a layer, or all: resnet18 has 40 layers"),
        (-41, "finetune.freeze_upto: found -41, expected -40 to 40"),
        ("layer5", "finetune.freeze_upto: resnet18 has no stage or layer 'layer5'; did you mean layer"),
        ("layer2_0_conv9", "resnet18 has no stage or layer 'layer2_0_conv9'; did you mean layer2_0_conv"),
        ("aal", "resnet18 has no stage or layer 'aal'; did you mean all?"),
        ("head", "resnet18 has no stage or layer 'head'"),
        ("logits", "finetune.freeze_upto: found logits, behind which resnet18 has no layer with weights"),
    ],
)
def test_what_cannot_be_frozen_is_refused_in_one_line(upto, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        freezing.frozen_layers(network("resnet18"), upto)
    assert "\n" not in str(error.value)


# --- the boundary -----------------------------------------------------------------------------------------------------


def operations_before(model: keras.Model) -> dict[str, set[str]]:
    """Name of an operation -> the names of those whose outputs it reads."""
    found = {}
    for operation in model.operations:
        is_input = isinstance(operation, layers.InputLayer)
        tensors = [] if is_input else keras.tree.flatten(operation.input)
        found[operation.name] = {tensor._keras_history.operation.name for tensor in tensors}
    return found


def reachable(start: str, before: dict[str, set[str]], without: str | None = None) -> set[str]:
    """All that `start` is computed from, and itself, where nothing goes through `without`."""
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in found and name != without:
            found.add(name)
            waiting += before[name]
    return found


def searched_boundary(model: keras.Model) -> str | None:
    """The operation with the most before it, without which the image does not reach the output, behind which all
    that trains or draws lies, and before which something frozen does."""
    before = operations_before(model)
    by_name = {operation.name: operation for operation in model.operations}
    image, output = model.operations[0].name, model.operations[-1].name
    found = {}
    for name in by_name:
        needed = reachable(name, before)
        own = [by_name[n] for n in needed]
        trains = any(getattr(op, "trainable_weights", []) for op in own)
        learns = any(isinstance(op, layers.BatchNormalization) and op.trainable for op in own)
        draws = any(isinstance(op, layers.Dropout) and op.trainable for op in own)
        holds = any(op.weights for op in own if isinstance(op, layers.Layer) and type(op) is not layers.Normalization)
        alone = image not in reachable(output, before, without=name)
        if alone and holds and name not in (image, output) and not (trains or learns or draws):
            found[name] = len(needed)
    return max(found, key=found.get, default=None)


FREEZES = {
    "resnet18": ["all", "layer1", "layer3", "layer2_0_conv1", "layer2_0_downsample_0", "layer3_1_bn2", 1, 5, -1, -9, 0],
    "efficientnetb0": ["all", "block1", "block4", "block3b_add", "block3b_expand_conv", "block5b_drop", "top", -2],
    "nasnetmobile": ["all", "cell_2", "cell_8", 40, 200, -1, 0],
    "inceptionv3": ["all", "stem", "mixed2", "mixed9", 50, -3],
    "densenet121": ["all", "conv1", "conv3", "pool3", "conv4_block2_1_conv", 60, -1],
    "mobilenetv3small": ["all", "block3", 30, -1],
}


@pytest.mark.parametrize("name", FREEZES)
def test_the_boundary_is_the_last_tensor_that_everything_frozen_goes_through(name):
    model = network(name)
    found = {}
    for upto in FREEZES[name]:
        freezing.freeze(model, upto)
        found[upto] = freezing.boundary(model)
        assert found[upto] == searched_boundary(model), upto
    assert found["all"] == "pool"
    if name == "resnet18":
        assert found["layer1"] == "layer1_1_relu"
        assert found["layer2_0_conv1"] == "layer1_1_relu"  # inside a residual block: what carries everything is before
        assert found[0] is None
    if name == "efficientnetb0":
        # A shortcut goes around the expansion; the block's dropout, frozen, draws nothing.
        assert found["block3b_expand_conv"] == found["block3b_add"].replace("3b_add", "3a_project_bn")
        assert found["block5b_drop"] == "block5b_add"
    if name == "nasnetmobile":
        assert found["cell_8"] != "normal_concat_8"  # the next cell reads the one before it too


def test_a_dropout_that_may_draw_ends_what_can_be_computed_once_and_a_frozen_one_does_not():
    model = chain()
    for upto, expected in (("conv1", "conv1"), ("bn1", "relu1"), ("dropout1", "dropout1"), ("all", "pool"), (0, None)):
        freezing.freeze(model, upto)
        assert freezing.boundary(model) == expected == searched_boundary(model)
    head = models.build("resnet18", (32, 32, 3), 2, weights="none", dropout=0.5)
    freezing.freeze(head, "all")
    assert freezing.boundary(head) == searched_boundary(head) == "pool"


def test_a_batch_norm_without_scale_and_offset_trains_its_statistics():
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(2, 3, name="conv1")(image)
    x = layers.BatchNormalization(center=False, scale=False, name="bn1")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    freezing.freeze(model, "conv1")
    assert model.get_layer("bn1").trainable_weights == []
    assert freezing.boundary(model) == "conv1"
    freezing.freeze(model, "bn1")
    assert freezing.boundary(model) == "pool"


def test_a_boundary_may_be_an_operation_that_is_no_layer():
    image = keras.Input((8, 8, 3), name="image")
    x = keras.ops.flip(layers.Conv2D(2, 3, name="conv1")(image), axis=1)
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.Flatten(name="flatten")(layers.ReLU()(x + 1.0))))
    freezing.freeze(model, "conv1")
    flipped = model.operations[2].name
    front, tail = freezing.split(model, flipped)
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(tail(front(images)), model(images))


# --- the cut ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "upto"),
    [
        ("resnet18", "layer2_0_conv1"),
        ("efficientnetb0", "block4"),
        ("inceptionv3", "mixed2"),
        ("nasnetmobile", "cell_8"),
    ],
)
def test_the_two_parts_are_the_model_and_share_its_weights(name, upto):
    model = network(name)
    freezing.freeze(model, upto)
    front, tail = freezing.split(model, freezing.boundary(model))
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype(np.float32)
    whole = model(images, training=False)
    np.testing.assert_allclose(tail(front(images, training=False), training=False), whole, rtol=1e-6, atol=1e-6)
    ids = {id(weight) for weight in model.weights}
    assert {id(weight) for part in (front, tail) for weight in part.weights} == ids
    assert not front.trainable_weights
    assert len(tail.trainable_weights) == len(model.trainable_weights)
    trained = freezing.trained_part(model)
    assert [v.path for v in trained.variables] == [v.path for v in tail.variables]


def test_cutting_again_and_again_changes_nothing_of_the_model(tmp_path):
    keras.utils.set_random_seed(1)
    model = models.build("resnet18", (32, 32, 3), 3, weights="none", dropout=0.3)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    before = model.predict(images, verbose=0)
    plan = [(stage, [layer.name for layer in found]) for stage, found in stages(model)]
    ends = {}
    for upto in ("all", "layer3", "layer1", "all", "layer3", "layer1"):
        freezing.freeze(model, upto)
        assert ends.setdefault(upto, freezing.boundary(model)) == freezing.boundary(model)
        freezing.split(model, ends[upto])
    assert [(stage, [layer.name for layer in found]) for stage, found in stages(model)] == plan
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    trainable = [layer.name for layer in model.layers if layer.weights and layer.trainable]
    assert [layer.name for layer in loaded.layers if layer.weights and layer.trainable] == trainable
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), before)
    for weight in model.weights:
        weight.assign(keras.ops.zeros_like(weight))
    model.load_weights(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


def test_without_a_frozen_part_the_whole_model_trains():
    model = chain()
    assert freezing.trained_part(model) is model
