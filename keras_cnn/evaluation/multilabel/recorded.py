"""Checks of recorded metrics of images with several labels before they are shown: files may be damaged."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_cnn.checking import check, placed
from keras_cnn.evaluation.multilabel.thresholds import read_thresholds
from keras_cnn.run_folder.record import Record

_Ends = tuple[float, float] | None
_AVERAGES = {"precision": float, "recall": float, "f1": float, "f1_interval": tuple[float, float]}
_FIELDS = {
    "images": int,
    "map": float | None,
    "map_interval": _Ends,
    "micro": dict,
    "macro": dict,
    "loss": float,
    "loss_interval": _Ends,
    "exact_match": float,
    "exact_match_interval": _Ends,
    "hamming_loss": float,
    "hamming_loss_interval": _Ends,
    "labels_per_image": dict[str, float],
    "per_class": dict[str, dict],
    "worst_pair": dict | None,
    "classes_without_images": list[str] | None,
    "bootstrap": dict[str, int],
}
_OF_CLASS = {
    "average_precision": float | None,
    "average_precision_interval": _Ends,
    "precision": float,
    "recall": float,
    "f1": float,
    "threshold": float,
    "support": int,
}
_OF_PAIR = {"true": str, "predicted": str, "count": int, "share": float}


def check_metrics(metrics: Mapping[str, Any], place: str) -> None:
    """Raises InputError, naming `place`, field and value, unless `metrics` have the form that `summary` returns."""
    _check(metrics, _FIELDS, place, "")
    for name in ("micro", "macro"):
        _check(metrics[name], _AVERAGES, place, f"{name}.")
    _check(metrics["labels_per_image"], {"true": float, "predicted": float}, place, "labels_per_image.")
    _check(metrics["bootstrap"], {"resamples": int}, place, "bootstrap.")
    for name, row in metrics["per_class"].items():
        _check(row, _OF_CLASS, place, f"per_class.{name}.")
    if metrics.get("worst_pair") is not None:
        _check(metrics["worst_pair"], _OF_PAIR, place, "worst_pair.")


def _check(values: Mapping[str, Any], fields: Mapping[str, Any], place: str, prefix: str) -> None:
    for name, hint in fields.items():
        check(placed(values.get(name), place), hint, f"{prefix}{name}")


def recorded_thresholds(record: Record) -> np.ndarray | None:
    """(C,) the thresholds that a run has chosen on its validation images; None for an unfinished run.

    A trial of a sweep has them among its validation metrics. Raises InputError for damaged ones.
    """
    metrics = record.metrics if "thresholds" in record.metrics else record.metrics.get("validation")
    if not isinstance(metrics, dict) or "thresholds" not in metrics:
        return None
    classes = tuple(record.split.get("classes") or metrics["thresholds"])
    return read_thresholds(metrics["thresholds"], classes, str(record.path / "metrics.json"))
