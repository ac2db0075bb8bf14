"""Random erasing against torchvision's distribution, and what it leaves."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_cnn.data.augment import Augmentation, augment
from keras_cnn.data.columns import text_keys
from keras_cnn.data.erasing import erased_windows
from tests.torchvision_transforms import transforms

KEYS = text_keys(map(str, range(20_000)))


def windows(probability=1.0, size=(32, 48), epoch=0, keys=KEYS):
    stream = (tf.constant(epoch, tf.int64), tf.constant(7, tf.int64))
    return erased_windows(tf.constant(keys), stream, probability, size).numpy()


def test_windows_are_distributed_as_torchvisions():
    draw = transforms().RandomErasing.get_params
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = np.array([draw(torch.empty(3, 32, 48), (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(4000)])
    ours = windows()
    assert (ours[:, 2:] > 0).all()
    assert (ours[:, 0] + ours[:, 2] <= 32).all()
    assert (ours[:, 1] + ours[:, 3] <= 48).all()
    for place in range(4):
        assert stats.ks_2samp(ours[:, place], theirs[:, place]).pvalue > 0.001
    share = ours[:, 2] * ours[:, 3] / (32 * 48)
    assert (share.min(), share.max()) == pytest.approx((0.02, 0.33), abs=0.02)  # of whole sides


def test_a_window_is_a_function_of_seed_epoch_and_image_and_as_frequent_as_asked():
    base = windows(0.25)
    assert (base[:, 2] > 0).mean() == pytest.approx(0.25, abs=0.015)
    np.testing.assert_array_equal(windows(0.25, keys=KEYS[::-1])[::-1], base)
    assert (windows(epoch=1) != windows()).any(axis=1).mean() > 0.99


def test_a_rectangle_gets_the_mean_colour_and_the_rest_stays():
    images, keys = np.random.default_rng(0).integers(0, 256, (16, 20, 24, 3), np.uint8), KEYS[:16]
    batch = (tf.constant(images), tf.ones((16, 1)), tf.constant(keys))
    out = augment(*batch, 0, seed=7, recipe=Augmentation(erase=0.6))[0].numpy()
    drawn = windows(0.6, (20, 24), keys=keys).astype(int)
    assert 4 < (drawn[:, 2] > 0).sum() < 16
    for before, after, (top, left, rows, columns) in zip(images, out, drawn, strict=True):
        expected = before.astype(np.float32)
        expected[top : top + rows, left : left + columns] = before.mean(axis=(0, 1))
        np.testing.assert_allclose(after, expected, atol=1e-3)
