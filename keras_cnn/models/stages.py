"""The stages of a network, from the image to the head: the places where it can be cut, frozen and visualized."""

import re

import keras
from keras import layers

from keras_cnn.models.applications import APPLICATIONS
from keras_cnn.models.graph import Graph

INPUT, HEAD = "input", "head"
# Name patterns: PREPROCESSING for layers before the first stage, HEAD_LAYERS for layers after the last map (the head).
PREPROCESSING = r"image|grey_to_rgb|to_rgb|rescale|rescaling|rescaling_std|normalization|\w+_prestem_normalization"
HEAD_LAYERS = r"pool|dense|dropout|flatten|avgpool.*|classifier_.*|logits.*"

Patterns = tuple[tuple[str, str], ...]

# Family -> (pattern of a layer's full name, name of its stage). A stage ends with the last layer whose name matches. It
# contains all layers that this last layer depends on, except those of earlier stages.
_XCEPTION = {f"add_{i}" if i else "add": i + 2 for i in range(11)} | {"add_11": 13}
PATTERNS: dict[str, Patterns] = {
    "convnext": ((r"\w+_(stem|stage_\d)_.*", r"\1"), (r"layer_normalization", "norm")),
    "densenet": ((r"(conv\d|pool[2-4])_.*", r"\1"), (r"pool1", "conv1"), (r"bn|relu", "norm")),
    "efficientnet": ((r"(stem|block\d|top).*", r"\1"),),
    "efficientnet_v2": ((r"(stem|block\d|top).*", r"\1"),),
    "inception_resnet_v2": (
        (r"max_pooling2d_1", "stem"),
        (r"(mixed_\d[ab]|conv_7b).*", r"\1"),
        (r"(block\d+)_\d+_.*", r"\1"),
        (r"custom_scale_layer_39", "block8"),
    ),
    "inception_v3": ((r"max_pooling2d_1", "stem"), (r"(mixed\d+)", r"\1")),
    "mobilenet": ((r"conv1.*", "conv1"), (r"conv_(?:dw|pw)_(\d+).*", r"block\1")),
    "mobilenet_v2": (
        (r"(?:bn_)?Conv1.*", "conv1"),
        (r"expanded_conv_.*", "block0"),
        (r"block_(\d+)_.*", r"block\1"),
        (r"Conv_1.*|out_relu", "conv2"),
    ),
    "mobilenet_v3": (
        (r"conv(?:_bn)?", "conv0"),
        (r"expanded_conv_(\d+)_.*", r"block\1"),
        (r"expanded_conv_.*", "block0"),
        (r"conv_1.*", "conv1"),
    ),
    "nasnet": ((r"normal_concat_(\d+)", r"cell_\1"), (r"reduction_concat_(\w+)", r"\1")),
    "resnet": ((r"(conv\d)_.*", r"\1"), (r"pool1_.*", "conv1")),
    "resnet_v2": ((r"(conv\d)_.*", r"\1"), (r"pool1_.*", "conv1"), (r"post_.*", "post")),
    "vgg16": ((r"(block\d)_.*", r"\1"),),
    "vgg19": ((r"(block\d)_.*", r"\1"),),
    # Blocks 2 to 13 end with an addition that Keras names by number; blocks 1 and 14 have none.
    "xception": (
        (r"(block(?:1|14))_.*", r"\1"),
        *((name, f"block{number}") for name, number in _XCEPTION.items()),
    ),
}
TORCHVISION = (
    (r"conv1|bn1|relu|maxpool", "conv1"),
    (r"(layer\d)_.*", r"\1"),
    (r"features_(?:conv0|norm0|relu0|pool0)", "conv0"),
    (r"features_((?:denseblock|transition)\d)_.*", r"\1"),
    (r"features_(?:norm5|relu5)", "norm5"),
)


def stages(model: keras.Model) -> list[tuple[str, list[layers.Layer]]]:
    """Names and layers of a model's stages, in order from the image; every layer is in exactly one.

    `input` is the preprocessing; `head` follows the last map, and is absent in a backbone. Networks of
    keras.applications and `classics`, which are recognised by their names and their layers' names, have the stages of
    their publications. Any other network has one stage for each prefix of its layers' names: the first letters and
    the digits after them.
    """
    ends, graph = _ends(model), Graph(model)
    needed = {end: graph.ancestors(end) for end in ends.values()}
    members: dict[str, list[layers.Layer]] = {stage: [] for stage in (*ends, HEAD)}
    last = list(ends)[-1]
    for layer in model.layers:
        rest = HEAD if re.fullmatch(HEAD_LAYERS, layer.name) else last
        stage = next((stage for stage, end in ends.items() if layer.name in needed[end]), rest)
        members[stage].append(layer)
    return [(stage, stage_layers) for stage, stage_layers in members.items() if stage_layers]


def _ends(model: keras.Model) -> dict[str, str]:
    """Stage -> the name of its last layer, in the order in which the stages end."""
    names = [operation.name for operation in model.operations]
    features = [name for name in names if name.startswith("features_")]
    if "features_0" in features:  # in AlexNet, VGG and SqueezeNet each block ends in a pool
        pools = [name for name in features if isinstance(model.get_layer(name), layers.MaxPooling2D)]
        blocks = {f"block{i}": end for i, end in enumerate(dict.fromkeys((*pools, features[-1])), start=1)}
        return _last(names, ((PREPROCESSING, INPUT),)) | blocks
    return _last(names, ((PREPROCESSING, INPUT), *_patterns(model.name, names)))


def _patterns(network: str, names: list[str]) -> Patterns:
    if network in APPLICATIONS:
        return PATTERNS[APPLICATIONS[network].build.__module__.rsplit(".", 1)[-1]]
    if any(name in ("layer1_0_conv1", "features_conv0") for name in names):
        return TORCHVISION
    return ((rf"(?!(?:{HEAD_LAYERS})$)([A-Za-z]+\d*).*", r"\1"),)


def _last(names: list[str], patterns: Patterns) -> dict[str, str]:
    """Stage -> the name of its last layer, in the order of these layers."""
    last: dict[str, str] = {}
    for name in names:
        for pattern, stage in patterns:
            if match := re.fullmatch(pattern, name):
                last.pop(match.expand(stage), None)
                last[match.expand(stage)] = name
                break
    return last
