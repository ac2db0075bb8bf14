"""The loss against torchvision, published formulas and its options' mistakes."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.config import Config, TrainConfig
from keras_cnn.errors import InputError
from keras_cnn.tasks.classification.objective import CrossEntropy, logit_offsets, objective_of
from keras_cnn.tasks.classification.setup import _require_frequencies
from tests.torchvision_transforms import transforms

LOGITS = np.random.default_rng(0).normal(0, 3, (12, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 0, 1, 0, 2, 0, 1, 0, 0])
COUNTS = np.array([7, 3, 2])


def value_and_gradient(objective, logits, labels=LABELS):
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss, (total, correct) = objective(variable, objective.targets(tf.constant(labels, tf.int32)))
    return float(loss), tape.gradient(loss, variable).numpy(), float(total), int(correct)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvisions(gamma):
    """The sigmoid of a logit is the softmax of it and 0. Probabilities of 1 - 1e-9 have a finite gradient."""
    transforms()
    focal = pytest.importorskip("torchvision.ops").sigmoid_focal_loss
    torch = pytest.importorskip("torch")
    logits, labels = np.array([-20, -3, -0.5, 0, 1, 4, 20], np.float32), np.array([0, 1, 0, 1, 1, 0, 1])
    theirs = torch.tensor(logits, requires_grad=True)
    expected = focal(theirs, torch.tensor(labels, dtype=torch.float32), alpha=-1, gamma=gamma, reduction="mean")
    expected.backward()
    pairs = np.stack([np.zeros_like(logits), logits], axis=1)
    loss, gradient, total, _ = value_and_gradient(CrossEntropy(2, focal_gamma=gamma), pairs, labels)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert total == pytest.approx(7 * loss, rel=1e-6)
    np.testing.assert_allclose(gradient[:, 1], theirs.grad.numpy(), atol=2e-6)


def test_focal_loss_of_smoothed_labels_by_hand():
    """The sum over classes of y (1 - p)^2 (-log p), of one image with probabilities 0.7, 0.2 and 0.1."""
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    loss, *_ = value_and_gradient(CrossEntropy(3, 0.3, focal_gamma=2.0), logits, np.array([0]))
    terms = [0.8 * 0.3**2 * -np.log(0.7), 0.1 * 0.8**2 * -np.log(0.2), 0.1 * 0.9**2 * -np.log(0.1)]
    assert loss == pytest.approx(sum(terms), rel=1e-5)


def test_focal_loss_has_no_gradient_where_a_probability_is_one():
    logits = np.array([[90.0, 0, 0]], np.float32)
    loss, gradient, *_ = value_and_gradient(CrossEntropy(3, focal_gamma=0.5), logits, np.array([0]))
    assert (loss, np.abs(gradient).max()) == (0, 0)


def test_adjusted_logits_give_menons_pairwise_margins():
    """Equation 11 of Menon et al. 2021: log(1 + sum over other classes of pi' / pi exp(f' - f)), written out."""
    prior = COUNTS / 12
    loss, gradient, _, correct = value_and_gradient(CrossEntropy(3, offsets=logit_offsets(COUNTS, 1.0)), LOGITS)
    expected = []
    for row, label in zip(LOGITS.astype(float), LABELS, strict=True):
        others = [prior[k] / prior[label] * np.exp(row[k] - row[label]) for k in range(3) if k != label]
        expected.append(np.log1p(sum(others)))
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    adjusted = np.exp(LOGITS) * prior
    softmax = adjusted / adjusted.sum(1, keepdims=True)
    np.testing.assert_allclose(gradient, (softmax - np.eye(3)[LABELS]) / 12, atol=1e-6)
    assert correct == (LOGITS.argmax(1) == LABELS).sum()  # the logits as in inference


def test_logits_of_chance_are_balanced_after_training_with_offsets():
    """For images that say nothing, the loss is smallest with equal logits, whatever the classes' frequencies."""
    objective = CrossEntropy(3, offsets=logit_offsets(COUNTS, 1.0))
    logits = np.zeros((12, 3), np.float32)
    _, gradient, *_ = value_and_gradient(objective, logits)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-7)


def test_the_config_chooses_the_loss():
    def loss_of(**settings):
        return value_and_gradient(objective_of(TrainConfig(**settings), LABELS, 3), LOGITS)[0]

    plain = loss_of()
    assert loss_of(loss="focal") == value_and_gradient(CrossEntropy(3, focal_gamma=2.0), LOGITS)[0] < plain
    expected = value_and_gradient(CrossEntropy(3, offsets=np.log(COUNTS / 12) * 1.5), LOGITS)[0]
    assert loss_of(logit_adjustment=1.5) == pytest.approx(expected, rel=1e-6)
    assert loss_of(logit_adjustment=1.5, overfit_batch=True) == plain
    assert loss_of(focal_gamma=5.0) == plain


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({}, [0, 0, 2], "train.logit_adjustment: found 1, but no training image of 'dog', expected an image of each"),
        (
            {"class_weights": "balanced"},
            [0, 1, 2],
            "train.logit_adjustment: found 1 with train.class_weights balanced, which corrects for the same, expected",
        ),
    ],
)
def test_frequencies_that_cannot_be_used_are_refused(settings, labels, message):
    train = SimpleNamespace(labels=np.array(labels))
    classes = ("cat", "dog", "owl")
    with pytest.raises(InputError, match=message):
        _require_frequencies(Config(train=TrainConfig(logit_adjustment=1.0, **settings)), train, classes)
    _require_frequencies(Config(train=TrainConfig(logit_adjustment=1.0)), SimpleNamespace(labels=LABELS), classes)
    _require_frequencies(Config(train=TrainConfig(**settings)), train, classes)
