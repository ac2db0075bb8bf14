"""Charts as Plotly figures, for the page. The page itself sets the colours of text and of lines that are not data.

A trace of one run has the run's number in `meta`, by which the page shows and hides it. Texts are escaped, because
Plotly interprets some HTML in labels.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_cnn.charts import (
    FAINT,
    MUTED,
    BarRows,
    Chart,
    ChartAxis,
    Contours,
    HeatMap,
    IntervalRows,
    Numbers,
    ParallelCoordinates,
    Plot,
    Series,
)
from keras_cnn.figures.style import BLUE, GREEN, ORANGE

CLEAR = "rgba(0,0,0,0)"
_COLOURS = {FAINT: "#85898f", MUTED: "#a6857c"}  # 3:1 against the page in light and in dark
DASHES = {"": "solid", "solid": "solid", "dashed": "6px,3px", "dotted": "2px,2px", "dashdot": "10px,3px,2px,3px"}
_MARKERS = {"circle": "circle", "square": "square", "diamond": "diamond", "triangle": "triangle-up", "dash": "line-ew"}
_PIXELS = 1.6  # of a marker, per point on paper
_NAME, _NAME_OF_MANY = 22, 14  # characters to which names beside an axis are cut; those of a large square map
_LONG_NAME = 42  # characters to which two names beside an axis are cut, with their number of images
_AXIS_NAME = 15  # characters to which texts on an axis of parallel coordinates are cut
_READABLE_CELLS = 144  # a heat map with more cells does not print its texts
# From the lowest to the highest result; each stands out from the page in light and in dark.
_RESULTS = ((0.0, ORANGE), (0.5, "#8d6a8f"), (1.0, BLUE))
_HEIGHTS = ((0.0, "#dceaf4"), (1.0, BLUE))  # of contours; opaque, as Plotly's colour bar shows no transparency
# Plotly chooses the colour of a cell's text by the cell, so cells stay light enough for dark text.
_DARKEST = 0.72
_SHARES = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def figure(chart: Chart) -> dict[str, Any]:
    """The chart as plotly.js expects it: data and layout."""
    drawing = chart.drawing
    match drawing:
        case Plot():
            drawn = _plot(drawing)
        case BarRows():
            drawn = _bar_rows(drawing)
        case IntervalRows():
            drawn = _interval_rows(drawing)
        case HeatMap():
            drawn = _heat_map(drawing)
        case Contours():
            drawn = _contours(drawing)
        case ParallelCoordinates():
            drawn = _parallel_coordinates(drawing)
    return drawn.to_plotly_json()


def shape(chart: Chart) -> str:
    """The chart's room on the page: wide, square, large square, scrolling, or tall with the height of its layout."""
    match chart.drawing:
        case BarRows() | IntervalRows():
            return "tall"
        case Plot(rows=rows) if rows:
            return "tall"
        case Plot(is_square=True):
            return "square"
        case ParallelCoordinates():
            return "scrolling"
        case HeatMap(square=True, rows=rows):
            return "square" if len(rows) ** 2 <= _READABLE_CELLS else "large square"
        case _:
            return "wide"


def short(names: Sequence[str], limit: int = _NAME) -> list[str]:
    """The names, shortened in the middle to about `limit` characters if longer; equal ones get numbers.

    Both names of a pair, such as "cat → dog", are shortened, so that each can still be told.
    """
    cut = [" → ".join(_cut(part, limit // (1 + name.count(" → "))) for part in name.split(" → ")) for name in names]
    return [f"{name} ({i})" if cut.count(name) > 1 else name for i, name in enumerate(cut)]


def _cut(name: str, limit: int) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[-(limit // 2) :]}"


def frame(x: str, y: str) -> go.Figure:
    """An empty chart with the titles of its axes."""
    axis = {"zeroline": False, "automargin": True, "ticks": ""}
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "margin": {"l": 44, "r": 10, "t": 10, "b": 36},
            "font": {"family": "system-ui, sans-serif", "size": 12},
            "hoverlabel": {"font": {"family": "system-ui, sans-serif"}, "align": "left"},
            "showlegend": False,
            "xaxis": axis | {"title": {"text": escape(x), "standoff": 8}},
            "yaxis": axis | {"title": {"text": escape(y), "standoff": 8}},
        }
    )


# --- plots ------------------------------------------------------------------------------------------------------------


def _plot(plot: Plot) -> go.Figure:
    drawn = frame(plot.x.title, plot.y.title)
    if plot.shaded:
        drawn.add_vrect(x0=plot.shaded[0], x1=plot.shaded[1], fillcolor=ORANGE, opacity=0.1, line_width=0)
    if plot.histogram is not None:
        edges = np.asarray(plot.histogram.edges, float)
        middles, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        counts = [int(count) for count in plot.histogram.counts]
        drawn.add_bar(x=clean(middles), y=counts, width=clean(widths), marker={"color": _COLOURS[FAINT]})
    for series in plot.series:
        drawn.add_scatter(**_trace(series, plot))
    for place, _ in plot.verticals:
        drawn.add_vline(x=place, line={"dash": "dot", "width": 1, "color": _COLOURS[FAINT]})
    drawn.update_xaxes(**_axis(plot.x, [x for series in plot.series for x in series.x]))
    drawn.update_yaxes(**_axis(plot.y, [y for series in plot.series for y in series.y]))
    if plot.unified:
        drawn.update_xaxes(unifiedhovertitle={"text": f"{escape(plot.x.title)} %{{x}}"}, spikethickness=1)
    nearest = {"hovermode": "x unified", "hoverdistance": -1} if plot.unified else {"hovermode": "closest"}
    drawn.update_layout(nearest, hoverlabel_namelength=-1)
    if plot.legend and any(series.label for series in plot.series):
        drawn.update_layout(showlegend=True, legend=_LEGEND)
    if plot.rows:
        drawn.update_xaxes(side="top")
        drawn.update_yaxes(**_named_rows(plot.rows))
        drawn.update_layout(height=70 + plot.row_height * len(plot.rows), margin={"t": 46, "b": 8})
    return drawn


def _trace(series: Series, plot: Plot) -> dict[str, Any]:
    colour = _COLOURS.get(series.colour, series.colour)
    marked = [word for word, is_there in (("lines", series.dash), ("markers", series.marker)) if is_there]
    x = series.x if plot.x.scale in ("time", "category") else clean(series.x)
    trace: dict[str, Any] = {
        "x": [escape(value) if isinstance(value, str) else value for value in x],
        "y": clean(series.y),
        "mode": "+".join(marked),
        "line": {"color": colour, "width": 1.25 * series.width, "dash": DASHES[series.dash]},
        "showlegend": bool(series.label),
    }
    if series.steps:
        trace["line"]["shape"] = "hv"
    if series.marker:
        symbol = _MARKERS[series.marker] + ("-open" if series.hollow else "")
        edge = {"width": 1.5, "color": colour}
        trace["marker"] = {"color": colour, "size": _PIXELS * series.size, "symbol": symbol, "line": edge}
    if series.label:
        trace["name"] = escape(series.label)
    if len(series.low):
        values, name = (series.x, "error_x") if series.across else (series.y, "error_y")
        own = series.run is not None or series.across
        shade = colour if own else _COLOURS[FAINT]
        trace[name] = _errors(values, list(zip(series.low, series.high, strict=True)), shade)
    if series.run is not None:
        trace["meta"] = {"run": series.run}
    value = f"%{{y:{plot.y.number}}}{plot.y.unit}"
    if len(series.hover):
        trace["text"] = [escape(text) for text in series.hover]
        at = "%{x}" if plot.x.scale in ("time", "category") else f"%{{x:{plot.x.number}}}{plot.x.unit}"
        trace["hovertemplate"] = "%{text}<extra></extra>" if plot.rows else f"%{{text}}<br>{at}, {value}<extra></extra>"
    elif series.label:
        trace["hovertemplate"] = value
    else:
        trace["hoverinfo"] = "skip"
    return trace


def _axis(axis: ChartAxis, values: Sequence[Any] | np.ndarray) -> dict[str, Any]:
    """The scale, the ticks and the limits of a Plotly axis for these values."""
    if axis.scale == "logarithmic":
        settings: dict[str, Any] = {"type": "log", "exponentformat": "e", "minor": {"ticks": ""}}
    elif axis.scale == "category":
        names = [escape(level) for level in axis.levels]
        settings = {"type": "category", "categoryorder": "array", "categoryarray": names}
    else:
        settings = whole_ticks(values) if axis.scale == "whole" else {}
    if axis.ticks:
        texts = [escape(text) for _, text in axis.ticks]
        settings |= {"tickmode": "array", "tickvals": [place for place, _ in axis.ticks], "ticktext": texts}
    if axis.limits:
        ends = [math.log10(end) for end in axis.limits] if axis.scale == "logarithmic" else list(axis.limits)
        settings["range"] = ends
    return settings


def whole_ticks(values: Numbers) -> dict[str, Any]:
    """Ticks at whole numbers only, at most ten; for fewer values Plotly would add some in between."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return {}
    span = max(finite) - min(finite)
    step = next(m * 10**power for power in range(12) for m in (1, 2, 5) if 10 * m * 10**power >= span)
    return {"tick0": 0, "dtick": step}


# --- rows -------------------------------------------------------------------------------------------------------------


def _bar_rows(rows: BarRows) -> go.Figure:
    drawn = frame("", "")
    width = (1 + 0.06) / len(rows.columns)
    for place, column in enumerate(rows.columns):
        number = str(place + 1) if place else ""
        known = [i for i, value in enumerate(column.values) if math.isfinite(value)]
        ends = [(column.low[i], column.high[i]) for i in known]
        negative = [column.signed and column.values[i] < 0 for i in known]
        drawn.add_bar(
            x=clean([column.values[i] for i in known]),
            y=known,
            xaxis=f"x{number}",
            orientation="h",
            width=0.62,
            marker={"color": [ORANGE if n else GREEN if column.signed else BLUE for n in negative], "opacity": 0.8},
            error_x=_errors([column.values[i] for i in known], ends),
            text=[escape(rows.names[i]) for i in known],
            textposition="none",
            customdata=[f"[{low:.2f}, {high:.2f}]" if math.isfinite(low + high) else "" for low, high in ends],
            hovertemplate=f"%{{text}}<br>{escape(column.title)} %{{x:.2f}} %{{customdata}}<extra></extra>",
        )
        axis: dict[str, Any] = {
            "domain": [round(place * width, 4), round(min(1, place * width + width - 0.06), 4)],
            "title": {"text": escape(column.title), "standoff": 8},
            "side": "top",
            "automargin": False,
        }
        axis |= {"zeroline": True, "zerolinecolor": _COLOURS[FAINT]} if column.signed else {"rangemode": "tozero"}
        drawn.update_layout({f"xaxis{number}": axis | ({"anchor": "y"} if place else {})})
    size = {"height": 70 + 26 * len(rows.names), "margin": {"t": 46, "b": 8}}
    limit = _LONG_NAME if rows.long_names else _NAME
    drawn.update_layout(yaxis=_named_rows(rows.names, limit), hovermode="closest", **size)
    return drawn


def _interval_rows(data: IntervalRows) -> go.Figure:
    rows = data.rows
    drawn = frame(data.axis, "")
    other = [i for i, row in enumerate(rows) if math.isfinite(row.other)]
    drawn.add_scatter(
        x=clean([rows[i].other for i in other]),
        y=other,
        mode="markers",
        marker={"symbol": "circle-open", "color": _COLOURS[FAINT], "size": 9},
        hoverinfo="skip",
    )
    known = [i for i, row in enumerate(rows) if math.isfinite(row.value)]
    drawn.add_scatter(
        x=clean([rows[i].value for i in known]),
        y=known,
        mode="markers",
        marker={"color": BLUE, "size": 8},
        error_x=_errors([rows[i].value for i in known], [(rows[i].low, rows[i].high) for i in known]),
        text=[escape(rows[i].hover) for i in known],
        hovertemplate="%{text}<extra></extra>",
    )
    drawn.update_yaxes(**_named_rows([f"{row.group}: {row.label}" if row.group else row.label for row in rows]))
    drawn.update_xaxes(side="top", zeroline=data.zero, zerolinecolor=_COLOURS[FAINT])
    drawn.update_layout(height=70 + 24 * len(rows), margin={"t": 46, "b": 8}, hovermode="closest")
    return drawn


def _named_rows(names: Sequence[str], limit: int = _NAME) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name) for name in short(names, limit)],
        "range": [len(names) - 0.5, -0.5],
        "automargin": True,
    }


# --- maps -------------------------------------------------------------------------------------------------------------


def _heat_map(data: HeatMap) -> go.Figure:
    values = np.asarray(data.values, float)
    few = values.size <= _READABLE_CELLS
    limit = _NAME if few or not data.square else _NAME_OF_MANY
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


def tint(colour: str, opacity: float) -> str:
    """#rrggbb with an opacity, so that the page shows through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3f})"


def _contours(data: Contours) -> go.Figure:
    drawn = frame(data.x.title, data.y.title)
    drawn.add_contour(
        x=clean(data.at[0]),
        y=clean(data.at[1]),
        z=_rounded_cells(np.asarray(data.values, float).T),
        colorscale=_HEIGHTS,
        colorbar={"thickness": 12, "outlinewidth": 0},
        line={"width": 0.6, "color": _COLOURS[FAINT]},
        hovertemplate=f"%{{x:.4~g}}, %{{y:.4~g}}<br>{escape(data.quantity)} %{{z:.4~g}}<extra></extra>",
    )
    dots = {"color": ORANGE, "size": 5}
    drawn.add_scatter(x=clean(data.dots[0]), y=clean(data.dots[1]), mode="markers", marker=dots, hoverinfo="skip")
    drawn.update_xaxes(**_axis(data.x, data.at[0]))
    drawn.update_yaxes(**_axis(data.y, data.at[1]))
    return drawn


# --- parallel coordinates ---------------------------------------------------------------------------------------------


def _parallel_coordinates(data: ParallelCoordinates) -> go.Figure:
    """Each axis can be brushed: dragging along it keeps only the runs in that range."""
    *settings, result = data.axes
    dimensions = [
        {
            "label": escape(short([axis.name], _AXIS_NAME)[0]),
            "values": clean(axis.places),
            "tickvals": clean([place for place, _ in axis.ticks]),
            "ticktext": [escape(short([text], _AXIS_NAME)[0]) for _, text in axis.ticks],
            "range": [axis.low, axis.high],
        }
        for axis in settings
    ]
    ends = {"cmin": result.low, "cmax": result.high}
    dimensions.append(
        {"label": escape(result.name), "values": clean(result.places), "range": [result.low, result.high]}
    )
    drawn = go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "margin": {"l": 74, "r": 78, "t": 46, "b": 22},
            "font": {"family": "system-ui, sans-serif", "size": 12},
        }
    )
    drawn.add_parcoords(
        dimensions=dimensions,
        line={"color": clean(result.places), "colorscale": _RESULTS, **ends},
        unselected={"line": {"color": _COLOURS[FAINT], "opacity": 0.12}},
        labelfont={"size": 12},
        tickfont={"size": 11},
        rangefont={"size": 1, "color": CLEAR},  # the ends already have ticks
    )
    return drawn


# --- numbers ----------------------------------------------------------------------------------------------------------


def clean(values: Sequence[Any] | np.ndarray) -> list[Any]:
    """Plain rounded numbers; None for a value that is not finite, which JSON cannot hold."""
    return [round(float(v), 6) if v is not None and math.isfinite(v) else None for v in values]


def _rounded_cells(values: np.ndarray) -> list[list[Any]]:
    return [clean(row) for row in values]


def _errors(values: Numbers, ends: Sequence[tuple[float, float]], colour: str = _COLOURS[FAINT]) -> dict[str, Any]:
    """Error bars, of length 0 if the ends are unknown."""
    pairs = zip(values, ends, strict=True)
    known = [(value - low, high - value) if math.isfinite(low + high) else (0, 0) for value, (low, high) in pairs]
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(max(up, 0), 5) for _, up in known],
        "arrayminus": [round(max(down, 0), 5) for down, _ in known],
        "thickness": 1.3,
        "width": 3 if colour == _COLOURS[FAINT] else 0,  # bars in other colours are visible without caps
        "color": colour,
    }
