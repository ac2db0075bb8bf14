"""Parallel coordinates drawn with matplotlib."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from keras_cnn.charts import ParallelCoordinates
from keras_cnn.charts.png.maps import BLUES
from keras_cnn.figures.style import GREY, INK, MARGIN, ORANGE, SMALL_SIZE, WIDTH, fit, new_figure

_FAN = 0.05  # spread of equal values, relative to an axis


def draw(data: ParallelCoordinates, title: str) -> Figure:
    """One line per run, darker for a higher result. Lines with the same value are spread, higher results above."""
    drawn = new_figure(WIDTH, 3.9, title, layout=None)
    ax = drawn.add_axes((0.06, 0.12, 0.88, 0.70))
    at = np.column_stack([(np.asarray(a.places, float) - a.low) / (a.high - a.low) for a in data.axes])
    lines = np.stack([np.column_stack([np.arange(len(data.axes)), row]) for row in at])
    result = np.asarray(data.axes[-1].places, float)
    order = np.argsort(result, kind="stable")
    shades = np.asarray(Normalize(result.min(), result.max())(result))
    lines[:, :-1, 1] += _FAN * (shades[:, None] - 0.5)
    ax.add_collection(LineCollection(list(lines[order]), colors=BLUES(0.15 + 0.85 * shades[order]), linewidths=1.1))
    ax.add_collection(LineCollection([lines[data.best]], colors=[ORANGE], linewidths=2.2))
    ax.set_xlim(0, len(data.axes) - 1)
    ax.set_ylim(-0.04, 1.04)
    ax.axis("off")
    room = 0.88 * WIDTH / max(1, len(data.axes) - 1)
    for i in range(len(data.axes)):
        ax.axvline(i, color=GREY, linewidth=0.8, zorder=3)
        _parallel_axis(ax, i, data, room)
    drawn.text(MARGIN / WIDTH, 0.02, "orange: the best run", fontsize=SMALL_SIZE, color=GREY)
    return drawn


def _parallel_axis(ax: Axes, i: int, data: ParallelCoordinates, room: float) -> None:
    axis, last = data.axes[i], len(data.axes) - 1
    align = "right" if i == last else "left"
    ground = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
    look = {"va": "center", "fontsize": SMALL_SIZE - 1, "color": INK, "zorder": 4, "bbox": ground}
    for place, text in axis.ticks:
        y = (place - axis.low) / (axis.high - axis.low)
        ax.text(i, y, f" {fit(text, SMALL_SIZE, 0.6 * room)} ", ha=align, **look)
    # Names of adjacent axes alternate between two heights, so that each has the room of two.
    name = fit(axis.name, SMALL_SIZE, 1.3 * room)
    place = "center" if 0 < i < last else align
    ax.text(i, 1.07 + 0.07 * (i % 2), name, va="bottom", ha=place, fontsize=SMALL_SIZE, color=INK)
