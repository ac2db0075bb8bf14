"""Evaluation of models: predictions, metrics with intervals, comparisons."""

from typing import Any

_LAZY = ("Evaluation", "evaluate")  # from a module that imports TensorFlow, which takes seconds


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from keras_cnn.evaluation import evaluations

        return getattr(evaluations, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
