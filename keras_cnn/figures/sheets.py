"""Sheets of images, each with its caption; small images are enlarged by a whole number so that every pixel shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures import style
from keras_cnn.figures.placement import place_image, place_text, whole_pixels
from keras_cnn.figures.style import DPI, GREY, HEADER, INK, MARGIN, POINT, SMALL_SIZE, WIDTH, fit, new_figure, styled

_GAP = 0.1  # inches between tiles
_LINE = 1.3 * SMALL_SIZE * POINT  # inches from one line of a caption to the next
_SIDE_TILE = 0.9  # inches, the larger side of an image with its caption beside it


def score(probability: float) -> str:
    """A probability as text with three digits, rounded neither to 0 nor to 1: 0.930, < 0.001, > 0.999."""
    if probability < 0.001:
        return "< 0.001"
    return "> 0.999" if probability > 0.999 else f"{probability:.3f}"


def mistake_caption(name: str, true: str, predicted: str, probability: float) -> str:
    """Four lines for a sheet of mistakes; `probability` in [0, 1] is the probability of the predicted class."""
    name, true, predicted = style.printable(name), style.printable(true), style.printable(predicted)
    return f"{name}\ntrue: {true}\npredicted: {predicted}\nprobability: {score(probability)}"


@styled
def image_sheet(images: np.ndarray, captions: Sequence[str], columns: int, title: str, note: str = "") -> Figure:
    """A grid of `images` (N, H, W, C) uint8, C 1 (grey) or 3 (RGB), filled row by row with `columns` images per row.

    The lines of a caption stand below its image and are shortened to the width of the column. The first line, a name,
    is grey. The lines of the `note` stand below the title. Without images the sheet says that there are none.

    Raises ValueError for another shape or type, and for a number of captions that is not N.
    """
    _check(images, images.shape[1:], captions)
    if not len(images):
        return _empty_sheet(title)
    lines = max(caption.count("\n") + 1 for caption in captions)
    rows, heading = -(-len(images) // columns), _note_height(note)
    grid = _Grid.of(images.shape[1:3], columns, rows, captions_height=lines * _LINE, heading=heading)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    _draw_note(figure, note)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        place_image(figure, grid.left(column), grid.top(row), grid.tile, image)
        _draw_caption(figure, grid, row, column, caption, width=grid.pitch_x - _GAP)
    return figure


@styled
def augmentation_sheet(originals_and_views: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    """A row for each image: the original, then its augmented views; (rows, 1 + views, H, W, C) uint8, C 1 or 3.

    Each row has one caption below its original. Raises ValueError as `image_sheet` does.
    """
    sheet = originals_and_views
    _check(sheet, sheet.shape[2:], captions)
    rows, columns = sheet.shape[:2]
    grid = _Grid.of(sheet.shape[2:4], columns, rows, captions_height=_LINE, extra_gap=2 * _GAP, heading=_LINE)
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    for heading, column in (("original", 0), ("augmented", 1))[:columns]:
        place_text(figure, grid.left(column), grid.top(0) - 1.35 * _LINE, heading, GREY)
    for row, column in np.ndindex(rows, columns):
        place_image(figure, grid.left(column), grid.top(row), grid.tile, sheet[row, column])
    for row, caption in enumerate(captions):
        _draw_caption(figure, grid, row, 0, caption, width=WIDTH - 2 * MARGIN)
    return figure


@styled
def row_sheet(
    images: np.ndarray, headings: Sequence[str], captions: Sequence[Sequence[str]], title: str, note: str = ""
) -> Figure:
    """Rows of images, each below its heading: `images` (rows, n, H, W, C) uint8, n at most 10, C 1 or 3.

    `captions` has n texts for each row; each stands below its image in one or two lines, shortened to its width. The
    `note` and the errors are as in `image_sheet`.
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
    _draw_note(figure, note)
    for row, heading in enumerate(headings):
        top = grid.top(row) - 1.35 * _LINE
        place_text(figure, grid.left(0), top, fit(heading, SMALL_SIZE, WIDTH - 2 * MARGIN), GREY)
        for column, caption in enumerate(captions[row]):
            place_image(figure, grid.left(column), grid.top(row), grid.tile, images[row, column])
            _draw_caption(figure, grid, row, column, caption, width=grid.pitch_x - 0.5 * gap, first_colour=INK)
    return figure


@styled
def prediction_sheet(
    images: np.ndarray, captions: Sequence[str], correct: Sequence[bool], columns: int, title: str
) -> Figure:
    """A grid of `images` (N, H, W, C) uint8, C 1 or 3, `columns` per row, each with its caption on its right.

    The first line of a caption is grey. The last line, the prediction, is orange and marked ✗ if `correct` (N,) says
    that it is wrong. Raises ValueError as `image_sheet` does.
    """
    _check(images, images.shape[1:], captions)
    _check(images, images.shape[1:], correct)
    if not len(images):
        return _empty_sheet(title)
    height, width = images.shape[1:3]
    scale = _SIDE_TILE * DPI / max(height, width)
    scale = int(scale) if scale >= 1 else scale
    tile = (whole_pixels(height * scale / DPI), whole_pixels(width * scale / DPI))
    lines = max(caption.count("\n") + 1 for caption in captions)
    pitch_x = whole_pixels((WIDTH - 2 * MARGIN + _GAP) / columns)
    pitch_y = whole_pixels(max(tile[0], lines * _LINE) + 1.5 * _GAP)
    top, rows = whole_pixels(HEADER), -(-len(images) // columns)
    grid = _Grid(tile, pitch_x, pitch_y, top, 0.0, whole_pixels(top + rows * pitch_y))
    figure = new_figure(WIDTH, grid.height, title, layout=None)
    room = pitch_x - tile[1] - 2 * _GAP
    for index, (image, caption, right) in enumerate(zip(images, captions, correct, strict=True)):
        row, column = divmod(index, columns)
        place_image(figure, grid.left(column), grid.top(row), tile, image)
        left = grid.left(column) + tile[1] + _GAP
        first, *middle, last = caption.split("\n")
        prediction = (last, INK) if right else (f"✗ {last}", style.ORANGE)
        for number, (line, colour) in enumerate([(first, GREY), *((line, INK) for line in middle), prediction]):
            place_text(figure, left, grid.top(row) + number * _LINE, fit(line, SMALL_SIZE, room), colour)
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
    def of(
        cls,
        image_size: Sequence[int],
        columns: int,
        rows: int,
        *,
        captions_height: float,
        extra_gap: float = 0.0,
        heading: float = 0.0,
        gap: float = _GAP,
    ) -> "_Grid":
        pitch_x = whole_pixels((WIDTH - 2 * MARGIN - extra_gap + gap) / columns)
        height, width = image_size
        room = round((pitch_x - gap) * DPI)
        scale = room // width if width <= room else room / width
        tile = (whole_pixels(height * scale / DPI), whole_pixels(width * scale / DPI))
        pitch_y = whole_pixels(tile[0] + captions_height + 1.5 * _GAP)
        top = whole_pixels(HEADER + heading)
        return cls(tile, pitch_x, pitch_y, top, whole_pixels(extra_gap), whole_pixels(top + rows * pitch_y))

    def left(self, column: int) -> float:
        return MARGIN + column * self.pitch_x + (self.extra_gap if column else 0)

    def top(self, row: int) -> float:
        return self.first_top + row * self.pitch_y


def _draw_caption(
    figure: Figure, grid: _Grid, row: int, column: int, caption: str, *, width: float, first_colour: str = GREY
) -> None:
    """The lines of a caption below a tile, the first one in `first_colour`."""
    for number, line in enumerate(caption.split("\n")):
        top = grid.top(row) + grid.tile[0] + 0.3 * _LINE + number * _LINE
        colour = INK if number else first_colour
        place_text(figure, grid.left(column), top, fit(line, SMALL_SIZE, width), colour)


def _note_height(note: str) -> float:
    return (note.count("\n") + 1.2) * _LINE if note else 0.0


def _draw_note(figure: Figure, note: str) -> None:
    for number, line in enumerate(note.split("\n") if note else ()):
        shortened = fit(line, SMALL_SIZE, WIDTH - 2 * MARGIN)
        place_text(figure, MARGIN, HEADER + (number - 0.4) * _LINE, shortened, GREY)


def _empty_sheet(title: str) -> Figure:
    figure = new_figure(WIDTH, 1.0, title, layout=None)
    figure.text(MARGIN / WIDTH, 0.4, "no images to show", fontsize=SMALL_SIZE, color=GREY)
    return figure


def _check(images: np.ndarray, image_shape: Sequence[int], captions: Sequence) -> None:
    if len(image_shape) != 3 or image_shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images of shape {images.shape} and type {images.dtype}; expected (H, W, 1 or 3) uint8 each")
    if len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} rows or images")
