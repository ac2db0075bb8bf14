"""Reliability diagrams: accuracy against confidence."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_cnn.figures.style import BLUE, FAINT, GREY, INK, ORANGE, WIDTH, new_figure, styled

_ONE_WIDTH = 4.8  # inches of a single diagram, in which the legend fits
_COUNT_SIZE = 7  # points; 15 vertical counts fit above their bars in half the width


@styled
def reliability(diagrams: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """Diagrams side by side with their names: accuracy against confidence, and the number of images in each bin.

    A diagram has B bins: `edges` (B + 1,), `counts` (B,), `confidence` (B,), `accuracy` (B,) and the `interval` (B, 2)
    of the accuracy, all but the counts in [0, 1]; values of empty bins are not read. The line from a point to the
    diagonal is the calibration error of the bin: below the diagonal the model is overconfident.

    Source: A. Niculescu-Mizil and R. Caruana, Predicting Good Probabilities with Supervised Learning, ICML 2005.
    Raises ValueError without diagrams, and for arrays whose shapes do not match.
    """
    if not diagrams:
        raise ValueError("no reliability diagram to draw; expected at least one")
    figure = new_figure(_ONE_WIDTH if len(diagrams) == 1 else WIDTH, 4.9, title)
    grid = figure.add_gridspec(2, len(diagrams), height_ratios=[3, 1])
    for column, (name, bins) in enumerate(diagrams.items()):
        bins = _checked(name, bins)
        upper, lower = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        _gaps(upper, bins, name)
        _counts(lower, bins)
        if column == 0:
            upper.set_ylabel("share that is right")
            lower.set_ylabel("images")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _gaps(ax: Axes, bins: Mapping[str, np.ndarray], name: str) -> None:
    filled = bins["counts"] > 0
    confidence, accuracy = bins["confidence"][filled], bins["accuracy"][filled]
    low, high = bins["interval"][filled].T
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (3, 2)), label="right as often as sure")
    ax.vlines(confidence, accuracy, confidence, color=ORANGE, linewidth=3, alpha=0.45, label="difference")
    ax.vlines(confidence, low, high, color=BLUE, linewidth=1.2)
    ax.plot(confidence, accuracy, "o", color=BLUE, markersize=4, markeredgecolor="white", label="a bin, 95 % interval")
    _probability_axis(ax)
    ax.set_ylim(-0.02, 1.02)
    ax.grid()
    ax.set_title(name, color=INK)


def _counts(ax: Axes, bins: Mapping[str, np.ndarray]) -> None:
    edges, counts = bins["edges"], bins["counts"]
    ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=FAINT, edgecolor=GREY, linewidth=0.5)
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        look = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": _COUNT_SIZE, "color": INK}
        ax.annotate(f"{count}", ((left + right) / 2, count), (0, 2), textcoords="offset points", **look)
    _probability_axis(ax)
    ax.set_ylim(0, max(1, counts.max()) * 1.75)  # room for upright numbers of five digits
    ax.set_yticks([])
    ax.set_xlabel("confidence: probability of the predicted class")


def _probability_axis(ax: Axes) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks(np.linspace(0, 1, 6))


def _checked(name: str, bins: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {key: np.asarray(bins[key]) for key in ("edges", "counts", "confidence", "accuracy", "interval")}
    count = len(arrays["counts"])
    expected = {"edges": (count + 1,), "confidence": (count,), "accuracy": (count,), "interval": (count, 2)}
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise ValueError(f"{name}: {key} of shape {arrays[key].shape} for {count} bins; expected {shape}")
    return arrays
