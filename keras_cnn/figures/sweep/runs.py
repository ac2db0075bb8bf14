"""Pictures of a sweep's runs: its progress, what each run has and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_cnn.figures.style import (
    BLUE,
    GREY,
    INK,
    MARGIN,
    ORANGE,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
)
from keras_cnn.figures.sweep.parts import (
    BLUES,
    FEW,
    as_number,
    as_text,
    beside_legend,
    is_logarithmic,
    is_numeric,
    scale_axis,
)

_FAN = 0.05  # of an axis of parallel coordinates


@dataclass(frozen=True)
class Panel:
    """Points of one panel: what they cost or where they are, and which of them are marked."""

    name: str  # of the horizontal axis
    x: Sequence[Any]  # (N,) numbers or texts
    y: Sequence[float]  # (N,)
    marked: Sequence[bool]  # (N,)
    logarithmic: bool = False


@styled
def progress(created: Sequence[np.datetime64], values: Sequence[float], best: Sequence[float], metric: str, title: str):
    """Each run's metric at the time of its creation, and the best so far as steps. Times rise."""
    figure = new_figure(WIDTH, 3.3, beside_legend(title))
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
    ax.add_collection(LineCollection(lines[order], colors=BLUES(0.15 + 0.85 * colours[order]), linewidths=1.1))
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
def fronts(panels: Sequence[Panel], metric: str, title: str):
    """A metric against each cost; runs on the Pareto front are joined."""
    figure, axes = _point_panels(panels, metric, beside_legend(title))
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


@dataclass(frozen=True)
class _Scale:
    """Places of values in [0, 1] along an axis, and the ticks that name some."""

    at: np.ndarray  # (N,)
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, values: Sequence[Any]) -> "_Scale":
        if not is_numeric(values):
            levels = sorted(dict.fromkeys(map(as_text, values)))
            step = 1 / max(1, len(levels) - 1)
            places = {level: (i * step if len(levels) > 1 else 0.5) for i, level in enumerate(levels)}
            return cls(np.array([places[as_text(value)] for value in values]), tuple((p, n) for n, p in places.items()))
        numbers = np.asarray(values, float)
        if not is_logarithmic(numbers):
            return cls.linear(numbers)
        low, high = np.log(numbers.min()), np.log(numbers.max())
        marks = np.unique(numbers)
        if len(marks) > FEW:
            marks = np.array([float(f"{m:.2g}") for m in np.geomspace(numbers.min(), numbers.max(), 5)])
        places = (np.log(marks) - low) / (high - low)
        return cls((np.log(numbers) - low) / (high - low), tuple(zip(places, map(as_number, marks), strict=True)))

    @classmethod
    def linear(cls, numbers: np.ndarray) -> "_Scale":
        low, width = numbers.min(), np.ptp(numbers)
        if not width:
            return cls(np.full(len(numbers), 0.5), ((0.5, as_number(low)),))
        marks = np.unique(numbers)
        if len(marks) > FEW:
            marks = MaxNLocator(5).tick_values(low, low + width)
            marks = marks[(marks >= low) & (marks <= low + width)]
        return cls((numbers - low) / width, tuple(zip((marks - low) / width, map(as_number, marks), strict=True)))


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
        if is_numeric(panel.x):
            scale_axis(ax.xaxis, panel.logarithmic)
            if len(values := sorted(set(panel.x))) <= FEW:
                ax.set_xticks(values, [as_number(value) for value in values])
        else:
            levels = sorted(dict.fromkeys(map(as_text, panel.x)))
            shown = [fit(level, SMALL_SIZE, 0.85 * (WIDTH - 0.8) / len(panels) / len(levels)) for level in levels]
            ax.set_xticks(range(len(levels)), shown)
            ax.set_xlim(-0.5, len(levels) - 0.5)
        ax.set_xlabel(fit(panel.name, TEXT_SIZE, (WIDTH - 0.8) / len(panels)))
        ax.grid(axis="y")
    axes[0].set_title(fit(metric, TEXT_SIZE, (WIDTH - 0.8) / len(panels)))
    return figure, list(axes)


def _places(values: Sequence[Any]) -> np.ndarray:
    if is_numeric(values):
        return np.asarray(values, float)
    levels = sorted(dict.fromkeys(map(as_text, values)))
    return np.array([levels.index(as_text(value)) for value in values], float)
