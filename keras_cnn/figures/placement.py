"""Axes, texts and images at places in inches from the upper left corner of a figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.transforms import Bbox, TransformedBbox

from keras_cnn.figures.style import DPI, GREY, SMALL_SIZE, text_width

KEY_SIZE = (0.09, 0.75)  # inches: height and width of a colour key
_KEY_GAP = 0.06  # inches between a colour key and the numbers beside it


def whole_pixels(inches: float) -> float:
    """The largest whole number of pixels that fits into `inches`, in inches."""
    return int(inches * DPI + 1e-6) / DPI


def bare_axes(figure: Figure, left: float, top: float, size: tuple[float, float]) -> Axes:
    """Axes of `size` (height, width) without ticks and spines."""
    axes = figure.add_axes(_bounds(figure, left, top, size), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def place_text(figure: Figure, left: float, top: float, text: str, colour: str, *, align: str = "left") -> None:
    """One line of small text whose upper left corner, or with `align` "right" upper right corner, is at the place."""
    width, height = figure.get_size_inches()
    look = {"ha": align, "va": "top", "fontsize": SMALL_SIZE, "color": colour}
    figure.text(left / width, 1 - top / height, text, **look)


def place_image(figure: Figure, left: float, top: float, size: tuple[float, float], image: np.ndarray) -> None:
    """An image (H, W, 1 or 3) uint8 in `size` (height, width); an enlarged one shows every pixel as a square.

    It has no axes, whose ticks take most of the time of a sheet of many images.
    """
    box = TransformedBbox(Bbox.from_bounds(*_bounds(figure, left, top, size)), figure.transFigure)
    # Axes have the zorder 0; the hatching behind a patch would cover it.
    placed = BboxImage(box, interpolation=_interpolation(size, image), origin="upper", resample=True, zorder=1)
    placed.set_data(as_rgb(image))
    figure.add_artist(placed)


def image_axes(figure: Figure, left: float, top: float, size: tuple[float, float], image: np.ndarray) -> Axes:
    """As `place_image`, in axes with the image's pixels as coordinates, for what is drawn over it."""
    axes = bare_axes(figure, left, top, size)
    axes.imshow(as_rgb(image), interpolation=_interpolation(size, image), aspect="auto")
    return axes


def _interpolation(size: tuple[float, float], image: np.ndarray) -> str:
    return "nearest" if size[1] * DPI >= image.shape[1] else "antialiased"


def _bounds(figure: Figure, left: float, top: float, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, bottom, width and height as fractions of the figure."""
    total_width, total_height = figure.get_size_inches()
    height, width = size
    return left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height


def place_colour_key(
    figure: Figure, right: float, top: float, ends: Sequence[str], colour_map: str, *, line_height: float
) -> None:
    """A ramp of the colours between the texts of its two ends, with its right edge at `right`, in one line of text."""
    place_text(figure, right, top, ends[1], GREY, align="right")
    left = right - text_width(ends[1], SMALL_SIZE) - _KEY_GAP - KEY_SIZE[1]
    place_text(figure, left - _KEY_GAP, top, ends[0], GREY, align="right")
    axes = bare_axes(figure, left, top + 0.12 * line_height, KEY_SIZE)
    axes.imshow(np.linspace(0, 1, 128)[None], cmap=colour_map, aspect="auto")


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 1 or 3) as (H, W, 3); a grey colour map would sometimes be off by one."""
    return image.repeat(3, axis=-1) if image.shape[-1] == 1 else image
