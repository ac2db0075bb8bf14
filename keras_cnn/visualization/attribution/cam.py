"""Helpers of the class activation maps: the choice of the layer, and the enlarging of maps to the image size."""

import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.visualization.probe import Probe


def map_point(probe: Probe, layer: str | None, method: str) -> str:
    """The point of `layer`, or of the last map before pooling. Raises InputError if it has no map."""
    point = probe.last_map() if layer is None else probe.point(layer)
    shape = probe.shape(point)
    require(len(shape) == 3, f"{probe.name}: {method} of {point}", f"an output of shape {shape}", "a map")
    return point


def enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) enlarged to `size` (H, W), bilinear between the centres of the units: (N, H, W) float32."""
    return tf.image.resize(maps[..., None].astype(np.float32), size)[..., 0].numpy()


def positive(maps: np.ndarray) -> np.ndarray:
    return np.maximum(maps, 0)
