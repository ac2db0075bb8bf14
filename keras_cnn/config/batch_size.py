"""The batch size of a config: `auto`, which becomes a number before training, and the learning rate that fits it."""

import math
from dataclasses import replace
from typing import Any

from keras_cnn.config.schema import AUTO
from keras_cnn.errors import InputError


def require_number(config: Any, why: str) -> None:
    """Raises InputError if the batch size is `auto`; `why` says why a number is expected."""
    if config.train.batch_size == AUTO:
        raise InputError(f"train.batch_size: found auto, expected a number: {why}")


def with_batch_size(config: Any, images: int) -> Any:
    """The config with this batch size and everything else the same."""
    return replace(config, train=replace(config.train, batch_size=images))


def rate_factor(config: Any) -> float:
    """By how much the batch size changes the learning rate; 1 unless `optim.learning_rate_batch` asks for a change.

    The ratio of the batch sizes for SGD (Goyal et al. 2017, arXiv:1706.02677), its square root for the optimizers that
    divide the gradient by its magnitude (Malladi et al. 2022, arXiv:2205.10287, for RMSprop and Adam).
    """
    base = config.optim.learning_rate_batch
    if base is None:
        return 1.0
    ratio = config.train.batch_size / base
    return ratio if config.optim.optimizer == "sgd" else math.sqrt(ratio)


def with_scaled_rate(config: Any) -> Any:
    """The config with the learning rate for its batch size, and no further change asked for."""
    if config.optim.learning_rate_batch is None:
        return config
    rate = config.optim.learning_rate * rate_factor(config)
    return replace(config, optim=replace(config.optim, learning_rate=rate, learning_rate_batch=None))


def as_resumed(wanted: Any, stored: Any) -> Any:
    """The config that resumes a run: `auto` is the number that the run began with."""
    if wanted.train.batch_size == AUTO:
        wanted = with_batch_size(wanted, stored.train.batch_size)
    return with_scaled_rate(wanted)
