"""Confusion matrices of up to about 200 classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from keras_cnn.figures.style import (
    BLUE,
    FAINT,
    GREY,
    HEADER,
    MARGIN,
    ORANGE,
    POINT,
    SMALL_SIZE,
    TITLE_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    styled,
    text_width,
)

_ANNOTATED_CLASSES = 20
_SIDE_BY_SIDE_CLASSES = 10  # with more, four digits do not fit into a cell of half the width
# Inches.
_LARGEST_CELL = 0.8
_NAME_WIDTH = 1.35  # largest width of a class name
_TICK = 0.11  # tick and padding between a matrix and its class names
_AXIS_LABEL = 0.24  # "true class" and its padding
_PANEL_TITLE = 0.18
_NOTE = 0.2  # height of a line below the title
_PANEL_GAP = 0.25
_COLOUR_BAR, _COLOUR_BAR_GAP, _COLOUR_BAR_NUMBERS = 0.14, 0.1, 0.45
_DIGIT = 0.64  # width of a digit in DejaVu Sans as a share of its size
_COLOURS = colormaps["Blues"]
_DIVERGING = LinearSegmentedColormap.from_list("worse and better", [ORANGE, "white", BLUE], N=257)  # odd: 0 is white
_BETTER = "blue is better: more on the diagonal, fewer mistakes beside it; orange is worse; the number is the change"
_DARK, _LIGHT = "black", "white"


@styled
def confusion(matrix, classes: Sequence[str], title: str, normalise: bool = False) -> Figure:
    """A confusion matrix: `matrix` (C, C) are counts; a row is a true class, a column a predicted class.

    It shows counts, or with `normalise` each row in % of its images. With up to 20 classes, all cells except those with
    zero have a number. Colours follow the square root of the value; otherwise single mistakes would not be visible.

    Raises ValueError unless `matrix` has a row and a column for each class.
    """
    matrix = _checked(matrix, classes)
    layout = _MatrixLayout.of(classes, panels=1, title=title)
    figure = new_figure(*layout.size, title, layout=None)
    _panel(figure.add_axes(layout.place(0)), matrix, layout, normalise)
    return figure


@styled
def confusion_pair(matrix, classes: Sequence[str], title: str) -> Figure:
    """The counts and the row-normalised matrix of `confusion`, side by side or, with many classes, stacked."""
    matrix = _checked(matrix, classes)
    layout = _MatrixLayout.of(classes, panels=2, title=title)
    figure = new_figure(*layout.size, title, layout=None)
    counts, shares = figure.add_axes(layout.place(0)), figure.add_axes(layout.place(1))
    _panel(counts, matrix, layout, normalise=False)
    _panel(shares, matrix, layout, normalise=True)
    if layout.side_by_side:
        shares.set_ylabel("")
        shares.tick_params(labelleft=False)
    return figure


@styled
def confusion_difference(difference, classes: Sequence[str], title: str) -> Figure:
    """The difference between two confusion matrices: `difference` (C, C) counts, after minus before.

    Numbers are changes in images. Blue is better: more on the diagonal or fewer elsewhere. Orange is worse. The rest
    is as in `confusion`.
    """
    difference = _checked(difference, classes)
    layout = _MatrixLayout.of(classes, panels=1, title=title, note=_BETTER)
    figure = new_figure(*layout.size, title, layout=None)
    width, height = layout.size
    look = {"ha": "left", "va": "top", "fontsize": SMALL_SIZE, "color": GREY}
    figure.text(MARGIN / width, 1 - (HEADER - _NOTE / 4) / height, fit(_BETTER, SMALL_SIZE, width - 2 * MARGIN), **look)
    ax = figure.add_axes(layout.place(0))
    better = np.where(np.eye(len(classes), dtype=bool), difference, -difference)
    largest = max(1, np.abs(difference).max())
    norm = FuncNorm((_signed_root, _signed_square), -largest, largest)
    what = "change in images" if layout.annotated else "change in images: above 0 better, below 0 worse"
    image = _matrix(ax, better, layout, colours=_DIVERGING, norm=norm, title=what)
    if layout.annotated:
        _annotate(
            ax, image, [[f"{v:+d}".replace("-", "−") if v else "" for v in row] for row in difference], layout.cell
        )
    return figure


@dataclass(frozen=True)
class _MatrixLayout:
    """The layout in inches, computed from the class names before anything is drawn."""

    names: tuple[str, ...]  # shortened
    shown: range  # indices of the classes with a tick
    cell: float
    angle: int  # of the names below the matrix, degrees
    left: float  # of the first matrix
    below: float  # height of the names and labels below a matrix
    panels: int
    side_by_side: bool
    header: float  # height above the matrices
    least_width: float  # smallest width of the figure in which its title and its note fit

    @classmethod
    def of(cls, classes: Sequence[str], panels: int, title: str, note: str = "") -> "_MatrixLayout":
        n = len(classes)
        names = tuple(fit(name, SMALL_SIZE, _NAME_WIDTH) for name in classes)
        widest = max(text_width(name, SMALL_SIZE) for name in names)
        side_by_side = panels == 2 and n <= _SIDE_BY_SIDE_CLASSES
        left = MARGIN + _AXIS_LABEL + widest + _TICK
        room = WIDTH - left - MARGIN - (_bar_room() if n > _ANNOTATED_CLASSES else 0)
        cell = min(_LARGEST_CELL, ((room - _PANEL_GAP) / 2 if side_by_side else room) / n)
        shown = range(0, n, math.ceil(1.25 * SMALL_SIZE * POINT / cell))
        angle = _name_angle(widest, cell, n)
        slope = math.radians(angle)
        name_height = math.sin(slope) * widest + math.cos(slope) * 1.2 * SMALL_SIZE * POINT
        below = _TICK + name_height + _AXIS_LABEL
        header = HEADER + (_NOTE if note else 0)
        text = max(text_width(printable(title), TITLE_SIZE), text_width(note, SMALL_SIZE))
        least_width = min(WIDTH, 2 * MARGIN + text + POINT)
        return cls(names, shown, cell, angle, left, below, panels, side_by_side, header, least_width)

    @property
    def annotated(self) -> bool:
        return len(self.names) <= _ANNOTATED_CLASSES

    @property
    def side(self) -> float:
        return self.cell * len(self.names)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        columns, rows = (self.panels, 1) if self.side_by_side else (1, self.panels)
        right = MARGIN + (0 if self.annotated else _bar_room())
        width = self.left + columns * self.side + (columns - 1) * _PANEL_GAP + right
        return max(width, self.least_width), self.header + rows * (_PANEL_TITLE + self.side + self.below) + MARGIN

    def place(self, panel: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel's matrix as shares of the figure."""
        width, height = self.size
        column, row = (panel, 0) if self.side_by_side else (0, panel)
        left = self.left + column * (self.side + _PANEL_GAP)
        bottom = height - self.header - row * (_PANEL_TITLE + self.side + self.below) - _PANEL_TITLE - self.side
        return left / width, bottom / height, self.side / width, self.side / height


def _bar_room() -> float:
    return _COLOUR_BAR_GAP + _COLOUR_BAR + _COLOUR_BAR_NUMBERS


def _name_angle(widest: float, cell: float, n: int) -> int:
    if widest + 0.08 < cell:
        return 0
    return 45 if n <= _ANNOTATED_CLASSES else 90


def _panel(ax: Axes, matrix: np.ndarray, layout: _MatrixLayout, normalise: bool) -> None:
    values = _row_percentages(matrix) if normalise else matrix
    norm = PowerNorm(0.5, vmin=0, vmax=100 if normalise else max(1, matrix.max()))
    image = _matrix(
        ax, values, layout, colours=_COLOURS, norm=norm, title="% of the true class" if normalise else "images"
    )
    if layout.annotated:
        _annotate(ax, image, [[_percent(v) if normalise else _count(v) for v in row] for row in values], layout.cell)


def _matrix(
    ax: Axes, values: np.ndarray, layout: _MatrixLayout, *, colours: Colormap, norm: Normalize, title: str
) -> AxesImage:
    """The cells with their class names, and a colour bar if there is no room for numbers."""
    image = ax.imshow(values, cmap=colours, norm=norm, interpolation="nearest")
    ax.set_title(title)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.spines[:].set_visible(True)
    names = [layout.names[i] for i in layout.shown]
    anchor = {"ha": "right", "rotation_mode": "anchor"} if layout.angle else {}
    ax.set_xticks(layout.shown, names, rotation=layout.angle, va="center" if layout.angle == 90 else "top", **anchor)
    ax.set_yticks(layout.shown, names)
    if not layout.annotated:
        bar = ax.inset_axes([1 + _COLOUR_BAR_GAP / layout.side, 0, _COLOUR_BAR / layout.side, 1])
        ax.figure.colorbar(image, cax=bar)
    return image


def _annotate(ax: Axes, image: AxesImage, texts: list[list[str]], cell: float) -> None:
    edges = np.arange(len(texts) + 1) - 0.5
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color=FAINT, linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    points = cell / POINT
    longest = max(len(text) for row in texts for text in row)
    size = min(10, 0.5 * points, 0.88 * points / (_DIGIT * max(longest, 1)))
    colours = image.cmap(image.norm(image.get_array()))
    for (row, column), colour in zip(np.ndindex(len(texts), len(texts)), colours.reshape(-1, 4), strict=True):
        if text := texts[row][column]:
            look = {"ha": "center", "va": "center", "fontsize": size, "color": _readable_on(colour)}
            ax.text(column, row, text, **look)


def _readable_on(colour: np.ndarray) -> str:
    """Black or white, whichever has the larger contrast by WCAG 2: at least 4.5 on every colour."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return _DARK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else _LIGHT


def _row_percentages(matrix: np.ndarray) -> np.ndarray:
    images = matrix.sum(axis=1, keepdims=True)
    return np.divide(
        100 * matrix, images, out=np.zeros(matrix.shape), where=images > 0
    )  # multiplied first, so that 57.5 % is exact


def _signed_root(values):
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values):
    return np.sign(values) * np.square(values)


def _count(value: int) -> str:
    return str(value) if value else ""


def _percent(value: float) -> str:
    """Whole percent, halves rounded up; "<1" for shares between 0 and 1, ">99" between 99 and 100."""
    if value == 0:
        return ""
    if value < 1:
        return "<1"
    return ">99" if 99 < value < 100 else str(math.floor(value + 0.5))


def _checked(matrix, classes: Sequence[str]) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.shape != (len(classes), len(classes)) or not len(classes):
        raise ValueError(f"a confusion matrix of shape {matrix.shape} for {len(classes)} class names")
    return matrix
