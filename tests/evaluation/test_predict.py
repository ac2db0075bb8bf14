"""The Predictor against Keras's own inference of the same model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn import models
from keras_cnn.evaluation.predict import Predictor

SHAPE = (12, 10, 3)
ROUNDING = {"float32": 2e-5, "mixed_bfloat16": 3e-2, "mixed_float16": 4e-3}  # relative to the largest logit


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, *SHAPE), np.uint8)


def trained(model: keras.Model, seed: int = 1) -> keras.Model:
    """With weights as after training: batch norm at its initial ones would do next to nothing."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        values = rng.uniform(0.4, 1.6, variable.shape)
        if variable.path.endswith("moving_variance"):
            variable.assign(values)
        elif variable.path.endswith(("gamma", "beta", "moving_mean", "bias")):
            variable.assign(values * rng.choice([-1, 1], variable.shape))
    return model


def functional(middle, policy: str = "float32") -> keras.Model:
    """A classifier around `middle`, which takes a map and gives one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input(SHAPE)
        outputs = layers.GlobalAveragePooling2D()(middle(layers.Rescaling(1 / 255, dtype="float32")(inputs)))
        return trained(keras.Model(inputs, layers.Dense(5, dtype="float32")(outputs)))
    finally:
        keras.config.set_dtype_policy(before)


def operations(predictor: Predictor) -> list[str]:
    graph = predictor._forward.whole.get_concrete_function().graph
    return [operation.type for operation in graph.get_operations()]


def assert_close(found: np.ndarray, expected: np.ndarray, policy: str = "float32") -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=ROUNDING[policy] * np.abs(expected).max())


def chain(*steps):
    def middle(maps):
        for step in steps:
            maps = step()(maps)
        return maps

    return middle


CASES = {  # what is between input and pooling, and how many batch norms are left to compute
    "conv bn": (chain(lambda: layers.Conv2D(4, 3), layers.BatchNormalization, layers.ReLU), 0),
    "no bias": (chain(lambda: layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization), 0),
    "strided, dilated, grouped": (
        chain(
            lambda: layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.BatchNormalization,
            lambda: layers.Conv2D(6, 2, dilation_rate=2, groups=2),
            lambda: layers.BatchNormalization(scale=False),
            lambda: layers.Conv2D(6, 1),
            lambda: layers.BatchNormalization(center=False, epsilon=0.1),
        ),
        0,
    ),
    "bn behind a ReLU": (chain(lambda: layers.Conv2D(4, 3), layers.ReLU, layers.BatchNormalization), 1),
    "activation in the conv": (chain(lambda: layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization), 1),
    "depthwise": (chain(lambda: layers.DepthwiseConv2D(3), layers.BatchNormalization), 1),
}


@pytest.mark.parametrize("policy", ROUNDING)
@pytest.mark.parametrize("name", CASES)
def test_logits_are_keras_own_to_rounding(images, name, policy):
    middle, left = CASES[name]
    model = functional(middle, policy)
    before = [np.array(w) for w in model.get_weights()]
    predictor = Predictor(model)
    assert_close(predictor.logits([(images[:4],), (images[4:],)]), model(images, training=False).numpy(), policy)
    if policy != "float32":  # there it is Keras's own, of many small operations
        assert operations(predictor).count("FusedBatchNormV3") == left
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_convolution_that_something_else_reads_is_left_alone(images):
    def residual(maps):
        convolved = layers.Conv2D(3, 3, padding="same")(maps)
        return layers.Add()([layers.BatchNormalization()(convolved), convolved])

    model = functional(residual)
    assert_close(Predictor(model).logits([(images,)]), model(images, training=False).numpy())


def test_a_layer_called_twice_is_left_alone(images):
    def twice(maps):
        convolution, norm = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
        return norm(convolution(norm(convolution(maps))))

    model = functional(twice)
    assert_close(Predictor(model).logits([(images,)]), model(images, training=False).numpy())


def test_new_weights_are_seen_without_compiling_again(images):
    model = functional(CASES["conv bn"][0])
    predictor = Predictor(model)
    first = predictor.logits([(images,)])
    trained(model, seed=2)
    second = predictor.logits([(images,)])
    assert np.abs(first - second).max() > 0.1
    assert_close(second, model(images, training=False).numpy())
    assert predictor._forward.whole.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_network_of_ours_predicts_like_plain_keras(tmp_path, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = trained(models.build("net4", (32, 32, 3), 10))
    finally:
        keras.config.set_dtype_policy(before)
    model.save(tmp_path / "model.keras")
    plain = keras.models.load_model(tmp_path / "model.keras", compile=False)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    expected = plain(images, training=False).numpy()
    predictor = Predictor(plain)
    assert_close(predictor.logits([(images,)]), expected, policy)
    assert operations(predictor).count("FusedBatchNormV3") == (policy != "float32")  # of six: the one behind a ReLU


def test_a_model_that_is_no_plain_graph_and_no_images_at_all(images):
    sequential = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(5)])
    found = Predictor(sequential).logits([(images,)])
    assert_close(found, sequential(tf.cast(images, tf.float32), training=False).numpy())
    empty = Predictor(sequential).logits([])
    assert (empty.shape, empty.dtype) == ((0, 5), np.float32)


def test_a_model_whose_one_output_stands_in_a_list(images):
    """As Keras writes what Keras 2 has saved."""
    plain = functional(layers.Conv2D(4, 3))
    model = keras.Model(plain.inputs, [plain.outputs[0]])
    found = Predictor(model).logits([(images,), (images[:1],)])
    assert found.shape == (8, 5)
    assert_close(found[:7], plain(images, training=False).numpy())
