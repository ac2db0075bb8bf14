"""The images that quantisation needs: samples to calibrate, and labelled images to measure what it costs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_cnn.evaluation.comparison import Change, compare
from keras_cnn.evaluation.metrics import softmax
from keras_cnn.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Quantisation:
    """Images of 0-255 in the model's size for the formats in 8 bits."""

    samples: np.ndarray  # (S, H, W, C) uint8 of training, which calibrate
    batches: Callable[[], Iterable[np.ndarray]]  # (B, H, W, C) uint8 of validation, in order, N in all
    labels: np.ndarray  # (N,) integers, their true classes
    ids: Sequence[str]  # (N,)


def compared(
    exact: Callable[[np.ndarray], np.ndarray],
    quantised: Callable[[np.ndarray], np.ndarray],
    quantisation: Quantisation,
    classes: Sequence[str],
) -> Change:
    """The accuracies of two functions from images to logits on the same labelled images, see `comparison.compare`."""
    logits = [(exact(images), quantised(images)) for images in quantisation.batches()]
    labels, ids = quantisation.labels, tuple(quantisation.ids)
    before, after = (
        Predictions(ids, ("",) * len(ids), tuple(classes), labels, softmax(np.concatenate(parts)))
        for parts in zip(*logits, strict=True)
    )
    return compare(before, after).overall
