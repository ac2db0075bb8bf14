"""Sheets of a detector's training: images with true and with detected boxes, and augmented images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import Panel, PanelRow, sheet


def pairs(pictures: Sequence[tuple[np.ndarray, np.ndarray, str]], title: str) -> Figure:
    """Two pictures in each row: (with true boxes, with detected boxes, name), the images (H, W, 3) uint8."""
    rows = []
    for start in range(0, len(pictures), 2):
        panels: list[Panel | None] = []
        for true, detected, name in pictures[start : start + 2]:
            panels += [Panel(true, f"{name}: true"), Panel(detected, "found")]
        rows.append(PanelRow(panels + [None] * (4 - len(panels))))
    return sheet(rows, title, columns=4)


def augmentation(rows: Sequence[tuple[Sequence[np.ndarray], str]], title: str) -> Figure:
    """A row for each image: the original with its name, then the view that the network gets in each epoch."""
    return sheet(
        [
            PanelRow([Panel(seen[0], name), *(Panel(view, f"epoch {i}") for i, view in enumerate(seen[1:], 1))])
            for seen, name in rows
        ],
        title,
    )
