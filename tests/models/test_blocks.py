"""The fused batch norm against Keras's, and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.errors import InputError
from keras_cnn.models import blocks
from keras_cnn.models.blocks import BatchNormalization

STATISTICS = {"moving_mean", "moving_variance"}


def _pair(**options):
    """Our layer and Keras's with the same random weights for 5 channels."""
    pair = [BatchNormalization(**options), keras.layers.BatchNormalization(**options)]
    rng = np.random.default_rng(0)
    for layer in pair:
        layer.build((None, 4, 3, 5))
    values = [rng.uniform(0.5, 2.0, w.shape) for w in pair[0].weights]
    for layer in pair:
        layer.set_weights(values)
    return pair


def _step(layer, inputs, training):
    """Outputs, gradients of a weighted sum of them (inputs, then trainable weights), and all weights afterwards."""
    inputs = tf.cast(inputs, layer.compute_dtype)
    coefficients = tf.cast(np.random.default_rng(2).standard_normal(inputs.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * coefficients)
    gradients = tape.gradient(loss, [inputs, *(w.value for w in layer.trainable_weights)])
    return outputs, gradients, layer.get_weights()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_outputs_gradients_and_statistics_equal_keras(policy, training, trainable, affine):
    ours, theirs = _pair(dtype=policy, trainable=trainable, scale=affine, center=affine, momentum=0.7, epsilon=1e-5)
    # Six numbers a channel: the correction of the variance is 6/5 and could not hide in a tolerance.
    inputs = np.random.default_rng(1).normal(3.0, 2.0, (1, 2, 3, 5)).astype(np.float32)
    (y, gradients, weights), (y0, gradients0, weights0) = _step(ours, inputs, training), _step(theirs, inputs, training)
    # One rounding step of the type that activations and their gradients are kept in.
    tolerance = {"float32": 2e-6, "mixed_bfloat16": 2**-7, "mixed_float16": 2**-10}[policy]
    assert y.dtype == y0.dtype
    _assert_close(y, y0, tolerance)
    assert len(gradients) == len(gradients0) == 1 + 2 * (trainable and affine)
    for gradient, gradient0 in zip(gradients, gradients0, strict=True):
        assert gradient.dtype == gradient0.dtype
        _assert_close(gradient, gradient0, tolerance)
    for weight, weight0 in zip(weights, weights0, strict=True):
        np.testing.assert_allclose(weight, weight0, rtol=1e-5)


def _assert_close(a, b, tolerance):
    a, b = np.asarray(tf.cast(a, tf.float32)), np.asarray(tf.cast(b, tf.float32))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


def test_training_step_equals_numpy():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-3)
    x = np.random.default_rng(3).normal(-1.0, 3.0, (2, 2, 1, 4)).astype(np.float32)
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_one_number_a_channel_has_no_variance():
    layer = BatchNormalization(momentum=0.5)
    y = layer(np.full((1, 1, 1, 2), 7.0, np.float32), training=True)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(layer.moving_variance, 0.5)


@pytest.mark.parametrize(
    ("options", "training", "fused"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"dtype": "mixed_bfloat16"}, True, True),
        ({"dtype": "mixed_bfloat16"}, False, True),
        ({"dtype": "mixed_float16"}, False, True),
        ({"axis": 3}, True, True),
        ({"axis": 2}, True, False),
        ({"renorm": True}, True, False),
        ({"synchronized": True}, True, False),
        ({"dtype": "float64"}, True, False),
    ],
)
def test_the_fused_op_runs_where_it_is_faster(options, training, fused):
    layer = BatchNormalization(**options)
    layer.build((None, 4, 4, 3))
    traced = tf.function(lambda x: layer(x, training=training)).get_concrete_function(
        tf.TensorSpec((None, 4, 4, 3), layer.compute_dtype)
    )
    assert any(op.type == "FusedBatchNormV3" for op in traced.graph.get_operations()) == fused


class Replica:
    """Stands in for the context of one of several devices: `others` are the sums of the others."""

    def __init__(self, others=0.0):
        self.others, self.own = others, None

    def all_reduce(self, kind, values):
        assert kind == "SUM"
        self.own = values
        return values + self.others


@pytest.mark.parametrize("affine", [True, False])
def test_each_of_two_devices_norms_its_share_by_the_whole_batch(affine, monkeypatch):
    x = np.random.default_rng(6).normal(3.0, 2.0, (7, 2, 3, 5)).astype(np.float32)
    ours, theirs = _pair(scale=affine, center=affine, momentum=0.7, epsilon=1e-3)
    expected, before = theirs(x, training=True), ours.get_weights()

    def answer(rows, others=0.0):
        ours.set_weights(before)
        context = Replica(others)
        monkeypatch.setattr(blocks, "_replica_context", lambda: context)
        return np.asarray(ours(rows, training=True)), context.own

    parts = (x[:3], x[3:])
    sums = [answer(rows)[1] for rows in parts]
    for rows, others, own in zip(parts, sums[::-1], np.split(np.asarray(expected), [3]), strict=True):
        np.testing.assert_allclose(answer(rows, others)[0], own, rtol=1e-4, atol=1e-5)
        for weight, weight0 in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(weight, weight0, rtol=1e-5)


@pytest.mark.parametrize(("options", "axis"), [({"axis": 1}, 1), ({"renorm": True}, -1)])
def test_several_devices_have_no_norm_over_another_axis(options, axis, monkeypatch):
    monkeypatch.setattr(blocks, "_replica_context", Replica)
    layer = BatchNormalization(name="bn1", **options)
    with pytest.raises(InputError, match=f"bn1: batch norm over axis {axis} on several devices; expected the last"):
        layer(np.ones((2, 3, 3, 4), np.float32), training=True)
    assert BatchNormalization(axis=3)(np.ones((2, 3, 3, 4), np.float32), training=True).shape == (2, 3, 3, 4)


@pytest.mark.parametrize(
    ("options", "shape", "masked"),
    [
        ({}, (6, 4), False),
        ({}, (6, 3, 4), False),
        ({}, (2, 3, 2, 2, 4), False),
        ({"axis": 1}, (3, 2, 3, 4), False),
        ({"renorm": True}, (3, 2, 2, 4), False),
        ({"synchronized": True}, (3, 2, 2, 4), False),
        ({"dtype": "float64"}, (3, 2, 2, 4), False),
        ({}, (3, 2, 2, 4), True),
    ],
)
def test_everything_else_is_keras_to_the_bit(options, shape, masked):
    x = np.random.default_rng(4).normal(2.0, 3.0, shape)
    mask = np.random.default_rng(5).uniform(size=shape[:-1]) < 0.6 if masked else None
    ours, theirs = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    np.testing.assert_array_equal(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask))
    for weight, weight0 in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, weight0)


def test_weights_and_configuration_are_those_of_keras():
    ours, theirs = _pair(name="bn1", momentum=0.3)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert ours.get_config() == theirs.get_config()
    assert type(keras.layers.deserialize(keras.layers.serialize(ours))) is keras.layers.BatchNormalization


def test_cloning_keeps_the_fast_layer():
    inputs = keras.Input((4, 4, 3))
    clone = keras.models.clone_model(keras.Model(inputs, BatchNormalization(name="bn1")(inputs)))
    assert type(clone.get_layer("bn1")) is BatchNormalization
