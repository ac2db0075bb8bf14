"""A laboratory for image CNNs: train, sweep, fine-tune, measure, look inside and use them.

>>> import keras_cnn as kc
>>> data = kc.load_data("folder:photos", image_size=32)
>>> run = kc.train("lenet", data, epochs=2, path="runs/photos", verbose=False)
>>> run.evaluate("test")
<Evaluation: accuracy ... on 8 test images of folder:photos>

The names in `__all__` are the library; everything else may change. Importing the package imports neither TensorFlow nor
anything else: each name is imported when it is first used.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_cnn.api.backbones import BackboneRanking, rank_backbones
    from keras_cnn.api.data import load_data
    from keras_cnn.api.demo import demo
    from keras_cnn.api.detections import ImageDetections
    from keras_cnn.api.detectors import DetectorRun, ObjectDetector, open_detector, train_detector
    from keras_cnn.api.ensembles import EnsembleResult, evaluate_ensemble
    from keras_cnn.api.folds import FoldsResult, cross_validate, cross_validate_detector
    from keras_cnn.api.looking import Explanation, Figures, explain, view
    from keras_cnn.api.machine import MachineReport, doctor
    from keras_cnn.api.models import build_model, list_models
    from keras_cnn.api.options import list_options
    from keras_cnn.api.page import report
    from keras_cnn.api.plans import DryRun, dry_run
    from keras_cnn.api.predicting import predict
    from keras_cnn.api.run import Run, open_run
    from keras_cnn.api.seeds import SeedSummary, evaluate_runs
    from keras_cnn.api.sweeps import ComparisonResult, SweepResult, compare, sweep
    from keras_cnn.api.training import find_learning_rate, finetune, overfit_batch, resume, train
    from keras_cnn.data.dataset import Dataset
    from keras_cnn.errors import InputError, Stopped
    from keras_cnn.evaluation.evaluations import Evaluation
    from keras_cnn.evaluation.multilabel.evaluations import MultilabelEvaluation
    from keras_cnn.prediction.label_table import LabelPredictions
    from keras_cnn.prediction.table import ImagePredictions

__all__ = [
    "BackboneRanking",
    "ComparisonResult",
    "Dataset",
    "DetectorRun",
    "DryRun",
    "EnsembleResult",
    "Evaluation",
    "Explanation",
    "Figures",
    "FoldsResult",
    "ImageDetections",
    "ImagePredictions",
    "InputError",
    "LabelPredictions",
    "MachineReport",
    "MultilabelEvaluation",
    "ObjectDetector",
    "Run",
    "SeedSummary",
    "Stopped",
    "SweepResult",
    "build_model",
    "compare",
    "cross_validate",
    "cross_validate_detector",
    "demo",
    "doctor",
    "dry_run",
    "evaluate_ensemble",
    "evaluate_runs",
    "explain",
    "find_learning_rate",
    "finetune",
    "list_models",
    "list_options",
    "load_data",
    "open_detector",
    "open_run",
    "overfit_batch",
    "predict",
    "rank_backbones",
    "report",
    "resume",
    "sweep",
    "train",
    "train_detector",
    "view",
]

_WITHOUT_TENSORFLOW = {
    "Dataset": "data.dataset",
    "InputError": "errors",
    "MachineReport": "api.machine",
    "Stopped": "errors",
    "doctor": "api.machine",
    "load_data": "api.data",
    "report": "api.page",
}
_WITH_TENSORFLOW = {
    "BackboneRanking": "api.backbones",
    "ComparisonResult": "api.sweeps",
    "DetectorRun": "api.detectors",
    "DryRun": "api.plans",
    "EnsembleResult": "api.ensembles",
    "Evaluation": "evaluation.evaluations",
    "Explanation": "api.looking",
    "Figures": "api.looking",
    "FoldsResult": "api.folds",
    "ImageDetections": "api.detections",
    "ImagePredictions": "prediction.table",
    "LabelPredictions": "prediction.label_table",
    "MultilabelEvaluation": "evaluation.multilabel.evaluations",
    "ObjectDetector": "api.detectors",
    "Run": "api.run",
    "SeedSummary": "api.seeds",
    "SweepResult": "api.sweeps",
    "build_model": "api.models",
    "compare": "api.sweeps",
    "cross_validate": "api.folds",
    "cross_validate_detector": "api.folds",
    "demo": "api.demo",
    "dry_run": "api.plans",
    "evaluate_ensemble": "api.ensembles",
    "evaluate_runs": "api.seeds",
    "explain": "api.looking",
    "find_learning_rate": "api.training",
    "finetune": "api.training",
    "list_models": "api.models",
    "list_options": "api.options",
    "open_detector": "api.detectors",
    "open_run": "api.run",
    "overfit_batch": "api.training",
    "predict": "api.predicting",
    "rank_backbones": "api.backbones",
    "resume": "api.training",
    "sweep": "api.sweeps",
    "train": "api.training",
    "train_detector": "api.detectors",
    "view": "api.looking",
}


def __getattr__(name: str) -> Any:
    module = _WITHOUT_TENSORFLOW.get(name) or _WITH_TENSORFLOW.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _WITH_TENSORFLOW:
        from keras_cnn.tensorflow_import import import_tensorflow

        import_tensorflow()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # Optuna's tqdm in a notebook without ipywidgets
        globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
