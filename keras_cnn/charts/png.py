"""Charts drawn with matplotlib, for files: `figure` draws the picture, `write` saves it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from keras_cnn.charts import (
    FAINT,
    MUTED,
    BarRows,
    Chart,
    ChartAxis,
    Contours,
    Drawing,
    HeatMap,
    IntervalRow,
    IntervalRows,
    ParallelCoordinates,
    Plot,
    Series,
    as_number,
)
from keras_cnn.figures import style
from keras_cnn.figures.style import (
    BLUE,
    GREEN,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    POINT,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    styled,
    text_width,
)

# From light to dark, so that it prints well and text in its cells is readable at both ends.
BLUES = LinearSegmentedColormap.from_list("blues", ["#eef4fa", "#7fb3d8", "#0072b2", "#00395a"])
_DIVERGING = LinearSegmentedColormap.from_list("worse and better", [ORANGE, "white", BLUE], N=257)  # odd: 0 is white
_COLOURS = {MUTED: GREY, FAINT: GREY}
_DASHES = {"": "", "solid": "-", "dashed": (0, (3, 1.5)), "dotted": (0, (1, 1.2)), "dashdot": (0, (5, 1.5, 1, 1.5))}
_MARKERS = {"": "", "circle": "o", "square": "s", "diamond": "D", "triangle": "^", "dash": "_"}
_LINE = 1.45 * SMALL_SIZE * POINT  # inches from one line of small text to the next
_ROW = 0.23  # inches per row in a chart of rows
_LEGEND_KEY = 0.5  # inches of a legend entry besides its text
_LABEL = 1.9  # inches for the names of rows
_MOST_LABELS = 12  # a heat map with more rows or columns names only some of them
_MOST_PRINTED = 600  # a heat map with more cells does not print its texts
_FAN = 0.05  # spread of equal values, relative to an axis of parallel coordinates


def write(charts: Sequence[Chart], path: Path, title: str = "", caption: str = "") -> None:
    """Saves `figure` in the format of the path's suffix; the file is written completely or not at all."""
    style.save(figure(charts, title, caption), path)


@styled
def figure(charts: Sequence[Chart], title: str = "", caption: str = "") -> Figure:
    """The charts side by side, under one title and above one caption. Only plots can be drawn side by side.

    The default title is that of the first chart.
    """
    title = title or charts[0].title
    drawings = [chart.drawing for chart in charts]
    plots = [drawing for drawing in drawings if isinstance(drawing, Plot)]
    if len(plots) == len(drawings):
        drawn = _plots(plots, title, caption)
    elif len(drawings) == 1:
        drawn = _alone(drawings[0], title, caption)
    else:
        raise ValueError(f"{len(drawings)} charts of which {len(plots)} are plots; expected plots alone, or one chart")
    _write_caption(drawn, caption)
    return drawn


def _alone(drawing: Drawing, title: str, caption: str) -> Figure:
    match drawing:
        case BarRows():
            return _bar_rows(drawing, title, caption)
        case IntervalRows():
            return _interval_rows(drawing, title, caption)
        case HeatMap():
            return _heat_map(drawing, title, caption)
        case Contours():
            return _contours(drawing, title, caption)
        case ParallelCoordinates():
            return _parallel_coordinates(drawing, title)
        case _:
            raise TypeError(f"no picture of {type(drawing).__name__}")


# --- plots ------------------------------------------------------------------------------------------------------------


def _plots(plots: Sequence[Plot], title: str, caption: str) -> Figure:
    """Plots side by side, with one common legend if all have the same entries, else one legend each."""
    labels = [_labels(plot) for plot in plots]
    shared = labels[0] and all(entries == labels[0] for entries in labels)
    widths = [text_width(label, SMALL_SIZE) + _LEGEND_KEY for label in labels[0]] if shared else [0.0]
    above = sum(widths) < 0.6 * WIDTH
    columns = len(widths) if above else max(1, int((WIDTH - 0.2) / max(widths)))
    rows = 0 if above else math.ceil(len(widths) / columns)
    room = WIDTH - sum(widths) - 2 * MARGIN if above else WIDTH
    drawn = new_figure(WIDTH, 3.3 + 0.18 * rows + caption_height(caption), fit(title, style.TITLE_SIZE, room))
    axes = drawn.subplots(1, len(plots), squeeze=False)[0]
    for ax, plot, entries in zip(axes, plots, labels, strict=True):
        _draw_plot(ax, plot, WIDTH / len(plots) - 0.7)
        if entries and not shared:
            ax.legend(loc="best")
    if shared:
        place = "outside upper right" if above else "outside lower left"
        drawn.legend(*axes[0].get_legend_handles_labels(), loc=place, ncols=columns)
    return drawn


def _labels(plot: Plot) -> list[str]:
    texts = [series.label for series in plot.series] + [text for _, text in plot.verticals]
    texts += [plot.shaded[2]] if plot.shaded else []
    return [fit(text, SMALL_SIZE, WIDTH - 1) for text in dict.fromkeys(filter(None, texts))]


def _draw_plot(ax: Axes, plot: Plot, room: float) -> None:
    """Draws a plot; `room` is its width in inches."""
    if plot.histogram is not None:
        edges, counts = np.asarray(plot.histogram.edges, float), np.asarray(plot.histogram.counts)
        look = {"align": "edge", "color": style.FAINT, "edgecolor": GREY, "linewidth": 0.5}
        ax.bar(edges[:-1], counts, width=np.diff(edges), **look)
    for series in plot.series:
        _draw_series(ax, series, plot.x)
    for place, label in plot.verticals:
        ax.axvline(place, color=BLUE, linewidth=1, linestyle=":", label=fit(label, SMALL_SIZE, WIDTH - 1) or "_")
    if plot.shaded:
        low, high, label = plot.shaded
        ax.axvspan(
            low, high, facecolor=style.SHADE, edgecolor="none", zorder=0, label=fit(label, SMALL_SIZE, WIDTH - 1)
        )
    times = [value for series in plot.series for value in series.x] if plot.x.scale == "time" else []
    if times and len(set(times)) == 1:
        moment, half_an_hour = date2num(np.datetime64(times[0])), 1 / 48
        ax.set_xlim(moment - half_an_hour, moment + half_an_hour)
    _set_axis(ax, "x", plot.x, room)
    _set_axis(ax, "y", plot.y, room)
    if plot.rows:
        ax.set_yticks(range(len(plot.rows)), [fit(name, SMALL_SIZE, _LABEL) for name in plot.rows])
        ax.set_ylim(len(plot.rows) - 0.5, -0.5)
    if plot.x.scale == "category":
        ax.margins(y=0.12)
    ax.set_xlabel(fit(plot.x.title, TEXT_SIZE, room))
    ax.set_title(fit(plot.y.title, TEXT_SIZE, room))
    ax.grid(axis="y")


def _draw_series(ax: Axes, series: Series, axis: ChartAxis) -> None:
    x, y = _places(series.x, axis), np.asarray(series.y, float)
    colour = _COLOURS.get(series.colour, series.colour)
    look = {"color": colour, "linewidth": 1.2}
    if len(series.low):
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        if series.band:
            ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        else:
            (ax.hlines(y, low, high, **look) if series.across else ax.vlines(x, low, high, **look))
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
        label=fit(series.label, SMALL_SIZE, WIDTH - 1) or "_",
    )


def _places(values: Sequence[Any] | np.ndarray, axis: ChartAxis) -> np.ndarray:
    """(N,) the positions of values on an axis."""
    if axis.scale == "category":
        return np.array([axis.levels.index(value) for value in values], float)
    return np.asarray(values, "datetime64[ms]" if axis.scale == "time" else float)


def _set_axis(ax: Axes, which: Literal["x", "y"], data: ChartAxis, room: float) -> None:
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


# --- rows -------------------------------------------------------------------------------------------------------------


def _bar_rows(rows: BarRows, title: str, caption: str) -> Figure:
    drawn = new_figure(WIDTH, HEADER + len(rows.names) * _ROW + 0.55 + caption_height(caption), title)
    axes = drawn.subplots(1, len(rows.columns), sharey=True, squeeze=False)[0]
    at = np.arange(len(rows.names))
    for ax, column in zip(axes, rows.columns, strict=True):
        colours = [ORANGE if column.signed and v < 0 else GREEN if column.signed else BLUE for v in column.values]
        ax.barh(at, np.nan_to_num(column.values), height=0.62, color=colours, alpha=0.85)
        ax.hlines(at, column.low, column.high, color=INK, linewidth=1)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.set_title(fit(column.title, TEXT_SIZE, (WIDTH - _LABEL) / len(axes) - 2 * MARGIN))
        if column.limits:
            ax.set_xlim(*column.limits)
        else:
            ax.set_xlim(left=0)
        if column.signed:
            ax.axvline(0, color=GREY, linewidth=0.8)
    axes[0].set_yticks(at, [fit(name, SMALL_SIZE, _LABEL) for name in rows.names])
    axes[0].set_ylim(len(rows.names) - 0.4, -0.6)
    return drawn


def _interval_rows(data: IntervalRows, title: str, caption: str) -> Figure:
    rows = data.rows
    groups = list(dict.fromkeys(row.group for row in rows))
    height = HEADER + (len(rows) + 0.9 * len(groups)) * _ROW + 0.6 + caption_height(caption)
    drawn = new_figure(WIDTH, height, fit(title, style.TITLE_SIZE, WIDTH - 3.5 - 2 * MARGIN))
    ax = drawn.add_subplot()
    at = np.array([i + 0.9 * groups.index(row.group) for i, row in enumerate(rows)])
    value, low, high, other = (np.array([getattr(row, n) for row in rows]) for n in ("value", "low", "high", "other"))
    other[[bool(row.remark) for row in rows]] = np.nan  # misleading, as the remark says
    bounded = np.isfinite(low)
    ax.hlines(at[bounded], low[bounded], high[bounded], color=BLUE, linewidth=1.6)
    if data.zero:
        ax.axvline(0, color=GREY, linewidth=0.8)
    if np.isfinite(other).any():
        look = {"marker": "o", "markersize": 6, "mfc": "white", "mec": GREY}
        ax.plot(other, at, linestyle="", label=fit(data.other_name, SMALL_SIZE, 2), **look)
    ax.plot(value, at, linestyle="", marker="o", markersize=4.5, color=BLUE, label=fit(data.value_name, SMALL_SIZE, 2))
    ax.set_ylim(at[-1] + 0.8, -1.5)
    ax.set_yticks(at, [fit(row.label, SMALL_SIZE, _LABEL - 0.2) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(fit(data.axis, TEXT_SIZE, WIDTH - _LABEL))
    ax.grid(axis="x")
    _keep_in_view(ax, np.concatenate([value, other, [0.0] if data.zero else []]), low, high)
    _name_groups(ax, rows, at)
    drawn.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return drawn


def _name_groups(ax: Axes, rows: Sequence[IntervalRow], at: np.ndarray) -> None:
    """Prints the names of the groups above their rows, and the remarks in the rows."""
    look = {"transform": ax.get_yaxis_transform(), "fontsize": SMALL_SIZE, "va": "center"}
    for group in dict.fromkeys(row.group for row in rows):
        first = min(place for place, row in zip(at, rows, strict=True) if row.group == group)
        text = fit(group, SMALL_SIZE, _LABEL)
        ax.text(-0.012, first - 0.92, text, color=INK, fontweight="bold", ha="right", **look)
        if first > at[0]:
            ax.axhline(first - 1.35, color=style.FAINT, linewidth=0.8)
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for place, row in zip(at, rows, strict=True):
        if row.remark:
            ax.text(0.01, place, fit(row.remark, SMALL_SIZE, WIDTH - _LABEL - 0.4), color=ORANGE, bbox=ground, **look)


def _keep_in_view(ax: Axes, points: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Sets limits that contain every point. An interval many times wider than their spread, as from a model with hardly
    a degree of freedom, is cut off so that it does not flatten the picture."""
    points = points[np.isfinite(points)]
    if not len(points):
        return
    ends = np.concatenate([low, high, points])
    ends = ends[np.isfinite(ends)]
    reach = 4 * (np.ptp(points) or abs(points[0]) or 1)
    left, right = max(ends.min(), points.min() - reach), min(ends.max(), points.max() + reach)
    pad = 0.04 * (right - left) or 0.05
    ax.set_xlim(left - pad, right + pad)


# --- maps -------------------------------------------------------------------------------------------------------------


def _heat_map(data: HeatMap, title: str, caption: str) -> Figure:
    rows, columns = np.shape(data.values)
    has_dots = len(data.dots[0]) > 0
    if data.square:
        side = min(WIDTH - _LABEL - 0.2, max(2.2, 0.36 * rows))
        names = max(text_width(fit(name, SMALL_SIZE, 1.5), SMALL_SIZE) for name in data.columns)
        height = HEADER + side + names + 0.3
    else:
        height = HEADER + 0.8 + min(3.6 if has_dots else math.inf, max(2, rows) * (0.9 if has_dots else 0.42))
    drawn = new_figure(WIDTH, height + caption_height(caption), title)
    ax = drawn.add_subplot()
    image = _draw_cells(ax, data, tall=height - HEADER - 0.2)
    room = 0.9 * (WIDTH - 1.6) / columns
    if data.texts and rows * columns <= _MOST_PRINTED:
        _print_cells(ax, image, data, room)
    for i in data.breaks:
        ax.axhline(i - 0.5, color="white", linewidth=2)
        ax.axvline(i - 0.5, color="white", linewidth=2)
    if has_dots:
        spread = 0.18 * np.random.default_rng(0).uniform(-1, 1, (2, len(data.dots[0])))  # separates runs of a cell
        look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white"}
        ax.plot(np.asarray(data.dots[1]) + spread[0], np.asarray(data.dots[0]) + spread[1], linestyle="", **look)
    if data.quantity:
        drawn.colorbar(image, ax=ax, label=fit(data.quantity, TEXT_SIZE, min(3, 0.85 * (height - HEADER))), shrink=0.85)
    return drawn


def _draw_cells(ax: Axes, data: HeatMap, tall: float) -> AxesImage:
    """Draws the shaded cells and names their rows and columns; of many, only some."""
    colours, norm = _shades(data)
    image = ax.imshow(data.values, cmap=colours, norm=norm, aspect="equal" if data.square else "auto")
    rows, columns = np.shape(data.values)
    most = max(rows, columns) if data.square else _MOST_LABELS
    steps = [max(1, math.ceil(n / most)) for n in (rows, columns)]
    room = 1.5 if data.square else 0.9 * (WIDTH - 1.8) / min(columns, most)
    names = [fit(name, SMALL_SIZE, room) for name in data.columns[:: steps[1]]]
    ax.set_yticks(range(0, rows, steps[0]), [fit(n, SMALL_SIZE, _LABEL) for n in data.rows[:: steps[0]]])
    ax.set_xticks(range(0, columns, steps[1]), names, rotation=90 if data.square else 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_ylabel(fit(data.row_title, TEXT_SIZE, tall))
    ax.set_xlabel(fit(data.column_title, TEXT_SIZE, 5))
    if data.rising:
        ax.invert_yaxis()
    return image


def _shades(data: HeatMap) -> tuple[Colormap, Normalize]:
    finite = np.asarray(data.values, float)[np.isfinite(data.values)]
    low, high = data.limits or ((finite.min(), finite.max()) if len(finite) else (0, 1))
    if data.scale == "diverging":
        largest = max(1, abs(low), abs(high))
        return _DIVERGING, FuncNorm((_signed_root, lambda v: np.sign(v) * np.square(v)), -largest, largest)
    return BLUES, PowerNorm(0.5, low, high) if data.scale == "root" else Normalize(low, high)


def _signed_root(values):
    return np.sign(values) * np.sqrt(np.abs(values))


def _print_cells(ax: Axes, image: AxesImage, data: HeatMap, room: float) -> None:
    """Prints the text of each cell, in its upper part if there are dots."""
    up = (0.36 if data.rising else -0.36) if len(data.dots[0]) else 0
    grounds = np.asarray(image.cmap(image.norm(np.ma.masked_invalid(data.values))))
    for i, j in np.ndindex(*np.shape(data.values)):
        if not np.isfinite(data.values[i, j]):
            continue
        flagged = data.flagged is not None and data.flagged[i, j]
        colour = ORANGE if flagged else readable_on(grounds[i, j])
        text = _fitting(data.texts[i][j], float(data.values[i, j]), room)
        ax.text(j, i + up, text, ha="center", va="center", fontsize=SMALL_SIZE, color=colour)


def readable_on(colour: np.ndarray) -> str:
    """INK or white, whichever has the larger contrast on an (R, G, B) in [0, 1] by WCAG 2."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return INK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _fitting(text: str, value: float, room: float) -> str:
    """The text, or the number with as many digits as fit; "" if not even two do."""
    texts = (printable(text), *(f"{value:.{digits}g}" for digits in (3, 2)))
    return next((shorter for shorter in texts if text_width(shorter, SMALL_SIZE) <= room), "")


def _contours(data: Contours, title: str, caption: str) -> Figure:
    drawn = new_figure(WIDTH, 4.4 + caption_height(caption), title)
    ax = drawn.add_subplot()
    filled = ax.contourf(data.at[0], data.at[1], np.asarray(data.values).T, levels=12, cmap=BLUES)
    look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white", "clip_on": False}
    ax.plot(data.dots[0], data.dots[1], linestyle="", **look)
    _set_axis(ax, "x", data.x, WIDTH - 2)
    _set_axis(ax, "y", data.y, WIDTH - 2)
    ax.set_xlabel(fit(data.x.title, TEXT_SIZE, 5))
    ax.set_ylabel(fit(data.y.title, TEXT_SIZE, 3.4))
    drawn.colorbar(filled, ax=ax, label=fit(data.quantity, TEXT_SIZE, 3), shrink=0.85)
    return drawn


# --- parallel coordinates ---------------------------------------------------------------------------------------------


def _parallel_coordinates(data: ParallelCoordinates, title: str) -> Figure:
    """One line per run, darker for a higher result. Lines with the same value are spread, higher results above."""
    drawn = new_figure(WIDTH, 3.9, title, layout=None)
    ax = drawn.add_axes((0.06, 0.12, 0.88, 0.70))
    at = np.column_stack([(np.asarray(a.places, float) - a.low) / (a.high - a.low) for a in data.axes])
    lines = np.stack([np.column_stack([np.arange(len(data.axes)), row]) for row in at])
    result = np.asarray(data.axes[-1].places, float)
    order = np.argsort(result, kind="stable")
    shades = np.asarray(Normalize(result.min(), result.max())(result))
    lines[:, :-1, 1] += _FAN * (shades[:, None] - 0.5)
    ax.add_collection(LineCollection(list(lines[order]), colors=BLUES(0.15 + 0.85 * shades[order]), linewidths=1.1))
    ax.add_collection(LineCollection([lines[data.best]], colors=[ORANGE], linewidths=2.2))
    ax.set_xlim(0, len(data.axes) - 1)
    ax.set_ylim(-0.04, 1.04)
    ax.axis("off")
    room = 0.88 * WIDTH / max(1, len(data.axes) - 1)
    for i in range(len(data.axes)):
        ax.axvline(i, color=GREY, linewidth=0.8, zorder=3)
        _parallel_axis(ax, i, data, room)
    drawn.text(MARGIN / WIDTH, 0.02, "orange: the best run", fontsize=SMALL_SIZE, color=GREY)
    return drawn


def _parallel_axis(ax: Axes, i: int, data: ParallelCoordinates, room: float) -> None:
    axis, last = data.axes[i], len(data.axes) - 1
    align = "right" if i == last else "left"
    ground = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
    look = {"va": "center", "fontsize": SMALL_SIZE - 1, "color": INK, "zorder": 4, "bbox": ground}
    for place, text in axis.ticks:
        y = (place - axis.low) / (axis.high - axis.low)
        ax.text(i, y, f" {fit(text, SMALL_SIZE, 0.6 * room)} ", ha=align, **look)
    # Names of adjacent axes alternate between two heights, so that each has the room of two.
    name = fit(axis.name, SMALL_SIZE, 1.3 * room)
    place = "center" if 0 < i < last else align
    ax.text(i, 1.07 + 0.07 * (i % 2), name, va="bottom", ha=place, fontsize=SMALL_SIZE, color=INK)


# --- captions ---------------------------------------------------------------------------------------------------------


def caption_height(caption: str) -> float:
    """Inches that a caption takes; "" takes none."""
    return len(_wrapped(caption)) * _LINE if caption else 0.0


def _write_caption(drawn: Figure, caption: str) -> None:
    if caption:
        text = "\n".join(_wrapped(caption))
        drawn.supxlabel(text, x=MARGIN / WIDTH, ha="left", fontsize=SMALL_SIZE, color=GREY)


def _wrapped(caption: str) -> list[str]:
    lines = [""]
    for word in printable(caption).split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, SMALL_SIZE) <= WIDTH - 3 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN) for line in lines]
