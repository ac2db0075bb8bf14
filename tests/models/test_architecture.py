"""The diagram of a network: weights and shapes against Keras, blocks drawn once, boxes that do not overlap."""

import itertools
import xml.etree.ElementTree as ET

import keras
import pytest
from keras import layers

from keras_cnn.charts.architecture import layout, svg
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
