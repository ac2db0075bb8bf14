"""The diagram of a network: weights and shapes against Keras, blocks drawn once, boxes that do not overlap."""

import itertools
import xml.etree.ElementTree as ET

import keras
import pytest
from keras import layers

from keras_cnn.charts.architecture import layout, svg
from keras_cnn.models import architecture as module
from keras_cnn.models import build
from keras_cnn.models.architecture import architecture

RESNET18 = ("resnet18", {"weights": "none"}, (64, 64, 3))
NETWORKS = {
    **{name: (name, {}, (32, 32, 3)) for name in ("net1", "net4", "lenet", "model2")},
    "five_block": ("five_block", {"filters": 4}, (32, 32, 3)),
    "resnet18": RESNET18,
    "mobilenetv2": ("mobilenetv2", {"weights": "none"}, (64, 64, 3)),  # one box a block
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request) -> keras.Model:
    name, options, shape = NETWORKS[request.param]
    return build(name, shape, 10, **options)


def test_weights_and_shapes_are_those_of_keras(network):
    drawn = architecture(network)
    assert drawn.parameters == network.count_params()
    for box in drawn.boxes:
        assert box.shape == tuple(network.get_layer(box.nodes[-1]).output.shape[1:])


def test_boxes_do_not_overlap_and_arrows_pass_none(network):
    drawn = architecture(network)
    found = layout(drawn)
    for a, b in itertools.combinations(found.boxes, 2):
        assert a.right < b.left or b.right < a.left or a.bottom < b.top or b.bottom < a.top
    for (start, end), lane in found.lanes.items():
        top, bottom = found.boxes[start].bottom, found.boxes[end].top
        assert not [b for b in found.boxes if b.left <= lane.x <= b.right and b.top < bottom and top < b.bottom]


def test_equal_residual_blocks_are_drawn_once():
    name, options, shape = RESNET18
    drawn = architecture(build(name, shape, 10, **options))
    # layer1 has two equal blocks; in layers 2 to 4 the first one halves the map
    assert [(part.repeats, len(part.boxes)) for part in drawn.segments if len(part.boxes) > 1] == [
        (2, 3), *[(1, 4), (1, 3)] * 3
    ]  # fmt: skip
    text, found = svg(drawn), layout(drawn)
    assert len(text) < 60_000
    (frame,) = (element for element in ET.fromstring(text).iter() if element.get("stroke-dasharray"))
    (blocks,) = (part.boxes for part in drawn.segments if part.repeats > 1)
    around = [lane.x for (_, end), lane in found.lanes.items() if end in blocks]
    assert max(around) < float(frame.get("x")) + float(frame.get("width"))  # the frame holds the shortcut too


def test_names_are_escaped_and_shared_layers_counted_once():
    image = keras.Input((8, 8, 1), name="image")
    shared = layers.Conv2D(2, 3, padding="same", name="a<script>&\"'b")
    left, right = shared(image), shared(layers.MaxPooling2D(1, name="same")(image))
    model = keras.Model(image, layers.Concatenate(name="both")([left, right]), name="<script>1")
    drawn = architecture(model)
    assert drawn.parameters == model.count_params() == 20
    root = ET.fromstring(svg(drawn))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        "svg", "title", "defs", "marker", "path", "rect", "text", "g"
    }  # fmt: skip
    assert "a<script>&\"'b" in [element.text for element in root.iter() if element.tag.endswith("text")]
    longest = "0123456789" * 4
    for name, shown in {longest: longest, f"{longest}0": "01234567890123456789012345…901234567890"}.items():
        root = ET.fromstring(svg(architecture(keras.Model(model.inputs, model.outputs, name=name))))
        title, heading, *_ = [element.text for element in root.iter() if element.tag.endswith(("title", "text"))]
        assert (title, heading) == (name, shown)


def boxes(model: keras.Model) -> list[tuple]:
    return [(box.kind, box.title, box.lines, box.size, box.parameters) for box in architecture(model).boxes]


def test_a_box_says_what_its_layers_compute():
    x = image = keras.Input((16, 12, 3), name="image")
    x = layers.ZeroPadding2D(1, name="pad")(layers.Rescaling(1 / 255, name="rescale")(x))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, (3, 5), strides=(2, 1), name="conv")(x))
    x = layers.Activation("relu", name="relu")(x)
    x = layers.Conv2D(6, 3, dilation_rate=2, groups=2, padding="same", activation="tanh", name="grouped")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Add(name="sum")([x, layers.Conv2D(6, 1, name="side")(x)])
    x = layers.GlobalAveragePooling2D(name="gap")(layers.Dropout(0.25, name="dropout")(x))
    x = layers.Dense(5, activation="softmax", name="out")(x)
    model = keras.Model(image, keras.ops.flip(x, axis=-1))
    found = boxes(model)
    assert found[:-1] == [
        ("input", "image", ("images, then Rescaling",), "16×12×3", 0),
        # 3·5·3·4 + 4, and 4·4 of the batch norm
        ("convolution", "conv", ("Conv2D 3×5, 4 filters, stride 2×1", "then batch norm, relu"), "8×10×4", 200),
        ("convolution", "grouped", ("Conv2D 3×3, 6 filters, dilation 2, 2 groups", "then tanh"), "8×10×6", 114),
        ("pool", "pool", ("MaxPooling2D 2×2, stride 2",), "4×5×6", 0),
        ("convolution", "side", ("Conv2D 1×1, 6 filters",), "4×5×6", 42),
        ("merge", "sum", ("Add, then dropout 0.25",), "4×5×6", 0),
        ("pool", "gap", ("GlobalAveragePooling2D",), "6", 0),
        ("dense", "out", ("Dense, 5 units, then softmax",), "5", 35),
    ]
    assert found[-1][0] == "other"
    drawn = architecture(model)
    assert drawn.arrows == ((0, 1), (1, 2), (2, 3), (3, 4), (3, 5), (4, 5), (5, 6), (6, 7), (7, 8))
    assert drawn.ranks == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [part.boxes for part in drawn.segments] == [(0,), (1,), (2,), (3,), (4, 5), (6,), (7,), (8,)]


def chain(count: int) -> keras.Model:
    """`count` boxes: the image, equal convolutions, and one of more filters."""
    x = image = keras.Input((8, 8, 4), name="image")
    for i in range(count - 2):
        x = layers.Conv2D(4, 3, padding="same", name=f"conv{i}")(x)
    return keras.Model(image, layers.Conv2D(5, 3, padding="same", name="last")(x))


def test_equal_layers_of_a_long_chain_alone_are_drawn_once():
    for count, repeats in ((24, [1] * 24), (25, [1, 23, 1])):
        drawn = architecture(chain(count))
        assert [part.repeats for part in drawn.segments] == repeats
        assert drawn.parameters == (count - 2) * (4 * 4 * 9 + 4) + 5 * (4 * 9 + 1)
    assert [box.title for box in drawn.boxes] == ["image", "conv22", "last"]


def dense(count: int) -> keras.Model:
    """The image and `count` dense blocks, each with two channels more than the one before; a pool after ten."""
    x = image = keras.Input((8, 6, 1), name="image")
    for i in range(count):
        y = layers.Conv2D(2, 3, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.Concatenate(name=f"join{i}")([x, y])
        if i == 9:
            x = layers.MaxPooling2D(2, name="pool")(x)
    return keras.Model(image, x)


def test_blocks_at_one_map_size_are_drawn_once_where_forty_rows_are_not_enough():
    assert len(architecture(dense(19)).boxes) == 40
    model, lines = dense(20), ("Conv2D 3×3, Concatenate",)
    assert boxes(model) == [
        ("input", "image", ("images",), "8×6×1", 0),
        # 3·3·2 weights for each of 1 + 3 + … + 19 channels
        ("block", "10 × join0 to join9", lines, "8×6×21", 18 * 100),
        ("pool", "pool", ("MaxPooling2D 2×2, stride 2",), "4×3×21", 0),
        ("block", "10 × join10 to join19", lines, "4×3×41", 18 * 300),
    ]
    drawn = architecture(model)
    assert drawn.parameters == model.count_params()
    assert drawn.boxes[3].nodes == tuple(f"{kind}{i}" for i in range(10, 20) for kind in ("conv", "join"))
    assert drawn.arrows == ((0, 1), (1, 2), (2, 3))


def test_a_block_of_several_boxes_becomes_one_where_forty_rows_are_not_enough():
    x = image = keras.Input((8, 8, 2), name="image")
    for i in range(14):
        y = layers.Conv2D(2, 3, padding="same", name=f"first{i}")(x)
        y = layers.Conv2D(2, 3 if i % 2 else 1, padding="same", activation="relu", name=f"second{i}")(y)
        x = layers.Add(name=f"sum{i}")([x, y])
    drawn = architecture(model := keras.Model(image, x))
    assert [(box.kind, box.title, box.lines, box.parameters) for box in drawn.boxes[1:]] == [
        ("block", f"sum{i}", expected, 38 + parameters)
        for i in range(14)
        for expected, parameters in [((("2 Conv2D 3×3, Add",), 38) if i % 2 else (("Conv2D 3×3, Conv2D 1×1, Add",), 6))]
    ]
    assert drawn.boxes[1].nodes == ("first0", "second0", "sum0")
    assert drawn.arrows == tuple((i, i + 1) for i in range(14))
    assert drawn.parameters == model.count_params()


def test_what_follows_a_layer_stands_on_its_line_where_32_characters_hold_it():
    image = keras.Input((None, 6, 3), name="image")
    ends = [layers.Conv2D(filters, 1, activation="relu", name=f"conv{filters}")(image) for filters in (5, 55)]
    found = {box.title: (box.lines, box.size) for box in architecture(keras.Model(image, ends)).boxes}
    assert found == {
        "image": (("images",), "?×6×3"),
        "conv5": (("Conv2D 1×1, 5 filters, then relu",), "?×6×5"),
        "conv55": (("Conv2D 1×1, 55 filters", "then relu"), "?×6×55"),
    }


@pytest.mark.parametrize(("count", "kinds"), [(16, ["block"]), (17, [*["convolution"] * 16, "merge"])])
def test_sixteen_boxes_may_become_one_where_there_are_too_many_rows(count, kinds, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 16)
    x = image = keras.Input((8, 8, 2), name="image")
    for i in range(count - 1):
        x = layers.Conv2D(2, 1, name=f"conv{i}")(x)
    drawn = architecture(model := keras.Model(image, layers.Add(name="sum")([image, x])))
    assert [box.kind for box in drawn.boxes[1:]] == kinds
    assert drawn.parameters == model.count_params()
    if count == 16:
        assert drawn.boxes[1].lines == ("15 Conv2D 1×1, Add",)
