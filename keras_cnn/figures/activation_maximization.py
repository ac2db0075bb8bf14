"""Pictures that raise a unit, each beside the image that raises it most."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, Row, sheet

_SMALL = 96  # pixels: four pairs of such pictures stand side by side, of larger ones two


def maximised(
    pictures: np.ndarray,
    images: np.ndarray,
    names: Sequence[str],
    below: Sequence[str],
    below_images: Sequence[str],
    title: str,
    note: str,
) -> Figure:
    """A pair a unit: `pictures` and `images` (U, H, W, 1 or 3) uint8, a name above and lines below each.

    Raises ValueError for numbers that are not U and for pictures of another shape or type than the images.
    """
    count = len(pictures)
    if pictures.shape != images.shape or pictures.dtype != np.uint8 or images.dtype != np.uint8:
        raise ValueError(f"pictures {pictures.shape} and images {images.shape}; expected the same shape, both uint8")
    if not len(names) == len(below) == len(below_images) == count:
        raise ValueError(f"{len(names)} names for {count} pictures; expected one each")
    across = min(count, 4 if max(pictures.shape[1:3]) <= _SMALL else 2)
    rows = []
    for start in range(0, count, across):
        part = range(start, min(start + across, count))
        panels = [panel for i in part for panel in (Panel(pictures[i], below[i]), Panel(images[i], below_images[i]))]
        rows.append(Row(panels, titles=[names[i] for i in part], span=2))
    return sheet(rows, title, note, 2 * (across if count > across else max(across, 2)))
