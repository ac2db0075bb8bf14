"""The tensors inside a network for a stream of images, computed as in an evaluation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_cnn.errors import require
from keras_cnn.evaluation.predict import inference
from keras_cnn.visualization.probe import Probe


def reader(probe: Probe, points: Sequence[str]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """A function, for use in a `tf.function`, from images (B, H, W, C) of 0-255 to the tensors at `points`.

    They are computed in the network's own types with its batch norms folded, as `Predictor` does.
    """
    return inference(probe.model, [probe.point(point) for point in points])


def compiled(probe: Probe, function: Callable, *more: Any) -> Callable[..., Any]:
    """`function` of a batch of images (B, H, W, C) uint8, compiled for the network's image size.

    `more` are the specifications of further arguments.
    """
    signature = tf.TensorSpec((None, *probe.input_shape), tf.uint8)
    return tf.function(function, input_signature=[signature, *more], autograph=False)


def labelled(where: str, batches: Iterable) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
    """Images (B, H, W, C) and labels (B,) of each batch. Raises InputError if there are no images."""
    count = 0
    for images, labels, *_ in batches:
        count += len(images)
        yield images, np.asarray(labels, np.int64)
    require(count > 0, where, "no images", "at least one")
