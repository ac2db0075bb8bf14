"""Checks of the recorded metrics of a run before they are shown or compared: files may be damaged or older."""

from collections.abc import Mapping
from typing import Any

from keras_cnn.checking import check, placed
from keras_cnn.errors import InputError

_Ends = tuple[float, float]
_Scores = dict[str, float | _Ends | None]
_FIELDS = {
    "images": int,
    "accuracy": float,
    "accuracy_interval": _Ends,
    "split": str | None,
    "loss": float | None,
    "loss_interval": _Ends | None,
    "brier": float | None,
    "brier_interval": _Ends | None,
    "top_k": dict[str, _Scores] | None,
    "ece": dict | None,
    "per_class": dict[str, _Scores],
    "macro": _Scores,
    "weighted": _Scores,
    "bootstrap": dict[str, int] | None,
    "worst_pair": dict | None,
    "classes_without_images": list[str] | None,
    "ranking": dict | None,
    "temperature": dict | None,
    "prediction_sets": dict | None,
}
_INNER = {
    "ece": {"value": float, "bins": int, "interval": _Ends | None},
    "worst_pair": {"true": str, "predicted": str, "count": int, "share": float},
    "ranking": {"per_class": dict[str, _Scores], "macro": _Scores},
    "temperature": {
        "value": float,
        "validation_images": int,
        "applied": bool,
        "before": dict[str, float],
        "after": dict[str, float],
    },
    "bootstrap": {"resamples": int},
    "prediction_sets": {"level": float, "calibration_images": int, "methods": dict[str, dict]},
}
_OF_CLASS = {"precision": float, "recall": float, "f1": float, "support": int}
_OF_SETS = {"coverage": float, "coverage_interval": _Ends, "expected_range": _Ends, "mean_size": float}
_OF_TOP_K = {"accuracy": float, "interval": _Ends}


def check_metrics(metrics: Mapping[str, Any], place: str) -> None:
    """Raises InputError, naming `place`, field and value, unless `metrics` have the form that `summary` returns.

    Fields that older versions did not write may be missing.
    """
    _check_fields(metrics, _FIELDS, place, "")
    for name, fields in _INNER.items():
        if metrics.get(name) is not None:
            _check_fields(metrics[name], fields, place, f"{name}.")
    for name, row in metrics["per_class"].items():
        _check_fields(row, _OF_CLASS, place, f"per_class.{name}.")
    for k, row in (metrics.get("top_k") or {}).items():
        _check_fields(row, _OF_TOP_K, place, f"top_k.{k}.")
    for method, row in ((metrics.get("prediction_sets") or {}).get("methods") or {}).items():
        _check_fields(row, _OF_SETS, place, f"prediction_sets.methods.{method}.")
    areas = (metrics.get("ranking") or {}).get("per_class", metrics["per_class"])
    if set(areas) != set(metrics["per_class"]):
        raise InputError(f"{place}: ranking.per_class has other classes than per_class; expected the same")


def _check_fields(values: Mapping[str, Any], fields: Mapping[str, Any], place: str, prefix: str) -> None:
    for name, hint in fields.items():
        check(placed(values.get(name), place), hint, f"{prefix}{name}")
