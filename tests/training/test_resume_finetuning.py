"""A fine-tuning in phases that is killed and resumed ends like the one that was not: to the bit, on one CPU."""

import csv
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, STEPS = 4, 5
TABLE = (
    "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {conv: 4, kernel: 3}, {bn: }, {flatten: }, {dropout: 0.3},"
    " {dense: 16}, {relu: }]"
)
OPTIONS = {  # everything that has a state: moments, dropout's seeds, batch norm, average; and rates by depth, and views
    "--data.train": "80",
    "--data.validation": "100",
    "--data.augment.name": "none",
    "--data.augment.brightness": "0.3",
    "--model.name": "layers",
    "--model.table": TABLE,
    "--optim.optimizer": "adamw",
    "--optim.weight_decay": "0.01",
    "--train.epochs": str(EPOCHS),
    "--train.batch_size": "16",
    "--train.ema": "0.9",
    "--finetune.strategy": "staged",
    "--finetune.head_epochs": "2",
    "--finetune.freeze_upto": "bn1",
    "--finetune.stage_decay": "0.5",
    "--finetune.augment_views": "2",
    "--tracking.wandb": "off",
}
EARLY = {"--finetune.head_epochs": "3", "--train.early_stopping": "1"}
SESSION = "keras_cnn.training.session:TrainingSession"
ADD = ("keras_cnn.training.state:TrainingState", "add")

# Without figures; and the head's epochs are the best ones, so that the best weights are of the phase before the last.
PREPARED = """
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
from keras_cnn.tasks.classification import results, phase_runner
results.draw_figures = results.draw_augmentation = lambda *_: None
def validate(self):
    return dict(val_loss=1.0, val_accuracy=0.9 if self._phase.upto == "all" else 0.5)
phase_runner.PhaseRunner.validate = validate
"""

# The run in the folder of this name gets SIGTERM in its second phase.
TERMINATED = """
import os, signal
from keras_cnn.training.session import TrainingSession
step_done = TrainingSession.step_done
def terminating(self):
    step_done(self)
    if self._folder.path.name == "in the second phase" and (self.state.epoch, self.state.step) == (3, 2):
        os.kill(os.getpid(), signal.SIGTERM)
TrainingSession.step_done = terminating
"""

# Runs train.py in a process that kills itself after the `count`-th call of a function.
KILLED = f"""
import importlib, os, signal, sys
from keras_cnn.cli import program, train
{PREPARED}
where, name, count, *arguments = sys.argv[1:]
module_name, _, class_name = where.partition(":")
owner = getattr(importlib.import_module(module_name), class_name)
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

ENDS = {  # name: after which call it is killed, if it is, other options, and the run that it must end like
    "in the first phase": ((*ADD, STEPS + 2), {}, "whole"),
    "between the phases": ((SESSION, "leave_phase", 1), {}, "whole"),
    "in the second phase": (None, {}, "whole"),
    "after its last epoch": (
        *(("keras_cnn.tasks.classification.phase_runner:PhaseRunner", "verify_frozen", 1), EARLY),
        "stopped early",
    ),
}


def arguments(folder: Path, changes: dict[str, str]) -> list[str]:
    pairs = (OPTIONS | changes).items()
    return ["configs/default.yaml", *(word for pair in pairs for word in pair), "--run-dir", str(folder)]


def killed(fork_server, moment: tuple, changes: dict[str, str], folder: Path) -> None:
    done = fork_server.run(KILLED, *map(str, moment), *arguments(folder, changes))
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory, fork_server, train_several) -> tuple[Path, dict[str, dict]]:
    """A folder with two whole runs and those that were broken off and resumed, and what these said."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {"whole": {}, "stopped early": EARLY, "in the second phase": {}}
    lines = {name: arguments(folder / name, of_run) for name, of_run in changes.items()}
    with ThreadPoolExecutor(2) as pool:  # two processes at a time
        answers = pool.submit(train_several, ROOT, lines, PREPARED + TERMINATED)
        kills = [
            pool.submit(killed, fork_server, moment, changes, folder / name)
            for name, (moment, changes, _) in ENDS.items()
            if moment
        ]
    for kill in kills:
        kill.result()
    answers = answers.result()
    assert [answer["status"] for answer in answers.values()] == [0, 0, 3], answers
    assert not any((folder / name / "metrics.json").exists() for name in ENDS)
    shutil.copytree(folder / "in the first phase", folder / "tampered with")
    told = folder / "tampered with" / "freeze.json"
    content = told.read_text()
    told.write_text(content.replace(content.rpartition('": "')[2].split('"')[0], "0" * 64))
    names = [*ENDS, "tampered with"]
    resumed = train_several(ROOT, {name: ["--resume", folder / name] for name in names}, PREPARED)
    return folder, answers | resumed


def history(folder: Path) -> list[list[str]]:
    """The rows without the columns of seconds."""
    return [row[:6] for row in csv.reader((folder / "history.csv").read_text().splitlines())]


@pytest.mark.parametrize("name", ENDS)
def test_a_fine_tuning_broken_off_and_resumed_ends_like_the_whole_one(runs, name):
    folder, answers = runs
    *_, whole = ENDS[name]
    assert answers[name]["status"] == 0, answers[name]["err"]
    assert "warning" not in answers[name]["out"]
    assert "verified  weights and statistics of " in answers[name]["out"]
    one, other = folder / name, folder / whole
    assert history(one) == history(other)
    checkpoint, theirs = (checkpoints.load(run / "checkpoint") for run in (one, other))
    found, expected = checkpoint.groups, theirs.groups
    assert checkpoint.state["position"]["ended"]
    assert checkpoint.state["phase"] == theirs.state["phase"]
    assert found.keys() == expected.keys() == {"model", "optimizer", "average"}
    for group in expected:
        for ours, whole_ones in zip(found[group], expected[group], strict=True):
            np.testing.assert_array_equal(ours, whole_ones)
    assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()
    assert (one / "freeze.json").read_bytes() == (other / "freeze.json").read_bytes()
    ours, whole_ones = (keras.models.load_model(run / "model.keras").get_weights() for run in (one, other))
    for weight, expected_weight in zip(ours, whole_ones, strict=True):
        np.testing.assert_array_equal(weight, expected_weight)
    assert not (one / "best.npz").exists()


def test_the_whole_runs_are_what_the_others_are_measured_by(runs):
    folder, answers = runs
    assert len(history(folder / "whole")) == 1 + EPOCHS
    assert len(history(folder / "stopped early")) == 1 + 2
    assert answers["whole"]["out"].count("features  the frozen part ends at") == 2
    states = {name: checkpoints.load(folder / name / "checkpoint").state for name in ("whole", "stopped early")}
    assert {name: state["phase"] for name, state in states.items()} == {"whole": 1, "stopped early": 0}
    assert states["whole"]["callbacks"]["Best"]["epoch"] == 1  # of the phase before the last
    assert states["whole"]["features"] == "memory"


def test_other_frozen_weights_are_refused(runs):
    folder, answers = runs
    assert answers["tampered with"]["status"] == 2
    (line,) = answers["tampered with"]["err"].splitlines()
    words = "the frozen weights are not those that the run began with; expected the same as then"
    assert line == f"error: {folder / 'tampered with' / 'freeze.json'}: {words}"
