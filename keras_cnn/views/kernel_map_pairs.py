"""`kernel-map-pairs`: each kernel beside its map before and after the activation, the pairing checked numerically."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, PanelRow, limits, number, sheet, value_range
from keras_cnn.messages import counted
from keras_cnn.views.kernels import input_channels
from keras_cnn.views.support.image_stream import PlannedReads
from keras_cnn.views.support.opened_model import Count, OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.activations import most_active, spread
from keras_cnn.visualization.kernel_map_pairs import KernelMapPairs, kernel_map_pairs, points_of

_IMAGES = 3  # places for images in one figure, some of which may be empty


def draw(
    opened: OpenedModel, out: Path, *, layer: tuple[str, ...] = (), channels: tuple[int, ...] = (), count: Count = 8
) -> list[SavedFigure]:
    """A figure for each layer and each group of three images.

    Options:
        layer: convolutions; default an early, a middle and a deep one
        channels: which output channels; default those whose maps after the activation differ most over these images
        count: number of channels, if none are named
    """
    figures = []
    for name in layer or spread(opened.probe, 3):
        pairs = channel_pairs(opened, name, count, channels)
        for start in range(0, len(opened.images.names), _IMAGES):
            figures.append(_draw_sheet(opened, out, pairs, slice(start, start + _IMAGES)))
    return figures


def reads(opened: OpenedModel) -> PlannedReads:
    return PlannedReads(shown=[point for name in spread(opened.probe, 3) for point in points_of(opened.probe, name)])


def channel_pairs(opened: OpenedModel, layer: str, count: int, channels: tuple[int, ...] = ()) -> KernelMapPairs:
    """The pairs for these channels of a layer, or for the `count` channels that differ most: see `most_active`."""
    block = opened.probe.convolution(layer)
    points = points_of(opened.probe, layer)
    maps = opened.maps(points)
    chosen = channels or tuple(most_active(maps[points[-1]], count).tolist())
    return opened.once(("pairs", block.name, chosen), lambda: kernel_map_pairs(opened.probe, maps, layer, chosen))


def _draw_sheet(opened: OpenedModel, out: Path, pairs: KernelMapPairs, part: slice) -> SavedFigure:
    linear, normalised, activated = pairs.points
    maps = [("conv map", pairs.convolved[part])]
    if pairs.activated is not None:
        maps.append(("after activation", pairs.activated[part]))
    height, width, depth, _ = pairs.kernels.shape
    kernels = pairs.kernels if depth == 3 else pairs.kernels.mean(axis=2)
    shown = "weights on three channels as RGB" if depth == 3 else input_channels(depth)
    behind = f"; then {' and '.join(filter(None, (normalised, activated)))}" if activated else ""
    note = (
        f"Kernels {height}×{width}×{depth}: {shown}, one scale{behind}.\n"
        f"Each conv map was computed again from the kernel beside it alone: at most {pairs.difference:.0e} of the"
        " largest value apart."
    )
    title = f"{opened.name}: {linear}, kernel and maps by output channel"
    indices = range(*part.indices(len(opened.images.names)))
    names = [opened.caption(index, "\n") for index in indices]
    figure = kernel_and_maps(
        opened.images.pixels[part], names, kernels, maps, channels=pairs.channels, title=title, note=note
    )
    arrays = {
        "images": opened.images.pixels[part],
        "channels": np.asarray(pairs.channels),
        "kernels": pairs.kernels,
        "convolved": pairs.convolved[part],
        **({} if pairs.normalised is None else {"normalised": pairs.normalised[part]}),
        **({} if pairs.activated is None else {"activated": pairs.activated[part]}),
    }
    line = f"{pairs.layer}: {counted(len(pairs.channels), 'pair')}, recomputed to {pairs.difference:.0e}"
    return save_figure(out, f"{pairs.layer}_{indices[0] + 1}-{indices[-1] + 1}", figure, arrays, line)


def kernel_and_maps(
    images: np.ndarray,
    names: Sequence[str],
    kernels: np.ndarray,
    maps: Sequence[tuple[str, np.ndarray]],
    *,
    channels: Sequence[int] | np.ndarray,
    title: str,
    note: str,
) -> Figure:
    """One row for each channel: its kernel, then its `maps` for each image, such as the conv map and the ReLU map.

    With one image, two channels stand in a row.

    `images` (N, H, W, C) uint8, at most three, with `names` of one or more lines; `kernels` (kh, kw, U), or
    (kh, kw, 3, U) of weights on RGB; `maps` are pairs of a heading and an array (N, h, w, U). Each map has its own
    scale, and its range stands below it. If a map below a heading has both signs, all maps below that heading have
    colours that are symmetric about zero.
    """
    count = len(maps)
    tops: list[Panel | None] = [None]
    for image in images:
        tops += [Panel(image), *([None] * (count - 1))]
    rows = [PanelRow(tops, titles=names, span=count, indent=1)]
    bound = np.abs(kernels).max() or 1.0
    for u, channel in enumerate(channels):
        kernel = kernels[..., u]
        picture = np.round(127.5 + 127.5 * kernel / bound).astype(np.uint8) if kernel.ndim == 3 else kernel
        panels = [Panel(picture, f"±{number(np.abs(kernel).max())}", (-bound, bound))]
        for index in range(len(images)):
            for _, values in maps:
                channel_map = values[index, ..., u]
                low, high = limits(channel_map)
                signed = limits(values)[0] < 0 < limits(values)[1]
                bounds = (-max(-low, high), high) if signed else (low, high)
                panels.append(Panel(channel_map, value_range(channel_map, 2), bounds))
        titles = [f"kernel {channel}", *([heading for heading, _ in maps] * len(images))]
        if len(images) == 1 and u % 2:  # two channels side by side fill the page
            before = rows[-1]
            rows[-1] = PanelRow([*before.panels, *panels], "", None, [*before.titles, *titles])
        else:
            rows.append(PanelRow(panels, "", None, titles))
    return sheet(rows, title, note, 2 * (1 + count) if len(images) == 1 else 1 + count * len(images))
