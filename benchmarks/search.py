"""Does the Bayesian search find better networks than random search? Both at equal budget, seed by seed, really trained.

python -m benchmarks.search [--seeds 6] [--trials 20] [--out runs/search]

A small network on 1,000 images of the embedded Fashion-MNIST, four epochs per trial, in a space where search matters.
A sweep's outcome is the best validation accuracy among its trials. Both methods choose and judge by validation, so the
best of 20 flatters both alike. A seed fixes split, initial weights and data order, the same in both methods. It also
fixes the random draws, and the first ten trials of the Bayesian search are those of the random one: the pair differs
from the 11th trial on, and its first ten values are checked to be equal. An interrupted sweep is resumed.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_cnn.evaluation.intervals import mean_interval, sign_flip
from keras_cnn.messages import show_messages
from keras_cnn.sweeps import plan, worker
from keras_cnn.sweeps.sampler import RANDOM_FIRST
from keras_cnn.sweeps.study import Study

METHODS = ("random", "bayes")
SWEEP = """
name: {method}-{seed}
method: {method}
metric: {{name: val_accuracy, goal: maximize}}
parameters:
  optim.learning_rate: {{distribution: log_uniform_values, min: 1e-5, max: 0.1}}
  optim.weight_decay: {{distribution: log_uniform_values, min: 1e-4, max: 1}}
  model.filters: {{values: [2, 4, 8, 16]}}
  model.dropout: {{distribution: uniform, min: 0, max: 0.8}}
keras_cnn: {{base: base.yaml}}
"""
BASE = """
data: {source: fashion-mini, train: 1000}
model: {name: five_block}
optim: {optimizer: adamw}
train: {epochs: 4, batch_size: 50}
tracking: {wandb: off}
"""


def search(method: str, seed: int, trials: int, out: Path) -> list[float]:
    """The values of the trials of one sweep, in order; nan where a trial failed."""
    folder = out / f"{method}-{seed}"
    if (folder / "sweep.json").is_file():
        study = Study(folder)
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "base.yaml").write_text(BASE)
        file = out / f"{method}-{seed}.yaml"
        file.write_text(SWEEP.format(method=method, seed=seed))
        study = plan.create(file, ["--seed", str(seed)], parent=out, run_cap=trials)
    worker.work(study)
    return [np.nan if trial.value is None else trial.value for trial in study.trials()]


def report(values: Mapping[int, tuple[list[float], list[float]]]) -> str:
    """The best of both methods by seed, and tests of the differences; `values`: seed -> trial values (random, bayes).

    Raises ValueError if the trials that a pair has in common have different values.
    """
    lines, differences = [], []
    for seed, (random, bayes) in values.items():
        if not np.array_equal(random[:RANDOM_FIRST], bayes[:RANDOM_FIRST], equal_nan=True):
            raise ValueError(f"seed {seed}: the first {RANDOM_FIRST} trials differ: {random} and {bayes}")
        best = np.nanmax(random), np.nanmax(bayes)
        later = np.nanmean(random[RANDOM_FIRST:]), np.nanmean(bayes[RANDOM_FIRST:])
        differences.append(best[1] - best[0])
        lines.append(
            f"seed {seed:>3}  first {RANDOM_FIRST}: {np.nanmax(random[:RANDOM_FIRST]):.4f}"
            f"  random {best[0]:.4f}  bayes {best[1]:.4f}  {100 * differences[-1]:+.2f} points"
            f"   mean of the later trials: random {later[0]:.4f}, bayes {later[1]:.4f}"
        )
    low, high = mean_interval(differences)
    return "\n".join(
        [
            *lines,
            f"mean difference {100 * np.mean(differences):+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]"
            f" (Student t, paired, 95 %); sign-flip p = {sign_flip(differences):.3f}",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=6, help="sweep seeds, from 1 on")
    parser.add_argument("--trials", type=int, default=20, help="of each sweep")
    parser.add_argument("--out", type=Path, default=Path("runs/search"), help="where the sweeps are kept")
    chosen = parser.parse_args(arguments)
    show_messages()
    if chosen.seeds < 2:
        parser.error(f"--seeds {chosen.seeds}: expected at least 2, for an interval")
    if chosen.trials <= RANDOM_FIRST:
        parser.error(f"--trials {chosen.trials}: expected more than {RANDOM_FIRST}; those are the same in both")
    seeds = range(1, chosen.seeds + 1)
    print(report({seed: tuple(search(m, seed, chosen.trials, chosen.out) for m in METHODS) for seed in seeds}))


if __name__ == "__main__":
    main()
