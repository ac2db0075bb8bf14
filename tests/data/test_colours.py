"""Colour operations against torchvision, and the two ways of computing them against each other."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.data import colours
from keras_cnn.data.policies import OPERATIONS, magnitudes
from tests.data.test_policies import SIZE, apply_op, smooth_images
from tests.torchvision_transforms import transforms

COLOURS = OPERATIONS[6:]


def recoloured(images, operation, strength):
    return colours.recoloured(tf.constant(images), tf.constant(operation), tf.constant(strength, tf.float32)).numpy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", COLOURS)
def test_an_operation_gives_torchvisions_picture(name, channels):
    """torchvision truncates, so that its rounding error of float32 may cost a level where a result is whole, such as
    where a pixel is like its neighbours: up to 5 % of the values after Sharpness, else 2 % at most."""
    transforms()
    code, noise = OPERATIONS.index(name), np.random.default_rng(1).integers(0, 256, (4, *SIZE, channels), np.uint8)
    for policy in ("trivialaugment", "randaugment"):
        images = np.concatenate([smooth_images(4, channels=channels), noise])
        strength = magnitudes(policy, SIZE)[code, [2, 13, 23, 30, 0, 7, 19, 28]]
        strength = strength * ([1, -1] * 4 if code < 10 else 1)
        ours = recoloured(images, np.full(8, code, np.int32), strength).astype(int)
        theirs = np.stack([apply_op(image, name, each) for image, each in zip(images, strength, strict=True)])
        assert np.abs(ours - theirs).max() <= 1
        assert (ours != theirs).mean() < (0.05 if name == "Sharpness" else 0.02)
        assert ((ours != images).mean() > 0.1) == ((name, channels) != ("Color", 1))  # grey has no colour


def test_flat_images_stay_as_they_are():
    """No operation divides by the range or the count of other levels when there are none."""
    flat = np.full((5, *SIZE, 3), 77, np.uint8)
    codes = [OPERATIONS.index(name) for name in ("AutoContrast", "Equalize", "Sharpness", "Identity", "Rotate")]
    out = recoloured(flat, np.array(codes, np.int32), np.array([0, 0, 0.9, 0, 90]))
    np.testing.assert_array_equal(out, flat)


def test_each_image_of_a_batch_has_its_own_operation_however_it_is_computed(monkeypatch):
    """In a loop over images as on CPUs, all at once as on GPUs, and without XLA."""
    images = smooth_images(28)
    operation = np.tile(np.arange(14, dtype=np.int32), 2)
    strength = magnitudes("trivialaugment", SIZE)[operation, np.repeat([12, 27], 14)]
    looped = recoloured(images, operation, strength)
    alone = np.concatenate([recoloured(images[[i]], operation[[i]], strength[[i]]) for i in range(14)])
    np.testing.assert_array_equal(looped[:14], alone)
    monkeypatch.setattr("keras_cnn.data.colours.on_gpu", lambda: True)
    np.testing.assert_array_equal(recoloured(images, operation, strength), looped)
    monkeypatch.setattr("keras_cnn.data.xla.xla_problem", lambda: "libdevice not found")
    np.testing.assert_array_equal(recoloured(images, operation, strength), looped)
