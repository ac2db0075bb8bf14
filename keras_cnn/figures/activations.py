"""Feature maps of one image, the same channels below each other before and after batch norm and activation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, Row, limits, sheet, value_range

COLUMNS = 8


def feature_maps(
    image: np.ndarray, parts: Mapping[str, np.ndarray], channels: Sequence[int], title: str, caption: str
) -> Figure:
    """The `image` (H, W, C) uint8 and its maps (h, w, U) by part: heading -> maps of the U `channels`.

    Every part has one scale for all its maps, shown as a colour key.
    """
    rows = [Row([Panel(image)], caption)]
    for start in range(0, len(channels), COLUMNS):
        chosen = range(start, min(start + COLUMNS, len(channels)))
        titles = [f"channel {channels[u]}" for u in chosen]
        for heading, maps in parts.items():
            bounds = limits(maps)
            panels = [Panel(maps[..., u], "", bounds) for u in chosen]
            rows.append(Row(panels, f"{heading}: {value_range(maps)}", bounds, titles))
            titles = ()
    return sheet(rows, title, columns=COLUMNS)


def feature_vectors(values: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """What a dense layer has for several images (N, units): one line of units an image, `names` (N,) above each."""
    bounds = limits(values)
    width = min(64, values.shape[1])
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % width)), constant_values=np.nan)
    rows = [
        Row([Panel(row.reshape(-1, width), "", bounds)], f"{name}: {value_range(row[np.isfinite(row)])}", bounds)
        for name, row in zip(names, padded, strict=True)
    ]
    return sheet(rows, title, f"units in rows of {width}", 1)
