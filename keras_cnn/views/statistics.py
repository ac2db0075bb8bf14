"""`statistics`: the shares of non-positive values by layer, and the eigenvalues of the covariance of the features."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import ArrayLike

from keras_cnn import data
from keras_cnn.errors import require
from keras_cnn.figures.panels import broken
from keras_cnn.figures.style import BLUE, GREEN, HEADER, INK, ORANGE, SMALL_SIZE, WIDTH, fit, new_figure, styled
from keras_cnn.messages import counted, logger
from keras_cnn.views.support.image_stream import (
    ImageStream,
    Measurements,
    PlannedReads,
    SplitName,
    measured,
    stream,
    stream_of,
)
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.embedding import penultimate
from keras_cnn.visualization.statistics import Features, NotPositive, Reduction, Sparsity, spectrum

MOST = 200
_LISTED = 8  # layers on the terminal
_SERIES = (BLUE, ORANGE, GREEN, "#cc79a7", "#8a6d00", "#56b4e9")  # Okabe and Ito's, some darker
_MARKS = "osD^vP"


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    point: str | None = None,
    reduction: Reduction = "pooled",
    most: int = MOST,
    against: tuple[str, ...] = (),
    images_of: tuple[str, ...] = (),
    split: SplitName = "validation",
) -> list[SavedFigure]:
    """Shares of non-positive values by layer, and eigenvalues of the covariance of the features, with intervals.

    Options:
        layer: layers or stages whose values are counted; avgpool: means over the last map; default all activations
        point: layer of the features; default the last before the class scores, or the last map
        reduction: pooled (means over the map) or flattened
        most: number of images of each set
        against: other runs, model files or backbones, for the same images
        images_of: other sources of images, such as folder:PATH: their validation images, or all if they have no splits
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    require(most >= 2, "command line: --most", f"found {most}", "at least 2")
    networks = [opened, *(open_source(name, VisualizeOptions()) for name in against)]
    count = len(networks) * (1 + len(images_of))
    where = "command line: --against and --images-of"
    require(count <= len(_SERIES), where, f"{count} pairs of network and images", f"at most {len(_SERIES)}")
    figures: list[SavedFigure] = []
    series: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    arrays: dict[str, ArrayLike] = {}
    for network, label in zip(networks, _labels(networks), strict=True):
        shares: dict[str, list[Sparsity]] = {}
        layers = list(layer) or _activated(network)
        for name, images in _image_sets(opened, network, images_of, split, most).items():
            shares[name], features = measured(network, _measurements(network, images, layers, point, reduction))
            if len(images) < 2:
                logger.info("note  no spectrum of %s on %s: the covariance needs at least 2 images", label, name)
                continue
            eigenvalues = spectrum(features)
            rank, (low, high) = eigenvalues.effective_rank, eigenvalues.effective_rank_interval
            key = f"{label} on {name}: effective rank {rank:.1f} [{low:.1f}, {high:.1f}] of {eigenvalues.dimensions}"
            if eigenvalues.largest_rank < eigenvalues.dimensions:
                key += f", at most {eigenvalues.largest_rank} with {counted(len(images), 'image')}"
            series[key] = (eigenvalues.eigenvalues, eigenvalues.band)
            arrays[f"eigenvalues {len(series)}"], arrays[f"band {len(series)}"] = series[key]
        if layers:
            figures.append(_draw_sparsity(label, out, layers, shares))
        else:
            logger.info("note  no sparsity of %s: it has no convolutions", label)
    require(bool(figures or series), opened.name, "no convolutions and 1 image", "convolutions, or at least 2 images")
    if not series:
        return figures
    points = list(dict.fromkeys(_feature_point(network, point) for network in networks))
    words = points[0] if len(points) == 1 else "each network's last features"
    title = f"Covariance of {words}, {reduction}: eigenvalues, the largest first"
    arrays["series"] = list(series)
    return [*figures, save_figure(out, "statistics-spectra", spectra(series, title), arrays, "; ".join(series))]


def reads(opened: OpenedModel) -> PlannedReads:
    images = stream(opened, "statistics", "validation", MOST)
    return PlannedReads(measured=_measurements(opened, images, _activated(opened), None, "pooled"))


def _measurements(
    opened: OpenedModel, images: ImageStream, layers: list[str], point: str | None, reduction: Reduction
) -> Measurements:
    features = Features(_feature_point(opened, point), reduction)
    return [(images, NotPositive(opened.probe, layers)), (images, features)]


def _image_sets(
    first: OpenedModel, opened: OpenedModel, sources: tuple[str, ...], split: SplitName, most: int
) -> dict[str, ImageStream]:
    """Name -> images: those of the first network, then those of the other sources, in the size of this network."""
    height, width, channels = opened.image_shape
    images = stream(opened, "statistics", split, most, of=first)
    sets = {images.words: images}
    for name in sources:
        dataset = data.load(name, image_size=(height, width), channels=channels, uncut=True)
        split_shown = dataset.validation if len(dataset.validation) else dataset.train
        images = stream_of(opened, split_shown, most, f"images of {name}")
        sets[images.words] = images
    return sets


def _activated(opened: OpenedModel) -> list[str]:
    return [block.activated or block.before_activation for block in opened.probe.convolutions]


def _feature_point(opened: OpenedModel, point: str | None) -> str:
    if point is not None:
        return point
    return penultimate(opened.probe) if opened.is_classifier else opened.probe.output().name


def _labels(networks: list[OpenedModel]) -> list[str]:
    """The names of the networks; a second network of the same name is NAME #2."""
    names = [network.name for network in networks]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} #{times + 1}" if times else name for name, times in zip(names, before, strict=True)]


def _draw_sparsity(network: str, out: Path, layers: list[str], shares: dict[str, list[Sparsity]]) -> SavedFigure:
    series = {name: np.array([(s.share, *s.interval) for s in by_layer]) for name, by_layer in shares.items()}
    figure = sparsity(layers, series, f"{network}: values that are not above 0")
    arrays = {"layers": layers, "series": list(series), "shares": np.stack(list(series.values()))}
    line = "; ".join(_line(name, by_layer) for name, by_layer in shares.items())
    return save_figure(out, f"statistics-sparsity-{network}", figure, arrays, line)


def _line(name: str, shares: list[Sparsity]) -> str:
    """The shares of up to eight layers, else the smallest and the largest share."""
    shown = shares
    if len(shares) > _LISTED:
        shown = sorted(shares, key=lambda layer: layer.share)[:: len(shares) - 1]
    texts = [f"{layer.layer} {100 * layer.share:.1f} %" for layer in shown]
    return f"{name}: {(' to ' if len(shares) > _LISTED else ', ').join(texts)}"


@styled
def sparsity(layers: Sequence[str], series: Mapping[str, np.ndarray], title: str) -> Figure:
    """The share of non-positive values in % by layer, the first layer on top, one series for each set of images.

    A series is (layers, 3) in [0, 1]: the share, and the low and high end of its interval. Raises ValueError for
    another shape and for more than six series.
    """
    _check_series(series)
    for name, values in series.items():
        if np.shape(values) != (len(layers), 3):
            raise ValueError(f"{name}: shape {np.shape(values)} for {len(layers)} layers; expected (layers, 3)")
    row = max(0.26, 0.19 * len(series))
    figure = new_figure(WIDTH, HEADER + row * len(layers) + 0.75 + 0.18 * len(series), title)
    axes = figure.subplots()
    for number, (name, values) in enumerate(series.items()):
        share, low, high = 100 * np.asarray(values, np.float64).T
        height = 0.8 / len(series)
        rows = np.arange(len(layers)) + (number - (len(series) - 1) / 2) * height
        axes.barh(rows, share, 0.9 * height, color=_SERIES[number], alpha=0.75, label=fit(name, SMALL_SIZE, 6))
        axes.hlines(rows, low, high, color=INK, linewidth=1)
        for place, value, end in zip(rows, share, high, strict=True):
            look = {"va": "center", "ha": "left", "fontsize": SMALL_SIZE, "color": INK}
            axes.text(max(value, end) + 1, place, f"{value:.1f} %", **look)
    axes.set_yticks(range(len(layers)), [fit(name, SMALL_SIZE, 1.8) for name in layers])
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("values that are not above 0, in %; line: 95 % bootstrap interval over the images")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure


@styled
def spectra(series: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, most: int = 100) -> Figure:
    """The `most` largest eigenvalues of each series on a logarithmic scale, and their cumulative share of the sum.

    A series has eigenvalues (E,), the largest first, and their band (2, E). Raises ValueError for another shape, for
    no series, and for more than six.
    """
    _check_series(series)
    labels = [broken(name, WIDTH - 1.2) for name in series]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = new_figure(WIDTH, HEADER + 3.2 + 0.18 * lines, title)
    left, right = figure.subplots(1, 2)
    for number, (name, (values, band)) in enumerate(series.items()):
        if np.shape(band) != (2, len(values)):
            raise ValueError(f"{name}: a band of shape {np.shape(band)} for {len(values)} eigenvalues")
        shown = slice(min(most, len(values)))
        places = np.arange(1, len(values) + 1)[shown]
        low, high = (np.where(end > 0, end, np.nan)[shown] for end in band)
        left.fill_between(places, low, high, color=_SERIES[number], alpha=0.2, linewidth=0)
        label = "\n".join(fit(line, SMALL_SIZE, WIDTH - 1) for line in labels[number].split("\n"))
        look = {"color": _SERIES[number], "label": label}
        left.plot(places, np.where(values > 0, values, np.nan)[shown], **look)
        total = values.sum()
        right.plot(places, 100 * np.cumsum(values)[shown] / total if total > 0 else 0 * places, **look)
    left.set_yscale("log")
    low, high = left.get_ylim()
    if high < 100 * low:  # with powers of ten alone the axis would have one number
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # the default uses TeX, which is off
    left.minorticks_off()
    left.set_title("eigenvalue, 95 % bootstrap band")
    right.set_title("share of the variance so far, in %")
    right.set_ylim(0, 102)
    for axes in (left, right):
        axes.set_xlabel("number of the eigenvalue")
        axes.set_xlim(left=0)
        axes.grid(axis="y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure


def _check_series(series: Mapping) -> None:
    if not 1 <= len(series) <= len(_SERIES):
        raise ValueError(f"{len(series)} series; expected 1 to {len(_SERIES)}")
