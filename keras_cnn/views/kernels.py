"""`kernels`: the kernels of convolutions, as colours or as maps of their weights.

A kernel that reads an image is drawn as one RGB picture and colour by colour. A deeper kernel is drawn as its mean over
the input channels or for chosen input channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.errors import require
from keras_cnn.figures.panels import Panel, PanelRow, limits, number, sheet, value_range
from keras_cnn.views.support.opened_model import Count, OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.activations import first_and_last
from keras_cnn.visualization.kernels import Kernels, kernels

_COLUMNS = 8
_COLOURS = ("red", "green", "blue")


def draw(
    opened: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    scale: Literal["common", "own"] = "common",
    inputs: tuple[int, ...] = (),
    count: Count = 64,
) -> list[SavedFigure]:
    """One or more figures for each layer.

    Options:
        layer: convolutions; default the first and the last
        scale: one colour scale for all kernels of a layer, or one for each kernel
        inputs: input channels of deeper layers to show; default their mean
        count: number of output channels, from the first
    """
    figures = []
    for name in layer or first_and_last(opened.probe):
        figures += _draw_layer(
            opened, out, kernels(opened.probe, name), count=count, own_scale=scale == "own", inputs=inputs
        )
    return figures


def _draw_layer(
    opened: OpenedModel, out: Path, layer: Kernels, *, count: int, own_scale: bool, inputs: tuple[int, ...]
) -> list[SavedFigure]:
    height, width, depth, outputs = layer.values.shape
    for channel in inputs:
        require(0 <= channel < depth, f"{opened.name}: {layer.layer}", f"input channel {channel}", f"0 to {depth - 1}")
    channels = np.arange(min(count, outputs))
    size = f"{height}×{width}×{depth}"
    title = f"{opened.name}: {layer.layer}, {len(channels)} of {outputs} kernels {size}"
    values, norms = layer.values[..., channels], layer.norms[channels]
    bias = None if layer.bias is None else layer.bias[channels]
    captions = [f"{channel}: {words}" for channel, words in zip(channels, norm_and_bias(norms, bias), strict=True)]
    arrays = {"kernels": values, "channels": channels, "norms": norms, **({} if bias is None else {"bias": bias})}
    line = (
        f"{layer.layer}: {len(channels)} of {outputs} kernels {size}, weights {values.min():.3g} to {values.max():.3g}"
    )
    if depth == 3 and not inputs and _reads_the_image(opened, layer.layer):
        colours = kernel_colours(values, captions, own_scale, title)
        components = kernel_components(values, channels, own_scale, f"{title}, colour by colour")
        return [
            save_figure(out, f"{layer.layer}_rgb", colours, arrays, f"{line}, as RGB"),
            save_figure(out, f"{layer.layer}_components", components, arrays, f"{line}, red, green and blue alone"),
        ]
    if inputs:
        shown = {f"input channel {channel}": (f"input_{channel}", values[:, :, channel]) for channel in inputs}
    else:
        shown = {input_channels(depth): ("mean", values.mean(axis=2))}
    figures = []
    for heading, (stem, maps) in shown.items():
        figure = kernel_maps(maps, captions, own_scale, title, heading)
        figures.append(
            save_figure(out, f"{layer.layer}_{stem}", figure, arrays | {"shown": maps}, f"{line}, {heading}")
        )
    return figures


def _reads_the_image(opened: OpenedModel, layer: str) -> bool:
    """Whether the three inputs of a convolution are image colours: all maps before it have 1 or 3 channels."""
    before = opened.probe.ancestors(layer) - {opened.probe.node(layer).name}
    return all(opened.probe.nodes[name].shape[-1] in (1, 3) for name in before)


def input_channels(depth: int) -> str:
    """A text that says which weights of a kernel with `depth` input channels are shown."""
    return f"mean over {depth} input channels" if depth > 1 else "its one input channel"


def norm_and_bias(norms: np.ndarray, bias: np.ndarray | None) -> list[str]:
    """Two lines for each kernel: its norm and its bias."""
    biases = [""] * len(norms) if bias is None else [f"\nb {number(value)}" for value in bias]
    return [f"n {number(norm)}{b}" for b, norm in zip(biases, norms, strict=True)]


def kernel_colours(kernels: np.ndarray, captions: Sequence[str], own_scale: bool, title: str) -> Figure:
    """Kernels (kh, kw, 3, U) as RGB pictures: mid-grey is zero, the largest weight is fully bright or dark.

    The `captions` stand below the kernels. With `own_scale` each kernel has its own scale; otherwise all share one.
    """
    bound = np.abs(kernels).max(axis=(0, 1, 2)) if own_scale else np.full(kernels.shape[-1], np.abs(kernels).max())
    shares = kernels / np.where(bound > 0, bound, 1)
    pictures = np.round(127.5 + 127.5 * shares).astype(np.uint8)
    panels = [Panel(pictures[..., u], caption) for u, caption in enumerate(captions)]
    note = f"weights {value_range(kernels)}, {_scale(own_scale)}; grey is zero. Below: channel, norm (n) and bias (b)."
    return sheet(_rows(panels), title, note, _COLUMNS)


def kernel_maps(maps: np.ndarray, captions: Sequence[str], own_scale: bool, title: str, heading: str) -> Figure:
    """Kernels (kh, kw, U) as maps; `heading` says which weights, such as the mean over the input channels."""
    shared = limits(maps)
    panels = [
        Panel(maps[..., u], caption, limits(maps[..., u]) if own_scale else shared)
        for u, caption in enumerate(captions)
    ]
    rows = _rows(panels)
    heading = f"{heading}: {value_range(maps)}, {_scale(own_scale)}"
    rows[0] = PanelRow(rows[0].panels, heading, None if own_scale else shared)
    return sheet(rows, title, "Below each kernel: channel, norm (n) and bias (b).", _COLUMNS)


def kernel_components(kernels: np.ndarray, channels: Sequence[int] | np.ndarray, own_scale: bool, title: str) -> Figure:
    """Kernels (kh, kw, 3, U) as three rows of maps: their weights for red, for green and for blue."""
    shared = limits(kernels)
    rows = []
    for start in range(0, len(channels), 2 * _COLUMNS):
        part = range(start, min(start + 2 * _COLUMNS, len(channels)))
        for colour, name in enumerate(_COLOURS):
            panels = [
                Panel(kernels[:, :, colour, u], "", limits(kernels[..., u]) if own_scale else shared) for u in part
            ]
            key = shared if not rows and not own_scale else None
            heading = f"channels {channels[part[0]]} to {channels[part[-1]]}, {name}"
            rows.append(PanelRow(panels, heading, key))
    return sheet(rows, title, f"weights {value_range(kernels)}, {_scale(own_scale)}; white is zero", 2 * _COLUMNS)


def _scale(own_scale: bool) -> str:
    return "each kernel on its own scale" if own_scale else "one scale"


def _rows(panels: list[Panel]) -> list[PanelRow]:
    return [PanelRow(panels[start : start + _COLUMNS]) for start in range(0, len(panels), _COLUMNS)]
