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
    ORANGE,
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
_SIDE_TILE = 0.9  # inches, the larger side of an image with its caption beside it


def score(probability: float) -> str:
    """A probability that rounds neither to nothing nor to all: 0.9300, 0.00042 and 0.99958, 2.0e-13 and 1−2.0e-13."""
    nearer = min(probability, 1 - probability)
    if nearer == 0:
        return f"{probability:.0f}"
    if nearer >= 1e-4:
        return f"{probability:.{4 if nearer >= 1e-3 else 5}f}"
    mantissa, exponent = f"{nearer:.1e}".split("e")
    power = f"{mantissa}e{int(exponent)}"  # without a leading zero: ten characters fit below a small image
    return power if nearer == probability else f"1−{power}"


def mistake_caption(name: str, true: str, predicted: str, probability: float) -> str:
    """Four lines for a sheet of mistakes; `probability` in [0, 1] is that of the predicted class."""
    name, true, predicted = printable(name), printable(true), printable(predicted)
    return f"{name}\ntrue: {true}\npredicted: {predicted}\nprobability: {score(probability)}"


@styled
def image_sheet(images: np.ndarray, captions: Sequence[str], columns: int, title: str, note: str = "") -> Figure:
    """A grid of `images` (N, H, W, C) uint8, C 1 (grey) or 3 (RGB), read row by row, `columns` a row.

    The lines of a caption stand below its image, shortened to the width of the column; the first line, a name, is
    set in grey. The lines of the `note` stand below the title. No images at all give a sheet that says so.

    Raises ValueError for other shapes or types and for a number of captions that is not N.
    """
    _check(images, images.shape[1:], captions)
    if not len(images):
        return _empty_sheet(title)
    lines = max(caption.count("\n") + 1 for caption in captions)
    rows, heading = -(-len(images) // columns), _note_height(note)
    grid = _Grid.of(images.shape[1:3], columns, rows, captions_height=lines * _LINE, heading=heading)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    _note(figure, grid, note)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        _tile(figure, grid, row, column, image)
        _caption(figure, grid, row, column, caption, grid.pitch_x - _GAP)
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
        _caption(figure, grid, row, 0, caption, WIDTH - 2 * MARGIN)
    return figure


@styled
def row_sheet(
    images: np.ndarray, headings: Sequence[str], captions: Sequence[Sequence[str]], title: str, note: str = ""
) -> Figure:
    """Rows of images, each row below its heading: `images` (rows, n, H, W, C) uint8, C 1 or 3, at most `n` 10.

    `captions` has `n` a row; each stands below its image in one or two lines, shortened to its width. The `note` and
    what is refused are as in `image_sheet`.
    """
    _check(images, images.shape[2:], headings)
    if not images.size:
        return _empty_sheet(title)
    for row in captions:
        _check(images[0], images.shape[2:], row)
    lines = max(caption.count("\n") + 1 for row in captions for caption in row)
    below, gap = (lines + 1.5) * _LINE, 0.6 * _GAP
    columns = max(10, images.shape[1])
    above = _note_height(note) + _LINE
    grid = _Grid.of(images.shape[2:4], columns, len(images), captions_height=below, heading=above, gap=gap)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    _note(figure, grid, note)
    for row, heading in enumerate(headings):
        top = grid.top(row) - 1.35 * _LINE
        _text(figure, grid, grid.left(0), top, fit(heading, SMALL_SIZE, WIDTH - 2 * MARGIN), GREY)
        for column, caption in enumerate(captions[row]):
            _tile(figure, grid, row, column, images[row, column])
            _caption(figure, grid, row, column, caption, grid.pitch_x - 0.5 * gap, INK)
    return figure


@styled
def prediction_sheet(
    images: np.ndarray, captions: Sequence[str], correct: Sequence[bool], columns: int, title: str
) -> Figure:
    """A grid of `images` (N, H, W, C) uint8, C 1 or 3, `columns` a row, each with its caption on its right.

    The first line of a caption is set in grey; the last one, the prediction, in orange and crossed where `correct`
    (N,) says that it is wrong. Raises ValueError as `image_sheet` does.
    """
    _check(images, images.shape[1:], captions)
    _check(images, images.shape[1:], correct)
    if not len(images):
        return _empty_sheet(title)
    height, width = images.shape[1:3]
    scale = _SIDE_TILE * DPI / max(height, width)
    scale = int(scale) if scale >= 1 else scale
    tile = (_pixels(height * scale / DPI), _pixels(width * scale / DPI))
    lines = max(caption.count("\n") + 1 for caption in captions)
    pitch_x = _pixels((WIDTH - 2 * MARGIN + _GAP) / columns)
    pitch_y = _pixels(max(tile[0], lines * _LINE) + 1.5 * _GAP)
    top, rows = _pixels(HEADER), -(-len(images) // columns)
    grid = _Grid(tile, pitch_x, pitch_y, top, 0.0, _pixels(top + rows * pitch_y))
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    room = pitch_x - tile[1] - 2 * _GAP
    for index, (image, caption, right) in enumerate(zip(images, captions, correct, strict=True)):
        row, column = divmod(index, columns)
        _tile(figure, grid, row, column, image)
        left = grid.left(column) + tile[1] + _GAP
        first, *middle, last = caption.split("\n")
        looks = [
            (first, GREY),
            *((line, INK) for line in middle),
            (last if right else f"✗ {last}", INK if right else ORANGE),
        ]
        for number, (line, colour) in enumerate(looks):
            _text(figure, grid, left, grid.top(row) + number * _LINE, fit(line, SMALL_SIZE, room), colour)
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
    def of(cls, image, columns, rows, captions_height, extra_gap=0.0, heading=0.0, gap=_GAP) -> "_Grid":
        pitch_x = _pixels((WIDTH - 2 * MARGIN - extra_gap + gap) / columns)
        height, width = image
        room = round((pitch_x - gap) * DPI)
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


def _caption(figure: Figure, grid: _Grid, row: int, column: int, caption: str, width: float, first: str = GREY) -> None:
    """The lines below a tile, the first one in the colour `first`."""
    for number, line in enumerate(caption.split("\n")):
        top = grid.top(row) + grid.tile[0] + 0.3 * _LINE + number * _LINE
        _text(figure, grid, grid.left(column), top, fit(line, SMALL_SIZE, width), first if number == 0 else INK)


def _note_height(note: str) -> float:
    return (note.count("\n") + 1.2) * _LINE if note else 0.0


def _note(figure: Figure, grid: _Grid, note: str) -> None:
    for number, line in enumerate(note.split("\n") if note else ()):
        _text(figure, grid, MARGIN, HEADER + (number - 0.4) * _LINE, fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN), GREY)


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
