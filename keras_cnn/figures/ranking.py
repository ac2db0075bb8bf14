"""ROC and precision-recall curves, with a small panel for each class."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_cnn.figures.style import BLUE, GREY, HEADER, INK, SMALL_SIZE, WIDTH, fit, new_figure, styled

_COLUMNS, _PANELS = 5, 10
_LARGEST_PANEL = 2.4  # inches
_POINTS = 300  # of a drawn curve, more than the pixels of a panel
_PANEL_GAP = 0.15  # inches from one panel to the next
_ABOVE, _LEGEND = 0.3, 0.25  # inches of the class name and area above a panel, and of the legend below all panels
_OTHERS = "#c3c6ca"  # light, but visible as a line of the legend
_DASHES = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 2))}


@dataclass(frozen=True)
class ClassCurve:
    """The curve of a class and the area below it, which is None if the class has no images or all images."""

    x: np.ndarray  # (P,) in [0, 1]
    y: np.ndarray  # (P,) in [0, 1]
    area: float | None
    chance: float | None = None  # share of the images that are of the class, which is the precision of guessing


@styled
def roc_curves(curves: Mapping[str, ClassCurve], title: str, classes: int | None = None) -> Figure:
    """True-positive rate against false-positive rate of each class against all others, with the area under the curve.

    A panel has one class in blue in front of the others in grey, and the area below the blue curve. With more than ten
    classes, only the ten with the smallest areas have a panel. `classes` is the number of all classes, if `curves` are
    of some of them. Raises ValueError without classes.
    """
    words = _Words("false-positive rate", "true-positive rate", "area", "guessing: area 0.5")
    return _panels(curves, title, words, _diagonal, classes)


@styled
def precision_recall_curves(curves: Mapping[str, ClassCurve], title: str, classes: int | None = None) -> Figure:
    """Precision against recall of each class against all others, with the average precision, AP.

    The dashed line is the precision of guessing: the share of the images that are of the class. The rest is
    as in `roc_curves`.
    """
    words = _Words("recall", "precision", "AP", "guessing: the class's share of the images")
    return _panels(curves, title, words, _chance, classes)


@dataclass(frozen=True)
class _Words:
    x: str
    y: str
    area: str
    baseline: str


def _panels(
    curves: Mapping[str, ClassCurve], title: str, words: _Words, baseline: Callable, classes: int | None
) -> Figure:
    if not curves:
        raise ValueError("no class to draw; expected at least one")
    shown = _hardest(curves)
    if len(shown) < len(curves):
        title = f"{title}: the {len(shown)} lowest of {classes or len(curves):,}"
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    panel = min(_LARGEST_PANEL, (WIDTH - 0.6) / columns)
    width = max(0.7 + columns * panel, 6.0)  # the legend takes 5.8
    height = HEADER + rows * (panel + _ABOVE) + 0.5 + _LEGEND
    figure = new_figure(min(WIDTH, width), height, title)
    grid = figure.add_gridspec(rows, columns)
    thin = {name: _thinned(curve) for name, curve in curves.items() if curve.area is not None}
    for place, name in enumerate(shown):
        ax = figure.add_subplot(grid[divmod(place, columns)])
        rest = [line for other, line in thin.items() if other != name]
        ax.add_collection(LineCollection(rest, colors=_OTHERS, linewidths=0.7, zorder=1))
        baseline(ax, curves[name])
        if name in thin:
            ax.plot(*thin[name].T, color=BLUE, zorder=3)
        _frame(ax, words, first=place % columns == 0, last=place + columns >= len(shown))
        _name(ax, name, curves[name].area, words.area, panel)
    lines = [Line2D([], [], color=BLUE), Line2D([], [], color=_OTHERS, linewidth=0.7), Line2D([], [], **_DASHES)]
    others = f"{len(thin) - 1} of the other classes" if classes and classes > len(curves) else "the other classes"
    figure.legend(lines, ["the class named", others, words.baseline], loc="outside lower left", ncols=3)
    return figure


def _hardest(curves: Mapping[str, ClassCurve]) -> list[str]:
    """Names of up to ten classes with the smallest areas, in the order of the classes."""
    if len(curves) <= _PANELS:
        return list(curves)
    measured = [name for name in curves if curves[name].area is not None]
    chosen = set(sorted(measured, key=lambda name: curves[name].area)[:_PANELS])
    return [name for name in curves if name in chosen]


def _thinned(curve: ClassCurve) -> np.ndarray:
    """(P, 2) at most about _POINTS points, evenly spaced along the curve, with its ends."""
    points = np.column_stack([curve.x, curve.y])
    if len(points) <= _POINTS:
        return points
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1))])
    return points[np.unique(np.searchsorted(length, np.linspace(0, length[-1], _POINTS)).clip(max=len(points) - 1))]


def _frame(ax: Axes, words: _Words, first: bool, last: bool) -> None:
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.03, 1.03)
    ax.set_box_aspect(1)
    ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"] if last else [])
    ax.set_yticks([0, 0.5, 1], ["0", ".5", "1"] if first else [])
    ax.set_xlabel(words.x if last else "", fontsize=SMALL_SIZE)
    ax.set_ylabel(words.y if first else "", fontsize=SMALL_SIZE)


def _name(ax: Axes, name: str, area: float | None, word: str, panel: float) -> None:
    """The name of the class above the panel, and below the name its area in the colour of the curve."""
    ax.set_title(fit(name, SMALL_SIZE, panel - _PANEL_GAP), fontsize=SMALL_SIZE, color=INK, pad=1.3 * SMALL_SIZE + 4)
    number, colour = ("no images", GREY) if area is None else (f"{word} {area:.3f}", BLUE)
    place = {"xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
    ax.annotate(number, (0, 1), **place, fontsize=SMALL_SIZE, color=colour)


def _diagonal(ax: Axes, _curve: ClassCurve) -> None:
    ax.plot([0, 1], [0, 1], **_DASHES, zorder=2)


def _chance(ax: Axes, curve: ClassCurve) -> None:
    if curve.chance is not None:
        ax.axhline(curve.chance, **_DASHES, zorder=2)
