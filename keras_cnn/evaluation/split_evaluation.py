"""What the evaluations of all classifiers have in common: the logits of the images of one split, and their checks."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.test_time_augmentation import Views, mean_of_views

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("test", "validation", "train")


@dataclass(frozen=True, repr=False)
class SplitEvaluation:
    """The logits of a model for the N images of a split, with C classes, and every number that follows from them."""

    dataset: Dataset
    split: str  #: "test", "validation" or "train" of the dataset
    fit: str  #: how images are resized to the model's size, see data.decoding
    views: Views
    computed_in: str  #: dtype policy
    logits: np.ndarray  #: (N, C) float32; of several views the logits of their mean probability

    @property
    def images(self) -> Split:
        return getattr(self.dataset, self.split)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @cached_property
    def metrics(self) -> dict:
        """The contents of metrics.json."""
        raise NotImplementedError

    @property
    def per_class(self) -> "pd.DataFrame":
        """A row for each class: its scores, 0 to 1, with their 95 % intervals, and its numbers of images."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.metrics["per_class"], orient="index")

    def pixels(self, indices) -> np.ndarray:
        """(n, H, W, C) uint8: the images at `indices` in the model's size, 0 to 255."""
        return pipeline.decoded(self.images.take(indices), self.dataset.image_shape, self.fit)

    @property
    def _facts(self) -> dict:
        """What was evaluated, and how: the beginning of metrics.json."""
        return {
            "split": self.split,
            "source": self.dataset.source,
            "computed_in": self.computed_in,
            "views": {"name": self.views.name, "number": len(self.views), "what": self.views.in_words()},
        }

    @property
    def _images_in_words(self) -> str:
        return f"{len(self.images):,} {self.split} images of {self.dataset.source}"

    def _html(self, rows: "pd.DataFrame", more: str) -> str:
        """The evaluation in a notebook: its line, `rows` of `per_class`, and a sentence about the others."""
        rounded = rows.map(lambda value: [round(v, 4) for v in value] if isinstance(value, list) else value)
        return f"<p>{html.escape(repr(self))}</p>{rounded.to_html(float_format='%.4f')}{more}"


def check_fit(model: keras.Model, dataset: Dataset, split: str) -> None:
    """Raises InputError for a split without images, and for a model that does not fit the images or the classes."""
    if split not in SPLITS:
        raise InputError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    shape, classes = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    if len(shape) != 3 or any(a not in (None, b) for a, b in zip(shape, dataset.image_shape, strict=True)):
        raise InputError(f"{dataset.source}: images of {dataset.image_shape}; the model takes {shape}")
    if classes != len(dataset.classes):
        raise InputError(f"{dataset.source}: {len(dataset.classes)} classes; the model has {classes}")
    if not len(getattr(dataset, split)):
        raise InputError(f"{dataset.source}: no images in the {split} split; expected at least one")


def logits_of_views(
    predictor: Predictor,
    dataset: Dataset,
    name: str,
    *,
    batch_size: int,
    fit: str,
    views: Views,
    mean: Callable[[np.ndarray], np.ndarray] = mean_of_views,
) -> np.ndarray:
    """(N, C) float32 logits of a split; `mean` makes one from those of several views (V, N, C).

    Raises InputError, naming the first image, for logits that are not finite.
    """
    split, shape = getattr(dataset, name), dataset.image_shape
    if len(views) > 1:
        split = pipeline.cached(split, shape, fit=fit)  # otherwise each image is read once for each view

    def view(number: int) -> Iterator:
        return ((views.of(batch, number),) for batch in pipeline.batches(split, shape, batch_size, fit=fit))

    logits = np.stack([predictor.logits(view(number)) for number in range(len(views))])
    bad = np.argwhere(~np.isfinite(logits).all(axis=(0, 2)))
    if len(bad):
        first = split.ids[bad[0, 0]]
        raise InputError(
            f"the model's logits are not finite for {len(bad):,} of {len(split):,} {name} images, the first {first!r};"
            " expected finite numbers (did the training diverge?)"
        )
    return logits[0] if len(views) == 1 else mean(logits)


def computed_in(model: keras.Model) -> str:
    """Name of the layers' dtype policy; if they differ, the first by name that is not float32."""
    policies = {layer.dtype_policy.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    return next((name for name in sorted(policies) if name != "float32"), "float32")
