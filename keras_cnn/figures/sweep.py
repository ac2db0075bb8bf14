"""Pictures of a sweep: its progress, what its settings do, and what its runs cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from keras_cnn.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    POINT,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    styled,
    text_width,
)

_SERIES = (("train", GREY, "s"), ("validation", BLUE, "o"), ("test", ORANGE, "D"))  # split, colour, marker
# Light to dark, so that it prints and its text can be told apart from its ground at both ends.
_BLUES = LinearSegmentedColormap.from_list("blues", ["#eef4fa", "#7fb3d8", "#0072b2", "#00395a"])
_LINE = 1.45 * SMALL_SIZE * POINT  # inches from one line of small text to the next
_ROW = 0.23  # inches of a row of a chart of rows
_LABEL = 1.9  # inches for the names of rows
_FAN = 0.05  # of an axis of parallel coordinates
_FEW = 6  # values of a number that are ticks themselves
_MOST_PRINTED = 40  # cells of a surface whose predictions are printed
_MOST_LABELS = 12  # levels along an axis whose names are all printed


@dataclass(frozen=True)
class Panel:
    """Points of one panel: what they cost or where they are, and which of them are marked."""

    name: str  # of the horizontal axis
    x: Sequence[Any]  # (N,) numbers or texts
    y: Sequence[float]  # (N,)
    marked: Sequence[bool]  # (N,)
    logarithmic: bool = False


@dataclass(frozen=True)
class Row:
    """One line of a chart of intervals. Values that are NaN are not drawn; `remark` stands in the place of all."""

    group: str
    label: str
    value: float
    low: float
    high: float
    other: float = math.nan  # drawn hollow
    remark: str = ""


@styled
def progress(created: Sequence[np.datetime64], values: Sequence[float], best: Sequence[float], metric: str, title: str):
    """Each run's metric at the time of its creation, and the best so far as steps. Times rise."""
    figure = new_figure(WIDTH, 3.3, _beside_legend(title))
    ax = figure.add_subplot()
    times = np.asarray(created, "datetime64[ms]")
    ax.plot(times, best, color=ORANGE, drawstyle="steps-post", label="best so far", linewidth=1.2)
    ax.plot(times, values, color=BLUE, marker="o", markersize=4, linestyle="", alpha=0.8, label="run")
    if len(np.unique(times)) == 1:
        ax.set_xlim(times[0] - np.timedelta64(30, "m"), times[0] + np.timedelta64(30, "m"))
    locator = AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_xlabel("created (UTC)")
    ax.set_title(fit(metric, TEXT_SIZE, WIDTH - 1))
    ax.grid(axis="y")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


@styled
def parallel_coordinates(columns: Mapping[str, Sequence[Any]], values: Sequence[float], metric: str, title: str):
    """One line a run through its settings, to its metric on the last axis, which also gives the colour.

    `columns` maps each setting to its (N,) values. Numbers stand at their place, on a logarithmic scale where the
    largest is four times the smallest or more; texts and truth values are spaced evenly. The run with the highest
    metric of all is drawn over the others.
    """
    values = np.asarray(values, float)
    axes = [_Scale.of(column) for column in columns.values()] + [_Scale.linear(values)]
    names = [*columns, metric]
    figure = new_figure(WIDTH, 3.9, title, layout=None)
    ax = figure.add_axes((0.06, 0.12, 0.88, 0.70))
    lines = np.stack([np.column_stack([np.arange(len(axes)), row]) for row in np.column_stack([a.at for a in axes])])
    order = np.argsort(values, kind="stable")
    colours = Normalize(values.min(), values.max())(values)
    lines[:, :-1, 1] += _FAN * (colours[:, None] - 0.5)  # runs with the same value lie apart, the better ones higher
    ax.add_collection(LineCollection(lines[order], colors=_BLUES(0.15 + 0.85 * colours[order]), linewidths=1.1))
    ax.add_collection(LineCollection(lines[order[-1:]], colors=[ORANGE], linewidths=2.2))
    ax.set_xlim(0, len(axes) - 1)
    ax.set_ylim(-0.04, 1.04)
    ax.axis("off")
    room = 0.88 * WIDTH / max(1, len(axes) - 1)
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        ax.axvline(i, color=GREY, linewidth=0.8, zorder=3)
        _parallel_axis(ax, i, len(axes), name, axis, room)
    figure.text(MARGIN / WIDTH, 0.02, "orange: the run that ends highest", fontsize=SMALL_SIZE, color=GREY)
    return figure


@styled
def importances(
    names: Sequence[str],
    importance: Sequence[float],
    importance_interval: np.ndarray,
    correlation: Sequence[float],
    correlation_interval: np.ndarray,
    title: str,
    caption: str,
):
    """Importance and correlation of each input side by side, with their intervals (2, P); inputs from the top down."""
    height = HEADER + len(names) * _ROW + 0.55 + _caption_height(caption)
    figure = new_figure(WIDTH, height, title)
    left, right = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(names))
    left.barh(at, importance, height=0.62, color=BLUE, alpha=0.85)
    right.barh(at, np.nan_to_num(correlation), height=0.62, color=[GREEN if c >= 0 else ORANGE for c in correlation])
    for ax, ends in ((left, importance_interval), (right, correlation_interval)):
        ax.hlines(at, ends[0], ends[1], color=INK, linewidth=1)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    left.set_yticks(at, [fit(name, SMALL_SIZE, _LABEL) for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_xlim(left=0)
    right.set_xlim(-1.02, 1.02)
    right.axvline(0, color=GREY, linewidth=0.8)
    left.set_title("importance")
    right.set_title("correlation")
    _caption(figure, caption)
    return figure


@styled
def level_means(
    name: str,
    levels: Sequence[str],
    accuracies: Mapping[str, Sequence[float]],
    overfit: Mapping[str, Sequence[float]],
    title: str,
    caption: str,
):
    """Mean accuracies by level of a factor, {"train": (K,), ...}, and overfit% beside them, {"clipped": (K,), ...}."""
    figure = new_figure(WIDTH, 3.3 + _caption_height(caption), title)
    panels = figure.subplots(1, 2 if overfit else 1, squeeze=False)[0]
    at = np.arange(len(levels))
    for split, colour, marker in _SERIES:
        if split in accuracies:
            panels[0].plot(at, accuracies[split], color=colour, marker=marker, markersize=5, label=split)
    panels[0].set_title("mean accuracy")
    if overfit:
        looks = {"clipped": {"mfc": GREEN}, "unclipped": {"mfc": "white", "linestyle": (0, (3, 1.5))}}
        for kind, numbers in overfit.items():
            panels[1].plot(at, numbers, color=GREEN, marker="o", markersize=5, label=kind, **looks[kind])
        panels[1].set_title("mean overfit%")
    for ax in panels:
        ax.set_xticks(at, [fit(text, SMALL_SIZE, 0.8 * 3.1 / len(levels)) for text in levels])
        ax.set_xlim(-0.4, len(levels) - 0.6)
        ax.set_xlabel(fit(name, TEXT_SIZE, 3))
        ax.grid(axis="y")
        ax.margins(y=0.12)
        ax.legend(loc="best")
    _caption(figure, caption)
    return figure


@styled
def cell_means(
    names: tuple[str, str], levels: tuple[Sequence[str], Sequence[str]], means: np.ndarray, title: str, caption: str
):
    """A mean for each pair of levels of two factors (R, C), printed in its cell; NaN is an empty cell."""
    rows, columns = means.shape
    figure = new_figure(WIDTH, HEADER + 0.8 + max(2, rows) * 0.42 + _caption_height(caption), title)
    ax = figure.add_subplot()
    _heat(ax, means, names, levels, tall=0.42 * rows + 0.6)
    room = 0.9 * (WIDTH - 1.6) / columns
    finite = means[np.isfinite(means)]
    middle = (finite.min() + finite.max()) / 2 if len(finite) else 0
    for i, j in np.ndindex(*means.shape):
        if np.isfinite(means[i, j]):
            text, colour = _fitting(means[i, j], room), "white" if means[i, j] > middle else INK
            ax.text(j, i, text, ha="center", va="center", fontsize=SMALL_SIZE, color=colour)
    _caption(figure, caption)
    return figure


@styled
def epoch_means(
    epochs: Sequence[float],
    losses: Mapping[str, Sequence[float]],
    accuracies: Mapping[str, Sequence[float]],
    overfit: Mapping[str, Sequence[float]],
    title: str,
    caption: str,
):
    """Mean loss, accuracies and overfit% of all runs at each epoch; a panel for each that is there."""
    panels = [pair for pair in (("loss", losses), ("accuracy", accuracies), ("overfit%", overfit)) if pair[1]]
    figure = new_figure(WIDTH, 3.1 + _caption_height(caption), title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    look = {split: {"color": colour, "linestyle": "-"} for split, colour, _ in _SERIES}
    look["train"]["linestyle"] = (0, (3, 1.2))
    look |= {"clipped": {"color": GREEN}, "unclipped": {"color": GREEN, "linestyle": ":"}}
    marker = {"marker": "o", "markersize": 3} if len(epochs) <= _MOST_LABELS else {}
    for ax, (name, lines) in zip(axes, panels, strict=True):
        for label, numbers in lines.items():
            ax.plot(epochs, numbers, label=label, **look[label], **marker)
        ax.set_title(f"mean {name}")
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.grid(axis="y")
        ax.legend(loc="best")
    _caption(figure, caption)
    return figure


@styled
def intervals(rows: Sequence[Row], axis: str, title: str, caption: str, zero: bool = False, other: str = ""):
    """Values with their intervals, from the top down, one group of rows after the other; `zero` draws a line at 0."""
    groups = list(dict.fromkeys(row.group for row in rows))
    height = HEADER + (len(rows) + 0.9 * len(groups)) * _ROW + 0.6 + _caption_height(caption)
    figure = new_figure(WIDTH, height, _beside_legend(title, 3.5))
    ax = figure.add_subplot()
    at = np.array([i + 0.9 * groups.index(row.group) for i, row in enumerate(rows)])
    value, low, high, plain = (np.array([getattr(row, n) for row in rows]) for n in ("value", "low", "high", "other"))
    plain[[bool(row.remark) for row in rows]] = np.nan  # the remark says that they mislead
    drawn = np.isfinite(low)
    ax.hlines(at[drawn], low[drawn], high[drawn], color=BLUE, linewidth=1.6)
    if zero:
        ax.axvline(0, color=GREY, linewidth=0.8)
    if np.isfinite(plain).any():
        ax.plot(
            plain, at, linestyle="", marker="o", markersize=6, mfc="white", mec=GREY, label=fit(other, SMALL_SIZE, 2)
        )
    ax.plot(value, at, linestyle="", marker="o", markersize=4.5, color=BLUE, label="other settings held")
    ax.set_ylim(at[-1] + 0.8, -1.5)
    ax.set_yticks(at, [fit(row.label, SMALL_SIZE, _LABEL - 0.2) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(fit(axis, TEXT_SIZE, WIDTH - _LABEL))
    ax.grid(axis="x")
    _keep_in_view(ax, np.concatenate([value, plain, [0.0] if zero else []]), low, high)
    for group in groups:
        first = min(place for place, row in zip(at, rows, strict=True) if row.group == group)
        ax.text(
            -0.012,
            first - 0.92,
            fit(group, SMALL_SIZE, _LABEL),
            transform=ax.get_yaxis_transform(),
            fontsize=SMALL_SIZE,
            color=INK,
            fontweight="bold",
            ha="right",
            va="center",
        )
        if first > at[0]:
            ax.axhline(first - 1.35, color=FAINT, linewidth=0.8)
    for place, row in zip(at, rows, strict=True):
        if row.remark:
            ax.text(
                0.01,
                place,
                fit(row.remark, SMALL_SIZE, WIDTH - _LABEL - 0.4),
                transform=ax.get_yaxis_transform(),
                fontsize=SMALL_SIZE,
                color=ORANGE,
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    _caption(figure, caption)
    return figure


@styled
def fronts(panels: Sequence[Panel], metric: str, title: str):
    """A metric against each cost; runs on the Pareto front are joined."""
    figure, axes = _point_panels(panels, metric, _beside_legend(title))
    for ax, panel in zip(axes, panels, strict=True):
        marked = np.asarray(panel.marked, bool)
        x, y = np.asarray(panel.x, float)[marked], np.asarray(panel.y, float)[marked]
        order = np.argsort(x, kind="stable")
        look = {"color": ORANGE, "linewidth": 1.1, "markersize": 5}
        ax.plot(x[order], y[order], marker="o", drawstyle="steps-post", label="Pareto front", **look)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right")
    return figure


@styled
def slices(panels: Sequence[Panel], metric: str, title: str):
    """A metric against the values of each setting, a point a run; the line joins the means of repeated values."""
    figure, axes = _point_panels(panels, metric, title)
    for ax, panel in zip(axes, panels, strict=True):
        places = _places(panel.x)
        levels, which = np.unique(places, return_inverse=True)
        if 2 * len(levels) <= len(places):
            means = np.bincount(which, np.asarray(panel.y, float)) / np.bincount(which)
            ax.plot(levels, means, color=INK, linewidth=1, marker="_", markersize=12, label="mean")
    return figure


@styled
def surface(
    names: tuple[str, str],
    values: tuple[Sequence[Any], Sequence[Any]],
    predicted: np.ndarray,
    runs: tuple[Sequence[Any], Sequence[Any]],
    metric: str,
    title: str,
    caption: str,
):
    """A metric predicted over two settings, (A, B) at their `values`, with the runs as dots at theirs (N,).

    Contours where both settings are quantities, else a cell for each pair of values, its prediction printed.
    """
    figure = new_figure(WIDTH, 4.4 + _caption_height(caption), title)
    ax = figure.add_subplot()
    if all(len(v) > _MOST_LABELS and _is_numeric(v) for v in values):
        drawn = ax.contourf(values[0], values[1], predicted.T, levels=12, cmap=_BLUES)
        look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white", "clip_on": False}
        ax.plot(runs[0], runs[1], linestyle="", **look)
        for axis, numbers in ((ax.xaxis, values[0]), (ax.yaxis, values[1])):
            _scale_axis(axis, _is_logarithmic(numbers))
        ax.set_xlabel(fit(names[0], TEXT_SIZE, 5))
        ax.set_ylabel(fit(names[1], TEXT_SIZE, 3.4))
    else:
        drawn = _heat(
            ax, predicted.T, (names[1], names[0]), tuple([_text(v) for v in one] for one in values[::-1]), tall=3.4
        )
        places = [_nearest_places(level, found) for level, found in zip(values, runs, strict=True)]
        ax.invert_yaxis()  # numbers rise upwards
        if predicted.size <= _MOST_PRINTED:
            middle = (predicted.min() + predicted.max()) / 2
            for i, j in np.ndindex(*predicted.shape):
                colour = "white" if predicted[i, j] > middle else INK
                ax.text(
                    i, j + 0.36, f"{predicted[i, j]:.3g}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour
                )
        spread = 0.18 * np.random.default_rng(0).uniform(-1, 1, (2, len(places[0])))  # runs of one cell lie apart
        ax.plot(
            places[0] + spread[0],
            places[1] + spread[1],
            linestyle="",
            marker="o",
            markersize=4,
            color=ORANGE,
            markeredgecolor="white",
        )
    figure.colorbar(drawn, ax=ax, label=fit(metric, TEXT_SIZE, 3), shrink=0.85)
    _caption(figure, caption)
    return figure


@styled
def pair_counts(factors: Sequence[str], levels: Sequence[str], counts: np.ndarray, title: str, caption: str):
    """How many runs have each pair of levels (L, L); `factors` and `levels` name the rows, which are the columns too.

    Pairs of levels of one factor are left out: a run has one level of each.
    """
    factors = list(factors)
    side = len(levels)
    same = np.array([[a == b for b in factors] for a in factors])
    shown = np.where(same, np.nan, counts.astype(float))
    labels = [f"{factor} {level}" for factor, level in zip(factors, levels, strict=True)]
    panel = min(WIDTH - _LABEL - 0.2, max(2.2, 0.36 * side))
    across = max(text_width(fit(label, SMALL_SIZE, 1.5), SMALL_SIZE) for label in labels)
    figure = new_figure(WIDTH, HEADER + panel + across + 0.3 + _caption_height(caption), title)
    ax = figure.add_subplot()
    low, high = np.nanmin(shown), np.nanmax(shown)
    ax.imshow(shown, cmap=_BLUES, vmin=min(0, low), vmax=max(1, high), aspect="equal")
    ax.set_xticks(np.arange(side), [fit(label, SMALL_SIZE, 1.5) for label in labels], rotation=90)
    ax.set_yticks(np.arange(side), [fit(label, SMALL_SIZE, _LABEL) for label in labels])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for i, j in np.ndindex(side, side):
        if not same[i, j] and side <= 24:
            colour = "white" if shown[i, j] > 0.5 * high else ORANGE if shown[i, j] == 0 else INK
            ax.text(j, i, f"{shown[i, j]:.0f}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour)
    for i in range(1, side):
        if factors[i] != factors[i - 1]:
            ax.axhline(i - 0.5, color="white", linewidth=2)
            ax.axvline(i - 0.5, color="white", linewidth=2)
    _caption(figure, caption)
    return figure


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scale:
    """Places of values in [0, 1] along an axis, and the ticks that name some."""

    at: np.ndarray  # (N,)
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, values: Sequence[Any]) -> "_Scale":
        if not _is_numeric(values):
            levels = sorted(dict.fromkeys(map(_text, values)))
            step = 1 / max(1, len(levels) - 1)
            places = {level: (i * step if len(levels) > 1 else 0.5) for i, level in enumerate(levels)}
            return cls(np.array([places[_text(value)] for value in values]), tuple((p, n) for n, p in places.items()))
        numbers = np.asarray(values, float)
        if not _is_logarithmic(numbers):
            return cls.linear(numbers)
        low, high = np.log(numbers.min()), np.log(numbers.max())
        marks = np.unique(numbers)
        if len(marks) > _FEW:
            marks = np.array([float(f"{m:.2g}") for m in np.geomspace(numbers.min(), numbers.max(), 5)])
        places = (np.log(marks) - low) / (high - low)
        return cls((np.log(numbers) - low) / (high - low), tuple(zip(places, map(_number, marks), strict=True)))

    @classmethod
    def linear(cls, numbers: np.ndarray) -> "_Scale":
        low, width = numbers.min(), np.ptp(numbers)
        if not width:
            return cls(np.full(len(numbers), 0.5), ((0.5, _number(low)),))
        marks = np.unique(numbers)
        if len(marks) > _FEW:
            marks = MaxNLocator(5).tick_values(low, low + width)
            marks = marks[(marks >= low) & (marks <= low + width)]
        return cls((numbers - low) / width, tuple(zip((marks - low) / width, map(_number, marks), strict=True)))


def _parallel_axis(ax: Axes, i: int, count: int, name: str, axis: _Scale, room: float) -> None:
    align = "right" if i == count - 1 else "left"
    for place, text in axis.ticks:
        ax.text(
            i,
            place,
            f" {fit(text, SMALL_SIZE, 0.6 * room)} ",
            ha=align,
            va="center",
            fontsize=SMALL_SIZE - 1,
            color=INK,
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
        )
    names = {"ha": "center" if 0 < i < count - 1 else align, "fontsize": SMALL_SIZE, "color": INK}
    # Names of neighbours stand on two levels, so that each has the room of two.
    wide = 1.3 * room
    ax.text(i, 1.07 + 0.07 * (i % 2), fit(name, SMALL_SIZE, wide), va="bottom", **names)


def _point_panels(panels: Sequence[Panel], metric: str, title: str) -> tuple[Figure, list[Axes]]:
    figure = new_figure(WIDTH, 3.3, title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        marked = np.asarray(panel.marked, bool)
        x = _places(panel.x)
        ax.plot(x[~marked], np.asarray(panel.y)[~marked], linestyle="", marker="o", markersize=4, color=BLUE, alpha=0.7)
        if _is_numeric(panel.x):
            _scale_axis(ax.xaxis, panel.logarithmic)
            if len(values := sorted(set(panel.x))) <= _FEW:
                ax.set_xticks(values, [_number(value) for value in values])
        else:
            levels = sorted(dict.fromkeys(map(_text, panel.x)))
            shown = [fit(level, SMALL_SIZE, 0.85 * (WIDTH - 0.8) / len(panels) / len(levels)) for level in levels]
            ax.set_xticks(range(len(levels)), shown)
            ax.set_xlim(-0.5, len(levels) - 0.5)
        ax.set_xlabel(fit(panel.name, TEXT_SIZE, (WIDTH - 0.8) / len(panels)))
        ax.grid(axis="y")
    axes[0].set_title(fit(metric, TEXT_SIZE, (WIDTH - 0.8) / len(panels)))
    return figure, list(axes)


def _places(values: Sequence[Any]) -> np.ndarray:
    if _is_numeric(values):
        return np.asarray(values, float)
    levels = sorted(dict.fromkeys(map(_text, values)))
    return np.array([levels.index(_text(value)) for value in values], float)


def _nearest_places(levels: Sequence[Any], values: Sequence[Any]) -> np.ndarray:
    """(N,) the place of each value among the levels; of a quantity, of the level nearest to it."""
    if _is_numeric(levels):
        return np.array([int(np.argmin(np.abs(np.asarray(levels, float) - float(v)))) for v in values], float)
    texts = [_text(level) for level in levels]
    return np.array([texts.index(_text(value)) for value in values], float)


def _heat(
    ax: Axes, means: np.ndarray, names: tuple[str, str], levels: tuple[Sequence[str], Sequence[str]], tall: float
):
    drawn = ax.imshow(means, cmap=_BLUES, aspect="auto")
    rows, columns = means.shape
    steps = [max(1, math.ceil(n / _MOST_LABELS)) for n in (rows, columns)]
    room = (WIDTH - 1.8) / min(columns, _MOST_LABELS)
    ax.set_yticks(range(0, rows, steps[0]), [fit(text, SMALL_SIZE, 1.2) for text in levels[0][:: steps[0]]])
    ax.set_xticks(range(0, columns, steps[1]), [fit(text, SMALL_SIZE, 0.9 * room) for text in levels[1][:: steps[1]]])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_ylabel(fit(names[0], TEXT_SIZE, tall))
    ax.set_xlabel(fit(names[1], TEXT_SIZE, 5))
    return drawn


def _keep_in_view(ax: Axes, points: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Limits that hold every point; an interval many times wider than their spread, of a model with hardly a degree of
    freedom, runs out of the picture instead of flattening it."""
    points = points[np.isfinite(points)]
    if not len(points):
        return
    ends = np.concatenate([low, high, points])
    ends = ends[np.isfinite(ends)]
    reach = 4 * (np.ptp(points) or abs(points[0]) or 1)
    left, right = max(ends.min(), points.min() - reach), min(ends.max(), points.max() + reach)
    pad = 0.04 * (right - left) or 0.05
    ax.set_xlim(left - pad, right + pad)


def _scale_axis(axis, logarithmic: bool) -> None:
    if logarithmic:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
        low, high = sorted(axis.get_view_interval())
        subs = (1,) if high > 300 * low else (1, 2, 5) if high > 8 * low else (1, 2, 3, 4, 6, 8)
        axis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: _number(value)))


def _beside_legend(title: str, legend: float = 2.0) -> str:
    """The title as it fits beside a legend of so many inches."""
    return fit(title, TITLE_SIZE, WIDTH - legend - 2 * MARGIN)


def _caption(figure: Figure, caption: str) -> None:
    if caption:
        text = "\n".join(_wrapped(caption))
        figure.supxlabel(text, x=MARGIN / WIDTH, ha="left", fontsize=SMALL_SIZE, color=GREY)


def _caption_height(caption: str) -> float:
    return len(_wrapped(caption)) * _LINE if caption else 0.0


def _wrapped(caption: str) -> list[str]:
    lines = [""]
    for word in printable(caption).split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, SMALL_SIZE) <= WIDTH - 3 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN) for line in lines]


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_) for v in values)


def _is_logarithmic(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) >= 4 * min(values)


def _text(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _fitting(value: float, room: float) -> str:
    """The number with as many digits as fit, four at most; nothing where not even two do."""
    texts = [_number(value), *(f"{value:.{digits}g}" for digits in (3, 2))]
    return next((text for text in texts if text_width(text, SMALL_SIZE) <= room), "")


def _number(value: float) -> str:
    """Short, and in words a reader of axes knows: 25k, 1.5M, 0.0001."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            return f"{value / (1e3 if unit == 'k' else scale):.3g}{unit}"
    return f"{value:.4g}"
