"""Suspected label errors: confident learning by hand and beside cleanlab's, and the files of a list."""

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.label_errors import confident_joint, find_label_errors


def noisy(seed: int, strength: float = 2.5, images: int = 600, classes: int = 4) -> tuple[np.ndarray, ...]:
    """True classes, labels of which 15 % are flipped to another class, and probabilities that favour the truth."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, images)
    flipped = rng.random(images) < 0.15
    labels = np.where(flipped, (true + rng.integers(1, classes, images)) % classes, true)
    scores = rng.normal(0, 1, (images, classes))
    scores[np.arange(images), true] += strength
    exponents = np.exp(scores)
    return true, labels, exponents / exponents.sum(axis=1, keepdims=True)


def test_by_hand():
    """Class 0 is reached from (0.9 + 0.8 + 0.2 + 0.7) / 4 = 0.65, class 1 from (0.9 + 0.6 + 0.1) / 3 = 0.533.

    Of the label 0, images 0, 1 and 3 count for class 0, image 2 for class 1; of the label 1, images 4 and 5 for class
    1, image 6 for class 0. The counts are those of all images, so nothing is scaled.
    """
    p = np.array([0.9, 0.8, 0.2, 0.7, 0.1, 0.4, 0.9])
    labels, probabilities = np.array([0, 0, 0, 0, 1, 1, 1]), np.stack([p, 1 - p], axis=1)
    assert confident_joint(labels, probabilities).tolist() == [[3, 1], [1, 2]]
    found = find_label_errors(labels, probabilities)
    assert found.indices.tolist() == [6, 2]  # the labels have the probabilities 0.1 and 0.2
    assert found.suggested.tolist() == [0, 1]


def test_counts_are_scaled_to_all_images_of_a_label():
    """Two of four images of label 0 are confident, one for each class: 2 and 2. Two of two of label 1 are right."""
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.52, 0.48], [0.52, 0.48], [0.4, 0.6], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 0, 1, 1])  # thresholds 0.56 and 0.65
    assert confident_joint(labels, probabilities).tolist() == [[2, 2], [0, 2]]
    found = find_label_errors(labels, probabilities)
    assert found.indices.tolist() == [1]  # the second of the two largest margins has its label as the best class


def test_a_label_of_which_no_image_looks_like_its_class_keeps_one():
    """Nine images of label 1 count for class 0, and one for class 1 is added: 9 · 9 / 10 and 9 · 1 / 10, rounded."""
    labels, probabilities = np.array([0] + [1] * 9), np.tile([0.6, 0.4], (10, 1))
    found = find_label_errors(labels, probabilities)
    assert found.joint.tolist() == [[1, 0], [8, 1]]
    assert found.indices.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]  # of equal ones the first


@pytest.mark.parametrize("seed", range(6))
def test_the_list_is_cleanlabs(seed):
    """The same images in the same order, but for counts that are rounded otherwise."""
    cleanlab = pytest.importorskip("cleanlab.filter")
    _, labels, probabilities = noisy(seed)
    theirs = cleanlab.find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    ours = find_label_errors(labels, probabilities).indices
    both = set(ours) & set(theirs)
    assert len(both) >= 0.97 * max(len(ours), len(theirs))
    assert [i for i in ours if i in both] == [i for i in theirs if i in both]


@pytest.mark.parametrize("seed", range(3))
def test_flipped_labels_are_found(seed):
    true, labels, probabilities = noisy(seed, strength=5)
    found = find_label_errors(labels, probabilities)
    flipped = np.flatnonzero(true != labels)
    right = len(set(found.indices) & set(flipped))
    assert right / len(found.indices) > 0.8
    assert right / len(flipped) > 0.8
    assert np.mean(true[found.indices] == found.suggested) > 0.8
    assert confident_joint(labels, probabilities).sum(axis=1).tolist() == np.bincount(labels).tolist()


def test_labels_without_an_error_and_a_class_without_images():
    probabilities = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = find_label_errors(np.array([0, 0, 1, 1]), probabilities)
    assert found.indices.tolist() == []
    assert found.joint.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]
    with pytest.raises(InputError, match=r"labels\[1\] is 3"):
        find_label_errors(np.array([0, 3, 1, 1]), probabilities)
