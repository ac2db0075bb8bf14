"""Heat maps and contours as Plotly figures."""

import math
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_cnn.charts import FAINT, Contours, HeatMap
from keras_cnn.charts.page.base import COLOURS, NAME, axis_settings, clean, frame, short, tint
from keras_cnn.figures.style import BLUE, ORANGE

_NAME_OF_MANY = 14  # characters to which names beside a large square map are cut
READABLE_CELLS = 144  # a heat map with more cells does not print its texts
_HEIGHTS = ((0.0, "#dceaf4"), (1.0, BLUE))  # of contours; opaque, as Plotly's colour bar shows no transparency
# Plotly chooses the colour of a cell's text by the cell, so cells stay light enough for dark text.
_DARKEST = 0.72
_SHARES = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)


def draw(data: HeatMap) -> go.Figure:
    values = np.asarray(data.values, float)
    few = values.size <= READABLE_CELLS
    limit = NAME if few or not data.square else _NAME_OF_MANY
    rows, columns = ([escape(name) for name in short(names, limit)] for names in (data.rows, data.columns))
    shades, low, high, shown = _shades(data, values)
    hover = data.hover.format(row="%{y}", column="%{x}", value="%{customdata:.4~g}", text="%{text}")
    drawn = frame(data.column_title, data.row_title)
    drawn.add_heatmap(
        x=columns,
        y=rows,
        z=_rounded_cells(shown),
        customdata=_rounded_cells(values),
        text=[list(row) for row in data.texts] or None,
        texttemplate="%{text}" if data.texts and few else None,
        zmin=low,
        zmax=high,
        colorscale=shades,
        showscale=bool(data.quantity),
        colorbar={"thickness": 12, "outlinewidth": 0},
        xgap=1 if few else 0,
        ygap=1 if few else 0,
        hovertemplate=f"{hover}<extra></extra>",
    )
    ticks: dict[str, Any] = {"type": "category", "showgrid": False, "automargin": True}
    if data.square:
        ticks["tickfont"] = {"size": 11 if few else 9}
        drawn.update_xaxes(tickangle=-45 if few else -90)
    drawn.update_xaxes(**ticks)
    drawn.update_yaxes(**ticks, autorange=True if data.rising else "reversed")
    return drawn


def _shades(data: HeatMap, values: np.ndarray) -> tuple[list, float | None, float | None, np.ndarray]:
    """The colour scale, its ends, and the numbers that it colours."""
    if data.scale == "diverging":
        shown = np.sign(values) * np.sqrt(np.abs(values))
        largest = max(1.0, float(np.nanmax(np.abs(shown))))
        sides = ((0, ORANGE, _DARKEST), (0.5, ORANGE, 0), (0.5, BLUE, 0), (1, BLUE, _DARKEST))
        return [[place, tint(colour, opacity)] for place, colour, opacity in sides], -largest, largest, shown
    low, high = data.limits or (None, None)
    if data.scale == "root":
        return [[share, tint(BLUE, _DARKEST * math.sqrt(share))] for share in _SHARES], low, high, values
    return [[i / 4, tint(BLUE, 0.06 + 0.7 * i / 4)] for i in range(5)], low, high, values


def draw_contours(data: Contours) -> go.Figure:
    drawn = frame(data.x.title, data.y.title)
    drawn.add_contour(
        x=clean(data.at[0]),
        y=clean(data.at[1]),
        z=_rounded_cells(np.asarray(data.values, float).T),
        colorscale=_HEIGHTS,
        colorbar={"thickness": 12, "outlinewidth": 0},
        line={"width": 0.6, "color": COLOURS[FAINT]},
        hovertemplate=f"%{{x:.4~g}}, %{{y:.4~g}}<br>{escape(data.quantity)} %{{z:.4~g}}<extra></extra>",
    )
    dots = {"color": ORANGE, "size": 5}
    drawn.add_scatter(x=clean(data.dots[0]), y=clean(data.dots[1]), mode="markers", marker=dots, hoverinfo="skip")
    drawn.update_xaxes(**axis_settings(data.x, data.at[0]))
    drawn.update_yaxes(**axis_settings(data.y, data.at[1]))
    return drawn


def _rounded_cells(values: np.ndarray) -> list[list[Any]]:
    return [clean(row) for row in values]
