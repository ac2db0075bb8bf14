"""Every method on a network small enough to work out by hand, and what must hold on any network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_cnn.errors import InputError
from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.attribution.relus import relus
from keras_cnn.visualization.gradients import deconvnet_relu, guided_relu
from keras_cnn.visualization.probe import Probe, taps
from keras_cnn.visualization.targets import ChannelMean, ClassDifference, ClassScore, Neuron, strongest

# Worked out by hand for the network of conftest: method -> map for class 0, map for class 1.
ANSWERS = {
    # 2·1/4 through 2x where x > 0, −1·4/4 through 1 − x where x < 1; for class 1 −2/4 and −2/4.
    "gradient": ([[0.5, 0.5], [0.5, -1]], [[-0.5, -0.5], [-0.5, -0.5]]),
    "gradient-times-input": ([[0.5, 1], [1.5, 0]], [[-0.5, -1], [-1.5, 0]]),
    # The ReLU of 2x gets the gradient −1/4 from class 1, which guided backpropagation and deconvnet stop.
    "guided-backpropagation": ([[0.5, 0.5], [0.5, -1]], [[0, 0], [0, -0.5]]),
    "deconvnet": ([[-0.5, -0.5], [-0.5, -0.5]], [[-0.5, -0.5], [-0.5, -0.5]]),
    "smoothgrad": ([[0.5, 0.5], [0.5, -1]], [[-0.5, -0.5], [-0.5, -0.5]]),  # without noise the gradient
    # x/2 through 2x; 1 − x falls from 1 to 0 on the way wherever x ≥ 1, which costs class 0 one and class 1 a half.
    "integrated-gradients": ([[-0.5, 0], [0.5, 0]], [[-1, -1.5], [-2, 0]]),
    "grad-cam": ([[0.5, 1], [1.5, 1]], [[0, 0], [0, 0.5]]),  # weights 1/4 and 1; −1/4 and 1/2
    "grad-cam++": ([[0.4, 0.8], [1.2, 4 / 3]], [[0, 0], [0, 0.8]]),  # 4·1/5·1/4 and 4·1/3·1; 4·1/(2+1/2)·1/2
    "score-cam": ([[1, 2], [3, 0.5]], None),  # both masks leave the score of a black image, 4
    "layer-cam": ([[0.5, 1], [1.5, 1]], [[0, 0], [0, 0.5]]),
}
OPTIONS = {"smoothgrad": {"noise": 0.0}}


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("activation", ["linear", "softmax"])
@pytest.mark.parametrize("name", METHODS)
def test_the_answers_worked_out_by_hand(hand, hand_image, name, activation, nested):
    model = hand(activation, nested)
    for index, answer in enumerate(ANSWERS[name]):
        if answer is None:
            continue
        found = METHODS[name](model, hand_image, ClassScore(index), **OPTIONS.get(name, {}))
        assert found.values.dtype == np.float32
        assert found.scores == pytest.approx([4, -2.5][index])
        tolerance = 0.03 if name == "integrated-gradients" else 1e-6  # a kink lies between two of 64 steps
        np.testing.assert_allclose(found.maps[0], answer, atol=tolerance)


def test_methods_that_share_a_probe_keep_their_own_gradients(hand, hand_image):
    """The probe keeps compiled functions: each method must get the one of its own ReLUs and point."""
    probe = Probe(hand())
    names = ("gradient", "grad-cam", "guided-backpropagation", "deconvnet")
    for name in (*names, *names[::-1]):
        for index in (0, 1, 0):
            maps = METHODS[name](probe, hand_image, ClassScore(index)).maps[0]
            np.testing.assert_allclose(maps, ANSWERS[name][index], atol=1e-6)


def test_either_class_of_a_sigmoid_unit_is_explained(hand, hand_image):
    two = hand()
    image = two.inputs[0]
    dense = layers.Dense(1, activation="sigmoid", name="unit")
    model = keras.Model(image, dense(two.get_layer("mean").output))
    kernel = two.layers[-1].get_weights()[0]
    dense.set_weights([kernel[:, :1], np.zeros(1)])  # the logit is that of class 0 above: 4
    for index, sign in ((1, 1), (0, -1)):
        found = METHODS["gradient"](model, hand_image, ClassScore(index))
        np.testing.assert_allclose(found.maps[0], sign * np.array(ANSWERS["gradient"][0]), atol=1e-6)
        assert found.scores == pytest.approx(sign * 4)
    assert METHODS["gradient"](model, hand_image, ClassScore()).words == ("class 1",)
    against = METHODS["gradient"](model, hand_image, ClassDifference(1, 0))
    np.testing.assert_allclose(against.maps[0], 2 * np.array(ANSWERS["gradient"][0]), atol=1e-6)


def test_a_difference_of_classes_and_the_predicted_class(hand, hand_image):
    model = hand()
    gradient = METHODS["gradient"]
    expected = np.subtract(*ANSWERS["gradient"])
    difference = gradient(model, hand_image, ClassDifference(0, 1))
    np.testing.assert_allclose(difference.maps[0], expected, atol=1e-6)
    assert difference.scores == pytest.approx(6.5)
    assert difference.words == ("class 0 minus class 1",)
    predicted = gradient(model, hand_image, ClassScore())
    np.testing.assert_allclose(predicted.maps[0], ANSWERS["gradient"][0], atol=1e-6)
    assert predicted.words == ("class 0",)


def test_a_neuron_is_one_unit_of_a_map(hand, hand_image):
    model = hand()
    strongest_place = METHODS["gradient"](model, hand_image, Neuron("relu", 0))
    np.testing.assert_array_equal(strongest_place.maps[0], [[0, 0], [2, 0]])  # 2x is largest at row 1, column 0
    assert strongest_place.words == ("relu channel 0 at (1, 0)",)
    chosen = METHODS["gradient"](model, hand_image, Neuron("conv", 1, (0, 1)))
    np.testing.assert_array_equal(chosen.maps[0], [[0, -1], [0, 0]])
    assert chosen.scores == pytest.approx(-1)
    several = METHODS["gradient"](model, np.repeat(hand_image, 2, axis=0), Neuron("conv", (0, 1), ((0, 0), (1, 1))))
    np.testing.assert_array_equal(several.maps, [[[2, 0], [0, 0]], [[0, 0], [0, -1]]])
    vector = METHODS["gradient"](model, hand_image, Neuron("mean", 1))
    np.testing.assert_allclose(vector.maps[0], [[0, 0], [0, -0.25]])
    assert strongest(model, hand_image, "relu", 2) == [(0, 0), (1, 0)]


def test_integrated_gradients_are_complete(small, photos):
    for target in (ClassScore(2), ClassDifference(0, 3), Neuron("conv2", 1)):
        found = METHODS["integrated-gradients"](small, photos, target, steps=128)
        probe = Probe(small)
        black = np.zeros_like(photos)
        fixed = target if not isinstance(target, Neuron) else Neuron("conv2", 1, tuple(target.places(probe, photos)))
        start = METHODS["gradient"](small, black, fixed).scores
        sums = found.values.sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found.facts["difference"], found.scores - start, atol=1e-4)
        np.testing.assert_allclose(sums - (found.scores - start), found.facts["completeness_error"], atol=1e-3)
        assert np.abs(found.facts["completeness_error"]).max() < 0.02 * np.abs(found.scores - start).max() + 1e-3


def test_the_gradient_is_the_difference_quotient(small, photos):
    images = photos.astype(np.float32).clip(1, 254)
    gradient = METHODS["gradient"](small, images, ClassScore(1)).values
    score = lambda pixels: taps(small, ["logits"])(pixels)["logits"][:, 1]  # noqa: E731
    for place in ((0, 3, 4, 0), (1, 10, 2, 2), (2, 7, 7, 1)):
        step = np.zeros_like(images)
        step[place] = 0.05
        quotient = (score(images + step)[place[0]] - score(images - step)[place[0]]) / 0.1
        assert gradient[place] == pytest.approx(quotient, rel=0.05, abs=2e-5)


def test_smoothgrad_is_the_mean_over_its_noise_and_repeats_itself(small, photos):
    smooth = METHODS["smoothgrad"]
    found = smooth(small, photos, ClassScore(0), samples=3, seed=5)
    np.testing.assert_array_equal(found.values, smooth(small, photos, ClassScore(0), samples=3, seed=5).values)
    generator = np.random.default_rng(5)
    span = np.ptp(photos.astype(np.float32), axis=(1, 2, 3))[:, None, None, None]
    expected = np.zeros(photos.shape)
    for _ in range(3):
        noisy = tf.constant(photos + 0.15 * span * generator.standard_normal(photos.shape, dtype=np.float32))
        with tf.GradientTape() as tape:
            tape.watch(noisy)
            score = small(noisy, training=False)[:, 0]
        expected += tape.gradient(score, noisy).numpy() / 3
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam++", "layer-cam", "score-cam"])
def test_maps_of_any_layer_come_at_the_size_of_the_image(small, photos, name):
    for layer, side in (("relu1", 16), ("conv2", 8), (None, 6)):
        found = METHODS[name](small, photos, ClassScore(1), layer=layer)
        assert found.values.shape == (3, 16, 16)
        assert found.facts["map"].shape == (3, side, side)
        assert found.values.min() >= 0


def test_score_cam_on_all_and_on_chosen_channels(small, photos):
    maps = taps(small, ["conv2"])(photos)["conv2"]
    every = METHODS["score-cam"](small, photos, ClassScore(1), layer="conv2")
    same = METHODS["score-cam"](small, photos, ClassScore(1), layer="conv2", channels=6)
    np.testing.assert_array_equal(every.values, same.values)
    image, gains = photos[0].astype(np.float32), []
    for channel in range(6):
        one = maps[0, ..., channel]
        if not np.ptp(one):  # a dead channel
            gains.append(-np.inf)
            continue
        mask = (one - one.min()) / np.ptp(one)
        large = tf.image.resize(mask[..., None], (16, 16)).numpy()
        gains.append(small((image * large)[None], training=False)[0, 1].numpy())
    weights = np.exp(np.array(gains) - max(gains))
    expected = (maps[0] * weights / weights.sum()).sum(axis=-1)
    np.testing.assert_allclose(every.facts["map"][0], expected, rtol=1e-4)
    assert METHODS["score-cam"](small, photos, ClassScore(1), layer="conv2", channels=2).facts["channels"] == 2


def every_relu() -> keras.Model:
    """A network with a ReLU in every way that it can be written in."""
    keras.utils.set_random_seed(4)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="argument")(image)
    x = layers.ReLU(name="layer")(layers.Conv2D(4, 3, name="a")(x))
    x = layers.Activation("relu", name="activation")(layers.Conv2D(4, 1, name="b")(x))
    x = keras.ops.relu(layers.Conv2D(4, 1, name="c")(x))
    x = keras.activations.relu(layers.Conv2D(4, 1, name="d")(x))
    x = layers.ReLU(max_value=6, name="six")(layers.Conv2D(4, 1, name="e")(x))
    x = layers.Conv2D(4, 1, activation=layers.ReLU(), name="nested")(x)
    x = keras.ops.relu6(layers.Conv2D(4, 1, name="f")(x))
    x = layers.Activation(tf.nn.relu, name="tensorflow")(layers.Conv2D(4, 1, name="g")(x))
    return keras.Model(image, layers.Dense(2, name="logits")(layers.Flatten()(x)), name="every")


def test_every_relu_is_listed_and_rewired(state_of):
    model = every_relu()
    before = state_of(model)
    found = relus(Probe(model), "logits")
    assert [relu.written for relu in found].count("function call") == 3
    names = {relu.node: (relu.written, relu.ceiling) for relu in found}
    assert len(names) == 9
    assert names["argument"] == names["nested"] == ("activation argument", None)
    assert names["layer"] == names["activation"] == names["tensorflow"] == ("layer", None)
    assert names["six"] == ("layer", 6.0)
    values, upstream = tf.constant([-0.5, 0.5, 5.5, 6.5, 3.0]), tf.constant([1.0, 1, 1, 1, -1])
    for rewired, slopes in ((guided_relu(6.0), [0, 1, 1, 0, 0]), (deconvnet_relu(6.0), [1, 1, 1, 1, 0])):
        with tf.GradientTape() as tape:
            tape.watch(values)
            clipped = rewired(values)
        assert clipped.numpy().tolist() == [0, 0.5, 5.5, 6, 3]
        assert tape.gradient(clipped, values, upstream).numpy().tolist() == slopes
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3))
    for method in ("guided-backpropagation", "deconvnet"):
        attribution = METHODS[method](model, images, ClassScore(0))
        assert attribution.facts["relus"] == tuple(found)
        np.testing.assert_allclose(attribution.scores, model(images.astype("float32"))[:, 0], rtol=1e-4)
    assert state_of(model) == before


class Hidden(layers.Layer):
    """A ReLU that no attribute tells of."""

    def call(self, inputs):
        return tf.nn.relu(inputs)


class Deeper(layers.Layer):
    """The same inside of a function that is compiled by itself."""

    def call(self, inputs):
        return tf.function(tf.nn.relu)(inputs)


REFUSED = {
    "hidden": lambda: Hidden(name="odd"),
    "compiled": lambda: Deeper(name="odd"),
    "maximum": lambda: layers.Activation(lambda x: tf.maximum(x, 0.0), name="odd"),
    "hard silu": lambda: layers.Activation("hard_silu", name="odd"),
    "leaky": lambda: layers.LeakyReLU(name="odd"),
    "threshold": lambda: layers.ReLU(threshold=1.0, name="odd"),
    "slope": lambda: layers.ReLU(negative_slope=0.1, name="odd"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("method", ["guided-backpropagation", "deconvnet"])
def test_a_relu_that_cannot_be_rewired_is_refused_by_name(kind, method, state_of):
    image = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, activation="relu")(image)
    x = REFUSED[kind]()(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)), name="odd_one")
    before = state_of(model)
    with pytest.raises(InputError, match=r"odd_one: .* must replace every ReLU, and cannot in odd \("):
        METHODS[method](model, np.ones((1, 4, 4, 1)), ClassScore(0))
    assert state_of(model) == before


def test_relus_behind_the_neuron_do_not_matter():
    image = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, activation="relu", name="conv")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(Hidden()(x))))
    found = METHODS["guided-backpropagation"](model, np.ones((1, 4, 4, 1)), Neuron("conv", 0))
    assert [relu.node for relu in found.facts["relus"]] == ["conv"]
    with pytest.raises(InputError, match="is a rule for ReLUs, and conv:linear depends on none"):
        METHODS["guided-backpropagation"](model, np.ones((1, 4, 4, 1)), Neuron("conv:linear", 0))


def test_other_activations_are_named():
    image = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, activation="relu")(image)
    x = layers.Activation("tanh", name="tanh")(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    found = METHODS["deconvnet"](model, np.ones((1, 4, 4, 1)), ClassScore(0))
    assert found.facts["other_activations"] == ("tanh",)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_changes_after_success_and_after_an_error(small, photos, name, state_of):
    before = state_of(small)
    METHODS[name](small, photos, ClassScore(0))
    assert state_of(small) == before
    with pytest.raises(InputError, match="class 4, expected 0 to 3"):
        METHODS[name](small, photos, ClassScore(4))
    with pytest.raises(InputError, match="found values from 0 to 510"):
        METHODS[name](small, 2.0 * (photos > 0) * 255, ClassScore(0))
    assert state_of(small) == before


def test_wrong_targets_and_options_are_one_line(small, photos):
    gradient = METHODS["gradient"]
    for target, message in (
        (ClassScore((0, 1)), "target: 2 numbers, expected one, or one for each of 3 images"),
        (ClassDifference(1, 1), "class 1 minus itself, expected two classes"),
        (Neuron("conv1", 6), "conv1: channel 6, expected 0 to 5"),
        (Neuron("conv1", 0, (16, 0)), r"position \(16, 0\), expected rows 0 to 15 and columns 0 to 15"),
        (Neuron("conv1", 0, (15, -1)), r"position \(15, -1\), expected rows 0 to 15 and columns 0 to 15"),
        (Neuron("conv1", 0, (-1, 15)), r"position \(-1, 15\)"),
        (Neuron("conv1", 0, (15, 16)), r"position \(15, 16\)"),
        (Neuron("conv3", 0), "no layer 'conv3'"),
    ):
        with pytest.raises(InputError, match=message):
            gradient(small, photos, target)
    with pytest.raises(InputError, match="Grad-CAM of logits: an output of shape"):
        METHODS["grad-cam"](small, photos, ClassScore(0), layer="logits")
    with pytest.raises(InputError, match="conv1 does not depend on separable; expected a layer before it"):
        METHODS["grad-cam"](small, photos, Neuron("conv1", 0), layer="separable")
    with pytest.raises(InputError, match="SmoothGrad: samples: found 0"):
        METHODS["smoothgrad"](small, photos, ClassScore(0), samples=0)
    with pytest.raises(InputError, match="integrated gradients: steps: found 0"):
        METHODS["integrated-gradients"](small, photos, ClassScore(0), steps=0)


def test_targets_beyond_the_network_are_told_with_the_bounds(hand, hand_image):
    probe = Probe(hand())
    for target, words in (
        (ClassScore(2), "by_hand: target: class 2, expected 0 to 1"),
        (ClassScore(-1), "class -1, expected 0 to 1"),
        (ClassDifference(1, 1), "class 1 minus itself, expected two classes"),
        (ClassScore((0, 1)), "target: 2 numbers, expected one, or one for each of 1 images"),
        (Neuron("relu", 2), "by_hand: relu: channel 2, expected 0 to 1"),
        (Neuron("mean", -1), "by_hand: mean: channel -1, expected 0 to 1"),
        (Neuron("relu", 0, (2, 0)), r"relu: position \(2, 0\), expected rows 0 to 1 and columns 0 to 1"),
        (Neuron("relu", 0, (0, -1)), r"relu: position \(0, -1\), expected rows 0 to 1 and columns 0 to 1"),
        (ChannelMean("relu", 2), "relu: channel 2, expected 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            target.score(probe, hand_image)
    score = ChannelMean("relu", 1).score(probe, hand_image)
    assert score.words == ("relu mean of channel 1",)
    assert score.weights.tolist() == [[[[0, 0.25], [0, 0.25]], [[0, 0.25], [0, 0.25]]]]
    assert Neuron("relu", 1, (1, 1)).score(probe, hand_image).weights[0, 1, 1].tolist() == [0, 1]
    assert ChannelMean("mean", 1).score(probe, hand_image).words == ("mean unit 1",)
    assert Neuron("mean", 1).score(probe, hand_image).words == ("mean unit 1",)
    images = np.concatenate([hand_image, 0 * hand_image])
    assert strongest(probe, images, "relu", 1) == [(0, 0)]
    assert strongest(probe, images, "conv", 2) == [(0, 0), (1, 0)]  # 1 − x is 1 at a zero of either image
    assert strongest(probe, images[1:], "mean", 2) == [(1, 0), (0, 0)]
