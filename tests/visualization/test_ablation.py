"""Filters at zero: what that means, that nothing stays changed, and the comparison against clones changed by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn import models
from keras_cnn.errors import InputError
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.visualization.ablation import Ablation, ablate, first_filters, left_behind, zeroed

SHAPE, CLASSES = (16, 16, 3), ("ant", "bee", "cow")


def network(ending: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(5)
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="bn1")(layers.Conv2D(6, 3, name="conv1")(x)))
    x = layers.ReLU()(
        layers.BatchNormalization(name="bn2")(layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(x))
    )
    x = layers.ReLU()(layers.SeparableConv2D(5, 3, name="separable")(x))
    x = layers.Dense(3, activation=ending, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "beta", "moving_mean", "moving_variance", "bias")):
            variable.assign(rng.uniform(0.2, 1.2, variable.shape))
    return model


def images(count=40) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8), rng.integers(0, 3, count)
    return [(pixels[i : i + 16], labels[i : i + 16]) for i in range(0, count, 16)]


def weights(model):
    return [np.array(v) for v in model.variables]


def assert_same(before, model):
    for found, expected in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def outputs(model, layer):
    return keras.Model(model.inputs[0], model.get_layer(layer).output)(images()[0][0], training=False).numpy()


CHOSEN = {"conv1": (0, 4), "deep": (3, 7, 8), "separable": (1,)}


@pytest.mark.parametrize("silent", [False, True])
def test_inside_the_convolutions_put_out_zero_and_after_it_nothing_is_changed(silent):
    model = network()
    before, maps = weights(model), {name: outputs(model, name) for name in CHOSEN}
    with zeroed(model, CHOSEN, silent=silent):
        for name, chosen in CHOSEN.items():
            found = outputs(model, name)
            assert (found[..., list(chosen)] == 0).all()
            assert maps[name][..., list(chosen)].any(axis=(0, 1, 2)).all()
        others = [f for f in range(6) if f not in CHOSEN["conv1"]]
        np.testing.assert_array_equal(outputs(model, "conv1")[..., others], maps["conv1"][..., others])
        behind = outputs(model, "bn1")[..., list(CHOSEN["conv1"])]
        if silent:
            assert (behind == 0).all()
        else:
            expected = np.broadcast_to(left_behind(model, CHOSEN)["conv1"], behind.shape)
            np.testing.assert_allclose(behind, expected, rtol=1e-4, atol=1e-6)
            assert (np.abs(expected) > 0.01).all()
    assert_same(before, model)
    assert left_behind(model, CHOSEN)["separable"] == (0.0,)  # no batch norm behind it


def test_the_convention_of_cs7015_by_hand():
    """One channel: beta 0.5, gamma 2, mean 3, variance 4, epsilon 0 make of 0 the constant 0.5 - 2 · 3 / 2 = -2.5."""
    inputs = keras.Input((4, 4, 1))
    x = layers.BatchNormalization(epsilon=0, name="bn")(layers.Conv2D(1, 1, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    model.get_layer("bn").set_weights([np.array([v]) for v in (2.0, 0.5, 3.0, 4.0)])
    assert left_behind(model, {"conv": (0,)}) == {"conv": (-2.5,)}


def test_nothing_is_changed_after_an_error():
    model = network()
    before = weights(model)
    with pytest.raises(RuntimeError, match="inside"), zeroed(model, CHOSEN, silent=True):
        raise RuntimeError("inside")
    assert_same(before, model)
    readings = []

    class Failing:
        def __iter__(self):
            readings.append(1)
            if len(readings) == 2:  # the first reading with filters at zero
                raise RuntimeError("the disk went away")
            return iter(images())

    with pytest.raises(RuntimeError, match="went away"):
        ablate(model, Failing(), CLASSES, CHOSEN)
    assert_same(before, model)


@pytest.mark.parametrize("ending", [None, "softmax"])
def test_equals_a_clone_that_was_changed_by_hand(ending):
    model = network(ending)
    model.get_layer("logits").kernel.assign(model.get_layer("logits").kernel * 5)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    kernel, bias = clone.get_layer("conv1").get_weights()
    kernel[..., [0, 4]], bias[[0, 4]] = 0, 0
    clone.get_layer("conv1").set_weights([kernel, bias])
    pixels = np.concatenate([p for p, _ in images()])
    labels = np.concatenate([y for _, y in images()])
    was, now = (m(pixels, training=False).numpy().argmax(axis=1) for m in (model, clone))
    found = ablate(model, images(), CLASSES, {"conv1": [4, 0, 4]}, controls=2)
    assert found.filters == {"conv1": (0, 4)}
    assert found.comparison.overall.before == np.mean(was == labels)
    assert found.comparison.overall.after == np.mean(now == labels)
    np.testing.assert_array_equal(found.predicted, now)
    np.testing.assert_array_equal(found.comparison.newly_wrong, np.flatnonzero((was == labels) & (now != labels)))
    expected = [[np.sum((labels == i) & (now == j)) for j in range(3)] for i in range(3)]
    assert found.comparison.confusion_after.tolist() == expected


def test_controls_are_as_many_filters_of_the_same_layers_and_depend_on_the_seed_alone():
    model = network()
    before = weights(model)
    found, again = (ablate(model, images(), CLASSES, CHOSEN, controls=4, seed=9) for _ in range(2))
    assert [c.filters for c in found.controls] == [c.filters for c in again.controls]
    for control in found.controls:
        assert {name: len(chosen) for name, chosen in control.filters.items()} == {
            "conv1": 2,
            "deep": 3,
            "separable": 1,
        }
        assert all(len(set(chosen)) == len(chosen) for chosen in control.filters.values())
    assert len({tuple(c.filters.items()) for c in found.controls}) > 1
    worse = sum(c.comparison.overall.difference <= found.comparison.overall.difference for c in found.controls)
    assert found.rank_p == (1 + worse) / 5
    assert ablate(model, images(), CLASSES, CHOSEN, controls=0).rank_p is None
    told = found.as_json()
    assert told["filters"] == {"conv1": [0, 4], "deep": [3, 7, 8], "separable": [1]}
    assert [set(c) >= {"filters", "before", "after", "difference_interval", "mcnemar"} for c in told["controls"]] == [
        True
    ] * 4
    assert_same(before, model)


def test_the_default_is_the_first_two_filters_of_the_first_five_convolutions():
    model = models.build("net4", (32, 32, 3), l1_oc=4)
    assert first_filters(model) == {f"conv{i}": (0, 1) for i in range(1, 6)}
    assert first_filters(network()) == {"conv1": (0, 1), "deep": (0, 1), "separable": (0, 1)}


def test_bad_input_is_told_in_one_line():
    model = network()
    with pytest.raises(InputError, match="no layer 'conv9'; did you mean conv1"):
        ablate(model, images(), CLASSES, {"conv9": (0,)})
    with pytest.raises(InputError, match="conv1: filter 6, expected 0 to 5"):
        ablate(model, images(), CLASSES, {"conv1": (6,)})
    with pytest.raises(InputError, match="3 classes, expected 2"):
        ablate(model, images(), CLASSES[:2], CHOSEN)
    with pytest.raises(InputError, match="no images"):
        ablate(model, [], CLASSES, CHOSEN)
    with pytest.raises(InputError, match="no filters chosen"):
        ablate(model, images(), CLASSES, {"conv1": ()})


def test_scores_of_another_pass_serve_only_if_they_are_the_predictions_to_the_bit():
    model, batches = network(), images()
    alone = ablate(model, batches, CLASSES, CHOSEN, controls=0)
    scores = Predictor(model).logits(images())
    predicted = []
    logits = Predictor.logits

    def counted(self, batches):
        found = logits(self, batches)
        predicted.append(len(found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "logits", counted)
        shared = ablate(model, batches, CLASSES, CHOSEN, controls=0, scores=scores)
        assert predicted == [16, 40]  # a batch to see that they are equal, and the images with filters at zero
        other = ablate(model, batches, CLASSES, CHOSEN, controls=0, scores=np.nextafter(scores, np.float32(9)))
        assert predicted[2:] == [16, 40, 40]
    assert alone.as_json() == shared.as_json() == other.as_json()
    with pytest.raises(InputError, match="ablation: scores: of 39 images, expected of 40"):
        ablate(model, batches, CLASSES, CHOSEN, controls=0, scores=scores[:39])


def test_the_p_value_counts_ties_as_bad():
    def with_drop(value):
        return SimpleNamespace(comparison=SimpleNamespace(overall=SimpleNamespace(difference=value)))

    drops = [-0.25, -0.125, -0.5, None, 0.0]
    found = Ablation({}, False, {}, with_drop(-0.25).comparison, np.zeros(0), tuple(map(with_drop, drops)))
    assert found.rank_p == 3 / 6  # −0.25 and −0.5 are at least as bad
    with pytest.raises(InputError, match="conv1: filter -1, expected 0 to 5"):
        ablate(network(), images(), CLASSES, {"conv1": (0, -1)})
