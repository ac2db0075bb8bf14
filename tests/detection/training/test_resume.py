"""A training on boxes that is killed at any moment and resumed ends like the one that was not: to the bit."""

import csv
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnn import runs
from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[3]
EPOCHS, STEPS = 2, 4
MID_EPOCH = ("keras_cnn.training.fit:Position", "add", STEPS + 2)
DEATHS = {
    "mid-epoch": (signal.SIGKILL, MID_EPOCH),
    "during a checkpoint": (signal.SIGKILL, ("numpy", "savez", 3)),  # written, not yet renamed
    "terminated": (signal.SIGTERM, MID_EPOCH),
}

# Runs detect.py in a process that sends itself a signal after the `count`-th call of a function; without figures, which
# take most of a tiny run's time, and nothing of what is compared.
SIGNALLED = """
import importlib, os, sys
from keras_cnn import command_line
from keras_cnn.faces import detect
command_line.import_tensorflow()
from keras_cnn.detection.training import results
results._draw = results.draw_augmentation = lambda *_: None
number, where, name, count, *arguments = sys.argv[1:]
module_name, _, class_name = where.partition(":")
owner = importlib.import_module(module_name)
owner = getattr(owner, class_name) if class_name else owner
original, calls = getattr(owner, name), [0]
def dying(*arguments, **settings):
    calls[0] += 1
    result = original(*arguments, **settings)
    if calls[0] == int(count):
        os.kill(os.getpid(), int(number))
    return result
setattr(owner, name, dying)
sys.exit(command_line.run(detect.main, arguments))
"""
NEVER = (signal.SIGKILL, ("numpy", "savez", 10**6))


def started(arguments: list, death: tuple = NEVER) -> subprocess.CompletedProcess:
    number, moment = death
    command = [sys.executable, "-c", SIGNALLED, str(int(number)), *map(str, (*moment, *arguments))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ended(tmp_path_factory, small_cfg, rectangles) -> tuple[Path, dict[str, subprocess.CompletedProcess]]:
    """A whole run, and runs that died each in its own way and were resumed; and how they died."""
    folder = tmp_path_factory.mktemp("runs")
    source = rectangles(tmp_path_factory.mktemp("set"), {"train": 14, "val": 4, "test": 4})
    options = {
        "--data.source": f"coco:{source}",
        "--data.image_size": 64,
        "--model.cfg": small_cfg,
        "--optim.optimizer": "adamw",
        "--optim.schedule": "plateau",
        "--optim.plateau_patience": 1,
        "--train.ema": 0.9,
        "--train.epochs": EPOCHS,
        "--train.batch_size": 4,
        "--tracking.wandb": "off",
    }
    arguments = ["--train", *(word for pair in options.items() for word in pair), "--run-dir"]
    with ThreadPoolExecutor(2) as pool:  # two processes at a time
        whole = pool.submit(started, [*arguments, folder / "whole"])
        dead = {name: pool.submit(started, [*arguments, folder / name], death) for name, death in DEATHS.items()}
    assert whole.result().returncode == 0, whole.result().stderr
    with ThreadPoolExecutor(2) as pool:
        resumed = {name: pool.submit(started, ["--resume", folder / name]) for name in DEATHS}
    for name, one in resumed.items():
        assert one.result().returncode == 0, name + one.result().stderr
    return folder, {name: one.result() for name, one in dead.items()}


@pytest.mark.parametrize("name", DEATHS)
def test_a_run_broken_off_and_resumed_ends_like_the_whole_one(ended, name):
    folder, dead = ended
    assert dead[name].returncode == (-9 if DEATHS[name][0] == signal.SIGKILL else 3), dead[name].stderr
    (found, state), (expected, _) = (checkpoints.load(folder / run / "checkpoint") for run in (name, "whole"))
    assert state["position"]["ended"]
    assert found.keys() == expected.keys() == {"model", "optimizer", "average"}
    for group in expected:
        for one, other in zip(found[group], expected[group], strict=True):
            np.testing.assert_array_equal(one, other)
    rows = [[row[:9] for row in csv.reader((folder / run / "history.csv").read_text().splitlines())]
            for run in (name, "whole")]  # fmt: skip
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1 + EPOCHS
    for file in ("predictions.csv", "split.json", "model.cfg"):
        assert (folder / name / file).read_bytes() == (folder / "whole" / file).read_bytes()


def test_a_signal_says_how_to_go_on(ended):
    folder, dead = ended
    (line,) = dead["terminated"].stderr.splitlines()
    assert "stopped by SIGTERM after 1 epochs and 2 steps; the checkpoint is complete" in line
    assert line.endswith(f"; go on with: {runs.resume_command(folder / 'terminated', 'detect.py')}")
