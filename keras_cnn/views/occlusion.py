"""`occlusion`: the confidence in a class while a patch hides one part of the image after the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from keras_cnn.errors import require
from keras_cnn.figures.placement import KEY_SIZE, bare_axes, place_colour_key, place_text
from keras_cnn.figures.style import GREY, HEADER, INK, MARGIN, POINT, SMALL_SIZE, WIDTH, fit, new_figure, styled
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.occlusion import Fill, Occluder, Occlusion

_PLACES = 32  # places of the patch along a side, for the default stride
_SHOWN = 4  # images in one figure, and sizes of the patch
_CURVES = 10  # images in the figure of all sizes

_LARGEST_PANEL = 1.9  # inches
_GAP, _FOOT, _LINE = 0.12, 0.42, 1.3 * SMALL_SIZE * POINT  # inches
_KEY_ROOM = KEY_SIZE[1] + 0.85  # inches: a colour key and the numbers beside it
_COLOURS = "plasma"
_LEAST = 0.05  # least end of the colours: without it, noise of a sure network would fill them
_MEANINGS = {
    "sum": "sum: confidence at all places added up;\na larger patch has fewer places",
    "mean": "mean: sum over number of places;\nwhat one patch of this size leaves",
}
_MARKS = ("o-", "s--", "^-.", "D:", "v-", "P--")


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    patch: tuple[int, ...] = (),
    stride: int | None = None,
    fill: Fill = "grey",
    target: str | None = None,
) -> list[SavedFigure]:
    """Maps of the confidence for patches of several sizes, and its sum and mean against the size of the patch.

    Options:
        patch: sides of the square patch in pixels; default an eighth to a half of the image
        stride: pixels from one place of the patch to the next; default 1, and more for images above 64 pixels
        fill: what hides: grey, mean (the mean colour of the image) or blur
        target: class whose confidence is measured; default the true class or, if it is not known, the predicted one
    """
    images = opened.images
    side = min(images.pixels.shape[1:3])
    sizes = patch or tuple(dict.fromkeys(max(1, side * eighths // 8) for eighths in (1, 2, 3, 4)))
    require(1 <= len(sizes) <= 8, "command line: --patch", f"{len(sizes)} sizes", "1 to 8")
    stride = stride or max(1, side // _PLACES)
    targets = _targets(opened, target)
    occluder = Occluder(opened.probe)
    occlusions = [
        occluder.by_size(image, int(index), sizes, stride=stride, fill=fill)
        for image, index in zip(images.pixels, targets, strict=True)
    ]
    captions = [
        f"{opened.caption(i)}: confidence in {opened.class_name(int(index))} {occlusions[i][0].unhidden:.2f}"
        for i, index in enumerate(targets)
    ]
    arrays = _arrays(occlusions, targets, images.pixels)
    patches = f"a {fill} patch, stride {stride}"
    figures = []
    for first in range(0, len(occlusions), _SHOWN):
        part = slice(first, first + _SHOWN)
        rows = [row[:_SHOWN] for row in occlusions[part]]
        title = f"{opened.name}: confidence lost behind {patches}"
        figure = occlusion_maps(images.pixels[part], rows, captions[part], title)
        name = "occlusion" if len(occlusions) <= _SHOWN else f"occlusion-{first // _SHOWN + 1}"
        lines = [_line(images.names[i], occlusions[i]) for i in range(len(occlusions))[part]]
        figures.append(save_figure(out, name, figure, arrays, "; ".join(lines)))
    if len(sizes) > 1:
        totals = np.array([[occlusion.total for occlusion in row] for row in occlusions])
        means = np.array([[occlusion.mean for occlusion in row] for row in occlusions])
        title = f"{opened.name}: confidence against the size of {patches}"
        places = [occlusion.confidence.size for occlusion in occlusions[0]]
        figure = occlusion_sizes(
            sizes, totals[:_CURVES], means[:_CURVES], captions[:_CURVES], title=title, places=places
        )
        first, last = means[:, 0].mean(), means[:, -1].mean()
        line = f"mean confidence {first:.2f} behind {sizes[0]} pixels, {last:.2f} behind {sizes[-1]}"
        arrays = {"sizes": sizes, "sum": totals, "mean": means}
        figures.append(save_figure(out, "occlusion-sizes", figure, arrays, line))
    return figures


def _targets(opened: OpenedModel, target: str | None) -> np.ndarray:
    labels = opened.images.labels
    if target is not None:
        return np.full(len(labels), opened.class_index(target))
    return np.where(labels >= 0, labels, opened.probabilities.argmax(axis=1))


def _arrays(occlusions: list[list[Occlusion]], targets: np.ndarray, pixels: np.ndarray) -> dict[str, np.ndarray]:
    unhidden = np.array([row[0].unhidden for row in occlusions])
    arrays = {"images": pixels, "targets": targets, "whole": unhidden}
    height, width = pixels.shape[1:3]
    for column in zip(*occlusions, strict=True):
        size = column[0].size
        arrays[f"confidence_{size}"] = np.stack([occlusion.confidence for occlusion in column])
        arrays[f"rows_{size}"], arrays[f"columns_{size}"] = column[0].rows, column[0].columns
        arrays[f"drop_{size}"] = np.stack([occlusion.drop(height, width) for occlusion in column])
    return arrays


def _line(name: str, row: list[Occlusion]) -> str:
    last = row[-1]
    return f"{name}: {last.unhidden:.2f}, behind {last.size}×{last.size} at least {last.confidence.min():.2f}"


@styled
def occlusion_maps(
    images: np.ndarray, occlusions: Sequence[Sequence[Occlusion]], captions: Sequence[str], title: str
) -> Figure:
    """A row for each image: the image, then a map for each size of the patch, each value at the middle of its patch.

    `images` (N, H, W, 1 or 3) uint8; `occlusions` has the same sizes for each of them. A frame shows the patch with the
    least confidence. The confidence lost lies over the grey image, the more opaque the more is lost. Each map has its
    own scale up to its largest loss, 0.05 at least, because small patches would not show on the scale of large ones.
    Raises ValueError for other numbers of rows or of maps.
    """
    if not len(images) == len(occlusions) == len(captions) or len({len(row) for row in occlusions}) != 1:
        counts = f"{len(images)} images, {len(occlusions)} rows of maps, {len(captions)} captions"
        raise ValueError(f"{counts}; expected equal numbers, and rows of one length")
    columns = 1 + len(occlusions[0])
    height, width = images.shape[1:3]
    across = min(_LARGEST_PANEL, (WIDTH - 2 * MARGIN + _GAP) / columns - _GAP)
    panel = (across * height / width, across)
    row_height = _LINE + panel[0] + 1.8 * _LINE
    figure = new_figure(WIDTH, HEADER + len(images) * row_height + _FOOT, title, layout=None)
    for number, (image, row, caption) in enumerate(zip(images, occlusions, captions, strict=True)):
        top = HEADER + number * row_height
        place_text(figure, MARGIN, top, fit(caption, SMALL_SIZE, WIDTH - 2 * MARGIN - _KEY_ROOM), INK)
        ends = ("no loss", "most")
        place_colour_key(figure, WIDTH - MARGIN, top, ends, _COLOURS, line_height=_LINE)
        top += 1.2 * _LINE
        _draw_image(bare_axes(figure, MARGIN, top, panel), image)
        for column, occlusion in enumerate(row, start=1):
            left = MARGIN + column * (across + _GAP)
            _draw_map(bare_axes(figure, left, top, panel), image, occlusion)
            smallest, largest = occlusion.confidence.min(), occlusion.confidence.max()
            words = f"{occlusion.size} px: {smallest:.2f} to {largest:.2f}"
            place_text(figure, left, top + panel[0] + 0.15 * _LINE, fit(words, SMALL_SIZE, across + _GAP), GREY)
    bottom = HEADER + len(images) * row_height
    for number, words in enumerate(
        (
            "Confidence lost with the patch there, drawn at its middle; below: the confidence left.",
            f"Colours of each map: up to its own largest loss, {_LEAST} at least. Frame: the patch that leaves least.",
        )
    ):
        place_text(figure, MARGIN, bottom + number * _LINE, words, GREY)
    return figure


def _draw_image(axes: Axes, image: np.ndarray) -> None:
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, interpolation="nearest", **grey)


def _draw_map(axes: Axes, image: np.ndarray, occlusion: Occlusion) -> None:
    """The loss over the grey image, the more opaque the larger; nothing is drawn where no patch has its middle."""
    height, width = image.shape[:2]
    _draw_image(axes, image.mean(axis=-1, keepdims=True))
    middle = occlusion.size / 2 - 0.5  # imshow has pixel 0 from -0.5 to 0.5
    edges = [_edges(first + middle) for first in (occlusion.columns, occlusion.rows)]
    loss = np.clip(occlusion.unhidden - occlusion.confidence, 0, None)
    most = max(float(loss.max()), _LEAST)
    look = {"cmap": _COLOURS, "vmin": 0, "vmax": most, "alpha": 0.85 * np.sqrt(loss / most)}
    axes.pcolormesh(*edges, loss, rasterized=True, **look)
    row, column = np.unravel_index(occlusion.confidence.argmin(), occlusion.confidence.shape)
    corner = (occlusion.columns[column] - 0.5, occlusion.rows[row] - 0.5)
    size = occlusion.size
    axes.add_patch(Rectangle(corner, size, size, fill=False, edgecolor="white", linewidth=1.2))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")


def _edges(centres: np.ndarray) -> np.ndarray:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


@styled
def occlusion_sizes(
    sizes: Sequence[int],
    totals: ArrayLike,
    means: ArrayLike,
    captions: Sequence[str],
    *,
    title: str,
    places: Sequence[int],
) -> Figure:
    """Sum and mean of the confidence map against the size of the patch, one curve for each image.

    `totals` and `means` are (N, sizes); `places` is the number of places of a patch of each size, over which the sum is
    taken. Raises ValueError for other shapes.
    """
    totals, means = np.asarray(totals, np.float64), np.asarray(means, np.float64)
    if totals.shape != (len(captions), len(sizes)) or means.shape != totals.shape:
        raise ValueError(f"{totals.shape} and {means.shape} for {len(captions)} images and {len(sizes)} sizes")
    figure = new_figure(WIDTH, 3.4 + len(captions) / 5, title)
    colours = colormaps["cividis"](np.linspace(0, 0.85, len(captions)))
    for axes, values, name in zip(figure.subplots(1, 2), (totals, means), ("sum", "mean"), strict=True):
        for index, (curve, caption) in enumerate(zip(values, captions, strict=True)):
            label = fit(caption, SMALL_SIZE, WIDTH - 1.0)
            axes.plot(sizes, curve, _MARKS[index % len(_MARKS)], color=colours[index], markersize=4, label=label)
        axes.set_title(_MEANINGS[name])
        axes.set_xlabel("side of the patch in pixels,\nand the number of its places")
        axes.set_xticks(list(sizes), [f"{size}\n{count:,}" for size, count in zip(sizes, places, strict=True)])
        axes.set_ylim(0, max(1e-9, 1.05 * values.max()) if name == "sum" else 1.02)
        axes.grid(axis="y")
    figure.axes[0].set_ylabel("confidence")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=1)
    return figure
