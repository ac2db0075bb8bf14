"""From the command to the first trained step of the default run: `train.py` against a bare script of Keras.

python -m benchmarks.starting

Each is a new process, from its start, with the import of TensorFlow, to the end of its first step. Ours audits the
images, draws the augmentation, and writes the run folder and its first checkpoint before. The script reads the same
images, builds the same network and calls `fit`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.interleave import interleave

ROOT = Path(__file__).resolve().parents[1]
WORDS = ("--tracking.wandb=off",)
OURS, KERAS = "train.py", "a bare script of Keras"
OUR_SCRIPT = """
import os, sys
from keras_cnn.training import session

def stop(self):
    print("first step", flush=True)
    os._exit(0)

session.TrainingSession.step_done = stop
from keras_cnn.cli.program import run
run("train", sys.argv[1:])
"""
KERAS_SCRIPT = """
import os, sys
import keras
import numpy as np

class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("first step", flush=True)
        os._exit(0)

data, layers = np.load(sys.argv[1]), keras.layers
model = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
for channels, pool in ((48, True), (96, False), (96, True), (192, True)):
    model.add(layers.Conv2D(channels, 3, padding="same"))
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    if pool:
        model.add(layers.MaxPooling2D())
for layer in (layers.Flatten(), layers.Dropout(0.3), layers.Dense(10)):
    model.add(layer)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
model.fit(data["images"], data["labels"], batch_size=64, verbose=0, callbacks=[Stop()])
"""


def process(script: str, *arguments: str):
    """A callable that runs a script to its first step."""

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
            command = [sys.executable, "-P", "-c", script, *arguments]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert "first step" in done.stdout, done.stderr
        return 1

    return work


def images(folder: Path) -> Path:
    """The training images of the default run as arrays in a file."""
    import numpy as np

    from keras_cnn.data import load

    train = load("fashion-mini", seed=1).train
    np.savez(folder / "images.npz", images=train.pixels, labels=train.labels)
    return folder / "images.npz"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            KERAS: process(KERAS_SCRIPT, str(images(Path(folder)))),
            OURS: process(OUR_SCRIPT, str(ROOT / "configs" / "default.yaml"), *WORDS),
        }
        rates = interleave(contestants)
    print("seconds from the command to the end of the first step, TensorFlow's import included")
    seconds = {name: sorted(1 / rate for rate in values) for name, values in rates.items()}
    for name, values in seconds.items():
        print(f"{name:24}{median(values):6.2f} s ({values[0]:.2f} to {values[-1]:.2f})")
    print(f"{OURS} over {KERAS}: {median(seconds[OURS]) / median(seconds[KERAS]):.2f}")


if __name__ == "__main__":
    main()
