"""Heat maps and contours drawn with matplotlib."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from keras_cnn.charts import Contours, HeatMap
from keras_cnn.charts.png.captions import caption_height
from keras_cnn.charts.png.plots import set_axis
from keras_cnn.figures.style import (
    BLUE,
    HEADER,
    ORANGE,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    text_width,
)

# From light to dark, so that it prints well and text in its cells is readable at both ends.
BLUES = LinearSegmentedColormap.from_list("blues", ["#eef4fa", "#7fb3d8", "#0072b2", "#00395a"])
_ROOT_BLUES = colormaps["Blues"]  # white at 0
_DIVERGING = LinearSegmentedColormap.from_list("worse and better", [ORANGE, "white", BLUE], N=257)  # odd: 0 is white
_LABEL = 1.9  # inches for the names of rows
_MOST_LABELS = 12  # a map with more rows or columns names only some of them
_MOST_PRINTED = 600  # a map with more cells does not print its texts


def draw(data: HeatMap, title: str, caption: str) -> Figure:
    """A map as wide as the page."""
    rows, columns = np.shape(data.values)
    has_dots = len(data.dots[0]) > 0
    height = HEADER + 0.8 + min(3.6 if has_dots else math.inf, max(2, rows) * (0.9 if has_dots else 0.42))
    drawn = new_figure(WIDTH, height + caption_height(caption), title)
    ax = drawn.add_subplot()
    image = _draw_cells(ax, data, tall=height - HEADER - 0.2)
    if data.texts and rows * columns <= _MOST_PRINTED:
        room = 0.9 * (WIDTH - 1.6) / columns
        values = np.asarray(data.values, float)
        texts = [[_fitting(data.texts[i][j], values[i, j], room) for j in range(columns)] for i in range(rows)]
        up = 0.36 if data.rising else -0.36
        print_cells(ax, image, data, texts, up=up if has_dots else 0)
    if has_dots:
        spread = 0.18 * np.random.default_rng(0).uniform(-1, 1, (2, len(data.dots[0])))  # separates runs of a cell
        look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white"}
        ax.plot(np.asarray(data.dots[1]) + spread[0], np.asarray(data.dots[0]) + spread[1], linestyle="", **look)
    if data.quantity:
        drawn.colorbar(image, ax=ax, label=fit(data.quantity, TEXT_SIZE, min(3, 0.85 * (height - HEADER))), shrink=0.85)
    return drawn


def _draw_cells(ax: Axes, data: HeatMap, tall: float) -> AxesImage:
    """Draws the shaded cells and names their rows and columns; of many, only some."""
    colours, norm = shades(data)
    image = ax.imshow(data.values, cmap=colours, norm=norm, aspect="auto")
    rows, columns = np.shape(data.values)
    steps = [max(1, math.ceil(n / _MOST_LABELS)) for n in (rows, columns)]
    room = 0.9 * (WIDTH - 1.8) / min(columns, _MOST_LABELS)
    names = [fit(name, SMALL_SIZE, room) for name in data.columns[:: steps[1]]]
    ax.set_yticks(range(0, rows, steps[0]), [fit(n, SMALL_SIZE, _LABEL) for n in data.rows[:: steps[0]]])
    ax.set_xticks(range(0, columns, steps[1]), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_ylabel(fit(data.row_title, TEXT_SIZE, tall))
    ax.set_xlabel(fit(data.column_title, TEXT_SIZE, 5))
    if data.rising:
        ax.invert_yaxis()
    return image


def shades(data: HeatMap) -> tuple[Colormap, Normalize]:
    """The colours of a map and the scale of its values."""
    finite = np.asarray(data.values, float)[np.isfinite(data.values)]
    low, high = data.limits or ((finite.min(), finite.max()) if len(finite) else (0, 1))
    if data.scale == "diverging":
        largest = max(1, abs(low), abs(high))
        return _DIVERGING, FuncNorm((_signed_root, lambda v: np.sign(v) * np.square(v)), -largest, largest)
    if data.scale == "root":
        return _ROOT_BLUES, PowerNorm(0.5, low, high)
    return BLUES, Normalize(low, high)


def print_cells(
    ax: Axes,
    image: AxesImage,
    data: HeatMap,
    texts: Sequence[Sequence[str]],
    *,
    size: float = SMALL_SIZE,
    up: float = 0,
) -> None:
    """Prints the texts (R, C) in the cells whose value is finite, `up` cells below the middle."""
    grounds = np.asarray(image.cmap(image.norm(np.ma.masked_invalid(data.values))))
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            if text and np.isfinite(data.values[i, j]):
                flagged = data.flagged is not None and data.flagged[i, j]
                colour = ORANGE if flagged else _readable_on(grounds[i, j])
                ax.text(j, i + up, printable(text), ha="center", va="center", fontsize=size, color=colour)


def _readable_on(colour: np.ndarray) -> str:
    """Black or white, whichever has the larger contrast by WCAG 2: at least 4.5 on every (R, G, B) in [0, 1]."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _signed_root(values):
    return np.sign(values) * np.sqrt(np.abs(values))


def _fitting(text: str, value: float, room: float) -> str:
    """The text, or the number with as many digits as fit; "" if not even two do."""
    texts = (text, *(f"{value:.{digits}g}" for digits in (3, 2)))
    return next((shorter for shorter in texts if text_width(printable(shorter), SMALL_SIZE) <= room), "")


def draw_contours(data: Contours, title: str, caption: str) -> Figure:
    """Filled contours with the runs as dots."""
    drawn = new_figure(WIDTH, 4.4 + caption_height(caption), title)
    ax = drawn.add_subplot()
    filled = ax.contourf(data.at[0], data.at[1], np.asarray(data.values).T, levels=12, cmap=BLUES)
    look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white", "clip_on": False}
    ax.plot(data.dots[0], data.dots[1], linestyle="", **look)
    set_axis(ax, "x", data.x, WIDTH - 2)
    set_axis(ax, "y", data.y, WIDTH - 2)
    ax.set_xlabel(fit(data.x.title, TEXT_SIZE, 5))
    ax.set_ylabel(fit(data.y.title, TEXT_SIZE, 3.4))
    drawn.colorbar(filled, ax=ax, label=fit(data.quantity, TEXT_SIZE, 3), shrink=0.85)
    return drawn
