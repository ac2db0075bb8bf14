"""Square heat maps drawn with matplotlib, laid out in inches for up to about 200 rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from keras_cnn.charts import HeatMap
from keras_cnn.charts.png.captions import caption_height
from keras_cnn.charts.png.maps import print_cells, shades
from keras_cnn.figures.style import (
    FAINT,
    HEADER,
    MARGIN,
    POINT,
    SMALL_SIZE,
    TITLE_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    text_width,
)

_PRINTED_ROWS = 20  # a map with more rows has a colour bar instead of texts in its cells
_SIDE_BY_SIDE_ROWS = 10  # with more, four digits do not fit into a cell of half the width
# Inches.
_LARGEST_CELL = 0.8
_NAME_WIDTH = 1.35  # largest width of a name
_TICK = 0.11  # tick and padding between a map and its names
_AXIS_LABEL = 0.24  # title of an axis and its padding
_HEADING = 0.18
_PANEL_GAP = 0.25
_COLOUR_BAR, _COLOUR_BAR_GAP, _COLOUR_BAR_NUMBERS = 0.14, 0.1, 0.45
_BAR_ROOM = _COLOUR_BAR_GAP + _COLOUR_BAR + _COLOUR_BAR_NUMBERS
_DIGIT = 0.64  # width of a digit in DejaVu Sans as a share of its size


def draw(maps: Sequence[HeatMap], title: str, caption: str) -> Figure:
    """Maps of the same rows side by side or, with many rows, one above the other."""
    layout = _MatrixLayout.of(maps, title, caption)
    drawn = new_figure(*layout.size, title, layout=None)
    for panel, data in enumerate(maps):
        ax = drawn.add_axes(layout.place(panel))
        _draw_matrix(ax, data, layout)
        if panel and layout.side_by_side:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
    return drawn


@dataclass(frozen=True)
class _MatrixLayout:
    """The layout in inches, computed from the names of the rows before anything is drawn."""

    names: tuple[str, ...]  # shortened
    shown: range  # indices of the rows with a tick
    cell: float
    angle: int  # of the names below a map, degrees
    left: float  # of the first map
    below: float  # height of the names and titles below a map
    panels: int
    least_width: float  # smallest width of the figure in which its title fits
    caption: str

    @classmethod
    def of(cls, maps: Sequence[HeatMap], title: str, caption: str) -> "_MatrixLayout":
        n = len(maps[0].rows)
        names = tuple(fit(name, SMALL_SIZE, _NAME_WIDTH) for name in maps[0].rows)
        widest = max(text_width(name, SMALL_SIZE) for name in names)
        left = MARGIN + _AXIS_LABEL + widest + _TICK
        room = WIDTH - left - MARGIN - (_BAR_ROOM if n > _PRINTED_ROWS else 0)
        columns = len(maps) if n <= _SIDE_BY_SIDE_ROWS else 1
        cell = min(_LARGEST_CELL, (room - (columns - 1) * _PANEL_GAP) / columns / n)
        shown = range(0, n, math.ceil(1.25 * SMALL_SIZE * POINT / cell))
        angle = _name_angle(widest, cell, n)
        slope = math.radians(angle)
        name_height = math.sin(slope) * widest + math.cos(slope) * 1.2 * SMALL_SIZE * POINT
        below = _TICK + name_height + _AXIS_LABEL
        least_width = min(WIDTH, 2 * MARGIN + text_width(printable(title), TITLE_SIZE) + POINT)
        return cls(names, shown, cell, angle, left, below, len(maps), least_width, caption)

    @property
    def has_texts(self) -> bool:
        return len(self.names) <= _PRINTED_ROWS

    @property
    def side_by_side(self) -> bool:
        return len(self.names) <= _SIDE_BY_SIDE_ROWS

    @property
    def side(self) -> float:
        return self.cell * len(self.names)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        columns, rows = (self.panels, 1) if self.side_by_side else (1, self.panels)
        right = MARGIN + (0 if self.has_texts else _BAR_ROOM)
        width = max(self.left + columns * self.side + (columns - 1) * _PANEL_GAP + right, self.least_width)
        panels = rows * (_HEADING + self.side + self.below)
        return width, HEADER + panels + MARGIN + caption_height(self.caption, width)

    def place(self, panel: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel's map as shares of the figure."""
        width, height = self.size
        column, row = (panel, 0) if self.side_by_side else (0, panel)
        left = self.left + column * (self.side + _PANEL_GAP)
        bottom = height - HEADER - row * (_HEADING + self.side + self.below) - _HEADING - self.side
        return left / width, bottom / height, self.side / width, self.side / height


def _name_angle(widest: float, cell: float, n: int) -> int:
    if widest + 0.08 < cell:
        return 0
    return 45 if n <= _PRINTED_ROWS else 90


def _draw_matrix(ax: Axes, data: HeatMap, layout: _MatrixLayout) -> None:
    """Draws the cells with their names, their texts or a colour bar, and the gaps between groups."""
    colours, norm = shades(data)
    image = ax.imshow(data.values, cmap=colours, norm=norm, interpolation="nearest")
    ax.set_title(printable(data.heading))
    ax.set_xlabel(printable(data.column_title))
    ax.set_ylabel(printable(data.row_title))
    ax.spines[:].set_visible(True)
    names = [layout.names[i] for i in layout.shown]
    anchor: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"} if layout.angle else {}
    ax.set_xticks(layout.shown, names, rotation=layout.angle, va="center" if layout.angle == 90 else "top", **anchor)
    ax.set_yticks(layout.shown, names)
    if layout.has_texts and data.texts:
        _print_texts(ax, image, data, layout.cell)
    elif not layout.has_texts:
        bar = ax.inset_axes((1 + _COLOUR_BAR_GAP / layout.side, 0, _COLOUR_BAR / layout.side, 1))
        ax.figure.colorbar(image, cax=bar)
    for i in data.breaks:
        ax.axhline(i - 0.5, color="white", linewidth=2)
        ax.axvline(i - 0.5, color="white", linewidth=2)


def _print_texts(ax: Axes, image: AxesImage, data: HeatMap, cell: float) -> None:
    edges = np.arange(len(data.rows) + 1) - 0.5
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color=FAINT, linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    points = cell / POINT
    longest = max(len(text) for row in data.texts for text in row)
    print_cells(ax, image, data, data.texts, size=min(10, 0.5 * points, 0.88 * points / (_DIGIT * max(longest, 1))))
