"""Convergence of several recipes: validation accuracy against epochs and against training time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from keras_cnn.figures.style import BLUE, GREEN, INK, ORANGE, SMALL_SIZE, WIDTH, fit, new_figure, styled, text_width

# Okabe and Ito's palette, its yellow darkened to be seen on white.
COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#b8860b", INK)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_MARKED_EPOCHS = 12  # largest number of epochs that are marked with dots
_LEGEND_KEY = 0.7  # inches of the line before a text of the legend
_LEGEND_ROW = 0.18  # inches
_OCTAVES = 4  # ratio of the longest to the shortest training from which the time axis is logarithmic
_MINUTES = 600  # seconds from which times are in minutes


@dataclass(frozen=True)
class Line:
    """A recipe trained with S seeds for E epochs; `colour` and `dash` are indices that related recipes share."""

    label: str
    accuracy: np.ndarray  # (S, E) on validation, after each epoch
    seconds: np.ndarray  # (S, E) from the start of the training to the end of each epoch
    colour: int
    dash: int = 0


@styled
def convergence(lines: Sequence[Line], title: str) -> Figure:
    """The mean over the seeds of each recipe, with a band from the lowest to the highest seed.

    The left panel is by epoch, the right one by the mean time of each epoch over the seeds.

    Raises ValueError without lines, and for a line whose arrays differ in shape or are empty.
    """
    if not lines:
        raise ValueError("no lines; expected at least one recipe")
    for line in lines:
        if line.accuracy.ndim != 2 or not line.accuracy.size or line.accuracy.shape != line.seconds.shape:
            raise ValueError(
                f"{line.label}: accuracies {line.accuracy.shape} and seconds {line.seconds.shape}; "
                "expected (seeds, epochs), at least one of each"
            )
    labels = [fit(line.label, SMALL_SIZE, WIDTH - 1) for line in lines]
    columns = max(1, int((WIDTH - 0.2) / (_LEGEND_KEY + max(text_width(label, SMALL_SIZE) for label in labels))))
    rows = math.ceil(len(lines) / columns)
    figure = new_figure(WIDTH, 3.3 + _LEGEND_ROW * rows, title)
    left, right = figure.subplots(1, 2, sharey=True)
    last = [line.seconds[:, -1].mean() for line in lines]
    unit, scale = ("minutes", 60) if max(last) >= _MINUTES else ("seconds", 1)
    for line, label in zip(lines, labels, strict=True):
        epochs = np.arange(1, line.accuracy.shape[1] + 1)
        _draw(left, epochs, line, label)
        _draw(right, line.seconds.mean(axis=0) / scale, line, label)
    left.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    left.set_xlabel("epoch")
    left.set_title("validation accuracy by epoch")
    logarithmic = max(last) >= _OCTAVES * min(last)
    if logarithmic:
        right.set_xscale("log")
        right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        right.xaxis.set_minor_locator(NullLocator())
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:.3g}"))
    right.set_xlabel(f"{unit} of training{' (logarithmic)' if logarithmic else ''}")
    right.set_title("by time")
    for ax in (left, right):
        ax.grid(axis="y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=columns, handlelength=3.2)
    return figure


def _draw(ax: Axes, x: np.ndarray, line: Line, label: str) -> None:
    look = {"color": COLOURS[line.colour % len(COLOURS)], "linestyle": DASHES[line.dash % len(DASHES)]}
    marker = "o" if len(x) <= _MARKED_EPOCHS else None
    ax.plot(x, line.accuracy.mean(axis=0), label=label, marker=marker, markersize=3, **look)
    if len(line.accuracy) > 1:
        ends = (line.accuracy.min(axis=0), line.accuracy.max(axis=0))
        ax.fill_between(x, *ends, color=look["color"], alpha=0.15, linewidth=0)
