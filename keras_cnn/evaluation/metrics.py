"""Metrics of a classifier from labels and outputs: NumPy arrays in, plain numbers out.

Throughout, `labels` are (N,) integers that index the C classes, `logits` (N, C) are the model's raw outputs and
`probabilities` (N, C) their softmax. Where two classes share the largest value, the lower class is the prediction.
Precision, recall and F1 follow scikit-learn with `zero_division=0`: a score whose denominator is zero (a class never
predicted, or without images) is 0 and counts as 0 in the means.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation import bootstrap, confusions
from keras_cnn.evaluation.calibration import (
    BINS,
    ImageScores,
    gaps,
    image_scores,
    log_softmax,
    ranks_of,
    reliability_of,
)
from keras_cnn.evaluation.checks import blocks, check_classes, checked_labels, checked_probabilities, checked_scores
from keras_cnn.evaluation.intervals import wilson

CONFIDENCE_LEVEL = 0.95
TOP_K = (2, 3, 5)
_CONFIRMING_EPOCHS = 3  # one or two worse epochs after the best are often noise


def softmax(logits) -> np.ndarray:
    """(N, C) probabilities in float64; rows sum to 1, and no finite logit overflows."""
    logits = checked_scores("logits", logits)
    probabilities = np.empty(logits.shape)
    for rows in blocks(len(logits)):
        probabilities[rows] = np.exp(log_softmax(np.asarray(logits[rows], np.float64)))
    return probabilities


def cross_entropy(labels, logits) -> float:
    """Mean of -log p(true class) in nats; computed from logits, so that a probability of 1e-400 has a finite loss."""
    return float(np.mean(image_scores(labels, logits).losses))


def confusion_matrix(labels, predicted, classes: int) -> np.ndarray:
    """(classes, classes) int64 counts: rows are the true class, columns the predicted class."""
    counts = np.bincount(np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64), minlength=classes**2)
    return counts.reshape(classes, classes)


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 in [0, 1] and support in images, each (C,), from a `confusion_matrix`."""
    return scores_of(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))


def summary(labels, logits, classes: Sequence[str]) -> dict:
    """All metrics as plain floats, integers, lists and dicts for metrics.json.

    `loss` is in nats. `macro` is the mean over the C classes, `weighted` the mean weighted by their images;
    scikit-learn's micro average equals `accuracy`. Each class has Wilson intervals of its precision (over the images
    predicted as the class), its recall (over its images) and its F1 (over the union of both); a class without images
    has the interval [0, 1]. The other intervals are percentiles of `bootstrap`, except for the ECE: resampling biases
    it upwards, so its interval is reflected, see `bootstrap.reflected`.

    `confusion` has a row of counts for each true class; of more than MOST_CLASSES classes see `confusions.as_json`.
    `top_k` has those k of 2, 3 and 5 that are below C. `ece` has the bins of the reliability diagram, see
    `calibration`; a bin without images has None. `worst_pair` is the most frequent mistake, with its share of the
    images of the true class; it is None if there is no mistake.

    Raises InputError for no images, logits that are not finite, labels out of range, and a number of labels or class
    names that does not match the logits.
    """
    logits = checked_scores("logits", logits)
    labels = checked_labels(labels, logits).astype(np.int64)
    check_classes(classes, logits)
    single = image_scores(labels, logits)
    confusion = confusion_matrix(labels, single.predicted, len(classes))
    correct, images = int(np.trace(confusion)), len(labels)
    scores, calibration = class_scores(confusion), reliability_of(single.confidence, single.right)
    resamples = _resampled(labels, single, len(classes))
    return {
        "images": images,
        "accuracy": correct / images,
        "accuracy_interval": list(wilson(correct, images, CONFIDENCE_LEVEL)),
        "confidence_level": CONFIDENCE_LEVEL,
        "top_k": _top_k(single.ranks, len(classes)),
        "loss": float(np.mean(single.losses)),
        "loss_interval": _percentiles(resamples["loss"]),
        "brier": float(np.mean(single.distances)),
        "brier_interval": _percentiles(resamples["brier"]),
        "ece": calibration.as_json()
        | {"interval": list(bootstrap.reflected(resamples["ece"], calibration.error, CONFIDENCE_LEVEL))},
        "per_class": _per_class(scores, confusion, classes),
        "macro": _means(scores, resamples, lambda scores: np.ones_like(scores["support"])),
        "weighted": _means(scores, resamples, lambda scores: scores["support"]),
        "bootstrap": {"resamples": bootstrap.RESAMPLES, "seed": bootstrap.SEED},
        "confusion": confusions.as_json(confusion),
        "worst_pair": _worst_pair(confusion, classes),
    }


def true_class_ranks(labels, scores) -> np.ndarray:
    """(N,) ranks of the true class among the C scores of an image, from 0 for the largest; lower classes win ties.

    The top-k accuracy is the share of ranks below k. `scores` (N, C) are logits or probabilities.
    """
    scores = checked_scores("scores", scores)
    labels = checked_labels(labels, scores)
    return ranks_of(labels, scores)


def worst_mistakes(labels, probabilities, n: int) -> np.ndarray:
    """Indices of up to `n` wrong predictions, in the order of falling loss (rising probability of the true class)."""
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(probabilities[wrong, labels[wrong]], kind="stable")][:n]


def overfitting_onset(train_loss, val_loss) -> int | None:
    """The 1-based epoch after which the model only memorises its training set, or None.

    It is the epoch of the lowest validation loss, the last of equal minima, provided that at least three epochs follow
    and that the training loss keeps falling: its median over the later epochs is below its value at the onset. A loss
    that is not finite counts as infinite.

    Raises InputError for different numbers of epochs.
    """
    train, val = np.asarray(train_loss, np.float64), np.asarray(val_loss, np.float64)
    if train.shape != val.shape or train.ndim != 1:
        raise InputError(f"overfitting_onset: losses of shapes {train.shape} and {val.shape}; expected one per epoch")
    train, val = (np.where(np.isfinite(loss), loss, np.inf) for loss in (train, val))
    if not np.isfinite(val).any():
        return None
    onset = int(np.flatnonzero(val == val.min())[-1])
    later = train[onset + 1 :]
    if len(later) < _CONFIRMING_EPOCHS or not np.median(later) < train[onset]:
        return None
    return onset + 1


def _resampled(labels: np.ndarray, single: ImageScores, classes: int) -> dict[str, np.ndarray]:
    """Metrics of each of S resamples: loss, Brier score and ECE (S,), scores and support of each class (S, C)."""
    images, (gap, bins) = len(labels), gaps(single.confidence, single.right)
    hit, by_label = (labels == single.predicted).astype(np.float64), (labels, classes)
    by_prediction, of_bins = (single.predicted, classes), (bins, BINS, gap)
    terms = bootstrap.terms((*by_label, hit), by_label, by_prediction, of_bins, single.losses, single.distances)
    sums = np.concatenate([counts @ terms for counts in bootstrap.resampled(images)])
    ends = np.cumsum([classes, classes, classes, BINS, 1])
    hits, support, positives, gaps_of_bins, loss, distance = np.split(sums, ends, axis=1)
    means = {"loss": loss[:, 0] / images, "brier": distance[:, 0] / images}
    return means | {"ece": np.abs(gaps_of_bins).sum(axis=1) / images} | scores_of(hits, support, positives)


def _percentiles(values: np.ndarray) -> list[float]:
    return list(bootstrap.percentile(values, CONFIDENCE_LEVEL))


def scores_of(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the classes from counts (..., C)."""
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
        "support": support,
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


ScoreArrays = dict[str, np.ndarray]


def _means(scores: ScoreArrays, resamples: ScoreArrays, weights: Callable[[ScoreArrays], np.ndarray]) -> dict:
    """Means over the classes, each with its interval; `weights` gives the weight of each class, for each resample."""
    means = {}
    for name in ("precision", "recall", "f1"):
        means[name] = float(np.average(scores[name], weights=weights(scores)))
        means[f"{name}_interval"] = _percentiles(np.average(resamples[name], weights=weights(resamples), axis=1))
    return means


def _top_k(ranks: np.ndarray, classes: int) -> dict[str, dict]:
    hits = {k: int(np.sum(ranks < k)) for k in TOP_K if k < classes}
    images = len(ranks)
    return {
        str(k): {"accuracy": n / images, "interval": list(wilson(n, images, CONFIDENCE_LEVEL))} for k, n in hits.items()
    }


def _per_class(scores: ScoreArrays, confusion: np.ndarray, classes: Sequence[str]) -> dict[str, dict]:
    predicted = confusion.sum(axis=0)
    return {
        name: {
            "precision": float(scores["precision"][i]),
            "precision_interval": list(wilson(int(confusion[i, i]), int(predicted[i]), CONFIDENCE_LEVEL)),
            "recall": float(scores["recall"][i]),
            "recall_interval": list(wilson(int(confusion[i, i]), int(scores["support"][i]), CONFIDENCE_LEVEL)),
            "f1": float(scores["f1"][i]),
            "f1_interval": f1_interval(int(confusion[i, i]), int(scores["support"][i]), int(predicted[i])),
            "support": int(scores["support"][i]),
        }
        for i, name in enumerate(classes)
    }


def f1_interval(hits: int, support: int, predicted: int) -> list[float]:
    """Interval of F1, from Wilson's interval of the Jaccard index J = hits / (support + predicted - hits).

    F1 is 2 J / (1 + J), which rises with J. Resampling would give a class without hits an interval of no width.
    """
    if not support:
        return [0.0, 1.0]
    low, high = wilson(hits, support + predicted - hits, CONFIDENCE_LEVEL)
    return [2 * low / (1 + low), 2 * high / (1 + high)]


def _worst_pair(confusion: np.ndarray, classes: Sequence[str]) -> dict | None:
    mistakes = confusion - np.diag(np.diag(confusion))
    if not mistakes.any():
        return None
    true, predicted = divmod(int(mistakes.argmax()), len(mistakes))
    count = int(mistakes[true, predicted])
    share = count / int(confusion[true].sum())
    return {"true": classes[true], "predicted": classes[predicted], "count": count, "share": share}
