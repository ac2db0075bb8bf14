"""`activation-maximization`: pictures optimised to raise a class or a channel, beside the best real images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.errors import UsageError, require
from keras_cnn.figures.panels import Panel, PanelRow, number, sheet
from keras_cnn.views.support.image_stream import ImageStream, SplitName, stream
from keras_cnn.views.support.opened_model import Count, OpenedModel, OptionalCount
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.activation_maximization import (
    STEPS,
    BestRealImages,
    MaximizedUnits,
    before_activation,
    best_of,
    maximize_activation,
)
from keras_cnn.visualization.activations import most_active, spread
from keras_cnn.visualization.targets import ChannelMean, ClassScore, Neuron, Target

NAME = "activation-maximization"
_ROUNDING = 1e-5  # relative error of a sum of many float32 numbers
_CLASSES = 10  # number drawn if none are named
_SMALL = 64  # pixels of a side up to which eight channels take seconds
_FOUR_PAIRS = 96  # pixels of a side up to which four pairs of pictures stand side by side; above it, two


@dataclass(frozen=True)
class _MaximizedUnits:
    """Units of one point that are raised together and drawn in one sheet."""

    target: Target
    names: tuple[str, ...]  # one for each unit
    heading: str  # "channels of conv4"
    words: str  # what is raised
    activation: str | None  # the activation that reads the point
    stem: str  # of the file

    @property
    def count(self) -> int:
        return len(self.names)


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    channels: tuple[int, ...] = (),
    target: tuple[str, ...] = (),
    unit: Literal["channel", "middle"] = "channel",
    count: OptionalCount = None,
    steps: Count = STEPS,
    parametrisation: Literal["fourier", "pixel"] = "fourier",
    most: Count = 500,
    split: SplitName = "validation",
    seed: int = 0,
) -> list[SavedFigure]:
    """A sheet of the classes and one of each layer: each picture with the value that it reaches, the value of the noise
    from which it started, and the largest value of real images.

    Options:
        layer: layers whose channels are raised; default the classes, and an early, a middle and a deep convolution
        channels: which channels; default those whose maps differ most over the images on display
        target: classes to raise, by name or number; alone, no layer is drawn
        unit: the mean of a channel over its map, or its unit in the middle of the map
        count: number of channels of a layer, if none are named; default 8, for images above 64 pixels 4
        steps: number of steps of the ascent
        parametrisation: the variables that are optimised: the Fourier spectrum of the picture, or its pixels
        most: number of real images to compare with, at even distances in the split
        split: which images of the run: validation, train or test; a reading of test images is recorded
        seed: seed of the noise and of the random transforms
    """
    if channels and not layer:
        raise UsageError("command line: --channels needs --layer, whose channels they are")
    raised = [_classes(opened, target)] if target or (opened.is_classifier and not layer) else []
    if layer or not target:
        count = count or (8 if max(opened.image_shape[:2]) <= _SMALL else 4)
        raised += [_channels(opened, name, channels, count, unit) for name in layer or spread(opened.probe, 3)]
    real = stream(opened, NAME, split, most)
    options = {"steps": steps, "parametrisation": parametrisation, "seed": seed}
    maximised = [maximize_activation(opened.probe, units.target, units.count, **options) for units in raised]
    best = best_of(opened.probe, [pictures.score for pictures in maximised], real)
    return [
        _draw_sheet(opened, out, units, _Comparison(pictures, best_real, real), options)
        for units, pictures, best_real in zip(raised, maximised, best, strict=True)
    ]


def _classes(opened: OpenedModel, names: Sequence[str]) -> _MaximizedUnits:
    head = opened.head
    classes = [opened.class_index(name) for name in names] or list(range(min(_CLASSES, head.classes)))
    point, activation = before_activation(opened.probe, head.point.partition(":")[0])
    if head.squashing:
        point, activation = head.point, None
    words = head.words if activation is None else f"what {activation} makes the class scores of"
    class_names = tuple(opened.class_name(index) for index in classes)
    heading = f"{len(classes)} of {head.classes} classes"
    # One unit with a sigmoid has two classes: the score of the first is the negative of the unit.
    target = ClassScore(tuple(classes)) if head.units == 1 else ChannelMean(point, tuple(classes))
    return _MaximizedUnits(target, class_names, heading, words, activation, "classes")


def _channels(opened: OpenedModel, name: str, channels: Sequence[int], count: int, unit: str) -> _MaximizedUnits:
    probe = opened.probe
    point, activation = before_activation(probe, name)
    shape = probe.shape(point)
    if not channels:
        shown = activation or point  # a channel that is 0 there on every image would show nothing
        channels = tuple(int(channel) for channel in most_active(opened.maps([shown])[shown], count))
    names = tuple(f"channel {channel}" for channel in channels)
    target: Target = ChannelMean(point, tuple(channels))
    words = f"the mean of the map at {point}" if len(shape) == 3 else f"the unit at {point}"
    if unit == "middle":
        require(len(shape) == 3, f"{opened.name}: {point}", f"an output of shape {shape}", "a map with a middle")
        middle = ((shape[0] or 0) // 2, (shape[1] or 0) // 2)
        target = Neuron(point, tuple(channels), middle)
        words = f"the unit ({middle[0]}, {middle[1]}) of the map at {point}"
    words += f", which {activation} reads" if activation else ""
    heading = f"{len(channels)} of {shape[-1]} channels of {name}"
    return _MaximizedUnits(target, names, heading, words, activation, f"{name}_{unit}")


@dataclass(frozen=True)
class _Comparison:
    """Optimised pictures and the real images that raise the same units most."""

    made: MaximizedUnits
    best: BestRealImages
    stream: ImageStream

    @property
    def beaten(self) -> np.ndarray:
        """(units,) bool: whether a picture surpasses every real image by more than rounding."""
        made, best = self.made, self.best
        return ~made.dead & (made.values > best.values + _ROUNDING * np.abs(best.values))

    @property
    def files(self) -> list[str]:
        return [PurePosixPath(self.stream.ids[image]).name for image in self.best.numbers]


def _draw_sheet(
    opened: OpenedModel, out: Path, units: _MaximizedUnits, comparison: _Comparison, options: dict[str, Any]
) -> SavedFigure:
    made, best = comparison.made, comparison.best
    images = comparison.stream.pixels(best.numbers)
    below = [_below(units, comparison, index) for index in range(units.count)]
    files = comparison.files
    below_images = [f"real: {number(value)}\n{name}" for value, name in zip(best.values, files, strict=True)]
    result = f"{int(comparison.beaten.sum())} of {units.count} pictures above every real image"
    result += _exceptions(units, comparison)
    notes = [
        f"Raised: {units.words}. {options['steps']} steps of Adam at {made.rate:g}, {options['parametrisation']}"
        f" parameters, seed {options['seed']}. All values are those of the 8-bit pictures shown; beside each the"
        f" best of {comparison.stream.words}.",
        f"{result}.",
    ]
    title = f"{opened.name}: pictures that raise {units.heading}"
    figure = picture_pairs(
        made.pictures, images, units.names, below, below_images=below_images, title=title, note="\n".join(notes)
    )
    arrays = {"pictures": made.pictures, "values": made.values, "names": list(units.names)}
    arrays |= {"start": made.start, "start_values": made.start_values, "dead": made.dead}
    arrays |= {"real_images": images, "real_values": best.values, "real_names": files}
    return save_figure(out, f"{NAME}-{units.stem}", figure, arrays, f"{units.heading}: {result}")


def _below(units: _MaximizedUnits, comparison: _Comparison, index: int) -> str:
    made = comparison.made
    lines = [f"made: {number(made.values[index])}", f"noise: {number(made.start_values[index], 2)}"]
    if made.dead[index]:
        lines.append("dead")
    elif units.activation and made.highest[index] <= 0:
        lines.append("never above 0")
    elif not comparison.beaten[index]:
        lines.append("below the real")
    return "\n".join(lines)


def _exceptions(units: _MaximizedUnits, comparison: _Comparison) -> str:
    """The units that could not be raised, and those whose picture a real image surpasses."""
    made = comparison.made
    closed = made.highest <= 0 if units.activation else np.zeros(units.count, bool)
    groups = [
        (~comparison.beaten & ~made.dead, "not above"),
        (made.dead, "dead, no step had a gradient"),
        (closed & ~made.dead, f"not above 0 anywhere, so that {units.activation} may give nothing"),
    ]
    named = [
        (words, [name for name, member in zip(units.names, chosen, strict=True) if member]) for chosen, words in groups
    ]
    return "".join(f"; {words}: {', '.join(names)}" for words, names in named if names)


def picture_pairs(
    pictures: np.ndarray,
    images: np.ndarray,
    names: Sequence[str],
    below: Sequence[str],
    *,
    below_images: Sequence[str],
    title: str,
    note: str,
) -> Figure:
    """A pair for each unit: `pictures` and `images` (U, H, W, 1 or 3) uint8, its name above and text below both.

    Raises ValueError for lengths other than U, and for pictures of another shape or type than the images.
    """
    count = len(pictures)
    if pictures.shape != images.shape or pictures.dtype != np.uint8 or images.dtype != np.uint8:
        raise ValueError(f"pictures {pictures.shape} and images {images.shape}; expected the same shape, both uint8")
    if not len(names) == len(below) == len(below_images) == count:
        raise ValueError(f"{len(names)} names for {count} pictures; expected one each")
    across = min(count, 4 if max(pictures.shape[1:3]) <= _FOUR_PAIRS else 2)
    rows = []
    for start in range(0, count, across):
        part = range(start, min(start + across, count))
        panels = [panel for i in part for panel in (Panel(pictures[i], below[i]), Panel(images[i], below_images[i]))]
        rows.append(PanelRow(panels, titles=[names[i] for i in part], span=2))
    return sheet(rows, title, note, 2 * (across if count > across else max(across, 2)))
