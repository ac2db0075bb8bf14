"""What filters respond to: their top images with the patch that they respond to most, classes, and dead filters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_cnn.figures.style import (
    BLUE,
    DPI,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    POINT,
    SMALL_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
)

_TILE = 0.62  # inches
_GAP, _LINE = 0.06, 1.3 * SMALL_SIZE * POINT
_MOST_COLUMNS = 10
_LIGHT = 0.55  # of the colour map: numbers on darker cells are white


@styled
def top_images(
    images: np.ndarray,
    boxes: np.ndarray,
    patches: Sequence[Sequence[np.ndarray]],
    headings: Sequence[str],
    title: str,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Two rows a filter: its top images with a frame around the patch of the largest value, and those patches enlarged.

    `images` (F, K, H, W, 1 or 3) uint8, K at most 10; `boxes` (F, K, 4): top, bottom, left, right in pixels, ends
    excluded; `patches` F×K arrays (h, w, 1 or 3) uint8. A frame may leave the image, where the filter sees padding.
    `captions` (F×K), such as the true classes, stand below.

    Raises ValueError for other numbers of rows or columns.
    """
    filters, count = images.shape[:2]
    sizes = {len(row) for row in patches}
    if not filters == len(patches) == len(headings) or sizes != {count} or not 1 <= count <= _MOST_COLUMNS:
        raise ValueError(f"{images.shape} images, {len(patches)} rows of {sizes} patches, {len(headings)} headings")
    height, width = images.shape[2:4]
    tile = (_TILE * height / width, _TILE)
    row = _LINE * 1.4 + tile[0] + _GAP + _TILE + 2 * _GAP + (_LINE if captions else 0)
    figure = new_figure(WIDTH, HEADER + filters * row + MARGIN, title, layout=None)
    total = figure.get_size_inches()[1]
    for f in range(filters):
        top = HEADER + f * row
        heading = fit(headings[f], SMALL_SIZE, WIDTH - 2 * MARGIN)
        look = {"ha": "left", "va": "top", "fontsize": SMALL_SIZE, "color": INK}
        figure.text(MARGIN / WIDTH, 1 - top / total, heading, **look)
        top += 1.4 * _LINE
        for k in range(count):
            left = MARGIN + k * (_TILE + _GAP)
            upper = _tile(figure, left, top, tile, images[f, k])
            _frame(upper, boxes[f, k])
            patch = np.asarray(patches[f][k])
            scale = _TILE / max(patch.shape[:2])
            _tile(figure, left, top + tile[0] + _GAP, (patch.shape[0] * scale, patch.shape[1] * scale), patch)
            if captions:
                below = 1 - (top + tile[0] + _GAP + _TILE + 0.4 * _GAP) / total
                words = fit(captions[f][k], SMALL_SIZE, _TILE + _GAP / 2)
                figure.text(left / WIDTH, below, words, **look | {"color": GREY})
    return figure


@styled
def class_table(counts, names: Sequence[str], classes: Sequence[str], title: str) -> Figure:
    """How many of each filter's top images are of each class: `counts` (F, C); the most frequent class is framed.

    Of a tie the first class is framed. Raises ValueError for another shape, or no filter.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names), len(classes)) or not len(names):
        raise ValueError(f"counts of shape {counts.shape} for {len(names)} filters and {len(classes)} classes")
    figure = new_figure(WIDTH, HEADER + 0.22 * len(names) + 0.95, title)
    ax = figure.subplots()
    largest = max(1, counts.max())
    ax.imshow(counts, cmap="Blues", vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
    annotated = len(classes) <= 30
    for (row, column), count in np.ndenumerate(counts):
        if count and annotated:
            dark = count > _LIGHT * largest
            look = {"ha": "center", "va": "center", "fontsize": SMALL_SIZE, "color": "white" if dark else INK}
            ax.text(column, row, str(count), **look)
    for row, best in enumerate(counts.argmax(axis=1)):
        ax.add_patch(Rectangle((best - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=1.2))
    ax.set_yticks(range(len(names)), [fit(name, SMALL_SIZE, 1.6) for name in names])
    step = max(1, -(-len(classes) // 40))
    shown = range(0, len(classes), step)
    narrow = len(classes) > 8
    ax.set_xticks(shown, [fit(classes[i], SMALL_SIZE, 1.0) for i in shown], rotation=90 if narrow else 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


@styled
def filter_summary(
    names: Sequence[str], largest: Sequence[np.ndarray], means: Sequence[np.ndarray], title: str
) -> Figure:
    """A row a layer, a point a filter: its mean response, and its largest value at any pixel; dead ones in orange.

    `largest` and `means` have an array (C,) a layer; a filter is dead where its largest value is not above 0. Both axes
    are linear up to 1 and logarithmic beyond. Raises ValueError for numbers of layers at odds.
    """
    if not len(names) == len(largest) == len(means) or not len(names):
        raise ValueError(f"{len(names)} names, {len(largest)} and {len(means)} arrays; expected as many")
    figure = new_figure(WIDTH, HEADER + 0.26 * len(names) + 1.2, title)
    left, right = figure.subplots(1, 2, sharey=True)
    generator = np.random.default_rng(0)
    for row, (tops, averages) in enumerate(zip(largest, means, strict=True)):
        dead = np.asarray(tops) <= 0
        spread = row + generator.uniform(-0.28, 0.28, len(dead))
        for ax, values in ((left, averages), (right, tops)):
            for chosen, colour in ((~dead, BLUE), (dead, ORANGE)):
                ax.plot(np.asarray(values)[chosen], spread[chosen], "o", color=colour, markersize=2.2, alpha=0.7)
    counts = [f"{int(np.sum(np.asarray(tops) <= 0))} of {len(tops)} dead" for tops in largest]
    labels = [f"{fit(name, SMALL_SIZE, 1.3)}\n{count}" for name, count in zip(names, counts, strict=True)]
    left.set_yticks(range(len(names)), labels, fontsize=6.5)
    left.set_ylim(len(names) - 0.4, -0.6)
    for ax, words in ((left, "mean response over the images"), (right, "largest value before the activation")):
        ax.set_xscale("symlog", linthresh=1.0)
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.set_title(words)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        _thin(ax)
    left.set_xlabel("logarithmic beyond −1 and 1")
    right.set_xlabel("orange: dead, never above 0")
    return figure


def _thin(ax: Axes) -> None:
    """Ticks of a symmetric logarithmic axis: 0 and every second power of ten, or they overlap."""
    low, high = ax.get_xlim()
    powers = [10.0**p for p in range(0, 12, 2)]
    ticks = [-p for p in reversed(powers) if -p >= low] + [0] + [p for p in powers if p <= high]
    ax.set_xticks(ticks, [f"{tick:g}".replace("-", "−") if abs(tick) < 1e4 else _power(tick) for tick in ticks])
    ax.minorticks_off()


def _power(value: float) -> str:
    sign = "−" if value < 0 else ""
    return f"{sign}1e{round(np.log10(abs(value)))}"


def _tile(figure: Figure, left: float, top: float, size: tuple[float, float], image: np.ndarray) -> Axes:
    width, height = figure.get_size_inches()
    place = (left / width, (height - top - size[0]) / height, size[1] / width, size[0] / height)
    ax = figure.add_axes(place, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    shown = image.repeat(3, axis=-1) if image.shape[-1] == 1 else image
    enlarged = size[1] * DPI >= image.shape[1]
    ax.imshow(shown, interpolation="nearest" if enlarged else "antialiased", aspect="auto")
    return ax


def _frame(ax: Axes, box: np.ndarray) -> None:
    limits = ax.get_xlim(), ax.get_ylim()
    top, bottom, left, right = (int(edge) for edge in box)
    corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
    for colour, width in (("black", 1.8), ("white", 0.8)):
        ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
    ax.set(xlim=limits[0], ylim=limits[1])
