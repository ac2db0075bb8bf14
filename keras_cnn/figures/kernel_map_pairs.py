"""Kernel, conv map and ReLU map of each output channel side by side, for several images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, Row, limits, number, sheet, value_range

_IMAGES = 3  # places in a row, whether all are taken or not


def kernel_and_maps(
    images: np.ndarray,
    names: Sequence[str],
    kernels: np.ndarray,
    maps: Sequence[tuple[str, np.ndarray]],
    channels: Sequence[int],
    title: str,
    note: str,
) -> Figure:
    """One row a channel: its kernel, then for each image its `maps`, such as the conv map and the ReLU map.

    `images` (N, H, W, C) uint8, at most three, with `names` of one or more lines; `kernels` (kh, kw, U) of numbers or
    (kh, kw, 3, U) of weights on RGB; `maps` are a heading and an array (N, h, w, U) each. Every map has its own scale,
    its range stands below it; the colours are about zero for all maps of a heading if one of them has both signs.
    """
    count = len(maps)
    tops: list[Panel | None] = [None]
    for image in images:
        tops += [Panel(image), *([None] * (count - 1))]
    rows = [Row(tops, titles=names, span=count, indent=1)]
    bound = np.abs(kernels).max() or 1.0
    for u, channel in enumerate(channels):
        kernel = kernels[..., u]
        picture = np.round(127.5 + 127.5 * kernel / bound).astype(np.uint8) if kernel.ndim == 3 else kernel
        panels = [Panel(picture, f"±{number(np.abs(kernel).max())}", (-bound, bound))]
        for index in range(len(images)):
            for _, values in maps:
                one = values[index, ..., u]
                low, high = limits(one)
                signed = limits(values)[0] < 0 < limits(values)[1]
                panels.append(Panel(one, value_range(one, 2), (-max(-low, high), high) if signed else (low, high)))
        titles = [f"kernel {channel}", *([heading for heading, _ in maps] * len(images))]
        rows.append(Row(panels, "", None, titles))
    return sheet(rows, title, note, 1 + count * _IMAGES)
