"""Tensors as an evaluation computes them against the probe's own, in float32 and in 16 bits, flat and nested."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization.probe import Probe, taps
from keras_cnn.visualization.streaming import compiled, labelled, reader

POINTS = ["conv1", "bn1", "relu1", "conv2:linear", "conv2", "twice", "twice#2", "gap", "logits"]
ROUNDING = {"float32": 1e-5, "mixed_bfloat16": 4e-2}  # of the largest value


def network(policy: str = "float32") -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(1)
    inputs = keras.Input((10, 9, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(inputs)
    x = layers.BatchNormalization(name="bn1")(layers.Conv2D(4, 3, name="conv1")(x))
    x = layers.ReLU(name="relu1")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv2")(x)
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    x = layers.GlobalAveragePooling2D(name="gap")(twice(twice(x)))
    model = keras.Model(inputs, layers.Dense(2, dtype="float32", name="logits")(x))
    keras.config.set_dtype_policy(before)
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "beta", "moving_mean", "moving_variance", "bias")):
            variable.assign(rng.uniform(0.2, 1.2, variable.shape))
    return model


@pytest.mark.parametrize("policy", ROUNDING)
@pytest.mark.parametrize("points", [POINTS, ["twice#2"], ["bn1"], ["conv1"]])
def test_equals_the_probe(points, policy):
    model = network(policy)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 10, 9, 3)).astype(np.uint8)
    probe = Probe(model)
    expected = taps(probe, points)(pixels)
    found = compiled(probe, reader(probe, points))(pixels)
    assert len(found) == len(points)
    for point, values in zip(points, found, strict=True):
        values = values.numpy().astype(np.float32)
        np.testing.assert_allclose(values, expected[point], atol=ROUNDING[policy] * np.abs(expected[point]).max())


def test_batch_norm_stays_folded_where_nobody_reads_between():
    probe = Probe(network("mixed_bfloat16"))
    for points, normalisations in ((["bn1"], 0), (["conv1", "bn1"], 1)):
        graph = compiled(probe, reader(probe, points)).get_concrete_function().graph
        assert [o.type for o in graph.get_operations()].count("FusedBatchNormV3") == normalisations


def test_nested_models_are_read_like_flat_ones():
    flat = network()
    image = keras.Input((10, 9, 3))
    probe = Probe(keras.Model(image, flat(image)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 9, 3)).astype(np.uint8)
    points = ["bn1", "conv2:linear", "twice#2", "logits"]
    for values, expected in zip(
        compiled(probe, reader(probe, points))(pixels),
        compiled(Probe(flat), reader(Probe(flat), points))(pixels),
        strict=True,
    ):
        np.testing.assert_array_equal(values, expected)


def test_batches_with_at_least_one_image_are_passed_on_with_their_labels():
    images = np.zeros((1, 2, 2, 3), np.uint8)
    ((found, labels),) = labelled("here", [(images, [2], "more")])
    assert found is images
    assert (labels.tolist(), labels.dtype) == ([2], np.int64)
    for none in ([], [(images[:0], [])]):
        with pytest.raises(InputError, match="here: no images, expected at least one"):
            list(labelled("here", none))
