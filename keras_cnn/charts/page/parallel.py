"""Parallel coordinates as a Plotly figure."""

from html import escape

import plotly.graph_objects as go

from keras_cnn.charts import FAINT, ParallelCoordinates
from keras_cnn.charts.page.base import CLEAR, COLOURS, clean, short
from keras_cnn.figures.style import BLUE, ORANGE

_AXIS_NAME = 15  # characters to which texts on an axis of parallel coordinates are cut
# From the lowest to the highest result; each stands out from the page in light and in dark.
_RESULTS = ((0.0, ORANGE), (0.5, "#8d6a8f"), (1.0, BLUE))


def draw(data: ParallelCoordinates) -> go.Figure:
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
        unselected={"line": {"color": COLOURS[FAINT], "opacity": 0.12}},
        labelfont={"size": 12},
        tickfont={"size": 11},
        rangefont={"size": 1, "color": CLEAR},  # the ends already have ticks
    )
    return drawn
