"""The networks of three published reports, with exactly the trainable parameters that the reports print."""

import math
from functools import partial
from typing import Any, Literal

import keras

from keras_cnn.errors import require
from keras_cnn.models.blocks import Chain, TorchDefault

Shape = tuple[int, int, int]
Downsampling = Literal["pool", "stride"]

XavierChain = partial(Chain, initializer=keras.initializers.GlorotUniform)  # TDT4265


class TorchChain(Chain):
    """A chain whose weights start as PyTorch's do: kernels and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""

    def __init__(self, name: str, input_shape: Shape, **options: Any) -> None:
        super().__init__(name, input_shape, initializer=TorchDefault, **options)

    def bias_initializer(self, fan_in: int) -> keras.initializers.Initializer:
        limit = 1 / math.sqrt(fan_in)
        return keras.initializers.RandomUniform(-limit, limit)


# The author's public code gives its networks pixels of 0-1, not centred.
CS7015Chain = partial(TorchChain, input_range=(0.0, 1.0))


def lenet(input_shape: Shape, classes: int) -> keras.Model:
    """LeNet of TDT4265, task 1: three 5×5 convolutions, two dense layers."""
    chain = XavierChain("lenet", input_shape)
    for filters in (32, 64, 128):
        _pooled_conv(chain, filters, kernel=5)
    chain.flatten()
    _dense(chain, 64)
    return chain.model(classes)


def model1(
    input_shape: Shape,
    classes: int,
    *,
    dropout: float = 0.1,
    batch_norm: bool = True,
    downsampling: Downsampling = "pool",
) -> keras.Model:
    """Model 1 of TDT4265, task 2. The report prints no kernel size; 3×3 with same padding is our choice.

    The options are the variants that its discussion (2.5 e) compares.

    Options:
        dropout: share of the channels of the first convolution that training drops
        batch_norm: batch norm at the end of each stage and behind the last hidden dense layer
        downsampling: pool ends a stage with a 2×2 max pool; stride has its last convolution move by 2 instead
    """
    chain = XavierChain("model1", input_shape)
    for stage in ((32,), (64, 128), (256, 512)):
        for filters in stage:
            chain.conv(filters, stride=2 if downsampling == "stride" and filters == stage[-1] else 1)
            chain.activation("relu")
        if stage == (32,):
            chain.spatial_dropout(dropout)
        if batch_norm:
            chain.batch_norm()
        if downsampling == "pool":
            chain.pool()
    chain.flatten()
    for units in (2048, 64):
        _dense(chain, units)
    if batch_norm:
        chain.batch_norm()
    return chain.model(classes)


def model2(
    input_shape: Shape,
    classes: int,
    *,
    dropout: float = 0.1,
    batch_norm: bool = True,
    downsampling: Downsampling = "pool",
) -> keras.Model:
    """Model 2 of TDT4265, task 2: LeNet with batch norm in each hidden layer and channel dropout in the first.

    The options are the variants that its discussion (2.5 e) compares.

    Options:
        dropout: share of the channels of the first convolution that training drops
        batch_norm: batch norm before each activation
        downsampling: pool puts a 2×2 max pool behind each convolution; stride has the convolution move by 2 instead
    """
    chain = XavierChain("model2", input_shape)
    for filters in (32, 64, 128):
        chain.conv(filters, kernel=5, stride=2 if downsampling == "stride" else 1)
        if filters == 32:
            chain.spatial_dropout(dropout)
        if batch_norm:
            chain.batch_norm()
        chain.activation("relu")
        if downsampling == "pool":
            chain.pool()
    chain.flatten()
    chain.dense(64)
    if batch_norm:
        chain.batch_norm()
    chain.activation("relu")
    return chain.model(classes)


def net1(
    input_shape: Shape,
    classes: int,
    *,
    l1_oc: int = 18,
    filter_multiplier: float = 2.0,
    kernel_size: int = 3,
    stride: int = 1,
) -> keras.Model:
    """Network 1 of CS7015: two valid convolutions, each followed by a pool.

    Options:
        l1_oc: output channels of the first convolution
        filter_multiplier: channels of a convolution over those of the one before, rounded down
        kernel_size: side of every kernel
        stride: stride of every convolution
    """
    chain = CS7015Chain("net1", input_shape)
    for filters in _widths("net1", l1_oc, filter_multiplier, 2):
        _pooled_conv(chain, filters, kernel=kernel_size, stride=stride, padding="valid")
    return _dense_head(chain, classes)


def net2(
    input_shape: Shape,
    classes: int,
    *,
    l1_oc: int = 64,
    filter_multiplier: float = 2.0,
    kernel_size: int = 5,
    stride: int = 1,
) -> keras.Model:
    """Network 2 of CS7015: two blocks of a padded convolution, a valid one and a pool.

    Options:
        l1_oc: output channels of the first convolution
        filter_multiplier: channels of a convolution over those of the one before, rounded down
        kernel_size: side of every kernel
        stride: stride of every convolution
    """
    chain = CS7015Chain("net2", input_shape)
    for i, filters in enumerate(_widths("net2", l1_oc, filter_multiplier, 4)):
        _conv(chain, filters, kernel_size, stride, padded=i % 2 == 0)
        chain.activation("relu")
        # With 7×7 kernels a 32-pixel image is one pixel before the last pool, which the published count omits.
        if i == 1 or (i == 3 and chain.map_size != (1, 1)):
            chain.pool()
    return _dense_head(chain, classes)


def net3(
    input_shape: Shape,
    classes: int,
    *,
    l1_oc: int = 96,
    filter_multiplier: float = 2.0,
    kernel_size: int = 3,
    stride: int = 1,
    dropout_rate: float = 0.1,
) -> keras.Model:
    """Network 3 of CS7015: network 2 with batch norm, and dropout before every dense layer.

    Options:
        l1_oc: output channels of the first convolution
        filter_multiplier: channels of a convolution over those of the one before, rounded down
        kernel_size: side of every kernel
        stride: stride of every convolution
        dropout_rate: share of the inputs of each dense layer that training drops
    """
    chain = CS7015Chain("net3", input_shape)
    widths = _widths("net3", l1_oc, filter_multiplier, 4)
    for i, filters in enumerate(widths):
        _conv(chain, filters, kernel_size, stride, padded=i % 2 == 0)
        _norm_and_relu(chain, norm_first=i < 3)
        if i % 2 == 1:
            chain.pool()
    return _dense_head(chain, classes, dropout_rate)


def net4(
    input_shape: Shape,
    classes: int,
    *,
    l1_oc: int = 64,
    filter_multiplier: float = 2.0,
    kernel_size: int = 3,
    stride: int = 1,
    dropout_rate: float = 0.3,
) -> keras.Model:
    """Network 4 of CS7015: network 3 with two padded convolutions, a valid one and a pool in each of its two blocks.

    Options:
        l1_oc: output channels of the first convolution
        filter_multiplier: channels of the wider convolutions over those of the step before, rounded down
        kernel_size: side of every kernel
        stride: stride of every convolution
        dropout_rate: share of the inputs of each dense layer that training drops
    """
    chain = CS7015Chain("net4", input_shape)
    c1, c2, c3, c4 = _widths("net4", l1_oc, filter_multiplier, 4)
    for i, filters in enumerate((c1, c1, c2, c3, c3, c4)):
        _conv(chain, filters, kernel_size, stride, padded=i % 3 != 2)
        _norm_and_relu(chain, norm_first=i < 5)
        if i % 3 == 2:
            chain.pool()
    return _dense_head(chain, classes, dropout_rate)


def imagenet10(
    input_shape: Shape, classes: int, *, dropout: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> keras.Model:
    """The network of COMP5623, table 1.1.3, without its ReLU after the logits. 128-pixel images flatten to 9,216.

    The tuned run used dropout of 0.2, 0.3 and 0.3; we assume that it follows the three hidden dense layers.

    Options:
        dropout: shares that training drops after the dense layers of 4000, 900 and 90
    """
    chain = TorchChain("imagenet10", input_shape)
    for filters, kernel in ((32, 5), (64, 3), (128, 3), (256, 3)):
        _pooled_conv(chain, filters, kernel=kernel, padding="valid")
    chain.flatten()
    for units, rate in zip((4000, 900, 90), dropout, strict=True):
        _dense(chain, units)
        chain.dropout(rate)
    return chain.model(classes)


def _pooled_conv(chain: Chain, filters: int, **options: Any) -> None:
    """A convolution with ReLU and 2×2 max pooling; `options` are those of `Chain.conv`."""
    chain.conv(filters, **options)
    chain.activation("relu")
    chain.pool()


def _dense(chain: Chain, units: int) -> None:
    """A dense layer with ReLU."""
    chain.dense(units)
    chain.activation("relu")


def _widths(net: str, first: int, factor: float, count: int) -> list[int]:
    require(first >= 1, f"{net}: l1_oc", f"found {first}", "at least 1")
    widths = [int(first * factor**i) for i in range(count)]
    require(min(widths) >= 1, f"{net}: filter_multiplier", f"{factor} makes {widths} filters", "at least 1 everywhere")
    return widths


def _conv(chain: Chain, filters: int, kernel: int, stride: int, *, padded: bool) -> None:
    """A convolution of the CS7015 nets: valid, or with one pixel of padding for any kernel size."""
    if not padded:
        chain.conv(filters, kernel=kernel, stride=stride, padding="valid")
    elif kernel == 3 and stride == 1:
        chain.conv(filters)  # the same numbers without a layer for the padding
    else:
        chain.pad(1)
        chain.conv(filters, kernel=kernel, stride=stride, padding="valid")


def _norm_and_relu(chain: Chain, *, norm_first: bool) -> None:
    if norm_first:
        chain.batch_norm(momentum=0.95, epsilon=1e-5)
    chain.activation("relu")
    if not norm_first:
        chain.batch_norm(momentum=0.95, epsilon=1e-5)


def _dense_head(chain: Chain, classes: int, dropout: float = 0.0) -> keras.Model:
    """The dense layers of the CS7015 nets: 120, 84, logits."""
    chain.flatten()
    for units in (120, 84):
        chain.dropout(dropout)
        _dense(chain, units)
    chain.dropout(dropout)
    return chain.model(classes)
