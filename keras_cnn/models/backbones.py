"""Pretrained networks of keras.applications and `classics` by name, as flat graphs that take images of 0-255."""

from pathlib import Path
from typing import Any, Literal, cast

import keras
import numpy as np
from keras import layers

from keras_cnn.checking import nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models import classics
from keras_cnn.models.applications import APPLICATIONS, Application
from keras_cnn.models.blocks import BatchNormalization
from keras_cnn.models.graph import unallocated
from keras_cnn.models.weights import is_torch_file, load_weights
from keras_cnn.models.weights.stored import canonical, snake_case

Shape = tuple[int, int, int]
Pooling = Literal["avg", "max"]
HeadKind = Literal["pooled", "reference"]

# Keras's EfficientNets divide by the root of ImageNet's standard deviations twice: in a Normalization that comes with
# the weights, and in a Rescaling that Keras adds only together with them. Here both are always present.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def names() -> tuple[str, ...]:
    """Every backbone's name, in alphabetical order."""
    return tuple(sorted((*APPLICATIONS, *classics.CLASSICS)))


def default_side(name: str) -> int:
    """Side in pixels of the square images that the published weights were trained with."""
    _require_known(name)
    return APPLICATIONS[name].side if name in APPLICATIONS else classics.find(name).side


def layout(name: str, weights: str | Path) -> str:
    """The network to build: `name`, or its twin in torchvision's layout if `weights` is a PyTorch file.

    To load weights separately, build `layout(name, weights)` with weights "none" and call `load_weights` afterwards.
    Raises InputError for an unknown name.
    """
    _require_known(name)
    return classics.twin(name) or name if is_torch_file(weights) else name


def backbone(name: str, input_shape: Shape, *, weights: str | Path = "imagenet") -> keras.Model:
    """The network `name` without its head: images (N, H, W, C) of 0-255 to its last map (N, h, w, filters).

    The preprocessing is part of the model, in plain Keras layers, and the graph holds no nested model. Three channels
    are RGB. One channel is grey and is repeated. Any other number is mapped to three by a trainable 1×1 convolution,
    `to_rgb`, which initially selects the first three channels or, for two, takes their mean. Layers are named as in
    keras.applications or, for the networks of `classics`, as in torchvision, whatever the session has built before.

    `weights` is the source for `load_weights`. PyTorch weights need torchvision's layout: with a PyTorch file, a
    network of keras.applications is built as `torchvision_NAME`, if there is one (ResNet v1.5 has strides in other
    layers, and torchvision's VGG has other preprocessing).

    Raises InputError for an unknown name, a wrong shape, an image too small for the network, and
    weights that `load_weights` rejects.
    """
    name = layout(name, weights)
    model = _features(name, input_shape)
    load_weights(model, weights)
    return model


def classifier(
    name: str,
    input_shape: Shape,
    classes: int,
    *,
    weights: str = "imagenet",
    pooling: Pooling = "avg",
    dense: int = 0,
    dropout: float = 0.0,
    head: HeadKind = "pooled",
) -> keras.Model:
    """The backbone with a head: images (N, H, W, C) of 0-255 to float32 logits (N, classes).

    The pooled head is global pooling (`pool`), a dense layer with ReLU (`dense`, if it has units), dropout (`dropout`,
    if its rate is above 0) and one dense layer (`logits`). The reference head is the published one, for the networks
    of `classics`: it has the dense layers of AlexNet and VGG, the convolution of SqueezeNet, and their dropout. The
    head in a weights file is loaded too if its shapes are the same.

    Options:
        weights: imagenet, none, fashion (of resnet8) or a file (.keras, .weights.h5, .h5, .safetensors, .pth, .pt)
        pooling: how the last map becomes a vector
        dense: units of a layer with ReLU between pooling and logits; 0 for none
        dropout: share of the numbers before the logits dropped
        head: pooled has the options above; reference is that of the publication

    Raises InputError as `backbone`, and for fewer than two classes or a rate outside 0 to 1.
    """
    name = layout(name, weights)
    require(isinstance(classes, int) and classes >= 2, f"{name}: classes", f"found {classes!r}", "at least 2")
    require(dense >= 0, f"{name}: dense", f"found {dense}", "at least 0")
    require(0 <= dropout < 1, f"{name}: dropout", f"found {dropout}", "at least 0 and below 1")
    base = _features(name, input_shape)
    if head == "reference":
        require(name in classics.CLASSICS, f"{name}: head", "found 'reference'", "'pooled' for a network of Keras's")
        logits = classics.find(name).head(base.outputs[0], classes)
    else:
        logits = _pooled_head(base.outputs[0], classes, pooling, dense, dropout)
    model = keras.Model(base.inputs[0], logits, name=name)
    load_weights(model, weights)
    return model


def _require_known(name: str) -> None:
    if name not in names():
        raise InputError(f"unknown backbone {name!r}{nearest(name, names())}")


def _pooled_head(x, classes: int, pooling: Pooling, dense: int, dropout: float):
    pool = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}[pooling]
    x = pool(name="pool")(x)
    if dense:
        x = layers.Dense(dense, "relu", name="dense")(x)
    if dropout > 0:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)


def _features(name: str, input_shape: Shape) -> keras.Model:
    """The untrained backbone."""
    classics.require_shape(name, input_shape)
    smallest = APPLICATIONS[name].family.smallest if name in APPLICATIONS else classics.find(name).smallest
    classics.require_size(name, input_shape, smallest)
    image = cast(keras.KerasTensor, keras.Input(tuple(input_shape), name="image"))
    rgb = _to_rgb(image)
    if name in APPLICATIONS:
        model = _flat(APPLICATIONS[name], rgb)
    else:
        model = keras.Model(image, classics.find(name).features(classics.normalise(rgb)), name=name)
    if input_shape[-1] not in (1, 3):
        model.get_layer("to_rgb").set_weights([_projection(input_shape[-1])])
    return model


def _to_rgb(image):
    channels = image.shape[-1]
    if channels == 3:
        return image
    if channels == 1:
        return layers.Concatenate(name="grey_to_rgb", dtype="float32")([image] * 3)
    return layers.Conv2D(3, 1, use_bias=False, dtype="float32", name="to_rgb")(image)


def _projection(channels: int) -> np.ndarray:
    """The initial 1×1 kernel of `to_rgb`."""
    kernel = np.eye(channels, 3) if channels > 3 else np.full((channels, 3), 1 / channels)
    return kernel[None, None].astype(np.float32)


def _preprocessed(application: Application, rgb):
    match application.family.preprocessing:
        case "inside":
            return rgb
        case "tf":
            return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescale")(rgb)
        case "torch":
            return classics.normalise(rgb)
        case "caffe":
            mean = [-123.68, -116.779, -103.939]
            centred = layers.Rescaling(1.0, offset=cast(Any, mean), dtype="float32", name="rescale")(rgb)
            return keras.ops.flip(centred, axis=-1)  # RGB to BGR


def _flat(application: Application, rgb) -> keras.Model:
    """The network of keras.applications as one flat graph, with our batch norm and names numbered from 0."""
    shape = tuple(rgb.shape[1:])
    image = _preprocessed(application, rgb)
    with unallocated():  # only the flat copy of its layers needs weights
        nested = application.build(weights=None, include_top=False, input_tensor=image, input_shape=shape)
    renamed = canonical((op.name, snake_case(type(op).__name__)) for op in nested.operations)
    efficientnet = application.build.__module__.endswith(".efficientnet")

    def clone(operation):
        if isinstance(operation, keras.Sequential):
            return operation  # `call` applies its layers separately
        config = operation.get_config()
        config["name"] = renamed.get(operation.name, operation.name)
        if isinstance(operation, layers.Rescaling | layers.Normalization):
            config["dtype"] = "float32"  # bfloat16 would leave seven bits of an image
        kind = BatchNormalization if type(operation) is layers.BatchNormalization else type(operation)
        return kind.from_config(config)

    def call(operation, *arguments, **options):
        if isinstance(operation, keras.Sequential):
            (x,) = arguments
            for layer in operation.layers:
                x = clone(layer)(x)
            return x
        outputs = operation(*arguments, **options)
        if efficientnet and isinstance(operation, layers.Normalization):
            operation.set_weights([np.array(_MEAN), np.array(_STD), np.array(0)])
            operation.finalize_state()
            scale = [1 / np.sqrt(std).item() for std in _STD]
            return layers.Rescaling(scale, dtype="float32", name="rescaling_std")(outputs)
        return outputs

    flat = keras.models.clone_model(nested, clone_function=clone, call_function=call)
    return keras.Model(flat.inputs[0], flat.outputs[0], name=application.name)
