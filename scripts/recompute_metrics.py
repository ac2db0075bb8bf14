"""Recomputes the numbers of a run's metrics.json from its predictions, with independent packages only.

    python scripts/recompute_metrics.py runs/net1                     both metrics.json files of the test split
    python scripts/recompute_metrics.py runs/net1 --evaluation train  RUN/evaluations/train

scikit-learn computes accuracy, top-k, precision, recall, F1, confusion, Brier score, ROC areas, average precision and
the bins of the calibration curve; statsmodels the Wilson intervals; SciPy softmax, loss, counts of the bins, the
temperature, and the bootstrap with the resamples of the seed in the file. DeLong's and Boyd's intervals are implemented
from their papers. Nothing of keras_cnn is imported, so that none of its errors can be repeated here.

RUN/evaluations/NAME has logits.npy and softmax.npy; RUN itself has predictions.csv with nine significant digits. Every
number in the file is either compared or listed as not recomputed, with the reason. Exit status: 0 if all agree to
1e-6; 1 if a number differs; 2 if files cannot be read, or have more than 40 classes.
"""

import argparse
import csv
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, logit, softmax
from scipy.stats import binned_statistic, bootstrap, norm, rankdata
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)
from statsmodels.stats.proportion import proportion_confint

TOLERANCE = 1e-6
BINS = 15
RESAMPLES, SEED = 2000, 0
RESAMPLED_AT_A_TIME = 2**21  # images
MEANS = ("macro", "weighted")
SCORES = ("precision", "recall", "f1")
OF_PREDICTIONS = ("loss", "confusion/", "brier", "ece/", "top_k/", "bootstrap/", "macro/", "weighted/", "per_class/")
TEMPERATURES = (0.01, 100.0)
NOT_KEPT = "a run only has predictions of its test images; evaluate.py RUN --split {} measures the others again"

Leaves = dict[str, object]  # path such as "per_class/cat/f1" -> number, None or text


@dataclass(frozen=True)
class Predictions:
    """The contents of predictions.csv for N images and C classes."""

    classes: list[str]
    labels: np.ndarray  # (N,) indices of the true classes
    predicted: np.ndarray  # (N,) indices of the printed predictions
    correct: np.ndarray  # (N,) bool
    probabilities: np.ndarray  # (N, C) float64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--evaluation", default="test", metavar="NAME", help="of RUN/evaluations; default test")
    chosen = parser.parse_args()
    try:
        found = [check(run, place) for run in chosen.runs for place in (f"evaluations/{chosen.evaluation}", ".")]
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0 if all(found) else 1


def check(run: Path, place: str) -> bool:
    """Compares run/place/metrics.json, prints the result, and returns whether all numbers agree."""
    path = run / place / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    stated = leaves(metrics)
    if place == ".":  # the file also has training and validation metrics
        again, reasons = of_run(run, metrics)
    else:
        again, reasons = of_evaluation(run, run / place, metrics)
    return compared(path, stated, again, reasons)


def of_run(run: Path, metrics: dict) -> tuple[Leaves, dict[str, str]]:
    predictions = read_predictions(run / "predictions.csv")
    again = from_predictions(predictions, np.log(predictions.probabilities))
    again["best_epoch"] = best_epoch(run / "history.csv", metrics["chosen_by"])
    reasons = dict(INPUTS)
    for part in ("train", "validation"):
        again |= leaves(from_confusion(np.array(metrics[part]["confusion"]), predictions.classes), part)
        reasons |= {f"{part}/{name}": text for name, text in INPUTS.items()}
        reasons |= {f"{part}/{name}": NOT_KEPT.format(part) for name in OF_PREDICTIONS}
    return again, reasons


def of_evaluation(run: Path, folder: Path, metrics: dict) -> tuple[Leaves, dict[str, str]]:
    predictions = read_predictions(folder / "predictions.csv")
    logits, probabilities = (np.load(folder / f"{name}.npy").astype(np.float64) for name in ("logits", "softmax"))
    temperature, reasons = metrics["temperature"], dict(INPUTS)
    applied = temperature["value"] if temperature and temperature["applied"] else 1.0
    assert_close(folder / "softmax.npy", probabilities, softmax(logits / applied, axis=1))
    assert_close(folder / "predictions.csv", predictions.probabilities, probabilities)
    exact = replace(predictions, probabilities=probabilities)
    again = from_predictions(exact, log_softmax(logits / applied, axis=1))
    reasons["prediction_sets"] = (
        "the probabilities of the validation images, which calibrate the sets, are not in the folder"
    )
    if temperature:
        again |= leaves({"temperature": scores_at(exact, logits, temperature["value"])})
        fitted, reason = fitted_temperature(run, metrics)
        if reason:
            reasons |= {"temperature/value": reason, "temperature/validation_images": reason}
        else:
            again |= fitted
    with (run / "test_readings.csv").open(encoding="utf-8", newline="") as file:
        readings = len(list(csv.DictReader(file)))
    if readings > metrics["test_readings"]:
        reasons["test_readings"] = f"by now the file has {readings:,}"
    else:
        again["test_readings"] = readings
    return again, reasons


# Inputs that the file repeats, so that there is nothing to compute.
INPUTS = {
    "confidence_level": "the level that the intervals above were recomputed with",
    "views/number": "what --views asked for",
    "ece/bins": "the number of bins that the ECE above was recomputed with",
}


def from_predictions(found: Predictions, logs: np.ndarray) -> Leaves:
    """All numbers that follow from labels and probabilities; `logs` (N, C) are the logarithms of the probabilities."""
    labels, probabilities, classes = found.labels, found.probabilities, found.classes
    if not np.array_equal(found.correct, labels == found.predicted):
        raise ValueError("predictions.csv: column correct is not true == predicted")
    confusion = confusion_matrix(labels, found.predicted, labels=range(len(classes)))
    tree = from_confusion(confusion, classes) | {
        "loss": -np.mean(logs[np.arange(len(labels)), labels]),
        "confusion": confusion.tolist(),
        "top_k": {str(k): top_k(labels, probabilities, k) for k in (2, 3, 5) if k < len(classes)},
        "brier": brier(labels, probabilities),
        "ece": calibration(labels, probabilities),
        "ranking": ranking(labels, probabilities, classes),
    }
    return leaves(tree) | leaves(resampled(found, logs))


def resampled(found: Predictions, logs: np.ndarray) -> dict:
    """The bootstrap intervals: SciPy's percentile interval; for the ECE its basic interval, at least 0."""
    images, classes = found.probabilities.shape
    losses = -logs[np.arange(images), found.labels]
    squares = np.sum((found.probabilities - np.eye(classes)[found.labels]) ** 2, axis=1)
    confidence = np.minimum(found.probabilities.max(axis=1), 1)
    gaps = (found.probabilities.argmax(axis=1) == found.labels) - confidence
    bins = np.digitize(confidence, np.arange(BINS + 1) / BINS, right=True) - 1  # low < confidence <= high
    own, guessed = (np.eye(classes)[places] for places in (found.labels, found.predicted))

    def drawn(rows: np.ndarray, values: np.ndarray) -> np.ndarray:  # (resamples, ...) sums
        return np.stack([np.bincount(row, minlength=images) @ values for row in np.atleast_2d(rows)])

    def ece(rows: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(drawn(rows, gaps[:, None] * np.eye(BINS)[bins])).sum(axis=1) / images

    def scores(rows: np.ndarray, axis: int) -> np.ndarray:
        """(3, 2, resamples): mean precision, recall and F1 of the classes, plain and weighted by images."""
        hits, support, named = (drawn(rows, part) for part in (own * guessed, own, guessed))
        with np.errstate(invalid="ignore"):
            parts = np.nan_to_num(np.stack([hits / named, hits / support, 2 * hits / (support + named)]))
        return np.stack([parts.mean(axis=2), (parts * support).sum(axis=2) / images], axis=1)

    def interval(statistic, method: str = "percentile") -> np.ndarray:
        result = bootstrap(
            (np.arange(images),),
            statistic,
            n_resamples=RESAMPLES,
            batch=max(1, RESAMPLED_AT_A_TIME // images),
            vectorized=True,
            axis=-1,
            method=method,
            rng=np.random.default_rng(SEED),
        )
        return np.stack(result.confidence_interval, axis=-1)

    of_scores = interval(scores)
    return {
        "loss_interval": interval(lambda rows, axis: losses[rows].mean(axis=axis)).tolist(),
        "brier_interval": interval(lambda rows, axis: squares[rows].mean(axis=axis)).tolist(),
        "ece": {"interval": np.maximum(0, interval(ece, "basic").ravel()).tolist()},
        **{
            mean: {f"{score}_interval": of_scores[i, place].tolist() for i, score in enumerate(SCORES)}
            for place, mean in enumerate(MEANS)
        },
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED},
    }


def from_confusion(confusion: np.ndarray, classes: list[str]) -> dict:
    """All numbers that follow from counts, computed from the true and predicted labels that the counts represent."""
    places = np.indices(confusion.shape).reshape(2, -1)
    labels, predicted = (np.repeat(axis, confusion.ravel()) for axis in places)

    def scores(average: str | None):
        return precision_recall_fscore_support(
            labels, predicted, labels=range(len(classes)), average=average, zero_division=0
        )

    precision, recall, f1, support = scores(None)
    hits, named = np.diag(confusion), confusion.sum(axis=0)
    means = {mean: dict(zip(("precision", "recall", "f1"), scores(mean)[:3], strict=True)) for mean in MEANS}
    return means | {
        "images": len(labels),
        "accuracy": accuracy_score(labels, predicted),
        "accuracy_interval": wilson(hits.sum(), len(labels)),
        "worst_pair": worst_pair(confusion, classes),
        "classes_without_images": [name for name, images in zip(classes, support, strict=True) if not images],
        "per_class": {
            name: {
                "precision": precision[i],
                "precision_interval": wilson(hits[i], named[i]),
                "recall": recall[i],
                "recall_interval": wilson(hits[i], support[i]),
                "f1": f1[i],
                "f1_interval": f1_interval(hits[i], support[i], named[i]),
                "support": support[i],
            }
            for i, name in enumerate(classes)
        },
    }


def wilson(count: int, images: int) -> list[float]:
    if not images:
        return [0.0, 1.0]
    return list(proportion_confint(int(count), int(images), alpha=0.05, method="wilson"))


def f1_interval(hits: int, support: int, named: int) -> list[float]:
    """Interval of F1 from the interval of the Jaccard index J: F1 is the harmonic mean of J and 1."""
    if not support:
        return [0.0, 1.0]
    return [2 / (1 + 1 / end) if end else 0.0 for end in wilson(hits, support + named - hits)]


def worst_pair(confusion: np.ndarray, classes: list[str]) -> dict | None:
    mistakes = confusion * (1 - np.eye(len(classes), dtype=int))
    if not mistakes.any():
        return None
    true, predicted = divmod(int(mistakes.argmax()), len(classes))
    count = int(mistakes[true, predicted])
    return {
        "true": classes[true],
        "predicted": classes[predicted],
        "count": count,
        "share": count / confusion[true].sum(),
    }


def top_k(labels: np.ndarray, probabilities: np.ndarray, k: int) -> dict:
    hits = top_k_accuracy_score(labels, probabilities, k=k, normalize=False, labels=range(probabilities.shape[1]))
    return {"accuracy": hits / len(labels), "interval": wilson(hits, len(labels))}


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Brier score as the sum over the classes, from 0 to 2."""
    one_hot = np.eye(probabilities.shape[1])[labels]
    if probabilities.shape[1] == 2:  # for two classes scikit-learn takes one column, which is half of the sum
        return 2 * brier_score_loss(labels, probabilities[:, 1], labels=[0, 1], pos_label=1)
    return brier_score_loss(one_hot, probabilities, scale_by_half=False)


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict:
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.arange(BINS + 1) / BINS
    # SciPy's bins include their lower edge, which is the upper edge after negation of confidences and edges
    counts = binned_statistic(-np.minimum(confidence, 1), None, "count", bins=-edges[::-1]).statistic[::-1]
    accuracy, stated = calibration_curve(correct, np.minimum(confidence, 1), n_bins=BINS)
    filled = iter(zip(accuracy, stated, strict=True))
    rows = [next(filled) if count else (None, None) for count in counts]
    error = sum(n * abs(a - c) for n, (a, c) in zip(counts, rows, strict=True) if n) / len(labels)
    return {
        "value": error,
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "accuracy": [row[0] for row in rows],
        "confidence": [row[1] for row in rows],
    }


def ranking(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict:
    per_class = {}
    for i, name in enumerate(classes):
        own = labels == i
        per_class[name] = {
            "roc_area": roc_auc_score(own, probabilities[:, i]) if 0 < own.sum() < len(own) else None,
            "roc_area_interval": delong(own, probabilities[:, i]),
            "average_precision": average_precision_score(own, probabilities[:, i]) if own.any() else None,
            "average_precision_interval": boyd(own, probabilities[:, i]),
        }
    macro = {}
    for key in ("roc_area", "average_precision"):
        values = [row[key] for row in per_class.values() if row[key] is not None]
        macro[key] = float(np.mean(values)) if values else None
    return {"per_class": per_class, "macro": macro}


def delong(own: np.ndarray, scores: np.ndarray) -> list[float] | None:
    """DeLong et al. (1988) by midranks, as in Sun and Xu (2014), with the interval on the logit scale."""
    m, n = own.sum(), (~own).sum()
    if min(m, n) < 2:
        return None
    every = rankdata(scores)
    above = (every[own] - rankdata(scores[own])) / n
    below = 1 - (every[~own] - rankdata(scores[~own])) / m
    return on_logits(above.mean(), np.sqrt(np.var(above, ddof=1) / m + np.var(below, ddof=1) / n))


def boyd(own: np.ndarray, scores: np.ndarray) -> list[float] | None:
    if not own.any():
        return None
    found = average_precision_score(own, scores)
    return on_logits(found, np.sqrt(found * (1 - found) / own.sum()))


def on_logits(value: float, error: float) -> list[float] | None:
    if not 0 < value < 1:
        return None
    half = norm.ppf(0.975) * error / (value * (1 - value))
    return [float(expit(logit(value) - half)), float(expit(logit(value) + half))]


def scores_at(found: Predictions, logits: np.ndarray, temperature: float) -> dict:
    def scores(scaled: np.ndarray) -> dict:
        chances, rows = softmax(scaled, axis=1), np.arange(len(scaled))
        return {
            "loss": -np.mean(log_softmax(scaled, axis=1)[rows, found.labels]),
            "brier": brier(found.labels, chances),
            "ece": calibration(found.labels, chances)["value"],
        }

    return {"before": scores(logits), "after": scores(logits / temperature)}


def fitted_temperature(run: Path, metrics: dict) -> tuple[Leaves, str]:
    """The temperature with the lowest validation loss, if validation was evaluated with the same views."""
    views = {"none": "", "flip": "-flip"}.get(metrics["views"]["name"], f"-{metrics['views']['name']}-views")
    folder = run / "evaluations" / f"validation{views}"
    if not (folder / "logits.npy").is_file():
        option = "" if metrics["views"]["name"] == "none" else f" --views {metrics['views']['name']}"
        return {}, f"evaluate.py {run} --split validation{option} writes the logits it was fitted on"
    found, logits = read_predictions(folder / "predictions.csv"), np.load(folder / "logits.npy").astype(np.float64)

    def slope(inverse: float) -> float:  # of the mean loss with respect to 1 / T; it increases
        return float(np.mean(np.sum(softmax(inverse * logits, axis=1) * logits, axis=1) - own))

    own = logits[np.arange(len(logits)), found.labels]
    cold, hot = TEMPERATURES
    if slope(1 / hot) >= 0:
        value = hot
    elif slope(1 / cold) <= 0:
        value = cold
    else:
        value = 1 / brentq(slope, 1 / hot, 1 / cold, xtol=1e-14, rtol=1e-14)
    return {"temperature/value": value, "temperature/validation_images": len(logits)}, ""


def best_epoch(history: Path, monitor: str) -> int:
    """The epoch of the best value; among equal values, the one with the lower validation loss, then the earlier one."""
    with history.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sign = 1 if monitor.endswith("loss") else -1
    order = [(sign * float(row[monitor]), float(row["val_loss"]), int(row["epoch"])) for row in rows]
    return min(order)[2]


# --- files and leaves -------------------------------------------------------------------------------------------------


def read_predictions(path: Path) -> Predictions:
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    if head[5:6] == ["class_1"]:
        raise ValueError(f"{path}: has more than 40 classes; expected at most 40, which are recomputed one by one")
    classes = [name.removeprefix("p_") for name in head[5:]]
    place = {name: i for i, name in enumerate(classes)}
    place |= {f"'{name}": i for name, i in place.items()}  # cells like formulas have an apostrophe in front
    return Predictions(
        classes,
        np.array([place[row[2]] for row in rows]),
        np.array([place[row[3]] for row in rows]),
        np.array([row[4] == "1" for row in rows]),
        np.array([[float(text) for text in row[5:]] for row in rows]),
    )


def assert_close(path: Path, found: np.ndarray, expected: np.ndarray) -> None:
    difference = np.max(np.abs(found - expected)) if found.shape == expected.shape else np.inf
    if not difference <= TOLERANCE:
        raise ValueError(f"{path}: differs from the array beside it by up to {difference:g}")


def leaves(tree: object, place: str = "") -> Leaves:
    """All values that are not dicts or lists, by the path of keys and indices to them."""
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        return {place: tree}
    found = {}
    for key, value in items:
        found |= leaves(value, f"{place}/{key}" if place else str(key))
    return found


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def compared(path: Path, stated: Leaves, again: Leaves, reasons: dict[str, str]) -> bool:
    """Prints the largest difference, all differences beyond the tolerance, and the numbers that were not recomputed."""
    differences, wrong = {}, []
    for name in sorted(stated.keys() & again.keys()):
        ours, theirs = stated[name], again[name]
        if is_number(ours) and is_number(theirs):
            differences[name] = abs(ours - theirs)
        if differences.get(name, float(ours != theirs)) > TOLERANCE:
            wrong.append(f"{name}: {shown(ours)} in the file, recomputed {shown(theirs)}")
    numbers = [name for name, value in stated.items() if is_number(value)]
    worst = max(differences, key=differences.get)
    print(
        f"{path}\n  {len(differences):,} of {len(numbers):,} numbers recomputed; largest difference"
        f" {differences[worst]:.2g} ({worst}); {len(wrong):,} beyond {TOLERANCE:g}"
    )
    for line in wrong:
        print(f"  WRONG           {line}")
    for place, names in grouped([name for name in numbers if name not in again], reasons).items():
        print(f"  not recomputed  {place}: {len(names):,} ({reasons.get(place, 'nothing here computes it')})")
    for place, names in grouped([name for name in again if name not in stated], {}).items():
        print(f"  not in the file {place}: {len(names):,}")
    return not wrong


def shown(value: object) -> str:
    return f"{value:.12g}" if is_number(value) else repr(value)


def grouped(names: list[str], places: dict[str, str]) -> dict[str, list[str]]:
    """The names by the first of `places` that they begin with, otherwise by their own first part."""
    found: dict[str, list[str]] = {}
    for name in names:
        place = next((place for place in places if name.startswith(place)), name.split("/")[0])
        found.setdefault(place, []).append(name)
    return found


if __name__ == "__main__":
    sys.exit(main())
