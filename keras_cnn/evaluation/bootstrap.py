"""The bootstrap over images: how much the numbers of one split depend on which images are in it.

Resample r of N images is row r of `numpy.random.default_rng(SEED).integers(0, N, (RESAMPLES, N))`: indices drawn with
replacement, reproducible from the seed. Every measured number is a function of sums over images. A resample is
therefore stored as the number of times that it contains each image, and no image is evaluated twice.

Source: B. Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7 (1979).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from keras_cnn.evaluation.intervals import Interval

if TYPE_CHECKING:
    from scipy import sparse

RESAMPLES, SEED = 2000, 0
_CHUNK = 2**21  # images drawn at a time: 16 MB; 2,000 resamples of 10,000 images and 10 classes take 0.2 s


def resampled(images: int, samples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yields the counts of each image in each resample: (R, N) float64 whole numbers, R resamples at a time.

    The arrays have `samples` rows in all.
    """
    generator, rows = np.random.default_rng(seed), max(1, _CHUNK // images)
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = generator.integers(0, images, (size, images))
        drawn += images * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)


def terms(*columns: np.ndarray | tuple[np.ndarray, int] | tuple[np.ndarray, int, np.ndarray]) -> sparse.csr_array:
    """(N, T): what each of N images adds to T sums; the sums of resamples are `counts @ terms`.

    A column is one of: `values` (N,), which gives one sum; `(groups, number)`, which counts the images of each of
    `number` groups, `groups` (N,) being integers from 0; `(groups, number, values)`, which sums the values of each
    group. The array is sparse, because each image is in one group of possibly a thousand.
    """
    from scipy import sparse  # takes a tenth of a second

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
    """The interval that contains the middle share `level` of the resampled `values` (R,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def reflected(values: np.ndarray, measured: float, level: float) -> Interval:
    """The basic bootstrap interval: the percentiles of `values` (R,) reflected at the measured value, at least 0.

    It is for a number that is biased upwards, such as the ECE. Resampling adds about the same bias a second time, so
    the percentiles are too high. Reflection corrects for both, so the measured value may be above the interval.

    Source: A. C. Davison and D. V. Hinkley, Bootstrap Methods and Their Application (1997), section 5.2.
    """
    low, high = percentile(values, level)
    return max(0.0, 2 * measured - high), max(0.0, 2 * measured - low)
