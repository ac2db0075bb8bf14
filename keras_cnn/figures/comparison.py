"""Comparison of two models on the same images by class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_cnn.figures.style import BLUE, GREY, HEADER, INK, ORANGE, SMALL_SIZE, WIDTH, fit, new_figure, styled

_ROWS = 40  # that fit on a printed page
_ROW = 0.2  # inches
_NAME_WIDTH = 1.6  # inches


@styled
def class_differences(classes: Sequence[str], before, after, intervals, title: str) -> Figure:
    """The accuracy of every class before and after, and their difference with its interval.

    `before` and `after` (C,) are shares in [0, 1], NaN for a class without images; `intervals` (C, 2) are those of
    `after - before`. Of more than 40 classes, those that changed most are shown, which the title states. Intervals
    that exclude zero are dark, others grey with a hollow point.

    Raises ValueError unless the arrays have a row for each class.
    """
    before, after, intervals = (np.asarray(values, np.float64) for values in (before, after, intervals))
    count = len(classes)
    if before.shape != (count,) or after.shape != (count,) or intervals.shape != (count, 2) or not count:
        raise ValueError(
            f"{before.shape}, {after.shape} and {intervals.shape} for {count} classes; expected a row for each class"
        )
    difference = after - before
    shown = np.sort(np.argsort(-np.nan_to_num(np.abs(difference), nan=-1.0), kind="stable")[:_ROWS])
    if len(shown) < count:
        title = f"{title}: the {_ROWS} of {count} classes that changed most"
    figure = new_figure(WIDTH, HEADER + _ROW * len(shown) + 0.95, title)
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(shown))
    _pairs(left, rows, 100 * before[shown], 100 * after[shown])
    _intervals(right, rows, 100 * difference[shown], 100 * intervals[shown])
    left.set_yticks(rows, [fit(classes[i], SMALL_SIZE, _NAME_WIDTH) for i in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)
    left.set_title("accuracy in %")
    right.set_title("difference in points, 95 % interval")
    marks, names = left.get_legend_handles_labels()
    marks += [Line2D([], [], linewidth=1.2, **_look(sure)) for sure in (True, False)]
    names += ["interval leaves out 0", "interval includes 0: the change may be chance"]
    figure.legend(marks, names, loc="outside lower left", ncols=4)
    return figure


def _pairs(ax, rows: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    ax.hlines(rows, before, after, color=GREY, linewidth=1)
    ax.plot(before, rows, "o", color="white", markeredgecolor=ORANGE, markersize=5, label="before")
    ax.plot(after, rows, "o", color=BLUE, markersize=5, label="after")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def _intervals(ax, rows: np.ndarray, difference: np.ndarray, intervals: np.ndarray) -> None:
    ax.axvline(0, color=GREY, linewidth=0.8)
    for row, middle, (low, high) in zip(rows, difference, intervals, strict=True):
        look = _look(sure=low > 0 or high < 0)
        ax.plot([low, high], [row, row], color=look["color"], linewidth=1.2)
        ax.plot(middle, row, linestyle="", **look)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def _look(sure: bool) -> dict:
    """Style of an interval and its point; `sure` if it excludes zero."""
    colour = INK if sure else GREY
    return {"color": colour, "marker": "o", "markersize": 4, "markerfacecolor": colour if sure else "white"}
