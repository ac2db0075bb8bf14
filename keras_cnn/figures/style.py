"""One plain style for every figure, text that fits its place in any alphabet, and saving.

Figures are laid out in inches for a printed page 7.2 inches wide and saved at 150 pixels per inch, so that their text
is 8 to 11 points on paper and readable on a screen at its full size. Nothing here touches pyplot or its global state.
"""

import functools
import math
import os
import unicodedata
from pathlib import Path
from typing import Literal

from matplotlib import font_manager, rc_context
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure

from keras_cnn.messages import logger

WIDTH = 7.2  # inches
DPI = 150
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11, 9, 8  # points
POINT = 1 / 72  # inches
MARGIN = 0.1  # inches
HEADER = MARGIN + 2 * TITLE_SIZE * POINT  # inches that a title takes
INK, GREY, FAINT = "#1a1a1a", "#5c6066", "#dddfe2"
# Okabe and Ito's palette, distinguishable with every kind of colour blindness.
BLUE, ORANGE, GREEN, SHADE = "#0072b2", "#d55e00", "#007a5a", "#fbeedd"
BROWN = "#80660a"

MISSING = "\N{WHITE SQUARE}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_BASE_FONT = "DejaVu Sans"  # comes with matplotlib, so measures are the same on every machine
_FALLBACK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Droid Sans Fallback", "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Thai", "Noto Sans Tamil"),
)
# Fonts that claim to have every character, and one with other signs in its places.
_UNSUITABLE = ("Last Resort", "LastResort", "Adobe Blank", "STIXNonUnicode")
_FOUND: list[str] = []  # fonts that were needed for a character
_NOWHERE: set[str] = set()  # characters that no installed font has


def styled(draw):
    """Decorates a function that returns a Figure: draws it in this style and fixes its layout and ticks at once."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        while True:
            fonts = len(_FOUND)
            with rc_context(_settings()):
                figure = draw(*args, **kwargs)
                if len(_FOUND) == fonts:
                    figure.draw_without_rendering()
            if len(_FOUND) == fonts:
                return figure  # else drawn again, because a text needed another font

    return wrapper


def new_figure(
    width: float, height: float, title: str, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure of `width` by `height` inches with its title at the upper left."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    position = {} if layout else {"y": 1 - MARGIN / height}  # a layout engine places the title itself
    title = fit(title, TITLE_SIZE, width - 2 * MARGIN)
    figure.suptitle(title, x=MARGIN / width, ha="left", va="top", fontsize=TITLE_SIZE, color=INK, **position)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure in the format of the path's suffix; the file appears whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with rc_context(_settings()):
            figure.savefig(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def text_width(text: str, size: float) -> float:
    """Width in inches of one line of printable text set in `size` points."""
    font = font_manager.FontProperties(family=_families(), size=size)
    width, _, _ = _renderer().get_text_width_height_descent(text, font, ismath=False)
    return width / DPI


def fit(text: str, size: float, width: float) -> str:
    """`text` as printable characters that take at most `width` inches, shortened in the middle if it is longer.

    The middle is removed because the ends of file and class names tell the most.
    """
    text = printable(text)
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text) - 1  # `low` characters fit, `high + 1` do not
    while low < high:
        kept = (low + high + 1) // 2
        low, high = (kept, high) if text_width(_shortened(text, kept), size) <= width else (low, kept - 1)
    return _shortened(text, low)


def printable(text: str) -> str:
    """`text` on one line, with a white square for every character that no installed font can show.

    A character that the fonts in use lack is looked for in all installed fonts, and the first one that has it is used
    from then on. The first character that none has is said in the log.
    """
    text = unicodedata.normalize("NFC", str(text))
    shown = [character if unicodedata.category(character)[0] != "C" else MISSING for character in text]
    unknown = {character for character in shown if ord(character) not in _drawable() and character not in _NOWHERE}
    for character in sorted(unknown):
        if ord(character) not in _drawable():  # a font that was found for another may have it
            _find_font(character)
    drawable = _drawable()
    return "".join(character if ord(character) in drawable else MISSING for character in shown)


def _find_font(character: str) -> None:
    """Adds the first installed font that has the character to those in use, or notes that there is none."""
    upright = [font for font in font_manager.fontManager.ttflist if font.style == "normal" and font.weight == 400]
    for font in sorted(upright, key=lambda font: ("Sans" not in font.name, font.name)):
        try:
            known = ord(character) in font_manager.get_font(font.fname).get_charmap()
        except (OSError, RuntimeError):  # a damaged font file
            continue
        if known and not font.name.startswith(_UNSUITABLE):
            _FOUND.append(font.name)
            for cached in (_families, _drawable, _settings):
                cached.cache_clear()
            return
    if not _NOWHERE:
        name = unicodedata.name(character, f"U+{ord(character):04X}")
        logger.info("note  no installed font shows %s; figures have %s in its place", name, MISSING)
    _NOWHERE.add(character)


def _shortened(text: str, kept: int) -> str:
    head, tail = math.ceil(kept / 2), kept // 2
    return text[:head] + _ELLIPSIS + text[len(text) - tail :]


@functools.cache
def _families() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [_BASE_FONT, *(name for name in _FALLBACK_FONTS if name in installed), *_FOUND]


@functools.cache
def _drawable() -> frozenset[int]:
    files = (font_manager.findfont(name) for name in _families())
    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(16, 16, dpi=DPI)  # hinting makes widths depend on the resolution


@functools.cache
def _settings() -> dict:
    return {
        "font.family": _families(),
        "font.size": TEXT_SIZE,
        "text.parse_math": False,  # a dollar in a file name is not TeX
        "text.color": INK,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "savefig.bbox": None,
        "savefig.dpi": "figure",
        "axes.facecolor": "white",
        "axes.edgecolor": GREY,
        "axes.linewidth": 0.7,
        "axes.labelcolor": INK,
        "axes.labelsize": TEXT_SIZE,
        "axes.titlesize": TEXT_SIZE,
        "axes.titleweight": "normal",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": False,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "xtick.labelsize": SMALL_SIZE,
        "ytick.labelsize": SMALL_SIZE,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "lines.linewidth": 1.6,
        "legend.fontsize": SMALL_SIZE,
        "legend.frameon": False,
    }
