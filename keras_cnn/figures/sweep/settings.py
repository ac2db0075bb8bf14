"""Pictures of a sweep's settings: what they do to a metric, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from keras_cnn.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HEADER,
    INK,
    ORANGE,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
    text_width,
)
from keras_cnn.figures.sweep.parts import (
    BLUES,
    MOST_LABELS,
    as_number,
    as_text,
    beside_legend,
    caption_height,
    is_logarithmic,
    is_numeric,
    scale_axis,
    write_caption,
)

_SERIES = (("train", GREY, "s"), ("validation", BLUE, "o"), ("test", ORANGE, "D"))  # split, colour, marker
_ROW = 0.23  # inches of a row of a chart of rows
_LABEL = 1.9  # inches for the names of rows
_MOST_PRINTED = 40  # cells of a surface whose predictions are printed


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
    height = HEADER + len(names) * _ROW + 0.55 + caption_height(caption)
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
    write_caption(figure, caption)
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
    figure = new_figure(WIDTH, 3.3 + caption_height(caption), title)
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
    write_caption(figure, caption)
    return figure


@styled
def cell_means(
    names: tuple[str, str], levels: tuple[Sequence[str], Sequence[str]], means: np.ndarray, title: str, caption: str
):
    """A mean for each pair of levels of two factors (R, C), printed in its cell; NaN is an empty cell."""
    rows, columns = means.shape
    figure = new_figure(WIDTH, HEADER + 0.8 + max(2, rows) * 0.42 + caption_height(caption), title)
    ax = figure.add_subplot()
    _heat(ax, means, names, levels, tall=0.42 * rows + 0.6)
    room = 0.9 * (WIDTH - 1.6) / columns
    finite = means[np.isfinite(means)]
    middle = (finite.min() + finite.max()) / 2 if len(finite) else 0
    for i, j in np.ndindex(*means.shape):
        if np.isfinite(means[i, j]):
            text, colour = _fitting(means[i, j], room), "white" if means[i, j] > middle else INK
            ax.text(j, i, text, ha="center", va="center", fontsize=SMALL_SIZE, color=colour)
    write_caption(figure, caption)
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
    figure = new_figure(WIDTH, 3.1 + caption_height(caption), title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    look = {split: {"color": colour, "linestyle": "-"} for split, colour, _ in _SERIES}
    look["train"]["linestyle"] = (0, (3, 1.2))
    look |= {"clipped": {"color": GREEN}, "unclipped": {"color": GREEN, "linestyle": ":"}}
    marker = {"marker": "o", "markersize": 3} if len(epochs) <= MOST_LABELS else {}
    for ax, (name, lines) in zip(axes, panels, strict=True):
        for label, numbers in lines.items():
            ax.plot(epochs, numbers, label=label, **look[label], **marker)
        ax.set_title(f"mean {name}")
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.grid(axis="y")
        ax.legend(loc="best")
    write_caption(figure, caption)
    return figure


@styled
def intervals(
    rows: Sequence[Row],
    axis: str,
    title: str,
    caption: str,
    zero: bool = False,
    other: str = "",
    value_name: str = "other settings held",
):
    """Values with their intervals, from the top down, one group of rows after the other; `zero` draws a line at 0.

    `value_name` and `other` name the filled and the hollow marks.
    """
    groups = list(dict.fromkeys(row.group for row in rows))
    height = HEADER + (len(rows) + 0.9 * len(groups)) * _ROW + 0.6 + caption_height(caption)
    figure = new_figure(WIDTH, height, beside_legend(title, 3.5))
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
    ax.plot(value, at, linestyle="", marker="o", markersize=4.5, color=BLUE, label=value_name)
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
    write_caption(figure, caption)
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
    figure = new_figure(WIDTH, 4.4 + caption_height(caption), title)
    ax = figure.add_subplot()
    if all(len(v) > MOST_LABELS and is_numeric(v) for v in values):
        drawn = ax.contourf(values[0], values[1], predicted.T, levels=12, cmap=BLUES)
        look = {"marker": "o", "markersize": 4, "color": ORANGE, "markeredgecolor": "white", "clip_on": False}
        ax.plot(runs[0], runs[1], linestyle="", **look)
        for axis, numbers in ((ax.xaxis, values[0]), (ax.yaxis, values[1])):
            scale_axis(axis, is_logarithmic(numbers))
        ax.set_xlabel(fit(names[0], TEXT_SIZE, 5))
        ax.set_ylabel(fit(names[1], TEXT_SIZE, 3.4))
    else:
        drawn = _heat(
            ax, predicted.T, (names[1], names[0]), tuple([as_text(v) for v in one] for one in values[::-1]), tall=3.4
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
    write_caption(figure, caption)
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
    figure = new_figure(WIDTH, HEADER + panel + across + 0.3 + caption_height(caption), title)
    ax = figure.add_subplot()
    low, high = np.nanmin(shown), np.nanmax(shown)
    ax.imshow(shown, cmap=BLUES, vmin=min(0, low), vmax=max(1, high), aspect="equal")
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
    write_caption(figure, caption)
    return figure


def _nearest_places(levels: Sequence[Any], values: Sequence[Any]) -> np.ndarray:
    """(N,) the place of each value among the levels; of a quantity, of the level nearest to it."""
    if is_numeric(levels):
        return np.array([int(np.argmin(np.abs(np.asarray(levels, float) - float(v)))) for v in values], float)
    texts = [as_text(level) for level in levels]
    return np.array([texts.index(as_text(value)) for value in values], float)


def _heat(
    ax: Axes, means: np.ndarray, names: tuple[str, str], levels: tuple[Sequence[str], Sequence[str]], tall: float
):
    drawn = ax.imshow(means, cmap=BLUES, aspect="auto")
    rows, columns = means.shape
    steps = [max(1, math.ceil(n / MOST_LABELS)) for n in (rows, columns)]
    room = (WIDTH - 1.8) / min(columns, MOST_LABELS)
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


def _fitting(value: float, room: float) -> str:
    """The number with as many digits as fit, four at most; nothing where not even two do."""
    texts = [as_number(value), *(f"{value:.{digits}g}" for digits in (3, 2))]
    return next((text for text in texts if text_width(text, SMALL_SIZE) <= room), "")
