"""Training net4 (32 x 32, batch 128): ours against Keras's compile + fit, PyTorch's best, and the matrix-product rate.

python -m benchmarks.training
"""

import tempfile
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from benchmarks.interleave import interleave, table
from benchmarks.torch_net4 import TorchContestant
from keras_cnn import config, models
from keras_cnn.config import OptimConfig
from keras_cnn.loading import BUILDERS
from keras_cnn.models import arithmetic
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.tasks.classification.task import ClassificationTask
from keras_cnn.tasks.preparing import prepare
from keras_cnn.tracking import Tracker
from keras_cnn.training import precision
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import fit
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.session import TrainingSession
from keras_cnn.training.step import Trainer

IMAGES, BATCH, SHAPE, CLASSES = 1024, 128, (32, 32, 3), 10
EPOCH_IMAGES, PRODUCTS = 5120, (1024, 2048, 4096)
OURS, KERAS, PRODUCT = "keras_cnn", "Keras compile + fit, float32", "bfloat16 matrix product"
STEP, EPOCH = "bare training step on arrays", "train.py's whole epoch"


def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *SHAPE), np.uint8), rng.integers(0, CLASSES, count, np.int32)


def trainer_in(number_format: str) -> Trainer:
    precision.apply(0, number_format, "auto")  # determinism too, as in train.py
    model = models.build("net4", SHAPE, CLASSES)
    keras.config.set_dtype_policy("float32")
    return Trainer(
        model,
        build_optimizer(OptimConfig("sgd", momentum=0.9)),
        lambda images, labels, keys, epoch: (images, labels),
        objective=CrossEntropy(CLASSES),
    )


def steps(trainer: Trainer, images: np.ndarray, labels: np.ndarray) -> int:
    keys, epoch, rate = np.zeros((BATCH, 2), np.int32), tf.constant(0), tf.constant(0.01)
    for first in range(0, len(images), BATCH):
        batch = slice(first, first + BATCH)
        float(trainer.step(images[batch], labels[batch], keys, epoch, rate)[0])
    return len(images)


def plain_keras(images: np.ndarray, labels: np.ndarray):
    """net4 of Keras's own layers, compiled and fitted as usual, but without tf.data's autotune, which stalls."""
    built = models.build("net4", SHAPE, CLASSES)
    model = keras.Model.from_config(built.get_config())  # the saved form names Keras's own layers
    assert not any(type(layer).__module__.startswith("keras_cnn") for layer in model.layers)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH).prefetch(2).with_options(options)

    def work() -> int:
        model.fit(batches, shuffle=False, verbose=0)
        return len(images)

    return work


def matrix_product(size: int):
    """A product of square bfloat16 matrices that counts its multiply-adds as images."""
    left, right = (tf.cast(tf.random.normal((size, size)), tf.bfloat16) for _ in range(2))
    product = tf.function(tf.matmul)

    def work() -> int:
        for _ in range(8):
            product(left, right)
        product(left, right).numpy()
        return 9 * size**3

    return work


def compare_steps() -> None:
    images, labels = arrays(IMAGES)
    number_format = precision.choose_precision("auto", precision.hardware())
    trainer = trainer_in(number_format)
    contestants = {KERAS: plain_keras(images, labels), OURS: lambda: steps(trainer, images, labels)}
    products = {f"{PRODUCT} {size}": matrix_product(size) for size in PRODUCTS}
    torches = {}
    if find_spec("torch"):
        torches = {c.name: c for c in TorchContestant.all(IMAGES, BATCH)}
    else:
        print("PyTorch is not installed; to compare with it: .venv/bin/pip install 'torch==2.13.*'")
    rates = interleave({**contestants, **torches, **products})
    each = 3 * sum(row.multiply_adds for row in arithmetic.table(trainer.model))
    product = max(median(rates.pop(name)) for name in products)
    print(f"training net4, {number_format}, batch {BATCH}")
    print(table(rates, KERAS, {OURS: 2.0}))
    ours = median(rates[OURS])
    if torches:
        best = max(torches, key=lambda name: median(rates[name]))
        print(f"against PyTorch's best ({best}): {ours / median(rates[best]):.2f}x   target 1.0x")
    print(
        f"multiply-adds: {ours * each:.3g}/s against {product:.3g}/s of the best {PRODUCT}:"
        f" {ours * each / product:.2f}   target 0.8"
    )
    for contestant in torches.values():
        contestant.close()


def compare_epoch() -> None:
    """A whole epoch: pipeline, steps, validation on a ninth as many images, history, best model and checkpoint."""
    images, labels = arrays(EPOCH_IMAGES + EPOCH_IMAGES // 9)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        np.savez(file, x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])
        settings = config.load(
            None,
            (
                f"--data.source npz:{file} --model net4 --optim.optimizer sgd --optim.momentum 0.9"
                " --train.epochs 1000 --tracking.wandb off"
            ).split(),
            BUILDERS,
        )
        task = prepare(settings)
        epoch, trainer = whole_epochs(task, RunFolder.create("bench", Path(folder)))
        pixels, classes = task.setup.train.pixels, task.setup.train.labels
        count = len(pixels) // BATCH * BATCH
        contestants = {STEP: lambda: steps(trainer, pixels[:count], classes[:count]), EPOCH: epoch}
        rates = interleave(contestants)
    print(f"\nwhole epoch, net4, {len(pixels)} training and {len(task.setup.dataset.validation)} validation images")
    print(table(rates, STEP, {}))
    print(
        f"time of the epoch over the bare steps: {median(rates[STEP]) / median(rates[EPOCH]):.3f}   target at most 1.1"
    )


def whole_epochs(task: ClassificationTask, folder: RunFolder):
    """A callable that trains one more epoch, as `experiment.train` does."""
    folder.describe(task.config, task.default_config, task.hardware)
    with redirect_stdout(StringIO()):  # hides its progress
        session = TrainingSession(task, folder, Tracker("off", folder.path), Interrupt())
        next(session.phases())
    trainer = session.phase_run.trainer
    stream = iter(session.phase_run.batches(0, 0))

    def work() -> int:
        session.state.ended = False
        epochs = session.state.epoch + 1
        fit(trainer, stream, session, epochs=epochs, steps=task.steps, checkpoint_seconds=600)
        return task.train_images

    return work, trainer


def main() -> None:
    compare_steps()
    compare_epoch()


if __name__ == "__main__":
    main()
