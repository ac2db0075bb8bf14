"""Augmentation of images of 32 and 224 pixels by recipe, beside crops and flips and a training step of a small network.

python -m benchmarks augmentation
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.interleave import interleave, table
from keras_cnn import config, models
from keras_cnn.config import OptimConfig
from keras_cnn.data.augment import RECIPES, Augmentation, augment
from keras_cnn.loading import BUILDERS
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.step import Trainer

SIZES = {32: 128, 224: 32}  # side in pixels: images of a batch
BATCHES = 4  # of a round
NETWORK = "configs/cifar10_small.yaml"
WANTED = {
    "crops and flips": RECIPES["fashion"],
    "standard": RECIPES["standard"],
    "imagenet": RECIPES["imagenet"],
    "random erasing": Augmentation(flip=0.5, pad_crop=2, erase=0.25),
    "trivialaugment": RECIPES["trivialaugment"],
    "randaugment": RECIPES["randaugment"],
}


def batch_of(side: int, count: int) -> tuple[tf.Tensor, ...]:
    """Images, one-hot labels and keys."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    keys = rng.integers(0, 2**31, (count, 2)).astype(np.int32)
    return tf.constant(images), tf.one_hot(rng.integers(0, 10, count), 10), tf.constant(keys)


def augmenting(recipe: Augmentation, batch: tuple[tf.Tensor, ...]):
    """A round of epochs of one batch."""
    epoch = tf.TensorSpec((), tf.int32)
    whole = tf.function(
        lambda epoch: augment(*batch, epoch, seed=1, recipe=recipe)[0], input_signature=[epoch], autograph=False
    )

    def work() -> int:
        for number in range(BATCHES):
            whole(tf.constant(number)).numpy()
        return BATCHES * len(batch[0])

    return work


def training(images: tf.Tensor, keys: tf.Tensor):
    """A round of steps of the small network on images that are not augmented."""
    network = config.load(Path(NETWORK), [], BUILDERS).model
    model = models.build(network.name, tuple(images.shape[1:]), 10, **network.options)
    optimizer = build_optimizer(OptimConfig("adamw"))
    trainer = Trainer(
        model, optimizer, lambda images, labels, *_: (tf.cast(images, tf.float32), labels), objective=CrossEntropy(10)
    )
    labels = tf.zeros(len(images), tf.int32)

    def work() -> int:
        for _ in range(BATCHES):
            trainer.step(images, labels, keys, tf.constant(0), tf.constant(1e-3))[0].numpy()
        return BATCHES * len(images)

    return work


def main() -> None:
    keras.config.set_dtype_policy("float32")
    for side, count in SIZES.items():
        batch = batch_of(side, count)
        contestants = {name: augmenting(recipe, batch) for name, recipe in WANTED.items()}
        if side == min(SIZES):
            contestants["training step"] = training(batch[0], batch[2])
        print(f"images of {side} x {side} in batches of {count}")
        print(table(interleave(contestants), "crops and flips", {}))


if __name__ == "__main__":
    main()
