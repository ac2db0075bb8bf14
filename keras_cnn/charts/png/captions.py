"""Captions below a figure."""

from matplotlib.figure import Figure

from keras_cnn.figures.style import GREY, MARGIN, POINT, SMALL_SIZE, WIDTH, fit, printable, text_width

_LINE = 1.45 * SMALL_SIZE * POINT  # inches from one line of small text to the next


def caption_height(caption: str, width: float = WIDTH) -> float:
    """Inches that a caption takes below a figure of this width; "" takes none."""
    return len(_wrapped(caption, width)) * _LINE if caption else 0.0


def write_caption(drawn: Figure, caption: str) -> None:
    """Writes the caption at the bottom of the figure, which must be as much higher as `caption_height` says."""
    if caption:
        width = drawn.get_figwidth()
        text = "\n".join(_wrapped(caption, width))
        drawn.supxlabel(text, x=MARGIN / width, ha="left", fontsize=SMALL_SIZE, color=GREY)


def _wrapped(caption: str, width: float) -> list[str]:
    lines = [""]
    for word in printable(caption).split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, SMALL_SIZE) <= width - 3 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fit(line, SMALL_SIZE, width - 2 * MARGIN) for line in lines]
