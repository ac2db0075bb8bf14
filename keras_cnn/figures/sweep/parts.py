"""What the pictures of a sweep share: captions, axes of settings, and how values are written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from keras_cnn.figures.style import GREY, MARGIN, POINT, SMALL_SIZE, TITLE_SIZE, WIDTH, fit, printable, text_width

# Light to dark, so that it prints and its text can be told apart from its ground at both ends.
BLUES = LinearSegmentedColormap.from_list("blues", ["#eef4fa", "#7fb3d8", "#0072b2", "#00395a"])
_LINE = 1.45 * SMALL_SIZE * POINT  # inches from one line of small text to the next
FEW = 6  # values of a number that are ticks themselves
MOST_LABELS = 12  # levels along an axis whose names are all printed


def scale_axis(axis, logarithmic: bool) -> None:
    """Ticks of a matplotlib axis at round numbers, as `as_number` writes them."""
    if logarithmic:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
        low, high = sorted(axis.get_view_interval())
        subs = (1,) if high > 300 * low else (1, 2, 5) if high > 8 * low else (1, 2, 3, 4, 6, 8)
        axis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: as_number(value)))


def beside_legend(title: str, legend: float = 2.0) -> str:
    """The title as it fits beside a legend of so many inches."""
    return fit(title, TITLE_SIZE, WIDTH - legend - 2 * MARGIN)


def write_caption(figure: Figure, caption: str) -> None:
    """Sets the caption below the figure, which must be `caption_height` taller for it."""
    if caption:
        text = "\n".join(_wrapped(caption))
        figure.supxlabel(text, x=MARGIN / WIDTH, ha="left", fontsize=SMALL_SIZE, color=GREY)


def caption_height(caption: str) -> float:
    """Inches that a caption takes; "" takes none."""
    return len(_wrapped(caption)) * _LINE if caption else 0.0


def _wrapped(caption: str) -> list[str]:
    lines = [""]
    for word in printable(caption).split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, SMALL_SIZE) <= WIDTH - 3 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN) for line in lines]


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers; truth values are none."""
    return all(isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_) for v in values)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether they span so much that a linear scale would push the small ones together."""
    return min(values) > 0 and max(values) >= 4 * min(values)


def as_text(value: Any) -> str:
    """A setting's value as an axis has it."""
    return as_number(value) if isinstance(value, float) else str(value)


def as_number(value: float) -> str:
    """Short, and in words a reader of axes knows: 25k, 1.5M, 0.0001."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            return f"{value / (1e3 if unit == 'k' else scale):.3g}{unit}"
    return f"{value:.4g}"
