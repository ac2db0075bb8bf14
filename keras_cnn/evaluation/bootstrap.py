"""How far the numbers of one split depend on which images are in it: the bootstrap over images.

Resample r of N images is row r of `numpy.random.default_rng(SEED).integers(0, N, (RESAMPLES, N))`, indices drawn with
replacement, so that anybody can draw the same ones. Everything measured is a function of sums over images, so a
resample is kept as how often it has each image, and no image is looked at twice.

Source: B. Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7 (1979).
"""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

RESAMPLES, SEED = 2000, 0
_CHUNK = 2**21  # images drawn at a time: 16 MB; 2,000 resamples of 10,000 images and 10 classes take 0.2 s

Interval = tuple[float, float]


def resampled(images: int, samples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each resample has each image: (R, N) float64 whole numbers, R resamples at a time, `samples` in all."""
    generator, rows = np.random.default_rng(seed), max(1, _CHUNK // images)
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = generator.integers(0, images, (size, images))
        drawn += images * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)


def terms(*columns: np.ndarray | tuple[np.ndarray, int] | tuple[np.ndarray, int, np.ndarray]) -> sparse.csr_array:
    """(N, T): what each of N images adds to T sums; the sums of resamples are `counts @ terms`.

    A column is (N,) values, or (groups, number) for the images of each of so many groups, from 0 to number - 1, or
    (groups, number, values) for their values. Sparse: each image is in one group, of ten or of a thousand.
    """
    places, values, width = [], [], 0
    for column in columns:
        groups, number, given = _grouped(column)
        places.append(width + groups)
        values.append(given)
        width += number
    images = len(places[0])
    rows = np.tile(np.arange(images), len(places))
    return sparse.csr_array((np.concatenate(values), (rows, np.concatenate(places))), shape=(images, width))


def _grouped(column) -> tuple[np.ndarray, int, np.ndarray]:
    if not isinstance(column, tuple):
        return np.zeros(len(column), np.int64), 1, column
    groups, number, *values = column
    return groups, number, values[0] if values else np.ones(len(groups))


def percentile(values: np.ndarray, level: float) -> Interval:
    """The middle `level` of the resampled `values` (R,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def reflected(values: np.ndarray, found: float, level: float) -> Interval:
    """The percentiles of `values` (R,) mirrored at what was found, not below 0: the basic bootstrap interval.

    For a number that chance can only raise. Resampling raises it once more by about as much, so the percentiles lie
    too high, and mirrored they lie where the number would be without either. What was found may lie above the interval.

    Source: A. C. Davison and D. V. Hinkley, Bootstrap Methods and Their Application (1997), section 5.2.
    """
    low, high = percentile(values, level)
    return max(0.0, 2 * found - high), max(0.0, 2 * found - low)
