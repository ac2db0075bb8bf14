"""Looking inside a network from the library: every view of `visualize.py`, and attributions with their verdicts."""

import html
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_origin
from weakref import WeakKeyDictionary

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_cnn import views
from keras_cnn.api.calls import messages, public
from keras_cnn.api.embedded import embedded
from keras_cnn.api.settings import chosen_names
from keras_cnn.checking import check, nearest, placed, strip
from keras_cnn.errors import InputError
from keras_cnn.figures import style
from keras_cnn.views import attribution
from keras_cnn.views.support.opened_model import OpenedModel, OptionalCount, VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.views.support.saving import SavedFigure
from keras_cnn.views.support.session import draw_every_view, draw_view
from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.sanity import Verdict

Images = Any  # a file, an array (H, W, C) or (N, H, W, C) uint8, or a list of them

_OF_THE_NETWORK = ("weights", "image_size", "input_range", "classes", "output", "out")  # of VisualizeOptions

CLASSES: WeakKeyDictionary[keras.Model, tuple[str, ...]] = WeakKeyDictionary()
"""The names of the classes of models that runs have loaded: a Keras model does not know them."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """What the scores of a class depend on in N images, by one method, and whether it depends on what was learnt."""

    method: str
    target: str  #: the explained class, in words
    images: np.ndarray  #: (N, H, W, C) uint8, as the network gets them
    maps: np.ndarray  #: (N, H, W) float32: the contribution of each place
    scores: np.ndarray  #: (N,) float32: the explained scores
    verdict: Verdict  #: of the sanity checks; `passes` and `words`
    figure: Figure  #: the images, the maps and the verdict

    @property
    def map(self) -> np.ndarray:
        """(H, W) float32: the map of the first image."""
        return self.maps[0]

    def save(self, path: str | Path) -> None:
        """Writes the figure as PNG, PDF or SVG."""
        style.save(self.figure, path)

    def __repr__(self) -> str:
        images = "1 image" if len(self.maps) == 1 else f"{len(self.maps)} images"
        return f"<Explanation: {self.method} of {self.target} in {images}: {self.verdict.words}>"

    def _repr_html_(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self.save(path := Path(folder) / "explanation.png")
            return embedded(repr(self), path)


class Figures(Sequence[SavedFigure]):
    """The figures of a view, as files, with the arrays that they show."""

    def __init__(self, files: Sequence[SavedFigure]):
        self.files = tuple(files)

    def arrays(self, index: int = 0) -> dict[str, np.ndarray]:
        """The arrays behind a figure, by name."""
        with np.load(self.files[index].arrays, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}

    def __getitem__(self, index: Any) -> Any:
        return self.files[index]

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return "\n".join([f"<Figures: {len(self)}>", *(f"{file.figure}   {file.line}" for file in self.files)])

    def _repr_html_(self) -> str:
        pages = (file.figure for file in self.files if file.figure.suffix == ".png")
        lines = {file.figure: file.line for file in self.files}
        return "".join(embedded(lines[path], path) for path in pages) or f"<pre>{html.escape(repr(self))}</pre>"


@public
def explain(
    model: Any,
    images: Images,
    method: str = "grad-cam",
    *,
    target: str | int | None = None,
    against: str | int | None = None,
    layer: str | int | None = None,
    seed: int = 0,
) -> Explanation:
    """What the score of a class depends on, with the verdict of sanity checks on these images.

    >>> explained = keras_cnn.explain(run.model, "dog.jpg", "grad-cam", target="cat")
    >>> explained.map.shape, explained.verdict.passes in (True, False)
    ((32, 32), True)

    The checks are those of Adebayo et al., Sanity Checks for Saliency Maps, 2018: a map that looks the same on
    a network with random weights does not show what was learnt. Each method names its paper in its own module.

    Args:
        model: a run, or a Keras model for images of 0 to 255.
        images: a file, an array `(H, W, C)` or `(N, H, W, C)` uint8, or a list of them.
        method: grad-cam, grad-cam++, score-cam, layer-cam, gradient, gradient-times-input, integrated-gradients,
            smoothgrad, guided-backpropagation or deconvnet.
        target: class, by name or number; by default the predicted class of each image.
        against: class to subtract: what speaks for the target rather than for this class.
        layer: layer of the class activation maps, by name or number; by default the last with a map.
        seed: of the random networks and the noise.

    Raises InputError for an unknown class, layer or method, and for a network that a method does not fit.
    """
    model = getattr(model, "model", model)
    opened = _opened(model, VisualizeOptions())
    name = chosen_names(method, tuple(METHODS), "method")
    with with_images(opened, images) as shown:
        maps, verdict, figure = attribution.explain(
            shown,
            name,
            target=None if target is None else str(target),
            against=None if against is None else str(against),
            layer=None if layer is None else layer_name(model, layer),
            seed=seed,
        )
        words = "the predicted class" if target is None else shown.class_name(shown.class_index(str(target)))
        return Explanation(name, words, shown.images.pixels, maps.maps, maps.scores, verdict, figure)


@public
def view(model: Any, name: str, images: Images = None, *, verbose: bool = False, **options: Any) -> Figures:
    """Any view of `keras-cnn visualize` of a network that need not come from a run.

    >>> keras_cnn.view("runs/photos/model.keras", "kernels")[0].figure.parent.name
    'kernels'

    Args:
        model: a run, a Keras model for images of 0 to 255, a model file, a backbone such as resnet50, or a detector.
        name: kernels, activations, attribution, ...; the command lists them. "all" draws every view that fits.
        images: files or uint8 arrays; by default four of the validation split of a run.
        verbose: whether the findings are printed.
        options: of the view; image_count, the number of images in figures; and of the network, as the command has
            them: weights, image_size, input_range, classes, output, and out, the folder of the figures.

    Raises InputError for an unknown view or option, with the nearest one, and for a network that a view does not fit.
    """
    shared = {option: value for option, value in options.items() if option in _OF_THE_NETWORK}
    own = {option: value for option, value in options.items() if option not in shared}
    if "out" in shared:
        shared["out"] = Path(shared["out"])
    return view_of(_opened(model, VisualizeOptions(**shared)), name, images, own, verbose)


def _opened(model: Any, options: VisualizeOptions) -> OpenedModel:
    """A network opened for its views: a Keras model as it is, anything else by its path or name."""
    if not isinstance(model, keras.Model):
        return open_source(str(getattr(model, "path", model)), options)
    out, classes = options.out or Path("visualizations") / model.name, options.classes or CLASSES.get(model)
    return OpenedModel(model.name, model, Probe(model, options.output), out, classes or None, options)


def view_of(opened: OpenedModel, name: str, images: Images, given: Mapping[str, Any], verbose: bool) -> Figures:
    """A view of `visualize.py` with its options, drawn into its folder below `opened.out`."""
    if "image_count" in given:
        count = check(placed(given["image_count"], name), OptionalCount, "image_count")
        opened = replace(opened, options=replace(opened.options, image_count=count))
        given = {option: value for option, value in given.items() if option != "image_count"}
    if name == "all":
        if given:
            raise InputError(f"all: found {next(iter(given))!r}, expected no options of a view")
        with with_images(opened, images) as shown, messages(verbose):
            return Figures(draw_every_view(shown))
    chosen = views.find(name)
    options = chosen.options
    checked = {}
    for option, value in given.items():
        if option not in options:
            raise InputError(f"{name}: unknown keyword {option!r}{nearest(option, options)}")
        hint = options[option][0]
        if get_origin(strip(hint)) is tuple and not isinstance(value, tuple | list):
            value = (value,)
        if option == "layer":
            names = [layer_name(opened.model, each) for each in (value if isinstance(value, tuple | list) else [value])]
            value = tuple(names) if isinstance(value, tuple | list) else names[0]
        if option in ("target", "against") and isinstance(value, int | np.integer):
            value = str(value)
        checked[option] = check(placed(value, name), hint, option)
    with with_images(opened, images) as shown, messages(verbose):
        return Figures(draw_view(shown, chosen, checked))


def layer_name(model: keras.Model, layer: str | int) -> str:
    """The name of a layer given by its name or its number, which may be negative."""
    return layer if isinstance(layer, str) else chosen_names(layer, [each.name for each in model.layers], "layer")


@contextmanager
def with_images(opened: OpenedModel, images: Images) -> Iterator[OpenedModel]:
    """The opened model with these images on display; arrays become files, which are read as any others."""
    with tempfile.TemporaryDirectory() as folder:
        paths = tuple(_files(images, Path(folder)))
        yield replace(opened, options=replace(opened.options, images=paths), results={})


def _files(images: Images, folder: Path) -> Iterator[Path]:
    if images is None:
        return
    several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
    for number, image in enumerate(images if several else [images], start=1):
        if isinstance(image, str | Path):
            yield Path(image).expanduser()
            continue
        pixels = np.asarray(image)
        pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] != 3):
            found = f"{pixels.dtype} {pixels.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
            raise InputError(f"images: found {found}; expected files, or uint8 arrays (H, W), (H, W, 1 or 3)")
        path = folder / f"image-{number}.png"
        Image.fromarray(pixels).save(path)
        yield path
