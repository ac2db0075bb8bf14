"""Crossings of counting lines and zones over time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_cnn.figures.style import BLUE, GREEN, GREY, INK, ORANGE, WIDTH, new_figure, styled

_PANEL = 1.9  # inches for each gate
_COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#b8860b")
_DASHES = ("-", (0, (4, 1.5)))  # one for each direction


@styled
def crossings(gates: Mapping[str, Mapping[tuple[str, str], Sequence[float]]], seconds: float, title: str) -> Figure:
    """Number of objects that have crossed each gate over time, with a line for each direction and class.

    `gates` is name -> (direction, class) -> times in seconds, in any order; `seconds` is the length of the video. A
    class has the same colour and a direction the same dashes in all panels. Raises ValueError if there is no gate.
    """
    if not gates:
        raise ValueError("no gate to draw crossings of")
    figure = new_figure(WIDTH, 0.5 + _PANEL * len(gates), title)
    names = sorted({name for series in gates.values() for _, name in series})
    axes = figure.subplots(len(gates), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (gate, series) in zip(axes, gates.items(), strict=True):
        directions = sorted({direction for direction, _ in series})
        for (direction, name), times in sorted(series.items()):
            steps = np.sort(np.asarray(times, float))
            x, y = np.concatenate([[0], steps, [seconds]]), np.concatenate([np.arange(len(steps) + 1), [len(steps)]])
            look = {
                "color": _COLOURS[names.index(name) % len(_COLOURS)],
                "linestyle": _DASHES[directions.index(direction) % 2],
            }
            ax.plot(x, y, drawstyle="steps-post", label=f"{name} {direction}: {len(steps)}", **look)
        if not series:
            ax.text(0.5, 0.5, "no crossing", transform=ax.transAxes, ha="center", va="center", color=GREY)
        ax.set_title(f"{gate}: crossings so far", color=INK)
        ax.grid(axis="y")
        ax.set_xlim(0, seconds)
        ax.set_ylim(bottom=0, top=max([len(times) for times in series.values()], default=1) * 1.1)
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        if series:
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1].set_xlabel("seconds")
    return figure
