"""Images at a smaller size, as JPEG files."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from keras_cnn.data.decoding import identify, open_regular, orientation_of, upright


def resized(path: Path, side: int, quality: int) -> bytes:
    """The image, upright, with its shorter side at `side` pixels, as a JPEG file of `quality` (1 to 95).

    Pillow's bicubic resampling, which averages over the pixels that become one; a JPEG is decoded at a smaller size
    only if that is at least twice the result's. Raises UnreadableImageError if the file cannot be read.
    """
    with open_regular(path) as file, identify(path, file) as image:
        orientation = orientation_of(image)
        width, height = _size(image.width, image.height, side)
        image.draft(None, (2 * width, 2 * height))
        size = (height, width) if orientation >= 5 else (width, height)
        small = upright(image, orientation).resize(size, Image.Resampling.BICUBIC)
        content = BytesIO()
        small.save(content, "JPEG", quality=quality)
        return content.getvalue()


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height with the shorter one at `side`, the longer one rounded half up."""
    shorter, longer = sorted((width, height))
    long = (2 * longer * side + shorter) // (2 * shorter)
    return (side, long) if width <= height else (long, side)
