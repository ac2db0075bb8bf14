"""Rows of small pictures: images, maps and kernels, every pixel of a small one shown, with captions and a colour key.

A map is drawn from its smallest to its largest value, or symmetrically about zero where it has both signs: then white
is zero, red above and blue below, and both sides have the same scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.style import (
    DPI,
    GREY,
    HEADER,
    INK,
    MARGIN,
    POINT,
    SMALL_SIZE,
    WIDTH,
    fit,
    new_figure,
    printable,
    styled,
    text_width,
)

SIGNED, POSITIVE = "RdBu_r", "viridis"
_LINE = 1.35 * SMALL_SIZE * POINT  # inches from one line of text to the next
_GAP = 0.08  # inches between pictures
_KEY = (0.75, 0.09)  # inches, width and height of a colour key


@dataclass(frozen=True)
class Panel:
    """One picture: an image (H, W, 1 or 3) uint8, or a map (H, W) of numbers with the limits of its colours."""

    picture: np.ndarray
    caption: str = ""  # lines below it
    limits: tuple[float, float] = (0.0, 1.0)
    over: np.ndarray | None = None  # an image (H, W, C) uint8 to lay the map over, half transparent


@dataclass(frozen=True)
class Row:
    """Panels side by side below a line of text; None leaves a place empty."""

    panels: Sequence[Panel | None]
    heading: str = ""
    key: tuple[float, float] | None = None  # limits that all maps of the row share, shown as a colour key
    titles: Sequence[str] = ()  # lines above the panels, one text for every `span` of them
    span: int = 1
    indent: int = 0  # places before the first title


def limits(values: np.ndarray) -> tuple[float, float]:
    """Symmetric about zero where there are both signs, else from zero or the smallest value to the largest."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if low < 0 < high:
        bound = max(-low, high)
        return (-bound, bound)
    if low >= 0:
        return (0.0, high) if high > 0 else (0.0, 1.0)
    return (low, 0.0)


def coloured(values: np.ndarray, bounds: tuple[float, float] | None = None) -> np.ndarray:
    """(H, W, 3) uint8: a map (H, W) in the colours that a panel gives it; `bounds` default to its limits."""
    low, high = bounds or limits(values)
    if low < 0:
        high = max(-low, high)
        low = -high
    shares = (values - low) / ((high - low) or 1)
    return matplotlib.colormaps[SIGNED if low < 0 else POSITIVE](shares, bytes=True)[..., :3]


def value_range(values: np.ndarray, digits: int = 3) -> str:
    """Smallest and largest value, neither finer than the larger magnitude of the two has digits."""
    low, high = float(values.min()), float(values.max())
    scale = max(-low, high)
    if np.isfinite(scale) and scale > 0:
        decimals = max(digits - 1 - math.floor(math.log10(scale)), 2 if scale < 10 else 0)
        low, high = (round(value, decimals) + 0.0 for value in (low, high))  # + 0.0: without the sign of a zero
    return f"{number(low, digits)} to {number(high, digits)}"


def number(value: float, digits: int = 3) -> str:
    """With so many significant digits, a proper minus sign, and no zeros before an exponent: −1.3e−5."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}{e}{int(exponent) if e else ''}".replace("-", "−")


@styled
def sheet(rows: Sequence[Row], title: str, note: str = "", columns: int | None = None) -> Figure:
    """The rows one below the other; all have the places of `columns`, by default of the longest row.

    The lines of the `note` stand below the title. Lines that are too long are broken between words, and a word that is
    too long is shortened. Pictures of one row must have one shape.
    """
    columns = columns or max(len(row.panels) for row in rows)
    place = _pixels((WIDTH - 2 * MARGIN + _GAP) / columns) - _GAP
    rows = [_broken_row(row, place) for row in rows]
    notes = broken(note, WIDTH - 2 * MARGIN).split("\n") if note else []
    top = HEADER + len(notes) * _LINE
    heights = [_height(row, place) for row in rows]
    figure = new_figure(WIDTH, top + sum(heights) + MARGIN, title, layout=None)
    for index, line in enumerate(notes):
        _text(figure, MARGIN, HEADER + (index - 0.5) * _LINE, fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN), GREY)
    for row, height in zip(rows, heights, strict=True):
        _draw_row(figure, row, top, place)
        top += height
    return figure


def _broken_row(row: Row, place: float) -> Row:
    panels = [panel and replace(panel, caption=broken(panel.caption, place)) for panel in row.panels]
    return replace(row, panels=panels, titles=[broken(title, _title_room(row, place)) for title in row.titles])


def _title_room(row: Row, place: float) -> float:
    return row.span * (place + _GAP) - _GAP


def _height(row: Row, place: float) -> float:
    lines = max((panel.caption.count("\n") + 1 for panel in row.panels if panel and panel.caption), default=0)
    above = bool(row.heading or row.key) + _title_lines(row)
    return above * _LINE + bool(above) * 0.2 * _LINE + _size(row, place)[0] + (lines + 0.3) * _LINE + 1.5 * _GAP


def _title_lines(row: Row) -> int:
    return max((title.count("\n") + 1 for title in row.titles), default=0)


def _size(row: Row, place: float) -> tuple[float, float]:
    """Height and width in inches of the row's pictures: small ones enlarged by a whole number, in pixels."""
    shapes = [panel.picture.shape[:2] for panel in row.panels if panel]
    height, width = max(shapes, default=(1, 1))
    room = round(place * DPI)
    # Tall pictures may be as high as the place is wide, so that rows stay even.
    scale = min(room / width, 1.5 * room / height)
    # Below three times, whole numbers waste too much of the page; matplotlib smooths the odd pixels then.
    scale = int(scale) if scale >= 3 else scale
    return _pixels(height * scale / DPI), _pixels(width * scale / DPI)


def _draw_row(figure: Figure, row: Row, top: float, place: float) -> None:
    if row.heading or row.key:
        room = WIDTH - 2 * MARGIN - (_key_width(row.key) if row.key else 0)
        _text(figure, MARGIN, top, fit(row.heading, SMALL_SIZE, room), GREY)
        if row.key:
            _draw_key(figure, row.key, top)
        top += _LINE
    room = _title_room(row, place)
    for index, title in enumerate(row.titles):
        left = _left(row.indent + index * row.span, place)
        for row_line, line in enumerate(title.split("\n")):
            _text(figure, left, top + row_line * _LINE, fit(line, SMALL_SIZE, room), INK)
    top += _title_lines(row) * _LINE
    if row.heading or row.key or row.titles:
        top += 0.2 * _LINE
    height, width = _size(row, place)
    for column, panel in enumerate(row.panels):
        if panel is None:
            continue
        ax = _axes(figure, _left(column, place), top, width, height)
        _draw_picture(ax, panel, width)
        for index, line in enumerate(panel.caption.split("\n") if panel.caption else ()):
            _text(figure, _left(column, place), top + height + (index + 0.2) * _LINE, fit(line, SMALL_SIZE, place), INK)


def _draw_picture(ax, panel: Panel, width: float) -> None:
    picture = panel.picture
    whole = (width * DPI + 1e-6) // picture.shape[1] >= 3
    smooth = {"interpolation": "nearest" if whole else "antialiased", "aspect": "auto"}
    if picture.ndim == 3:
        ax.imshow(_coloured(picture), **smooth)
        return
    low, high = panel.limits
    colours = matplotlib.colormaps[SIGNED if low < 0 else POSITIVE]
    symmetric = max(-low, high) if low < 0 else None
    low, high = (-symmetric, symmetric) if symmetric else (low, high)
    opacity = None
    if panel.over is not None:
        ax.imshow(_coloured(panel.over.mean(axis=-1, keepdims=True).astype(np.uint8)), **smooth)
        opacity = 0.8 * np.clip(np.abs(picture) / (max(-low, high) or 1), 0, 1)  # where nothing is, the image shows
    ax.imshow(picture, cmap=colours, vmin=low, vmax=high, alpha=opacity, **smooth)


def _coloured(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(3, axis=-1) if picture.shape[-1] == 1 else picture


def _draw_key(figure: Figure, bounds: tuple[float, float], top: float) -> None:
    low, high = bounds
    bound = max(-low, high)
    low = -bound if low < 0 else low
    high = bound if low < 0 else high
    right = WIDTH - MARGIN
    _text(figure, right, top, number(high), GREY, ha="right")
    left = right - text_width(number(high), SMALL_SIZE) - 0.06 - _KEY[0]
    _text(figure, left - 0.06, top, number(low), GREY, ha="right")
    ax = _axes(figure, left, top + 0.12 * _LINE, *_KEY)
    ramp = np.linspace(0, 1, 128)[None]
    ax.imshow(ramp, cmap=matplotlib.colormaps[SIGNED if low < 0 else POSITIVE], aspect="auto")


_LABEL = 0.55  # inches for a number beside the key


def broken(text: str, room: float) -> str:
    """The lines of a text as lines of at most `room` inches, broken between words."""
    return "\n".join(part for line in text.split("\n") for part in _parts(line, room))


def _parts(line: str, room: float) -> list[str]:
    parts = [""]
    for word in printable(line).split(" "):
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and text_width(longer, SMALL_SIZE) > room:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _key_width(bounds: tuple[float, float]) -> float:
    return _KEY[0] + 2 * _LABEL + 0.1


def _axes(figure: Figure, left: float, top: float, width: float, height: float):
    whole = figure.get_figheight()
    ax = figure.add_axes((left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _text(figure: Figure, left: float, top: float, text: str, colour: str, ha: str = "left") -> None:
    place = (left / WIDTH, 1 - top / figure.get_figheight())
    figure.text(*place, text, ha=ha, va="top", fontsize=SMALL_SIZE, color=colour)


def _left(column: int, place: float) -> float:
    return MARGIN + column * (place + _GAP)


def _pixels(inches: float) -> float:
    return int(inches * DPI + 1e-6) / DPI
