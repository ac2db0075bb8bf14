"""The learning-rate range test (Smith 2017): one pass in which the rate grows geometrically until the loss explodes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from keras_cnn.errors import InputError
from keras_cnn.training.step import Trainer

LOWEST, HIGHEST, STEPS, SMOOTHING = 1e-6, 1.0, 100, 0.9
MEMORY = 10  # steps over which the mean averages, 1 / (1 - SMOOTHING); before that it is as noisy as single batches


@dataclass(frozen=True)
class RangeTest:
    """Learning rates, smoothed losses at them, and the rate to train with."""

    rates: list[float]
    losses: list[float]  # exponential means with bias correction
    suggestion: float


def find_learning_rate(trainer: Trainer, batches: Iterable) -> RangeTest:
    """The range test over at most STEPS batches. It changes the trainer's weights: discard the trainer afterwards.

    Stops when the smoothed loss exceeds four times its minimum. The suggestion is the rate of the steepest fall of
    the smoothed loss per decade, between step MEMORY and the minimum.
    """
    rates, losses, mean = [], [], 0.0
    for step, batch in enumerate(batches):
        if step == STEPS:
            break
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        total, *_ = trainer.train_on(batch, rate)
        loss = float(total) / int(batch.size)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (losses and smooth > 4 * min(losses)):
            break
        rates.append(rate)
        losses.append(smooth)
    if len(rates) < 10:
        raise InputError(f"learning-rate finder: the loss exploded after {len(rates)} steps from rate {LOWEST}")
    return RangeTest(rates, losses, _steepest(rates, losses))


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The middle of the five-step window with the largest fall of the loss, from step MEMORY up to the minimum."""
    window = 4
    end = max(losses.index(min(losses)), window)
    start = min(MEMORY, end - window)
    falls = [losses[i] - losses[i + window] for i in range(start, end - window + 1)]
    return rates[start + falls.index(max(falls)) + window // 2]
