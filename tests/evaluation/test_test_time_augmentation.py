from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.errors import InputError
from keras_cnn.evaluation.test_time_augmentation import FLIP, ONE, choose_views, mean_of_views


def batch(images: np.ndarray, keys: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(images=tf.constant(images), keys=tf.constant(keys))


@pytest.fixture
def some() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    return batch(rng.integers(0, 256, (4, 8, 8, 3), np.uint8), rng.integers(-(2**31), 2**31, (4, 2), np.int32))


def test_the_first_view_is_the_image_itself_and_flip_its_mirror(some):
    np.testing.assert_array_equal(ONE.of(some, 0), some.images)
    np.testing.assert_array_equal(FLIP.of(some, 1), some.images[:, :, ::-1])
    assert (len(ONE), len(FLIP)) == (1, 2)


def test_a_view_is_that_of_the_recipe_in_an_epoch_and_of_the_image_alone(some):
    views = choose_views("3", RECIPES["standard"])
    assert len(views) == 4
    for number in (1, 2, 3):
        expected, _ = augment(some.images, tf.zeros((4, 1)), some.keys, number - 1, seed=0, recipe=RECIPES["standard"])
        np.testing.assert_array_equal(views.of(some, number), np.floor(expected.numpy() + 0.5).astype(np.uint8))
        alone = batch(some.images[2:3].numpy(), some.keys[2:3].numpy())
        np.testing.assert_array_equal(views.of(alone, number)[0], views.of(some, number)[2])
    assert np.any(views.of(some, 1) != views.of(some, 2))


def test_one_view_and_a_thousand_are_the_limits_and_views_are_said_in_words():
    found = [choose_views(text, RECIPES["light"]) for text in ("1", "1000", "flip")]
    assert [len(views) for views in found] == [2, 1001, 2]
    words = ["the image and 1 augmented view", "the image and 1,000 augmented views", "the image and its mirror image"]
    assert [views.in_words() for views in found] == words
    assert choose_views(None, RECIPES["light"]) is ONE
    assert ONE.in_words() == "one view per image"


def test_mixing_two_images_is_left_out():
    views = choose_views("2", Augmentation(flip=0.5, mixup=0.2, cutmix=1.0))
    assert views.recipe == Augmentation(flip=0.5)
    with pytest.raises(InputError, match="without augmentation"):
        choose_views("2", Augmentation(mixup=0.2, fill="reflect"))


@pytest.mark.parametrize("text", ["0", "-1", "1001", "2.5", "mirror", ""])
def test_other_numbers_and_words_are_refused(text):
    with pytest.raises(InputError, match="expected flip, or a number of views from 1 to 1000"):
        choose_views(text, RECIPES["light"])


def test_the_mean_over_views_is_of_probabilities_and_always_finite():
    logits = np.random.default_rng(1).normal(size=(5, 7, 3)) * 4
    powers = np.exp(logits)
    mean = np.mean(powers / powers.sum(axis=2, keepdims=True), axis=0)
    found = np.exp(mean_of_views(logits).astype(np.float64))
    np.testing.assert_allclose(found, mean, rtol=1e-5)
    extreme = mean_of_views(np.array([[[1000.0, 0.0]], [[1000.0, -2000.0]]]))
    assert np.isfinite(extreme).all()
