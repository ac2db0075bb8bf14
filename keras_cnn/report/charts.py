"""Plotly charts of a report. Numbers in, figures out; their colours for text and lines are the page's own.

Everything that belongs to a run carries the run's number in `meta`, by which the page shows and hides it. Text that
comes from users is escaped, because plotly reads its own small HTML in labels.
"""

import math
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from keras_cnn.evaluation.intervals import wilson
from keras_cnn.figures import style
from keras_cnn.report.runs import Run
from keras_cnn.report.scores import SplitScores, number

# At least 3:1 against the page in light and in dark, and at least 10 apart in CIE Lab with every colour blindness; a
# seventh run has the first colour again with the next dash.
PALETTE = (style.BLUE, style.ORANGE, "#8455f2", "#a6857c", style.GREEN, "#995336")
DASHES = ("solid", "8px,3px", "2px,2px", "10px,3px,2px,3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
CLEAR = "rgba(0,0,0,0)"
FAINT = "#85898f"  # of lines behind the runs; 3:1 against the page in light and in dark
LABEL, LABEL_OF_MANY = 22, 14  # characters of a class name on an axis; of one of many that meet from two sides
READABLE_COUNTS = 12  # classes up to which the counts stand in the cells
UNIFIED = 4  # runs up to which one box shows the values of all

# Plotly takes the colour of text in a heatmap's cell from the cell, so a cell may not be darker than ink can stand.
DARKEST = 0.72
_SHARES = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)


def colour(run: int) -> str:
    """Of a run by its number."""
    return PALETTE[run % len(PALETTE)]


def dash(run: int) -> str:
    """Of a run by its number, as SVG and plotly write it."""
    return DASHES[run // len(PALETTE) % len(DASHES)]


def curves(runs: Sequence[Run], quantity: str, others: Sequence[Run] = ()) -> go.Figure:
    """`quantity` is loss or accuracy: by epoch, training thin and validation thick, the chosen epoch marked.

    Of `others` the validation alone is drawn, as thin grey lines behind them.
    """
    figure = frame("epoch", {"loss": "loss, nats", "accuracy": "accuracy, %"}[quantity])
    scale = 100 if quantity == "accuracy" else 1
    shown = "%{y:.2f} %" if quantity == "accuracy" else "%{y:.4f}"
    if others:
        figure.add_scatter(**_background(others, f"val_{quantity}", scale), hovertemplate=f"%{{text}}: {shown}")
    for run in runs:
        epochs = [row["epoch"] for row in run.record.history]
        name = escape(run.label)
        line = {"color": colour(run.number), "dash": dash(run.number)}
        for column, split, width in ((quantity, "training", 1.4), (f"val_{quantity}", "validation", 2.4)):
            values = [_scaled(row.get(column), scale) for row in run.record.history]
            figure.add_scatter(
                x=epochs,
                y=values,
                mode="lines" if len(epochs) > 1 else "markers",
                name=f"{name}, {split}",
                meta={"run": run.number},
                line=line | {"width": width},
                marker={"color": colour(run.number), "symbol": "circle" if width > 2 else "circle-open"},
                hovertemplate=shown,
            )
            if width > 2 and run.best_epoch in epochs:
                figure.add_scatter(
                    x=[run.best_epoch],
                    y=[values[epochs.index(run.best_epoch)]],
                    mode="markers",
                    name=f"{name}, chosen epoch",
                    meta={"run": run.number},
                    marker={"color": colour(run.number), "size": 9, "symbol": _symbol(run.number)},
                    hoverinfo="skip",
                )
    epochs = [row["epoch"] for run in (*runs, *others) for row in run.record.history]
    figure.update_xaxes(unifiedhovertitle={"text": "epoch %{x}"}, spikethickness=1, **whole_epochs(epochs))
    few = len(runs) <= UNIFIED and not others
    nearest = {"hovermode": "x unified", "hoverdistance": -1} if few else {"hovermode": "closest"}  # -1: however far
    figure.update_layout(**nearest, hoverlabel_namelength=-1)
    return figure


def _background(runs: Sequence[Run], column: str, scale: float) -> dict:
    """One trace with a line a run; a gap where the next one begins."""
    x, y, text = [], [], []
    for run in runs:
        x += [*(row["epoch"] for row in run.record.history), None]
        y += [*(_scaled(row.get(column), scale) for row in run.record.history), None]
        text += [escape(run.label)] * (len(run.record.history) + 1)
    line = {"color": FAINT, "width": 0.8}
    return {"x": x, "y": y, "text": text, "mode": "lines", "name": "other runs", "line": line, "opacity": 0.6}


def whole_epochs(epochs: Sequence[int]) -> dict:
    """Ticks at whole epochs alone, at most ten; of fewer, plotly would set some between them."""
    if not epochs:
        return {}
    first, last = min(epochs), max(epochs)
    return {"tick0": 0, "dtick": _whole_step(last - first)}


def _whole_step(span: int) -> int:
    """1, 2 or 5 times a power of ten, the smallest by which at most ten steps make up `span`."""
    return next(m * 10**power for power in range(12) for m in (1, 2, 5) if 10 * m * 10**power >= span)


def cost(runs: Sequence[Run], quantity: str, split: str = "test") -> go.Figure:
    """Accuracy with its interval over `quantity`: seconds or trainable. Runs on the Pareto front are filled."""
    title = {"seconds": "training time, minutes", "trainable": "trainable parameters"}[quantity]
    figure = frame(title, f"{split} accuracy, %")
    points = [(run, cost_of(run, quantity), run.scores.get(split, SplitScores())) for run in runs]
    points = [(run, x, found) for run, x, found in points if x is not None and found.accuracy is not None]
    scale = 1 / 60 if quantity == "seconds" else 1
    front = pareto([(x, found.accuracy) for _, x, found in points])
    staircase = sorted((points[i][1] * scale, 100 * points[i][2].accuracy) for i in front)
    if len(staircase) > 1:
        xs, ys = zip(*staircase, strict=True)
        line = {"shape": "hv", "color": FAINT, "width": 1.5, "dash": "6px,3px"}
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", name="Pareto front")
    for i, (run, x, found) in enumerate(points):
        figure.add_scatter(
            x=[x * scale],
            y=[100 * found.accuracy],
            error_y=_error_bars([found.accuracy], [found.interval]),
            mode="markers",
            name=escape(run.label),
            meta={"run": run.number},
            marker={
                "color": colour(run.number),
                "size": 10,
                "symbol": _symbol(run.number) + ("" if i in front else "-open"),
                "line": {"width": 2, "color": colour(run.number)},
            },
            hovertemplate=("%{x:.3~g} min" if quantity == "seconds" else "%{x:,} parameters")
            + f"<br>{split} accuracy %{{y:.2f}} % {_interval(found.interval)}"
            + ("<br>on the Pareto front" if i in front else ""),
        )
    values = [x for _, x, _ in points]
    if values and min(values) > 0 and max(values) > 20 * min(values):
        figure.update_xaxes(type="log")
    else:
        figure.update_xaxes(rangemode="tozero")
    figure.update_layout(hovermode="closest", hoverlabel_namelength=-1)
    return figure


def cost_of(run: Run, quantity: str) -> float | None:
    """Seconds of training or trainable parameters, where the run knows them."""
    return run.seconds if quantity == "seconds" else run.total("trainable")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, score) points than which no other is as cheap and as good, and in one of both better."""
    return [
        i
        for i, (cost, score) in enumerate(points)
        if not any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)
    ]


def confusion(scores: SplitScores) -> go.Figure:
    """Rows are the true class, columns the predicted one; shaded by the root of the share of the row."""
    totals = scores.confusion.sum(axis=1)
    shares = [
        [round(100 * int(count) / int(total), 1) if total else None for count in row]
        for row, total in zip(scores.confusion, totals, strict=True)
    ]
    return matrix(
        [score.name for score in scores.classes] or list(map(str, range(len(scores.confusion)))),
        z=shares,
        text=scores.confusion.tolist(),
        zmin=0,
        zmax=100,
        colorscale=[[share, tint(style.BLUE, DARKEST * math.sqrt(share))] for share in _SHARES],
        hovertemplate="true %{y}<br>predicted %{x}<br>%{text:,} images, %{z} % of the row<extra></extra>",
    )


def matrix(classes: Sequence[str], **heatmap) -> go.Figure:
    """A chart of a number for each true and each predicted class; `heatmap` as plotly takes it, printing its text."""
    few = len(classes) <= READABLE_COUNTS
    names = [escape(name) for name in short(classes, LABEL if few else LABEL_OF_MANY)]
    gap = 1 if few else 0
    figure = frame("predicted", "true")
    figure.add_heatmap(
        x=names, y=names, showscale=False, texttemplate="%{text}" if few else None, xgap=gap, ygap=gap, **heatmap
    )
    ticks = {"type": "category", "showgrid": False, "automargin": True, "tickfont": {"size": 11 if few else 9}}
    figure.update_xaxes(**ticks, tickangle=-45 if few else -90)
    figure.update_yaxes(**ticks, autorange="reversed")
    return figure


def tint(colour: str, opacity: float) -> str:
    """#rrggbb that lets the page shine through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3f})"


def class_scores(runs: Sequence[Run]) -> go.Figure:
    """Recall of every class with its interval, the runs side by side in each class."""
    names = list(dict.fromkeys(score.name for run in runs for score in run.result.classes))
    figure = frame("recall, %", "")
    for place, run in enumerate(runs):
        rows = [score for score in run.result.classes if score.recall is not None and score.support]
        shift = 0.7 * ((place + 0.5) / len(runs) - 0.5)
        figure.add_scatter(
            x=[100 * score.recall for score in rows],
            y=[names.index(score.name) + shift for score in rows],
            error_x=_error_bars([score.recall for score in rows], [score.interval for score in rows]),
            customdata=[[escape(score.name), _interval(score.interval), score.support] for score in rows],
            mode="markers",
            name=escape(run.label),
            meta={"run": run.number},
            marker={"color": colour(run.number), "size": 6 if len(runs) > 2 else 7, "symbol": _symbol(run.number)},
            hovertemplate="%{customdata[0]}: recall %{x:.1f} % %{customdata[1]}, %{customdata[2]:,} images",
        )
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[escape(name) for name in short(names)],
        range=[len(names) - 0.5, -0.5],
        automargin=True,
    )
    figure.update_xaxes(side="top")
    figure.update_layout(
        hovermode="closest",
        height=70 + len(names) * max(24, 8 * len(runs)),
        margin={"t": 44, "b": 8},
        hoverlabel_namelength=-1,
    )
    return figure


def reliability(runs: Sequence[tuple[Run, SplitScores]]) -> go.Figure:
    """Accuracy over confidence, a point a bin with the interval that its images give; the diagonal is calibrated."""
    figure = frame("confidence, %", "accuracy, %")
    diagonal = {"color": FAINT, "width": 1.5, "dash": "6px,3px"}
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line=diagonal, hoverinfo="skip", name="calibrated")
    for run, scores in runs:
        found = scores.calibration
        bins = [
            (100 * c, a, n)
            for c, a, n in zip(found.confidence, found.accuracy, found.counts, strict=True)
            if n and c is not None and a is not None
        ]
        if not bins:
            continue
        x, accuracy, counts = zip(*bins, strict=True)
        intervals = [wilson(min(round(a * n), n), n) for a, n in zip(accuracy, counts, strict=True)]
        figure.add_scatter(
            x=_rounded(x),
            y=[_scaled(a, 100) for a in accuracy],
            error_y=_error_bars(accuracy, intervals),
            customdata=counts,
            mode="lines+markers",
            name=escape(run.label),
            meta={"run": run.number},
            line={"color": colour(run.number), "dash": dash(run.number), "width": 1.6},
            marker={"color": colour(run.number), "size": 6, "symbol": _symbol(run.number)},
            hovertemplate="confidence %{x:.1f} %, right %{y:.1f} %, %{customdata:,} images",
        )
    figure.update_xaxes(range=[0, 101])
    figure.update_yaxes(range=[0, 101])
    figure.update_layout(hovermode="closest", hoverlabel_namelength=-1)
    return figure


def short(names: Sequence[str], limit: int = LABEL) -> list[str]:
    """Names of about `limit` characters, shortened in the middle where they are longer; equal ones get numbers."""
    kept = limit // 2
    cut = [name if len(name) <= limit else f"{name[:kept]}…{name[-kept:]}" for name in names]
    return [f"{name} ({i})" if cut.count(name) > 1 else name for i, name in enumerate(cut)]


def frame(x: str, y: str) -> go.Figure:
    """An empty chart with the titles of its axes."""
    axis = {"zeroline": False, "automargin": True, "ticks": "", "title": {"standoff": 8}}
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "margin": {"l": 44, "r": 10, "t": 10, "b": 36},
            "font": {"family": "system-ui, sans-serif", "size": 12},
            "hoverlabel": {"font": {"family": "system-ui, sans-serif"}, "align": "left"},
            "showlegend": False,
            "xaxis": axis | {"title": {"text": x, "standoff": 8}},
            "yaxis": axis | {"title": {"text": y, "standoff": 8}},
        }
    )


def _symbol(run: int) -> str:
    return SYMBOLS[run // len(PALETTE) % len(SYMBOLS)]


def _scaled(value: float | None, scale: float) -> float | None:
    return round(value * scale, 5) if number(value) is not None else None


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 5) for value in values]


def _error_bars(values: Sequence[float], intervals: Sequence[tuple[float, float] | None]) -> dict:
    ends = [interval or (value, value) for value, interval in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": _rounded([100 * (high - value) for value, (_, high) in zip(values, ends, strict=True)]),
        "arrayminus": _rounded([100 * (value - low) for value, (low, _) in zip(values, ends, strict=True)]),
        "thickness": 1.2,
        "width": 0,
    }


def _interval(interval: tuple[float, float] | None) -> str:
    return f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
