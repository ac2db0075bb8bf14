import math

import numpy as np
import pytest

from keras_cnn.data.pipeline import Batch
from keras_cnn.errors import InputError
from keras_cnn.training import finder

BATCH = Batch(images=None, labels=np.zeros(8), keys=None, epoch=0, size=8)


def endless():
    while True:
        yield BATCH


class Curve:
    """A trainer whose loss is a function of the learning rate alone."""

    def __init__(self, loss):
        self.rates = []
        self._loss = loss

    def train_on(self, batch, rate):
        self.rates.append(rate)
        return self._loss(rate) * batch.size, 0


def find(loss, batches=None) -> tuple[finder.RangeTest, Curve]:
    trainer = Curve(loss)
    return finder.find_learning_rate(trainer, endless() if batches is None else batches), trainer


def test_the_rates_grow_geometrically_from_the_lowest_to_the_highest():
    found, trainer = find(lambda rate: 2.0)
    assert len(trainer.rates) == finder.STEPS
    assert trainer.rates == pytest.approx(np.geomspace(1e-6, 1, 100))
    assert found.losses == pytest.approx([2.0] * 100)  # the mean of a constant: the bias is corrected


def test_the_smoothed_loss_is_the_weighted_mean_of_what_came_before():
    found, trainer = find(lambda rate: 1 + math.log10(rate) ** 2)
    raw = [1 + math.log10(r) ** 2 for r in trainer.rates]
    for step in (0, 1, 5, 40):
        weights = 0.9 ** np.arange(step, -1, -1)
        assert found.losses[step] == pytest.approx(np.average(raw[: step + 1], weights=weights), rel=1e-5)


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
def test_the_suggestion_lies_where_the_loss_falls_most_steeply(centre):
    def loss(rate):  # falls around `centre`, rises again a hundred times later
        return 0.3 + 2 / (1 + (rate / centre) ** 3) + 50 * (rate / (100 * centre)) ** 2

    found, _ = find(loss)
    late = 10 ** (6 / 99 * 9)  # a mean with memory 0.9 is nine steps behind
    assert centre / 2 < found.suggestion < 2 * late * centre
    assert found.suggestion < found.rates[found.losses.index(min(found.losses))]


def test_the_suggestion_is_the_middle_of_the_five_steps_with_the_largest_fall():
    rates = np.geomspace(1e-6, 1, 30).tolist()
    fall = [2.0] * 16 + [1.5, 1.0, 0.5, 0.0] + [0.1] * 10  # steps 15 to 19
    assert finder._steepest(rates, fall) == rates[17]
    early = [10.0] * 10 + [9.0, 8.7, 8.4, 8.0, 7.5, 7.3] + [7.2] * 14  # falls of 2 from step 9, of 1.5 from step 10
    assert finder._steepest(rates, early) == rates[finder.MEMORY + 2] == rates[12]
    assert finder._steepest(rates, sorted(fall)) == rates[2]  # it never falls


def test_a_fall_among_the_first_noisy_batches_is_not_suggested():
    def loss(rate):  # the second batch happens to be far easier than the first; the loss really falls around 1e-3
        return 9.0 if rate < 1.01e-6 else 0.3 + 2 / (1 + (rate / 1e-3) ** 3) + 50 * (rate / 0.1) ** 2

    found, _ = find(loss)
    assert 5e-4 < found.suggestion < 1e-2


def test_it_breaks_off_where_the_smoothed_loss_is_four_times_its_minimum():
    found, trainer = find(lambda rate: 1.0 if rate < 0.9e-2 else 100.0)
    assert trainer.rates[-1] == pytest.approx(1e-2)
    assert found.rates == pytest.approx(trainer.rates[:-1])  # the step that exploded is left out
    assert max(found.losses) <= 4 * min(found.losses)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_test_but_not_the_result(lost):
    found, _ = find(lambda rate: 3 - 100 * rate if rate < 1e-2 else lost)
    assert np.isfinite(found.losses).all()
    assert found.rates[-1] < 1e-2
    assert found.suggestion in found.rates


def test_a_loss_lost_at_once_is_wrong_input_in_one_line():
    with pytest.raises(InputError, match="exploded after 0 steps") as caught:
        find(lambda rate: math.nan)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="exploded after 9 steps"):
        find(lambda rate: 1.0 if rate < 1e-6 * 10 ** (6 * 8.5 / 99) else math.nan)


def test_ten_steps_are_enough():
    assert len(find(lambda rate: 1.0 if rate < 1e-6 * 10 ** (6 * 9.5 / 99) else math.nan)[0].rates) == 10


def test_the_loss_is_a_mean_over_the_images_also_of_a_partial_batch():
    found, _ = find(lambda rate: 2.0, (BATCH._replace(size=size) for size in [8, 8, 3] * 5))
    assert found.losses == pytest.approx([2.0] * 15)
