"""A laboratory for image CNNs: train, sweep, fine-tune, measure, look inside and use them.

>>> import keras_cnn as kc
>>> data = kc.load_data("fashion-mini")
>>> run = kc.train("net4", data, epochs=2)
>>> run.evaluate("test")

The names in `__all__` are the library; everything else may change. Importing the package imports neither TensorFlow nor
anything else: each name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_cnn.api.data import load_data
    from keras_cnn.api.looking import Explanation, Figures, explain
    from keras_cnn.api.models import build_model
    from keras_cnn.api.run import Run, open_run
    from keras_cnn.api.sweeps import SweepResult, sweep
    from keras_cnn.api.training import finetune, resume, train
    from keras_cnn.data.dataset import Dataset
    from keras_cnn.errors import InputError, Stopped
    from keras_cnn.evaluation.evaluations import Evaluation
    from keras_cnn.report.pages import report

__all__ = [
    "Dataset",
    "Evaluation",
    "Explanation",
    "Figures",
    "InputError",
    "Run",
    "Stopped",
    "SweepResult",
    "build_model",
    "explain",
    "finetune",
    "load_data",
    "open_run",
    "report",
    "resume",
    "sweep",
    "train",
]

_WITHOUT_TENSORFLOW = {
    "Dataset": "data.dataset",
    "InputError": "errors",
    "Stopped": "errors",
    "load_data": "api.data",
    "report": "report.pages",
}
_WITH_TENSORFLOW = {
    "Evaluation": "evaluation.evaluations",
    "Explanation": "api.looking",
    "Figures": "api.looking",
    "Run": "api.run",
    "SweepResult": "api.sweeps",
    "build_model": "api.models",
    "explain": "api.looking",
    "finetune": "api.training",
    "open_run": "api.run",
    "resume": "api.training",
    "sweep": "api.sweeps",
    "train": "api.training",
}


def __getattr__(name: str) -> Any:
    module = _WITHOUT_TENSORFLOW.get(name) or _WITH_TENSORFLOW.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _WITH_TENSORFLOW:
        from keras_cnn.tensorflow_import import import_tensorflow

        import_tensorflow()
    globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
