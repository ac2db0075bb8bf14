"""What the charts of the page share: the empty frame, axes, short names, plain numbers and error bars."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from keras_cnn.charts import FAINT, MUTED, ChartAxis, Numbers

CLEAR = "rgba(0,0,0,0)"
COLOURS = {FAINT: "#85898f", MUTED: "#a6857c"}  # 3:1 against the page in light and in dark
NAME = 22  # characters to which names beside an axis are cut


def short(names: Sequence[str], limit: int = NAME) -> list[str]:
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


def axis_settings(axis: ChartAxis, values: Sequence[Any] | np.ndarray) -> dict[str, Any]:
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


def named_rows(names: Sequence[str], limit: int = NAME) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name) for name in short(names, limit)],
        "range": [len(names) - 0.5, -0.5],
        "automargin": True,
    }


def tint(colour: str, opacity: float) -> str:
    """#rrggbb with an opacity, so that the page shows through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3f})"


def clean(values: Sequence[Any] | np.ndarray) -> list[Any]:
    """Plain rounded numbers; None for a value that is not finite, which JSON cannot hold."""
    return [round(float(v), 6) if v is not None and math.isfinite(v) else None for v in values]


def errors(values: Numbers, ends: Sequence[tuple[float, float]], colour: str = COLOURS[FAINT]) -> dict[str, Any]:
    """Error bars, of length 0 if the ends are unknown."""
    pairs = zip(values, ends, strict=True)
    known = [(value - low, high - value) if math.isfinite(low + high) else (0, 0) for value, (low, high) in pairs]
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(max(up, 0), 5) for _, up in known],
        "arrayminus": [round(max(down, 0), 5) for down, _ in known],
        "thickness": 1.3,
        "width": 3 if colour == COLOURS[FAINT] else 0,  # bars in other colours are visible without caps
        "color": colour,
    }
