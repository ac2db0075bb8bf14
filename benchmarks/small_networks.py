"""Training small networks, whose steps are short: our whole epoch against Keras's `fit(steps_per_execution=32)`.

python -m benchmarks.small_networks

LeNet in batches of 128 and the default network in its batches of 64, on grey images of 28 x 28. Keras has its own
layers, tf.data without autotune, which stalls, and both number formats; it neither validates nor writes anything.
"""

import tempfile
from pathlib import Path
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from benchmarks.interleave import interleave, table
from benchmarks.training import whole_epochs
from keras_cnn import config, models
from keras_cnn.config import Config
from keras_cnn.config.shipped import find_config
from keras_cnn.loading import BUILDERS
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import precision

IMAGES, VALIDATION, SHAPE, CLASSES, STEPS_A_CALL = 12_800, 64, (28, 28, 1), 10, 32
OURS = "keras_cnn, whole epoch"
CASES = {
    "lenet, batch 128": (None, ["--model=lenet", "--train.batch_size=128"]),
    "the default network, batch 64": ("default", ["--data.augment.name=none"]),
}


def settings(file: Path, name: str | None, words: list[str]) -> Config:
    given = f"--data.source=npz:{file} --data.validation={VALIDATION} --train.epochs=1000 --tracking.wandb=off"
    return config.load(find_config(Path(name)) if name else None, [*given.split(), *words], BUILDERS)


def keras_fit(chosen: Config, number_format: str, images: np.ndarray, labels: np.ndarray):
    """An epoch of the same network and optimizer by Keras, with several steps a call."""
    precision.apply(0, number_format, "auto")
    built = models.build(chosen.model.name, SHAPE, CLASSES, **chosen.model.options)
    model = keras.Model.from_config(built.get_config())  # the saved form names Keras's own layers
    keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.get({"class_name": chosen.optim.optimizer, "config": {"learning_rate": 1e-3}})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=STEPS_A_CALL)
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(chosen.train.batch_size)
    batches = batches.prefetch(2).with_options(options)

    def work() -> int:
        model.fit(batches, shuffle=False, verbose=0)
        return len(images)

    return work


def compare(title: str, name: str | None, words: list[str], folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES + VALIDATION, *SHAPE), np.uint8)
    labels = (np.arange(len(images)) % CLASSES).astype(np.int32)
    file = folder / "images.npz"
    np.savez(file, x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])
    chosen = settings(file, name, words)
    number_format = precision.choose_precision("auto", precision.hardware())
    formats = dict.fromkeys((number_format, "float32"))
    peers = {
        f"Keras fit, {each}": keras_fit(chosen, each, images[VALIDATION:], labels[VALIDATION:]) for each in formats
    }
    ours, _ = whole_epochs(prepare(chosen), RunFolder.create("bench", folder))
    rates = interleave({**peers, OURS: ours})
    best = max(peers, key=lambda peer: median(rates[peer]))
    print(f"\n{title}, {number_format}, {len(images) - VALIDATION} images an epoch, Keras {STEPS_A_CALL} steps a call")
    print(table(rates, best, {}))
    print(f"against the best, {best}: {median(rates[OURS]) / median(rates[best]):.2f}x   target 1.0x")


def main() -> None:
    for title, (name, words) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            compare(title, name, words, Path(folder))


if __name__ == "__main__":
    main()
