"""Statistics of feature maps over images: how many values are not positive, and the spectrum of their covariance.

IN4310 asks for both: the shares of non-positive values by layer, and the largest eigenvalues of the empirical
covariance of the features of 200 images, for several networks and several sets of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.evaluation.intervals import paired_bootstrap
from keras_cnn.evaluation.metrics import CONFIDENCE_LEVEL
from keras_cnn.visualization.probe import ModelOrProbe, Probe

Reduction = Literal["pooled", "flattened"]
AVGPOOL = "avgpool"  # torchvision's name of the means over the last map, which the report measures too

SAMPLES = 200  # bootstrap samples
_LARGEST = 2**30  # most bytes of features to keep


@dataclass(frozen=True)
class Sparsity:
    """Share of the values of one layer's output that are not above 0, over N images."""

    layer: str
    shape: tuple[int, ...]  # of one image's output
    shares: np.ndarray  # (N,) float64 in [0, 1], of each image
    interval: tuple[float, float]  # of the mean, by bootstrap over the images

    @property
    def share(self) -> float:
        """The share over all values of all images."""
        return float(self.shares.mean())


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the empirical covariance of N feature vectors of D numbers, in descending order."""

    images: int  # N
    dimensions: int  # D
    eigenvalues: np.ndarray  # (min(N, D),) float64, not negative
    resampled: np.ndarray  # (samples, min(N, D)): the same for images drawn with replacement

    @property
    def largest_rank(self) -> int:
        """The largest rank that the covariance of N vectors can have: N - 1, or D if D is smaller."""
        return min(self.images - 1, self.dimensions)

    @property
    def effective_rank(self) -> float:
        """See the function `effective_rank`."""
        return effective_rank(self.eigenvalues)

    @property
    def effective_rank_interval(self) -> tuple[float, float]:
        """The 95 % bootstrap interval of the effective rank, computed as in `band`."""
        resampled = np.array([effective_rank(values) for values in self.resampled])
        low, high = _spread(resampled[:, None], np.array([self.effective_rank]))
        return float(low[0]), float(high[0])

    @property
    def band(self) -> np.ndarray:
        """(2, min(N, D)): low and high end of each eigenvalue's 95 % bootstrap interval.

        An end is the estimate times the resampled percentile, divided by the resampled median. The percentiles alone
        would exclude the estimate at both ends of the spectrum, since images drawn twice add no direction.
        """
        return np.stack(_spread(self.resampled, self.eigenvalues))


class NotPositive:
    """Measures the share of the values that are at most 0 at each of `points`, see `probe`, as a list of `Sparsity`.

    Where the point `AVGPOOL` is no layer of the network, it stands for the means over the network's last map. One
    number per image and point is kept. Raises InputError for an unknown point, and for values that are not finite.
    """

    def __init__(self, model: ModelOrProbe, points: Sequence[str]):
        probe = Probe.of(model)
        self._names = tuple(points)
        self._pooled = [point == AVGPOOL and probe.graph.find(point) is None for point in points]
        self.points = tuple(
            probe.last_map() if pooled else point for point, pooled in zip(points, self._pooled, strict=True)
        )
        self.key = ("not positive", self._names)
        self._shapes = [
            probe.fixed_shape(point)[-1:] if pooled else probe.fixed_shape(point)
            for point, pooled in zip(self.points, self._pooled, strict=True)
        ]
        self._shares: list[list[np.ndarray]] = []  # of each batch, the shares at each point

    def compute(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        pooled = zip(values, self._pooled, strict=True)
        return [_not_positive(tf.reduce_mean(value, axis=[1, 2]) if means else value) for value, means in pooled]

    def add(self, computed: Sequence[tf.Tensor], labels: np.ndarray) -> None:
        self._shares.append([shares.numpy() for shares in computed])

    def result(self) -> list[Sparsity]:
        result = []
        for name, shape, parts in zip(self._names, self._shapes, zip(*self._shares, strict=True), strict=True):
            shares = np.concatenate(parts).astype(np.float64)
            require(bool(np.isfinite(shares).all()), f"statistics: {name}", "values that are not finite", "numbers")
            result.append(Sparsity(name, shape, shares, paired_bootstrap(shares, CONFIDENCE_LEVEL)))
        return result


class Features:
    """Measures the features at `point`, (N, D) float32: the means of a map over its pixels, or all its values.

    Raises InputError for features of more than 1 GiB, and for values that are not finite.
    """

    def __init__(self, point: str, reduction: Reduction = "pooled"):
        self.points = (point,)
        self.key = ("features", point, reduction)
        self._pooled = reduction == "pooled"
        self._parts: list[np.ndarray] = []
        self._count = 0

    def compute(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        vectors = tf.cast(values[0], tf.float32)
        if self._pooled and len(vectors.shape) == 4:
            vectors = tf.reduce_mean(vectors, axis=[1, 2])
        shape = tf.shape(vectors)
        return [tf.reshape(vectors, [shape[0], tf.reduce_prod(shape[1:])])]  # -1 fails for an empty batch

    def add(self, computed: Sequence[tf.Tensor], labels: np.ndarray) -> None:
        part = computed[0].numpy()
        self._parts.append(part)
        self._count += len(part)
        wanted = f"at most {_LARGEST / 2**30:.0f} GiB: pooled features, or fewer images"
        size = part.shape[1]
        require(self._count * size * 4 <= _LARGEST, "features", f"{self._count} of {size} numbers each", wanted)

    def result(self) -> np.ndarray:
        values = np.concatenate(self._parts)
        require(bool(np.isfinite(values).all()), "features", "values that are not finite", "numbers")
        return values


def spectrum(values: np.ndarray, *, samples: int = SAMPLES, seed: int = 0) -> Spectrum:
    """Eigenvalues of the covariance (divided by N - 1) of `values` (N, D), N at least 2, with a bootstrap over N.

    If D exceeds N, the N×N matrix of inner products is used instead: it has the same nonzero eigenvalues.
    """
    values = np.asarray(values, np.float64)
    require(values.ndim == 2 and len(values) >= 2, "spectrum", f"features of shape {values.shape}", "at least 2 rows")
    count, dimensions = values.shape
    values = values - values.mean(axis=0)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=samples)
    if dimensions > count:
        products = values @ values.T
        resampled = [_of_products(products, weights) for weights in drawn]
        eigenvalues = _of_products(products, np.ones(count))
    else:
        resampled = [_of_covariance(values, weights) for weights in drawn]
        eigenvalues = _of_covariance(values, np.ones(count))
    shape = (samples, len(eigenvalues))
    return Spectrum(count, dimensions, eigenvalues, np.array(resampled).reshape(shape))


def effective_rank(eigenvalues: np.ndarray) -> float:
    """The exponential of the entropy of the eigenvalues' shares of their sum.

    It is D if all D are equal, 1 if only one is not 0, and 0 without any variance.

    Source: O. Roy and M. Vetterli, The Effective Rank, EUSIPCO 2007.
    """
    total = eigenvalues.sum()
    if total <= 0:
        return 0.0
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _not_positive(values: tf.Tensor) -> tf.Tensor:
    """(B,) float32 share of values at most 0 in each image; NaN where a value is not finite."""
    axes = list(range(1, len(values.shape)))
    share = tf.reduce_mean(tf.cast(values <= 0, tf.float32), axis=axes)
    total = tf.cast(tf.reduce_sum(tf.cast(values, tf.float32) * 0, axis=axes), tf.float32)  # 0, or NaN
    return share + total


def _of_covariance(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    count = len(values)
    mean = weights @ values / count
    matrix = (values * weights[:, None]).T @ values - count * np.outer(mean, mean)
    return _eigenvalues(matrix / (count - 1))


def _of_products(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eigenvalues from the inner products of the rows; each row counts as often as its weight."""
    count = len(products)
    shares = weights / count
    to_mean = products @ shares
    centred = products - to_mean[:, None] - to_mean[None] + shares @ to_mean
    root = np.sqrt(weights)
    return _eigenvalues(root[:, None] * centred * root / (count - 1))


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Eigenvalues in descending order; 0 where only rounding is left, as for at least one of N from N images."""
    values = np.linalg.eigvalsh(matrix)[::-1]
    return np.where(values > len(matrix) * np.finfo(np.float64).eps * values[0], values, 0.0)


def _spread(resampled: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of `resampled` (samples, n), each times estimate / median; the estimate where the median is 0."""
    tails = (1 - CONFIDENCE_LEVEL) / 2
    low, middle, high = np.quantile(resampled, [tails, 0.5, 1 - tails], axis=0)
    low, high = (np.divide(end * estimate, middle, out=estimate.copy(), where=middle > 0) for end in (low, high))
    return low, high
