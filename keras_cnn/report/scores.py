"""The metrics of an evaluation, read and checked: valid values are returned, each invalid value is reported."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_cnn.evaluation import confusions
from keras_cnn.messages import MOST_CLASSES, listed

_MAX_SUM_ERROR = 1e-9  # rounding error of a float64 mean over any number of images


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of a class: precision, recall and F1 in [0, 1], None where the file lacks them."""

    name: str
    precision: float | None
    precision_interval: tuple[float, float] | None
    recall: float | None
    recall_interval: tuple[float, float] | None
    f1: float | None
    f1_interval: tuple[float, float] | None
    support: int | None


@dataclass(frozen=True)
class Ranking:
    """Ranking metrics in [0, 1] of the scores of a class; None where they are undefined."""

    name: str
    roc_area: float | None
    roc_area_interval: tuple[float, float] | None
    average_precision: float | None
    average_precision_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram: edges, images, mean confidence and accuracy of each bin; None for an empty bin."""

    error: float  # expected calibration error in [0, 1]
    edges: tuple[float, ...]  # (bins + 1,)
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    interval: tuple[float, float] | None = None  # of the error


@dataclass(frozen=True)
class SetScores:
    """The conformal prediction sets of one method."""

    method: str
    level: float  # promised coverage
    calibration_images: int
    coverage: float
    coverage_interval: tuple[float, float]
    expected_range: tuple[float, float]  # of the coverage, if the images are like those of the calibration
    mean_size: float  # classes
    mean_size_interval: tuple[float, float]
    empty: float  # share of the sets
    single: float
    lowest_class: str
    lowest_coverage: float
    splits_mean: float | None  # coverage over random halves of the images; None for fewer than two images
    splits_expected: float | None
    splits: int | None


@dataclass(frozen=True)
class SplitScores:
    """The metrics of a split; None or empty where the file lacks them."""

    images: int | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    loss: float | None = None
    loss_interval: tuple[float, float] | None = None
    brier: float | None = None
    brier_interval: tuple[float, float] | None = None
    top_k: dict[int, float] | None = None  # by k: share of images with the true class among the k most probable
    macro_f1: float | None = None
    macro_f1_interval: tuple[float, float] | None = None
    classes: tuple[ClassMetrics, ...] = ()
    confusion: np.ndarray | None = None  # (C, C) int64; a row is a true class
    calibration: Calibration | None = None
    ranking: tuple[Ranking, ...] = ()
    sets: tuple[SetScores, ...] = ()


def number(value: Any) -> float | None:
    """`value` if it is a finite number, otherwise None."""
    return value if _is_number(value) and math.isfinite(value) else None


def mapping(value: Any) -> dict:
    """`value` if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def read_scores(metrics: dict, place: str) -> tuple[SplitScores, list[str]]:
    """The scores in a mapping from `evaluation.metrics.summary`, and a line for every invalid value.

    A missing value is None without a line, because older versions did not write all values. `place` names the file.
    """
    problems: list[str] = []

    def read(name: str, parse, expected: str):
        if metrics.get(name) is None:
            return None
        try:
            return parse(metrics[name])
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            text = " ".join(repr(metrics[name]).split())
            shortened = f"{text[:60]}{'…' if len(text) > 60 else ''}"
            problems.append(f"{place}: {name} is {shortened}; expected {expected}; left out")
            return None

    accuracy = read("accuracy", _share, "a number from 0 to 1")
    scores = SplitScores(
        images=read("images", _count, "a whole number of at least 0"),
        accuracy=accuracy,
        interval=read("accuracy_interval", _interval, "two numbers from 0 to 1, low and high"),
        loss=read("loss", _finite, "a finite number"),
        loss_interval=read("loss_interval", _ends, "two numbers, low and high"),
        brier=read("brier", _finite, "a finite number"),
        brier_interval=read("brier_interval", _ends, "two numbers, low and high"),
        top_k=read("top_k", _top_k, "an accuracy from 0 to 1 for each k"),
        macro_f1=read("macro", lambda value: _share(value["f1"]), "precision, recall and f1 from 0 to 1"),
        macro_f1_interval=read("macro", lambda value: _optional(_interval, value.get("f1_interval")), "two numbers"),
        classes=read("per_class", _classes, "precision, recall, f1 and support of each class") or (),
        confusion=read("confusion", _confusion, "as many rows as columns of counts"),
        calibration=read("ece", _calibration, "value, edges, counts, confidence and accuracy"),
        ranking=read("ranking", _ranking, "ROC area and average precision of each class") or (),
        sets=read("prediction_sets", _sets, "coverage and mean size of each method") or (),
    )
    if scores.confusion is not None and scores.classes and len(scores.confusion) != len(scores.classes):
        problems.append(
            f"{place}: confusion has {len(scores.confusion)} classes and per_class {len(scores.classes)};"
            " expected the same number; the confusion matrix is left out"
        )
        scores = replace(scores, confusion=None)
    absent = [repr(score.name) for score in scores.classes if score.support == 0]
    if len(absent) > MOST_CLASSES:
        problems.append(f"{place}: {len(absent):,} classes have no images, such as {listed(absent)}")
    else:
        problems += [f"{place}: class {name} has no images, so its recall is not known" for name in absent]
    return scores, problems


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float:
    if number(value) is None:
        raise ValueError(value)
    return float(value)


def _share(value: Any) -> float:
    if not 0 <= _finite(value) <= 1 + _MAX_SUM_ERROR:
        raise ValueError(value)
    return float(value)


def _count(value: Any) -> int:
    if number(value) is None or value != int(value) or value < 0:
        raise ValueError(value)
    return int(value)


def _ends(value: Any, end: Callable[[Any], float] = _finite) -> tuple[float, float]:
    low, high = map(end, value)
    if low > high:
        raise ValueError(value)
    return low, high


def _interval(value: Any) -> tuple[float, float]:
    return _ends(value, _share)


def _optional(parse, value: Any):
    return None if value is None else parse(value)


_CLASS_METRICS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("precision", "recall", "f1"), _share),
    **dict.fromkeys(("precision_interval", "recall_interval", "f1_interval"), _interval),
    "support": _count,
}


def _classes(value: dict) -> tuple[ClassMetrics, ...]:
    return tuple(
        ClassMetrics(str(name), **{key: _optional(parse, row.get(key)) for key, parse in _CLASS_METRICS.items()})
        for name, row in value.items()
    )


def _top_k(value: dict) -> dict[int, float]:
    return {int(k): _share(row["accuracy"]) for k, row in value.items()}


def _confusion(value: Any) -> np.ndarray:
    matrix = confusions.from_json(value)
    if matrix.min() < 0:
        raise ValueError("a negative count")
    return matrix


def _calibration(value: dict) -> Calibration:
    edges = tuple(map(_share, value["edges"]))
    counts = tuple(map(_count, value["counts"]))
    confidence, accuracy = (
        tuple(_optional(_share, number(cell)) for cell in value[name]) for name in ("confidence", "accuracy")
    )
    if not len(edges) - 1 == len(counts) == len(confidence) == len(accuracy):
        raise ValueError("lengths")
    interval = _optional(_interval, value.get("interval"))
    return Calibration(_share(value["value"]), edges, counts, confidence, accuracy, interval)


def _ranking(value: dict) -> tuple[Ranking, ...]:
    return tuple(
        Ranking(
            str(name),
            _optional(_share, row["roc_area"]),
            _optional(_interval, row.get("roc_area_interval")),
            _optional(_share, row["average_precision"]),
            _optional(_interval, row.get("average_precision_interval")),
        )
        for name, row in value["per_class"].items()
    )


def _sets(value: dict) -> tuple[SetScores, ...]:
    level, images = _share(value["level"]), _count(value["calibration_images"])
    return tuple(_sets_of(str(method), row, level, images) for method, row in value["methods"].items())


def _sets_of(method: str, row: dict, level: float, images: int) -> SetScores:
    splits = row.get("splits") or {}
    return SetScores(
        method,
        level,
        images,
        coverage=_share(row["coverage"]),
        coverage_interval=_interval(row["coverage_interval"]),
        expected_range=_interval(row["expected_range"]),
        mean_size=_finite(row["mean_size"]),
        mean_size_interval=_ends(row["mean_size_interval"]),
        empty=_share(row["empty"]),
        single=_share(row["single"]),
        lowest_class=str(row["lowest_class"]["class"]),
        lowest_coverage=_share(row["lowest_class"]["coverage"]),
        splits_mean=_optional(_share, splits.get("mean")),
        splits_expected=_optional(_share, splits.get("expected")),
        splits=_optional(_count, splits.get("number")),
    )
