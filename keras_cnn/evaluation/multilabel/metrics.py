"""Metrics of images that may have several labels: NumPy arrays in, plain numbers out.

Throughout, `labels` are (N, C), 1 for each class that an image has, `logits` (N, C) are the model's raw outputs and
`probabilities` (N, C) their sigmoids. A class is predicted where its probability reaches its threshold. Precision,
recall and F1 follow scikit-learn with `zero_division=0`, `micro` and `macro` as its averages of these names.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_cnn.errors import InputError, require
from keras_cnn.evaluation import bootstrap, confusions
from keras_cnn.evaluation.checks import check_classes, checked_scores
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.metrics import CONFIDENCE_LEVEL, f1_interval, scores_of
from keras_cnn.evaluation.multilabel.average_precision import influences, map_interval, mean_average_precision
from keras_cnn.evaluation.ranking import areas_of

__all__ = ["binary_cross_entropy", "exact_matches", "mean_average_precision", "sigmoid", "summary"]

TASK = "multilabel"  # the value of "task" in metrics.json
_SCORES = ("precision", "recall", "f1")


def sigmoid(logits) -> np.ndarray:
    """(N, C) probabilities in float64; no finite logit overflows."""
    return 0.5 * (1 + np.tanh(np.asarray(logits, np.float64) / 2))


def image_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N,) float64 binary cross-entropy of each image in nats, the mean over the classes."""
    logits = np.asarray(logits, np.float64)
    return np.mean(np.logaddexp(0, logits) - labels * logits, axis=1)


def binary_cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean over images and classes, in nats; scikit-learn's `log_loss` of all labels as one column."""
    return float(np.mean(image_losses(labels, logits)))


def exact_matches(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(N,) bool: whether every class of an image is right, from labels and predictions (N, C)."""
    return np.all(labels.astype(bool) == predicted, axis=1)


def summary(labels, logits, thresholds: np.ndarray, classes: Sequence[str]) -> dict:
    """All metrics as plain floats, integers, lists and dicts for metrics.json; a class counts from its threshold.

    `map` is the mean of the average precisions of the classes with images. `exact_match` is the share of images of
    which every class is right, `hamming_loss` the share of wrong decisions among all images and classes. `cooccurrence`
    has, for the true labels and for the predictions, the number of images with each two classes, those of the class
    itself on the diagonal. `worst_pair` is the class that is most often predicted, and wrongly, where another is
    missed. Intervals: Wilson's for shares of images, DeLong's and Boyd's for the areas of a class, `map_interval` for
    the mAP, otherwise percentiles of `bootstrap`.

    Raises InputError for no images, labels that are not 0 and 1, and logits that are not finite.
    """
    logits = checked_scores("logits", logits)
    labels = _checked_sets(labels, logits)
    check_classes(classes, logits)
    predicted = sigmoid(logits) >= thresholds
    images, right = len(labels), exact_matches(labels, predicted)
    own = labels.astype(bool)
    counts = [np.sum(cells, axis=0) for cells in (own & predicted, own, predicted)]
    losses, wrong = image_losses(labels, logits), np.mean(own != predicted, axis=1)
    resamples, value = _resampled(own, predicted, losses, wrong), mean_average_precision(labels, logits)
    known = bool(own.any())
    return {
        "task": TASK,
        "images": images,
        "confidence_level": CONFIDENCE_LEVEL,
        "map": value if known else None,
        "map_interval": map_interval(value, influences(labels, logits), CONFIDENCE_LEVEL) if known else None,
        "micro": _averages(scores_of(*(np.array(each.sum()) for each in counts)), resamples["micro"]),
        "macro": _averages(scores_of(*counts), resamples["macro"]),
        "loss": float(np.mean(losses)),
        "loss_interval": _percentiles(resamples["loss"]),
        "exact_match": float(np.mean(right)),
        "exact_match_interval": list(wilson(int(right.sum()), images, CONFIDENCE_LEVEL)),
        "hamming_loss": float(np.mean(wrong)),
        "hamming_loss_interval": _percentiles(resamples["hamming_loss"]),
        "labels_per_image": {"true": float(own.sum(axis=1).mean()), "predicted": float(predicted.sum(axis=1).mean())},
        "per_class": _per_class(own, logits, thresholds, counts, classes),
        "thresholds": dict(zip(classes, map(float, thresholds), strict=True)),
        "cooccurrence": {name: confusions.as_json(_together(cells)) for name, cells in _named(own, predicted)},
        "worst_pair": _worst_pair(own, predicted, classes),
        "classes_without_images": [name for name, count in zip(classes, counts[1], strict=True) if not count],
        "bootstrap": {"resamples": bootstrap.RESAMPLES, "seed": bootstrap.SEED},
    }


def _named(own: np.ndarray, predicted: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return ("true", own), ("predicted", predicted)


def _checked_sets(labels, logits: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    found = f"shape {labels.shape} for outputs {logits.shape}"
    require(labels.shape == logits.shape, "labels", found, "a row for each image and a column for each class")
    if not np.isin(labels, (0, 1)).all():
        raise InputError("labels: found values other than 0 and 1; expected 1 for each class that an image has")
    return labels


def _together(cells: np.ndarray) -> np.ndarray:
    """(C, C) int64: the images that have each two classes."""
    numbers = cells.astype(np.float64)  # a product of integers would not use BLAS
    return np.rint(numbers.T @ numbers).astype(np.int64)


def _resampled(own: np.ndarray, predicted: np.ndarray, losses: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Micro scores (S,), scores of each class (S, C), loss and Hamming loss (S,) of S resamples."""
    from scipy import sparse  # takes a tenth of a second

    images, classes = own.shape
    cells = [sparse.csr_array(each.astype(np.float64)) for each in (own & predicted, own, predicted)]
    terms = sparse.hstack([*cells, sparse.csr_array(np.stack([losses, wrong], axis=1))], format="csr")
    sums = np.concatenate([counts @ terms for counts in bootstrap.resampled(images)])
    hits, support, positives, rest = np.split(sums, [classes, 2 * classes, 3 * classes], axis=1)
    return {
        "micro": scores_of(hits.sum(axis=1), support.sum(axis=1), positives.sum(axis=1)),
        "macro": scores_of(hits, support, positives),
        "loss": rest[:, 0] / images,
        "hamming_loss": rest[:, 1] / images,
    }


def _averages(scores: dict[str, np.ndarray], resamples: dict[str, np.ndarray]) -> dict:
    """Precision, recall and F1 with their intervals: of all decisions together, or the means over the classes."""
    found: dict[str, Any] = {}
    for name in _SCORES:
        values = resamples[name]
        found[name] = float(np.mean(scores[name]))
        found[f"{name}_interval"] = _percentiles(values if values.ndim == 1 else values.mean(axis=1))
    return found


def _percentiles(values: np.ndarray) -> list[float]:
    return list(bootstrap.percentile(values, CONFIDENCE_LEVEL))


def _per_class(
    own: np.ndarray, logits: np.ndarray, thresholds: np.ndarray, counts: Sequence[np.ndarray], classes: Sequence[str]
) -> dict[str, dict]:
    scores, rows = scores_of(*counts), {}
    for place, name in enumerate(classes):
        hits, support, predicted = (int(each[place]) for each in counts)
        rows[name] = {
            **{each: float(scores[each][place]) for each in _SCORES},
            "precision_interval": list(wilson(hits, predicted, CONFIDENCE_LEVEL)),
            "recall_interval": list(wilson(hits, support, CONFIDENCE_LEVEL)),
            "f1_interval": f1_interval(hits, support, predicted),
            "support": support,
            "predicted": predicted,
            "threshold": float(thresholds[place]),
            **areas_of(own[:, place], logits[:, place].astype(np.float64), CONFIDENCE_LEVEL),
        }
    return rows


def _worst_pair(own: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> dict | None:
    """The two classes of which most often one is missed where the other is predicted wrongly."""
    missed, false = ((cells).astype(np.float64) for cells in (own & ~predicted, predicted & ~own))
    pairs = np.rint(missed.T @ false).astype(np.int64)
    if not pairs.any():
        return None
    true, other = divmod(int(pairs.argmax()), len(classes))
    count = int(pairs[true, other])
    share = count / int(own[:, true].sum())
    return {"true": classes[true], "predicted": classes[other], "count": count, "share": share}
