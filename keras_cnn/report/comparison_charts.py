"""Plotly charts of two runs on the same images; see `charts`."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from keras_cnn.figures import style
from keras_cnn.report import charts
from keras_cnn.report.comparisons import StoredChange


def differences(classes: Mapping[str, StoredChange]) -> go.Figure:
    """Accuracy of each class after minus before, in points; filled where the interval leaves out 0."""
    figure = charts.frame("points, after minus before", "")
    names = [escape(name) for name in charts.short(list(classes))]
    known = [(place, change) for place, change in enumerate(classes.values()) if change.interval]
    sure = [change.interval[0] > 0 or change.interval[1] < 0 for _, change in known]
    colours = [style.BLUE if change.difference > 0 else style.ORANGE for _, change in known]
    figure.add_vline(x=0, line={"color": charts.FAINT, "width": 1})
    for (place, change), colour in zip(known, colours, strict=True):  # one colour a line, which error bars cannot have
        ends = [100 * end for end in change.interval]
        line = {"color": colour, "width": 1.4}
        figure.add_scatter(x=ends, y=[place, place], mode="lines", line=line, hoverinfo="skip")
    figure.add_scatter(
        x=[round(100 * change.difference, 3) for _, change in known],
        y=[place for place, _ in known],
        mode="markers",
        marker={
            "size": 9,
            "color": colours,
            "symbol": ["circle" if filled else "circle-open" for filled in sure],
            "line": {"width": 1.6, "color": colours},
        },
        customdata=[
            [names[place], 100 * change.before, 100 * change.after, *(100 * end for end in change.interval)]
            for place, change in known
        ],
        hovertemplate="%{customdata[0]}: %{customdata[1]:.1f} % before, %{customdata[2]:.1f} % after, %{x:+.2f} points"
        " [%{customdata[3]:+.2f}, %{customdata[4]:+.2f}]<extra></extra>",
    )
    ends = [0.0, *(100 * end for _, change in known for end in change.interval)]
    pad = 0.03 * (max(ends) - min(ends)) or 1
    figure.update_xaxes(range=[min(ends) - pad, max(ends) + pad])
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(**ticks, range=[len(names) - 0.5, -0.5], automargin=True)
    figure.update_layout(hovermode="closest", height=90 + 28 * len(names))
    return figure


def confusion(change: np.ndarray, classes: Sequence[str]) -> go.Figure:
    """Counts (C, C) after minus before; blue where that is better, orange where it is worse, shaded by the root."""
    better = np.where(np.eye(len(classes), dtype=bool), change, -change)
    shades = np.sign(better) * np.sqrt(np.abs(better))
    largest = max(1.0, float(np.abs(shades).max()))
    sides = (
        (0, style.ORANGE, charts.DARKEST),
        (0.5, style.ORANGE, 0),
        (0.5, style.BLUE, 0),
        (1, style.BLUE, charts.DARKEST),
    )
    return charts.matrix(
        classes,
        z=shades.round(3).tolist(),
        text=[[f"{n:+d}".replace("-", "−") if n else "" for n in row] for row in change.tolist()],
        zmin=-largest,
        zmax=largest,
        colorscale=[[place, charts.tint(colour, opacity)] for place, colour, opacity in sides],
        customdata=change.tolist(),
        hovertemplate="true %{y}<br>predicted %{x}<br>%{customdata:+,} images<extra></extra>",
    )
