"""What stands below images that may have several classes, and which of them are explained."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.views import attribution
from keras_cnn.views.support.opened_model import OpenedModel, ShownImages, VisualizeOptions
from keras_cnn.visualization.probe import Probe

CLASSES = ("cat", "dog", "owl")
PROBABILITIES = np.array([[0.5, 0.75, 0.1], [0.4, 0.1, 0.2], [0.3, 0.2, 0.9]])


@pytest.fixture
def opened() -> OpenedModel:
    """Three images with the probabilities above; the thresholds are 0.5, 0.2 and 0.8."""
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    probe = Probe(model, several_labels=True)
    found = OpenedModel("net", model, probe, Path(), CLASSES, VisualizeOptions(), thresholds=(0.5, 0.2, 0.8))
    names, words = ("a.png", "b.png", "c.png"), ("cat, dog", "none", "owl")
    shown = ShownImages(np.zeros((3, 2, 2, 1), np.uint8), names, np.full(3, -1, np.int32), words)
    found.__dict__.update(images=shown, probabilities=PROBABILITIES)
    return found


def test_a_caption_has_all_true_and_all_predicted_classes(opened):
    assert [opened.predicted_labels(i) for i in range(3)] == [[1, 0], [], [2, 1]]
    assert [opened.caption(i) for i in range(3)] == [
        "a.png, true cat, dog, predicted dog 0.75, cat 0.50",
        "b.png, true none, predicted none",
        "c.png, true owl, predicted owl 0.90, dog 0.20",
    ]
    assert opened.caption(1, after_name="\n") == "b.png\ntrue none, predicted none"
    assert opened.caption(1, " | ") == "b.png | true none | predicted none"


def test_each_predicted_class_is_explained_and_of_none_the_most_probable(opened):
    [explained] = attribution._explained_targets(opened, None, None, (), None)
    assert explained.images.tolist() == [0, 0, 1, 2, 2]
    assert explained.target.index == (1, 0, 0, 2, 1)
    assert (explained.title, explained.stem) == ("each predicted class", "predicted")
    [chosen] = attribution._explained_targets(opened, "owl", None, (), None)
    assert (chosen.images.tolist(), chosen.target.index, chosen.title) == ([0, 1, 2], 2, "owl")
