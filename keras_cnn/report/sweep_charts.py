"""Plotly charts of a sweep's analysis. Numbers in, figures out; accuracies come in percent.

As in `charts`, text that comes from users is escaped, and the colours of text and lines are the page's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from keras_cnn.figures import style
from keras_cnn.figures.convergence import Line
from keras_cnn.report.charts import CLEAR, DASHES, LABEL, PALETTE, SYMBOLS, frame, short, whole_epochs
from keras_cnn.sweeps.factors import MOST_LEVELS, Factor, show

FAINT = "#85898f"  # lines beside the data; 3:1 against the page in light and in dark
SPLITS = {"train": "#a6857c", "validation": style.BLUE, "test": style.ORANGE}
_AXIS = 15  # characters of a setting's name over an axis of parallel coordinates
# From the lowest to the highest metric; each stands out from the page in light and in dark.
_SCALE = ((0.0, style.ORANGE), (0.5, "#8d6a8f"), (1.0, style.BLUE))
_SHADES = tuple((i / 4, f"rgba(0,114,178,{0.06 + 0.7 * i / 4:.2f})") for i in range(5))  # of a heat map
_HEIGHTS = ((0.0, "#dceaf4"), (1.0, style.BLUE))  # of contours; plotly's colour bar has no transparency for them
_TICKS = 6  # of an axis of parallel coordinates that is not one tick a value
_PRINTED = 36  # cells of a heat map up to which the values stand in them


@dataclass(frozen=True)
class Row:
    """One line of a chart of intervals; NaN is not drawn."""

    label: str
    value: float
    low: float
    high: float
    other: float = math.nan  # drawn hollow
    hover: str = ""


def progress(created: Sequence[str], values: Sequence[float], best: Sequence[float], runs: Sequence[str], axis: str):
    """Each run at the time of its creation, and the best so far as steps."""
    figure = frame("created (UTC)", axis)
    line = {"shape": "hv", "color": style.ORANGE, "width": 1.4}
    figure.add_scatter(x=created, y=_clean(best), mode="lines", line=line, hoverinfo="skip")
    figure.add_scatter(
        x=created,
        y=_clean(values),
        text=[escape(run) for run in runs],
        mode="markers",
        marker={"color": style.BLUE, "size": 7},
        hovertemplate="%{text}<br>%{x}<br>%{y:.4~g}<extra></extra>",
    )
    figure.update_layout(hovermode="closest")
    return figure


def parallel(factors: Sequence[tuple[str, Factor]], values: Sequence[float], axis: str) -> go.Figure:
    """One line a run through its settings to its metric on the last axis, which gives the colour too.

    Each axis can be brushed: dragging along it leaves the runs in the range.
    """
    dimensions = [_dimension(name, one) for name, one in factors]
    low, high = min(values), max(values)
    if low == high:  # an axis needs an extent
        low, high = low - 1, high + 1
    dimensions.append({"label": escape(axis), "values": _clean(values), "range": [low, high]})
    figure = go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "margin": {"l": 74, "r": 78, "t": 46, "b": 22},
            "font": {"family": "system-ui, sans-serif", "size": 12},
        }
    )
    figure.add_parcoords(
        dimensions=dimensions,
        line={"color": _clean(values), "colorscale": _SCALE, "cmin": low, "cmax": high},
        unselected={"line": {"color": FAINT, "opacity": 0.12}},
        labelfont={"size": 12},
        tickfont={"size": 11},
        rangefont={"size": 1, "color": CLEAR},  # the ends are ticks already
    )
    return figure


def _dimension(name: str, one: Factor) -> dict:
    label = escape(short([name], _AXIS)[0])
    if not one.numeric:
        texts = [escape(text) for text in short(one.texts(), _AXIS)]
        places = list(range(len(texts)))
        ends = [0, len(texts) - 1] if len(texts) > 1 else [-1, 1]
        return {"label": label, "values": one.codes.tolist(), "tickvals": places, "ticktext": texts, "range": ends}
    scale = math.log10 if one.logarithmic else float
    levels = [float(level) for level in one.levels]
    ticks = levels if len(levels) <= _TICKS else _ticks(levels[0], levels[-1], one.logarithmic)
    ends = [scale(levels[0]), scale(levels[-1])] if len(levels) > 1 else [scale(levels[0]) - 1, scale(levels[0]) + 1]
    return {
        "label": label,
        "values": [round(scale(float(value)), 6) for value in one.values],
        "tickvals": [round(scale(tick), 6) for tick in ticks],
        "ticktext": [f"{tick:.2g}" if ticks is not levels else show(tick) for tick in ticks],
        "range": ends,
    }


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """The ends, and between them even steps, of the logarithm where the axis has it."""
    shares = [i / (_TICKS - 1) for i in range(_TICKS)]
    if logarithmic:
        return [low * (high / low) ** share for share in shares]
    return [low + (high - low) * share for share in shares]


def importances(
    inputs: Sequence[str],
    importance: Sequence[float],
    importance_ends: Sequence[tuple[float, float]],
    correlation: Sequence[float],
    correlation_ends: Sequence[tuple[float, float]],
) -> go.Figure:
    """Importance and correlation side by side, a row an input, with intervals; the first row is on top."""
    figure = frame("importance", "")
    places = list(range(len(inputs)))
    for axis, values, ends, colour, word in (
        ("x", importance, importance_ends, style.BLUE, "importance"),
        ("x2", correlation, correlation_ends, style.ORANGE, "correlation"),
    ):
        known = [i for i in places if math.isfinite(values[i])]
        figure.add_bar(
            x=[round(values[i], 5) for i in known],
            y=known,
            xaxis=axis,
            orientation="h",
            width=0.62,
            marker={"color": colour, "opacity": 0.8},
            error_x=_errors([values[i] for i in known], [ends[i] for i in known]),
            text=[escape(inputs[i]) for i in known],
            textposition="none",
            customdata=[f"[{ends[i][0]:.2f}, {ends[i][1]:.2f}]" for i in known],
            hovertemplate=f"%{{text}}<br>{word} %{{x:.2f}} %{{customdata}}<extra></extra>",
        )
    figure.update_layout(
        xaxis={"domain": [0, 0.47], "rangemode": "tozero", "side": "top", "automargin": False},
        xaxis2={
            "domain": [0.53, 1],
            "title": {"text": "correlation", "standoff": 8},
            "side": "top",
            "zeroline": True,
            "zerolinecolor": FAINT,
            "anchor": "y",
        },
        yaxis=_named_rows(inputs),
        height=70 + 26 * len(inputs),
        margin={"t": 46, "b": 8},
        hovermode="closest",
    )
    return figure


def intervals(rows: Sequence[Row], axis: str, zero: bool) -> go.Figure:
    """A value with its interval a row, the first on top; the hollow mark beside it is the plain one."""
    figure = frame(axis, "")
    hollow = [i for i, row in enumerate(rows) if math.isfinite(row.other)]
    figure.add_scatter(
        x=[round(rows[i].other, 5) for i in hollow],
        y=hollow,
        mode="markers",
        marker={"symbol": "circle-open", "color": FAINT, "size": 9},
        hoverinfo="skip",
    )
    known = [i for i, row in enumerate(rows) if math.isfinite(row.value)]
    figure.add_scatter(
        x=[round(rows[i].value, 5) for i in known],
        y=known,
        mode="markers",
        marker={"color": style.BLUE, "size": 8},
        error_x=_errors([rows[i].value for i in known], [(rows[i].low, rows[i].high) for i in known]),
        text=[escape(rows[i].hover) for i in known],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_yaxes(**_named_rows([row.label for row in rows]))
    figure.update_xaxes(side="top", zeroline=zero, zerolinecolor=FAINT)
    figure.update_layout(height=70 + 24 * len(rows), margin={"t": 46, "b": 8}, hovermode="closest")
    return figure


def level_means(levels: Sequence[str], means: Mapping[str, Sequence[float]], setting: str, axis: str) -> go.Figure:
    """Mean accuracy of each split by the value of one setting."""
    figure = frame(escape(setting), axis)
    for split, values in means.items():
        figure.add_scatter(
            x=[escape(level) for level in levels],
            y=_clean(values),
            mode="lines+markers",
            name=split,
            line={"color": SPLITS[split], "width": 1.6, "dash": "dot" if split == "train" else "solid"},
            marker={"size": 7, "symbol": SYMBOLS[list(SPLITS).index(split)]},
            hovertemplate="%{y:.4~g}",
        )
    figure.update_xaxes(type="category")
    figure.update_layout(hovermode="x unified")
    return _with_key(figure)


def by_epoch(epochs: Sequence[int], means: Mapping[str, Sequence[float]], axis: str) -> go.Figure:
    """Means of all runs by epoch, one line a split."""
    figure = frame("epoch", axis)
    for split, values in means.items():
        figure.add_scatter(
            x=list(epochs),
            y=_clean(values),
            mode="lines+markers" if len(epochs) < 3 else "lines",
            name=split,
            line={"color": SPLITS[split], "width": 2, "dash": "dot" if split == "train" else "solid"},
            hovertemplate="%{y:.4~g}",
        )
    figure.update_xaxes(**whole_epochs(epochs))
    figure.update_layout(hovermode="x unified")
    return _with_key(figure)


def convergence(lines: Sequence[Line], by_time: bool) -> go.Figure:
    """The mean validation accuracy of each recipe over its seeds, by epoch or by seconds, with their range as bars."""
    figure = frame("seconds of training" if by_time else "epoch", "validation accuracy, %")
    for line in lines:
        means, epochs = 100 * line.accuracy.mean(axis=0), range(1, line.accuracy.shape[1] + 1)
        ends = 100 * line.accuracy.min(axis=0), 100 * line.accuracy.max(axis=0)
        colour = PALETTE[line.colour % len(PALETTE)]
        figure.add_scatter(
            x=_clean(line.seconds.mean(axis=0).tolist()) if by_time else list(epochs),
            y=_clean(means.tolist()),
            error_y=_errors(means.tolist(), list(zip(*(end.tolist() for end in ends), strict=True))),
            mode="lines+markers",
            name=escape(line.label),
            line={"color": colour, "width": 2, "dash": DASHES[line.dash % len(DASHES)]},
            marker={"size": 6},
            hovertemplate="%{y:.2f} % after epoch " + "%{text}",
            text=[str(epoch) for epoch in epochs],
        )
    if not by_time:
        figure.update_xaxes(**whole_epochs([1, max(line.accuracy.shape[1] for line in lines)]))
    figure.update_layout(hovermode="closest")
    return _with_key(figure)


def front(
    costs: Sequence[float], values: Sequence[float], on_front: Sequence[bool], runs: Sequence[str], x: str, y: str
) -> go.Figure:
    """Runs by cost and metric; those on the Pareto front are filled and joined. By rising cost."""
    figure = frame(x, y)
    kept = [i for i, is_on in enumerate(on_front) if is_on]
    if len(kept) > 1:
        line = {"shape": "hv", "color": FAINT, "width": 1, "dash": "dot"}
        at = {"x": _clean([costs[i] for i in kept]), "y": _clean([values[i] for i in kept])}
        figure.add_scatter(**at, mode="lines", line=line, hoverinfo="skip")
    for is_on, symbol, note in ((False, "circle-open", ""), (True, "circle", "<br>on the Pareto front")):
        mine = [i for i, on in enumerate(on_front) if bool(on) is is_on]
        figure.add_scatter(
            x=_clean([costs[i] for i in mine]),
            y=_clean([values[i] for i in mine]),
            text=[escape(runs[i]) for i in mine],
            mode="markers",
            marker={"color": style.BLUE, "size": 8, "symbol": symbol, "line": {"width": 1.5, "color": style.BLUE}},
            hovertemplate=f"%{{text}}<br>%{{x:.4~g}}, %{{y:.4~g}}{note}<extra></extra>",
        )
    if len(costs) and min(costs) > 0 and max(costs) >= 4 * min(costs):
        figure.update_xaxes(type="log")
    figure.update_layout(hovermode="closest")
    return figure


def slice_of(name: str, one: Factor, values: Sequence[float], runs: Sequence[str], axis: str) -> go.Figure:
    """The metric of every run by one setting."""
    figure = frame(escape(name), axis)
    figure.add_scatter(
        x=[float(value) for value in one.values] if one.numeric else [escape(show(value)) for value in one.values],
        y=_clean(values),
        text=[escape(run) for run in runs],
        mode="markers",
        marker={"color": style.BLUE, "size": 8, "opacity": 0.9},
        hovertemplate="%{text}<br>%{x}, %{y:.4~g}<extra></extra>",
    )
    figure.update_xaxes(**_axis_of(one))
    if not one.numeric:
        figure.update_xaxes(categoryorder="array", categoryarray=[escape(text) for text in one.texts()])
    elif len(one.levels) <= _TICKS:
        figure.update_xaxes(tickmode="array", tickvals=list(one.levels), ticktext=one.texts())
    figure.update_layout(hovermode="closest")
    return figure


def surface(
    names: tuple[str, str],
    axes: tuple[Factor, Factor],
    values: tuple[Sequence[Any], Sequence[Any]],
    predicted: Sequence[Sequence[float]],
    word: str,
) -> go.Figure:
    """The metric over two settings: (A, B) predictions as contours where both are quantities, else as a heat map.

    `axes` are the settings over the runs, which are drawn as dots where there are contours.
    """
    figure = frame(escape(names[0]), escape(names[1]))
    quantities = [one.numeric and len(at) > MOST_LEVELS for one, at in zip(axes, values, strict=True)]
    x, y = (
        [float(v) if is_quantity else escape(show(v)) for v in at]
        for is_quantity, at in zip(quantities, values, strict=True)
    )
    heat = {
        "x": x,
        "y": y,
        "z": [[round(float(row[j]), 4) for row in predicted] for j in range(len(values[1]))],
        "colorscale": _SHADES,
        "colorbar": {"thickness": 12, "outlinewidth": 0},
    }
    if all(quantities):
        figure.add_contour(
            **heat | {"colorscale": _HEIGHTS},
            line={"width": 0.6, "color": FAINT},
            hovertemplate=f"%{{x:.4~g}}, %{{y:.4~g}}<br>{escape(word)} %{{z:.4~g}}<extra></extra>",
        )
        figure.add_scatter(
            x=[float(v) for v in axes[0].values],
            y=[float(v) for v in axes[1].values],
            mode="markers",
            marker={"color": style.ORANGE, "size": 5},
            hoverinfo="skip",
        )
    else:
        few = not any(quantities) and len(x) * len(y) <= _PRINTED
        figure.add_heatmap(
            **heat,
            xgap=1,
            ygap=1,
            texttemplate="%{z:.4~g}" if few else None,
            hovertemplate=f"%{{x}}, %{{y}}<br>{escape(word)} %{{z:.4~g}}<extra></extra>",
        )
        figure.update_layout(xaxis={"showgrid": False}, yaxis={"showgrid": False})
    for update, one, is_quantity in zip((figure.update_xaxes, figure.update_yaxes), axes, quantities, strict=True):
        update(**(_axis_of(one) if is_quantity else {"type": "category"}))
    return figure


def _axis_of(one: Factor) -> dict:
    if not one.numeric:
        return {"type": "category"}
    return {"type": "log", "exponentformat": "e", "minor": {"ticks": ""}} if one.logarithmic else {"type": "linear"}


def _named_rows(names: Sequence[str]) -> dict:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name) for name in short(names, LABEL)],
        "range": [len(names) - 0.5, -0.5],
        "automargin": True,
    }


def _with_key(figure: go.Figure) -> go.Figure:
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return figure


def _errors(values: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict:
    """Error bars; none where the ends are not known."""
    pairs = zip(values, ends, strict=True)
    known = [(value - low, high - value) if math.isfinite(low + high) else (0, 0) for value, (low, high) in pairs]
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(max(up, 0), 5) for _, up in known],
        "arrayminus": [round(max(down, 0), 5) for down, _ in known],
        "thickness": 1.3,
        "width": 3,
        "color": FAINT,
    }


def _clean(values: Sequence[Any]) -> list:
    """Plain numbers, rounded; None for what is not finite, which JSON does not have."""
    return [round(float(v), 6) if isinstance(v, int | float) and math.isfinite(v) else None for v in values]
