"""Sheets of images, each with its caption; small images are enlarged by a whole number so that every pixel shows."""

from collections.abc import Sequence
from dataclasses import dataclass

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
)

_GAP = 0.1  # inches between tiles
_LINE = 1.3 * SMALL_SIZE * POINT  # inches from one line of a caption to the next


def mistake_caption(name: str, true: str, predicted: str, probability: float) -> str:
    """Four lines for a sheet of mistakes; `probability` in [0, 1] is that of the predicted class."""
    name, true, predicted = printable(name), printable(true), printable(predicted)
    return f"{name}\ntrue: {true}\npredicted: {predicted}\nprobability: {probability:.1%}"


@styled
def image_sheet(images: np.ndarray, captions: Sequence[str], columns: int, title: str) -> Figure:
    """A grid of `images` (N, H, W, C) uint8, C 1 (grey) or 3 (RGB), read row by row, `columns` a row.

    The lines of a caption stand below its image, shortened to the width of the column; the first line, a name, is
    set in grey. No images at all give a sheet that says so.

    Raises ValueError for other shapes or types and for a number of captions that is not N.
    """
    _check(images, images.shape[1:], captions)
    if not len(images):
        return _empty_sheet(title)
    lines = max(caption.count("\n") + 1 for caption in captions)
    grid = _Grid.of(images.shape[1:3], columns, -(-len(images) // columns), captions_height=lines * _LINE)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        _tile(figure, grid, row, column, image)
        for number, line in enumerate(caption.split("\n")):
            _caption(figure, grid, row, column, number, line, grid.pitch_x - _GAP)
    return figure


@styled
def augmentation_sheet(originals_and_views: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    """One row an image: the original, then its augmented views; (rows, 1 + views, H, W, C) uint8, C 1 or 3.

    Every row has one caption below its original. Raises ValueError as `image_sheet` does.
    """
    sheet = originals_and_views
    _check(sheet, sheet.shape[2:], captions)
    rows, columns = sheet.shape[:2]
    grid = _Grid.of(sheet.shape[2:4], columns, rows, captions_height=_LINE, extra_gap=2 * _GAP, heading=_LINE)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    for heading, column in (("original", 0), ("augmented", 1))[:columns]:
        _text(figure, grid, grid.left(column), grid.top(0) - 1.35 * _LINE, heading, GREY)
    for row, column in np.ndindex(rows, columns):
        _tile(figure, grid, row, column, sheet[row, column])
    for row, caption in enumerate(captions):
        _caption(figure, grid, row, 0, 0, caption, WIDTH - 2 * MARGIN)
    return figure


@dataclass(frozen=True)
class _Grid:
    """Places of the tiles in inches from the upper left corner; all are whole numbers of pixels."""

    tile: tuple[float, float]  # height, width
    pitch_x: float
    pitch_y: float
    first_top: float
    extra_gap: float  # between the first column and the second
    height: float

    @classmethod
    def of(cls, image, columns, rows, captions_height, extra_gap=0.0, heading=0.0) -> "_Grid":
        pitch_x = _pixels((WIDTH - 2 * MARGIN - extra_gap + _GAP) / columns)
        height, width = image
        room = round((pitch_x - _GAP) * DPI)
        scale = room // width if width <= room else room / width
        tile = (_pixels(height * scale / DPI), _pixels(width * scale / DPI))
        pitch_y = _pixels(tile[0] + captions_height + 1.5 * _GAP)
        top = _pixels(HEADER + heading)
        return cls(tile, pitch_x, pitch_y, top, _pixels(extra_gap), _pixels(top + rows * pitch_y))

    def left(self, column: int) -> float:
        return MARGIN + column * self.pitch_x + (self.extra_gap if column else 0)

    def top(self, row: int) -> float:
        return self.first_top + row * self.pitch_y


def _pixels(inches: float) -> float:
    return int(inches * DPI + 1e-6) / DPI


def _tile(figure: Figure, grid: _Grid, row: int, column: int, image: np.ndarray) -> None:
    height, width = grid.tile
    bottom = grid.height - grid.top(row) - height
    place = (grid.left(column) / WIDTH, bottom / grid.height, width / WIDTH, height / grid.height)
    ax = figure.add_axes(place, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    enlarged = width * DPI >= image.shape[1]
    colours = image.repeat(3, axis=-1) if image.shape[-1] == 1 else image  # a colour map would be off by one at times
    ax.imshow(colours, interpolation="nearest" if enlarged else "antialiased", aspect="auto")


def _caption(figure: Figure, grid: _Grid, row: int, column: int, line: int, text: str, width: float) -> None:
    top = grid.top(row) + grid.tile[0] + 0.3 * _LINE + line * _LINE
    _text(figure, grid, grid.left(column), top, fit(text, SMALL_SIZE, width), GREY if line == 0 else INK)


def _text(figure: Figure, grid: _Grid, left: float, top: float, text: str, colour: str) -> None:
    look = {"ha": "left", "va": "top", "fontsize": SMALL_SIZE, "color": colour}
    figure.text(left / WIDTH, 1 - top / grid.height, text, **look)


def _empty_sheet(title: str) -> Figure:
    figure = new_figure(WIDTH, 1.0, title, layout=None)
    figure.text(MARGIN / WIDTH, 0.4, "no images to show", fontsize=SMALL_SIZE, color=GREY)
    return figure


def _check(images: np.ndarray, one: tuple[int, ...], captions: Sequence[str]) -> None:
    if len(one) != 3 or one[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images of shape {images.shape} and type {images.dtype}; expected (H, W, 1 or 3) uint8 each")
    if len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} rows or images")
