"""A run that is killed at any moment and resumed ends like the run that was not: to the bit, on one CPU."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, STEPS = 3, 5
TABLE = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }, {dropout: 0.3}, {dense: 16}, {relu: }]"
OPTIONS = {  # everything that has a state: momentum, dropout's seeds, batch norm, average, plateau, mixing
    "--data.train": "300",
    "--data.augment.name": "fashion",
    "--data.augment.mixup": "0.2",
    "--model.name": "layers",
    "--model.table": TABLE,
    "--optim.optimizer": "adamw",
    "--optim.weight_decay": "0.01",
    "--optim.schedule": "plateau",
    "--optim.plateau_patience": "1",
    "--optim.warmup_epochs": "0.5",
    "--train.epochs": str(EPOCHS),
    "--train.batch_size": "64",
    "--train.ema": "0.9",
    "--tracking.wandb": "off",
}
ARGUMENTS = [word for pair in OPTIONS.items() for word in pair]

# Runs train.py in a process that kills itself for good after the `count`-th call of a function.
SUICIDE = """
import importlib, os, signal, sys
from keras_cnn import command_line
where, name, count, *arguments = sys.argv[1:]
command_line.import_tensorflow()
module_name, _, class_name = where.partition(":")
owner = importlib.import_module(module_name)
owner = getattr(owner, class_name) if class_name else owner
original, calls = getattr(owner, name), [0]
def dying(*arguments, **settings):
    calls[0] += 1
    result = original(*arguments, **settings)
    if calls[0] == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, name, dying)
sys.exit(command_line.run(command_line.train, arguments))
"""


def train(*arguments: str | Path, code: list[str] | None = None, expected: int = 0) -> str:
    command = [sys.executable, *(code or ["train.py"]), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(*ARGUMENTS, "--run-dir", folder)
    return folder


def variables(folder: Path) -> dict[str, list[np.ndarray]]:
    groups, state = checkpoints.load(folder / "checkpoint")
    assert state["position"]["ended"]
    return groups


def history(folder: Path) -> list[list[str]]:
    """The rows without the columns of seconds."""
    return [row[:6] for row in csv.reader((folder / "history.csv").read_text().splitlines())]


def assert_same_end(folder: Path, whole: Path) -> None:
    found, expected = variables(folder), variables(whole)
    assert found.keys() == expected.keys() == {"model", "optimizer", "average"}
    for group in expected:
        for one, other in zip(found[group], expected[group], strict=True):
            np.testing.assert_array_equal(one, other)
    assert history(folder) == history(whole)
    assert (folder / "train.log").read_text().splitlines()[-1] == (whole / "train.log").read_text().splitlines()[-1]
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    assert (folder / "split.json").read_bytes() == (whole / "split.json").read_bytes()


def test_two_runs_with_one_seed_give_the_same_bytes(whole, tmp_path):
    train(*ARGUMENTS, "--run-dir", tmp_path / "again")
    assert_same_end(tmp_path / "again", whole)


@pytest.mark.parametrize(
    ("where", "name", "count"),
    [
        pytest.param("keras_cnn.training.fit:Position", "add", STEPS + 2, id="mid-epoch"),
        pytest.param("numpy", "savez", 3, id="during a checkpoint"),  # written, not yet renamed
        pytest.param("keras_cnn.training.checkpoints", "save", 3, id="between epochs"),
    ],
)
def test_a_killed_run_ends_like_the_whole_one(whole, tmp_path, where, name, count):
    folder = tmp_path / "run"
    train(where, name, count, *ARGUMENTS, "--run-dir", folder, code=["-c", SUICIDE], expected=-signal.SIGKILL)
    assert not (folder / "metrics.json").exists()
    train("--resume", folder)
    assert_same_end(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_checkpoint_in_mid_epoch_and_says_how_to_go_on(whole, tmp_path, number):
    folder = tmp_path / "run"
    code = SUICIDE.replace("signal.SIGKILL", f"signal.{number.name}")
    where = ("keras_cnn.training.fit:Position", "add", STEPS + 2)
    output = train(*where, *ARGUMENTS, "--run-dir", folder, code=["-c", code], expected=3)
    assert f"stopped by {number.name} after 1 epochs and 2 steps" in output
    assert f"python train.py --resume {folder}" in output
    assert checkpoints.load(folder / "checkpoint")[1]["position"]["step"] == 2
    train("--resume", folder)
    assert_same_end(folder, whole)


def test_resume_refuses_another_config_and_a_complete_run(whole, tmp_path):
    output = train("--resume", whole, expected=2)
    assert "this run is complete" in output
    folder = tmp_path / "run"
    where = ("keras_cnn.training.checkpoints", "save", 1)
    train(*where, *ARGUMENTS, "--run-dir", folder, code=["-c", SUICIDE], expected=-signal.SIGKILL)
    output = train("--resume", folder, "--optim.momentum", "0.5", "--seed", "2", expected=2)
    assert "seed: 1 -> 2; optim.momentum: 0.0 -> 0.5" in output
    assert len(output.strip().splitlines()) == 1


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_finite_state(tmp_path):
    folder = tmp_path / "run"
    options = OPTIONS | {"--optim.optimizer": "sgd", "--optim.learning_rate": "1e30", "--optim.warmup_epochs": "0"}
    output = train(*(word for pair in options.items() for word in pair), "--run-dir", folder, expected=3)
    assert "the loss became" in output
    assert "at epoch 1, step" in output
    groups, state = checkpoints.load(folder / "checkpoint")
    assert state["position"]["epoch"] == 0
    assert all(np.isfinite(array).all() for arrays in groups.values() for array in arrays)
