"""Darknet's networks as Keras models: `load_darknet(cfg, weights)`.

Each section computes what Darknet's C code does (https://github.com/pjreddie/darknet, `src/*_layer.c`); sections and
keys that AlexeyAB's version added (dilation, route groups, mish, scale_x_y) follow that version.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from keras import layers, ops

from keras_cnn.checking import nearest
from keras_cnn.detection.cfg import Cfg, Section, read_cfg
from keras_cnn.detection.heads import read_head
from keras_cnn.detection.weights import Convolution, Weights, WeightsFile
from keras_cnn.errors import InputError, require

ACTIVATIONS = {  # Darknet's name -> Keras's; leaky, with a slope of 0.1, is a separate layer
    "logistic": "sigmoid",
    "relu": "relu",
    "relu6": "relu6",
    "elu": "elu",
    "selu": "selu",
    "tanh": "tanh",
    "mish": "mish",
    "swish": "silu",
}


def load_darknet(
    cfg: str | Path, weights: str | Path, *, size: int | tuple[int, int] | None = None, fold: bool = False
) -> keras.Model:
    """Loads a Darknet network with its weights as a flat Keras model in float32.

    The model takes (N, H, W, C) RGB images with values from 0 to 255, of the cfg's own size or of `size` (one number,
    or height and width; multiples of 32 if the network detects). It has one output for each [yolo] section, in the
    order of the cfg: (N, h, w, anchors * (5 + classes)) maps of raw numbers, which `boxes.decode` turns into boxes. A
    network without [yolo] gives the output of its last layer, such as a classifier's softmax. Layers are named after
    the kind and the number (from 0) of Darknet's layer, for example `conv_0`.

    With `fold`, every batch norm is multiplied into its convolution in float64 and removed, for inference only.

    Raises InputError if a file cannot be read or the two do not belong together. The message gives the section, its
    line, and the bytes expected and found.
    """
    network = read_cfg(cfg)
    file = WeightsFile(weights)
    model = build(network, file, size=size, fold=fold)
    weighted = [section.where for section in network.layers if section.kind in ("convolutional", "connected")]
    file.expect_end(weighted[-1] if weighted else "the header")
    return model


MAX_SIDE = 1 << 14  # pixels of a side of the network's input
MAX_NUMBERS = 1 << 28  # weights of one layer, 1 GiB: VGG's largest layer has 103 million

# The epsilon is the last term of Darknet's formula; see _Builder._weighted.
BATCH_NORM = functools.partial(layers.BatchNormalization, momentum=0.99, epsilon=1e-12)


def build(
    network: Cfg,
    weights: Weights,
    *,
    size: int | tuple[int, int] | None = None,
    fold: bool = False,
    batch_norm: Callable[..., layers.Layer] = BATCH_NORM,
) -> keras.Model:
    """Builds the model of a parsed cfg with the numbers of `weights`; see `load_darknet`."""
    builder = _Builder(network, _image_size(network, size), fold, batch_norm)
    for section in network.layers:
        builder.add(section, weights)
    return builder.model()


def _image_size(network: Cfg, size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    height, width, channels = network.size
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    detects = any(section.kind == "yolo" for section in network.layers)
    fits = min(height, width) >= 32 and height % 32 == width % 32 == 0 if detects else min(height, width) >= 1
    fits = fits and max(height, width) <= MAX_SIDE
    expected = f"multiples of 32 up to {MAX_SIDE:,}" if detects else f"1 to {MAX_SIDE:,}"
    require(fits, f"{network.file}: image size", f"found {width}x{height}", expected)
    return height, width, channels


class _Builder:
    """A Keras graph under construction, section by section; `_outputs[i]` is the output of Darknet's layer i."""

    def __init__(self, network: Cfg, shape: tuple[int, int, int], fold: bool, batch_norm: Callable[..., layers.Layer]):
        self._network, self._fold, self._batch_norm = network, fold, batch_norm
        self._inputs = keras.Input(shape, name="image")
        self._current = layers.Rescaling(1 / 255, name="rescale")(self._inputs)
        self._outputs: list = []
        self._weights: list[tuple[layers.Layer, list[np.ndarray]]] = []
        self._heads: list = []
        self._weighted_kinds = {"convolutional": self._convolutional, "connected": self._connected}
        self._kinds = {
            "avgpool": self._avgpool,
            "cost": self._cost,
            "crop": self._crop,
            "dropout": self._dropout,
            "maxpool": self._maxpool,
            "route": self._route,
            "shortcut": self._shortcut,
            "softmax": self._softmax,
            "upsample": self._upsample,
            "yolo": self._yolo,
        }

    def add(self, section: Section, file: Weights) -> None:
        """Adds the layers of a section, with their numbers from `file`."""
        if build := self._weighted_kinds.get(section.kind):
            self._current = build(section, file)
        else:
            self._current = self._kinds[section.kind](section)
        self._outputs.append(self._current)

    def model(self) -> keras.Model:
        """The model of the sections so far, with its weights."""
        model = keras.Model(self._inputs, self._heads or self._current, name=_layer_name(self._network.file.stem))
        for layer, values in self._weights:
            layer.set_weights(values)
        return model

    def _convolutional(self, section: Section, file: Weights):
        inputs = self._map(section)
        channels = inputs.shape[-1]
        filters, size, stride = (section.integer(key, 1, least=1) for key in ("filters", "size", "stride"))
        groups, dilation = (section.integer(key, 1, least=1) for key in ("groups", "dilation"))
        fits = channels % groups == filters % groups == 0
        found = f"{groups} groups of {channels} channels and {filters} filters"
        require(fits, section.at("groups"), found, "a divisor of both")
        padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0, least=0)
        dilation = dilation if size > 1 else 1
        require(
            dilation == 1 or (2 * padding == size - 1 and stride == 1),
            section.at("dilation"),
            f"found {dilation} with size {size}, padding {padding} and stride {stride}",
            "an odd size with pad=1 and stride 1 under a dilation",
        )
        normalised = bool(section.integer("batch_normalize", 0))
        fan_in = channels // groups * size * size
        _check_count(filters * fan_in, section)
        biases, norm, kernel = file.convolution(section, filters, normalised, fan_in)
        if section.integer("flipped", 0):
            kernel = kernel.reshape(-1, filters).T
        kernel = kernel.reshape(filters, channels // groups, size, size).transpose(2, 3, 1, 0)
        same = stride == 1 and 2 * padding == size - 1
        if padding and not same:
            inputs = layers.ZeroPadding2D(padding, name=f"zeros_{section.index}")(inputs)
        covers = same or min(inputs.shape[1:3]) >= size
        require(covers, section.where, f"a map of {_size(inputs)}", f"at least {size}x{size}")
        bias = not normalised or self._fold
        layer = layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same" if same else "valid",
            dilation_rate=dilation,
            groups=groups,
            use_bias=bias,
            name=f"conv_{section.index}",
        )
        return self._weighted(layer, inputs, section, Convolution(biases, norm, kernel))

    def _connected(self, section: Section, file: Weights):
        inputs, shape = self._current, self._current.shape[1:]
        units = section.integer("output", 1, least=1)
        count = int(np.prod(shape))
        normalised = bool(section.integer("batch_normalize", 0))
        _check_count(units * count, section)
        biases = file.floats(units, section.where)
        kernel = file.floats(units * count, section.where)
        turned = file.transposed != bool(section.integer("flipped", 0))
        kernel = kernel.reshape(count, units) if turned else kernel.reshape(units, count).T
        if len(shape) == 3:  # Darknet's maps are (C, H, W)
            height, width, channels = shape
            kernel = kernel.reshape(channels, height, width, units).transpose(1, 2, 0, 3).reshape(count, units)
            inputs = layers.Flatten(name=f"flatten_{section.index}")(inputs)
        norm = [file.floats(units, section.where) for _ in range(3)] if normalised else None
        layer = layers.Dense(units, use_bias=not normalised or self._fold, name=f"dense_{section.index}")
        return self._weighted(layer, inputs, section, Convolution(biases, norm, kernel))

    def _weighted(self, layer, inputs, section: Section, numbers: Convolution):
        """Applies `layer` with its numbers, then its batch norm if there is one, then the activation.

        Darknet divides by sqrt(variance) + 1e-6, the square root of variance + 2e-6 sqrt(variance) + 1e-12. Here the
        first two terms are the moving variance of the batch norm, and the last is its epsilon.
        """
        biases, norm, kernel = numbers
        if norm is not None and self._fold:
            scales, means, variances = (values.astype(np.float64) for values in norm)
            factors = scales / (np.sqrt(variances) + 1e-6)
            self._weights.append((layer, [kernel * factors, biases - means * factors]))
        else:
            self._weights.append((layer, [kernel] if norm else [kernel, biases]))
        outputs = layer(inputs)
        if norm is not None and not self._fold:
            scales, means, variances = norm
            batch_norm = self._batch_norm(name=f"bn_{section.index}")
            self._weights.append((batch_norm, [scales, biases, means, variances + 2e-6 * np.sqrt(variances)]))
            outputs = batch_norm(outputs)
        return self._activated(outputs, section, "logistic")

    def _activated(self, outputs, section: Section, default: str):
        name = section.text("activation", default)
        if name == "linear":
            return outputs
        if name == "leaky":
            return layers.LeakyReLU(0.1, name=f"leaky_{section.index}")(outputs)
        if name not in ACTIVATIONS:
            near = nearest(name, [*ACTIVATIONS, "leaky", "linear"])
            raise InputError(f"{section.at('activation')}: unknown activation {name}{near}")
        return layers.Activation(ACTIVATIONS[name], name=f"{name}_{section.index}")(outputs)

    def _maxpool(self, section: Section):
        """Darknet pads by size - 1 in total, the smaller half before the map, with minus infinity."""
        inputs = self._map(section)
        stride = section.integer("stride", 1, least=1)
        size = section.integer("size", stride, least=1)
        padding = section.integer("padding", size - 1, least=0)
        edges = []
        for length in inputs.shape[1:3]:
            outputs = (length + padding - size) // stride + 1
            require(outputs >= 1, section.where, f"a window of {size} on a map of {_size(inputs)}", "a larger map")
            edges.append((padding // 2, max(0, (outputs - 1) * stride + size - padding // 2 - length)))
        if any(map(any, edges)):
            inputs = ops.pad(inputs, [(0, 0), *edges, (0, 0)], constant_values=-np.inf)
        return layers.MaxPooling2D(size, stride, name=f"maxpool_{section.index}")(inputs)

    def _upsample(self, section: Section):
        stride = section.integer("stride", 2, least=1)
        return layers.UpSampling2D(stride, name=f"upsample_{section.index}")(self._map(section))

    def _route(self, section: Section):
        groups, group = section.integer("groups", 1, least=1), section.integer("group_id", 0, least=0)
        require(group < groups, section.at("group_id"), f"found {group}", f"below the {groups} groups")
        parts = [self._earlier(index, section, "layers") for index in section.integers("layers")]
        for part in parts:
            fits = part.shape[1:-1] == parts[0].shape[1:-1]
            require(fits, section.at("layers"), f"maps of {_size(part)}", f"{_size(parts[0])}, as of its first layer")
            divisible = part.shape[-1] % groups == 0
            require(divisible, section.at("groups"), f"{groups} groups of {part.shape[-1]} channels", "a divisor")
        if groups > 1:
            parts = [ops.split(part, groups, axis=-1)[group] for part in parts]
        return layers.Concatenate(name=f"route_{section.index}")(parts) if len(parts) > 1 else parts[0]

    def _shortcut(self, section: Section):
        """The current map plus earlier ones, fitted to its channels and size."""
        total = self._map(section)
        for index in section.integers("from"):
            other = self._fitted(self._earlier(index, section, "from"), total, section)
            total = layers.Add(name=self._unused(f"shortcut_{section.index}", section, index))([total, other])
        return self._activated(total, section, "linear")

    def _unused(self, name: str, section: Section, index: int) -> str:
        return name if len(section.integers("from")) == 1 else f"{name}_from_{index % section.index}"

    def _fitted(self, other, like, section: Section) -> Any:
        """`other` in the shape of `like`: every n-th pixel, with channels cut off or filled up with zeros."""
        strides = [a / b for a, b in zip(other.shape[1:3], like.shape[1:3], strict=True)]
        fits = strides[0] == strides[1] == int(strides[0])
        require(fits, section.at("from"), f"a map of {_size(other)}", f"{_size(like)} or a multiple of it")
        if strides[0] > 1:
            other = layers.MaxPooling2D(1, int(strides[0]), name=f"every_nth_{section.index}")(other)
        missing = like.shape[-1] - other.shape[-1]
        if missing > 0:
            return ops.pad(other, [(0, 0), (0, 0), (0, 0), (0, missing)])
        if missing < 0:
            first, _ = cast("list", ops.split(other, [like.shape[-1]], axis=-1))
            return first
        return other

    def _yolo(self, section: Section):
        """Makes the current map an output of the model."""
        head = read_head(section)
        expected = head.anchors_count * (5 + head.classes)
        channels = self._map(section).shape[-1]
        require(
            channels == expected,
            section.where,
            f"the layer before has {channels} channels (filters={channels})",
            f"{expected}: {head.anchors_count} anchors in mask x (5 + {head.classes} classes)",
        )
        output = layers.Activation("linear", dtype="float32", name=f"yolo_{section.index}")
        self._heads.append(output(self._current))
        return self._heads[-1]

    def _avgpool(self, section: Section):
        name = f"avgpool_{section.index}"
        return layers.GlobalAveragePooling2D(keepdims=True, name=name)(self._map(section))

    def _softmax(self, section: Section):
        """Softmax over all numbers of an image, or over each of `groups` equal parts."""
        shape, groups = self._current.shape[1:], section.integer("groups", 1, least=1)
        require(int(np.prod(shape[:-1])) == 1, section.where, f"a map of {_size(self._current)}", "a vector or 1x1")
        require(shape[-1] % groups == 0, section.at("groups"), f"{groups} groups of {shape[-1]}", "a divisor")
        outputs = layers.Reshape((groups, shape[-1] // groups), name=f"groups_{section.index}")(self._current)
        outputs = layers.Softmax(name=f"softmax_{section.index}")(outputs)
        return layers.Flatten(name=f"flatten_{section.index}")(outputs)

    def _dropout(self, section: Section):
        rate = section.real("probability", 0.5)
        require(0 <= rate < 1, section.at("probability"), f"found {rate}", "at least 0 and below 1")
        return layers.Dropout(rate, name=f"dropout_{section.index}")(self._current)

    def _cost(self, _section: Section):
        """The unchanged output: only training computes a cost."""
        return self._current

    def _crop(self, section: Section):
        """The centre of the image, scaled to -1 to 1 unless `noadjust`."""
        inputs = self._map(section)
        wanted = [section.integer(key, 1, least=1) for key in ("crop_height", "crop_width")]
        edges = []
        for length, kept in zip(inputs.shape[1:3], wanted, strict=True):
            require(kept <= length, section.where, f"a crop of {kept} from {length}", "no more than there is")
            edges.append(((length - kept) // 2, length - kept - (length - kept) // 2))
        outputs = layers.Cropping2D(edges, name=f"crop_{section.index}")(inputs)
        if section.integer("noadjust", 0):
            return outputs
        return layers.Rescaling(2.0, offset=-1.0, name=f"adjust_{section.index}")(outputs)

    def _map(self, section: Section):
        shape = self._current.shape[1:]
        require(len(shape) == 3, section.where, f"follows a vector of {shape[0]}", "a map before it")
        return self._current

    def _earlier(self, index: int, section: Section, key: str):
        number = section.index + index if index < 0 else index
        exists = 0 <= number < section.index
        require(exists, section.at(key), f"found {index}", f"a layer before this one, 0 to {section.index - 1}")
        require(len(self._outputs[number].shape) == 4, section.at(key), f"layer {number} is a vector", "a map")
        return self._outputs[number]


def _check_count(count: int, section: Section) -> None:
    require(count <= MAX_NUMBERS, section.where, f"{count:,} numbers in one layer", f"at most {MAX_NUMBERS:,}")


def _layer_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in text) or "darknet"


def _size(tensor) -> str:
    return "x".join(str(length) for length in reversed(tensor.shape[1:-1])) or "1x1"
