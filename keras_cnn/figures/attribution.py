"""Attribution maps beside their images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, Row, limits, sheet, value_range

_SMALL = 96  # pixels: two small images with their maps stand side by side


def attribution_sheet(images: np.ndarray, values: np.ndarray, captions: Sequence[str], title: str, note: str) -> Figure:
    """One group an image: the image, its map, and the map over the image or, of a gradient, its magnitude.

    `images` (N, H, W, C) uint8; `values` (N, H, W) or, for each channel of the image, (N, H, W, C); `captions`, of one
    or more lines, stand above each group. Every map has its own scale, its range stands below it.
    """
    groups = [_group(image, value) for image, value in zip(images, values, strict=True)]
    across = 2 if images.shape[2] <= _SMALL and len(images) > 1 else 1
    rows = []
    for start in range(0, len(groups), across):
        part = range(start, min(start + across, len(groups)))
        panels = [panel for index in part for panel in groups[index]]
        rows.append(Row(panels, titles=[captions[index] for index in part], span=3))
    return sheet(rows, title, note, 3 * across)


def _group(image: np.ndarray, values: np.ndarray) -> list[Panel]:
    if values.ndim == 2:
        bounds = limits(values)
        return [
            Panel(image),
            Panel(values, f"map\n{value_range(values, 2)}", bounds),
            Panel(values, "over the image", bounds, image),
        ]
    signed, magnitude = values.sum(axis=-1), np.abs(values).max(axis=-1)
    return [
        Panel(image),
        Panel(signed, f"channel sum\n{value_range(signed, 2)}", limits(signed)),
        Panel(magnitude, f"largest magnitude\n{value_range(magnitude, 2)}", limits(magnitude)),
    ]
