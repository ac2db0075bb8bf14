"""Bars and intervals in named rows, drawn with matplotlib."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_cnn.charts import BarRows, IntervalRow, IntervalRows
from keras_cnn.charts.png.captions import caption_height
from keras_cnn.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    WIDTH,
    fit,
    new_figure,
)

_ROW = 0.23  # inches per row
_LABEL = 1.9  # inches for the names of rows


def draw_bars(rows: BarRows, title: str, caption: str) -> Figure:
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
    room = 2 * _LABEL if rows.long_names else _LABEL
    axes[0].set_yticks(at, [fit(name, SMALL_SIZE, room) for name in rows.names])
    axes[0].set_ylim(len(rows.names) - 0.4, -0.6)
    return drawn


def draw_intervals(data: IntervalRows, title: str, caption: str) -> Figure:
    rows = data.rows
    groups = list(dict.fromkeys(row.group for row in rows))
    height = HEADER + (len(rows) + 0.9 * len(groups)) * _ROW + 0.6 + caption_height(caption)
    drawn = new_figure(WIDTH, height, fit(title, TITLE_SIZE, WIDTH - 3.5 - 2 * MARGIN))
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
            ax.axhline(first - 1.35, color=FAINT, linewidth=0.8)
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
