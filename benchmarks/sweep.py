"""What a sweep costs beyond its training steps: a grid of 24 small networks, from the command to its last line.

The total time of `python train.py --sweep` with one worker, against the sum of `epoch_seconds` in the histories of its
runs: the training steps, compiled and traced once per network. All else is overhead: two processes that import
TensorFlow, building and saving the networks, validation after each epoch, checkpoints, the W&B mirror.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_cnn.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
IMAGES, TESTED, EPOCHS, CELLS = 51_000, 1_000, 5, 24  # the CS7015 grid on as many images as CIFAR-10 trains on
TARGET = 1.15
SWEEP = """
method: grid
run_cap: {cells}
metric: {{name: val_accuracy, goal: maximize}}
parameters:
  model.l1_oc: {{values: [6, 12, 18]}}
  model.filter_multiplier: {{values: [1.5, 2]}}
  model.kernel_size: {{values: [3, 5]}}
  model.stride: {{values: [1, 2]}}
keras_cnn: {{base: base.yaml}}
"""
BASE = """
data: {{source: "npz:images.npz", validation: 0.1}}
model: {{name: net1}}
optim: {{optimizer: sgd, learning_rate: 0.01, momentum: 0.9}}
train: {{epochs: {epochs}, batch_size: 128}}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(report(*measure(Path(folder))))


def measure(folder: Path) -> tuple[float, list[list[dict]]]:
    """Seconds of the whole command, and the history of each of its runs."""
    generator = np.random.default_rng(0)
    labels = np.arange(IMAGES + TESTED) % 10
    patterns = np.kron(generator.integers(0, 128, (10, 8, 8, 3)), np.ones((1, 4, 4, 1), int))  # something to learn
    images = (patterns[labels] + generator.integers(0, 128, (len(labels), 32, 32, 3))).astype(np.uint8)
    parts = {"train": slice(TESTED, None), "test": slice(TESTED)}
    arrays = {
        f"{a}_{part}": values[where]
        for part, where in parts.items()
        for a, values in zip("xy", (images, labels), strict=True)
    }
    np.savez(folder / "images.npz", **arrays)
    (folder / "base.yaml").write_text(BASE.format(epochs=EPOCHS))
    (folder / "sweep.yaml").write_text(SWEEP.format(cells=CELLS))
    command = [sys.executable, ROOT / "train.py", "--sweep", "sweep.yaml"]
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=os.environ | {"WANDB_MODE": "offline"}, check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - began
    return seconds, [RunFolder(p.parent).history() for p in sorted(folder.glob("runs/sweep/0*/history.csv"))]


def report(seconds: float, histories: list[list[dict]]) -> str:
    """The ratio of the total time to that of the steps, and the rest per network."""
    steps = sum(row["epoch_seconds"] for history in histories for row in history)
    validated = sum(history[-1]["run_seconds"] for history in histories) - steps
    rest = (seconds - steps - validated) / len(histories)
    return (
        f"a sweep of {len(histories)} small networks, {seconds:.0f} s, over their training steps, {steps:.0f} s:"
        f" {seconds / steps:.3f}   target at most {TARGET}\n"
        f"beyond the steps, a network: validation {validated / len(histories):.2f} s, all else {rest:.2f} s"
    )
