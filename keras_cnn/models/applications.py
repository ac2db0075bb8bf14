"""The networks of keras.applications by name: preprocessing, image sizes and the file of their ImageNet weights."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import keras

# What a family's own `preprocess_input` does to RGB images of 0-255. "inside": nothing, the network does it itself.
Preprocessing = Literal["caffe", "tf", "torch", "inside"]


@dataclass(frozen=True)
class Family:
    """What the networks of one module of keras.applications share.

    `smallest` is the smallest accepted image side. `weights_file` is the file of ImageNet weights without the top in
    Keras's cache; `{name}` stands for Keras's name of the network, `{side}` for the image side and `{variant}` for
    large or small. `published_sides` are the other square sizes for which Keras has separate weights.
    """

    preprocessing: Preprocessing
    smallest: int
    weights_file: str
    published_sides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Application:
    """One network of keras.applications; sides in pixels."""

    name: str
    build: Callable[..., keras.Model]
    family: Family
    side: int

    def weights_side(self, height: int, width: int) -> int:
        """The training image side of the published weights that Keras chooses for this size."""
        return height if height == width and height in self.family.published_sides else self.side

    def weights_file(self, side: int) -> str:
        """Name of the weights file in Keras's cache folder `models`."""
        name = inspect.signature(self.build).parameters["name"].default
        return self.family.weights_file.format(name=name, side=side, variant=self.name.removeprefix("mobilenetv3"))


_OLD = "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
FAMILIES: dict[str, Family] = {
    "convnext": Family("inside", 32, "{name}_notop.h5"),
    "densenet": Family("torch", 32, _OLD),
    "efficientnet": Family("inside", 32, "{name}_notop.h5"),
    "efficientnet_v2": Family("inside", 32, "{name}_notop.h5"),
    "inception_resnet_v2": Family("tf", 75, _OLD),
    "inception_v3": Family("tf", 75, _OLD),
    "mobilenet": Family("tf", 32, "mobilenet_1_0_{side}_tf_no_top.h5", (128, 160, 192)),
    "mobilenet_v2": Family(
        "tf", 32, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{side}_no_top.h5", (96, 128, 160, 192)
    ),
    "mobilenet_v3": Family("inside", 32, "weights_mobilenet_v3_{variant}_224_1.0_float_no_top_v2.h5"),
    "nasnet": Family("tf", 32, "{name}_no_top.h5"),
    "resnet": Family("caffe", 32, _OLD),
    "resnet_v2": Family("tf", 32, _OLD),
    "vgg16": Family("caffe", 32, _OLD),
    "vgg19": Family("caffe", 32, _OLD),
    "xception": Family("tf", 71, _OLD),
}
USUAL_SIDE = 224
SIDES: dict[str, int] = {  # where the published weights were trained with images of another side
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
    "inceptionresnetv2": 299,
    "inceptionv3": 299,
    "nasnetlarge": 331,
    "xception": 299,
}


def _applications() -> dict[str, Application]:
    """Every network that the installed keras.applications offers; its name is the function's in lower case."""
    applications = {}
    for _, build in inspect.getmembers(keras.applications, inspect.isfunction):
        family = FAMILIES[build.__module__.rsplit(".", 1)[-1]]
        name = build.__name__.lower()
        applications[name] = Application(name, build, family, SIDES.get(name, USUAL_SIDE))
    return applications


APPLICATIONS = _applications()
