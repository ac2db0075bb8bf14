"""Receptive fields: what a unit of each layer sees of the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_cnn.figures.style import FAINT, GREY, HEADER, INK, SMALL_SIZE, WIDTH, fit, new_figure, styled

_COLUMNS = 5
_PANEL = 1.3  # inches


@dataclass(frozen=True)
class Field:
    """What one unit of a layer sees."""

    caption: str  # lines below the panel
    box: tuple[int, int, int, int]  # top, bottom, left, right by arithmetic, ends excluded
    strength: np.ndarray  # (H, W), not negative: how much each pixel moves the unit


@styled
def receptive_fields(fields: Sequence[Field], title: str) -> Figure:
    """A panel a layer: the gradient's strength at each pixel, over its largest, framed by what arithmetic says.

    A pixel without any gradient is grey. Colours follow the square root, or little but the middle would be seen.
    Raises ValueError for no field.
    """
    if not fields:
        raise ValueError("no receptive field to draw; expected at least one")
    columns, rows = min(_COLUMNS, len(fields)), -(-len(fields) // _COLUMNS)
    lines = max(field.caption.count("\n") + 1 for field in fields)
    figure = new_figure(WIDTH, HEADER + rows * (_PANEL + 0.16 * lines + 0.15) + 0.55, title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel()[len(fields) :]:
        ax.set_axis_off()
    for ax, field in zip(axes.ravel(), fields, strict=False):
        strength = field.strength / max(field.strength.max(), 1e-300)
        values = np.ma.masked_where(field.strength == 0, np.sqrt(strength))
        ax.set_facecolor(FAINT)
        mesh = ax.imshow(values, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        top, bottom, left, right = field.box
        corner = (left - 0.5, top - 0.5)
        ax.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor="#2ca9e1", linewidth=1.2))
        height, width = strength.shape
        ax.set(xlim=(-1, width), ylim=(height, -1), xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=GREY)
        caption = "\n".join(fit(line, SMALL_SIZE, _PANEL) for line in field.caption.split("\n"))
        ax.set_xlabel(caption, fontsize=SMALL_SIZE, color=INK)
    bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.25", "1"])
    bar.set_label("mean gradient at the pixel, over the largest; grey: none; frame: by arithmetic")
    return figure
