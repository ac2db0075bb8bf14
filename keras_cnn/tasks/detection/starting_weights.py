"""The weights that a training on boxes starts from, and the conversion of trained weights to Darknet's format."""

import functools
from dataclasses import dataclass

import keras
import numpy as np

from keras_cnn.detection.cfg import Cfg, Section
from keras_cnn.detection.darknet import build
from keras_cnn.detection.heads import read_heads
from keras_cnn.detection.weights import Convolution, WeightsFile
from keras_cnn.errors import InputError
from keras_cnn.models.blocks import BatchNormalization
from keras_cnn.tasks.detection.network_cfg import convolution_before

EPSILON = 1e-5  # Darknet's value in training; with 1e-12 the gradient of a constant channel would explode
MOMENTUM = 0.97  # of the statistics: they settle in a hundred steps, all that a small dataset may have
PRIOR = 0.01  # initial objectness: most cells are empty (Lin et al., Focal Loss, arXiv:1708.02002, section 4.1)


class _ConvolutionsOnly:
    """A source of the weights of convolutions alone."""

    transposed = False

    def floats(self, count: int, where: str) -> np.ndarray:
        raise InputError(f"{where}: cannot be trained here; expected a network of convolutions")


class RandomWeights(_ConvolutionsOnly):
    """Random weights from a seed, as Darknet draws them (He et al. 2015); records the convolutions asked for."""

    def __init__(self, seed: int):
        self._seed = seed
        self.convolutions: list[tuple[Section, int, bool, int]] = []  # section, filters, normalised, fan_in

    def convolution(self, section: Section, filters: int, normalised: bool, fan_in: int) -> Convolution:
        self.convolutions.append((section, filters, normalised, fan_in))
        generator = np.random.Generator(np.random.Philox(key=np.array([self._seed, section.index], np.uint64)))
        kernel = generator.normal(0, np.sqrt(2 / fan_in), filters * fan_in).astype(np.float32)
        ones, zeros = np.ones(filters, np.float32), np.zeros(filters, np.float32)
        return Convolution(zeros, [ones, zeros, ones] if normalised else None, kernel)


class ModelWeights(_ConvolutionsOnly):
    """The weights of a trained model, with batch norms converted to Darknet's formula."""

    def __init__(self, model: keras.Model):
        self._model = model
        self.convolutions: list[Convolution] = []  # in the order in which they were asked for

    def convolution(self, section: Section, filters: int, normalised: bool, fan_in: int) -> Convolution:
        self.convolutions.append(self._numbers(section, normalised))
        return self.convolutions[-1]

    def _numbers(self, section: Section, normalised: bool) -> Convolution:
        kernel, *bias = self._model.get_layer(f"conv_{section.index}").get_weights()
        flat = kernel.transpose(3, 2, 0, 1).ravel()
        if not normalised:
            return Convolution(bias[0], None, flat)
        scales, biases, means, variances = self._model.get_layer(f"bn_{section.index}").get_weights()
        # Darknet divides by sqrt(variance) + 1e-6, the batch norm here by sqrt(variance + EPSILON).
        darknet = (np.sqrt(variances.astype(np.float64) + EPSILON) - 1e-6) ** 2
        return Convolution(biases, [scales, means, darknet], flat)


@dataclass(frozen=True)
class StartingWeights:
    """The part of a weights file that a network starts with."""

    layers: int  # convolutions whose numbers were loaded
    random: list[str]  # names of those that start from random numbers
    file: str  # what the file holds

    def __str__(self) -> str:
        return f"{self.file}: {self.layers} convolutions loaded; as initialised: {', '.join(self.random)}"


def trainable_model(network: Cfg, seed: int, weights: str | None) -> tuple[keras.Model, StartingWeights | None]:
    """The model to train, in the current number format, and the part of the file `weights` that it starts with.

    Raises InputError for a file that holds neither this network, with any number of classes, nor its first layers.
    """
    random_weights = RandomWeights(seed)
    norm = functools.partial(BatchNormalization, momentum=MOMENTUM, epsilon=EPSILON)
    model = build(network, random_weights, batch_norm=norm)
    heads = {convolution_before(network, section).index for section in network.layers if section.kind == "yolo"}
    for index in heads:
        _start_almost_empty(model.get_layer(f"conv_{index}"), network)
    return model, _load(model, network, random_weights.convolutions, heads, weights) if weights else None


def _start_almost_empty(layer: keras.layers.Layer, network: Cfg) -> None:
    """Gives a head small starting weights that predict an object in about 1 of 100 cells."""
    kernel, bias = layer.get_weights()
    bias = bias.reshape(-1, 5 + read_heads(network)[0].classes)
    bias[:, 4] = np.log(PRIOR / (1 - PRIOR))
    layer.set_weights([kernel * 0.1, bias.ravel()])


def _load(model: keras.Model, network: Cfg, convolutions: list, heads: set[int], weights: str) -> StartingWeights:
    file = WeightsFile(weights)
    extent = _extent(file.left, network, convolutions, heads)
    sections = [section for section, *_ in convolutions]
    if extent is None:
        own_count = sum(_floats(*rest) for _, *rest in convolutions)
        raise InputError(
            f"{weights}: {file.left:,} numbers fit neither {network.file.name} with another class count (this one takes"
            f" {own_count:,}) nor its first layers; expected its weights, or a beginning such as darknet53.conv.74"
        )
    classes, ends = extent
    own_values, file_values = 5 + read_heads(network)[0].classes, 5 + (classes or 0)  # per anchor
    loaded = 0
    for section, filters, normalised, fan_in in convolutions[:ends]:
        if section.index in heads:
            file.convolution(section, filters // own_values * file_values, False, fan_in)  # skipped
            continue
        _put(model, section, file.convolution(section, filters, normalised, fan_in))
        loaded += 1
    file.expect_end(sections[ends - 1].where)
    random = [f"conv_{s.index}" for s in sections if s.index in heads or s in sections[ends:]]
    description = f"whole, of {classes} classes" if classes is not None else f"a beginning of {ends} convolutions"
    return StartingWeights(loaded, random, description)


def _put(model: keras.Model, section: Section, convolution: Convolution) -> None:
    layer = model.get_layer(f"conv_{section.index}")
    rows, columns, channels, filters = layer.kernel.shape
    kernel = convolution.kernel.reshape(filters, channels, rows, columns).transpose(2, 3, 1, 0)
    if convolution.norm is None:
        layer.set_weights([kernel, convolution.biases])
        return
    layer.set_weights([kernel])
    scales, means, variances = convolution.norm
    model.get_layer(f"bn_{section.index}").set_weights([scales, convolution.biases, means, variances])


def _extent(left: int, network: Cfg, convolutions: list, heads: set[int]) -> tuple[int | None, int] | None:
    """How a file of `left` numbers fits the network: (class count, number of convolutions) if it holds all of it,
    (None, number of convolutions) if it holds the first layers, None if it does not fit."""
    own = read_heads(network)[0].classes
    fixed = sum(_floats(filters, norm, fan_in) for s, filters, norm, fan_in in convolutions if s.index not in heads)
    each = sum(filters // (5 + own) * (1 + fan_in) for s, filters, _, fan_in in convolutions if s.index in heads)
    values, rest = divmod(left - fixed, each)
    if rest == 0 and values > 5:
        return values - 5, len(convolutions)
    total = 0
    for number, (section, filters, normalised, fan_in) in enumerate(convolutions):
        if section.index in heads:
            break
        total += _floats(filters, normalised, fan_in)
        if total == left:
            return None, number + 1
    return None


def _floats(filters: int, normalised: bool, fan_in: int) -> int:
    return filters * (1 + 3 * normalised + fan_in)
