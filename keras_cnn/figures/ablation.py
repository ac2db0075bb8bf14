"""An ablation beside its control: the filters chosen, and as many that were drawn at random."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.style import BLUE, GREY, HEADER, ORANGE, WIDTH, fit, new_figure, styled


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
