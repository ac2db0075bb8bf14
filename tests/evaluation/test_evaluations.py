"""A tiny model of fixed weights, whose logits are worked out by hand from the pixels."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation.evaluations import evaluate, write
from keras_cnn.evaluation.predictions import read_predictions
from keras_cnn.evaluation.split_evaluation import computed_in
from keras_cnn.evaluation.test_time_augmentation import FLIP

CLASSES = ("cat", "dog", "owl")
KERNEL = np.array([[1, 0, -1], [0, 2, 0], [0, 0, 1], [-1, 0, 1]], np.float32) / 100  # of four pixels, three classes


def split_of(name: str, labels, seed: int) -> Split:
    labels = np.array(labels, np.int32)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 2, 2, 1)).astype(np.uint8)
    return Split(tuple(f"{name}/{i}" for i in range(len(labels))), labels, pixels=pixels)


def logits_of(split: Split, mirrored: bool = False) -> np.ndarray:
    pixels = split.pixels[:, :, ::-1] if mirrored else split.pixels
    return pixels.reshape(-1, 4).astype(np.float64) @ KERNEL


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture
def dataset() -> Dataset:
    labels = [0, 1, 2] * 7
    splits = {name: split_of(name, labels, seed) for seed, name in enumerate(("train", "validation", "test"))}
    return Dataset("made", CLASSES, (2, 2, 1), **splits)


@pytest.fixture
def model() -> keras.Model:
    image = keras.Input((2, 2, 1))
    logits = keras.layers.Dense(3, use_bias=False, name="logits")
    built = keras.Model(image, logits(keras.layers.Flatten()(image)))
    logits.set_weights([KERNEL])
    return built


@pytest.mark.parametrize("batch_size", [4, 128])
@pytest.mark.parametrize("split", ["test", "validation", "train"])
def test_logits_are_the_models_in_the_order_of_the_split(model, dataset, split, batch_size):
    found = evaluate(model, dataset, split, batch_size=batch_size)
    images = getattr(dataset, split)
    np.testing.assert_allclose(found.logits, logits_of(images), atol=1e-5)
    np.testing.assert_allclose(found.probabilities, softmax(logits_of(images)), atol=1e-6)
    assert found.predictions.ids == images.ids
    right = logits_of(images).argmax(axis=1) == images.labels
    np.testing.assert_array_equal(found.predictions.correct, right)
    assert found.metrics["accuracy"] == right.mean()
    assert found.metrics["computed_in"] == "float32"


def test_scaling_changes_probabilities_and_losses_but_no_prediction(model, dataset):
    plain, scaled = evaluate(model, dataset), evaluate(model, dataset, scale=True)
    assert plain.temperature == scaled.temperature
    np.testing.assert_array_equal(plain.logits, scaled.logits)
    np.testing.assert_allclose(scaled.probabilities, softmax(plain.logits / plain.temperature), atol=1e-6)
    assert scaled.metrics["accuracy"] == plain.metrics["accuracy"]
    assert scaled.metrics["loss"] == pytest.approx(plain.metrics["temperature"]["after"]["loss"], abs=1e-7)
    assert plain.metrics["loss"] == pytest.approx(scaled.metrics["temperature"]["before"]["loss"], abs=1e-7)
    before, after = plain.reliabilities.values()
    assert before.error == pytest.approx(plain.metrics["ece"]["value"])
    assert after.error == pytest.approx(scaled.metrics["ece"]["value"], abs=1e-6)


def test_two_views_are_averaged(model, dataset):
    found = evaluate(model, dataset, views=FLIP)
    both = [softmax(logits_of(dataset.test, mirrored)) for mirrored in (False, True)]
    np.testing.assert_allclose(found.probabilities, np.mean(both, axis=0), atol=1e-6)


def test_pixels_are_the_images_asked_for(model, dataset):
    found = evaluate(model, dataset)
    np.testing.assert_array_equal(found.pixels([5, 2, 2]), dataset.test.pixels[[5, 2, 2]])
    assert found.pixels([]).shape == (0, 2, 2, 1)


def test_no_validation_images_mean_no_temperature(model, dataset):
    dataset = dataclasses.replace(dataset, validation=split_of("validation", [], 0))
    found = evaluate(model, dataset)
    assert found.temperature is None
    assert found.metrics["temperature"] is None
    assert list(found.reliabilities) == ["as predicted"]
    with pytest.raises(InputError, match="no validation images"):
        evaluate(model, dataset, scale=True)


def test_what_does_not_fit_is_refused(model, dataset):
    with pytest.raises(InputError, match="split 'tset': expected one of test, validation, train"):
        evaluate(model, dataset, "tset")
    with pytest.raises(InputError, match=r"made: images of \(2, 3, 1\); the model takes \(2, 2, 1\)"):
        evaluate(model, dataclasses.replace(dataset, image_shape=(2, 3, 1)))
    with pytest.raises(InputError, match="made: 2 classes; the model has 3"):
        evaluate(model, dataclasses.replace(dataset, classes=CLASSES[:2]))
    with pytest.raises(InputError, match="made: no images in the test split"):
        evaluate(model, dataclasses.replace(dataset, test=split_of("test", [], 0)))


def test_the_first_image_without_finite_logits_is_named(model, dataset):
    pixels = np.maximum(dataset.test.pixels, 1)
    pixels[[4, 9], 0, 0] = 0
    dataset = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, pixels=pixels))
    image = model.inputs[0]
    inverse = keras.layers.Flatten()(1.0 / keras.ops.cast(image, "float32"))
    broken = keras.Model(image, inverse[:, :3])
    with pytest.raises(InputError, match="not finite for 2 of 21 test images, the first 'test/4'"):
        evaluate(broken, dataset)


def test_the_policy_of_the_layers_is_told():
    image = keras.Input((4,))
    hidden = keras.layers.Dense(3, dtype="mixed_bfloat16")(image)
    assert computed_in(keras.Model(image, keras.layers.Dense(2, dtype="float32")(hidden))) == "mixed_bfloat16"


def test_what_is_written_is_read_back(model, dataset, tmp_path):
    found = evaluate(model, dataset)
    write(found, tmp_path, {"run": "a"})
    again = read_predictions(tmp_path / "predictions.csv")
    assert (again.ids, again.classes) == (dataset.test.ids, CLASSES)
    np.testing.assert_allclose(again.probabilities, found.probabilities, atol=1e-8)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), found.logits)
    np.testing.assert_array_equal(np.load(tmp_path / "softmax.npy"), found.probabilities)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"run": "a"} | found.metrics
