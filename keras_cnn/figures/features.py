"""Features of many images: how sparse the layers are, how many directions they use, and the images as points."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from keras_cnn.figures.style import BLUE, GREEN, GREY, HEADER, INK, ORANGE, SMALL_SIZE, WIDTH, fit, new_figure, styled

_SERIES = (BLUE, ORANGE, GREEN, "#cc79a7", "#8a6d00", "#56b4e9")  # Okabe and Ito's, the last ones darker
_MARKS = "osD^vP"
_CLASS_MARKS = "os^Dv"
_CLASSES_SHOWN, _COLUMNS = 20, 5


@styled
def sparsity(layers: Sequence[str], series: Mapping[str, np.ndarray], title: str) -> Figure:
    """Share of non-positive values in % by layer, the first on top; a series for each network and set of images.

    A series is (layers, 3): share, low and high end of its interval, in [0, 1]. Raises ValueError for another shape and
    for more than six series.
    """
    _check_series(series)
    for name, values in series.items():
        if np.shape(values) != (len(layers), 3):
            raise ValueError(f"{name}: shape {np.shape(values)} for {len(layers)} layers; expected (layers, 3)")
    figure = new_figure(WIDTH, HEADER + 0.24 * len(layers) + 0.75 + 0.18 * len(series), title)
    ax = figure.subplots()
    for number, (name, values) in enumerate(series.items()):
        share, low, high = 100 * np.asarray(values, np.float64).T
        rows = np.arange(len(layers)) + (number - (len(series) - 1) / 2) * 0.6 / len(series)
        ax.hlines(rows, low, high, color=_SERIES[number], linewidth=2.4, alpha=0.5)
        ax.plot(share, rows, _MARKS[number], color=_SERIES[number], markersize=4.5, label=fit(name, SMALL_SIZE, 6))
    ax.set_yticks(range(len(layers)), [fit(name, SMALL_SIZE, 1.8) for name in layers])
    ax.set_ylim(len(layers) - 0.4, -0.6)
    ax.set_xlim(-2, 102)
    ax.set_xlabel("values that are not above 0, in %; bar: 95 % bootstrap interval over the images")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure


@styled
def spectra(series: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, most: int = 100) -> Figure:
    """The largest `most` eigenvalues of each series on a logarithmic scale, and their shares of the sum, added up.

    A series is its eigenvalues (E,), the largest first, and their band (2, E). Raises ValueError for another shape, no
    series, or more than six.
    """
    _check_series(series)
    figure = new_figure(WIDTH, HEADER + 3.2 + 0.18 * len(series), title)
    left, right = figure.subplots(1, 2)
    for number, (name, (values, band)) in enumerate(series.items()):
        if np.shape(band) != (2, len(values)):
            raise ValueError(f"{name}: a band of shape {np.shape(band)} for {len(values)} eigenvalues")
        shown = slice(min(most, len(values)))
        places = np.arange(1, len(values) + 1)[shown]
        low, high = (np.where(end > 0, end, np.nan)[shown] for end in band)
        left.fill_between(places, low, high, color=_SERIES[number], alpha=0.2, linewidth=0)
        look = {"color": _SERIES[number], "label": fit(name, SMALL_SIZE, WIDTH - 1)}
        left.plot(places, np.where(values > 0, values, np.nan)[shown], **look)
        total = values.sum()
        right.plot(places, 100 * np.cumsum(values)[shown] / total if total > 0 else 0 * places, **look)
    left.set_yscale("log")
    low, high = left.get_ylim()
    if high < 100 * low:  # powers of ten alone would leave one number at the axis
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # its own is TeX, which is off here
    left.minorticks_off()
    left.set_title("eigenvalue, 95 % bootstrap band")
    right.set_title("share of the variance so far, in %")
    right.set_ylim(0, 102)
    for ax in (left, right):
        ax.set_xlabel("number of the eigenvalue")
        ax.set_xlim(left=0)
        ax.grid(axis="y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure


@styled
def scatter(points, labels, wrong, classes: Sequence[str], title: str, note: str = "") -> Figure:
    """Images as points (N, 2), coloured by their class `labels` (N,); those predicted `wrong` (N,) are ringed in black.

    Each class has its colour and mark; of more than 20 classes the 20 most frequent do, and the others are grey. Raises
    ValueError for lengths at odds.
    """
    points, labels, wrong = np.asarray(points), np.asarray(labels), np.asarray(wrong, bool)
    if points.shape != (len(labels), 2) or wrong.shape != labels.shape:
        raise ValueError(f"{points.shape} points, {labels.shape} labels and {wrong.shape} wrong; expected one an image")
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    named = np.sort(np.argsort(-counts, kind="stable")[:_CLASSES_SHOWN])
    named = [int(index) for index in named if counts[index]]
    rows = -(-(len(named) + 2) // _COLUMNS)
    figure = new_figure(WIDTH, HEADER + 5.2 + 0.2 * rows + (0.2 if note else 0), title)
    ax = figure.subplots()
    rest = ~np.isin(labels, named)
    size = float(np.clip(6000 / max(1, len(points)), 5, 30))
    if rest.any():
        ax.scatter(
            *points[rest].T,
            s=size,
            color=GREY,
            alpha=0.4,
            linewidths=0,
            label="other classes" if named else "class not known",
        )
    colours = class_colours(len(named))
    for number, index in enumerate(named):
        chosen = labels == index
        mark = _CLASS_MARKS[number % len(_CLASS_MARKS)]
        label = fit(classes[index], SMALL_SIZE, 1.05)
        ax.scatter(*points[chosen].T, s=size, marker=mark, color=colours[number], alpha=0.75, linewidths=0, label=label)
    look = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.7}
    if wrong.any():
        ax.scatter(*points[wrong].T, s=2.2 * size, label="predicted wrong", **look)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=GREY)
    ax.set_aspect("equal", adjustable="datalim")
    if note:
        ax.set_xlabel(fit(note, SMALL_SIZE, WIDTH - 0.4), fontsize=SMALL_SIZE, color=GREY)
    legend = figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=_COLUMNS, handlelength=1)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[24])
    return figure


def class_colours(count: int) -> np.ndarray:
    """(count, 4) RGBA from 0 to 1: hues that neighbours in the order of classes do not share."""
    return colormaps["tab10" if count <= 10 else "tab20"](np.arange(count))


def _check_series(series: Mapping) -> None:
    if not 1 <= len(series) <= len(_SERIES):
        raise ValueError(f"{len(series)} series; expected 1 to {len(_SERIES)}")
