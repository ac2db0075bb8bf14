"""The images of a whole split for a view, in batches that can be read again, and single ones of them for a figure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_cnn.atlas.subject import Subject
from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.errors import UsageError

SplitName = Literal["validation", "train"]  # the test split is for `evaluate.py` alone, which counts its readings
Shape = tuple[int, int, int]

_PIXELS = 2**18  # of a batch: 256 images of 32×32, five of 224×224


@dataclass(frozen=True)
class Stream:
    """Images with labels (N,), -1 where the true class is not known, in the order of `ids`."""

    split: Split
    shape: Shape
    fit: str
    words: str  # "5,000 images of the validation split"

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator:
        """Batches that start with images (B, H, W, C) uint8 and labels (B,)."""
        size = int(np.clip(_PIXELS // (self.shape[0] * self.shape[1]), 1, 256))
        return iter(pipeline.batches(self.split, self.shape, size, fit=self.fit))

    @property
    def ids(self) -> tuple[str, ...]:
        return self.split.ids

    @property
    def labels(self) -> np.ndarray:
        return self.split.labels

    def pixels(self, indices: Iterable[int]) -> np.ndarray:
        """(n, H, W, C) uint8: the images of these numbers, as the network gets them."""
        chosen = self.split.take(list(indices))
        if not len(chosen):
            return np.zeros((0, *self.shape), np.uint8)
        return np.concatenate([b.images.numpy() for b in pipeline.batches(chosen, self.shape, 64, fit=self.fit)])


def stream(subject: Subject, split: SplitName, most: int | None = None, shape: Shape | None = None) -> Stream:
    """The `split` of a run, or the images on the command line; `most` of them at even distances.

    They have the size that the subject's network takes unless another `shape` (H, W, C) is given. UsageError where
    there are none.
    """
    if subject.asked.images or subject.dataset is None:
        images = subject.images
        found, words = Split(images.names, images.labels, images.pixels), "images given"
    else:
        found, words = getattr(subject.dataset, split), f"images of the {split} split"
    if not len(found):
        raise UsageError(f"command line: --split {split}: {subject.name} has no images there")
    return stream_of(found, shape or subject.probe.input_shape, subject.fit, most, words)


def stream_of(split: Split, shape: Shape, fit: str, most: int | None, words: str) -> Stream:
    """`most` images of a split at even distances, brought to `shape` and decoded once if there is memory for that."""
    if most is not None and most < len(split):
        split = split.take(np.unique(np.linspace(0, len(split) - 1, most).astype(int)))
    return Stream(pipeline.cached(split, shape, fit=fit), shape, fit, f"{len(split):,} {words}")
