"""Kernel, conv map and ReLU map of the same output channel, with a check that they belong together.

A grid of kernels beside a grid of maps can be off by an index, an axis or a layer without anyone noticing. So the map
of each channel is computed again in NumPy from its kernel and compared with the layer's own map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from keras_cnn.errors import require
from keras_cnn.visualization.kernels import Kernels, kernels
from keras_cnn.visualization.probe import ConvolutionBlock, ModelOrProbe, Probe

TOLERANCE = 1e-3  # share of the layer's largest value; float32 sums of some thousand products differ by 1e-5


@dataclass(frozen=True)
class KernelMapPairs:
    """Kernels and maps of U output channels; channel `channels[u]` is at index u of each last axis."""

    layer: str
    channels: np.ndarray  # (U,) int
    kernels: np.ndarray  # (kh, kw, inputs, U) float32
    convolved: np.ndarray  # (N, h, w, U) float32, with the bias
    normalised: np.ndarray | None  # (N, h, w, U) after the batch norm between convolution and activation
    activated: np.ndarray | None  # (N, h, w, U)
    points: tuple[str, str | None, str | None]  # where these maps were read
    difference: float  # largest |recomputed - layer's|, as a share of the layer's largest absolute value


def points_of(model: ModelOrProbe, layer: str) -> tuple[str, ...]:
    """The points that `kernel_map_pairs` needs: the input of the convolution, and the maps behind it."""
    block = Probe.of(model).convolution(layer)
    return (block.node.inputs[0], *filter(None, (block.linear, block.normalised, block.activated)))


def kernel_map_pairs(
    model: ModelOrProbe, maps: Mapping[str, np.ndarray], layer: str, channels: Sequence[int]
) -> KernelMapPairs:
    """Kernels and maps of output channels of a convolution, from the maps (N, h, w, C) at the points of `points_of`.

    Raises InputError for a layer without kernels and for an unknown channel, and ArithmeticError if a map differs from
    the map computed from its kernel.
    """
    probe = Probe.of(model)
    block, weights = probe.convolution(layer), kernels(probe, layer)
    chosen = np.asarray(channels, int)
    count = weights.values.shape[-1]
    for channel in chosen:
        require(0 <= channel < count, f"{probe.name}: {block.name}", f"channel {channel}", f"0 to {count - 1}")
    points = (block.linear, block.normalised, block.activated)
    convolved = maps[block.linear][..., chosen]
    normalised, activated = (maps[point][..., chosen] if point else None for point in points[1:])
    difference = _difference(block, weights, maps[block.node.inputs[0]], convolved, chosen)
    if difference > TOLERANCE:
        words = f"maps differ from those of their kernels by {difference:.1e} of the largest value"
        raise ArithmeticError(f"{probe.name}: {block.name}: {words}; expected at most {TOLERANCE:g}")
    own = weights.values[..., chosen]
    return KernelMapPairs(block.name, chosen, own, convolved, normalised, activated, points, difference)


def convolve(
    maps: np.ndarray,
    kernel: np.ndarray,
    bias: float,
    *,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "valid",
) -> np.ndarray:
    """The map (N, h, w) float64 of one filter in NumPy, from maps (N, H, W, inputs) and a kernel (kh, kw, inputs).

    Padding "same" is TensorFlow's: zeros make h equal to H / stride rounded up; an odd zero goes below or right.
    """
    values = maps.astype(np.float64)
    windows = [(side - 1) * step + 1 for side, step in zip(kernel.shape[:2], dilation, strict=True)]
    if padding == "same":
        before = [_same(maps.shape[1 + i], windows[i], strides[i]) for i in (0, 1)]
        values = np.pad(values, ((0, 0), *before, (0, 0)))
    views = sliding_window_view(values, windows, axis=(1, 2))
    views = views[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return np.einsum("nhwcij,ijc->nhw", views, kernel.astype(np.float64), optimize=True) + bias


def _same(side: int, window: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2


def _difference(
    block: ConvolutionBlock, weights: Kernels, inputs: np.ndarray, convolved: np.ndarray, channels: np.ndarray
) -> float:
    convolution = block.node.operation
    scale = max(float(np.abs(convolved).max()), float(np.finfo(np.float32).tiny))
    worst = 0.0
    for index, channel in enumerate(channels):
        again = convolve(
            inputs[..., weights.inputs_of(channel)],
            weights.values[..., channel],
            0.0 if weights.bias is None else float(weights.bias[channel]),
            strides=convolution.strides,
            dilation=convolution.dilation_rate,
            padding=convolution.padding,
        )
        worst = max(worst, float(np.abs(again - convolved[..., index]).max()) / scale)
    return worst
