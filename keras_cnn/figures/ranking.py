"""How well the score of each class ranks the images: ROC and precision-recall curves, one small panel a class."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from keras_cnn.figures.style import BLUE, FAINT, GREY, HEADER, INK, SMALL_SIZE, WIDTH, fit, new_figure, styled

_COLUMNS, _PANELS = 5, 10
_LARGEST_PANEL = 2.4  # inches
_POINTS = 300  # of a drawn curve: more than a panel has pixels
_NUMBER, _PANEL_GAP = 0.42, 0.15  # inches: the area beside a class name; from one panel to the next


@dataclass(frozen=True)
class Curve:
    """A curve of one class and the area below it, None where the class has no images or nothing else."""

    x: np.ndarray  # (P,) in [0, 1]
    y: np.ndarray  # (P,) in [0, 1]
    area: float | None
    chance: float | None = None  # share of the class's images: the precision of guessing


@styled
def roc_curves(curves: Mapping[str, Curve], title: str) -> Figure:
    """True-positive against false-positive rate, each class against all others, with the area under the curve.

    Every panel has one class in blue before all others in grey. Of more than ten classes those of the smallest area
    have a panel. Raises ValueError for no class.
    """
    return _panels(curves, title, ("false-positive rate", "true-positive rate"), _diagonal)


@styled
def precision_recall_curves(curves: Mapping[str, Curve], title: str) -> Figure:
    """Precision against recall, each class against all others, with the average precision; else as `roc_curves`.

    The dashed line is the precision of guessing, the class's share of the images.
    """
    return _panels(curves, title, ("recall", "precision"), _chance)


def _panels(curves: Mapping[str, Curve], title: str, axes: tuple[str, str], baseline: Callable) -> Figure:
    if not curves:
        raise ValueError("no class to draw; expected at least one")
    shown = _hardest(curves)
    if len(shown) < len(curves):
        title = f"{title}: the {len(shown)} lowest of {len(curves)}"
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    panel = min(_LARGEST_PANEL, (WIDTH - 0.6) / columns)
    width = max(0.7 + columns * panel, 4.5)
    figure = new_figure(min(WIDTH, width), HEADER + rows * (panel + 0.15) + 0.5, title)
    grid = figure.add_gridspec(rows, columns)
    thin = {name: _thinned(curve) for name, curve in curves.items() if curve.area is not None}
    for place, name in enumerate(shown):
        ax = figure.add_subplot(grid[divmod(place, columns)])
        others = [line for other, line in thin.items() if other != name]
        ax.add_collection(LineCollection(others, colors=FAINT, linewidths=0.7, zorder=1))
        baseline(ax, curves[name])
        if name in thin:
            ax.plot(*thin[name].T, color=BLUE, zorder=3)
        _frame(ax, name, curves[name].area, panel, first=place % columns == 0, last=place + columns >= len(shown))
    figure.supxlabel(axes[0], fontsize=SMALL_SIZE)
    figure.supylabel(axes[1], fontsize=SMALL_SIZE)
    return figure


def _hardest(curves: Mapping[str, Curve]) -> list[str]:
    """Names of up to ten classes, the smallest areas, in the order of the classes."""
    if len(curves) <= _PANELS:
        return list(curves)
    measured = [name for name in curves if curves[name].area is not None]
    chosen = set(sorted(measured, key=lambda name: curves[name].area)[:_PANELS])
    return [name for name in curves if name in chosen]


def _thinned(curve: Curve) -> np.ndarray:
    """(P, 2) with at most about _POINTS points, evenly along the curve, its ends among them."""
    points = np.column_stack([curve.x, curve.y])
    if len(points) <= _POINTS:
        return points
    walked = np.concatenate([[0], np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1))])
    return points[np.unique(np.searchsorted(walked, np.linspace(0, walked[-1], _POINTS)).clip(max=len(points) - 1))]


def _frame(ax: Axes, name: str, area: float | None, panel: float, first: bool, last: bool) -> None:
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.03, 1.03)
    ax.set_box_aspect(1)
    ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"] if last else [])
    ax.set_yticks([0, 0.5, 1], ["0", ".5", "1"] if first else [])
    ax.set_title(fit(name, SMALL_SIZE, panel - _NUMBER - _PANEL_GAP), fontsize=SMALL_SIZE, color=INK)
    number = "no images" if area is None else f"{area:.3f}"
    ax.set_title(number, loc="right", fontsize=SMALL_SIZE, color=GREY if area is None else BLUE)


def _diagonal(ax: Axes, _curve: Curve) -> None:
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=2)


def _chance(ax: Axes, curve: Curve) -> None:
    if curve.chance is not None:
        ax.axhline(curve.chance, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=2)
