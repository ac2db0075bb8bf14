"""Trainable parameters of the published networks, cell by cell, against the reports' numbers and hand formulas."""

import itertools
import math

import keras
import numpy as np
import pytest
from scipy import stats

from keras_cnn.errors import InputError
from keras_cnn.models import build


def _trainable(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _cifar(name: str, **options) -> int:
    return _trainable(build(name, (32, 32, 3), **options))


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("net1", {"l1_oc": 18, "filter_multiplier": 2, "kernel_size": 3, "stride": 1}, 173026),
        ("net2", {"l1_oc": 64, "kernel_size": 5}, 4870654),
        ("net3", {"l1_oc": 32}, 1506430),
        ("net3", {"l1_oc": 64}, 3775870),
        ("net3", {"l1_oc": 96}, 6819454),
        ("net4", {"l1_oc": 64}, 4403518),
    ],
)
def test_cs7015_printed_counts(name, options, published):
    assert _cifar(name, **options) == published


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1_oc": 0}, "net1: l1_oc: found 0, expected at least 1"),
        ({"l1_oc": 3, "filter_multiplier": 0.3}, r"net1: filter_multiplier: 0.3 makes \[3, 0\] filters, expected at"),
    ],
)
def test_a_convolution_without_filters_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        _cifar("net1", **options)
    assert _cifar("net1", l1_oc=3, filter_multiplier=0.4) > 0  # 3 and 1 filters


NET1_CELLS = list(itertools.product((6, 12, 18), (1.5, 2), (3, 5), (1, 2)))


@pytest.mark.parametrize(("width", "factor", "kernel", "stride"), NET1_CELLS)
def test_net1_every_cell_of_its_grid(width, factor, kernel, stride):
    first = (32 - kernel) // stride + 1
    second = (first // 2 - kernel) // stride + 1
    wide = int(width * factor)
    convolutions = kernel**2 * (3 * width + width * wide) + width + wide
    head = (second // 2) ** 2 * wide * 120 + 120 * 84 + 84 * 10 + 120 + 84 + 10
    counted = _cifar("net1", l1_oc=width, filter_multiplier=factor, kernel_size=kernel, stride=stride)
    assert counted == convolutions + head


@pytest.mark.parametrize(("width", "kernel"), list(itertools.product((18, 32, 64), (3, 5, 7))))
def test_net2_every_cell_of_its_grid(width, kernel):
    # Maps of 35 - k and 36 - 2k pixels a side, pooled to 18 - k; then 21 - 2k and 22 - 3k, pooled unless that is 1.
    last = 22 - 3 * kernel
    last = last // 2 if last > 1 else last
    convolutions = kernel**2 * (3 * width + (2 + 8 + 32) * width**2) + (1 + 2 + 4 + 8) * width
    head = last**2 * 8 * width * 120 + 120 * 84 + 84 * 10 + 120 + 84 + 10
    assert _cifar("net2", l1_oc=width, kernel_size=kernel) == convolutions + head


def test_net2_group_means_of_its_nine_cells():
    cells = {(w, k): _cifar("net2", l1_oc=w, kernel_size=k) for w in (18, 32, 64) for k in (3, 5, 7)}
    by_width = {w: sum(cells[w, k] for k in (3, 5, 7)) / 3 for w in (18, 32, 64)}
    by_kernel = {k: sum(cells[w, k] for w in (18, 32, 64)) / 3 for k in (3, 5, 7)}
    assert by_width == {18: 654346, 32: 1675198, 64: 5719038}
    assert by_kernel == {3: 2011954, 5: 2248274, 7: 3788354}


def test_net2_with_7x7_kernels_keeps_the_last_pixel_and_only_then_drops_the_pool():
    seven = build("net2", (32, 32, 3), kernel_size=7)
    assert seven.get_layer("relu4").output.shape[1:3] == (1, 1)
    assert [layer.name for layer in seven.layers if layer.name.startswith("pool")] == ["pool1"]
    assert build("net2", (32, 32, 3), kernel_size=5).get_layer("pool2").output.shape[1:3] == (3, 3)


@pytest.mark.parametrize(
    ("name", "options"), [("net3", {"l1_oc": 32, "dropout_rate": 0.5}), ("net4", {"dropout_rate": 0.5})]
)
def test_dropout_stands_before_every_dense_layer_and_adds_no_parameters(name, options):
    model = build(name, (32, 32, 3), **options)
    names = [layer.name for layer in model.layers]
    for dropout, dense in (("dropout1", "dense1"), ("dropout2", "dense2"), ("dropout3", "logits")):
        assert names.index(dense) == names.index(dropout) + 1
        assert model.get_layer(dropout).rate == 0.5
    assert _trainable(model) == _cifar(name, **{**options, "dropout_rate": 0.1})


def test_cs7015_batch_norm_and_its_place():
    model = build("net4", (32, 32, 3))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.epsilon, layer.momentum) for layer in norms} == {(1e-5, 0.95)}
    names = [layer.name for layer in model.layers]
    for i in range(1, 6):
        assert names.index(f"relu{i}") == names.index(f"bn{i}") + 1 == names.index(f"conv{i}") + 2
    assert names.index("bn6") == names.index("relu6") + 1 == names.index("conv6") + 2


def test_tdt4265_lenet_layer_by_layer():
    model = build("lenet", (32, 32, 3))
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == [2432, 51264, 204928, 131136, 640 + 10]  # the report leaves out the last ten biases
    assert sum(counts) == 390410


@pytest.mark.parametrize(
    ("name", "order"),
    [
        (
            "model1",
            "conv1 relu1 spatial_dropout1 bn1 pool1 conv2 relu2 conv3 relu3 bn2 pool2 conv4 relu4 conv5 relu5 bn3 "
            "pool3 flatten dense1 relu6 dense2 relu7 bn4 logits",
        ),
        (
            "model2",
            "conv1 spatial_dropout1 bn1 relu1 pool1 conv2 bn2 relu2 pool2 conv3 bn3 relu3 pool3 "
            "flatten dense1 bn4 relu4 logits",
        ),
    ],
)
def test_tdt4265_models_in_the_order_of_table_2(name, order):
    model = build(name, (32, 32, 3))
    assert [layer.name for layer in model.layers[2:]] == order.split()
    assert isinstance(model.get_layer("conv1").kernel_initializer, keras.initializers.GlorotUniform)
    widths = {"model1": [32, 64, 128, 256, 512, 2048, 64], "model2": [32, 64, 128, 64]}[name]
    assert [x.kernel.shape[-1] for x in model.layers if hasattr(x, "kernel")] == [*widths, 10]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("model1", "conv1 relu1 bn1 conv2 relu2 conv3 relu3 bn2 conv4 relu4 conv5 relu5 bn3 flatten dense1 relu6"),
        ("model2", "conv1 bn1 relu1 conv2 bn2 relu2 conv3 bn3 relu3 flatten dense1"),
    ],
)
def test_tdt4265_strides_stand_for_the_pools(name, order):
    model = build(name, (32, 32, 3), dropout=0.0, downsampling="stride")
    names = [layer.name for layer in model.layers[2:]]
    assert names[: len(order.split())] == order.split()
    assert not [n for n in names if n.startswith(("pool", "spatial_dropout"))]
    assert model.get_layer("flatten").input.shape[1:3] == (4, 4)  # as behind three pools
    assert _trainable(model) == _cifar(name)


@pytest.mark.parametrize(("name", "normalised"), [("model1", 32 + 128 + 512 + 64), ("model2", 32 + 64 + 128 + 64)])
def test_tdt4265_variants_without_batch_norm_and_with_more_dropout(name, normalised):
    plain = build(name, (32, 32, 3), batch_norm=False, dropout=0.3)
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert _trainable(plain) == _cifar(name) - 2 * normalised
    assert plain.get_layer("spatial_dropout1").rate == 0.3
    assert build(name, (32, 32, 3)).get_layer("spatial_dropout1").rate == 0.1


def test_comp5623_at_128_pixels():
    model = build("imagenet10", (128, 128, 3))
    assert model.get_layer("flatten").output.shape[1] == 9216
    assert _trainable(model) == 40940852


def test_comp5623_dropout_follows_the_hidden_dense_layers():
    model = build("imagenet10", (64, 64, 3), dropout=[0.2, 0.3, 0.3])  # a list, as YAML gives it
    names = [layer.name for layer in model.layers]
    after_dense = {name: names[names.index(name) + 2] for name in ("dense1", "dense2", "dense3")}
    assert after_dense == {"dense1": "dropout1", "dense2": "dropout2", "dense3": "dropout3"}
    assert [model.get_layer(f"dropout{i}").rate for i in (1, 2, 3)] == [0.2, 0.3, 0.3]


def test_weights_of_the_cs7015_and_comp5623_networks_start_as_pytorchs_do():
    """Kernels and biases of a convolution and a dense layer beside those of PyTorch's layers of the same shape."""
    torch = pytest.importorskip("torch")
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    model = build("net1", (32, 32, 3))
    pairs = {"conv2": torch.nn.Conv2d(18, 36, 3), "dense1": torch.nn.Linear(1296, 120)}
    for name, theirs in pairs.items():
        layer, limit = model.get_layer(name), 1 / math.sqrt(theirs.weight[0].numel())
        for ours, other in ((layer.kernel, theirs.weight), (layer.bias, theirs.bias)):
            ours, other = (np.ravel(values) for values in (ours.numpy(), other.detach().numpy()))
            assert ours.size == other.size
            assert np.abs(ours).max() == pytest.approx(limit, rel=0.1)
            assert stats.ks_2samp(ours, other).pvalue > 0.01
    assert np.abs(build("imagenet10", (128, 128, 3)).get_layer("conv1").bias.numpy()).max() > 0.1  # 1/sqrt(75) at most
    assert not build("model2", (32, 32, 3)).get_layer("conv1").bias.numpy().any()
