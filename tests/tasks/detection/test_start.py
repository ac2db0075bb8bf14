"""What a network starts with: its own cfg for the user's classes, weights as far as they fit; and the way back."""

import numpy as np
import pytest

from keras_cnn.detection.cfg import read_cfg
from keras_cnn.detection.darknet import build, load_darknet
from keras_cnn.detection.heads import read_heads
from keras_cnn.detection.weights import WeightsFile
from keras_cnn.errors import InputError
from keras_cnn.tasks.detection import network_cfg
from keras_cnn.tasks.detection.network_cfg import anchor_count, find_cfg, rewritten
from keras_cnn.tasks.detection.starting_weights import ModelWeights, RandomWeights, trainable_model

ANCHORS = np.array([[5, 6], [7, 9.5], [14, 12], [22.25, 20], [31, 40]])


def darknet_file(path, network, seed=5, stop=None):
    """Writes numbers in the order of the cfg, or of its first `stop` convolutions; returns how many there are."""
    fresh = RandomWeights(seed)
    build(network, fresh)
    rng, numbers = np.random.default_rng(seed), []
    for _, filters, normalised, fan_in in fresh.convolutions[:stop]:
        numbers += [rng.normal(0, 0.1, filters)]
        numbers += [rng.uniform(0.5, 2, filters) for _ in range(3 * normalised)]
        numbers += [rng.normal(0, 0.1, filters * fan_in)]
    flat = np.concatenate(numbers).astype("<f4")
    path.write_bytes(np.array([0, 2, 0], "<i4").tobytes() + np.array([0], "<u8").tobytes() + flat.tobytes())
    return len(flat)


def test_the_cfg_is_rewritten_for_classes_anchors_and_size_and_stays_one(small_cfg):
    network = read_cfg(small_cfg)
    assert anchor_count(network) == 5
    changed = rewritten(network, 3, 96, ANCHORS)
    assert changed.size == (96, 96, 3)
    coarse, fine = read_heads(changed)
    np.testing.assert_allclose(coarse.anchors, ANCHORS[2:])
    np.testing.assert_allclose(fine.anchors, ANCHORS[:2])
    model = build(changed, RandomWeights(1))
    assert [output.shape for output in model.outputs] == [(None, 6, 6, 3 * 8), (None, 12, 12, 2 * 8)]
    assert len(changed.text.splitlines()) == len(network.text.splitlines())
    assert changed.text.count("anchors=5, 6, 7, 9.5, 14, 12, 22.25, 20, 31, 40\n") == 2
    uneven = np.array([[100, 0.004], [1 / 3, 2 / 3], [0.995, 1.5], [10, 20], [1000, 30.10]])
    assert network_cfg._text(uneven) == "100, 0, 0.33, 0.67, 0.99, 1.5, 10, 20, 1000, 30.1"


def test_the_cfgs_own_anchors_grow_with_the_image(small_cfg):
    coarse, _ = read_heads(rewritten(read_cfg(small_cfg), 3, 96, None))
    np.testing.assert_allclose(coarse.anchors, np.array([[12, 12], [20, 20], [30, 30]]) * 1.5)


def test_a_beginning_of_the_network_is_loaded(small_cfg, tmp_path):
    network = rewritten(read_cfg(small_cfg), 3, 64, ANCHORS)
    darknet_file(tmp_path / "small.conv.3", network, stop=3)
    model, loaded = trainable_model(network, 1, str(tmp_path / "small.conv.3"))
    assert (loaded.layers, loaded.random) == (3, ["conv_3", "conv_4", "conv_5", "conv_8"])
    said = "a beginning of 3 convolutions: 3 convolutions loaded; as initialised: conv_3, conv_4, conv_5, conv_8"
    assert str(loaded) == said
    file = WeightsFile(tmp_path / "small.conv.3")
    biases, scales, means, variances = (file.floats(16, "") for _ in range(4))
    kernel = file.floats(16 * 3 * 9, "").reshape(16, 3, 3, 3).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv_0").get_weights()[0], kernel)
    for found, expected in zip(model.get_layer("bn_0").get_weights(), (scales, biases, means, variances), strict=True):
        np.testing.assert_array_equal(found, expected)
    untouched, _ = trainable_model(network, 1, None)
    for name in loaded.random:
        np.testing.assert_array_equal(model.get_layer(name).kernel, untouched.get_layer(name).kernel)


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_a_whole_file_of_any_class_count_is_loaded_but_for_its_heads(small_cfg, tmp_path, classes):
    theirs = rewritten(read_cfg(small_cfg), classes, 64, ANCHORS)
    darknet_file(tmp_path / "theirs.weights", theirs)
    whole = load_with_batch_norms(theirs, tmp_path / "theirs.weights")
    model, loaded = trainable_model(rewritten(read_cfg(small_cfg), 3, 64, ANCHORS), 1, str(tmp_path / "theirs.weights"))
    assert (loaded.layers, loaded.random) == (5, ["conv_5", "conv_8"])
    assert str(loaded).startswith(f"whole, of {classes} classes: 5 convolutions loaded")
    for index in range(5):
        name = f"conv_{index}"
        np.testing.assert_array_equal(model.get_layer(name).kernel, whole.get_layer(name).kernel)


def load_with_batch_norms(network, weights):
    return build(network, WeightsFile(weights))


def test_a_file_that_fits_nothing_is_refused_with_both_counts(small_cfg, tmp_path):
    network = rewritten(read_cfg(small_cfg), 3, 64, ANCHORS)
    count = darknet_file(tmp_path / "cut.weights", network)
    content = (tmp_path / "cut.weights").read_bytes()
    (tmp_path / "cut.weights").write_bytes(content[:-4])
    with pytest.raises(InputError) as caught:
        trainable_model(network, 1, str(tmp_path / "cut.weights"))
    (line,) = str(caught.value).splitlines()
    assert f"{count - 1:,} numbers fit neither small.cfg" in line
    assert f"{count:,}" in line


def test_a_file_with_a_number_that_is_not_finite_is_refused(small_cfg, tmp_path):
    network, file = rewritten(read_cfg(small_cfg), 3, 64, ANCHORS), tmp_path / "nan.weights"
    darknet_file(file, network)
    content = bytearray(file.read_bytes())
    content[20 + 4 * 64 : 20 + 4 * 66] = np.array([np.nan, np.inf], "<f4").tobytes()  # of conv_0: 4 * 16 numbers, 432
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]*nan.weights: .*: 2 of 432 numbers are nan or infinite; expected"):
        trainable_model(network, 1, str(file))


def test_trained_weights_come_back_as_darknets_and_a_folded_network_computes_the_same(small_cfg):
    network = rewritten(read_cfg(small_cfg), 3, 64, ANCHORS)
    model, _ = trainable_model(network, 1, None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("bn_"):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    images = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    folded = build(network, ModelWeights(model), fold=True)
    assert not any(layer.name.startswith("bn_") for layer in folded.layers)
    for one, other in zip(model(images, training=False), folded(images), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)


def test_heads_begin_with_little_objectness(small_cfg):
    model, _ = trainable_model(rewritten(read_cfg(small_cfg), 3, 64, ANCHORS), 1, None)
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    objectness = np.asarray(model(images)[0]).reshape(-1, 8)[:, 4]
    assert np.mean(1 / (1 + np.exp(-objectness))) < 0.05
    for index, filters in (("5", 24), ("8", 16)):
        kernel, bias = model.get_layer(f"conv_{index}").get_weights()
        np.testing.assert_allclose(bias.reshape(-1, 8), [[0] * 4 + [np.log(0.01 / 0.99)] + [0] * 3] * (filters // 8))
        assert kernel.std() == pytest.approx(0.1 * np.sqrt(2 / kernel[..., 0].size), rel=0.1)
    kernel = model.get_layer("conv_3").kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / kernel[..., 0].size), rel=0.05)  # He et al. 2015
    norm = model.get_layer("bn_3")
    assert (norm.momentum, norm.epsilon) == (0.97, 1e-5)


def test_the_same_seed_draws_the_same_weights(small_cfg):
    network = rewritten(read_cfg(small_cfg), 3, 64, ANCHORS)
    one, again, other = (trainable_model(network, seed, None)[0].get_weights() for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_yolov3_tiny_comes_with_the_package_and_takes_the_published_weights(monkeypatch, tmp_path, tiny):
    monkeypatch.setenv("KERAS_CNN_CACHE", str(tmp_path))
    network = find_cfg("yolov3-tiny")
    ours, theirs = load_darknet(network.file, tiny[1], fold=True), load_darknet(tiny[0], tiny[1], fold=True)
    assert all((a == b).all() for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))
    _, loaded = trainable_model(rewritten(network, 4, 64, np.tile([[8.0, 8.0]], (6, 1))), 1, str(tiny[1]))
    assert (loaded.layers, loaded.random) == (11, ["conv_15", "conv_22"])


def test_a_named_network_without_its_cfg_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_CNN_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"put yolov3\.cfg there"):
        find_cfg("yolov3")


def test_a_head_that_no_linear_convolution_feeds_is_refused(small_cfg, tmp_path):
    (tmp_path / "bad.cfg").write_text(small_cfg.read_text().replace("activation=linear", "activation=leaky", 1))
    with pytest.raises(InputError, match="activation=linear"):
        rewritten(read_cfg(tmp_path / "bad.cfg"), 3, 64, ANCHORS)
