"""The work that is measured: synthetic images, the configs of short trainings, and the same trainings by Keras."""

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_cnn import config as config_module
from keras_cnn import models
from keras_cnn.config import Config
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import logger
from keras_cnn.operating_system import memory_growth
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.preparing import trials_of
from keras_cnn.training import experiment, precision

CLASSES, VALIDATION = 4, 8
SEED = 7


@dataclass(frozen=True)
class Workload:
    """A network with the size, number and batches of its images."""

    name: str
    side: int  # pixels
    channels: int
    batch: int
    images: int  # of an epoch
    options: tuple[str, ...] = ()
    without_dropout: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How much is measured, by which networks, for how many epochs, and where.

    `steps` steps are compared one by one; the devices are values of the option `devices`.
    """

    networks: tuple[Workload, ...]
    epochs: int
    steps: int
    two_devices: str


RESNET = ("--model.weights=none",)
SCALES = {
    "gpu": Scale(
        (
            Workload("net4", 32, 3, 128, 12_800, without_dropout=("--model.dropout_rate=0",)),
            Workload("lenet", 28, 1, 128, 25_600),
            Workload("resnet50", 224, 3, 64, 1_280, RESNET),
        ),
        epochs=4,
        steps=20,
        two_devices="2",
    ),
    "cpu": Scale(
        (
            Workload("net1", 16, 3, 8, 16, ("--model.l1_oc=4",)),
            Workload("lenet", 28, 1, 8, 16),
            Workload("resnet8", 32, 3, 8, 16, RESNET),
        ),
        epochs=2,
        steps=3,
        two_devices="cpu:2",
    ),
}


@dataclass(frozen=True)
class Images:
    """Images of a network in memory, and the file that a config names as its source."""

    pixels: np.ndarray  # (N, H, W, C) uint8, noise
    labels: np.ndarray  # (N,) int32
    file: Path

    @property
    def count(self) -> int:
        """Training images."""
        return len(self.pixels) - VALIDATION


@contextmanager
def images_of(network: Workload, count: int | None = None) -> Iterator[Images]:
    """`count` training images of a network, by default an epoch's, and some for validation."""
    count = (count or network.images) + VALIDATION
    rng = np.random.default_rng(SEED)
    pixels = rng.integers(0, 256, (count, network.side, network.side, network.channels), np.uint8)
    labels = (np.arange(count) % CLASSES).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        part = {"x_test": pixels[:VALIDATION], "y_test": labels[:VALIDATION]}  # required, and not read by a trial
        np.savez(file, x_train=pixels, y_train=labels, **part)
        yield Images(pixels, labels, file)


def config_of(network: Workload, images: Images, epochs: int, *words: str) -> Config:
    """The config of a training on these images; `words` are further overrides."""
    return config_module.load(
        None,
        [
            f"--data.source=npz:{images.file}",
            f"--data.validation={VALIDATION}",
            f"--model.name={network.name}",
            *network.options,
            f"--train.batch_size={network.batch}",
            f"--train.epochs={epochs}",
            "--optim.optimizer=sgd",
            "--optim.momentum=0.9",
            "--optim.learning_rate=0.001",
            "--deterministic=no",
            f"--devices={_one_device()}",
            "--tracking.wandb=off",
            *words,
        ],
        BUILDERS,
    )


def _one_device() -> str:
    return "1" if tf.config.get_visible_devices("GPU") else "cpu"


def trained(config: Config) -> list[dict]:
    """The history of a training, a row an epoch. It runs as a trial of a sweep: without figures and test split."""
    with _silent(), tempfile.TemporaryDirectory() as parent, RunFolder.create("gpu-check", Path(parent)) as folder:
        experiment.train(config, folder, cast(Any, trials_of(SharedResources())))
        return folder.history()


@contextmanager
def _silent() -> Iterator[None]:
    """Hides the messages of a training."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def our_rate(network: Workload, images: Images, epochs: int, *words: str) -> float:
    """Images per second of our training, the median of all epochs but the first, in which everything is compiled."""
    rows = trained(config_of(network, images, epochs, *words))
    return images.count / statistics.median(row["epoch_seconds"] for row in rows[1:])


def keras_rate(network: Workload, images: Images, epochs: int) -> float:
    """Images per second of Keras's `fit` with its own layers and defaults, in the same number format; as `our_rate`."""
    config = config_of(network, images, epochs)
    precision.apply(SEED, precision.choose_precision("auto", precision.hardware()), "no")
    shape = (network.side, network.side, network.channels)
    built = models.build(network.name, shape, CLASSES, **config.model.options)
    model = keras.Model.from_config(built.get_config())  # the saved form names Keras's own layers
    keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    pairs = (images.pixels[: images.count], images.labels[: images.count])
    batches = tf.data.Dataset.from_tensor_slices(pairs).batch(network.batch).prefetch(tf.data.AUTOTUNE)
    clock = _EpochClock()
    model.fit(batches, epochs=epochs, shuffle=False, verbose=cast(Any, 0), callbacks=[clock])
    return images.count / statistics.median(clock.seconds[1:])


class _EpochClock(keras.callbacks.Callback):
    """The duration of each epoch in seconds."""

    def __init__(self):
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._begun)


def peak_memory(work) -> int:
    """Bytes at most in use on the first GPU while `work` is done; without a GPU, by which this process grows."""
    if not tf.config.list_logical_devices("GPU"):
        return memory_growth(work)
    tf.config.experimental.reset_memory_stats("GPU:0")
    work()
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]
