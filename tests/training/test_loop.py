"""One Dense layer on 2x2 images, trained by hand in NumPy (float64) beside the compiled step."""

import math
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.config import OptimConfig
from keras_cnn.data.pipeline import Batch
from keras_cnn.errors import Stopped
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.training import loop
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.state import TrainingState
from keras_cnn.training.step import Trainer

CLASSES, PIXELS = 3, 4
RATE = np.float32(1e-5)  # pixels go up to 255
rng = np.random.default_rng(7)
IMAGES = rng.integers(0, 256, (10, 2, 2, 1), np.uint8)
LABELS = np.array([0, 1, 2, 0, 0, 1, 0, 2, 0, 1], np.int32)
KERNEL = rng.normal(0, 0.01, (PIXELS, CLASSES)).astype("float32")
BIAS = np.array([0.1, -0.2, 0.0], "float32")


def model_of(**settings) -> keras.Model:
    inputs = keras.Input((2, 2, 1))
    logits = keras.layers.Dense(CLASSES, name="logits", **settings)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, logits)
    model.set_weights([KERNEL, BIAS])
    return model


def unchanged(images, labels, keys, epoch):
    return tf.cast(images, tf.float32), labels


def trainer_of(model=None, augment=unchanged, optimizer=None, **settings) -> Trainer:
    settings = {"objective": CrossEntropy(CLASSES)} | settings
    return Trainer(model or model_of(), optimizer or build_optimizer(OptimConfig("sgd")), augment, **settings)


def step(trainer: Trainer, chosen=slice(None), rate=RATE, epoch=0) -> tuple[float, int]:
    images, labels = IMAGES[chosen], LABELS[chosen]
    keys = np.zeros((len(labels), 2), np.int32)
    loss, correct = trainer.step(images, labels, keys, np.int32(epoch), np.float32(rate))
    return float(loss), int(correct)


@dataclass
class ByHand:
    """Softmax regression and its gradient step, written out."""

    kernel: np.ndarray = field(default_factory=lambda: KERNEL.astype(float))
    bias: np.ndarray = field(default_factory=lambda: BIAS.astype(float))

    def losses(self, images, targets) -> np.ndarray:
        return -(targets * np.log(self.softmax(images))).sum(1)

    def softmax(self, images) -> np.ndarray:
        powers = np.exp(images.reshape(len(images), -1).astype(float) @ self.kernel + self.bias)
        return powers / powers.sum(1, keepdims=True)

    def step(self, images, targets, weights=None, decay=0.0) -> None:
        weights = np.ones(len(images)) if weights is None else weights
        error = (self.softmax(images) - targets) * (weights / weights.sum())[:, None]
        self.kernel = self.kernel * (1 - RATE * decay) - RATE * images.reshape(len(images), -1).T.astype(float) @ error
        self.bias = self.bias - RATE * error.sum(0)

    def assert_weights(self, model: keras.Model) -> None:
        for found, expected, start in zip(model.get_weights(), (self.kernel, self.bias), (KERNEL, BIAS), strict=True):
            np.testing.assert_allclose(found - start, expected - start, rtol=1e-2, atol=1e-8)  # what has changed
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def one_hot(labels) -> np.ndarray:
    return np.eye(CLASSES)[labels]


def test_a_step_returns_the_batch_before_it_and_changes_the_weights_as_by_hand():
    trainer, hand = trainer_of(), ByHand()
    for _ in range(3):
        expected = hand.losses(IMAGES, one_hot(LABELS)).sum()
        right = int((hand.softmax(IMAGES).argmax(1) == LABELS).sum())
        hand.step(IMAGES, one_hot(LABELS))
        loss, correct = step(trainer)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert correct == right
    hand.assert_weights(trainer.model)


def test_label_smoothing_spreads_its_share_over_all_classes():
    trainer, hand = trainer_of(objective=CrossEntropy(CLASSES, label_smoothing=0.3)), ByHand()
    targets = one_hot(LABELS) * 0.7 + 0.1
    assert np.allclose(targets.sum(1), 1)
    assert step(trainer)[0] == pytest.approx(hand.losses(IMAGES, targets).sum(), rel=1e-5)
    hand.step(IMAGES, targets)
    hand.assert_weights(trainer.model)


def test_class_weights_make_a_weighted_mean_but_the_reported_loss_is_of_images():
    weights = np.array([0.5, 2.0, 4.0], "float32")
    trainer, hand = trainer_of(objective=CrossEntropy(CLASSES, class_weights=weights)), ByHand()
    assert step(trainer)[0] == pytest.approx(hand.losses(IMAGES, one_hot(LABELS)).sum(), rel=1e-5)
    hand.step(IMAGES, one_hot(LABELS), weights[LABELS].astype(float))
    hand.assert_weights(trainer.model)


def test_weight_decay_shrinks_the_kernel_and_not_the_bias():
    trainer, hand = trainer_of(optimizer=build_optimizer(OptimConfig("sgd", weight_decay=2000.0))), ByHand()
    step(trainer)
    hand.step(IMAGES, one_hot(LABELS), decay=2000.0)
    hand.assert_weights(trainer.model)


def test_the_models_own_losses_are_trained_on_and_not_reported():
    model = model_of(kernel_regularizer=keras.regularizers.L2(0.5), bias_regularizer=keras.regularizers.L2(5.0))
    hand = ByHand()
    trainer = trainer_of(model)
    assert step(trainer)[0] == pytest.approx(hand.losses(IMAGES, one_hot(LABELS)).sum(), rel=1e-5)
    kernel, bias = hand.kernel, hand.bias
    hand.step(IMAGES, one_hot(LABELS))
    hand.kernel, hand.bias = hand.kernel - RATE * kernel, hand.bias - RATE * 10 * bias  # d(0.5 w²)/dw, d(5 b²)/db
    hand.assert_weights(model)


def test_mixed_labels_are_soft_targets_and_a_hit_is_their_largest_part():
    share = 0.7

    def mixed(images, labels, keys, epoch):
        return tf.cast(images, tf.float32), share * labels + (1 - share) * labels[::-1]

    targets = share * one_hot(LABELS) + (1 - share) * one_hot(LABELS[::-1])
    trainer, hand = trainer_of(augment=mixed), ByHand()
    loss, correct = step(trainer)
    assert loss == pytest.approx(hand.losses(IMAGES, targets).sum(), rel=1e-5)
    assert correct == (hand.softmax(IMAGES).argmax(1) == LABELS).sum()


def test_the_augmentation_gets_the_epoch_and_its_fractions_reach_the_model():
    def shifted(images, labels, keys, epoch):
        return tf.cast(images, tf.float32) + tf.cast(epoch, tf.float32) / 4, labels

    trainer, hand = trainer_of(augment=shifted), ByHand()
    assert step(trainer, epoch=3)[0] == pytest.approx(hand.losses(IMAGES + 0.75, one_hot(LABELS)).sum(), rel=1e-5)


@pytest.mark.parametrize(("name", "settings"), [("sgd", {}), ("sgd", {"momentum": 0.9}), ("adam", {})])
def test_loss_scaling_changes_nothing_where_nothing_vanishes(name, settings):
    plain, scaled = (
        trainer_of(optimizer=build_optimizer(OptimConfig(name, **settings), loss_scaling=scaling))
        for scaling in (False, True)
    )
    for _ in range(2):
        step(plain)
        step(scaled)
    for one, other in zip(plain.model.get_weights(), scaled.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_frozen_layers_keep_their_bytes():
    inputs = keras.Input((2, 2, 1))
    frozen = keras.layers.Dense(5, name="frozen", trainable=False)
    norm = keras.layers.BatchNormalization(name="norm", trainable=False)
    outputs = keras.layers.Dense(CLASSES, name="logits")(norm(frozen(keras.layers.Flatten()(inputs))))
    model = keras.Model(inputs, outputs)
    before = [v.copy() for layer in (frozen, norm) for v in layer.get_weights()]
    head = model.get_layer("logits").get_weights()[0]
    optimizer = build_optimizer(OptimConfig("adamw", weight_decay=0.5))
    trainer = trainer_of(model, optimizer=optimizer, ema=0.9)
    step(trainer, rate=0.1)
    for one, other in zip(before, [v for layer in (frozen, norm) for v in layer.get_weights()], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (model.get_layer("logits").get_weights()[0] != head).all()


# --- the average of the weights ---------------------------------------------------------------------------------------


def test_the_average_of_the_weights_by_hand():
    trainer, hand = trainer_of(ema=0.2), ByHand()
    mean_kernel, mean_bias = hand.kernel, hand.bias
    for decay in (2 / 11, 0.2, 0.2):  # min(0.2, (1 + t) / (10 + t)): the warm-up counts only at t = 1
        step(trainer)
        hand.step(IMAGES, one_hot(LABELS))
        mean_kernel = decay * mean_kernel + (1 - decay) * hand.kernel
        mean_bias = decay * mean_bias + (1 - decay) * hand.bias
    with trainer.averaged_weights():
        ByHand(mean_kernel, mean_bias).assert_weights(trainer.model)
    hand.assert_weights(trainer.model)


def test_the_statistics_of_a_batch_norm_are_averaged_too():
    inputs = keras.Input((2, 2, 1))
    norm = keras.layers.BatchNormalization(momentum=0.9)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(norm(keras.layers.Flatten()(inputs))))
    trainer = trainer_of(model, ema=0.9)
    step(trainer)
    mean = 0.1 * IMAGES.reshape(len(IMAGES), -1).mean(axis=0)  # of the batch, and 0.9 of the zeros before
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5)
    with trainer.averaged_weights():
        np.testing.assert_allclose(norm.moving_mean, (1 - 2 / 11) * mean, rtol=1e-5)


def test_averaged_weights_gives_back_the_models_own_weights_also_after_an_error():
    trainer = trainer_of(ema=0.9)
    step(trainer)
    own = trainer.model.get_weights()

    def fail_inside():
        with trainer.averaged_weights():
            assert (trainer.model.get_weights()[0] != own[0]).any()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    for found, expected in zip(trainer.model.get_weights(), own, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_an_average_the_block_changes_nothing_and_nothing_more_is_saved():
    trainer = trainer_of()
    step(trainer)
    own = trainer.model.get_weights()
    with trainer.averaged_weights():
        np.testing.assert_array_equal(trainer.model.get_weights()[0], own[0])
    assert trainer.groups()["average"] == []
    assert len(trainer_of(ema=0.9).groups()["average"]) == len(own) + 1  # and the count of updates


# --- epochs -----------------------------------------------------------------------------------------------------------


def batches_of(size: int):
    while True:
        for start in range(0, len(LABELS), size):
            chosen = slice(start, start + size)
            count = len(LABELS[chosen])
            keys, epoch = np.zeros((count, 2), np.int32), np.int32(0)
            yield Batch(IMAGES[chosen], LABELS[chosen], keys, epoch, np.int32(count))


class Recorder:
    """A LoopSession that records its calls."""

    def __init__(self, validations=(), stop_after=None, signal_at=None):
        self.state, self.rows, self.saves = TrainingState(), [], []
        self._validations, self._stop_after, self._signal_at = iter(validations), stop_after, signal_at
        self.asked, self.steps = [], 0

    def learning_rate(self, progress: float) -> float:
        self.asked.append(progress)
        return float(RATE) * (1 + progress)

    def validate(self):
        return dict(zip(("val_loss", "val_accuracy"), next(self._validations, (0.5, 0.25)), strict=True))

    def epoch_started(self): ...

    def step_done(self):
        self.steps += 1

    def epoch_done(self, row):
        self.rows.append(row)
        return row["epoch"] != self._stop_after

    def save(self):
        self.saves.append((self.state.epoch, self.state.step, self.state.ended))

    def interrupted(self):
        return "SIGTERM" if self._signal_at is not None and self.steps >= self._signal_at else None


def fit(session: Recorder, trainer=None, *, size=4, epochs=2, checkpoint_seconds=1e9) -> Recorder:
    steps = math.ceil(len(LABELS) / size)
    trainer = trainer or trainer_of()
    loop.fit(trainer, batches_of(size), session, epochs=epochs, steps=steps, checkpoint_seconds=checkpoint_seconds)
    return session


def test_an_epochs_numbers_are_means_over_images_with_a_partial_last_batch():
    trainer, loss, correct = trainer_of(), 0.0, 0
    for chosen in (slice(0, 4), slice(4, 8), slice(8, 10)):  # 4 + 4 + 2 images
        one = step(trainer, chosen)
        loss, correct = loss + one[0], correct + one[1]
    session, began = Recorder(), time.monotonic()
    session.learning_rate = lambda progress: float(RATE)
    row = fit(session, epochs=1).rows[0]
    assert 0 < row["epoch_seconds"] <= row["run_seconds"] <= time.monotonic() - began
    assert row["loss"] == pytest.approx(loss / 10, rel=1e-6)
    assert row["accuracy"] == correct / 10
    assert (row["val_loss"], row["val_accuracy"], row["epoch"]) == (0.5, 0.25, 1)


def test_the_learning_rate_follows_the_steps_and_the_row_holds_the_last_one():
    session = fit(Recorder())
    thirds = [0, 1 / 3, 2 / 3, 2 / 3]  # the last one again for the row
    assert session.asked == pytest.approx(thirds + [1 + t for t in thirds])
    assert [r["learning_rate"] for r in session.rows] == pytest.approx([RATE * (1 + 2 / 3), RATE * (2 + 2 / 3)])


def test_each_epoch_is_saved_and_the_last_save_says_that_the_run_ended():
    assert fit(Recorder()).saves == [(1, 0, False), (2, 0, True)]
    early = fit(Recorder(stop_after=1))
    assert early.saves == [(1, 0, True)]
    assert early.steps == 3


def test_checkpoints_inside_an_epoch_come_when_they_are_due(monkeypatch):
    session = Recorder()
    session.state.epoch_seconds = 5.0  # of a process before
    validate, waited = session.validate, []
    session.validate = lambda: waited.append(2) or validate()
    # A step takes a second and a validation two.
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: session.steps + sum(waited)))
    fit(session, size=1, epochs=2, checkpoint_seconds=4)
    assert session.saves == [(0, 5, False), (1, 0, False), (1, 5, False), (2, 0, True)]
    # The last of ten steps is not over when the seconds are read, and is in the time of the validation.
    assert [row["epoch_seconds"] for row in session.rows] == [14, 9]
    assert [row["run_seconds"] for row in session.rows] == [16, 27]


def test_a_signal_is_heeded_between_steps_after_a_checkpoint():
    session = Recorder(signal_at=2)
    with pytest.raises(Stopped, match="stopped by SIGTERM after 0 epochs and 2 steps; the checkpoint is complete"):
        fit(session)
    assert session.saves == [(0, 2, False)]


def test_a_signal_in_the_last_step_of_all_lets_the_run_end():
    assert fit(Recorder(signal_at=3), epochs=1).saves == [(1, 0, True)]
    session = Recorder(signal_at=3)
    with pytest.raises(Stopped, match="stopped by SIGTERM after 1 epochs; the checkpoint is complete"):
        fit(session)
    assert session.saves == [(1, 0, False)]


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_saves_nothing():
    model = model_of()
    session = Recorder()
    session.learning_rate = lambda progress: float("inf") if progress >= 1 / 3 else 0.0
    with pytest.raises(Stopped, match=r"the loss became nan at epoch 1, step 3; kept: .* with 0 complete epochs"):
        fit(session, trainer_of(model))
    assert session.saves == []


def test_a_validation_loss_that_is_not_finite_stops_before_the_epochs_checkpoint():
    session = Recorder(validations=[(0.5, 0.5), (math.nan, math.nan)])
    with pytest.raises(Stopped, match=r"validation loss became nan at the end of epoch 2; kept: .* with 1 complete"):
        fit(session)
    assert session.saves == [(1, 0, False)]


def test_weights_that_are_not_finite_are_not_saved_inside_an_epoch():
    trainer, session = trainer_of(), Recorder(signal_at=0)
    kernel = trainer.model.trainable_variables[0]
    session.step_done = lambda: kernel.assign(np.full(kernel.shape, np.inf, "float32"))
    with pytest.raises(Stopped, match="the weights or the optimizer's state became infinite or nan at epoch 1, step 1"):
        fit(session, trainer)
    assert session.saves == []
