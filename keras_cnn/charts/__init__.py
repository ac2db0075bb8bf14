"""A chart as data: what it shows, for the two renderers `png` (matplotlib) and `page` (Plotly).

A number that is not finite leaves a gap. Texts are plain: each renderer shortens and escapes them for its place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_cnn.figures.style import BLUE, GREEN, ORANGE

# Colours for what is not data. Each renderer has its own shades, because the page has a dark theme and paper has none.
MUTED, FAINT = "muted", "faint"
# Contrast of at least 3:1 on the light and dark page; at least 10 apart in CIE Lab under every colour blindness.
PALETTE = (BLUE, ORANGE, "#8455f2", "#a6857c", GREEN, "#995336")
LOG_RATIO = 4  # the least ratio of the largest to the smallest positive number that makes an axis logarithmic
FEW = 6  # up to this many distinct numbers, each has a tick on its axis

Numbers = Sequence[float] | np.ndarray
Dash = Literal["", "solid", "dashed", "dotted", "dashdot"]  # "" draws no line
Marker = Literal["", "circle", "square", "diamond", "triangle", "dash"]  # "" draws no marker
DASH_CYCLE: tuple[Dash, ...] = ("solid", "dashed", "dotted", "dashdot")
MARKER_CYCLE: tuple[Marker, ...] = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class ChartAxis:
    """One axis: its title, its scale and its ticks."""

    title: str = ""
    scale: Literal["linear", "logarithmic", "time", "category", "whole"] = "linear"  # whole: ticks at whole numbers
    ticks: tuple[tuple[float, str], ...] = ()  # position and text; if empty, round numbers
    levels: tuple[str, ...] = ()  # of a category axis, in their order
    limits: tuple[float, float] | None = None
    number: str = ".4~g"  # format of a value beside the page's pointer, in D3's notation
    unit: str = ""  # after this value


@dataclass(frozen=True)
class Series:
    """N points, joined by a line, marked, or both. Later series are drawn over earlier ones."""

    x: Sequence[Any] | np.ndarray  # (N,) numbers, texts of a category axis, or times as ISO 8601 text
    y: Numbers  # (N,)
    label: str = ""  # its entry in the legend; if empty, it has none
    colour: str = BLUE  # "#rrggbb", MUTED or FAINT
    dash: Dash = ""
    width: float = 1.6  # points
    steps: bool = False  # the line keeps its value until the next point
    marker: Marker = ""
    size: float = 5.0  # points
    hollow: bool = False
    low: Numbers = ()  # (N,) lower ends of intervals of y
    high: Numbers = ()
    across: bool = False  # the intervals are of x
    band: bool = False  # the intervals form one band instead of a bar at each point
    hover: Sequence[str] = ()  # (N,) what the page says at each point, before its numbers
    run: int | None = None  # number of its run, by which the page shows and hides it


@dataclass(frozen=True)
class Histogram:
    """Bars between the edges of bins, with one count per bin, which a file prints above its bar."""

    edges: Numbers  # (B + 1,)
    counts: Numbers  # (B,)


@dataclass(frozen=True)
class Plot:
    """Series over two axes."""

    x: ChartAxis
    y: ChartAxis
    series: tuple[Series, ...] = ()
    histogram: Histogram | None = None
    verticals: tuple[tuple[float, str], ...] = ()  # dotted lines: place, and its entry in the legend or ""
    shaded: tuple[float, float, str] | None = None  # from, to, and its entry in the legend
    unified: bool = False  # the page shows the values of all series at the pointer's x in one box
    legend: bool = True  # if false, labels appear only beside the pointer
    rows: tuple[str, ...] = ()  # names of the positions 0, 1, ... on y, the first on top
    row_height: int = 24  # pixels on the page
    remark: str = ""  # stands above the plot in a file; the page has the chart's note instead

    @property
    def is_square(self) -> bool:
        """Whether both axes have the same limits, so that the diagonal means equality."""
        return self.x.limits is not None and self.x.limits == self.y.limits


@dataclass(frozen=True)
class BarColumn:
    """One bar per row with its interval."""

    title: str
    values: Numbers  # (R,)
    low: Numbers
    high: Numbers
    limits: tuple[float, float] | None = None
    signed: bool = False  # bars below 0 have another colour


@dataclass(frozen=True)
class BarRows:
    """Horizontal bars in columns side by side; the rows are named once, the first on top."""

    names: tuple[str, ...]  # (R,)
    columns: tuple[BarColumn, ...]
    long_names: bool = False  # the names get twice the room


@dataclass(frozen=True)
class IntervalRow:
    """A value with its interval, and a plain value beside it. NaN is not drawn."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    other: float = math.nan  # drawn hollow
    group: str = ""  # rows of one group stand together under its name
    remark: str = ""  # printed in place of the marks
    hover: str = ""


@dataclass(frozen=True)
class IntervalRows:
    """Values with their intervals, the first row on top; rows of a group are brought together behind its first one."""

    rows: tuple[IntervalRow, ...]
    axis: str
    zero: bool = False  # a line at 0
    value_name: str = "value"
    other_name: str = ""

    def __post_init__(self):
        groups = list(dict.fromkeys(row.group for row in self.rows))
        object.__setattr__(self, "rows", tuple(sorted(self.rows, key=lambda row: groups.index(row.group))))


@dataclass(frozen=True)
class HeatMap:
    """A cell for each of R rows and C columns, shaded by its value; NaN is an empty cell."""

    values: np.ndarray  # (R, C)
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_title: str = ""
    column_title: str = ""
    texts: tuple[tuple[str, ...], ...] = ()  # (R, C) printed in the cells; if empty, nothing is printed
    # root: by the square root, so that small values show; diverging: by the root, blue above 0 and orange below.
    scale: Literal["linear", "root", "diverging"] = "linear"
    limits: tuple[float, float] | None = None
    quantity: str = ""  # title of the colour bar; if empty, there is no bar
    rising: bool = False  # the first row is at the bottom, as on an axis of numbers
    square: bool = False  # the cells are squares; R == C
    heading: str = ""  # stands above the cells of a square map in a file
    breaks: tuple[int, ...] = ()  # indices of rows and columns that follow a gap between groups
    flagged: np.ndarray | None = None  # (R, C) cells whose text stands out
    dots: tuple[Sequence[int], Sequence[int]] = ((), ())  # rows and columns of runs that are drawn in their cells
    hover: str = "{row}, {column}<br>{value}"  # with {row}, {column}, {value} and {text}


@dataclass(frozen=True)
class Contours:
    """A quantity over two others, with the runs as dots."""

    x: ChartAxis
    y: ChartAxis
    at: tuple[Numbers, Numbers]  # (A,) and (B,)
    values: np.ndarray  # (A, B)
    quantity: str
    dots: tuple[Numbers, Numbers] = ((), ())


@dataclass(frozen=True)
class ParallelAxis:
    """Where N runs cross one of several parallel axes."""

    name: str
    places: Numbers  # (N,) in [low, high]
    ticks: tuple[tuple[float, str], ...]
    low: float
    high: float


@dataclass(frozen=True)
class ParallelCoordinates:
    """One line per run across the axes. The last axis is the result, which sets the colour; `best` stands out."""

    axes: tuple[ParallelAxis, ...]
    best: int


Drawing = Plot | BarRows | IntervalRows | HeatMap | Contours | ParallelCoordinates


@dataclass(frozen=True)
class TextTable:
    """Cells as text; the first column names its row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    searched: bool = False  # the page has a field above the table, which keeps the rows with its words


@dataclass(frozen=True)
class Chart:
    """A drawing with its title and the same numbers as a table."""

    name: str  # letters, digits and dashes, unique on the page
    title: str
    drawing: Drawing
    table: TextTable | None = None
    note: str = ""
    run: Any = None  # the run, if the chart is about one run only


def colour(number: int) -> str:
    """The colour of one of many lines, by its number from 0."""
    return PALETTE[number % len(PALETTE)]


def dash(number: int) -> Dash:
    """The dash of one of many lines; the seventh has the first colour with the second dash."""
    return DASH_CYCLE[number // len(PALETTE) % len(DASH_CYCLE)]


def marker(number: int) -> Marker:
    """The marker of one of many lines, which changes with its dash."""
    return MARKER_CYCLE[number // len(PALETTE) % len(MARKER_CYCLE)]


def is_logarithmic(values: Numbers) -> bool:
    """Whether positive numbers span so much that a linear axis would crowd the small ones together."""
    return min(values) > 0 and max(values) >= LOG_RATIO * min(values)


def as_number(value: float) -> str:
    """A number in short, as on axes: 25k, 1.5M, 0.0001."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            return f"{value / (1e3 if unit == 'k' else scale):.3g}{unit}"
    return f"{value:.4g}"
