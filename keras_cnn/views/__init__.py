"""The catalogue of the views: one record for each view of `visualize.py`. The records need no TensorFlow.

A view is a module in this package with a function

    def draw(opened: OpenedModel, out: Path, *, OPTION: TYPE = DEFAULT, ...) -> list[SavedFigure]

It visualizes `opened`, writes each figure with its arrays into the existing folder `out` by `save_figure`, and returns
the files in the order in which they are reported. Its keyword-only parameters are the options of the view on the
command line, with their types and defaults: `layer: tuple[str, ...] = ()` becomes `--layer NAME ...`. A line
`name: help` under "Options:" in its docstring is the help of the option. Wrong input raises InputError.

A view may also have a function

    def reads(opened: OpenedModel) -> PlannedReads

It says what `draw` will read with the options of the view in `all`, so that `all` can read for every view at once.
`image_stream.measured` and `OpenedModel.maps` then return what was read ahead.
"""

import ast
import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_cnn.checking import nearest, options_of
from keras_cnn.errors import UsageError


@dataclass(frozen=True)
class View:
    """A view as the command line offers it."""

    name: str  # also the name of the folder with its figures
    module: str
    summary: str  # for --help
    aliases: tuple[str, ...] = ()
    needs_classifier: bool = False
    options_in_all: Mapping[str, Any] = field(default_factory=dict)  # that differ from the defaults when all are drawn

    @property
    def draw(self) -> Callable:
        return self._imported().draw

    @property
    def reads(self) -> Callable | None:
        """The `reads` function of the view, if it has one."""
        return getattr(self._imported(), "reads", None)

    @property
    def options(self) -> dict[str, tuple[Any, Any, str]]:
        """Name -> type, default and help of each option. Imports the module of the view, and so TensorFlow."""
        return options_of(self.draw)

    @property
    def option_names(self) -> list[str]:
        """The names of the options, read from the source: nothing is imported."""
        tree = ast.parse(Path(__file__).with_name(f"{self.module}.py").read_text(encoding="utf-8"))
        draw = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "draw")
        return [argument.arg for argument in draw.args.kwonlyargs]

    def _imported(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.module}")


VIEWS = {
    view.name: view
    for view in (
        View("architecture", "architecture", "diagram of the layers, with shapes and numbers of weights"),
        View("kernels", "kernels", "kernels of convolutions as RGB and channel by channel, with bias and norm"),
        View("activations", "activations", "feature maps before and after batch norm and activation"),
        View(
            "kernel-map-pairs",
            "kernel_map_pairs",
            "each kernel beside its map before and after the activation, with the pairing checked numerically",
            aliases=("pairs",),
        ),
        View(
            "attribution",
            "attribution",
            "what a class or a neuron depends on, by ten methods, each with the verdict of its sanity checks",
        ),
        View("page", "page", "one HTML page to choose image, layer and channel: kernel, maps, gradient, top patches"),
        View(
            "occlusion",
            "occlusion",
            "the confidence in a class while a patch hides one part of the image after the other",
            needs_classifier=True,
        ),
        View(
            "ablation",
            "ablation",
            "the loss of accuracy with some filters at zero, class by class, beside as many random filters",
            needs_classifier=True,
            # Of the 304 seconds that all views of a net4 took on 5,000 images, this view took 106: it predicts every
            # image seven times.
            options_in_all={"most": 2500},
        ),
        View("filters", "filters", "top images, top patches and classes of each filter over a split, and dead filters"),
        View(
            "receptive-field", "receptive_field", "the pixels that a unit of each layer sees: computed, and by gradient"
        ),
        View(
            "statistics",
            "statistics",
            "shares of non-positive values by layer, and eigenvalues of the covariance of the features",
        ),
        View(
            "activation-maximization",
            "activation_maximization",
            "pictures optimised to raise a class or a channel, beside the real images that raise it most",
            aliases=("maximise",),
        ),
        View(
            "embedding", "embedding", "images as points by PCA and t-SNE of their features, with classes and mistakes"
        ),
    )
}
_ALIASES = {alias: view for view in VIEWS.values() for alias in view.aliases}


METHODS = (  # of the view attribution, whose module would import TensorFlow
    "gradient",
    "gradient-times-input",
    "guided-backpropagation",
    "deconvnet",
    "smoothgrad",
    "integrated-gradients",
    "grad-cam",
    "grad-cam++",
    "score-cam",
    "layer-cam",
)


def check_method(name: str, option: str) -> None:
    """Raises UsageError, with the nearest name, for an unknown attribution method; `option` names it."""
    if name not in METHODS:
        raise UsageError(f"command line: {option}: unknown method {name!r}{nearest(name, METHODS)}")


def is_view(name: str) -> bool:
    """Whether a view has this name or alias; also true for `all`."""
    return name in VIEWS or name in _ALIASES or name == "all"


def find(name: str) -> View:
    """The view of that name or alias. UsageError, with the nearest name, for an unknown one."""
    view = VIEWS.get(name) or _ALIASES.get(name)
    if view is None:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), METHODS, 1, 0.75)
        hint = nearest(name, (*VIEWS, *_ALIASES, "all"))
        if near and "did you mean" not in hint:
            hint = f"; did you mean attribution --method {near[0]}?"
        raise UsageError(f"command line: unknown view {name!r}{hint}")
    return view
