"""The fifteen common corruptions of images at five strengths, as functions of an image and a random generator.

Strengths are those of the published benchmarks: CIFAR-10-C's for images whose shorter side is at most 64 pixels,
ImageNet-C's for larger ones. Lengths in pixels are scaled by the shorter side over 32, if that is more than 1, and by
that over 224. Two departures: frost is drawn instead of laid over from six photographs, and glass blur moves all pixels
at once instead of one after the other.

Source: D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
ICLR 2019. SciPy is imported inside the functions that need it, because it takes a second.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from keras_cnn.errors import InputError

STRENGTHS = (1, 2, 3, 4, 5)
_SMALL = 64  # pixels of the shorter side up to which the strengths of CIFAR-10-C apply


@dataclass(frozen=True)
class _Corruption:
    apply: Callable[[np.ndarray, object, float, np.random.Generator], np.ndarray]  # (image, strength, scale, random)
    small: tuple  # strengths 1 to 5 for small images
    large: tuple


def corrupted(image: np.ndarray, name: str, strength: int, random: np.random.Generator) -> np.ndarray:
    """The image (H, W, C) uint8, C 1 or 3, with a corruption of CORRUPTIONS at strength 1 to 5.

    Raises InputError for another name or strength.
    """
    if name not in CORRUPTIONS:
        raise InputError(f"corruption {name!r}: expected one of {', '.join(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise InputError(f"strength {strength!r}: expected a whole number from 1 to 5")
    corruption, side = CORRUPTIONS[name], min(image.shape[:2])
    is_small = side <= _SMALL
    setting = (corruption.small if is_small else corruption.large)[strength - 1]
    found = corruption.apply(image / 255.0, setting, max(1, side / 32) if is_small else side / 224, random)
    return (found.clip(0, 1) * 255).astype(np.uint8)


# --- noise ------------------------------------------------------------------------------------------------------------


def _gaussian_noise(image, deviation, scale, random):
    return image + random.normal(scale=deviation, size=image.shape)


def _shot_noise(image, photons, scale, random):
    return random.poisson(image * photons) / photons


def _impulse_noise(image, share, scale, random):
    hit, salt = random.random(image.shape) < share, random.random(image.shape) < 0.5
    return np.where(hit, salt.astype(float), image)


# --- blur -------------------------------------------------------------------------------------------------------------


def _defocus_blur(image, setting, scale, random):
    radius, softness = setting
    return _filtered(image, disk(radius * scale, softness))


def _glass_blur(image, setting, scale, random):
    deviation, reach, rounds = setting
    deviation, reach = deviation * scale, max(1, round(reach * scale))
    blurred = _smoothed(image, deviation)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[reach : height - reach, reach : width - reach]
    for _ in range(rounds):
        offsets = random.integers(-reach, reach, (2, *rows.shape))
        blurred[rows, columns] = blurred[rows + offsets[0], columns + offsets[1]]
    return _smoothed(blurred, deviation)


def _motion_blur(image, setting, scale, random):
    radius, deviation = setting
    return moved(image, radius * scale, deviation * scale, random.uniform(-45, 45))


def _zoom_blur(image, factors, scale, random):
    return (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)


# --- weather ----------------------------------------------------------------------------------------------------------


def _snow(image, setting, scale, random):
    mean, deviation, zoom, least, radius, spread, kept = setting
    layer = zoomed(random.normal(mean, deviation, (*image.shape[:2], 1)), zoom)
    layer = moved(
        np.where(layer < least, 0, layer).clip(0, 1), radius * scale, spread * scale, random.uniform(-135, -45)
    )
    grey = image @ np.array([0.299, 0.587, 0.114])[:, None] if image.shape[2] == 3 else image
    return kept * image + (1 - kept) * np.maximum(image, 1.5 * grey + 0.5) + layer + layer[::-1, ::-1]


def _frost(image, setting, scale, random):
    kept, amount = setting
    return kept * image + amount * frost_texture(image.shape, random)


def _fog(image, setting, scale, random):
    amount, decay = setting
    height, width = image.shape[:2]
    brightest = image.max()
    fogged = image + amount * plasma(max(height, width), decay, random)[:height, :width, None]
    return fogged * brightest / (brightest + amount)


def _brightness(image, added, scale, random):
    value = image.max(axis=2, keepdims=True)  # of hue, saturation and value
    raised = (value + added).clip(0, 1)
    return np.where(value > 0, image * raised / np.where(value > 0, value, 1), raised)


# --- digital ----------------------------------------------------------------------------------------------------------


def _contrast(image, factor, scale, random):
    means = image.mean(axis=(0, 1), keepdims=True)
    return (image - means) * factor + means


def _elastic_transform(image, setting, scale, random):
    from scipy.ndimage import gaussian_filter, map_coordinates

    side = min(image.shape[:2])
    amount, smoothness, shift = (side * value for value in setting)
    centre, third = np.array(image.shape[:2]) // 2, side // 3
    corners = np.array([centre + third, [centre[0] + third, centre[1] - third], centre - third], float)
    shifted = corners + random.uniform(-shift, shift, corners.shape)
    back = np.linalg.solve(np.column_stack([shifted, np.ones(3)]), corners)  # from the output's points to the image's
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    noise = random.uniform(-1, 1, (2, *rows.shape))
    bent = [gaussian_filter(n, smoothness, truncate=3) * amount if smoothness else n * amount for n in noise]
    rows, columns = rows + bent[0], columns + bent[1]
    places = [back[0, i] * rows + back[1, i] * columns + back[2, i] for i in range(2)]
    channels = [map_coordinates(image[..., c], places, order=1, mode="mirror") for c in range(image.shape[2])]
    return np.stack(channels, axis=2)


def _pixelate(image, factor, scale, random):
    picture = _picture(image)
    size = (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
    box = Image.Resampling.BOX
    return _array(picture.resize(size, box).resize(picture.size, box))


def _jpeg_compression(image, quality, scale, random):
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    return _array(Image.open(file))


# --- parts ------------------------------------------------------------------------------------------------------------


def disk(radius: float, softness: float) -> np.ndarray:
    """The kernel of a lens out of focus: a disk, smoothed by a Gaussian over three or, above radius 8, five pixels."""
    from scipy.ndimage import correlate1d

    reach = max(8, math.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (rows**2 + columns**2 <= radius**2).astype(float)
    kernel /= kernel.sum()
    ends = 1 if radius <= 8 else 2
    weights = np.exp(-(np.arange(-ends, ends + 1) ** 2) / (2 * softness**2))
    for axis in (0, 1):
        kernel = correlate1d(kernel, weights / weights.sum(), axis, mode="mirror")
    return kernel


def moved(image: np.ndarray, radius: float, deviation: float, angle: float) -> np.ndarray:
    """The image blurred along a line at an angle in degrees as by ImageMagick: shifts weighted by half a Gaussian."""
    width = 2 * max(1, round(radius)) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * deviation**2))
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    rows, columns = np.arange(image.shape[0]), np.arange(image.shape[1])
    total = np.zeros(image.shape)
    for step, weight in enumerate(weights / weights.sum()):
        down, right = round(step * sine), round(step * cosine)
        lines = (rows + down).clip(0, len(rows) - 1)
        total += weight * image[lines[:, None], (columns + right).clip(0, len(columns) - 1)[None]]
    return total


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle of the image (H, W, C), enlarged by a factor to its size."""
    from scipy.ndimage import zoom

    sizes = image.shape[:2]
    parts = [math.ceil(side / factor) for side in sizes]
    tops = [(side - part) // 2 for side, part in zip(sizes, parts, strict=True)]
    middle = image[tops[0] : tops[0] + parts[0], tops[1] : tops[1] + parts[1]]
    large = np.asarray(zoom(middle, [*(side / part for side, part in zip(sizes, parts, strict=True)), 1], order=1))
    return large[: sizes[0], : sizes[1]]


def plasma(side: int, decay: float, random: np.random.Generator) -> np.ndarray:
    """(S, S) in [0, 1], S the least power of two from `side`: a cloud by the diamond-square algorithm.

    The noise that is added halves its reach from level to level and is divided by `decay`.
    """
    size = 1 << max(1, (side - 1).bit_length())
    cloud, step, noise = np.zeros((size, size)), size, 100.0

    def mean(total: np.ndarray) -> np.ndarray:
        return total / 4 + noise * random.uniform(-noise, noise, total.shape)

    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        beside = corners + np.roll(corners, -1, 0)
        cloud[half::step, half::step] = mean(beside + np.roll(beside, -1, 1))
        centres, corners = cloud[half::step, half::step], cloud[::step, ::step]
        across = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        along = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        cloud[::step, half::step], cloud[half::step, ::step] = mean(across), mean(along)
        step, noise = half, noise / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def frost_texture(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """(H, W, C) in [0, 1]: needles of ice in six directions over a pale cloud, denser towards one side."""
    height, width, channels = shape
    side = min(height, width)
    needles = np.zeros((height, width, 1))
    for turn in range(6):
        seeds = (random.random((height, width, 1)) < 0.02) * random.uniform(0.5, 1, (height, width, 1))
        streak = moved(seeds, side / 8, side / 8, 60 * turn + random.uniform(-15, 15))
        needles = np.maximum(needles, streak / max(streak.max(), 1e-9))
    cloud = plasma(max(height, width), 2.0, random)[:height, :width, None]
    ice = (0.35 * cloud + 0.75 * needles).clip(0, 1)
    return ice * (np.array([0.9, 0.97, 1.0]) if channels == 3 else np.ones(channels))


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve

    reach = len(kernel) // 2
    wide = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    return fftconvolve(wide, kernel[..., None], mode="valid", axes=(0, 1))


def _smoothed(image: np.ndarray, deviation: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, (deviation, deviation, 0), mode="nearest")


def _picture(image: np.ndarray) -> Image.Image:
    pixels = (image * 255).round().astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if image.shape[2] == 1 else pixels)


def _array(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture) / 255
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _factors(*ends: tuple[float, float]) -> tuple[np.ndarray, ...]:
    return tuple(np.arange(1, end, step) for end, step in ends)


CORRUPTIONS = {
    "gaussian_noise": _Corruption(_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.1), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": _Corruption(_shot_noise, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": _Corruption(_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": _Corruption(
        _defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": _Corruption(
        _glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": _Corruption(
        _motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    ),
    "zoom_blur": _Corruption(
        _zoom_blur,
        _factors((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        _factors((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": _Corruption(
        _snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": _Corruption(
        _frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": _Corruption(
        _fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": _Corruption(_brightness, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": _Corruption(_contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic_transform": _Corruption(
        _elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "pixelate": _Corruption(_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": _Corruption(_jpeg_compression, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}
