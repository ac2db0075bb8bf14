"""Rows of bars and of intervals as Plotly figures."""

import math
from html import escape
from typing import Any

import plotly.graph_objects as go

from keras_cnn.charts import FAINT, BarRows, IntervalRows
from keras_cnn.charts.page.base import COLOURS, NAME, clean, errors, frame, named_rows
from keras_cnn.figures.style import BLUE, GREEN, ORANGE

_LONG_NAME = 42  # characters to which two names beside an axis are cut, with their number of images


def draw_bars(rows: BarRows) -> go.Figure:
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
            error_x=errors([column.values[i] for i in known], ends),
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
        axis |= {"zeroline": True, "zerolinecolor": COLOURS[FAINT]} if column.signed else {"rangemode": "tozero"}
        drawn.update_layout({f"xaxis{number}": axis | ({"anchor": "y"} if place else {})})
    size = {"height": 70 + 26 * len(rows.names), "margin": {"t": 46, "b": 8}}
    limit = _LONG_NAME if rows.long_names else NAME
    drawn.update_layout(yaxis=named_rows(rows.names, limit), hovermode="closest", **size)
    return drawn


def draw_intervals(data: IntervalRows) -> go.Figure:
    rows = data.rows
    drawn = frame(data.axis, "")
    other = [i for i, row in enumerate(rows) if math.isfinite(row.other)]
    drawn.add_scatter(
        x=clean([rows[i].other for i in other]),
        y=other,
        mode="markers",
        marker={"symbol": "circle-open", "color": COLOURS[FAINT], "size": 9},
        hoverinfo="skip",
    )
    known = [i for i, row in enumerate(rows) if math.isfinite(row.value)]
    drawn.add_scatter(
        x=clean([rows[i].value for i in known]),
        y=known,
        mode="markers",
        marker={"color": BLUE, "size": 8},
        error_x=errors([rows[i].value for i in known], [(rows[i].low, rows[i].high) for i in known]),
        text=[escape(rows[i].hover) for i in known],
        hovertemplate="%{text}<extra></extra>",
    )
    drawn.update_yaxes(**named_rows([f"{row.group}: {row.label}" if row.group else row.label for row in rows]))
    drawn.update_xaxes(side="top", zeroline=data.zero, zerolinecolor=COLOURS[FAINT])
    drawn.update_layout(height=70 + 24 * len(rows), margin={"t": 46, "b": 8}, hovermode="closest")
    return drawn
