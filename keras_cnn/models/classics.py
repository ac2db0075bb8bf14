"""The torchvision networks that the reports fine-tuned, in its layout, and ResNet8 for small images.

Each layer computes the same numbers as torchvision's; ResNet8 is built of the same blocks.

Layers have torchvision's module names with `_` for `.` (`layer1.0.conv1` is `layer1_0_conv1`); the last layer is
`logits`. Where Keras's "same" padding places zeros differently from PyTorch, the padding is a separate layer. Max pools
are padded with zeros too: PyTorch pads them with minus infinity, which is equivalent after a ReLU.

Sources: AlexNet, Krizhevsky 2014 (arXiv:1404.5997); VGG, Simonyan and Zisserman 2015 (1409.1556); SqueezeNet 1.1,
Iandola 2016 (1602.07360); ResNet, He 2016 (1512.03385) with the stride of a bottleneck in its 3×3 convolution
("v1.5"); DenseNet, Huang 2017 (1608.06993).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import keras
from keras import layers
from keras.initializers import RandomNormal, VarianceScaling

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models.blocks import BatchNormalization, TorchDefault

Tensor = keras.KerasTensor

# torchvision's initialisers, named by the distribution of the kernels.
FanOut = partial(VarianceScaling, scale=2.0, mode="fan_out", distribution="untruncated_normal")
FanInNormal = partial(VarianceScaling, scale=2.0, mode="fan_in", distribution="untruncated_normal")
FanInUniform = partial(VarianceScaling, scale=2.0, mode="fan_in", distribution="uniform")
Normal = partial(RandomNormal, stddev=0.01)


@dataclass(frozen=True)
class Classic:
    """One network: `features` maps normalised images to the last map, `head` maps that to logits.

    `smallest` is the smallest height and width in pixels; `weights_file` is torchvision's file of ImageNet weights, ""
    if there is none; `side` is that of the images of the published weights.
    """

    features: Callable[[Tensor], Tensor]
    head: Callable[[Tensor, int], Tensor]
    smallest: int
    weights_file: str
    side: int = 224


def find(name: str) -> Classic:
    """The network `name`. Raises InputError with the nearest name for an unknown one."""
    if name not in CLASSICS:
        raise InputError(f"unknown network {name!r}{nearest(name, CLASSICS)}")
    return CLASSICS[name]


def normalise(images: Tensor) -> Tensor:
    """torchvision's preprocessing of 0-255 RGB: scaled to 0-1, then standardised with ImageNet's mean and deviation."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale = [1 / (255 * s) for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    rescale = layers.Rescaling(cast(Any, scale), offset=cast(Any, offset), dtype="float32", name="rescale")
    return rescale(images)


def _conv(x: Tensor, name: str, filters: int, kernel: int, *, stride: int = 1, pad: int = 0, init, bias=False):
    """A convolution with PyTorch's padding of `pad` zeros on every side."""
    same = pad and stride == 1 and 2 * pad == kernel - 1
    if pad and not same:
        x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
    padding = "same" if same else "valid"
    return layers.Conv2D(
        filters, kernel, strides=stride, padding=padding, use_bias=bias, kernel_initializer=init(), name=name
    )(x)


def _batch_norm(x: Tensor, name: str) -> Tensor:
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _relu(x: Tensor, name: str) -> Tensor:
    return layers.Activation("relu", name=name)(x)


def _max_pool(x: Tensor, name: str, size: int, stride: int, *, pad: int = 0, ceil: bool = False) -> Tensor:
    """Max pooling of a map without negative values; `ceil` keeps the last, partly filled windows."""
    if ceil:
        after = [-(side - size) % stride for side in x.shape[1:3]]
        if any(after):
            x = layers.ZeroPadding2D(((0, after[0]), (0, after[1])), name=f"{name}_pad")(x)
    elif pad:
        x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, strides=stride, name=name)(x)


def adaptive_average_pool(x: Tensor, side: int, name: str) -> Tensor:
    """PyTorch's AdaptiveAvgPool2d for a map of known size: (N, H, W, C) to (N, side, side, C).

    Window i covers the rows from floor(i H / side) to ceil((i + 1) H / side). Windows overlap if H is not a multiple
    of the side, and repeat rows if H is smaller. Windows of equal size at equal distances become one pooling layer;
    others are cut out separately and concatenated.
    """
    x = _pool_axis(x, side, 0, f"{name}_rows")
    return layers.Identity(name=name)(_pool_axis(x, side, 1, f"{name}_columns"))


def _pool_axis(x: Tensor, count: int, axis: int, name: str) -> Tensor:
    length = x.shape[1 + axis]
    if length == count:
        return x
    starts = [i * length // count for i in range(count)]
    sizes = [-(-(i + 1) * length // count) - start for i, start in enumerate(starts)]

    def along(value, other):
        return (value, other) if axis == 0 else (other, value)

    steps = {b - a for a, b in pairwise(starts)}
    if len(set(sizes)) == len(steps) == 1 and min(steps) > 0:
        return layers.AveragePooling2D(along(sizes[0], 1), strides=along(min(steps), 1), name=name)(x)
    windows = []
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        cut = along((start, length - start - size), (0, 0))
        window = layers.Cropping2D(cut, name=f"{name}_{i}_cut")(x)
        windows.append(layers.AveragePooling2D(along(size, 1), name=f"{name}_{i}")(window))
    return layers.Concatenate(axis=1 + axis, name=name)(windows)


def _logits(x: Tensor, classes: int, init=TorchDefault) -> Tensor:
    return layers.Dense(classes, kernel_initializer=cast(Any, init()), dtype="float32", name="logits")(x)


def _pooled_head(x: Tensor, classes: int) -> Tensor:
    return _logits(layers.GlobalAveragePooling2D(name="avgpool")(x), classes)


def _dense_head(x: Tensor, classes: int, *, side: int, numbers: tuple[int, int], dropout: tuple, init) -> Tensor:
    """The head of AlexNet and VGG: a map of side × side, two dense layers of 4096 units, logits.

    `numbers` are the indices of the dense layers in torchvision's `classifier`; `dropout` has the rates before the two
    dense layers and the logits.
    """
    x = layers.Flatten(name="flatten")(adaptive_average_pool(x, side, "avgpool"))
    for number, rate in zip(numbers, dropout[:2], strict=True):
        x = _dropout(x, rate, f"classifier_{number}_dropout")
        x = layers.Dense(4096, kernel_initializer=init(), name=f"classifier_{number}")(x)
        x = _relu(x, f"classifier_{number}_relu")
    return _logits(_dropout(x, dropout[2], "logits_dropout"), classes, init)


def _dropout(x: Tensor, rate: float, name: str) -> Tensor:
    return layers.Dropout(rate, name=name)(x) if rate else x


def _alexnet(x: Tensor) -> Tensor:
    conv = partial(_conv, init=TorchDefault, bias=True)
    x = _relu(conv(x, "features_0", 64, 11, stride=4, pad=2), "features_1")
    x = _max_pool(x, "features_2", 3, 2)
    x = _relu(conv(x, "features_3", 192, 5, pad=2), "features_4")
    x = _max_pool(x, "features_5", 3, 2)
    for number, filters in ((6, 384), (8, 256), (10, 256)):
        x = _relu(conv(x, f"features_{number}", filters, 3, pad=1), f"features_{number + 1}")
    return _max_pool(x, "features_12", 3, 2)


def _vgg(x: Tensor, *, convs: tuple[int, ...], batch_norm: bool = False) -> Tensor:
    """VGG with `convs` convolutions before each of the five pools."""
    number = 0
    for count, filters in zip(convs, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            x = _conv(x, f"features_{number}", filters, 3, pad=1, init=FanOut, bias=True)
            if batch_norm:
                number += 1
                x = _batch_norm(x, f"features_{number}")
            x = _relu(x, f"features_{number + 1}")
            number += 2
        x = _max_pool(x, f"features_{number}", 2, 2)
        number += 1
    return x


def _squeezenet(x: Tensor) -> Tensor:
    conv = partial(_conv, init=FanInUniform, bias=True)
    x = _relu(conv(x, "features_0", 64, 3, stride=2), "features_1")
    x = _max_pool(x, "features_2", 3, 2, ceil=True)
    squeezes = {3: 16, 4: 16, 6: 32, 7: 32, 9: 48, 10: 48, 11: 64, 12: 64}
    for number in range(3, 13):
        name = f"features_{number}"
        if number not in squeezes:
            x = _max_pool(x, name, 3, 2, ceil=True)
            continue
        squeeze = squeezes[number]
        x = _relu(conv(x, f"{name}_squeeze", squeeze, 1), f"{name}_squeeze_relu")
        small = _relu(conv(x, f"{name}_expand1x1", 4 * squeeze, 1), f"{name}_expand1x1_relu")
        large = _relu(conv(x, f"{name}_expand3x3", 4 * squeeze, 3, pad=1), f"{name}_expand3x3_relu")
        x = layers.Concatenate(name=f"{name}_concat")([small, large])
    return x


def _squeezenet_head(x: Tensor, classes: int) -> Tensor:
    """Logits from a 1×1 convolution, a ReLU and the mean over the map."""
    x = layers.Dropout(0.5, name="classifier_0")(x)
    x = _relu(_conv(x, "classifier_1", classes, 1, init=Normal, bias=True), "classifier_2")
    return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)


def _basic_block(x: Tensor, name: str, filters: int, stride: int) -> Tensor:
    y = _conv(x, f"{name}_conv1", filters, 3, stride=stride, pad=1, init=FanOut)
    y = _relu(_batch_norm(y, f"{name}_bn1"), f"{name}_relu1")
    y = _batch_norm(_conv(y, f"{name}_conv2", filters, 3, pad=1, init=FanOut), f"{name}_bn2")
    return _residual(x, y, name, filters, stride)


def _bottleneck(x: Tensor, name: str, filters: int, stride: int) -> Tensor:
    y = _relu(_batch_norm(_conv(x, f"{name}_conv1", filters, 1, init=FanOut), f"{name}_bn1"), f"{name}_relu1")
    y = _conv(y, f"{name}_conv2", filters, 3, stride=stride, pad=1, init=FanOut)
    y = _relu(_batch_norm(y, f"{name}_bn2"), f"{name}_relu2")
    y = _batch_norm(_conv(y, f"{name}_conv3", 4 * filters, 1, init=FanOut), f"{name}_bn3")
    return _residual(x, y, name, 4 * filters, stride)


def _residual(x: Tensor, y: Tensor, name: str, channels: int, stride: int) -> Tensor:
    """The sum of `y` and `x`; where the shapes differ, `x` goes through a 1×1 convolution first."""
    if stride != 1 or x.shape[-1] != channels:
        x = _conv(x, f"{name}_downsample_0", channels, 1, stride=stride, init=FanOut)
        x = _batch_norm(x, f"{name}_downsample_1")
    return _relu(layers.Add(name=f"{name}_add")([y, x]), f"{name}_relu")


def _resnet(x: Tensor, *, block, counts: tuple[int, ...]) -> Tensor:
    """ResNet with `counts` blocks in each of its four stages."""
    x = _relu(_batch_norm(_conv(x, "conv1", 64, 7, stride=2, pad=3, init=FanOut), "bn1"), "relu")
    x = _max_pool(x, "maxpool", 3, 2, pad=1)
    for i, count in enumerate(counts):
        for j in range(count):
            x = block(x, f"layer{i + 1}_{j}", 64 * 2**i, 2 if i > 0 and j == 0 else 1)
    return x


def _small_resnet(x: Tensor, *, blocks: int) -> Tensor:
    """ResNet of 6 `blocks` + 2 layers for small images (He 2016, 1512.03385, section 4.2), with projections."""
    x = _relu(_batch_norm(_conv(x, "conv1", 16, 3, pad=1, init=FanOut), "bn1"), "relu")
    for i in range(3):
        for j in range(blocks):
            x = _basic_block(x, f"layer{i + 1}_{j}", 16 * 2**i, 2 if i > 0 and j == 0 else 1)
    return x


def _densenet(x: Tensor, *, first: int, growth: int, counts: tuple[int, ...]) -> Tensor:
    """DenseNet with `first` filters in the first convolution and `counts` layers in each of its four dense blocks."""
    conv = partial(_conv, init=FanInNormal)
    x = conv(x, "features_conv0", first, 7, stride=2, pad=3)
    x = _relu(_batch_norm(x, "features_norm0"), "features_relu0")
    x = _max_pool(x, "features_pool0", 3, 2, pad=1)
    for i, count in enumerate(counts, start=1):
        for j in range(1, count + 1):
            name = f"features_denseblock{i}_denselayer{j}"
            y = _relu(_batch_norm(x, f"{name}_norm1"), f"{name}_relu1")
            y = _relu(_batch_norm(conv(y, f"{name}_conv1", 4 * growth, 1), f"{name}_norm2"), f"{name}_relu2")
            x = layers.Concatenate(name=f"{name}_concat")([x, conv(y, f"{name}_conv2", growth, 3, pad=1)])
        if i < len(counts):
            name = f"features_transition{i}"
            x = _relu(_batch_norm(x, f"{name}_norm"), f"{name}_relu")
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(conv(x, f"{name}_conv", x.shape[-1] // 2, 1))
    return _relu(_batch_norm(x, "features_norm5"), "features_relu5")


def _vgg_classic(convs: tuple[int, ...], weights_file: str, *, batch_norm: bool = False) -> Classic:
    head = partial(_dense_head, side=7, numbers=(0, 3), dropout=(0, 0.5, 0.5), init=Normal)
    return Classic(partial(_vgg, convs=convs, batch_norm=batch_norm), head, 32, weights_file)


def _resnet_classic(block, counts: tuple[int, ...], weights_file: str) -> Classic:
    return Classic(partial(_resnet, block=block, counts=counts), _pooled_head, 1, weights_file)


def _densenet_classic(first: int, growth: int, counts: tuple[int, ...], weights_file: str) -> Classic:
    return Classic(partial(_densenet, first=first, growth=growth, counts=counts), _pooled_head, 29, weights_file)


# `torchvision_NAME` is torchvision's layout of a network that keras.applications has in its own layout.
CLASSICS: dict[str, Classic] = {
    "alexnet": Classic(
        _alexnet,
        partial(_dense_head, side=6, numbers=(1, 4), dropout=(0.5, 0.5, 0), init=TorchDefault),
        63,
        "alexnet-owt-7be5be79.pth",
    ),
    "densenet161": _densenet_classic(96, 48, (6, 12, 36, 24), "densenet161-8d451a50.pth"),
    "resnet18": _resnet_classic(_basic_block, (2, 2, 2, 2), "resnet18-f37072fd.pth"),
    "resnet34": _resnet_classic(_basic_block, (3, 4, 6, 3), "resnet34-b627a593.pth"),
    "resnet8": Classic(partial(_small_resnet, blocks=1), _pooled_head, 1, "", side=28),
    "squeezenet1_1": Classic(_squeezenet, _squeezenet_head, 17, "squeezenet1_1-b8a52dc0.pth"),
    "vgg11": _vgg_classic((1, 1, 2, 2, 2), "vgg11-8a719046.pth"),
    "vgg11_bn": _vgg_classic((1, 1, 2, 2, 2), "vgg11_bn-6002323d.pth", batch_norm=True),
    "torchvision_densenet121": _densenet_classic(64, 32, (6, 12, 24, 16), "densenet121-a639ec97.pth"),
    "torchvision_densenet169": _densenet_classic(64, 32, (6, 12, 32, 32), "densenet169-b2777c0a.pth"),
    "torchvision_densenet201": _densenet_classic(64, 32, (6, 12, 48, 32), "densenet201-c1103571.pth"),
    "torchvision_resnet50": _resnet_classic(_bottleneck, (3, 4, 6, 3), "resnet50-0676ba61.pth"),
    "torchvision_resnet101": _resnet_classic(_bottleneck, (3, 4, 23, 3), "resnet101-63fe2227.pth"),
    "torchvision_resnet152": _resnet_classic(_bottleneck, (3, 8, 36, 3), "resnet152-394f9c45.pth"),
    "torchvision_vgg16": _vgg_classic((2, 2, 3, 3, 3), "vgg16-397923af.pth"),
    "torchvision_vgg19": _vgg_classic((2, 2, 4, 4, 4), "vgg19-dcbb9e9d.pth"),
}


def twin(name: str) -> str | None:
    """The name of the torchvision layout of a network of keras.applications, or None."""
    return f"torchvision_{name}" if f"torchvision_{name}" in CLASSICS else None


def require_shape(name: str, input_shape: Sequence[int]) -> None:
    """Raises InputError unless the shape is height, width and channels."""
    sides = [side for side in input_shape if isinstance(side, int) and side >= 1]
    problem = f"found {tuple(input_shape)}"
    require(len(input_shape) == len(sides) == 3, f"{name}: input_shape", problem, "height, width and channels")


def require_size(name: str, input_shape: tuple[int, int, int], smallest: int) -> None:
    """Raises InputError if the image is too small for the network."""
    height, width = input_shape[:2]
    require(min(height, width) >= smallest, name, f"images of {height}×{width}", f"at least {smallest}×{smallest}")
