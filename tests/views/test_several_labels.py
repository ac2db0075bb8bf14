"""What stands below images that may have several classes, and which of them are explained."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.models.class_names import save_with_classes
from keras_cnn.views.support.explained_targets import explained_targets
from keras_cnn.views.support.opened_model import OpenedModel, ShownImages, VisualizeOptions
from keras_cnn.views.support.opening import open_source
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


def test_a_caption_has_the_true_class_where_it_is_known(opened):
    one = replace(opened, thresholds=None)
    shown = replace(opened.images, labels=np.array([0, 2, -1], np.int32), words=())
    one.__dict__.update(images=shown, probabilities=PROBABILITIES)
    assert [one.caption(i) for i in range(3)] == [
        "a.png, true cat, predicted dog 0.75",
        "b.png, true owl, predicted cat 0.40",
        "c.png, predicted owl 0.90",
    ]


def test_each_predicted_class_is_explained_and_of_none_the_most_probable(opened):
    [explained] = explained_targets(opened, None, None, (), None)
    assert explained.images.tolist() == [0, 0, 1, 2, 2]
    assert explained.target.index == (1, 0, 0, 2, 1)
    assert (explained.title, explained.stem) == ("each predicted class", "predicted")
    [chosen] = explained_targets(opened, "owl", None, (), None)
    assert (chosen.images.tolist(), chosen.target.index, chosen.title) == ([0, 1, 2], 2, "owl")


def test_a_model_file_that_says_so_has_thresholds_of_a_half(tmp_path):
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    for several, expected in ((True, (0.5, 0.5, 0.5)), (False, None)):
        path = tmp_path / f"{several}.keras"
        save_with_classes(model, path, CLASSES, several_labels=several)
        found = open_source(str(path), VisualizeOptions())
        assert (found.classes, found.thresholds, found.head.several) == (CLASSES, expected, several)
        assert [note for note in found.notes if note.startswith("no rescaling in the network: it gets 0-255")]
