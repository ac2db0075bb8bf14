"""Occlusion: the confidence left where a patch hides a part of an image, and how it falls with the patch's size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_cnn.figures.style import (
    FAINT,
    GREY,
    HEADER,
    INK,
    MARGIN,
    POINT,
    SMALL_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
    text_width,
)

_LARGEST_PANEL = 1.9  # inches, as are the next
_GAP, _FOOT, _LINE = 0.12, 0.3, 1.3 * SMALL_SIZE * POINT
_RAMP, _KEY_ROOM = (0.75, 0.09), 1.6
_COLOURS = "viridis"
_LINES = ("o-", "s--", "^-.", "D:", "v-", "P--")


@dataclass(frozen=True)
class Map:
    """The confidence with a patch of `size` pixels at every place of an image."""

    size: int
    rows: np.ndarray  # (R,) upper edges of the patches
    columns: np.ndarray  # (Q,) left edges
    confidence: np.ndarray  # (R, Q) in [0, 1]


@styled
def occlusion_maps(images: np.ndarray, maps: Sequence[Sequence[Map]], captions: Sequence[str], title: str) -> Figure:
    """A row an image: the image, and its map for every size of patch, each value at the middle of its patch.

    `images` (N, H, W, 1 or 3) uint8; `maps` has the same sizes for each. A frame shows the patch at the place of the
    least confidence. The maps of a row share the scale from its smallest to its largest confidence, shown as a key: a
    sure network's confidence hardly moves on a scale from 0 to 1. Raises ValueError for rows or maps at odds.
    """
    if not len(images) == len(maps) == len(captions) or len({len(row) for row in maps}) != 1:
        raise ValueError(f"{len(images)} images, {len(maps)} rows of maps, {len(captions)} captions; expected as many")
    columns = 1 + len(maps[0])
    height, width = images.shape[1:3]
    across = min(_LARGEST_PANEL, (WIDTH - 2 * MARGIN + _GAP) / columns - _GAP)
    panel = (across * height / width, across)
    row_height = _LINE + panel[0] + 1.8 * _LINE
    figure = new_figure(WIDTH, HEADER + len(images) * row_height + _FOOT, title, layout=None)
    for row, (image, found, caption) in enumerate(zip(images, maps, captions, strict=True)):
        top = HEADER + row * row_height
        low = min(float(one.confidence.min()) for one in found)
        high = max(float(one.confidence.max()) for one in found)
        _text(figure, MARGIN, top, fit(caption, SMALL_SIZE, WIDTH - 2 * MARGIN - _KEY_ROOM), INK)
        _key(figure, top, low, high)
        top += 1.2 * _LINE
        _image(_panel(figure, 0, top, panel), image)
        for column, one in enumerate(found, start=1):
            _map(_panel(figure, column, top, panel), image, one, (low, high))
            left = MARGIN + column * (across + _GAP)
            words = f"{one.size} px: {one.confidence.min():.2f} to {one.confidence.max():.2f}"
            words = fit(words, SMALL_SIZE, across + _GAP)
            _text(figure, left, top + panel[0] + 0.15 * _LINE, words, GREY)
    words = "Confidence with the patch there, drawn at its middle; frame: the patch that leaves least."
    _text(figure, MARGIN, HEADER + len(images) * row_height, words, GREY)
    return figure


@styled
def occlusion_sizes(sizes: Sequence[int], totals, means, captions: Sequence[str], title: str) -> Figure:
    """Sum and mean of the confidence map against the size of the patch, a line an image.

    `totals` and `means` are (N, sizes). Raises ValueError for other shapes.
    """
    totals, means = np.asarray(totals, np.float64), np.asarray(means, np.float64)
    if totals.shape != (len(captions), len(sizes)) or means.shape != totals.shape:
        raise ValueError(f"{totals.shape} and {means.shape} for {len(captions)} images and {len(sizes)} sizes")
    figure = new_figure(WIDTH, 3 + len(captions) / 5, title)
    colours = colormaps["cividis"](np.linspace(0, 0.85, len(captions)))
    for ax, values, name in zip(figure.subplots(1, 2), (totals, means), ("sum", "mean"), strict=True):
        for index, (line, caption) in enumerate(zip(values, captions, strict=True)):
            label = fit(caption, SMALL_SIZE, WIDTH - 1.0)
            ax.plot(sizes, line, _LINES[index % len(_LINES)], color=colours[index], markersize=4, label=label)
        ax.set_title(f"{name} over the places of the patch")
        ax.set_xlabel("side of the patch in pixels")
        ax.set_xticks(list(sizes))
        ax.set_ylim(0, max(1e-9, 1.05 * values.max()) if name == "sum" else 1.02)
        ax.grid(axis="y")
    figure.axes[0].set_ylabel("confidence")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure


def _panel(figure: Figure, column: int, top: float, size: tuple[float, float]) -> Axes:
    width, height = figure.get_size_inches()
    left = MARGIN + column * (size[1] + _GAP)
    return figure.add_axes((left / width, 1 - (top + size[0]) / height, size[1] / width, size[0] / height))


def _text(figure: Figure, left: float, top: float, text: str, colour: str) -> None:
    width, height = figure.get_size_inches()
    look = {"ha": "left", "va": "top", "fontsize": SMALL_SIZE, "color": colour}
    figure.text(left / width, 1 - top / height, text, **look)


def _image(ax: Axes, image: np.ndarray) -> None:
    _bare(ax)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, interpolation="nearest", **grey)


def _key(figure: Figure, top: float, low: float, high: float) -> None:
    """A ramp of the colours with its ends, at the right of a line of text."""
    width, height = figure.get_size_inches()
    ends = [f"{value:.2f}" for value in (low, high)]
    right = WIDTH - MARGIN - text_width(ends[1], SMALL_SIZE) - 0.06
    left = right - _RAMP[0]
    _text(figure, right + 0.06, top, ends[1], GREY)
    _text(figure, left - 0.06 - text_width(ends[0], SMALL_SIZE), top, ends[0], GREY)
    place = (left, height - top - 0.12 * _LINE - _RAMP[1], *_RAMP)
    ax = figure.add_axes([value / side for value, side in zip(place, (width, height) * 2, strict=True)])
    _bare(ax)
    ax.imshow(np.linspace(0, 1, 128)[None], cmap=_COLOURS, aspect="auto")


def _map(ax: Axes, image: np.ndarray, found: Map, limits: tuple[float, float]) -> None:
    """The map on the image's pixels; where no patch has its middle nothing is drawn."""
    _bare(ax)
    height, width = image.shape[:2]
    ax.set_facecolor(FAINT)
    middle = found.size / 2 - 0.5  # imshow has pixel 0 from -0.5 to 0.5
    edges = [_edges(first + middle) for first in (found.columns, found.rows)]
    low, high = limits
    scale = {"vmin": low, "vmax": max(high, low + 1e-6)}  # of a network that never moves
    ax.pcolormesh(*edges, found.confidence, cmap=_COLOURS, **scale, rasterized=True)
    row, column = np.unravel_index(found.confidence.argmin(), found.confidence.shape)
    corner = (found.columns[column] - 0.5, found.rows[row] - 0.5)
    ax.add_patch(Rectangle(corner, found.size, found.size, fill=False, edgecolor="white", linewidth=1.2))
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")


def _edges(centres: np.ndarray) -> np.ndarray:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
