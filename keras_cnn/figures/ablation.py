"""An ablation beside its control, as many filters drawn at random; and beside the same one as it was published."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.panels import broken
from keras_cnn.figures.style import (
    BLUE,
    GREY,
    HEADER,
    MARGIN,
    ORANGE,
    POINT,
    SMALL_SIZE,
    WIDTH,
    fit,
    new_figure,
    styled,
)

_LEGEND = 0.25  # inches


@styled
def against_random(difference: float, interval, random, random_intervals, names: Sequence[str], title: str) -> Figure:
    """Change of the accuracy with the chosen filters at zero, on top, and below with each random choice; in points.

    `difference` and `random` (R,) are shares in [-1, 1], their intervals (2,) and (R, 2), `names` (R,) of the random
    choices. Raises ValueError for lengths at odds.
    """
    random, random_intervals = np.asarray(random, np.float64), np.asarray(random_intervals, np.float64)
    if random.shape != (len(names),) or random_intervals.shape != (len(names), 2):
        raise ValueError(f"{random.shape} and {random_intervals.shape} for {len(names)} random choices")
    values = 100 * np.concatenate([[difference], random])
    ends = 100 * np.concatenate([np.reshape(interval, (1, 2)), random_intervals])
    figure = new_figure(WIDTH, HEADER + 0.22 * len(values) + 0.6, title)
    ax = figure.subplots()
    ax.axvline(0, color=GREY, linewidth=0.8)
    for row, (value, (low, high)) in enumerate(zip(values, ends, strict=True)):
        colour = ORANGE if row == 0 else BLUE
        ax.plot([low, high], [row, row], color=colour, linewidth=1.4)
        ax.plot(value, row, "o", color=colour, markersize=5)
    labels = ["chosen", *(fit(name, 8, 2.6) for name in names)]
    ax.set_yticks(range(len(values)), labels)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.set_xlabel("change of the accuracy in points, 95 % paired bootstrap interval")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    return figure


@styled
def beside_published(names: Sequence[str], published, measured, intervals, title: str, note: str) -> Figure:
    """Class by class the accuracy before and after as published and as measured, and the two differences.

    `published` and `measured` (R, 2) are shares in [0, 1], before and after; NaN where there is none. `intervals`
    (R, 2) are those of the measured difference. The lines of the `note` stand below. Raises ValueError for lengths at
    odds.
    """
    published, measured, intervals = (np.asarray(values, np.float64) for values in (published, measured, intervals))
    if not published.shape == measured.shape == intervals.shape == (len(names), 2):
        raise ValueError(f"{published.shape}, {measured.shape} and {intervals.shape} for {len(names)} rows")
    note = broken(note, WIDTH - 2 * MARGIN)
    below = 1.4 * SMALL_SIZE * POINT * (note.count("\n") + 1) + 2 * MARGIN
    height = HEADER + _LEGEND + 0.3 * len(names) + 0.6 + below
    figure = new_figure(WIDTH, height, title, layout=None)
    figure.set_layout_engine("constrained", rect=(0, below / height, 1, 1 - (below + HEADER + _LEGEND) / height))
    place = {"x": MARGIN / WIDTH, "y": MARGIN / height, "va": "bottom"}
    figure.text(s=note, **place, fontsize=SMALL_SIZE, color=GREY, linespacing=1.3)
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(names))
    for values, colour, shift, name in ((published, GREY, -0.17, "published"), (measured, BLUE, 0.17, "measured")):
        before, after = 100 * values.T
        left.hlines(rows + shift, before, after, color=colour, linewidth=1)
        look = {"color": colour, "markersize": 4.5, "linestyle": ""}
        left.plot(before, rows + shift, "o", **look | {"markerfacecolor": "white"}, label=f"{name}, before")
        left.plot(after, rows + shift, "o", **look, label=f"{name}, after")
        right.plot(after - before, rows + shift, "o", **look)
    right.hlines(rows + 0.17, *(100 * intervals.T), color=BLUE, linewidth=1.2)
    right.axvline(0, color=GREY, linewidth=0.8)
    left.set_yticks(rows, [fit(name, SMALL_SIZE, 1.6) for name in names])
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_title("accuracy in %")
    right.set_title("difference in points, 95 % interval")
    for ax in (left, right):
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    figure.legend(*left.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0, 1 - HEADER / height), ncols=4)
    return figure
