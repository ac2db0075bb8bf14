"""The evaluation of a model on one split of a dataset, and the files of its results."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_cnn.data.dataset import Dataset
from keras_cnn.distribution.replicas import SINGLE, Replicas
from keras_cnn.errors import InputError
from keras_cnn.evaluation import conformal, confusions, metrics, ranking
from keras_cnn.evaluation.calibration import Reliability, fit_temperature, image_scores, reliability_of
from keras_cnn.evaluation.comparison import Comparison, compare
from keras_cnn.evaluation.conformal import METHODS, PredictionSets, prediction_sets, write_sets
from keras_cnn.evaluation.coverage import LEVEL
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.evaluation.predictions import Predictions, write_predictions
from keras_cnn.evaluation.split_evaluation import SplitEvaluation, check_fit, computed_in, logits_of_views
from keras_cnn.evaluation.test_time_augmentation import ONE, Views
from keras_cnn.messages import MOST_CLASSES
from keras_cnn.run_folder import replacing, write_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Evaluation(SplitEvaluation):
    """The evaluation of images that have one label each; `logits` of several views are their mean log-probability."""

    temperature: float | None  #: fitted on the validation images; None without them
    scaled: bool  #: whether probabilities and metrics are computed at the temperature
    validation_logits: np.ndarray | None = None  #: as `logits`, of the validation images; None without them
    coverage: float = LEVEL  #: share of prediction sets in the metrics that are to hold the true class

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, C) float64; rows sum to 1."""
        return metrics.softmax(self._scaled_logits)

    @property
    def _scaled_logits(self) -> np.ndarray:
        return self._scale(self.logits)

    def _scale(self, logits: np.ndarray) -> np.ndarray:
        return logits / self.temperature if self.scaled else logits

    def prediction_sets(self, method: str = "lac", level: float | None = None) -> PredictionSets:
        """Conformal prediction sets of the images, calibrated on the validation images, see `evaluation.conformal`.

        Args:
            method: "lac" for the smallest sets on average, or "aps" to cover hard images as often as easy ones.
            level: share of the sets that are to hold the true class, above 0 and below 1; by default `coverage`.

        Raises InputError for another method or level, for the validation split itself and without validation images.
        """
        if self.validation_logits is None or self.split == "validation":
            found = "the validation split itself" if self.split == "validation" else "no validation images"
            raise InputError(f"prediction sets: found {found}; expected other images than those of validation")
        validation = self.dataset.validation
        return prediction_sets(
            self.images.labels,
            self.probabilities,
            validation.labels,
            metrics.softmax(self._scale(self.validation_logits)),
            classes=self.classes,
            ids=self.images.ids,
            calibration_ids=validation.ids,
            method=method,
            level=self.coverage if level is None else level,
        )

    @cached_property
    def _sets(self) -> list[PredictionSets]:
        """The prediction sets of each method at the evaluation's `coverage`; [] where there can be none."""
        if self.validation_logits is None or self.split == "validation":
            return []
        return [self.prediction_sets(method) for method in METHODS]

    @cached_property
    def metrics(self) -> dict:
        """The contents of metrics.json: `metrics.summary`, the ranking metrics and the effect of the temperature.

        A class without images has None for its areas and is left out of their means.
        """
        labels, classes = self.images.labels, self.classes
        return {
            **self._facts,
            **metrics.summary(labels, self._scaled_logits, classes),
            "classes_without_images": [classes[i] for i in np.setdiff1d(np.arange(len(classes)), labels)],
            "ranking": _ranking_metrics(labels, self.probabilities, classes),
            "temperature": _temperature_effect(self),
            "prediction_sets": conformal.summary(self._sets),
        }

    @property
    def accuracy(self) -> float:
        """The share of images whose most probable class is the true one, 0 to 1."""
        return self.metrics["accuracy"]

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy over the images."""
        low, high = self.metrics["accuracy_interval"]
        return low, high

    @property
    def confusion(self) -> "pd.DataFrame":
        """(C, C) numbers of images, with a row for each true class and a column for each predicted class."""
        import pandas as pd

        true, predicted = (pd.Index(self.classes, name=name) for name in ("true", "predicted"))
        return pd.DataFrame(confusions.from_json(self.metrics["confusion"]), index=true, columns=predicted)

    def against(self, other: Any) -> Comparison:
        """What has changed from another model to this one, on the same images, and how certain it is.

        `other` is an Evaluation of the same images, or a run, which is evaluated on the same split. Raises InputError
        for other images, true classes or classes.
        """
        evaluation = other if isinstance(other, Evaluation) else other.evaluate(self.split)
        return compare(evaluation.predictions, self.predictions)

    def __repr__(self) -> str:
        low, high = self.accuracy_interval
        return f"<Evaluation: accuracy {self.accuracy:.4f} [{low:.4f}, {high:.4f}] on {self._images_in_words}>"

    def _repr_html_(self) -> str:
        rows, more = self.per_class, ""
        if len(rows) > MOST_CLASSES:
            shown = rows.loc[rows["support"] > 0].sort_values(by="recall", kind="stable").head(MOST_CLASSES)
            rows, more = shown, f"<p>The {len(shown)} of {len(rows):,} classes of lowest recall.</p>"
        return self._html(rows, more)

    @cached_property
    def predictions(self) -> Predictions:
        """The predictions as their table stores them."""
        split = self.images
        return Predictions(tuple(split.ids), tuple(split.paths), self.classes, split.labels, self.probabilities)

    @cached_property
    def reliabilities(self) -> dict[str, Reliability]:
        """Reliability of the unscaled probabilities and, where a temperature was fitted, at that temperature."""
        logits = {"as predicted": self.logits}
        if self.temperature is not None:
            logits[f"at temperature {self.temperature:.3f}"] = self.logits / self.temperature
        single = {name: image_scores(self.images.labels, values) for name, values in logits.items()}
        return {name: reliability_of(scores.confidence, scores.right) for name, scores in single.items()}


def evaluate(
    model: keras.Model,
    dataset: Dataset,
    split: str = "test",
    *,
    batch_size: int = 128,
    fit: str = "crop",
    views: Views = ONE,
    scale: bool = False,
    coverage: float = LEVEL,
    replicas: Replicas = SINGLE,
) -> Evaluation:
    """Measures `model`, which maps images (N, H, W, C) from 0 to 255 to logits (N, C), on a split of `dataset`.

    The temperature is fitted on the validation split only, with the same views. With `scale`, the probabilities and
    all numbers that follow from them are computed at the temperature; without it, its effect is only reported.
    `coverage` is the share of prediction sets that are to hold the true class. `replicas` are the model's, if it was
    loaded in their scope.

    Raises InputError for a split without images, a model with another input shape or number of classes, logits that
    are not finite (naming the first image), and `scale` without validation images.
    """
    check_fit(model, dataset, split)
    if scale and not len(dataset.validation):
        raise InputError("no validation images, so no temperature can be fitted")
    predictor = Predictor(model, replicas=replicas)

    def logits_of(name: str) -> np.ndarray:
        return logits_of_views(predictor, dataset, name, batch_size=batch_size, fit=fit, views=views)

    logits = logits_of(split)
    temperature, known = None, None
    if len(dataset.validation):
        known = logits if split == "validation" else logits_of("validation")
        temperature = fit_temperature(dataset.validation.labels, known)
    return Evaluation(dataset, split, fit, views, computed_in(model), logits, temperature, scale, known, coverage)


def _ranking_metrics(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> dict:
    areas = ranking.areas(labels, probabilities, metrics.CONFIDENCE_LEVEL)
    per_class = dict(zip(classes, areas, strict=True))
    macro = {}
    for key in ("roc_area", "average_precision"):
        values = [scores[key] for scores in per_class.values() if scores[key] is not None]
        macro[key] = float(np.mean(values)) if values else None
    return {"per_class": per_class, "macro": macro}


def _temperature_effect(evaluation: Evaluation) -> dict | None:
    if evaluation.temperature is None:
        return None
    labels = evaluation.images.labels

    def scores(logits: np.ndarray) -> dict:
        single = image_scores(labels, logits)
        loss, brier = (float(np.mean(values)) for values in (single.losses, single.distances))
        return {"loss": loss, "brier": brier, "ece": reliability_of(single.confidence, single.right).error}

    return {
        "value": evaluation.temperature,
        "fitted_on": "validation",
        "validation_images": len(evaluation.dataset.validation),
        "applied": evaluation.scaled,
        "before": scores(evaluation.logits),
        "after": scores(evaluation.logits / evaluation.temperature),
    }


def write(evaluation: Evaluation, folder: Path, more: dict) -> None:
    """Writes metrics.json, the predictions and their sets, logits.npy (float32) and softmax.npy (float64).

    metrics.json also contains the values of `more`. Of more than MOST_CLASSES classes, the probabilities are in
    predictions.npy (float32), and there is no softmax.npy.
    """
    split, classes = evaluation.images, evaluation.classes
    write_predictions(
        folder / "predictions.csv",
        split.ids,
        split.paths,
        split.labels,
        evaluation.probabilities,
        classes=classes,
    )
    arrays = {"logits": evaluation.logits}
    if len(classes) <= MOST_CLASSES:
        arrays["softmax"] = evaluation.probabilities
    for name, array in arrays.items():
        with replacing(folder / f"{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    if evaluation._sets:
        write_sets(folder / conformal.TABLE, split.ids, evaluation._sets)
    write_json(folder / "metrics.json", more | evaluation.metrics)
