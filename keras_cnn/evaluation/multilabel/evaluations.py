"""The evaluation of a model on images that may have several labels, and the files of its results."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_cnn.data.dataset import Dataset
from keras_cnn.distribution.replicas import SINGLE, Replicas
from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions
from keras_cnn.evaluation.multilabel import metrics
from keras_cnn.evaluation.multilabel.comparison import MultilabelComparison, compare
from keras_cnn.evaluation.multilabel.predictions import MultilabelPredictions, write_predictions
from keras_cnn.evaluation.multilabel.thresholds import choose_thresholds
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.split_evaluation import SplitEvaluation, check_fit, computed_in, logits_of_views
from keras_cnn.evaluation.test_time_augmentation import ONE, Views
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.run_folder import replacing, write_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class MultilabelEvaluation(SplitEvaluation):
    """The evaluation of images that may have several labels; each class has a logit and a probability of its own."""

    thresholds: np.ndarray  #: (C,) the probability from which a class counts
    chosen_on: str  #: the images on which the thresholds were chosen

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, C) float64; each class has its own, so that rows do not sum to 1."""
        return metrics.sigmoid(self.logits)

    @cached_property
    def metrics(self) -> dict:
        """The contents of metrics.json; see `metrics.summary`."""
        return {
            **self._facts,
            "thresholds_chosen_on": self.chosen_on,
            **metrics.summary(self.images.labels, self.logits, self.thresholds, self.classes),
        }

    @property
    def map(self) -> float | None:
        """The mean average precision over the classes with images, 0 to 1; None if no image has a class."""
        return self.metrics["map"]

    @property
    def map_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean average precision over the images."""
        interval = self.metrics["map_interval"]
        return (interval[0], interval[1]) if interval else None

    @property
    def cooccurrence(self) -> "pd.DataFrame":
        """(C, C) numbers of images that have each two classes, by their labels; the diagonal has those of one class."""
        import pandas as pd

        counts = confusions.from_json(self.metrics["cooccurrence"]["true"])
        return pd.DataFrame(counts, index=list(self.classes), columns=list(self.classes))

    def against(self, other: Any) -> MultilabelComparison:
        """What has changed from another model to this one, on the same images, and how certain it is.

        `other` is an evaluation of the same images, or a run, which is evaluated on the same split. Raises InputError
        for other images, true classes or classes.
        """
        evaluation = other if isinstance(other, MultilabelEvaluation) else other.evaluate(self.split)
        return compare(evaluation.predictions, self.predictions)

    def __repr__(self) -> str:
        value = "unknown" if self.map is None else f"{self.map:.4f}"
        if interval := self.map_interval:
            value += f" [{interval[0]:.4f}, {interval[1]:.4f}]"
        micro = f"micro F1 {self.metrics['micro']['f1']:.4f}"
        return f"<MultilabelEvaluation: mAP {value}, {micro} on {self._images_in_words}>"

    def _repr_html_(self) -> str:
        rows, more = self.per_class, ""
        if len(rows) > MOST_CLASSES:
            rows = rows.sort_values(by="average_precision", kind="stable").head(MOST_CLASSES)
            more = f"<p>The {len(rows)} of {len(self.classes):,} classes of lowest average precision.</p>"
        return self._html(rows, more)

    @cached_property
    def predictions(self) -> MultilabelPredictions:
        """The predictions as their table stores them."""
        split = self.images
        return MultilabelPredictions(
            tuple(split.ids),
            tuple(split.paths),
            self.classes,
            split.labels,
            self.probabilities >= self.thresholds,
            self.probabilities,
        )


def mean_of_views(logits: np.ndarray) -> np.ndarray:
    """(N, C) float32: the logit of the mean probability over V views, from their logits (V, N, C)."""
    logits = np.asarray(logits, np.float64)
    present, absent = (np.logaddexp.reduce(-np.logaddexp(0, sign * logits), axis=0) for sign in (-1, 1))
    return (present - absent).astype(np.float32)


def evaluate(
    model: keras.Model,
    dataset: Dataset,
    split: str = "test",
    *,
    batch_size: int = 128,
    fit: str = "crop",
    views: Views = ONE,
    thresholds: np.ndarray | None = None,
    replicas: Replicas = SINGLE,
) -> MultilabelEvaluation:
    """Measures `model`, which maps images (N, H, W, C) from 0 to 255 to a logit of each class, on a split of `dataset`.

    thresholds: (C,) the probability from which a class counts; by default chosen on the validation split, with the
        same views, see `choose_thresholds`.

    Raises InputError for a split without images, a model with another input shape or number of classes, logits that
    are not finite (naming the first image), and thresholds that are neither given nor can be chosen.
    """
    check_fit(model, dataset, split)
    predictor = Predictor(model, replicas=replicas)

    def logits_of(name: str) -> np.ndarray:
        options: dict[str, Any] = {"batch_size": batch_size, "fit": fit, "views": views, "mean": mean_of_views}
        return logits_of_views(predictor, dataset, name, **options)

    logits, chosen_on = logits_of(split), "validation, by the run"
    if thresholds is None:
        if not len(dataset.validation):
            raise InputError(
                f"{dataset.source}: no validation images, on which to choose the thresholds of the classes"
            )
        known = logits if split == "validation" else logits_of("validation")
        thresholds, chosen_on = choose_thresholds(dataset.validation.labels, metrics.sigmoid(known)), "validation"
    return MultilabelEvaluation(dataset, split, fit, views, computed_in(model), logits, thresholds, chosen_on)


def write(evaluation: MultilabelEvaluation, folder: Path, more: dict) -> None:
    """Writes metrics.json, with the values of `more`, predictions.csv and logits.npy (float32) into `folder`."""
    write_predictions(folder / "predictions.csv", evaluation.predictions)
    with replacing(folder / "logits.npy") as temporary:
        np.save(temporary, evaluation.logits, allow_pickle=False)
    write_json(folder / "metrics.json", more | evaluation.metrics)
