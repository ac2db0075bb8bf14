"""Kernels of a convolution as a grid of small pictures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, Row, limits, number, sheet, value_range

COLUMNS = 8
COLOURS = ("red", "green", "blue")


def kernel_colours(kernels: np.ndarray, channels: Sequence[int], captions: Sequence[str], own_scale: bool, title: str):
    """Kernels (kh, kw, 3, U) as RGB images; middle grey is zero, and the largest weight is full or no light.

    `channels` are the U output channels' numbers, `captions` stand below. `own_scale` lets each kernel use all colours
    for itself; else all have one scale.
    """
    bound = np.abs(kernels).max(axis=(0, 1, 2)) if own_scale else np.full(kernels.shape[-1], np.abs(kernels).max())
    shares = kernels / np.where(bound > 0, bound, 1)
    pictures = np.round(127.5 + 127.5 * shares).astype(np.uint8)
    panels = [Panel(pictures[..., u], f"{channels[u]}: {captions[u]}") for u in range(len(channels))]
    scale = "each kernel on its own scale" if own_scale else "one scale"
    note = f"weights {value_range(kernels)}, {scale}; grey is zero. Below: channel, norm (n) and bias (b)."
    return sheet(_rows(panels), title, note, COLUMNS)


def kernel_maps(
    maps: np.ndarray, channels: Sequence[int], captions: Sequence[str], own_scale: bool, title: str, what: str
) -> Figure:
    """Kernels (kh, kw, U) of numbers, such as the mean over the input channels; `what` says which they are."""
    shared = limits(maps)
    panels = [
        Panel(maps[..., u], f"{channels[u]}: {captions[u]}", limits(maps[..., u]) if own_scale else shared)
        for u in range(len(channels))
    ]
    rows = _rows(panels)
    scale = "each kernel on its own scale" if own_scale else "one scale"
    heading = f"{what}: {value_range(maps)}, {scale}"
    rows[0] = Row(rows[0].panels, heading, None if own_scale else shared)
    return sheet(rows, title, "Below each kernel: channel, norm (n) and bias (b).", COLUMNS)


def kernel_components(kernels: np.ndarray, channels: Sequence[int], own_scale: bool, title: str) -> Figure:
    """Kernels (kh, kw, 3, U): what each multiplies red, green and blue with, in three rows a group of U."""
    shared = limits(kernels)
    rows = []
    for start in range(0, len(channels), 2 * COLUMNS):
        part = range(start, min(start + 2 * COLUMNS, len(channels)))
        for colour, name in enumerate(COLOURS):
            panels = [
                Panel(kernels[:, :, colour, u], "", limits(kernels[..., u]) if own_scale else shared) for u in part
            ]
            key = shared if not rows and not own_scale else None
            heading = f"channels {channels[part[0]]} to {channels[part[-1]]}, {name}"
            rows.append(Row(panels, heading, key))
    scale = "each kernel on its own scale" if own_scale else "one scale"
    return sheet(rows, title, f"weights {value_range(kernels)}, {scale}; white is zero", 2 * COLUMNS)


def bias_and_norm(bias: np.ndarray | None, norms: np.ndarray) -> list[str]:
    """Two lines a kernel."""
    biases = [""] * len(norms) if bias is None else [f"\nb {number(value)}" for value in bias]
    return [f"n {number(norm)}{b}" for b, norm in zip(biases, norms, strict=True)]


def _rows(panels: list[Panel]) -> list[Row]:
    return [Row(panels[start : start + COLUMNS]) for start in range(0, len(panels), COLUMNS)]
