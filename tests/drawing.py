"""Trainings and evaluations in tests without their figures, which take most of the time of a tiny run."""

from dataclasses import replace

import pytest

from keras_cnn.evaluation import gallery, kinds
from keras_cnn.evaluation.multilabel import gallery as multilabel_gallery
from keras_cnn.tasks.classification import results as of_classifiers
from keras_cnn.tasks.detection import results as of_detectors
from keras_cnn.tasks.multilabel import results as of_labels


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, no training and no evaluation of this process writes a figure."""

    def nothing(*_: object) -> None: ...

    for results in (of_classifiers, of_detectors):
        patch.setattr(results, "draw_figures", nothing)
        patch.setattr(results, "draw_augmentation", nothing)
    patch.setattr(of_labels, "draw_figures", nothing)
    for module in (gallery, multilabel_gallery):
        patch.setattr(module, "draw", nothing)
        patch.setattr(module, "draw_comparison", nothing)
    for name in ("ONE_CLASS", "SEVERAL_LABELS"):  # which hold the functions of the galleries
        patch.setattr(kinds, name, replace(getattr(kinds, name), draw=nothing, draw_comparison=nothing))
