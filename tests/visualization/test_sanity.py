"""The measures against SciPy, and verdicts on methods of which the right one is known."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import ndimage, stats

from keras_cnn.visualization import sanity
from keras_cnn.visualization.attribution import METHODS, Attribution
from keras_cnn.visualization.sanity import FAILS, Likeness, RandomNetworks, Verdict, verdict
from keras_cnn.visualization.targets import ClassScore, Neuron


def test_rank_correlation_is_spearmans():
    generator = np.random.default_rng(0)
    for ties in (False, True):
        a, b = generator.normal(size=(2, 200))
        b += a
        if ties:
            a, b = a.round(), b.round(1)
        assert sanity.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert sanity.rank_correlation(a, np.ones(200)) == 0


def test_ssim_against_the_formula():
    generator = np.random.default_rng(1)
    a, b = generator.uniform(size=(2, 24, 24))
    a, b = ((m - m.min()) / np.ptp(m) for m in (a, 0.7 * a + 0.3 * b))
    line = np.exp(-0.5 * (np.arange(11) - 5) ** 2 / 1.5**2)
    window = np.outer(line, line) / line.sum() ** 2
    mean = lambda m: ndimage.correlate(m, window)[5:-5, 5:-5]  # noqa: E731
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    whole = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    flat = np.zeros((24, 24))
    found = sanity.structural_similarity(np.stack([a, a, flat]), np.stack([b, flat, b]))
    assert found.tolist() == pytest.approx([whole.mean(), 0, 0], abs=1e-4)


def test_edges_are_sobels(photos):
    grey = photos.astype(float).mean(axis=-1)
    across = np.outer([1, 2, 1], [-1, 0, 1])
    for image, found in zip(grey, sanity.edges(photos), strict=True):
        expected = np.hypot(*(ndimage.correlate(image, weights, mode="nearest") for weights in (across, across.T)))
        np.testing.assert_allclose(found, expected)


def test_maps_are_compared_where_one_of_them_says_something():
    a, b = np.zeros((2, 1, 32, 32))
    generator = np.random.default_rng(2)
    a[0, 3:15, 4:16], b[0, 3:15, 4:16] = generator.normal(size=(2, 12, 12))
    inside = stats.spearmanr(np.abs(a[0, 3:15, 4:16]).ravel(), np.abs(b[0, 3:15, 4:16]).ravel()).statistic
    assert sanity.likeness(a, b).rank == pytest.approx(inside)
    assert stats.spearmanr(np.abs(a).ravel(), np.abs(b).ravel()).statistic > 0.8  # by the zeros around alone
    assert sanity.likeness(a, a) == sanity.Likeness(pytest.approx(1), pytest.approx(1))


def test_the_cascade_goes_from_the_last_layer_to_the_first(small, state_of):
    before = state_of(small)
    networks = RandomNetworks(small, stages=3)
    weighted = ["conv1", "bn1", "conv2", "separable", "logits"]
    reached = []
    for last, probe in networks.stages():
        changed = [
            name
            for name in weighted
            if any(
                not np.array_equal(a, b)
                for a, b in zip(
                    small.get_layer(name).get_weights(), probe.nodes[name].operation.get_weights(), strict=True
                )
            )
        ]
        reached.append((last, changed))
    assert reached == [
        ("separable", ["separable", "logits"]),
        ("bn1", ["bn1", "conv2", "separable", "logits"]),
        ("conv1", weighted),
    ]
    assert networks.shares == pytest.approx([0.4, 0.8, 1])
    assert state_of(small) == before


def test_a_second_cascade_begins_with_the_trained_weights(small):
    """A sanity check runs one for each target; the first leaves all weights random."""
    networks = RandomNetworks(small, stages=3)

    def first_stage() -> dict[str, bytes]:
        _, probe = next(networks.stages())
        return {v.path: v.numpy().tobytes() for v in probe.model.weights}

    first = first_stage()
    for _ in networks.stages():
        pass
    assert first_stage() == first


def test_random_weights_have_the_variance_of_he_and_layers_behind_a_neuron_stay(small):
    networks = RandomNetworks(small, "conv2", stages=1)
    ((last, probe),) = networks.stages()
    assert last == "conv1"
    np.testing.assert_array_equal(probe.nodes["logits"].operation.kernel, small.get_layer("logits").kernel)
    kernel = probe.nodes["conv2"].operation.kernel.numpy()
    assert kernel.var() == pytest.approx(2 / (3 * 3 * 6), rel=0.2)
    np.testing.assert_array_equal(probe.nodes["bn1"].operation.get_weights(), [[1] * 6, [0] * 6, [0] * 6, [1] * 6])
    again = next(iter(RandomNetworks(small, "conv2", stages=1).stages()))[1]
    np.testing.assert_array_equal(again.nodes["conv2"].operation.kernel, kernel)


def edge_detector(model, images, target):
    """A method that looks at no network."""
    return Attribution("edges", sanity.edges(images), np.zeros(len(images)), ("edges",) * len(images))


def test_an_edge_detector_is_found_out(small, photos):
    _, checked = verdict(edge_detector, photos, ClassScore(), RandomNetworks(small))
    assert not checked.passes
    assert checked.words == f"{FAILS}, like an edge detector, much the same for another class"
    assert checked.random == sanity.Likeness(pytest.approx(1), pytest.approx(1))


def test_a_map_that_comes_from_the_weights_passes(small, photos):
    def from_weights(model, images, target):
        """The first kernel's weights, repeated: all that can be learnt and nothing of the image."""
        kernel = model.nodes["conv1"].operation.kernel.numpy()[..., 0, :].ravel()[:16]
        maps = np.broadcast_to(np.outer(kernel, kernel), (len(images), 16, 16))
        return Attribution("weights", maps, np.zeros(len(images)), ("weights",) * len(images))

    _, checked = verdict(from_weights, photos, Neuron("separable", 0), RandomNetworks(small, "separable", stages=2))
    assert checked.half.rank == pytest.approx(1)  # the first kernel is the last to be randomised
    assert not checked.passes
    assert checked.random.rank < 0.5
    assert checked.other_class is None


def test_the_verdict_keeps_class_and_place_of_the_trained_network(small, photos):
    networks = RandomNetworks(small, stages=2)
    asked = []

    def method(model, images, target):
        asked.append(target)
        return METHODS["gradient"](model, images, target)

    verdict(method, photos, ClassScore(), networks)
    predicted = tuple(small(photos).numpy().argmax(axis=1))
    assert asked[:3] == [ClassScore(predicted)] * 3
    second = tuple(np.argsort(small(photos).numpy(), axis=1)[:, -2])
    assert asked[3] == ClassScore(second)
    asked.clear()
    verdict(method, photos, Neuron("conv1", 2), networks)
    assert len({target.position for target in asked}) == 1
    assert asked[0].position is not None


def test_the_checks_may_have_other_options(small, photos):
    steps = []

    def method(model, images, target, **options):
        steps.append(options["steps"])
        return METHODS["gradient"](model, images, target)

    verdict(method, photos, ClassScore(), RandomNetworks(small, stages=2), checks={"steps": 3}, steps=8)
    assert steps == [8, 3, 3, 3]  # the trained network; two random ones; another class


def test_a_blank_map_says_nothing(small, photos):
    def blank(model, images, target):
        return Attribution("blank", np.zeros((len(images), 16, 16)), np.zeros(len(images)), ("blank",) * len(images))

    _, checked = verdict(blank, photos, ClassScore(0), RandomNetworks(small, stages=1))
    assert not checked.passes
    assert checked.words == sanity.BLANK


def test_statistics_of_a_normalization_are_not_randomised():
    image = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 4.0], name="statistics")(image)
    deep = layers.DepthwiseConv2D(5, depth_multiplier=40, name="deep")(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(deep))
    ((last, probe),) = RandomNetworks(model, stages=2).stages()
    assert last == "deep"
    assert probe.nodes["deep"].operation.kernel.numpy().var() == pytest.approx(2 / 25, rel=0.1)


def checked(half=(0.0, 0.0), random=(0.0, 0.0), edges=(0.0, 0.0), other=None, blank=0) -> Verdict:
    cascade = (("last", Likeness(*half)), ("first", Likeness(*random)))
    return Verdict(cascade, Likeness(*half), Likeness(*edges), other and Likeness(*other), 4, blank)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half": (0.499, 0.499), "random": (0.499, -0.9), "edges": (0.499, 0.499)}, "passes"),
        ({"half": (0.5, 0)}, "looks the same on a random network"),
        ({"random": (0, 0.5)}, "looks the same on a random network"),
        ({"edges": (0.5, 0)}, "passes, like an edge detector"),
        ({"other": (0.799, 0.799)}, "passes"),
        ({"other": (0, 0.8), "blank": 3}, "passes, blank for 3 of 4 images, much the same for another class"),
        ({"blank": 4}, "says nothing: the maps are blank"),
    ],
)
def test_a_verdict_in_words(options, words):
    found = checked(**options)
    assert found.words == words
    assert found.passes == words.startswith("passes")
    assert repr(found) == f"<Verdict: {words}>"


def test_the_verdict_on_images_together_has_means_and_sums():
    first, second = checked((0.25, 0.5), other=(0.5, 0.25), blank=1), checked((0.75, 0), (0.5, 1), (1, 0.5))
    found = sanity.mean_verdict([first, second])
    assert found == Verdict(
        (("last", Likeness(0.5, 0.25)), ("first", Likeness(0.25, 0.5))),
        *(Likeness(0.5, 0.25), Likeness(0.5, 0.25), Likeness(0.5, 0.25), 8, 1),
    )
    assert sanity.mean_verdict([second]).other_class is None
    assert str(Likeness(-0.125, 0.126)) == "rank −0.12, SSIM 0.13"


@pytest.mark.parametrize(
    ("count", "stages", "shares"), [(3, 4, [1, 2, 3]), (8, 4, [2, 4, 6, 8]), (5, 4, [2, 3, 4, 5]), (1, 4, [1])]
)
def test_the_stages_of_a_cascade_are_even(count, stages, shares):
    x = image = keras.Input((2, 2, 1))
    for _ in range(count):
        x = layers.Conv2D(1, 1)(x)
    assert RandomNetworks(keras.Model(image, x)).shares == pytest.approx([share / count for share in shares])


def test_half_of_the_layers_random_is_the_first_stage_of_at_least_half(photos):
    x = image = keras.Input((16, 16, 3))
    for _ in range(4):
        x = layers.Conv2D(3, 1)(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    stage = iter([1.0, 0.875, 0.75, 0.625, 0.5])
    networks = RandomNetworks(model)

    def method(model, images, target):
        return Attribution("m", next(stage) * np.ones((3, 16, 16)), np.zeros(3), ("",) * 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanity, "likenesses", lambda a, b: [Likeness(float(b.max()), 0.0)] * 3)
        _, found = verdict(method, photos, Neuron(model.layers[-2].name, 0, (0, 0)), networks)
    assert [like.rank for _, like in found.cascade] == [0.875, 0.75, 0.625, 0.5]
    assert found.half.rank == 0.75
    assert (found.images, found.blank) == (3, 3)


def test_small_maps_have_a_smaller_window():
    a = np.random.default_rng(0).uniform(size=(1, 10, 7))
    assert sanity.structural_similarity(a, 3 * a + 1)[0] == pytest.approx(1, abs=1e-5)  # both are scaled to 0-1
    assert sanity.structural_similarity(a, -a)[0] < 0
    assert sanity.structural_similarity(np.zeros((1, 10, 7)), a)[0] == 0
