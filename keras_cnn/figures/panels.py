"""Sheets of small pictures (images, maps, kernels) in rows, with captions and colour keys.

The colours of a map without negative values run from zero to its largest value. Otherwise they are symmetric about
zero: white is zero, positive values are red and negative values are blue on one scale. Small pictures are enlarged so
that every pixel shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_cnn.figures import style
from keras_cnn.figures.placement import KEY_SIZE, as_rgb, bare_axes, place_colour_key, place_text, whole_pixels
from keras_cnn.figures.style import DPI, GREY, HEADER, INK, MARGIN, POINT, SMALL_SIZE, WIDTH, fit, new_figure, styled

SIGNED, POSITIVE = "RdBu_r", "viridis"
_LINE = 1.35 * SMALL_SIZE * POINT  # inches from one line of text to the next
_BADGE = 1.9 * _LINE  # inches for the badge
_GAP = 0.08  # inches between pictures
_LABEL = 0.55  # inches for a number beside the key


@dataclass(frozen=True)
class Panel:
    """One picture: an image (H, W, 1 or 3) uint8, or a map (H, W) of numbers with the limits of its colours."""

    picture: np.ndarray
    caption: str = ""  # lines below the picture
    limits: tuple[float, float] = (0.0, 1.0)
    over: np.ndarray | None = None  # an image (H, W, C) uint8 below the map, which is then half transparent


@dataclass(frozen=True)
class PanelRow:
    """Panels side by side below a line of text; None leaves a place empty."""

    panels: Sequence[Panel | None]
    heading: str = ""
    key: tuple[float, float] | None = None  # the limits that all maps of the row share, shown as a colour key
    titles: Sequence[str] = ()  # texts above the panels, each above `span` of them
    span: int = 1
    indent: int = 0  # places before the first title


def limits(values: np.ndarray) -> tuple[float, float]:
    """The colour limits of a map: symmetric about zero for both signs, else from zero to its extreme value."""
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
    (low, high), colour_map = _scale(bounds or limits(values))
    shares = (values - low) / ((high - low) or 1)
    return matplotlib.colormaps[colour_map](shares, bytes=True)[..., :3]


def overlaid(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a map (H, W) over an image (H, W, C) uint8 in grey, as a panel shows them."""
    bounds = limits(values)
    opacity = _opacity(values, bounds)[..., None]
    grey = image.mean(axis=-1, keepdims=True).astype(np.uint8)
    return np.round(opacity * coloured(values, bounds) + (1 - opacity) * grey).astype(np.uint8)


def _opacity(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """0 where the map is 0, so that the image shows, up to 0.8 at the end of the colour scale."""
    (low, high), _ = _scale(bounds)
    return 0.8 * np.clip(np.abs(values) / (max(-low, high) or 1), 0, 1)


def value_range(values: np.ndarray, digits: int = 3) -> str:
    """The smallest and the largest value as text, rounded to the digits of the one with the larger magnitude."""
    low, high = float(values.min()), float(values.max())
    scale = max(-low, high)
    if np.isfinite(scale) and scale > 0:
        decimals = max(digits - 1 - math.floor(math.log10(scale)), 2 if scale < 10 else 0)
        low, high = (round(value, decimals) + 0.0 for value in (low, high))  # + 0.0 removes the sign of a zero
    return f"{number(low, digits)} to {number(high, digits)}"


def number(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits, a typographic minus sign and a short exponent: −1.3e−5."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}{e}{int(exponent) if e else ''}".replace("-", "−")


@styled
def sheet(
    rows: Sequence[PanelRow],
    title: str,
    note: str = "",
    columns: int | None = None,
    *,
    badge: tuple[str, str] | None = None,
) -> Figure:
    """The rows below each other, each with `columns` places; by default as many as the longest row has.

    A `badge`, a text and its colour, stands below the title as white on that colour.

    The lines of the `note` stand below the title. Long lines are broken between words, and a word that is too long is
    shortened. All pictures of a row must have the same shape.
    """
    columns = columns or max(len(row.panels) for row in rows)
    place = whole_pixels((WIDTH - 2 * MARGIN + _GAP) / columns) - _GAP
    rows = [_broken_row(row, place) for row in rows]
    notes = broken(note, WIDTH - 2 * MARGIN).split("\n") if note else []
    below = HEADER + (_BADGE if badge else 0)
    top = below + len(notes) * _LINE
    heights = [_height(row, place) for row in rows]
    figure = new_figure(WIDTH, top + sum(heights) + MARGIN, title, layout=None)
    if badge:
        _draw_badge(figure, *badge)
    for index, line in enumerate(notes):
        place_text(figure, MARGIN, below + (index - 0.5) * _LINE, fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN), GREY)
    for row, height in zip(rows, heights, strict=True):
        _draw_row(figure, row, top, place)
        top += height
    return figure


def _draw_badge(figure: Figure, text: str, colour: str) -> None:
    width, height = figure.get_size_inches()
    room = WIDTH - 2 * MARGIN - 0.2
    box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "none"}
    place = ((MARGIN + 0.06) / width, 1 - (HEADER - 0.02) / height)
    figure.text(*place, fit(text, SMALL_SIZE, room), fontsize=SMALL_SIZE, color="white", va="top", bbox=box)


def _broken_row(row: PanelRow, place: float) -> PanelRow:
    panels = [panel and replace(panel, caption=broken(panel.caption, place)) for panel in row.panels]
    return replace(row, panels=panels, titles=[broken(title, _title_room(row, place)) for title in row.titles])


def _title_room(row: PanelRow, place: float) -> float:
    return row.span * (place + _GAP) - _GAP


def _height(row: PanelRow, place: float) -> float:
    lines = max((panel.caption.count("\n") + 1 for panel in row.panels if panel and panel.caption), default=0)
    above = bool(row.heading or row.key) + _title_lines(row)
    return above * _LINE + bool(above) * 0.2 * _LINE + _size(row, place)[0] + (lines + 0.3) * _LINE + 1.5 * _GAP


def _title_lines(row: PanelRow) -> int:
    return max((title.count("\n") + 1 for title in row.titles), default=0)


def _size(row: PanelRow, place: float) -> tuple[float, float]:
    """Height and width in inches of the pictures of a row; small ones are enlarged by a whole number."""
    shapes = [panel.picture.shape[:2] for panel in row.panels if panel]
    height, width = max(shapes, default=(1, 1))
    room = round(place * DPI)
    # A picture may be 1.5 times as high as its place is wide, so that rows stay even.
    scale = min(room / width, 1.5 * room / height)
    # Below a factor of three, whole numbers waste too much space, so matplotlib smooths uneven pixels.
    scale = int(scale) if scale >= 3 else scale
    return whole_pixels(height * scale / DPI), whole_pixels(width * scale / DPI)


def _draw_row(figure: Figure, row: PanelRow, top: float, place: float) -> None:
    if row.heading or row.key:
        room = WIDTH - 2 * MARGIN - (KEY_SIZE[1] + 2 * _LABEL + 0.1 if row.key else 0)
        place_text(figure, MARGIN, top, fit(row.heading, SMALL_SIZE, room), GREY)
        if row.key:
            (low, high), colour_map = _scale(row.key)
            ends = (number(low), number(high))
            place_colour_key(figure, WIDTH - MARGIN, top, ends, colour_map, line_height=_LINE)
        top += _LINE
    room = _title_room(row, place)
    for index, title in enumerate(row.titles):
        left = _left(row.indent + index * row.span, place)
        for row_line, line in enumerate(title.split("\n")):
            place_text(figure, left, top + row_line * _LINE, fit(line, SMALL_SIZE, room), INK)
    top += _title_lines(row) * _LINE
    if row.heading or row.key or row.titles:
        top += 0.2 * _LINE
    size = _size(row, place)
    for column, panel in enumerate(row.panels):
        if panel is None:
            continue
        left = _left(column, place)
        _draw_picture(bare_axes(figure, left, top, size), panel, size[1])
        for index, line in enumerate(panel.caption.split("\n") if panel.caption else ()):
            place_text(figure, left, top + size[0] + (index + 0.2) * _LINE, fit(line, SMALL_SIZE, place), INK)


def _draw_picture(axes: Axes, panel: Panel, width: float) -> None:
    picture = panel.picture
    enlarged = (width * DPI + 1e-6) // picture.shape[1] >= 3
    look: dict[str, Any] = {"interpolation": "nearest" if enlarged else "antialiased", "aspect": "auto"}
    if picture.ndim == 3:
        axes.imshow(as_rgb(picture), **look)
        return
    (low, high), colour_map = _scale(panel.limits)
    opacity = None
    if panel.over is not None:
        axes.imshow(as_rgb(panel.over.mean(axis=-1, keepdims=True).astype(np.uint8)), **look)
        opacity = _opacity(picture, panel.limits)
    axes.imshow(picture, cmap=colour_map, vmin=low, vmax=high, alpha=opacity, **look)


def _scale(bounds: tuple[float, float]) -> tuple[tuple[float, float], str]:
    """The ends of the colour scale, symmetric where `bounds` reach below zero, and the name of the colour map."""
    low, high = bounds
    if low >= 0:
        return (low, high), POSITIVE
    bound = max(-low, high)
    return (-bound, bound), SIGNED


def broken(text: str, room: float) -> str:
    """The text with its lines broken between words to at most `room` inches."""
    return "\n".join(part for line in text.split("\n") for part in _parts(line, room))


def _parts(line: str, room: float) -> list[str]:
    parts = [""]
    for word in style.printable(line).split(" "):
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and style.text_width(longer, SMALL_SIZE) > room:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _left(column: int, place: float) -> float:
    return MARGIN + column * (place + _GAP)
