"""Networks by name: flat Functional graphs from images of 0-255 to logits."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_cnn.checking import check_options, keyword_options, nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models import backbones, custom, published, scratch
from keras_cnn.models.classics import require_shape

# Name -> builder(input_shape, classes, *, options). The keyword-only parameters are the options of the network. Their
# types, defaults and help are the annotations, the defaults and the docstring lines under "Options:".
FROM_SCRATCH: dict[str, Callable[..., keras.Model]] = {
    "five_block": scratch.five_block,
    "layers": scratch.layers,
    "lenet": published.lenet,
    "model1": published.model1,
    "model2": published.model2,
    "net1": published.net1,
    "net2": published.net2,
    "net3": published.net3,
    "net4": published.net4,
    "imagenet10": published.imagenet10,
}
BUILDERS: dict[str, Callable[..., keras.Model]] = {
    **FROM_SCRATCH,
    custom.NAME: custom.custom,
    **{name: functools.partial(backbones.classifier, name) for name in backbones.names()},
}


def build(name: str, input_shape: tuple[int, int, int], classes: int = 10, **options: Any) -> keras.Model:
    """The network `name` for `input_shape` (H, W, C), with the options of its builder.

    A backbone gets the weights that its option `weights` names; any other network is untrained.

    The model takes images `(N, H, W, C)` of 0-255, uint8 or float, and returns float32 logits `(N, classes)`. Its graph
    is flat: no layer is itself a model. The first layers, in float32, rescale the images to the range that the network
    expects; the last layer is `logits`.

    Raises InputError for an unknown name or option (with the nearest valid one), a value of the wrong type or range,
    and an image too small for the network (naming the layer).
    """
    if name not in BUILDERS:
        raise InputError(f"model: unknown network {name!r}{nearest(name, BUILDERS)}")
    builder = BUILDERS[name]
    check_options(name, builder, options, keyword_options(builder))
    require_shape(name, input_shape)
    require(isinstance(classes, int) and classes >= 2, f"{name}: classes", f"found {classes!r}", "at least 2")
    height, width, channels = input_shape
    return builder((height, width, channels), classes, **options)
