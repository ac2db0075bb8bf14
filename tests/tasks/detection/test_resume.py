"""A training on boxes that is killed in mid-epoch and resumed ends like the one that was not: to the bit.

What can befall a checkpoint is tested where the loop is, in tests/training/test_resume.py.
"""

import contextlib
import csv
import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnn import run_folder
from keras_cnn.cli import detect, program
from keras_cnn.tasks.detection import results
from keras_cnn.training import checkpoints
from keras_cnn.training.state import TrainingState

EPOCHS, STEPS = 2, 4
MID_EPOCH = ("keras_cnn.training.state:TrainingState", "add", STEPS + 2)

# Runs detect.py in a process that kills itself after the `count`-th call of a function; without figures, which take
# most of a tiny run's time, and nothing of what is compared.
KILLED = """
import importlib, os, signal, sys
from keras_cnn.cli import detect, program
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
from keras_cnn.tasks.detection import results
results.draw_figures = results.draw_augmentation = lambda *_: None
where, name, count, *arguments = sys.argv[1:]
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
sys.exit(program.run(detect.main, arguments))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory, fork_server, small_cfg, rectangles) -> tuple[Path, str]:
    """A folder with a whole run, and two that were broken off and resumed by this process; and what SIGTERM made the
    program say."""
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
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        dead = pool.submit(fork_server.run, KILLED, *MID_EPOCH, *arguments, folder / "killed")
        for name in ("draw_figures", "draw_augmentation"):
            patch.setattr(results, name, lambda *_: None)
        run(0, [*arguments, folder / "whole"])
        with pytest.MonkeyPatch.context() as ending:
            ending.setattr(TrainingState, "add", terminating(TrainingState.add, STEPS + 2))
            said = run(3, [*arguments, folder / "terminated"])
        assert dead.result().returncode == -9
        for name in ("killed", "terminated"):
            assert not (folder / name / "metrics.json").exists()
            run(0, ["--resume", folder / name])
    return folder, said


def terminating(original, count: int):
    calls = [0]

    def add(*arguments):
        original(*arguments)
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGTERM)

    return add


def run(status: int, arguments: list) -> str:
    """Standard error of `detect.py`, which must end with this status."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert program.run(detect.main, list(map(str, arguments))) == status, said.getvalue()
    return said.getvalue()


@pytest.mark.parametrize("name", ["killed", "terminated"])
def test_a_run_broken_off_and_resumed_ends_like_the_whole_one(ended, name):
    folder, _ = ended
    checkpoint, whole = (checkpoints.load(folder / run / "checkpoint") for run in (name, "whole"))
    found, expected = checkpoint.groups, whole.groups
    assert checkpoint.state["position"]["ended"]
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
    folder, said = ended
    (line,) = said.splitlines()
    assert "stopped by SIGTERM after 1 epochs and 2 steps; the checkpoint is complete" in line
    assert line.endswith(f"; go on with: {run_folder.shell_command('detect', '--resume', folder / 'terminated')}")
