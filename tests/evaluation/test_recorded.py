"""Recorded metrics are taken where they are as `summary` makes them; a damaged field is named."""

import json

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation import metrics
from keras_cnn.evaluation.recorded import check_metrics

CLASSES = ("cat", "dog", "eel")


def summary() -> dict:
    labels = np.arange(30) % 3
    logits = np.random.default_rng(0).normal(size=(30, 3)) + 2 * np.eye(3)[labels]
    return json.loads(json.dumps(metrics.summary(labels, logits, CLASSES)))


def test_what_summary_makes_is_taken():
    check_metrics(summary(), "metrics.json")
    older = summary()
    for name in ("ece", "brier", "brier_interval", "loss_interval", "top_k", "bootstrap", "worst_pair"):
        del older[name]
    check_metrics(older, "metrics.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("accuracy", "high", "accuracy: found 'high', expected a number"),
        ("accuracy", None, "accuracy: found None, expected a number"),
        ("accuracy", float("nan"), "accuracy: found nan, expected a number"),
        ("images", 3.5, "images: found 3.5, expected a whole number"),
        ("accuracy_interval", [0.5], r"accuracy_interval: found \[0.5\], expected a list of 2"),
        ("per_class", ["cat"], r"per_class: found \['cat'\], expected a mapping"),
        ("per_class", {"cat": {"recall": 0.5}}, "per_class.cat.precision: found None, expected a number"),
        ("macro", 0.5, "macro: found 0.5, expected a mapping"),
        ("top_k", {"2": {"accuracy": 0.9}}, "top_k.2.interval: found None, expected a list of 2"),
        ("ece", {"value": 0.1}, "ece.bins: found None, expected a whole number"),
        ("worst_pair", {"true": "cat"}, "worst_pair.predicted: found None, expected text"),
        ("temperature", {"value": "hot"}, "temperature.value: found 'hot', expected a number"),
        ("ranking", {"per_class": {}, "macro": {}}, "ranking.per_class has other classes than per_class"),
        ("classes_without_images", "eel", "classes_without_images: found 'eel', expected a list of text or null"),
    ],
)
def test_a_damaged_field_is_named(field, value, message):
    with pytest.raises(InputError, match=f"^metrics.json: {message}"):
        check_metrics(summary() | {field: value}, "metrics.json")


def test_nothing_is_not_enough():
    with pytest.raises(InputError, match=r"^metrics.json: images: found None"):
        check_metrics({}, "metrics.json")
