"""Activation maximization: pictures that an optimiser makes so that a unit responds as strongly as possible.

It has four independent parts: the unit (a `Target`), the parameters of the picture (pixels or a spectrum, with
decorrelated colours), the random transforms that the picture has to withstand, and the gradient ascent.

Sources: Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017; Mordvintsev et al., Differentiable Image
Parameterizations, Distill 2018.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.evaluation.predict import LINEAR
from keras_cnn.models.layer_kinds import AFFINE, is_activation
from keras_cnn.visualization.gradients import Score, climb, scores
from keras_cnn.visualization.probe import ModelOrProbe, Probe, in_batches, taps
from keras_cnn.visualization.targets import Target

# Covariance of red, green and blue (0-1) in 200 photos of ImageNet; in CIFAR-10 it is about 0.01 smaller.
COLOUR_COVARIANCE = np.array([[0.070, 0.063, 0.058], [0.063, 0.069, 0.066], [0.058, 0.066, 0.075]])
STEPS = 96
_SMALL = 64  # pixels of a side; up to this size a picture has few waves, which need large steps
_START = 0.01  # standard deviation of the parameters at the start: nearly grey
_SPECTRUM_SCALE = 0.25  # so a spectrum of standard deviation 1 gives a picture of about 1 before the colours


@dataclass(frozen=True)
class Transforms:
    """Ranges of the uniformly drawn transform of each step, which keeps a picture from depending on single pixels."""

    jitter: float  # largest shift in pixels, down and across
    scale: float  # largest share by which the picture grows or shrinks
    rotation: float  # largest angle in degrees, either way

    @classmethod
    def usual(cls, side: int) -> "Transforms":
        """The usual ranges for images of `side` pixels: two pixels of jitter at 32, eighteen at 299."""
        return cls(max(1, side // 16), 0.1, 5.0)

    def matrices(self, count: int, size: tuple[int, int], seed: int) -> np.ndarray:
        """(count, 2, 3) float32: matrices from the (row, column) of a pixel to the (row, column) that it shows."""
        generator = np.random.default_rng([seed, 1])
        shift = generator.uniform(-self.jitter, self.jitter, (count, 2))
        zoom = 1 + generator.uniform(-self.scale, self.scale, count)
        angle = np.deg2rad(generator.uniform(-self.rotation, self.rotation, count))
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        linear = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
        middle = (np.array(size) - 1) / 2
        offset = middle + shift - linear @ middle
        return np.concatenate([linear, offset[..., None]], axis=2).astype(np.float32)


@dataclass(frozen=True)
class Parametrisation:
    """How a picture (H, W, C) of 0-255 is made from the parameters that the ascent changes."""

    kind: Literal["fourier", "pixel"]
    size: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameters: the pixels, or the real and imaginary parts of the spectrum of each channel."""
        height, width, channels = self.size
        return self.size if self.kind == "pixel" else (2, channels, height, width // 2 + 1)

    def picture(self, parameters: tf.Tensor) -> tf.Tensor:
        """(N, H, W, C) float32 of 0-255 from parameters (N, *shape): colours mixed, then squeezed by a sigmoid."""
        height, width, channels = self.size
        values: Any = parameters
        if self.kind == "fourier":
            spectrum = tf.complex(parameters[:, 0], parameters[:, 1]) * spectrum_scale(height, width)
            values = tf.transpose(tf.signal.irfft2d(spectrum, [height, width]), [0, 2, 3, 1])
        return 255 * tf.sigmoid(tf.tensordot(values, colour_mixing(channels).astype(np.float32), [[3], [1]]))


@dataclass(frozen=True)
class MaximizedUnits:
    """The pictures that maximize U units."""

    pictures: np.ndarray  # (U, H, W, C) uint8
    values: np.ndarray  # (U,) float32, the score of each picture
    start: np.ndarray  # (H, W, C) uint8, the noise that all pictures began with
    start_values: np.ndarray  # (U,) float32, the scores of the noise
    highest: np.ndarray  # (U,) float32, the largest value of the unit's own map for its picture
    moved: np.ndarray  # (U,) bool, whether any step had a gradient
    score: Score  # the maximized score
    rate: float  # learning rate of Adam

    @property
    def dead(self) -> np.ndarray:
        """(U,) bool: no step had a gradient, so the score could not be raised."""
        return ~self.moved


@dataclass(frozen=True)
class BestRealImages:
    """The real image with the largest score for each of U units."""

    values: np.ndarray  # (U,) float32
    numbers: np.ndarray  # (U,) int64, in the order of the stream; ties go to the first image
    count: int  # images in the stream


def usual_rate(side: int) -> float:
    """The usual learning rate of Adam for images of `side` pixels.

    Ten channel means of net4's first convolution were maximised at 32 pixels in 96 steps. With 0.05, one exceeds the
    best of 500 real images; with 0.1, nine do; with 0.15, all do, but net4's classes are harder to recognise. Deep
    channels of Xception, at 299 pixels, reach lower values with 0.1 than with 0.05.
    """
    return 0.1 if side <= _SMALL else 0.05


def maximize_activation(
    model: ModelOrProbe,
    target: Target,
    units: int,
    *,
    steps: int = STEPS,
    rate: float | None = None,
    parametrisation: Literal["fourier", "pixel"] = "fourier",
    transforms: Transforms | None = None,
    seed: int = 0,
) -> MaximizedUnits:
    """Pictures that maximize the target's score for each of `units` units, by Adam from the same noise.

    The target has one class or channel for all units, or one for each. A picture depends only on its own unit, the
    options and the seed. `rate` and `transforms` are by default the usual ones for the size of the images.

    Raises InputError for a target that the network does not have, images without a fixed size or with other than 1 or 3
    channels, and fewer than one step.
    """
    probe = Probe.of(model)
    size = probe.input_shape
    fits = None not in size and size[-1] in (1, 3)
    where = f"{probe.name}: activation maximization"
    require(fits, where, f"images of shape {size}", "a fixed size and 1 or 3 channels")
    require(steps >= 1, "activation maximization: steps", f"found {steps}", "at least 1")
    size = probe.image_shape
    rate = usual_rate(max(size[:2])) if rate is None else rate
    transforms = Transforms.usual(min(size[:2])) if transforms is None else transforms
    made_of = Parametrisation(parametrisation, size)
    first = (np.random.default_rng([seed, 0]).normal(size=made_of.shape) * _START).astype(np.float32)
    start = _as_bytes(made_of.picture(tf.constant(first[None])))[0]
    score = target.score(probe, np.repeat(start[None], units, axis=0).astype(np.float32))
    step = climb(probe, score.point, made_of, functools.partial(_seen, made_of), made_of.shape)
    matrices = transforms.matrices(steps, size[:2], seed)
    parts = [_ascend(step, first, weights, matrices, rate) for weights in in_batches(score.weights, probe.batch_size())]
    parameters, moved = (np.concatenate(column) for column in zip(*parts, strict=True))
    pictures = np.concatenate(
        [_as_bytes(made_of.picture(tf.constant(part))) for part in in_batches(parameters, probe.batch_size())]
    )
    values = _measured(probe, pictures, score)
    start_values = _measured(probe, np.repeat(start[None], units, axis=0), score)
    return MaximizedUnits(pictures, values, start, start_values, _highest(probe, pictures, score), moved, score, rate)


def best_of(model: ModelOrProbe, wanted: Sequence[Score], batches: Iterable) -> list[BestRealImages]:
    """For each of these scores, the real image with the largest value for each unit; `batches` is read once.

    The elements of `batches` start with images (B, H, W, C) of 0-255. Raises InputError for no images and for images
    that do not fit the network.
    """
    probe = Probe.of(model)
    read = taps(probe, [score.point for score in wanted])
    best, count = [_RunningBest(score) for score in wanted], 0
    for images, *_ in batches:
        for part in in_batches(np.asarray(images), probe.batch_size()):
            maps = read(part)
            for running in best:
                running.add(maps[probe.point(running.point)], count)
            count += len(part)
    require(count > 0, "activation maximization", "no images", "at least one")
    return [BestRealImages(running.values, running.numbers, count) for running in best]


class _RunningBest:
    """The largest values of one score so far."""

    def __init__(self, score: Score):
        self.point, self._weights = score.point, score.weights.reshape(len(score.weights), -1)
        self.values = np.full(len(self._weights), -np.inf, np.float32)
        self.numbers = np.zeros(len(self._weights), np.int64)

    def add(self, maps: np.ndarray, first: int) -> None:
        """Adds the maps (B, ...) of a batch of images; its first image has the number `first`."""
        scores = maps.reshape(len(maps), -1) @ self._weights.T
        best = scores.argmax(axis=0)
        reached = scores[best, np.arange(len(best))]
        better = reached > self.values
        self.values, self.numbers = np.where(better, reached, self.values), np.where(better, first + best, self.numbers)


def before_activation(model: ModelOrProbe, layer: str) -> tuple[str, str | None]:
    """The point where a unit of a layer has a gradient even if its ReLU is 0, and the activation that reads it.

    For a convolution or dense layer, a batch norm behind one, or an activation, it is the point that the activation
    reads. For any other layer it is the layer's output, without an activation.
    """
    probe = Probe.of(model)
    node = probe.node(probe.point(layer).partition(":")[0])
    if type(node.operation) in AFFINE:
        if f"{node.name}{LINEAR}" in probe.points:
            return f"{node.name}{LINEAR}", node.name
        return _followed(probe, node.name)
    if is_activation(node.operation):
        return node.inputs[0], node.name
    if isinstance(node.operation, keras.layers.BatchNormalization):
        return _followed(probe, node.name)
    return node.name, None


def colour_mixing(channels: int) -> np.ndarray:
    """(channels, channels): the matrix that turns independent numbers into colours that vary as in photos.

    It is a square root of the colours' covariance, with its longest column scaled to length 1. For grey images it is 1.
    """
    if channels == 1:
        return np.ones((1, 1))
    variances, directions = np.linalg.eigh(COLOUR_COVARIANCE)
    root = directions * np.sqrt(variances)
    return root / np.linalg.norm(root, axis=0).max()


def spectrum_scale(height: int, width: int) -> np.ndarray:
    """(H, W // 2 + 1) float32: wave amplitudes, proportional to the wavelength, or to its power 1.5 above 64 pixels.

    Natural images have the power 1. Above 64 pixels, fine waves would dominate with it: Xception's deep channels become
    scribble at 299 pixels, with the same values. The mean counts as the longest wave. Source: Field, Relations between
    the Statistics of Natural Images and the Response Properties of Cortical Cells, 1987.
    """
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    power = 1.0 if max(height, width) <= _SMALL else 1.5
    same_at = 8 / max(height, width)  # the frequency whose amplitude does not depend on the power
    sizes = (same_at / frequency) ** power / same_at
    return (_SPECTRUM_SCALE * np.sqrt(height * width) * sizes).astype(np.float32)


def transformed(pictures: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Pictures (N, H, W, C) transformed by a matrix (2, 3) of `Transforms`, bilinear, mirrored beyond their borders."""
    height, width, channels = (side or 0 for side in pictures.shape[1:])
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
    places = tf.matmul(tf.constant(grid, tf.float32), matrix[:, :2], transpose_b=True) + matrix[:, 2]
    low = tf.floor(places)
    share = places - low
    rows, columns = (
        [_mirrored(tf.cast(low[:, axis], tf.int32) + step, side) for step in (0, 1)]
        for axis, side in enumerate((height, width))
    )
    # One gather serves all pictures, since a row of `flat` holds one pixel of every picture.
    flat = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), [height * width, -1])
    result: Any = 0.0
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            weight = (share[:, 0] if i else 1 - share[:, 0]) * (share[:, 1] if j else 1 - share[:, 1])
            result += weight[:, None] * tf.gather(flat, row * width + column)
    return tf.transpose(tf.reshape(result, [height, width, -1, channels]), [2, 0, 1, 3])


def _mirrored(index: tf.Tensor, side: int) -> tf.Tensor:
    """Row or column numbers on a picture that is mirrored at its border, without repeating it."""
    period = max(2 * (side - 1), 1)
    index = tf.math.floormod(index, period)
    return tf.minimum(index, period - index) if side > 1 else tf.zeros_like(index)


def _seen(made_of: Parametrisation, parameters: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    return transformed(made_of.picture(parameters), matrix)


def _ascend(
    step: Callable, first: np.ndarray, weights: np.ndarray, matrices: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (N, ...) after all steps of Adam (Kingma and Ba, 2015), and whether each had any gradient (N,)."""
    parameters = np.repeat(first[None], len(weights), axis=0)
    mean, square = np.zeros_like(parameters), np.zeros_like(parameters)
    moved = np.zeros(len(weights), bool)
    for number, matrix in enumerate(matrices, 1):
        _, gradient = step(parameters, weights, matrix)
        moved |= gradient.reshape(len(gradient), -1).any(axis=1)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        size = np.sqrt(square / (1 - 0.999**number)) + 1e-8
        parameters = parameters + np.float32(rate) * (mean / np.float32(1 - 0.9**number)) / size
        parameters = parameters.astype(np.float32)
    return parameters, moved


def _as_bytes(pictures: tf.Tensor) -> np.ndarray:
    return np.round(pictures.numpy()).astype(np.uint8)


def _measured(probe: Probe, pictures: np.ndarray, score: Score) -> np.ndarray:
    return scores(probe, probe.images(pictures), score)


def _highest(probe: Probe, pictures: np.ndarray, score: Score) -> np.ndarray:
    """(U,): the largest number anywhere on the map of each unit's channel."""
    maps = taps(probe, [score.point])(pictures)[score.point]
    maps = maps.reshape(len(maps), -1, maps.shape[-1])
    channels = np.any(score.weights.reshape(maps.shape), axis=1, keepdims=True)
    return np.where(channels, maps, -np.inf).max(axis=(1, 2))


def _followed(probe: Probe, name: str) -> tuple[str, str | None]:
    """The layer, or the batch norm behind it if one follows; and the activation that reads it, if there is one."""
    readers = probe.readers(name)
    if len(readers) == 1 and isinstance(readers[0].operation, keras.layers.BatchNormalization):
        return _followed(probe, readers[0].name)
    return name, readers[0].name if len(readers) == 1 and is_activation(readers[0].operation) else None
