"""Several measures in one pass against each one alone, and on parts of the images against those images alone."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization.filters import Responding
from keras_cnn.visualization.passes import one_pass
from keras_cnn.visualization.statistics import Features, NotPositive


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((9, 8, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(5, 3, name="conv")(x))
    x = layers.Conv2D(4, 3, name="conv2")(layers.ReLU(name="relu")(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x)))


PIXELS = np.random.default_rng(0).integers(0, 256, (23, 9, 8, 3)).astype(np.uint8)
LABELS = np.arange(23) % 3


class Batches:
    """Counts how often it is read."""

    def __init__(self, chosen=slice(None), size=5):
        self.pixels, self.labels, self.size, self.times = PIXELS[chosen], LABELS[chosen], size, 0

    def __iter__(self):
        self.times += 1
        for i in range(0, len(self.pixels), self.size):
            yield self.pixels[i : i + self.size], self.labels[i : i + self.size]


def equal_responses(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a.layer, a.images) == (b.layer, b.images)
        for name in ("top", "labels", "units"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        for name in ("responses", "peaks", "mean", "largest"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-5, atol=1e-5)


def test_each_finds_what_it_finds_alone_and_the_images_are_read_once(model):
    batches = Batches()
    measures = [Responding(model, top=4), NotPositive(model, ["relu", "conv2"]), Features("gap"), Features("logits")]
    responses, shares, pooled, scores = one_pass(model, batches, measures)
    assert batches.times == 1
    equal_responses(responses, one_pass(model, Batches(), [Responding(model, top=4)])[0])
    (alone,) = one_pass(model, Batches(), [NotPositive(model, ["relu", "conv2"])])
    for a, b in zip(shares, alone, strict=True):
        np.testing.assert_allclose(a.shares, b.shares, atol=1e-6)
    np.testing.assert_allclose(pooled, one_pass(model, Batches(), [Features("gap")])[0], atol=1e-5)
    np.testing.assert_allclose(scores, model.predict(PIXELS.astype("float32"), verbose=0), atol=1e-4)


def test_each_gets_its_own_part_of_the_images(model):
    """No image of the second batch is in one part, and only images of the last one in the other."""
    some, last = np.array([0, 3, 4, 10, 22]), np.array([21, 22])
    measures = [Features("gap"), Responding(model, top=2), NotPositive(model, ["relu"]), Features("relu", "flattened")]
    whole, responses, shares, flat = one_pass(model, Batches(), measures, [None, some, last, some])
    assert whole.shape == (23, 4)
    (alone,) = one_pass(model, Batches(some), [Features("relu", "flattened")])
    np.testing.assert_allclose(flat, alone, atol=1e-5)
    equal_responses(responses, one_pass(model, Batches(some), [Responding(model, top=2)])[0])
    (alone,) = one_pass(model, Batches(last), [NotPositive(model, ["relu"])])
    np.testing.assert_allclose(shares[0].shares, alone[0].shares, atol=1e-6)


def test_batches_without_labels_have_none(model):
    (responses,) = one_pass(model, [(PIXELS,)], [Responding(model, ["conv"], top=1)])
    assert (responses[0].labels == -1).all()


def test_bad_input_is_told_in_one_line(model):
    with pytest.raises(InputError, match="no images, expected at least one"):
        one_pass(model, Batches(), [Features("gap"), Features("relu")], [None, np.array([30])])
    with pytest.raises(InputError, match="no layer 'gapp'; did you mean gap"):
        one_pass(model, Batches(), [Features("gap"), Features("gapp")])
