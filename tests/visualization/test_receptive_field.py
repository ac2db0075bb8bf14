"""Receptive fields: published numbers, boxes by hand, and the gradient as a judge that can say no."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn import models
from keras_cnn.errors import InputError
from keras_cnn.models import backbones
from keras_cnn.models.arithmetic import Axis, ReceptiveField
from keras_cnn.visualization import receptive_field
from keras_cnn.visualization.receptive_field import Box, box, measured_field, patch, receptive_fields


def sizes(model):
    return [receptive_fields(model)[name.name].width.size for name in model.layers if isinstance(name, layers.Conv2D)]


def test_net4_and_alexnet_as_published():
    assert sizes(models.build("net4", (32, 32, 3), l1_oc=2))[:5] == [3, 5, 7, 12, 16]
    assert sizes(backbones.backbone("alexnet", (224, 224, 3), weights="none")) == [11, 51, 99, 131, 163]


@pytest.mark.parametrize("layer", ["conv1", "conv4", "conv5", "pool2"])
@pytest.mark.parametrize("unit", [None, (0, 0), (5, 2)])
def test_the_gradient_reaches_just_the_box_in_net4(net4, layer, unit):
    found = measured_field(net4, layer, unit)
    assert found.contained
    assert found.exact
    assert found.strength.shape == (32, 32)
    inside = np.zeros((32, 32), bool)
    inside[found.box.top : found.box.bottom, found.box.left : found.box.right] = True
    assert (found.strength[~inside] == 0).all()


@pytest.fixture(scope="module")
def net4():
    keras.utils.set_random_seed(1)
    return models.build("net4", (32, 32, 3), l1_oc=4)


def test_the_middle_unit_of_net4s_fifth_convolution_by_hand(net4):
    """Size 16, stride 2, offset -6 on a 15×15 map: unit 7 sees the pixels from 8 to 23."""
    found = measured_field(net4, "conv5")
    assert found.unit == (7, 7)
    assert found.box == Box(8, 24, 8, 24)


def test_branches_strides_and_dilation():
    inputs = keras.Input((20, 16, 1))
    left = layers.Conv2D(3, 3, dilation_rate=2, padding="same")(inputs)  # 5 pixels, two on each side
    right = layers.Conv2D(3, (1, 7), padding="same")(inputs)
    x = layers.Concatenate(name="joined")([left, right])
    x = layers.AveragePooling2D(2, name="pooled")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 3, strides=2, name="last")(x))
    assert box(receptive_fields(model)["joined"], (6, 6)) == Box(4, 9, 3, 10)
    # A unit of `last` sees three pooled units of two pixels, and two (rows) or three (columns) more on each side.
    found = measured_field(model, "last", (1, 1))
    assert found.box == Box(4 - 2, 10 + 2, 4 - 3, 10 + 3)
    assert found.exact


@pytest.mark.parametrize("kind", ["flat", "sequential", "nested"])
def test_images_and_windows_that_are_not_square(kind):
    """Even kernels are padded by one more zero below and on the right."""
    stack = [
        layers.Conv2D(2, (4, 1), padding="same", name="tall"),
        layers.MaxPooling2D((1, 2), name="pool"),
        layers.Conv2D(2, (1, 2), strides=(2, 1), padding="same", name="wide"),
    ]
    model = keras.Sequential([keras.Input((11, 14, 1)), *stack])
    if kind != "sequential":
        x = image = keras.Input((11, 14, 1))
        for layer in stack:
            x = layer(x)
        model = keras.Model(image, x)
    if kind == "nested":
        outer = keras.Input((11, 14, 1))
        model = keras.Model(outer, model(outer))
    field = receptive_fields(model)["wide"]
    assert field == ReceptiveField(Axis(4, 2, -1), Axis(4, 2, 0))
    for unit, seen in (((2, 3), Box(3, 7, 6, 10)), ((5, 6), Box(9, 11, 12, 14))):  # the second ends on padding
        found = measured_field(model, "wide", unit)
        assert found.box == seen
        assert found.exact


def test_the_gradient_finds_a_claim_that_is_too_small_or_too_large(net4, monkeypatch):
    true = receptive_field.receptive_field_of(net4, "conv4")
    for size, offset, contained in ((10, -3, False), (14, -5, True)):
        wrong = ReceptiveField(Axis(size, 2, offset), true.width)
        monkeypatch.setattr(receptive_field, "receptive_field_of", lambda *_, wrong=wrong: wrong)
        found = measured_field(net4, "conv4")
        assert found.contained is contained
        assert not found.exact


def test_patches_have_their_true_coordinates_and_no_pixels_beyond_the_border():
    image = np.arange(54, dtype=np.uint8).reshape(6, 9, 1)
    field = ReceptiveField(Axis(3, 2, -1), Axis(3, 2, -1))
    np.testing.assert_array_equal(patch(image, field, (1, 2))[..., 0], image[1:4, 3:6, 0])
    np.testing.assert_array_equal(patch(image, field, (0, 0))[..., 0], [[0, 1], [9, 10]])
    np.testing.assert_array_equal(patch(image, field, (1, 4))[..., 0], image[1:4, 7:9, 0])
    assert box(field, (0, 0)) == Box(-1, 2, -1, 2)
    assert box(field, (0, 0)).inside(6, 6) == Box(0, 2, 0, 2)
    assert not patch(image, ReceptiveField(Axis(2, 1, 8), Axis(2, 1, 0)), (0, 0)).size


def test_bad_input_is_told_in_one_line(net4):
    with pytest.raises(InputError, match="no layer 'conv11'; did you mean conv1"):
        measured_field(net4, "conv11")
    with pytest.raises(InputError, match=r"unit \(15, 0\), expected 0 to 14"):
        measured_field(net4, "conv5", (15, 0))
    with pytest.raises(InputError, match="dense1: an output of shape"):
        measured_field(net4, "dense1")
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.UpSampling2D(name="up")(inputs))
    with pytest.raises(InputError, match="up: a receptive field that is not known"):
        measured_field(model, "up")


def test_units_at_the_ends_of_a_map_and_one_step_beyond():
    inputs = keras.Input((6, 9, 1))
    model = keras.Model(inputs, layers.Conv2D(1, 3, name="conv")(inputs), name="m")
    assert measured_field(model, "conv").unit == (2, 3)  # of 4×7
    assert measured_field(model, "conv", (3, 6)).box == Box(3, 6, 6, 9)
    for wrong in ((4, 0), (0, 7), (-1, 0)):
        words = rf"m: conv: unit \({wrong[0]}, {wrong[1]}\), expected 0 to 3 and 0 to 6"
        with pytest.raises(InputError, match=words):
            measured_field(model, "conv", wrong)
    assert Box(-2, 3, 5, 9).inside(2, 7) == Box(0, 2, 5, 7)
    field = measured_field(model, "conv", (0, 0))
    for reached, contained in (
        *((Box(0, 3, 0, 3), True), (Box(1, 2, 1, 2), True), (None, True)),
        *((Box(0, 4, 0, 3), False), (Box(0, 3, 0, 4), False), (Box(-1, 3, 0, 3), False), (Box(0, 3, -1, 3), False)),
    ):
        assert replace(field, reached=reached).contained is contained
