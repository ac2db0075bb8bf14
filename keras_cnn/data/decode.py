"""One image file to one uint8 array: the reference decoder, with Pillow.

An image is turned upright by its EXIF orientation; transparency is laid over white, as a browser or a printed page
shows it; 16-bit samples are scaled to 8 bits; an animation gives its first frame; colour profiles are ignored.
"""

import numpy as np
from PIL import Image

from keras_cnn.data.dataset import ImageFile
from keras_cnn.errors import InputError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
DEFAULT_SIZE = (128, 128)  # (H, W) of images that come in several sizes, or large
FITS = ("crop", "stretch", "pad")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"})
_SIXTEEN_BIT = GREY_MODES - {"1", "L", "LA", "La"}
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file: ImageFile, size: tuple[int, int], channels: int, fit: str = "crop") -> np.ndarray:
    """The image as (H, W, channels) uint8 for `size` (H, W); `channels` is 1 (ITU-R 601 luma) or 3 (RGB).

    `fit` is "crop" (the shorter side fills, the centre is kept), "stretch", or "pad" (black margins).
    InputError if the file, readable when it was audited, has since gone or changed.
    """
    try:
        with Image.open(file.path, formats=FORMATS) as image:
            return as_array(fitted(upright(image, file.orientation), size, fit), channels)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{file.path}: readable when it was checked, but not now ({error}): was it changed?") from None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """`image` in mode "L" or "RGB", without transparency, with EXIF `orientation` (1 to 8) undone."""
    image = _eight_bit(image)
    return image.transpose(_TURN[orientation]) if orientation in _TURN else image


def fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """`image` at `size` (H, W), bilinear with antialiasing where it shrinks."""
    height, width = size
    if (image.height, image.width) == (height, width):
        return image
    if fit == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if fit == "crop":
        # Not resize(box=...), whose filter looks at pixels outside the box.
        cropped = image.crop(crop_box(image.width, image.height, size))
        return cropped.resize((width, height), Image.Resampling.BILINEAR)
    inner_height, inner_width = pad_size(image.width, image.height, size)
    canvas = Image.new(image.mode, (width, height))
    inner = image.resize((inner_width, inner_height), Image.Resampling.BILINEAR)
    canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def as_array(image: Image.Image, channels: int) -> np.ndarray:
    """(H, W, channels) uint8 of an image in mode "L" or "RGB"."""
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def crop_box(width: int, height: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box (left, top, right, bottom), in whole pixels, that has the shape of `size` (H, W)."""
    target_height, target_width = size
    if width * target_height > height * target_width:
        box_width, box_height = max(1, _rounded(height * target_width, target_height)), height
    else:
        box_width, box_height = width, max(1, _rounded(width * target_height, target_width))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def pad_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a width × height image scaled to just fit into `size` (H, W)."""
    target_height, target_width = size
    if width * target_height > height * target_width:
        return max(1, _rounded(height * target_width, width)), target_width
    return target_height, max(1, _rounded(width * target_height, height))


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        # Pillow's own conversion of 16-bit greys to "L" clips at 255 instead of scaling.
        samples = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((samples + 128) // 257).astype(np.uint8))
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert(mode)
