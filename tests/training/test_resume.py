"""A run that is killed at any moment and resumed ends like the run that was not: to the bit, on one CPU."""

import csv
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keras_cnn import run_folder
from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, STEPS = 3, 5
TABLE = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }, {dropout: 0.3}, {dense: 16}, {relu: }]"
OPTIONS = {  # everything that has a state: momentum, dropout's seeds, batch norm, average, plateau, mixing
    "--data.validation": "20",
    "--data.test": "20",
    "--data.augment.name": "none",
    "--data.augment.mixup": "0.2",
    "--model.name": "layers",
    "--model.table": TABLE,
    "--optim.optimizer": "adamw",
    "--optim.weight_decay": "0.01",
    "--optim.schedule": "plateau",
    "--optim.plateau_patience": "1",
    "--optim.warmup_epochs": "0.5",
    "--train.epochs": str(EPOCHS),
    "--train.batch_size": "16",
    "--train.ema": "0.9",
    "--tracking.wandb": "off",
}
MID_EPOCH = ("keras_cnn.training.state:TrainingState", "add", STEPS + 2)
STOPPING = ("SIGTERM", "SIGINT")
DEATHS = {
    "mid-epoch": MID_EPOCH,
    "during a checkpoint": ("numpy", "savez", 3),  # written, not yet renamed
    "between epochs": ("keras_cnn.training.checkpoints", "save", 3),
}

# Figures take half of a tiny run's time, and nothing of what is compared.
NO_FIGURES = """
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
from keras_cnn.tasks.classification import results
results.draw_figures = results.draw_augmentation = lambda *_: None
"""

# A run in a folder that has the name of a signal gets this signal in its second epoch.
STOPPED = f"""
import os, signal
from keras_cnn.training.session import TrainingSession
step_done = TrainingSession.step_done
def stopping(self):
    step_done(self)
    name = self._folder.path.name
    if name in {STOPPING} and (self.state.epoch, self.state.step) == (1, 2):
        os.kill(os.getpid(), getattr(signal, name))
TrainingSession.step_done = stopping
"""

# Runs train.py in a process that kills itself after the `count`-th call of a function.
KILLED = f"""
import importlib, os, signal, sys
from keras_cnn.cli import program, train
{NO_FIGURES}
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
sys.exit(program.run(train.main, arguments))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """NPZ of noise of two classes, one of them brighter."""
    generator, labels = np.random.default_rng(0), np.arange(STEPS * 16 + 40) % 2
    pixels = generator.integers(0, 156, (len(labels), 28, 28, 1)) + 100 * labels[:, None, None, None]
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    np.savez(path, x=pixels.astype(np.uint8), y=labels)
    return path


def arguments(pictures: Path, folder: Path, **changes: str) -> list[str]:
    options = OPTIONS | {f"--{name.replace('__', '.')}": value for name, value in changes.items()}
    options |= {"--data.source": f"npz:{pictures}", "--run-dir": str(folder)}
    return ["configs/default.yaml", *(word for pair in options.items() for word in pair)]


def killed(fork_server, moment: tuple, words: list[str], folder: Path) -> None:
    done = fork_server.run(KILLED, *map(str, moment), *words)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "metrics.json").exists()


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A folder on a file system of its own, with room for one checkpoint and not for two; None where root is needed."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=480k", "tmpfs", folder]
    mounted = sys.platform == "linux" and subprocess.run(command, capture_output=True).returncode == 0
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, fork_server, train_several, pictures, small_disk) -> tuple[Path, dict[str, dict]]:
    """A folder with a whole run and with runs that ended early, each in its own way; and what was said."""
    folder, kills = tmp_path_factory.mktemp("runs"), []
    rate = {"optim__optimizer": "sgd", "optim__learning_rate": "1e30", "optim__warmup_epochs": "0"}
    command = partial(arguments, pictures)
    lines = {"whole": command(folder / "whole"), "not finite": command(folder / "not finite", **rate)}
    lines |= {name: command(folder / name) for name in STOPPING}
    if small_disk:
        lines["full disk"] = command(small_disk / "run")
    with ThreadPoolExecutor(2) as pool:  # two processes at a time
        answers = pool.submit(train_several, ROOT, lines, NO_FIGURES + STOPPED)
        for name, moment in DEATHS.items():
            kills.append(pool.submit(killed, fork_server, moment, command(folder / name), folder / name))
    answers = answers.result()
    for kill in kills:
        kill.result()
    for name in STOPPING:
        assert answers[name]["status"] == 3, answers[name]["err"]
        assert not (folder / name / "metrics.json").exists()
    places = {name: folder / name for name in STOPPING} | ({"full disk": small_disk / "run"} if small_disk else {})
    for name, run in places.items():
        answers[name]["position"] = checkpoints.load(run / "checkpoint").state["position"]
    return folder, answers


@pytest.fixture(scope="module")
def ended(begun, train_several, pictures, small_disk) -> tuple[Path, dict[str, dict]]:
    """The same after another process has resumed them and repeated the whole run; and what it said."""
    folder, _ = begun
    lines = {
        "complete": ["--resume", folder / "whole"],
        "other config": ["--resume", folder / "not finite", "--optim.momentum", "0.5", "--seed", "2"],
        "again": arguments(pictures, folder / "again"),
        **{name: ["--resume", folder / name] for name in [*DEATHS, *STOPPING]},
    }
    elsewhere = folder / "SIGINT" / "environment.json"
    run_folder.write_text(elsewhere, re.sub('"numpy": "[^"]*"', '"numpy": "1.0"', elsewhere.read_text()))
    if small_disk:
        subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
        lines["full disk"] = ["--resume", small_disk / "run"]
    return folder, train_several(ROOT, lines, NO_FIGURES)


def history(folder: Path) -> list[list[str]]:
    """The rows without the columns of seconds."""
    return [row[:6] for row in csv.reader((folder / "history.csv").read_text().splitlines())]


def assert_same_end(folder: Path, whole: Path) -> None:
    checkpoint, other = (checkpoints.load(f / "checkpoint") for f in (folder, whole))
    found, expected = checkpoint.groups, other.groups
    assert checkpoint.state["position"]["ended"]
    assert found.keys() == expected.keys() == {"model", "optimizer", "average"}
    for group in expected:
        for one, other in zip(found[group], expected[group], strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(history(whole)) == 1 + EPOCHS
    assert history(folder) == history(whole)
    for name in ("train.log", "predictions.csv", "split.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("name", ["again", *DEATHS, *STOPPING])
def test_a_run_repeated_or_broken_off_and_resumed_ends_like_the_whole_one(ended, name):
    folder, answers = ended
    assert answers[name]["status"] == 0, answers[name]["err"]
    assert_same_end(folder / name, folder / "whole")


@pytest.mark.parametrize("name", STOPPING)
def test_a_signal_finishes_the_checkpoint_in_mid_epoch_and_says_how_to_go_on(begun, name):
    folder, answers = begun
    (line,) = answers[name]["err"].splitlines()
    assert f"stopped by {name} after 1 epochs and 2 steps; the checkpoint is complete" in line
    assert line.endswith(f"; go on with: {run_folder.shell_command('train', '--resume', folder / name)}")
    assert answers[name]["position"]["step"] == 2


def test_a_resume_is_recorded_and_other_versions_are_said(ended):
    folder, answers = ended
    for name in [*DEATHS, *STOPPING]:
        found = run_folder.RunFolder(folder / name).environment
        (resume,) = found["resumes"]
        assert len(resume["changes"]) == (name == "SIGINT")
        said = [line for line in answers[name]["out"].splitlines() if line.startswith("warning")]
        assert len(said) == (name == "SIGINT")
    assert f"changed since the run began: numpy 1.0 -> {np.__version__}" in said[0]


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(begun, ended, small_disk):
    if not small_disk:
        pytest.skip("mounting a small disk takes root on Linux")
    stop, run = begun[1]["full disk"], small_disk / "run"
    line = f"{run}/checkpoint/state.npz: the disk is full; what was there before is unchanged"
    go_on = run_folder.shell_command("train", "--resume", run)
    assert (stop["status"], stop["err"]) == (3, f"{line}; go on with: {go_on}\n")
    assert (stop["position"]["epoch"], stop["position"]["step"]) == (0, 0)
    assert ended[1]["full disk"]["status"] == 0, ended[1]["full disk"]["err"]
    assert_same_end(run, ended[0] / "whole")


def test_resume_refuses_a_complete_run_and_another_config(ended):
    for name, words in (
        ("complete", "this run is complete"),
        ("other config", "seed: 1 -> 2; optim.momentum: 0.0 -> 0.5"),
    ):
        assert ended[1][name]["status"] == 2
        (line,) = ended[1][name]["err"].splitlines()
        assert words in line


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_finite_state(begun):
    folder, answers = begun
    assert answers["not finite"]["status"] == 3
    assert "the loss became" in answers["not finite"]["err"]
    assert "at epoch 1, step" in answers["not finite"]["err"]
    checkpoint = checkpoints.load(folder / "not finite" / "checkpoint")
    assert checkpoint.state["position"]["epoch"] == 0
    assert all(np.isfinite(array).all() for arrays in checkpoint.groups.values() for array in arrays)
