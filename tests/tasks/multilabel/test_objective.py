"""The loss of several labels against Keras, scikit-learn and PyTorch, and the options that do not fit it."""

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from keras_cnn.config.loader import load
from keras_cnn.data.augment import Augmentation
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.tasks.multilabel.objective import BinaryCrossEntropy, balanced_weights
from keras_cnn.tasks.multilabel.options import require_fitting

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random((40, 3)) < [0.5, 0.2, 0.1]).astype(np.uint8)
LOGITS = (3 * RANDOM.normal(size=(40, 3))).astype(np.float32)


def loss_of(objective: BinaryCrossEntropy) -> tuple[float, list[float]]:
    loss, sums = objective(tf.constant(LOGITS), objective.targets(tf.constant(LABELS.astype(np.int32))))
    return float(loss), [float(value) for value in sums]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_keras_binary_cross_entropy(smoothing):
    loss, sums = loss_of(BinaryCrossEntropy(3, smoothing))
    expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)(LABELS, LOGITS)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    right = ((LOGITS > 0) == LABELS.astype(bool)).all(axis=1).sum()
    assert sums == [pytest.approx(40 * loss, rel=1e-6), right]


def test_balanced_weights_are_scikit_learns_for_each_class_and_the_loss_is_pytorchs():
    weights = balanced_weights(LABELS)
    for place in range(3):
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=LABELS[:, place])
        np.testing.assert_allclose(weights[:, place], expected, rtol=1e-6)
    loss, sums = loss_of(BinaryCrossEntropy(3, weights=weights))
    assert sums[0] == pytest.approx(loss_of(BinaryCrossEntropy(3))[1][0])  # what is shown is not weighted
    torch = pytest.importorskip("torch")
    each = np.where(LABELS == 1, weights[1], weights[0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(LOGITS), torch.tensor(LABELS.astype(np.float32)), torch.tensor(each)
    )
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_a_class_that_all_or_no_images_have_gets_finite_weights():
    labels = np.array([[1, 0], [1, 0]], np.uint8)
    assert balanced_weights(labels).tolist() == [[1.0, 0.5], [0.5, 1.0]]


def setup(several: bool, **changes: Any) -> Any:
    config = load(None, [f"--{name.replace('__', '.')}={value}" for name, value in changes.items()], BUILDERS)
    augmentation = Augmentation(**config.data.augment.options) if config.data.augment.options else Augmentation()
    return SimpleNamespace(config=config, augmentation=augmentation, dataset=SimpleNamespace(several_labels=several))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__monitor": "val_accuracy"}, r"train\.monitor: found val_accuracy with several labels an image"),
        ({"train__loss": "focal"}, r"train\.loss: found focal with several labels an image"),
        ({"train__logit_adjustment": 1.0}, r"train\.logit_adjustment: found 1\.0 with several labels an image"),
        ({"data__augment__mixup": 0.2}, r"data\.augment\.mixup: found 0\.2 with several labels an image"),
        ({"data__augment__cutmix": 1.0}, r"data\.augment\.cutmix: found 1\.0 with several labels an image"),
    ],
)
def test_options_without_meaning_for_several_labels_are_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        require_fitting(setup(True, **changes))
    require_fitting(setup(False, **changes))
    require_fitting(setup(True, train__label_smoothing=0.1, train__class_weights="balanced"))


def test_the_map_of_one_class_an_image_is_refused():
    with pytest.raises(InputError, match=r"train\.monitor: found val_map, of one class an image"):
        require_fitting(setup(False, train__monitor="val_map"))
