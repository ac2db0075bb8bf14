"""Ensembles from logits, and the greedy choice of a soup."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation import tables
from keras_cnn.evaluation.ensembles import Ensemble, by_validation, ensemble_of, greedy, member_of
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.test_time_augmentation import ONE

LABELS = np.array([0, 1, 1, 0])


def split(labels) -> Split:
    names = tuple(f"{len(labels)}-{i}" for i in range(len(labels)))
    return Split(names, np.array(labels), pixels=np.zeros((len(labels), 2, 2, 1), np.uint8))


def member(name, chances, validation=((0.9, 0.1), (0.2, 0.8)), scaled=False):
    dataset = Dataset("npz:small", ("cat", "dog"), (2, 2, 1), split([0]), split([0, 1]), split(LABELS), {})
    logits = [np.log(np.array(values, np.float32)) for values in (chances, validation)]
    return member_of(
        name, Path(name), Evaluation(dataset, "test", "crop", ONE, "float32", logits[0], 1.0, scaled, logits[1])
    )


ONES = member("one", [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8]])
TWOS = member("two", [[0.8, 0.2], [0.1, 0.9], [0.7, 0.3], [0.4, 0.6]], [[0.6, 0.4], [0.7, 0.3]])


def test_probabilities_are_averaged_and_compared_with_the_run_that_validation_chooses():
    ensemble = ensemble_of([TWOS, ONES])
    expected = [[0.85, 0.15], [0.35, 0.65], [0.55, 0.45], [0.3, 0.7]]
    np.testing.assert_allclose(ensemble.evaluation.probabilities, expected, atol=1e-6)
    assert ensemble.best is ONES  # right for both validation images, TWOS for one
    change = ensemble.comparison.overall
    assert (change.before, change.after, change.b, change.c) == (0.5, 0.5, 1, 1)
    row = {"run": "two", "name": "two", "averaged": True, "validation_accuracy": 0.5, "accuracy": 0.5}
    described = ensemble.as_json()
    assert (described["kind"], described["best"], len(described["runs"])) == ("ensemble", "one", 2)
    assert described["runs"][0] == row | {"accuracy_interval": list(wilson(2, 4))}
    assert ensemble.evaluation.temperature > 0
    np.testing.assert_allclose(np.exp(ensemble.evaluation.validation_logits), [[0.75, 0.25], [0.45, 0.55]], atol=1e-6)


def test_without_common_validation_images_there_is_no_temperature():
    other = replace(TWOS, evaluation=replace(TWOS.evaluation, validation_logits=None))
    found = ensemble_of([ONES, other]).evaluation
    assert (found.temperature, found.validation_logits) == (None, None)
    scaled = member("scaled", [[0.9, 0.1]] * 4, scaled=True)
    with pytest.raises(InputError, match="--temperature: found runs with different validation images, expected the"):
        ensemble_of([scaled, other])
    assert ensemble_of([scaled, TWOS]).evaluation.scaled


def test_what_a_soup_leaves_out_is_said_and_which_run_is_the_best():
    ensemble = Ensemble("soup", (TWOS, ONES), (1,), ONES.evaluation)
    described = ensemble.as_json()
    assert [row["averaged"] for row in described["runs"]] == [False, True]
    low, high = wilson(2, 4)
    assert list(tables.members(described)) == [
        "run  validation   images evaluated [95 % Wilson]",
        f"two      0.5000   0.5000  [{low:.4f}, {high:.4f}]   left out",
        f"one      1.0000   0.5000  [{low:.4f}, {high:.4f}]   best on validation, in the soup",
    ]


def test_equal_accuracies_are_ordered_by_loss():
    surer = member("surer", [[0.9, 0.1]] * 4, [[0.99, 0.01], [0.01, 0.99]])
    assert by_validation([TWOS, ONES, surer]) == [2, 1, 0]


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({(2, 0): 0.7, (2, 1): 0.9}, [2, 1]),  # the second of the order makes it worse, the third better
        ({(2, 0): 0.8, (2, 0, 1): 0.79}, [2, 0]),  # as accurate is enough
        ({(2, 0): 0.81, (2, 0, 1): 0.9}, [2, 0, 1]),
        ({(2, 0): 0.1, (2, 1): 0.1}, [2]),
    ],
)
def test_a_run_joins_a_soup_if_the_average_is_not_worse(scores, chosen):
    assert greedy([2, 0, 1], 0.8, lambda places: scores[tuple(places)]) == chosen


def test_a_run_without_validation_images_is_no_member():
    dataset = Dataset("npz:small", ("cat", "dog"), (2, 2, 1), split([0]), split([]), split(LABELS), {})
    evaluation = Evaluation(dataset, "test", "crop", ONE, "float32", np.zeros((4, 2), np.float32), None, False)
    with pytest.raises(InputError, match="runs/x: found no validation images, expected those that choose the best"):
        member_of("x", Path("runs/x"), evaluation)
