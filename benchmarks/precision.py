"""Does bfloat16 cost accuracy? A small net3 trained in both number formats, seed by seed, and the paired difference.

python -m benchmarks.precision --source folder:PATH/TO/cifar10 [--seeds 6] [--out runs/precision]

A seed fixes split, initial weights, order and augmentation, the same in both formats. A finished run is not repeated
and an interrupted one is resumed, so the study can be stopped at any time.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from keras_cnn.evaluation.intervals import mean_interval, sign_flip

ROOT = Path(__file__).resolve().parents[1]
FORMATS = ("float32", "mixed_bfloat16")
CONFIG = ROOT / "configs" / "published" / "cs7015_net3.yaml"
SMALLER = ["--model.l1_oc=16", "--data.train=20000", "--train.epochs=6", "--tracking.wandb=off"]


def accuracy(source: str, seed: int, number_format: str, out: Path, changes: list[str]) -> float:
    """The test accuracy of one run of train.py."""
    run = (out / f"{number_format}-{seed}").resolve()
    if not (run / "metrics.json").exists():
        how = [f"--data.source={source}", f"--seed={seed}", f"--precision={number_format}", *SMALLER, *changes]
        begun = (run / "checkpoint").exists()
        words = ["--resume", run] if begun else [CONFIG, "--run-dir", run, *how]
        subprocess.run([sys.executable, ROOT / "train.py", *words], check=True)
    return json.loads((run / "metrics.json").read_text())["accuracy"]


def report(accuracies: dict[int, tuple[float, float]]) -> str:
    """The accuracies by seed, (float32, bfloat16), and tests of their differences."""
    differences = np.array([after - before for before, after in accuracies.values()])
    lines = [f"seed {seed:>3}  float32 {before:.4f}  bfloat16 {after:.4f}  {100 * (after - before):+.2f} points"
             for seed, (before, after) in accuracies.items()]  # fmt: skip
    before, after = np.mean(list(accuracies.values()), axis=0)
    low, high = mean_interval(differences)
    lines.append(
        f"mean      float32 {before:.4f}  bfloat16 {after:.4f}  {100 * differences.mean():+.2f} points"
        f" [{100 * low:+.2f}, {100 * high:+.2f}] (Student t, paired, 95 %); sign-flip p = {sign_flip(differences):.3f}"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="data.source of train.py, such as folder:PATH")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    chosen, changes = parser.parse_known_args(arguments)  # the rest, such as --train.epochs 2, changes the recipe
    if chosen.seeds < 2:
        parser.error(f"--seeds {chosen.seeds}: expected at least 2, for an interval")
    accuracies = {}
    for seed in range(1, chosen.seeds + 1):
        accuracies[seed] = tuple(accuracy(chosen.source, seed, f, chosen.out, changes) for f in FORMATS)
    print(report(accuracies))


if __name__ == "__main__":
    main()
