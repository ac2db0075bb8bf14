"""The views by name. A view is a module here of its name (`-` as `_`) with one function:

    def draw(subject: OpenedModel, out: Path, *, OPTION: TYPE = DEFAULT, ...) -> list[Drawn]

It looks at `subject` (see `opened_model`), writes each figure with the arrays behind it into the folder `out`, which
is there, by `saving.keep`, and gives what was written in the order of the printed lines. Its keyword-only
parameters are the view's options on the command line (`layer: tuple[str, ...] = ()` is `--layer NAME ...`), with their
types and defaults; a line `name: what it does` under "Options:" in the docstring is the help. Wrong input raises
InputError.

    def reads(subject: OpenedModel) -> Reads

if there is one, says what `draw` will read with the options `IN_ALL` of the module, or without any, so that `all` can
read it once for all views. What is measured over many images is asked of `image_stream.measured`, maps of the images
on display of `OpenedModel.maps`: both know what was read ahead.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from keras_cnn.checking import nearest
from keras_cnn.errors import UsageError

VIEWS = {  # name -> what it shows, for --help
    "kernels": "kernels of convolutions as RGB and channel by channel, with bias and norm",
    "activations": "feature maps before and after batch norm and activation",
    "pairs": "kernel, its conv map and its ReLU map side by side, the pairing checked by numbers",
    "attribution": "what a class or a neuron depends on, ten methods, each with the verdict of its sanity checks",
    "page": "one HTML page to pick image, layer and channel: kernel, maps, gradient, Grad-CAM, top patches",
    "occlusion": "confidence left in a class while a patch hides one part of the image after the other",
    "ablation": "what some filters at zero cost, class by class, beside as many random filters",
    "filters": "over a split in one pass: each filter's top images, patches and classes, and dead filters",
    "receptive-field": "the pixels that a unit of each layer sees, by arithmetic and by gradient",
    "statistics": "non-positive values by layer, eigenvalues of the features' covariance, several networks and images",
    "maximise": "pictures that raise a class or a channel, by optimisation, beside the real images that do so most",
    "embedding": "images as points by PCA and t-SNE of their features, with classes and mistakes",
}


MODULES = {"maximise": "activation_maximization", "pairs": "kernel_map_pairs"}  # where it is not the view's name


def find(name: str) -> Callable:
    """The `draw` function of a view. UsageError, with the nearest name, for one that is not there."""
    if name not in VIEWS:
        raise UsageError(f"command line: unknown view {name!r}{nearest(name, (*VIEWS, 'all'))}")
    return _module(name).draw


def reads(name: str) -> Callable | None:
    """The `reads` function of a view, if it has one."""
    return getattr(_module(name), "reads", None)


def options_in_all(name: str) -> dict[str, Any]:
    """Options that a view gets where all views are drawn, if not its defaults."""
    return getattr(_module(name), "IN_ALL", {})


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{MODULES.get(name, name.replace('-', '_'))}")
