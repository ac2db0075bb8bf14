"""Each kind of section against loops that follow its definition, and whole networks against Debian's Darknet."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.detection.cfg import parse_cfg
from keras_cnn.detection.darknet import _image_size, load_darknet
from keras_cnn.detection.heads import read_heads
from keras_cnn.detection.network import open_network, save_network
from keras_cnn.detection.weights import WeightsFile
from keras_cnn.detection.yolo import Detector
from keras_cnn.errors import InputError

CFGS = Path("/usr/share/darknet/cfg")
RANDOM = np.random.default_rng(0)


def run(files, image, **options) -> np.ndarray:
    """The last map of a network, for an (H, W, C) image of values 0 to 1."""
    outputs = load_darknet(*files, **options)(image[None].astype(np.float32) * 255, training=False)
    return np.asarray(outputs[0] if isinstance(outputs, list) else outputs)[0]


def convolved(image, kernel, stride, padding, groups=1, dilation=1) -> np.ndarray:
    """`kernel` (filters, channels / groups, size, size), as Darknet stores it."""
    filters, inner, size, _ = kernel.shape
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    reach = dilation * (size - 1) + 1
    rows, columns = ((length - reach) // stride + 1 for length in padded.shape[:2])
    out = np.zeros((rows, columns, filters))
    for row in range(rows):
        for column in range(columns):
            for f in range(filters):
                first = f // (filters // groups) * inner
                for c in range(inner):
                    for y in range(size):
                        for x in range(size):
                            pixel = padded[row * stride + y * dilation, column * stride + x * dilation, first + c]
                            out[row, column, f] += pixel * kernel[f, c, y, x]
    return out


@pytest.mark.parametrize(
    ("stride", "pad", "groups", "dilation", "size"),
    [
        *((1, 1, 1, 1, 3), (2, 1, 1, 1, 3), (2, 0, 1, 1, 3), (1, 1, 2, 1, 3), (1, 1, 1, 2, 3)),
        *((2, 1, 1, 1, 2), (1, 1, 1, 1, 2), (1, 1, 1, 1, 4), (1, 0, 1, 1, 2)),
    ],
)
def test_convolution_with_batch_norm_and_leaky(network, stride, pad, groups, dilation, size):
    image = RANDOM.uniform(size=(6, 5, 2))
    kernel = RANDOM.normal(size=(4, 2 // groups, size, size))
    biases, scales, means = RANDOM.normal(size=(3, 4))
    variances = RANDOM.uniform(0.5, 2, 4)
    layers = f"""[convolutional]\nbatch_normalize=1\nfilters=4\nsize={size}\nstride={stride}\npad={pad}\ngroups={groups}
        dilation={dilation}\nactivation=leaky"""
    files = network(layers, np.concatenate([biases, scales, means, variances, kernel.ravel()]), (6, 5, 2))
    expected = convolved(image, kernel, stride, size // 2 * dilation if pad else 0, groups, dilation)
    expected = scales * (expected - means) / (np.sqrt(variances) + 1e-6) + biases
    expected = np.where(expected > 0, expected, 0.1 * expected)
    for fold in (False, True):
        np.testing.assert_allclose(run(files, image, fold=fold), expected, rtol=2e-4, atol=2e-5)


def test_flipped_weights_are_stored_with_the_filters_fastest(network):
    image, kernel = RANDOM.uniform(size=(5, 4, 2)), RANDOM.normal(size=(3, 2, 3, 3))
    layers = "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=linear\nflipped="
    for flipped, stored in ((1, kernel.reshape(3, -1).T), (0, kernel)):
        files = network(f"{layers}{flipped}", np.concatenate([np.zeros(3), stored.ravel()]), (5, 4, 2))
        np.testing.assert_allclose(run(files, image), convolved(image, kernel, 1, 1), rtol=2e-4, atol=2e-5)
    matrix = RANDOM.normal(size=(5, 40))
    files = network("[connected]\noutput=5\nactivation=linear\nflipped=1",
                    np.concatenate([np.zeros(5), matrix.T.ravel()]), (5, 4, 2))  # fmt: skip
    np.testing.assert_allclose(run(files, image), matrix @ image.transpose(2, 0, 1).ravel(), rtol=1e-4, atol=1e-5)


def test_a_variance_of_nothing_is_darknets_division_by_a_millionth(network):
    layers = "[convolutional]\nbatch_normalize=1\nfilters=1\nsize=1\nstride=1\nactivation=linear"
    files = network(layers, [0, 1, 0, 0, 1e-6], (1, 1, 1))
    for fold in (False, True):  # (1e-6 * 1 - 0) / (sqrt(0) + 1e-6) = 1
        np.testing.assert_allclose(run(files, np.ones((1, 1, 1)), fold=fold), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
        ("relu", lambda x: np.maximum(x, 0)),
        ("linear", lambda x: x),
        ("tanh", np.tanh),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("swish", lambda x: x / (1 + np.exp(-x))),
        ("elu", lambda x: np.where(x > 0, x, np.exp(x) - 1)),
        ("relu6", lambda x: np.clip(x, 0, 6)),
    ],
)
def test_activations(network, name, formula):
    image = np.linspace(0, 1, 16).reshape(4, 4, 1)
    files = network(f"[conv]\nfilters=1\nsize=1\nactivation={name}", [-8, 16])
    np.testing.assert_allclose(run(files, image), formula(16 * image - 8), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stride", "side"), [(2, 1, 4), (2, 2, 5), (3, 2, 6), (5, 1, 4), (3, 2, 5), (2, 2, 4)])
def test_maxpool_pads_as_darknet_does(network, size, stride, side):
    image = -RANDOM.uniform(size=(side, side, 1))  # below zero: padding with zeros would win
    files = network(
        f"[conv]\nfilters=1\nsize=1\nactivation=linear\n[maxpool]\nsize={size}\nstride={stride}",
        [0, 1],
        (side, side, 1),
    )
    count, before = (side - 1) // stride + 1, (size - 1) // 2
    expected = np.empty((count, count, 1))
    for row in range(count):
        for column in range(count):
            top, left = row * stride - before, column * stride - before
            window = image[max(top, 0) : top + size, max(left, 0) : left + size]
            expected[row, column] = window.max()
    np.testing.assert_allclose(run(files, image), expected, rtol=1e-5)


def test_route_upsample_and_groups(network):
    image = RANDOM.uniform(size=(2, 2, 4))
    layers = """
        [maxpool]\nsize=2\nstride=2
        [upsample]\nstride=2
        [route]\nlayers=-1,-3
        [route]\nlayers=1\ngroups=2\ngroup_id=1
        [route]\nlayers=-2,-1"""
    layers = "[conv]\nfilters=4\nsize=1\nactivation=linear" + layers.replace("-1,-3", "-1,0").replace(
        "layers=1\n", "layers=0\n"
    )
    files = network(layers, np.concatenate([np.zeros(4), np.eye(4).ravel()]), (2, 2, 4))
    top = np.repeat(np.repeat(image.max(axis=(0, 1))[None, None], 2, 0), 2, 1)
    expected = np.concatenate([top, image, image[..., 2:]], axis=-1)
    np.testing.assert_allclose(run(files, image), expected, rtol=1e-5)


@pytest.mark.parametrize("filters", [2, 6])
def test_shortcut_of_another_size_adds_every_second_pixel_of_the_channels_there_are(network, filters):
    image, kernel = RANDOM.uniform(size=(4, 4, 4)), RANDOM.normal(size=(filters, 4, 1, 1))
    layers = f"""[conv]\nfilters=4\nsize=1\nactivation=linear
        [conv]\nfilters={filters}\nsize=1\nstride=2\nactivation=linear
        [shortcut]\nfrom=0\nactivation=leaky"""
    numbers = [np.zeros(4), np.eye(4).ravel(), np.zeros(filters), kernel.ravel()]
    expected = convolved(image, kernel, 2, 0)
    for row in range(2):
        for column in range(2):
            for channel in range(min(filters, 4)):
                expected[row, column, channel] += image[2 * row, 2 * column, channel]
    expected = np.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(
        run(network(layers, np.concatenate(numbers), (4, 4, 4)), image), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 1001, 0)])
def test_connected_layers_read_maps_channel_by_channel(network, version):
    image = RANDOM.uniform(size=(2, 3, 2))
    matrix, biases = RANDOM.normal(size=(5, 12)), RANDOM.normal(size=5)
    stored = matrix.T if version[1] > 1000 else matrix
    norm = np.stack([np.full(5, 2.0), np.full(5, 0.5), np.full(5, 4.0)])
    layers = "[connected]\noutput=5\nactivation=linear\nbatch_normalize=1"
    layers += "\n[dropout]\nprobability=.25\n[dropout]\n[softmax]\n[cost]\ntype=sse"
    files = network(layers, np.concatenate([biases, stored.ravel(), norm.ravel()]), (2, 3, 2), version)
    scores = 2 * (matrix @ image.transpose(2, 0, 1).ravel() - 0.5) / 2 + biases
    expected = np.exp(scores) / np.exp(scores).sum()
    for fold in (False, True):
        np.testing.assert_allclose(run(files, image, fold=fold), expected, rtol=1e-4)
    rates = [layer.rate for layer in load_darknet(*files).layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.25, 0.5]  # Darknet prints "dropout p = 0.50" for a section without a probability
    assert WeightsFile(files[1]).seen == 7


def test_softmax_in_groups_and_average(network):
    image = RANDOM.uniform(size=(2, 2, 4))
    means = image.mean(axis=(0, 1))
    expected = np.concatenate([np.exp(part) / np.exp(part).sum() for part in (means[:2], means[2:])])
    np.testing.assert_allclose(
        run(network("[avgpool]\n[softmax]\ngroups=2", [], (2, 2, 4)), image), expected, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("layers", "numbers", "expected"),
    [
        ("[conv]", [-1, 2], lambda image: 1 / (1 + np.exp(1 - 2 * image))),  # one 1x1 filter, the logistic function
        (
            "[conv]\nactivation=linear\npadding=1",
            [1, 2],
            lambda image: np.pad(2 * image, [(1, 1), (1, 1), (0, 0)]) + 1,
        ),
        ("[connected]", [-1, *range(15)], lambda image: 1 / (1 + np.exp(1 - np.arange(15) @ image.ravel()))),
        ("[maxpool]", [], lambda image: image),
        ("[maxpool]\nstride=3\npadding=0", [], lambda image: image[:3].max(keepdims=True)),
        ("[upsample]", [], lambda image: image.repeat(2, axis=0).repeat(2, axis=1)),
        ("[conv]\nactivation=linear\n[shortcut]\nfrom=0", [0, 1], lambda image: 2 * image),
        ("[conv]\nactivation=linear\n[route]\nlayers=0", [0, 1], lambda image: image),
        ("[crop]", [], lambda image: image[2:3, 1:2] * 2 - 1),
        ("[crop]\ncrop_height=2\ncrop_width=2\nnoadjust=1", [], lambda image: image[1:3, :2]),
    ],
)
def test_a_section_without_values_has_darknets_defaults(network, layers, numbers, expected):
    image = RANDOM.uniform(size=(5, 3, 1))
    np.testing.assert_allclose(run(network(layers, numbers, (5, 3, 1)), image), expected(image), rtol=1e-5, atol=1e-6)


def test_a_head_without_values_has_one_anchor_and_twenty_classes(tmp_path):
    network = parse_cfg("[net]\n ; first\n# second\n[yolo]\nanchors = 3, 4,\nanchors = 5, 6", tmp_path / "a.cfg")
    (head,) = read_heads(network)
    assert (head.anchors.tolist(), head.classes, head.scale_x_y) == ([[3, 4]], 20, 1)
    with pytest.raises(InputError, match=r"a\.cfg:1: \[net\] height: found 0, expected at least 1"):
        _ = network.size


def test_limits_of_a_cfg_are_the_largest_that_it_may_have(tmp_path):
    for layers, fits in ((1000, True), (1001, False)):
        text = "[net]\n" + "[avgpool]\n" * layers
        if fits:
            assert len(parse_cfg(text, tmp_path).layers) == 1000
        else:
            with pytest.raises(InputError, match=r"1,001 layers, expected at most 1,000"):
                parse_cfg(text, tmp_path)
    head = "[net]\nwidth={}\nheight=1\nchannels=3\n[yolo]\nclasses={}\nanchors={},1\nmask={}\nnum=1"
    network = parse_cfg(head.format(1 << 20, 100_000, 1 << 20, 0), tmp_path)
    assert (network.size, read_heads(network)[0].classes) == ((1, 1 << 20, 3), 100_000)
    for values, message in (
        (((1 << 20) + 1, 1, 1, 0), "width: found 1,048,577, expected at most 1,048,576"),
        ((1, 100_001, 1, 0), "classes: found 100,001, expected at most 100,000"),
        ((1, 1, (1 << 20) + 2, 0), "anchors: found 1.04858e+06, expected at most 1,048,576"),
        ((1, 1, -1, 0), "anchors: found -1, expected widths and heights above 0"),
        ((1, 0, 1, 0), "classes: found 0, expected at least 1"),
        ((1, 1, 1, -1), "mask: found [-1], expected numbers from 0 to 0, as num=1"),
        ((1, 1, 1, 1), "mask: found [1], expected numbers from 0 to 0, as num=1"),
    ):
        wrong = parse_cfg(head.format(*values), tmp_path)
        with pytest.raises(InputError, match=re.escape(message)):
            print(read_heads(wrong), wrong.size)
    two = "[net]\n[yolo]\nanchors=1,1\nclasses=2\n[avgpool]\n[yolo]\nanchors=1,1\nclasses=3"
    with pytest.raises(InputError, match=r":8: \[yolo\] classes: found 3, expected 2, as in the first \[yolo\]"):
        read_heads(parse_cfg(two, tmp_path))


@pytest.mark.parametrize(
    ("layers", "size", "expected"),
    [
        ("[avgpool]", (1, 16_384), None),
        ("[avgpool]", (16_385, 1), "found 1x16385, expected 1 to 16,384"),
        ("[avgpool]", (0, 1), "found 1x0, expected 1 to 16,384"),
        ("[yolo]", (32, 16_416), "found 16416x32, expected multiples of 32 up to 16,384"),
        ("[yolo]", (16_384, 32), None),
        ("[yolo]", (0, 32), "found 32x0, expected multiples of 32 up to 16,384"),
        ("[yolo]", 48, "found 48x48, expected multiples of 32 up to 16,384"),
        ("[yolo]", None, "found 5x64, expected multiples of 32 up to 16,384"),
    ],
)
def test_sides_of_the_images_have_limits(tmp_path, layers, size, expected):
    network = parse_cfg(f"[net]\nheight=64\nwidth=5\nchannels=2\n{layers}", tmp_path / "a.cfg")
    if expected is None:
        assert _image_size(network, size) == (*size, 2)
    else:
        with pytest.raises(InputError, match=rf"a\.cfg: image size: {expected}"):
            _image_size(network, size)


def test_crop_takes_the_middle(network):
    image = RANDOM.uniform(size=(5, 4, 1))
    cropped = run(network("[crop]\ncrop_height=2\ncrop_width=2", [], (5, 4, 1)), image)
    np.testing.assert_allclose(cropped, image[1:3, 1:3] * 2 - 1, rtol=1e-5, atol=1e-6)


MIXED = """
[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky
[maxpool]\nsize=3\nstride=2
[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\ngroups=2\nactivation=relu
[shortcut]\nfrom=-2\nactivation=leaky
[convolutional]\nfilters=12\nsize=3\nstride=2\npad=1\nactivation=linear
[shortcut]\nfrom=-2\nactivation=linear
[maxpool]\nsize=2\nstride=1
[upsample]\nstride=2
[route]\nlayers=-1,3
[convolutional]\nbatch_normalize=1\nfilters=5\nsize=2\nstride=2\npad=1\nactivation=elu
{end}
"""
ENDS = {
    "map": "",
    "average": "[avgpool]",
    "dense": "[connected]\noutput=6\nactivation=logistic\nbatch_normalize=1\n[dropout]\n[softmax]\ngroups=2",
}
NORMED = [(3 * 9, 8), (4 * 9, 8)]  # numbers of a filter, filters


def mixed_numbers(end: str) -> np.ndarray:
    """Random weights of MIXED in the order of its file."""

    def norm(filters):
        return [RANDOM.normal(size=2 * filters), RANDOM.normal(size=filters) / 10, RANDOM.uniform(0.1, 2, filters)]

    parts = []
    for numbers, filters in NORMED:
        parts += [*norm(filters), RANDOM.normal(size=numbers * filters) / 4]
    parts += [RANDOM.normal(size=12), RANDOM.normal(size=8 * 9 * 12) / 8]
    parts += [*norm(5), RANDOM.normal(size=20 * 4 * 5) / 8]
    if end == "dense":
        inputs = 5 * 5 * 5
        parts += [RANDOM.normal(size=6), RANDOM.normal(size=6 * inputs) / 8, np.ones(6), np.zeros(6), np.ones(6)]
    return np.concatenate(parts)


def test_whole_networks_equal_debians_darknet(network, darknet, tmp_path):
    image = RANDOM.uniform(size=(16, 16, 3)).astype(np.float32)
    np.save(tmp_path / "image.npy", image.transpose(2, 0, 1))
    jobs, ours = [], []
    for name, end in ENDS.items():
        cfg, weights = network(MIXED.format(end=end), mixed_numbers(name), (16, 16, 3), name=name)
        found = run((cfg, weights), image)
        ours.append(found.transpose(2, 0, 1).ravel() if found.ndim == 3 else found)
        paths = {"cfg": str(cfg), "weights": str(weights), "input": str(tmp_path / "image.npy")}
        jobs.append(paths | {"numbers": ours[-1].size})
    for found, expected in zip(ours, darknet(jobs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "numbers", "outputs"),
    [
        ("yolov3", 62_001_757, [(13, 13, 255), (26, 26, 255), (52, 52, 255)]),  # yolov3.weights has 248,007,048 bytes
        ("yolov3-spp", 63_052_381, [(13, 13, 255), (26, 26, 255), (52, 52, 255)]),
        ("yolov3-tiny", 8_858_734, [(13, 13, 255), (26, 26, 255)]),  # yolov3-tiny.weights has 34 MB: 35,434,956 bytes
        ("resnet18", 11_523_496, [(1000,)]),
        ("resnet50", 22_825_896, [(1000,)]),
        ("alexnet", 62_378_344, [(1000,)]),  # as Krizhevsky et al. 2012 without its two groups
    ],
)
def test_darknets_own_cfgs_build(tmp_path, name, numbers, outputs):
    cfg = CFGS / f"{name}.cfg"
    if not cfg.is_file():
        pytest.skip(f"no {cfg}: Debian's package darknet is not installed")
    weights = tmp_path / "zeros.weights"
    with weights.open("wb") as file:
        file.write(np.array([0, 2, 0, 0, 0], "<i4").tobytes())
        file.truncate(20 + 4 * numbers)
    model = load_darknet(cfg, weights, size=416 if name.startswith("yolo") else None)
    assert [tuple(o.shape[1:]) for o in model.outputs] == outputs
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


def test_sizes_are_free_in_multiples_of_32(network):
    layers = (
        "[conv]\nfilters=6\nsize=3\nstride=32\npad=1\nactivation=linear\n[yolo]\nmask=0\nanchors=3,4\nnum=1\nclasses=1"
    )
    files = network(layers, np.zeros(6 + 54), (64, 64, 1))
    assert load_darknet(*files).input_shape == (None, 64, 64, 1)
    model = load_darknet(*files, size=(96, 32))
    assert model.input_shape == (None, 96, 32, 1)
    assert tuple(model.outputs[0].shape) == (None, 3, 1, 6)
    with pytest.raises(InputError, match="found 50x50, expected multiples of 32"):
        load_darknet(*files, size=50)


def test_weights_that_do_not_belong_to_the_cfg(network):
    layers = "[conv]\nfilters=2\nsize=1\nactivation=linear\n[conv]\nfilters=3\nsize=1\nactivation=linear"
    cfg, weights = network(layers, np.zeros(2 + 2 + 3 + 6))
    load_darknet(cfg, weights)
    whole = weights.read_bytes()
    assert len(whole) == 20 + 4 * 13
    weights.write_bytes(whole[:-3])
    expected = (
        rf"{re.escape(str(weights))}: the file ends in {re.escape(str(cfg))}:9: \[convolutional\], layer 1: expected"
    )
    with pytest.raises(InputError, match=expected + " at least 72 bytes up to there, found 69"):
        load_darknet(cfg, weights)
    weights.write_bytes(whole + bytes(8))
    with pytest.raises(InputError, match=r"8 bytes are left after .*layer 1.*takes 72 bytes, the file has 80"):
        load_darknet(cfg, weights)
    weights.write_bytes(whole[:10])
    with pytest.raises(InputError, match="ends in header: expected at least 12 bytes up to there, found 10"):
        load_darknet(cfg, weights)
    weights.write_bytes(b"")
    with pytest.raises(InputError, match="cannot read the Darknet weights: the file is empty"):
        load_darknet(cfg, weights)
    with pytest.raises(InputError, match="No such file"):
        load_darknet(cfg, weights.with_name("none"))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("[local]\nfilters=2", r"small.cfg:5: unknown section \[local\]; "),
        ("[maxpol]\nsize=2", r"unknown section \[maxpol\]; did you mean maxpool\?"),
        ("[conv]\nfilter=2", r"small.cfg:6: \[convolutional\]: unknown key filter; did you mean filters\?"),
        ("[conv]\nfilters=two", r"small.cfg:6: \[convolutional\] filters: found 'two', expected a whole number"),
        (
            "[conv]\nactivation=lekay",
            r"small.cfg:6: \[convolutional\] activation: unknown activation lekay; did you mean leaky",
        ),
        ("[route]\nlayers=-1", r"\[route\] layers: found -1, expected a layer before this one"),
        ("[avgpool]\n[softmax]\n[maxpool]\nsize=2", r"\[maxpool\], layer 2: follows a vector of 1, expected a map"),
        (
            "[conv]\nfilters=4\nsize=1\n[avgpool]\n[softmax]\ngroups=3",
            r"\[softmax\] groups: 3 groups of 4, expected a div",
        ),
        ("[conv]\nfilters=3\nsize=1\n[shortcut]\nfrom=7", r"\[shortcut\] from: found 7"),
        (
            "[conv]\nfilters=4\nsize=1\n[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,0",
            r"small.cfg:12: \[route\] layers: maps of 32x32, expected 16x16, as of its first layer",
        ),
        ("[conv]\nfilters=4\nsize=1\n[route]\nlayers=0\ngroups=3", r"groups: 3 groups of 4 channels, expected a div"),
        ("[conv]\nfilters=4\nsize=1\n[route]\nlayers=0\ngroups=2\ngroup_id=2", r"group_id: found 2, expected below"),
        (
            "[conv]\nfilters=7\nactivation=linear\n[yolo]\nmask=0\nanchors=3,4\nnum=1\nclasses=1",
            r"small.cfg:8: \[yolo\], layer 1: the layer before has 7 channels \(filters=7\), expected 6: 1 anchors in"
            r" mask x \(5 \+ 1 classes\)",
        ),
        ("[yolo]\nmask=3\nanchors=3,4\nnum=1\nclasses=1", r"\[yolo\] mask: found \[3\], expected numbers from 0 to 0"),
        ("[yolo]\nmask=0\nanchors=3,4,5\nnum=1\nclasses=1", r"\[yolo\] anchors: 3 numbers, expected 2"),
        ("filters=2", r"small.cfg:5: \[net\]: unknown key filters"),
        ("[yolo]\nmask=0\nanchors=nan,4\nnum=1\nclasses=1", r"\[yolo\] anchors: found \[nan, 4.0\], expected finite"),
        ("[yolo]\nmask=0\nanchors=0,4\nnum=1\nclasses=1", r"\[yolo\] anchors: found 0, expected widths and heights"),
        ("[yolo]\nmask=0\nanchors=4,1e39\nnum=1\nclasses=1", r"\[yolo\] anchors: found 1e\+39, expected at most 1,048"),
        ("[yolo]\nmask=0\nanchors=3,4\nnum=1\nclasses=1000000000", r"classes: found 1,000,000,000, expected at most"),
        ("[yolo]\nmask=0\nanchors=3,4\nnum=1\nclasses=200000", r"classes: found 200,000, expected at most 100,000"),
        ("[conv]\nfilters=1000000\nsize=500", r"\[convolutional\], layer 0: 250,000,000,000 numbers in one layer, ex"),
        ("[conv]\nfilters=9999999999", r"filters: found 9,999,999,999, expected at most 1,048,576"),
        ("[dropout]\nprobability=inf", r"probability: found inf, expected a finite number"),
        ("[conv]\n" * 1500, r"small.cfg: 1,500 layers, expected at most 1,000"),
        ("[conv]\nhello", r"small.cfg:6: \[convolutional\]: found 'hello', expected key=value"),
    ],
)
def test_wrong_cfgs_are_named_with_section_and_line(network, layers, message):
    with pytest.raises(InputError, match=message):
        load_darknet(*network(layers, np.zeros(100), (32, 32, 1)))


EVERYTHING = """[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=mish
[maxpool]\nsize=3\nstride=2
[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=1\npad=1\ngroups=2\nactivation=leaky
[shortcut]\nfrom=1\nactivation=linear
[route]\nlayers=1\ngroups=2\ngroup_id=1
[route]\nlayers=-1,-2
[convolutional]\nfilters=6\nsize=1\nactivation=linear
[yolo]\nmask=0\nanchors=9,9\nnum=1\nclasses=1
[route]\nlayers=5
[upsample]\nstride=2
[convolutional]\nfilters=6\nsize=1\nactivation=linear
[yolo]\nmask=0\nanchors=9,9\nnum=1\nclasses=1
"""


def test_a_network_of_everything_is_compiled_saved_and_computed_in_bfloat16(network, tmp_path):
    norms = [[RANDOM.normal(size=3 * n) / 4, RANDOM.uniform(0.5, 2, n)] for n in (8, 4)]
    parts = [*norms[0], RANDOM.normal(size=8 * 27), *norms[1], RANDOM.normal(size=4 * 4 * 9) / 4]
    parts += [np.concatenate([RANDOM.normal(size=6), RANDOM.normal(size=6 * 8)]) for _ in range(2)]
    cfg, weights = network(EVERYTHING, np.concatenate(parts), (64, 32, 3))
    opened, unfolded = open_network(str(cfg), weights), load_darknet(cfg, weights)
    norms = [[isinstance(k, keras.layers.BatchNormalization) for k in m.layers] for m in (opened.model, unfolded)]
    assert [sum(found) for found in norms] == [0, 2]
    named = "image rescale zeros_0 conv_0 bn_0 mish_0 maxpool_1 conv_2 bn_2 leaky_2 shortcut_3 route_5 conv_6 yolo_7"
    names = {layer.name for layer in unfolded.layers if not layer.name.startswith(("pad", "split"))}
    assert names == {*named.split(), "upsample_9", "conv_10", "yolo_11"}
    assert (unfolded.name, opened.model.layers[1].scale) == ("small", 1 / 255)
    image = RANDOM.integers(0, 256, (64, 32, 3), np.uint8)
    plain = [np.asarray(o)[0] for o in unfolded(image[None].astype(np.float32), training=False)]
    assert [o.shape for o in plain] == [(16, 8, 6), (32, 16, 6)]
    save_network(opened, tmp_path / "kept.keras")
    kept = open_network(str(tmp_path / "kept.keras"))
    assert [head.anchors.tolist() for head in kept.heads] == [[[9, 9]], [[9, 9]]]
    for found in (opened, kept):
        for ours, expected in zip(Detector(found.model, found.heads).maps(image), plain, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)
    half = Detector(opened.model, opened.heads, precision="bfloat16").maps(image)
    for ours, expected in zip(half, plain, strict=True):
        assert 0 < np.abs(ours - expected).max() < 0.05 * np.abs(expected).max()
