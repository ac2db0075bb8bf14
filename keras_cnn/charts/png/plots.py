"""Plots drawn with matplotlib."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from keras_cnn.charts import FAINT, MUTED, ChartAxis, Histogram, Plot, Series, as_number
from keras_cnn.charts.png.captions import caption_height
from keras_cnn.figures import style
from keras_cnn.figures.style import (
    BLUE,
    GREY,
    HEADER,
    INK,
    MARGIN,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    text_width,
)

_COLOURS = {MUTED: GREY, FAINT: GREY}
_DASHES = {"": "", "solid": "-", "dashed": (0, (3, 1.5)), "dotted": (0, (1, 1.2)), "dashdot": (0, (5, 1.5, 1, 1.5))}
_MARKERS = {"": "", "circle": "o", "square": "s", "diamond": "D", "triangle": "^", "dash": "_"}
_HEIGHT, _LOWER_HEIGHT = 3.3, 1.5  # inches of a figure of plots, and of lower plots
_SQUARE_WIDTH = 4.8  # inches of a figure of one square plot
_PIXEL = 1 / 120  # inches in a file for a pixel of a row's height on the page
_LABEL = 1.6  # inches for the names of rows
_LEGEND_KEY = 0.5  # inches of a legend entry besides its text
_COUNT_SIZE = 7  # points; 15 vertical counts fit above their bars in half the width


def draw(plots: Sequence[Plot], title: str, caption: str, below: Sequence[Plot]) -> Figure:
    """Plots side by side, and others below them in a third of their height.

    They have one common legend if all have the same entries or rows, else one legend each.
    """
    entries = [_labels(plot) for plot in plots]
    shared = bool(plots[0].rows) or all(labels == entries[0] for labels in entries)
    labels = list(dict.fromkeys(chain(*entries))) if shared else []
    width = _SQUARE_WIDTH if len(plots) == 1 and plots[0].is_square else WIDTH
    widths = [text_width(label, SMALL_SIZE) + _LEGEND_KEY for label in labels] or [0.0]
    room = width - sum(widths) - 2 * MARGIN
    above = sum(widths) < 0.6 * width and text_width(printable(title), TITLE_SIZE) <= room
    columns = len(widths) if sum(widths) < width - 0.2 else max(1, int((width - 0.2) / max(widths)))
    rows = _PIXEL * plots[0].row_height * len(plots[0].rows)
    height = HEADER + rows + 0.7 if rows else _HEIGHT
    own_rows = 0 if shared else max(math.ceil(len(own) / 2) for own in entries)
    legend = (
        0.2 * own_rows if not shared else 0 if above else 0.18 * math.ceil(len(labels) / columns) + 0.06 * bool(caption)
    )
    bottom = caption_height(caption, width)
    height += legend + _LOWER_HEIGHT * bool(below) + bottom
    drawn = new_figure(width, height, title)
    grid = drawn.add_gridspec(1 + bool(below), len(plots), height_ratios=[3, 1][: 1 + bool(below)])
    for i, (plot, own) in enumerate(zip(plots, entries, strict=True)):
        ax = drawn.add_subplot(grid[0, i])
        _draw_plot(ax, plot, width / len(plots) - 0.7)
        ax.tick_params(labelleft=not (plot.rows and i))
        if own and not shared:  # below the axes, where no data is
            ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), ncols=2, borderaxespad=0, columnspacing=1)
    for i, plot in enumerate(below):
        _draw_plot(drawn.add_subplot(grid[1, i] if len(below) > 1 else grid[1, :]), plot, width / len(below) - 0.7)
    if labels:
        named = {label: key for ax in drawn.axes for key, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        place: dict[str, Any] = {"loc": "outside upper right" if above else "outside lower left"}
        if legend and caption:  # the layout engine would put both on the same line
            place = {"loc": "lower left", "bbox_to_anchor": (0, bottom / height)}
            drawn.set_layout_engine("constrained", rect=(0, legend / height, 1, 1 - legend / height))
        drawn.legend([named[label] for label in labels], labels, ncols=columns, **place)
    return drawn


def _labels(plot: Plot) -> list[str]:
    texts = [series.label for series in plot.series] + [text for _, text in plot.verticals]
    texts += [plot.shaded[2]] if plot.shaded else []
    return list(dict.fromkeys(filter(None, map(_legend_text, texts))))


def _legend_text(text: str) -> str:
    return fit(text, SMALL_SIZE, WIDTH - 1)


def _draw_plot(ax: Axes, plot: Plot, room: float) -> None:
    """Draws a plot; `room` is its width in inches."""
    if plot.histogram is not None:
        _draw_histogram(ax, plot.histogram)
    for series in plot.series:
        _draw_series(ax, series, plot.x)
    for place, label in plot.verticals:
        ax.axvline(place, color=BLUE if label else GREY, linewidth=1, linestyle=":", label=_legend_text(label) or "_")
    if plot.shaded:
        low, high, label = plot.shaded
        ax.axvspan(low, high, facecolor=style.SHADE, edgecolor="none", zorder=0, label=_legend_text(label))
    times = [value for series in plot.series for value in series.x] if plot.x.scale == "time" else []
    if times and len(set(times)) == 1:
        moment, half_an_hour = date2num(np.datetime64(times[0])), 1 / 48
        ax.set_xlim(moment - half_an_hour, moment + half_an_hour)
    set_axis(ax, "x", plot.x, room)
    set_axis(ax, "y", plot.y, room)
    if plot.rows:
        ax.set_yticks(range(len(plot.rows)), [fit(name, SMALL_SIZE, _LABEL) for name in plot.rows])
        ax.set_ylim(len(plot.rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
    if plot.x.scale == "category":
        ax.margins(y=0.12)
    ax.set_xlabel(fit(plot.x.title, TEXT_SIZE, room))
    ax.set_title(fit(plot.y.title, TEXT_SIZE, room))
    if plot.remark:
        remark = fit(plot.remark, SMALL_SIZE, room - text_width(plot.y.title, TEXT_SIZE))
        ax.set_title(remark, loc="right", fontsize=SMALL_SIZE, color=GREY)
    ax.grid(axis="x" if plot.rows else "y")


def _draw_histogram(ax: Axes, histogram: Histogram) -> None:
    """Draws the bars with their counts, for which the axis extends beyond the highest."""
    edges, counts = np.asarray(histogram.edges, float), np.asarray(histogram.counts)
    look = {"align": "edge", "color": style.FAINT, "edgecolor": GREY, "linewidth": 0.5}
    ax.bar(edges[:-1], counts, width=np.diff(edges), **look)
    text: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": _COUNT_SIZE, "color": INK}
    for middle, count in zip((edges[:-1] + edges[1:]) / 2, counts, strict=True):
        ax.annotate(f"{count}", (middle, count), (0, 2), textcoords="offset points", **text)
    ax.set_ylim(0, max(1, counts.max()) * 2)  # room for upright numbers of five digits
    ax.set_yticks([])


def _draw_series(ax: Axes, series: Series, axis: ChartAxis) -> None:
    x, y = _places(series.x, axis), np.asarray(series.y, float)
    colour = _COLOURS.get(series.colour, series.colour)
    label, is_line = _legend_text(series.label) or "_", bool(series.dash or series.marker)
    if len(series.low):
        look: dict[str, Any] = {"color": colour} if is_line else {"color": colour, "label": label}
        width = 1.2 if is_line else series.width
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        if series.band:
            ax.fill_between(x, low, high, alpha=0.15, linewidth=0, **look)
        elif series.across:
            ax.hlines(y, low, high, linewidth=width, **look)
        else:
            ax.vlines(x, low, high, linewidth=width, **look)
    if not is_line:
        return
    ax.plot(
        x,
        y,
        color=colour,
        linestyle=_DASHES[series.dash],
        linewidth=series.width,
        drawstyle="steps-post" if series.steps else "default",
        marker=_MARKERS[series.marker],
        markersize=series.size,
        markerfacecolor="white" if series.hollow else colour,
        label=label,
    )


def _places(values: Sequence[Any] | np.ndarray, axis: ChartAxis) -> np.ndarray:
    """(N,) the positions of values on an axis."""
    if axis.scale == "category":
        return np.array([axis.levels.index(value) for value in values], float)
    return np.asarray(values, "datetime64[ms]" if axis.scale == "time" else float)


def set_axis(ax: Axes, which: Literal["x", "y"], data: ChartAxis, room: float) -> None:
    """The scale, the ticks and the limits of the x or the y axis."""
    is_x = which == "x"
    axis = ax.xaxis if is_x else ax.yaxis
    limit, tick = (ax.set_xlim, ax.set_xticks) if is_x else (ax.set_ylim, ax.set_yticks)
    if data.scale == "time":
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
    elif data.scale == "category":
        each = 0.9 * room / max(1, len(data.levels))
        tick(range(len(data.levels)), [fit(level, SMALL_SIZE, each) for level in data.levels])
        limit(-0.5, len(data.levels) - 0.5)
    elif data.scale == "whole":
        axis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    elif data.scale == "logarithmic":
        (ax.set_xscale if is_x else ax.set_yscale)("log")
        low, high = sorted(axis.get_view_interval())
        subs = (1,) if high > 300 * low else (1, 2, 5) if high > 8 * low else (1, 2, 3, 4, 6, 8)
        axis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    elif is_x:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if data.scale == "logarithmic" or (is_x and data.scale == "linear"):
        axis.set_major_formatter(FuncFormatter(lambda value, _position: as_number(value)))
    if data.ticks:
        tick([place for place, _ in data.ticks], [text for _, text in data.ticks])
    if data.limits:
        limit(*data.limits)
