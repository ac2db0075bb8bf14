"""Parameters, multiply-adds and receptive fields against hand counts, closed formulas and actual gradients."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn.closed_formulas import five_conv_counts
from keras_cnn.errors import InputError
from keras_cnn.models import FROM_SCRATCH, arithmetic, build
from keras_cnn.models.arithmetic import Axis

STRIDED = [
    {"conv": 2, "kernel": 5, "stride": 2},
    {"avgpool": 3, "stride": 2, "padding": "same"},
    {"conv": 2, "kernel": 3, "dilation": 2, "padding": "valid"},
    {"conv": 2, "kernel": 4},
    {"avgpool": 2},
    {"flatten": None},
]


def _rows(model):
    return {row.layer: row for row in arithmetic.table(model)}


def test_net4_first_five_convolutions_see_3_5_7_12_16():
    rows = _rows(build("net4", (32, 32, 3)))
    fields = [rows[f"conv{i}"].field for i in range(1, 6)]
    assert [field.height.size for field in fields] == [3, 5, 7, 12, 16]
    assert [(field.width.stride, field.width.offset) for field in fields] == [
        (1, -1),
        (1, -2),
        (1, -2),
        (2, -4),
        (2, -6),
    ]


def _positive(model: keras.Model) -> keras.Model:
    """A copy in which every pixel that a unit may see moves it: ones for kernels, average for max pooling."""

    def swap(layer):
        if not isinstance(layer, layers.MaxPooling2D):
            return layer.__class__.from_config(layer.get_config())
        return layers.AveragePooling2D(layer.pool_size, layer.strides, layer.padding, name=layer.name)

    clone = keras.models.clone_model(model, clone_function=swap)
    for layer in clone.layers:
        if hasattr(layer, "kernel"):
            layer.set_weights([np.ones_like(layer.get_weights()[0]), *map(np.zeros_like, layer.get_weights()[1:])])
    return clone


def _seen(model: keras.Model, layer: str, unit: tuple[int, int]) -> list[tuple[int, int]]:
    """First and last row, first and last column of the image that move a unit, from the gradient."""
    image = tf.Variable(tf.fill((1, *model.input_shape[1:]), 255.0))
    inner = keras.Model(model.input, model.get_layer(layer).output)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(inner(image)[:, unit[0], unit[1]])
    moved = tape.gradient(value, image).numpy()[0].any(-1)
    return [(int(hit.argmax()), int(len(hit) - 1 - hit[::-1].argmax())) for hit in (moved.any(1), moved.any(0))]


def _small_branches() -> keras.Model:
    x = inputs = keras.Input((21, 17, 1), name="image")
    left = layers.Conv2D(2, (3, 5), strides=2, padding="same", name="left")(x)
    right = layers.AveragePooling2D(2, name="halved", padding="same")(
        layers.Conv2D(2, 4, padding="same", name="right")(x)
    )
    x = layers.Concatenate(name="joined")([left, right])
    x = layers.ZeroPadding2D(((2, 0), (1, 3)), name="padded")(x)
    x = layers.Cropping2D(((1, 1), (0, 2)), name="cropped")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise", depthwise_initializer="ones")(x)
    x = layers.SeparableConv2D(
        2, 2, strides=2, name="separable", depthwise_initializer="ones", pointwise_initializer="ones"
    )(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "model",
    [
        lambda: build("net4", (32, 32, 3), l1_oc=1),
        lambda: build("layers", (37, 30, 3), table=STRIDED),
        lambda: build("net2", (32, 32, 1), l1_oc=1, kernel_size=5),
        _small_branches,
    ],
    ids=["net4", "strided", "net2", "branches"],
)
def test_receptive_fields_equal_the_gradients(model):
    model = _positive(model())
    checked = 0
    for name, row in _rows(model).items():
        if len(row.output_shape) != 3 or row.type in ("InputLayer", "Rescaling", "Activation", "BatchNormalization"):
            continue
        sides = row.output_shape[:2]
        for unit in zip(*[(0, n // 2, n - 1) for n in sides], strict=True):
            if row.type in ("ZeroPadding2D", "Cropping2D") and unit != (sides[0] // 2, sides[1] // 2):
                continue  # a padded border unit sees nothing
            expected = []
            for axis, u, pixels in zip(row.field, unit, model.input_shape[1:3], strict=True):
                first = axis.offset + u * axis.stride
                expected.append((max(first, 0), min(first + axis.size, pixels) - 1))
            assert _seen(model, name, unit) == expected, (name, unit)
            checked += 1
    assert checked >= 12


def test_global_pooling_and_dense_layers_see_the_whole_map():
    table = [{"conv": 2, "stride": 2}, {"gap": None}, {"dense": 3}]
    rows = _rows(build("layers", (9, 12, 3), table=table))
    # Five units: pixels -1..9 in steps of 2. Twelve rows pad behind only: six units see 0..12.
    assert rows["conv1"].field == (Axis(3, 2, -1), Axis(3, 2, 0))
    assert rows["gap"].field == rows["dense1"].field == rows["logits"].field == (Axis(11, 0, -1), Axis(13, 0, 0))
    flat = _rows(build("layers", (9, 12, 3), table=[{"conv": 2, "stride": 2}, {"flatten": None}]))
    assert flat["flatten"].field == (Axis(3, 2, -1), Axis(3, 2, 0))
    assert flat["logits"].field == (Axis(11, 0, -1), Axis(13, 0, 0))


def test_a_gate_from_the_whole_map_makes_every_unit_see_it():
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gated = layers.Multiply(name="gated")([x, gate])
    after = layers.Conv2D(2, 3, name="after")(gated)
    rows = _rows(keras.Model(inputs, after))
    assert rows["conv"].field.height == Axis(3, 1, 0)
    assert rows["gated"].field.height == rows["after"].field.height == Axis(8, 0, 0)


def test_an_unknown_view_is_none_from_there_on():
    inputs = keras.Input((8, 8, 4))
    x = layers.UpSampling2D(name="up")(layers.Conv2D(4, 3, name="conv")(inputs))
    rows = _rows(keras.Model(inputs, layers.Conv2D(2, 3, name="after")(x)))
    assert rows["conv"].field is not None
    assert rows["up"].field is rows["after"].field is None


def test_multiply_adds_by_hand():
    x = inputs = keras.Input((10, 12, 4))
    x = layers.Conv2D(6, (3, 5), name="conv")(x)  # 8×8
    x = layers.Conv2D(8, 3, groups=2, padding="same", name="grouped")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)  # 6×6×16
    x = layers.SeparableConv2D(5, 3, strides=2, name="separable")(x)  # 2×2
    x = layers.Dense(7, name="on_map")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Conv2DTranspose(3, 2, name="transposed")(x)
    x = layers.Dense(2, name="on_vector")(layers.Flatten()(x))
    rows = _rows(keras.Model(inputs, x))
    assert rows["conv"].multiply_adds == 8 * 8 * 6 * (3 * 5 * 4)
    assert rows["grouped"].multiply_adds == 8 * 8 * 8 * (3 * 3 * 3)
    assert rows["depthwise"].multiply_adds == 6 * 6 * 16 * 9
    assert rows["separable"].multiply_adds == 2 * 2 * 16 * 9 + 2 * 2 * 16 * 5
    assert (rows["on_map"].trainable, rows["on_map"].multiply_adds) == (5 * 7 + 7, 2 * 2 * 5 * 7)
    assert rows["on_map"].field == rows["separable"].field  # each position by itself
    assert rows["norm"].multiply_adds == 0
    assert rows["transposed"].multiply_adds is None
    assert rows["on_vector"].multiply_adds == 27 * 2


@pytest.mark.parametrize("name", sorted(set(FROM_SCRATCH) - {"layers", "imagenet10"}))
def test_totals_are_the_model_weights(name):
    model = build(name, (32, 32, 3))
    total = arithmetic.totals(arithmetic.table(model))
    assert total.trainable + total.other == model.count_params()
    assert total.other == sum(int(np.prod(w.shape)) for w in model.non_trainable_weights)


def test_frozen_layers_count_as_other():
    model = build("lenet", (32, 32, 3))
    model.get_layer("conv1").trainable = False
    row = _rows(model)["conv1"]
    assert (row.trainable, row.other) == (0, 2432)


def test_text_is_aligned_and_ends_with_the_totals():
    text = arithmetic.text(build("net4", (32, 32, 3)))
    lines = text.splitlines()
    assert lines[0] == "net4"
    assert "4,403,518" in next(line for line in lines if line.startswith("total"))
    conv4 = next(line for line in lines if line.startswith("conv4")).split()
    # 15×15 positions × 256 filters × 3×3×128 inputs; 295,168 parameters with biases
    assert conv4 == ["conv4", "Conv2D", "15×15×256", "295,168", "0", "66,355,200", "12", "2", "-4"]
    column = lines[1].index("multiply-adds") + len("multiply-adds")
    assert all(line[column : column + 1] in ("", " ") for line in lines[3 : 3 + 30])


def test_nested_and_sequential_models_are_counted_like_the_flat_one():
    flat = build("lenet", (32, 32, 3))
    expected = arithmetic.table(flat)
    inputs = keras.Input((32, 32, 3), name="photo")
    nested = arithmetic.table(keras.Model(inputs, flat(inputs)))
    assert [row.layer for row in nested] == ["photo", *(row.layer for row in expected[1:])]
    assert nested[1:] == expected[1:]
    sequential = keras.Sequential([keras.Input((32, 32, 3)), *flat.layers[1:]])
    assert arithmetic.table(sequential)[1:] == expected[1:]


def test_a_nested_model_for_any_size_is_counted_at_the_size_that_it_gets():
    inner = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3, strides=2, name="conv")])
    inputs = keras.Input((11, 7, 3))
    row = _rows(keras.Model(inputs, inner(inputs)))["conv"]
    assert row.output_shape == (5, 3, 4)
    assert row.multiply_adds == 5 * 3 * 4 * (3 * 3 * 3)


def test_a_layer_that_is_called_twice_has_its_parameters_once_and_its_multiply_adds_twice():
    inputs = keras.Input((6, 9, 3))
    conv = layers.Conv2D(3, 3, name="conv")
    rows = _rows(keras.Model(inputs, conv(conv(inputs))))
    assert (rows["conv"].trainable, rows["conv#2"].trainable) == (3 * 3 * 3 * 3 + 3, 0)
    assert (rows["conv"].multiply_adds, rows["conv#2"].multiply_adds) == (4 * 7 * 81, 2 * 5 * 81)
    assert [axis.size for axis in rows["conv#2"].field] == [5, 5]


def test_arithmetic_on_the_image_keeps_the_view():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, name="conv")(keras.ops.flip(inputs / 127.5 - 1.0, axis=-1))  # RGB to BGR
    field = _rows(keras.Model(inputs, keras.ops.relu(x) + x))["conv"].field
    assert (field.height.size, field.height.offset) == (3, 0)
    mirrored = layers.Conv2D(2, 3, name="conv")(keras.ops.flip(inputs, axis=2))
    assert _rows(keras.Model(inputs, mirrored))["conv"].field is None


def test_images_of_no_fixed_size_are_refused():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(InputError, match="fixed"):
        arithmetic.table(keras.Model(inputs, layers.Conv2D(2, 3)(inputs)))


def _weighted(model, norms=False):
    kinds = ("Conv2D", "Dense", "BatchNormalization") if norms else ("Conv2D", "Dense")
    return [(r.layer, r.trainable, r.multiply_adds) for r in arithmetic.table(model) if r.type in kinds]


@pytest.mark.parametrize(("m", "k", "l", "n"), [(1, 1, 1, 1), (4, 3, 32, 7), (3, 5, 28, 10), (6, 2, 9, 5)])
def test_closed_formulas_without_pools_equal_the_built_model(m, k, l, n):  # noqa: E741
    convolutions = [{"conv": m, "kernel": k, "padding": "valid"}, {"relu": None}] * 5
    model = build("layers", (l, l, 3), table=[*convolutions, {"flatten": None}, {"dense": n}, {"relu": None}])
    *rows, total = five_conv_counts(m, k, l, n)
    assert [tuple(row) for row in rows] == _weighted(model)
    assert tuple(total) == ("total", *arithmetic.totals(arithmetic.table(model))[::2])
    side = l - 5 * (k - 1)
    assert total.parameters == m * (3 * k**2 + 1) + 4 * m * (m * k**2 + 1) + n * (side**2 * m + 1) + 10 * (n + 1)


@pytest.mark.parametrize(
    ("m", "k", "l", "n", "norm"), [(4, 3, 128, 7, True), (32, 5, 160, 64, False), (2, 7, 224, 9, True)]
)
def test_closed_formulas_with_pools_equal_five_block(m, k, l, n, norm):  # noqa: E741
    model = build(
        "five_block",
        (l, l, 3),
        filters=m,
        kernel_size=k,
        organisation=1,
        dense=n,
        batch_norm=norm,
        padding="valid",
    )
    *rows, total = five_conv_counts(m, k, l, n, pools=True, batch_norm=norm)
    assert [tuple(row) for row in rows] == _weighted(model, norms=norm)
    assert (total.parameters, total.multiply_adds) == arithmetic.totals(arithmetic.table(model))[::2]


def test_closed_formulas_name_the_layer_that_does_not_fit():
    with pytest.raises(InputError, match="conv5: a map of 0 pixels"):
        five_conv_counts(8, 3, 10, 4)
    with pytest.raises(InputError, match="pool4: a map of 0 pixels"):
        five_conv_counts(8, 2, 26, 4, pools=True)


def test_the_record_is_the_table_as_json():
    model = build("net1", (32, 32, 3))
    found = json.loads(json.dumps(arithmetic.record(model)))
    adds = sum(row["multiply_adds"] for row in found["layers"])
    assert found["totals"] == {"trainable": 173_026, "other": 0, "multiply_adds": adds}
    conv2 = next(row for row in found["layers"] if row["layer"] == "conv2")
    assert conv2["output_shape"] == [13, 13, 36]
    assert conv2["field"]["height"] == {"size": 8, "stride": 2, "offset": 0}
