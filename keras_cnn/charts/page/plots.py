"""Plots of lines and points as Plotly figures."""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_cnn.charts import FAINT, Plot, Series
from keras_cnn.charts.page.base import COLOURS, axis_settings, clean, errors, frame, named_rows
from keras_cnn.figures.style import ORANGE

DASHES = {"": "solid", "solid": "solid", "dashed": "6px,3px", "dotted": "2px,2px", "dashdot": "10px,3px,2px,3px"}
_MARKERS = {"circle": "circle", "square": "square", "diamond": "diamond", "triangle": "triangle-up", "dash": "line-ew"}
_PIXELS = 1.6  # of a marker, per point on paper
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def draw(plot: Plot) -> go.Figure:
    drawn = frame(plot.x.title, plot.y.title)
    if plot.shaded:
        drawn.add_vrect(x0=plot.shaded[0], x1=plot.shaded[1], fillcolor=ORANGE, opacity=0.1, line_width=0)
    if plot.histogram is not None:
        edges = np.asarray(plot.histogram.edges, float)
        middles, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        counts = [int(count) for count in plot.histogram.counts]
        drawn.add_bar(x=clean(middles), y=counts, width=clean(widths), marker={"color": COLOURS[FAINT]})
    for series in plot.series:
        drawn.add_scatter(**_trace(series, plot))
    for place, _ in plot.verticals:
        drawn.add_vline(x=place, line={"dash": "dot", "width": 1, "color": COLOURS[FAINT]})
    drawn.update_xaxes(**axis_settings(plot.x, [x for series in plot.series for x in series.x]))
    drawn.update_yaxes(**axis_settings(plot.y, [y for series in plot.series for y in series.y]))
    if plot.unified:
        drawn.update_xaxes(unifiedhovertitle={"text": f"{escape(plot.x.title)} %{{x}}"}, spikethickness=1)
    nearest = {"hovermode": "x unified", "hoverdistance": -1} if plot.unified else {"hovermode": "closest"}
    drawn.update_layout(nearest, hoverlabel_namelength=-1)
    if plot.legend and any(series.label for series in plot.series):
        drawn.update_layout(showlegend=True, legend=_LEGEND)
    if plot.rows:
        drawn.update_xaxes(side="top")
        drawn.update_yaxes(**named_rows(plot.rows))
        drawn.update_layout(height=70 + plot.row_height * len(plot.rows), margin={"t": 46, "b": 8})
    return drawn


def _trace(series: Series, plot: Plot) -> dict[str, Any]:
    colour = COLOURS.get(series.colour, series.colour)
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
        shade = colour if own else COLOURS[FAINT]
        trace[name] = errors(values, list(zip(series.low, series.high, strict=True)), shade)
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
