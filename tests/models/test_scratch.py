"""five_block's knobs, and the layer table."""

import itertools

import keras
import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.models import build


def _names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    ("organisation", "widths"), [(2, [16, 32, 64, 128, 256]), (1, [16] * 5), (0.5, [16, 8, 4, 2, 1])]
)
def test_organisation_doubles_keeps_or_halves_the_filters(organisation, widths):
    model = build("five_block", (32, 32, 3), filters=16, organisation=organisation)
    assert [model.get_layer(f"conv{i}").filters for i in range(1, 6)] == widths


def test_every_knob_of_five_block_shows_in_the_graph():
    model = build(
        "five_block",
        (224, 230, 3),
        filters=4,
        kernel_size=7,
        organisation=1,
        activation="tanh",
        batch_norm=False,
        dropout=0,
        dense=9,
        padding="valid",
    )
    blocks = [name for i in range(1, 6) for name in (f"conv{i}", f"tanh{i}", f"pool{i}")]
    assert _names(model) == ["image", "rescale", *blocks, "flatten", "dense1", "tanh6", "logits"]
    assert model.get_layer("conv3").kernel.shape == (7, 7, 4, 4)
    # 224: 218 109, 103 51, 45 22, 16 8, 2 1; 230: 224 112, 106 53, 47 23, 17 8, 2 1
    assert model.get_layer("pool5").output.shape[1:] == (1, 1, 4)
    assert model.get_layer("dense1").units == 9


@pytest.mark.parametrize("size", [1, 5, 28, 33])
def test_same_padding_takes_images_of_any_size(size):
    model = build("five_block", (size, size, 1), filters=2, organisation=1)
    side = -(-size // 32)  # five times halved, rounded up
    assert model.get_layer("pool5").output.shape[1:3] == (side, side)


def test_dropout_and_batch_norm_of_five_block():
    model = build("five_block", (32, 32, 3), dropout=0.4)
    assert model.get_layer("dropout1").rate == 0.4
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [(norm.momentum, norm.epsilon) for norm in norms] == [(0.9, 1e-5)] * 5  # PyTorch's defaults
    assert "dropout1" not in _names(build("five_block", (32, 32, 3), dropout=0.0))


def test_no_two_layers_start_with_the_same_kernel():
    model = build("five_block", (32, 32, 3), organisation=1)
    assert not np.array_equal(model.get_layer("conv2").kernel, model.get_layer("conv3").kernel)


def test_a_table_builds_lenet():
    stage = [{"relu": None}, {"pool": 2}]
    convolutions = [row for f in (32, 64, 128) for row in ({"conv": f, "kernel": 5, "padding": "same"}, *stage)]
    table = [*convolutions, {"flatten": None}, {"dense": 64}, {"relu": None}]
    ours, theirs = build("layers", (32, 32, 3), table=table), build("lenet", (32, 32, 3))
    assert _names(ours) == _names(theirs)
    theirs.set_weights(ours.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    np.testing.assert_array_equal(ours.predict(images, verbose=0), theirs.predict(images, verbose=0))


def test_every_kind_of_row_and_its_options():
    table = [
        {"pad": 2},
        {"conv": 6, "kernel": 3, "stride": 2, "padding": "valid"},
        {"bn": None, "momentum": 0.5, "epsilon": 0.1},
        {"gelu": None},
        {"pool": 3, "stride": 2, "padding": "same"},
        {"avgpool": None},
        {"conv": 4, "dilation": 2},
        {"spatial_dropout": 0.25},
        {"gap": None},
        {"dense": 3},
        {"dropout": 0.5},
    ]
    model = build("layers", (20, 21, 3), table=table)
    # 24×25 padded; (24-3)//2+1 = 11, (25-3)//2+1 = 12; ceil(/2) = 6; //2 = 3
    assert [model.get_layer(n).output.shape[1:3] for n in ("pad1", "conv1", "pool1", "avgpool1", "conv2")] == [
        (24, 25),
        (11, 12),
        (6, 6),
        (3, 3),
        (3, 3),
    ]
    assert (model.get_layer("bn1").momentum, model.get_layer("bn1").epsilon) == (0.5, 0.1)
    assert (model.get_layer("conv2").dilation_rate, model.get_layer("conv2").kernel.shape) == ((2, 2), (3, 3, 6, 4))
    assert model.get_layer("spatial_dropout1").rate == 0.25
    assert _names(model)[-4:] == ["gap", "dense1", "dropout1", "logits"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"relu": None}, {"conv": 8, "kernal": 3}], "row 2: conv: unknown option 'kernal'; did you mean kernel"),
        ([{"conf": 8}], "row 1: unknown layer 'conf'; did you mean conv"),
        ([{"conv": None}], "row 1: conv: filters: not given, expected a whole number"),
        ([{"conv": "8"}], "row 1: conv: filters: found '8'"),
        ([{"conv": 8, "padding": "full"}], "row 1: conv: padding: found 'full', expected one of same, valid"),
        ([{"conv": 0}], "row 1: conv1: filters 0, expected at least 1"),
        ([{"conv": 8, "stride": 2, "dilation": 2}], "row 1: conv1: stride 2, dilation 2"),
        ([{"conv": 8, "relu": None}], "row 1: layers conv and relu, expected one layer a row"),
        ([{"conv": 8, "relu": None, "pool": 2}], "row 1: layers conv and relu and pool, expected one layer a row"),
        ([{"relu": 3}], "row 1: relu: found 3, expected no value"),
        ([{}], "row 1: an empty row"),
        (["relu"], r"table\[0\]: found 'relu', expected a mapping"),
        ([{"dense": 3}], "row 1: dense1: gets a 8×9×3 map, expected a vector"),
        ([{"flatten": None}, {"pool": 2}], "row 2: pool1: gets a vector of 216, expected a map"),
        ([{"pool": 9}], "row 1: pool1: a 9×9 window on a 8×9 map"),
        ([{"conv": 8, "kernel": 5, "dilation": 2, "padding": "valid"}], "row 1: conv1: a 9×9 window on a 8×9 map"),
        ([{"gap": None}, {"spatial_dropout": 0.1}], "row 2: spatial_dropout: gets a vector of 3"),
        ([{"bn": None, "momentum": 1.0}], "row 1: bn1: momentum 1.0, expected at least 0 and below 1"),
        ([{"bn": None, "momentum": -0.1}], "row 1: bn1: momentum -0.1"),
        ([{"bn": None, "epsilon": 0.0}], "row 1: bn1: epsilon 0.0, expected a number above 0"),
        ([{"dropout": -0.1}], "row 1: dropout: rate -0.1, expected at least 0 and below 1"),
        ([{"pool": 2, "stride": 0}], "row 1: pool1: stride 0, expected at least 1"),
        ([{"avgpool": 0}], "row 1: avgpool1: size 0, expected at least 1"),
        ([{"pad": 0}], "row 1: pad1: pixels 0, expected at least 1"),
        ([{"flatten": None}, {"dense": 0}], "row 2: dense1: units 0, expected at least 1"),
        ([{"conv": 8, "dilation": 0}], "row 1: conv1: dilation 0, expected at least 1"),
        ([{"flatten": None}, {"gap": None}], "row 2: gap: gets a vector of 216, expected a map"),
        ([], "layers: logits: gets a 8×9×3 map, expected a vector"),
    ],
)
def test_errors_name_the_row_and_the_nearest_key(rows, message):
    with pytest.raises(InputError, match=message):
        build("layers", (8, 9, 3), table=rows)


def test_every_cell_of_the_cs6910_sweep_has_the_parameters_of_the_formula():
    def parameters(filters, kernel, organisation, dense, batch_norm):  # at 32 px one pixel is left
        widths = [filters * organisation**i for i in range(5)]
        convs = sum(kernel**2 * a * b + b for a, b in zip([3, *widths[:-1]], widths, strict=True))
        return convs + 2 * batch_norm * sum(widths) + (widths[-1] + 1) * dense + (dense + 1) * 10

    cells = list(itertools.product([32, 64, 128, 256], [3, 5, 7], [2, 1], [256, 128, 64], [True, False]))
    built = 0
    for filters, kernel, organisation, dense, batch_norm in cells:
        expected = parameters(filters, kernel, organisation, dense, batch_norm)
        if dense != 64 or expected > 5_000_000:  # the widest cells have 400 million
            continue
        options = {"filters": filters, "kernel_size": kernel, "organisation": organisation, "dense": dense}
        model = build("five_block", (32, 32, 3), **options, batch_norm=batch_norm)
        assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == expected
        built += 1
    assert built >= 20
