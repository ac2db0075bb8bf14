"""The image reader of every program: decodes one image file to one uint8 array with Pillow.

The fast decoder of `fast_decoding` follows the same rules:

- Only regular files in one of `FORMATS` are opened, up to `MAX_BYTES` and `MAX_PIXELS`. The format is recognised
  by the content, never by the name, and no external program is started.
- The EXIF orientation is undone. An animation or a multi-page file gives its first image.
- Transparency is composited over white, as a browser or a printed page shows it.
- Palettes, CMYK and YCbCr become RGB; colour profiles are ignored.
- Grey samples of 16 bits are scaled to 8 bits with rounding: (v + 128) // 257. Wider integer samples are first
  clipped to 16 bits. Pillow keeps the upper 8 bits of 16-bit colour samples.
- Floating-point samples must lie between 0 (black) and 1 (white).
"""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_cnn.data.image_files import ImageFile
from keras_cnn.errors import InputError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 89_478_485  # a quarter of a GiB of RGB: Pillow's own default limit against decompression bombs
MAX_BYTES = 1 << 29  # of one file
DEFAULT_SIZE = (128, 128)  # (H, W) for images that have several sizes or a large one
FITS = ("crop", "center", "stretch", "pad")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"})
_WIDE = GREY_MODES - {"1", "L", "LA", "La"}
_ORIENTATION_TAG = 274
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns about damaged metadata, which changes no pixel, and about sizes, which are checked here.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImageError(InputError):
    """An image file that cannot be used; `reason` is the message without the path."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class _UnsupportedError(Exception):
    """The content of an intact image has no defined conversion here."""


@contextlib.contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a regular file of 1 to `MAX_BYTES` bytes for reading. FIFOs and devices are never opened.

    Raises UnreadableImageError for any other file, and for any exception except MemoryError in the `with` block:
    decoders raise nearly any exception on malformed data.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError(path, "not a regular file")
        _check_size(path, status.st_size)
        with open(path, "rb") as file:
            yield file
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(path, error) from None


@contextlib.contextmanager
def regular_content(path: str | Path, content: bytes) -> Iterator[BinaryIO]:
    """The bytes of an image, such as one in a shard, as a file; raises as `open_regular` does."""
    try:
        _check_size(path, len(content))
        yield io.BytesIO(content)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(path, error) from None


def _check_size(path: str | Path, size: int) -> None:
    if size == 0:
        raise UnreadableImageError(path, "empty (0 bytes)")
    if size > MAX_BYTES:
        raise UnreadableImageError(path, f"oversized: {size:,} bytes, more than {MAX_BYTES:,}")


def unreadable(path: str | Path, error: Exception) -> UnreadableImageError:
    """`error` as an UnreadableImageError with its reason in plain words."""
    return UnreadableImageError(path, _reason(path, error))


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link to a file that does not exist" if os.path.islink(path) else "no such image"
    if isinstance(error, PermissionError):
        return "may not be read: permission denied"
    if isinstance(error, _UnsupportedError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"oversized: more than {MAX_PIXELS:,} pixels"
    return f"corrupt or truncated: {' '.join(str(error).split()) or type(error).__name__}"


def identify(path: str | Path, file: BinaryIO) -> Image.Image:
    """Opens the image in `file` by its header alone. Raises UnreadableImageError if it is not an image of FORMATS."""
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        reason = f"not a JPEG, PNG, BMP, GIF, WebP or TIFF image: begins with {file.read(15)!r}"
        raise UnreadableImageError(path, reason) from None
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width:,} x {image.height:,} pixels"
        raise UnreadableImageError(path, f"oversized: {size}, more than {MAX_PIXELS:,}")
    return image


def read_image(path: str | Path) -> np.ndarray:
    """The upright image as (H, W, 3) uint8 RGB. Raises UnreadableImageError, in one line, if it cannot be read."""
    with open_regular(path) as file, identify(path, file) as image:
        image.load()
        return as_array(upright(image, orientation_of(image)), 3)


def read_image_file(path: Path) -> ImageFile:
    """The file with the facts in its header; no pixel is decoded. Raises UnreadableImageError, in one line."""
    with open_regular(path) as file, identify(path, file) as image:
        status = os.fstat(file.fileno())
        return ImageFile(path, *facts_of(image), size=status.st_size, modified=status.st_mtime_ns)


def facts_of(image: Image.Image) -> tuple[str, str, int, int, int, bool]:
    """Format, mode, width, height, orientation and transparency as in `ImageFile`.

    A JPEG followed by others, which some phones write as MPO, is a JPEG.
    """
    image_format = "JPEG" if image.format == "MPO" else str(image.format)
    size = (image.width, image.height)
    return image_format, image.mode, *size, orientation_of(image), image.has_transparency_data


class ImageHeader(NamedTuple):
    """Height and width of the upright image in pixels, and whether it is stored turned by 90 degrees."""

    height: int
    width: int
    turned: bool


def read_header(path: str | Path) -> ImageHeader:
    """The header of an image file; no pixel is decoded. Raises UnreadableImageError, in one line, if unreadable."""
    with open_regular(path) as file, identify(path, file) as image:
        turned = orientation_of(image) >= 5
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return ImageHeader(height, width, turned)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, still to be undone. It is 1 for TIFFs, which Pillow turns upright on loading."""
    if image.format == "TIFF":
        return 1
    orientation = 1
    with contextlib.suppress(Exception):  # broken EXIF data does not make the image unusable
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def decode(
    file: ImageFile,
    size: tuple[int, int],
    channels: int,
    fit: str = "crop",
    *,
    window: Sequence[int] | None = None,
    content: bytes | None = None,
) -> np.ndarray:
    """The image as (H, W, channels) uint8 for `size` (H, W); `channels` is 1 (ITU-R 601 luma) or 3 (RGB).

    `fit` is "crop" (fills `size` and keeps the centre), "center" (the same with 7/8 of the sides), "stretch", or "pad"
    (black margins). A `window`, as top, left, height and width in stored pixels, is kept instead and stretched.
    `content` has the bytes of an image in a shard; else the file is read.
    Raises InputError if the file was readable in the audit but is no longer.
    """
    try:
        opened = open_regular(file.path) if content is None else regular_content(file.path, content)
        with opened as stream, identify(file.path, stream) as image:
            if window is None:
                return as_array(fitted(upright(image, file.orientation), size, fit), channels)
            top, left, height, width = window
            kept = _eight_bit(image).crop((left, top, left + width, top + height))
            return as_array(fitted(_turned(kept, file.orientation), size, "stretch"), channels)
    except UnreadableImageError as error:
        raise InputError(
            f"{file.path}: readable when it was checked, but not now ({error.reason}): was it changed?"
        ) from None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """`image` in mode "L" or "RGB", without transparency, with EXIF `orientation` (1 to 8) undone."""
    return _turned(_eight_bit(image), orientation)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSITIONS[orientation]) if orientation in _TRANSPOSITIONS else image


def fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """`image` resized to `size` (H, W): bilinear, with antialiasing where it shrinks. For `fit` see `decode`."""
    height, width = size
    if (image.height, image.width) == (height, width):
        return image
    if fit == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if fit in ("crop", "center"):
        # resize(box=...) is not used: its filter reads pixels outside the box.
        cropped = image.crop(crop_box(image.width, image.height, size, fit))
        return cropped.resize((width, height), Image.Resampling.BILINEAR)
    inner_height, inner_width = pad_size(image.width, image.height, size)
    canvas = Image.new(image.mode, (width, height))
    inner = image.resize((inner_width, inner_height), Image.Resampling.BILINEAR)
    canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def as_array(image: Image.Image, channels: int) -> np.ndarray:
    """(H, W, channels) uint8 of an image in mode "L" or "RGB"."""
    array = np.asarray(as_mode(image, "L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    """`image` converted to `mode`, or itself, where Pillow would make a copy (0.1 ms for a photo)."""
    return image if image.mode == mode else image.convert(mode)


def crop_box(width: int, height: int, size: tuple[int, int], fit: str = "crop") -> tuple[int, int, int, int]:
    """The largest centred box (left, top, right, bottom), in whole pixels, with the aspect ratio of `size` (H, W).

    With `fit` "center", its sides are shortened to 7/8: 224 of 256 pixels, as networks for ImageNet are evaluated.
    """
    left, top, right, bottom = (int(edge) for edge in crop_boxes(np.array(width), np.array(height), size, fit))
    return left, top, right, bottom


def crop_boxes(
    width: np.ndarray, height: np.ndarray, size: tuple[int, int], fit: str = "crop"
) -> tuple[np.ndarray, ...]:
    """`crop_box` of many images at once."""
    target_height, target_width = size
    is_wide = width * target_height > height * target_width
    box_width = np.where(is_wide, np.maximum(1, _rounded(height * target_width, target_height)), width)
    box_height = np.where(is_wide, height, np.maximum(1, _rounded(width * target_height, target_width)))
    if fit == "center":
        is_ready = (width == target_width) & (height == target_height)
        box_width, box_height = (
            np.where(is_ready, side, np.maximum(1, (side * 7 + 4) // 8)) for side in (box_width, box_height)
        )
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def pad_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a width × height image scaled to just fit into `size` (H, W)."""
    inner_height, inner_width = (int(side) for side in pad_sizes(np.array(width), np.array(height), size))
    return inner_height, inner_width


def pad_sizes(width: np.ndarray, height: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """`pad_size` of many images at once."""
    target_height, target_width = size
    is_wide = width * target_height > height * target_width
    inner_height = np.where(is_wide, np.maximum(1, _rounded(height * target_width, width)), target_height)
    inner_width = np.where(is_wide, target_width, np.maximum(1, _rounded(width * target_height, height)))
    return inner_height, inner_width


def _rounded(numerator, denominator):
    return (2 * numerator + denominator) // (2 * denominator)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image)))
    if image.mode in _WIDE:
        # Pillow's own conversion of 16-bit greys to "L" clips at 255 instead of scaling.
        samples = np.clip(np.asarray(image).astype(np.int32), 0, 65535)
        return Image.fromarray(((samples + 128) // 257).astype(np.uint8))
    if image.mode in ("LAB", "HSV"):
        raise _UnsupportedError(f"colours as {image.mode}, expected grey, RGB, CMYK, YCbCr or a palette")
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return as_mode(image, mode)
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert(mode)


def _from_floats(samples: np.ndarray) -> np.ndarray:
    low, high = float(samples.min()), float(samples.max())
    if not 0 <= low <= high <= 1:  # also if a sample is NaN
        raise _UnsupportedError(f"floating-point samples from {low:g} to {high:g}, expected 0 (black) to 1 (white)")
    return np.floor(samples * 255 + 0.5).astype(np.uint8)
