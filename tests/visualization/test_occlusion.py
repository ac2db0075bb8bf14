"""Occlusion against answers by hand and against a loop that hides each patch and asks Keras."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.ndimage import gaussian_filter

from keras_cnn.errors import InputError
from keras_cnn.visualization import occlusion
from keras_cnn.visualization.occlusion import Occluder
from keras_cnn.visualization.probe import Probe


def one_pixel(row: int, column: int) -> keras.Model:
    """Class 1 has the value of one pixel of a 4×4 image, less 127.5 and over 50, as its logit; class 0 has 0."""
    inputs = keras.Input((4, 4, 1))
    kernel = np.zeros((16, 2))
    kernel[4 * row + column, 1] = 1 / 50
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)))
    model.layers[-1].set_weights([kernel, np.array([0, -127.5 / 50])])
    return model


def network(policy: str = "float32", ending: str | None = None) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((11, 9, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(inputs)
    for filters in (4, 6):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3)(x)))
    x = layers.Dense(3, dtype="float32", activation=ending)(layers.GlobalAveragePooling2D()(x))
    keras.config.set_dtype_policy(before)
    model = keras.Model(inputs, x)
    model.layers[-1].kernel.assign(8 * model.layers[-1].kernel)  # confidences that are not all a third
    return model


IMAGE = np.random.default_rng(0).integers(0, 256, (11, 9, 3)).astype(np.uint8)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_map_by_hand():
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1) * 10
    found = Occluder(one_pixel(1, 2)).occlude(image, 1, 2)
    seen, hidden = 1 / (1 + np.exp(-(60 - 127.5) / 50)), 0.5  # pixel (1, 2) is 60; mid-grey makes the logit 0
    assert found.unhidden == pytest.approx(seen, rel=1e-6)
    # The patch hides row 1 from rows 0 and 1 on, column 2 from columns 1 and 2 on.
    expected = np.array([[seen, hidden, hidden], [seen, hidden, hidden], [seen, seen, seen]])
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-6)
    assert found.total == pytest.approx(5 * seen + 4 * hidden, rel=1e-6)
    assert found.mean == pytest.approx((5 * seen + 4 * hidden) / 9, rel=1e-6)
    # Pixel (3, 3) is under one patch, which leaves the pixel seen; (0, 3) under one that hides it.
    drop = found.drop(4, 4)
    assert drop[3, 3] == pytest.approx(0, abs=1e-7)
    assert drop[0, 3] == pytest.approx(seen - hidden, rel=1e-5)


def loop(model: keras.Model, size: int, filled: np.ndarray) -> np.ndarray:
    rows, columns = 11 - size + 1, 9 - size + 1
    images = []
    for row in range(rows):
        for column in range(columns):
            image = IMAGE.astype(np.float32)
            image[row : row + size, column : column + size] = filled[row : row + size, column : column + size]
            images.append(image)
    return softmax(model(np.stack(images), training=False).numpy())[:, 2].reshape(rows, columns)


@pytest.mark.parametrize(("fill", "size"), [("grey", 3), ("mean", 4), ("blur", 4), ("blur", 5)])
def test_equals_a_loop_of_keras(fill, size):
    model, floats = network(), IMAGE.astype(np.float64)
    filled = {
        "grey": np.full_like(floats, 127.5),
        "mean": np.broadcast_to(floats.mean(axis=(0, 1)), floats.shape),
        "blur": gaussian_filter(floats, (size / 2, size / 2, 0), mode="nearest", truncate=3),
    }[fill]
    found = Occluder(model).occlude(IMAGE, 2, size, fill=fill)
    expected = loop(model, size, filled)
    assert found.confidence.shape == (11 - size + 1, 9 - size + 1)
    assert expected.max() - expected.min() > 0.01
    np.testing.assert_allclose(found.confidence, expected, atol=2e-5)


def test_either_class_of_a_sigmoid_unit_is_explained():
    unit, pair = keras.Input((4, 4, 1)), one_pixel(1, 2)
    dense = layers.Dense(1, activation="sigmoid")
    model = keras.Model(unit, dense(layers.Flatten()(unit)))
    kernel, bias = pair.layers[-1].get_weights()
    dense.set_weights([kernel[:, 1:], bias[1:]])  # softmax of (0, x) is the sigmoid of x
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1) * 10
    for target in (0, 1):
        found, expected = (Occluder(net).occlude(image, target, 2).confidence for net in (model, pair))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_of_several_outputs_is_explained():
    model = network()
    several = keras.Model(model.inputs[0], [model.layers[-2].output, model.outputs[0]])
    name = model.layers[-1].name
    found = Occluder(Probe(several, name)).occlude(IMAGE, 1, 5).confidence
    np.testing.assert_allclose(found, Occluder(model).occlude(IMAGE, 1, 5).confidence, atol=1e-6)


def test_a_network_inside_a_network_has_the_same_map():
    flat = network()
    inputs = keras.Input((11, 9, 3))
    body = keras.Model(flat.inputs[0], flat.layers[-2].output, name="body")
    nested = keras.Model(inputs, flat.layers[-1](body(inputs)), name="outer")
    found, expected = (Occluder(model).occlude(IMAGE, 1, 2).confidence for model in (nested, flat))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_in_sixteen_bits_the_map_is_kerass_to_rounding():
    model = network("mixed_bfloat16")
    found = Occluder(model).occlude(IMAGE, 2, 3)
    np.testing.assert_allclose(found.confidence, loop(model, 3, np.full(IMAGE.shape, 127.5)), atol=0.05)


def test_a_network_that_ends_with_softmax_is_not_squashed_twice():
    raw, squashed = network(), network(ending="softmax")
    np.testing.assert_allclose(
        Occluder(raw).occlude(IMAGE, 1, 5).confidence, Occluder(squashed).occlude(IMAGE, 1, 5).confidence, atol=1e-5
    )


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 2), (4, 4), (5, 3), (9, 9), (9, 1)])
def test_every_pixel_is_hidden_whatever_the_stride(size, stride):
    found = Occluder(network()).occlude(IMAGE, 0, size, stride=stride)
    hidden = np.zeros((11, 9), bool)
    for row in found.rows:
        for column in found.columns:
            assert row + size <= 11
            assert column + size <= 9
            hidden[row : row + size, column : column + size] = True
    assert hidden.all()
    assert np.isfinite(found.drop(11, 9)).all()
    if stride == 1:
        assert found.confidence.shape == (11 - size + 1, 9 - size + 1)


def test_the_drop_is_the_mean_over_the_patches_on_a_pixel():
    found = Occluder(network()).occlude(IMAGE, 0, 3, stride=2)
    total, count = np.zeros((11, 9)), np.zeros((11, 9))
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            total[row : row + 3, column : column + 3] += found.unhidden - found.confidence[i, j]
            count[row : row + 3, column : column + 3] += 1
    np.testing.assert_allclose(found.drop(11, 9), total / count, atol=1e-12)


def test_small_batches_give_the_same_and_nothing_is_traced_again(monkeypatch):
    occluder = Occluder(network())
    whole = occluder.by_size(IMAGE, 1, (2, 3, 5))
    monkeypatch.setattr(occlusion, "_IMAGES", 7)
    parts = occluder.by_size(IMAGE, 1, (2, 3, 5))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a.confidence, b.confidence, atol=1e-6)
    assert [f.experimental_get_tracing_count() for f in occluder._compiled.values()] == [1, 1, 1]


def test_bad_input_is_told_in_one_line():
    occluder = Occluder(network())
    cases = [
        ({"size": 10}, "size: found 10, expected 1 to 9"),
        ({"size": 0}, "size: found 0"),
        ({"size": 3, "stride": 4}, "stride: found 4, expected 1 to 3, or pixels are left out"),
        ({"size": 3, "target": 3}, "class: found 3, expected 0 to 2"),
        ({"size": 3, "fill": "black"}, "fill: found 'black', expected one of grey, mean, blur"),
    ]
    for options, words in cases:
        with pytest.raises(InputError, match=words):
            occluder.occlude(IMAGE, **({"target": 0} | options))
    with pytest.raises(InputError, match=r"found shape \(1, 9, 9, 3\)"):
        occluder.occlude(IMAGE[:9], 0, 3)
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(InputError, match="a classifier"):
        Occluder(keras.Model(inputs, layers.Conv2D(2, 3)(inputs)))


def in_torch(model: keras.Model):
    """The same network, taking (N, 3, H, W)."""
    torch = pytest.importorskip("torch")
    stages = []
    for layer in model.layers:
        weights = [torch.tensor(w) for w in layer.get_weights()]
        match layer:
            case layers.Conv2D():
                stages.append(torch.nn.Conv2d(weights[0].shape[2], weights[0].shape[3], 3))
                state = {"weight": weights[0].permute(3, 2, 0, 1), "bias": weights[1]}
            case layers.BatchNormalization():
                stages.append(torch.nn.BatchNorm2d(len(weights[0]), eps=layer.epsilon))
                state = dict(zip(("weight", "bias", "running_mean", "running_var"), weights, strict=True))
                state["num_batches_tracked"] = torch.tensor(0)
            case layers.Dense():
                stages += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(*weights[0].shape)]
                state = {"weight": weights[0].T, "bias": weights[1]}
            case layers.ReLU():
                stages.append(torch.nn.ReLU())
                continue
            case _:
                continue
        stages[-1].load_state_dict(state)
    network = torch.nn.Sequential(*stages).eval()
    return lambda images: network(images / 127.5 - 1).softmax(dim=1)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_drop_is_captums_occlusion(stride):
    torch, attribution = pytest.importorskip("torch"), pytest.importorskip("captum.attr")
    model = network()
    found = Occluder(model).occlude(IMAGE, 2, 3, stride=stride)  # 11 and 9 pixels: patches of 3 fit with stride 2
    pixels = torch.tensor(IMAGE.astype(np.float32)).permute(2, 0, 1)[None]
    options = {"sliding_window_shapes": (3, 3, 3), "strides": (3, stride, stride), "baselines": 127.5, "target": 2}
    with torch.no_grad():
        expected = attribution.Occlusion(in_torch(model)).attribute(pixels, perturbations_per_eval=99, **options)
    np.testing.assert_allclose(found.drop(11, 9), expected[0, 0].numpy(), atol=1e-5)
