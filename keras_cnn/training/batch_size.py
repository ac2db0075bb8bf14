"""Finds the number of images a step for `train.batch_size: auto`: the largest that fits, by doubling."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_cnn.config.batch_size import rate_factor, require_number, with_batch_size, with_scaled_rate
from keras_cnn.config.schema import AUTO
from keras_cnn.errors import InputError, is_out_of_memory
from keras_cnn.messages import logger
from keras_cnn.operating_system import available_memory, memory_growth
from keras_cnn.training.experiment import step_seconds

FIRST = 32  # images
SHARE = 0.5  # of the memory available to this process, where there is no GPU
NO_LIMIT, TOO_MUCH = 0.0, float("inf")  # bytes of a batch on a GPU, which refuses what does not fit

MakeTask = Callable[[Any], Any]  # makes the `Task` of a config


def resolved(config: Any, prepare: MakeTask) -> Any:
    """The config with a number for the batch size `auto`, and with the learning rate for its batch size if asked.

    `prepare` makes the task of a config, of which some steps are trained and thrown away: the run is then the run that
    the number would have given. Raises InputError if not even one image fits.
    """
    if config.train.batch_size == AUTO:
        if getattr(config.train, "overfit_batch", False):
            require_number(config, "train.overfit_batch trains on one batch")
        config = with_batch_size(config, _largest(config, prepare))
    if (base := config.optim.learning_rate_batch) is not None:
        factor, rate = rate_factor(config), config.optim.learning_rate
        config = with_scaled_rate(config)
        logger.info(
            f"rate      {config.optim.learning_rate:.3g} for {config.train.batch_size} images a step: {rate:g} for"
            f" {base}, times {factor:.3g}"
        )
    return config


def _largest(config: Any, prepare: MakeTask) -> int:
    """The largest power of 2 that fits, at most the number of training images."""
    config = _costliest(config)
    images = prepare(with_batch_size(config, 1)).train_images
    limit = 1 << (images.bit_length() - 1)
    on_gpu = bool(tf.config.get_visible_devices("GPU"))
    budget, measure = (NO_LIMIT, _tried) if on_gpu else (SHARE * available_memory(), _measured)
    size = min(FIRST, limit)
    used = measure(config, prepare, size)
    why = f"twice as many would be more than the {images:,} training images"
    while used > budget:
        if size == 1:
            raise InputError("train.batch_size: auto: one image does not fit in memory; expected a smaller network")
        why, limit = _too_much(size, on_gpu), size // 2
        size = limit
        used = measure(config, prepare, size)
    while 2 * size <= limit:
        if 2 * used > budget or (used := measure(config, prepare, 2 * size)) > budget:
            why = _too_much(2 * size, on_gpu)
            break
        size *= 2
    logger.info(f"batch     {size} images a step: {why}")
    return size


def _too_much(size: int, on_gpu: bool) -> str:
    where = "the memory of the GPU" if on_gpu else f"{SHARE:.0%} of the available memory"
    return f"{size} do not fit in {where}"


def _costliest(config: Any) -> Any:
    """The config whose steps need the most memory of the run; it keeps nothing between steps, except on a GPU."""
    optim = replace(config.optim, learning_rate_batch=None)  # said once, when the number is known
    config = replace(config, optim=optim)
    on_gpu = tf.config.get_visible_devices("GPU") and getattr(config.train, "on_device", "no") != "no"
    if not on_gpu:  # which only images in memory may be kept on
        config = replace(config, data=replace(config.data, cache="none"))
    if hasattr(config, "finetune"):
        config = replace(config, finetune=replace(config.finetune, strategy="fixed", features="none"))
    return config


def _tried(config: Any, prepare: MakeTask, size: int) -> float:
    """NO_LIMIT if steps with an eighth more images succeed on the GPU, which leaves room for validation."""
    try:
        _train(config, prepare, size + size // 8)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return TOO_MUCH
    return NO_LIMIT


def _measured(config: Any, prepare: MakeTask, size: int) -> float:
    """The bytes that this process needs more while it trains."""
    return memory_growth(lambda: _train(config, prepare, size))


def _train(config: Any, prepare: MakeTask, size: int) -> None:
    step_seconds(with_batch_size(config, size), lambda config, _: prepare(config), 1)
