"""A sweep from its file to its best trial, as `python train.py --sweep` runs it."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.sweeps import local
from keras_cnn.sweeps.study import Study
from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]
BASE = """
seed: 3
data: {source: fashion-mini, train: 200, augment: {name: fashion}}
model: {name: layers, table: [{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 4}, {flatten: }, {dropout: 0.3}]}
optim: {optimizer: adam}
train: {epochs: 2, batch_size: 50}
tracking: {wandb: off}
"""
IMPOSSIBLE = "[{conv: 4, kernel: 3}, {pool: 20}, {pool: 20}, {flatten: }]"
SWEEP = f"""
method: grid
metric: {{name: val_accuracy, goal: maximize}}
early_terminate: {{type: hyperband, min_iter: 1, eta: 3}}
parameters:
  optim.learning_rate: {{values: [0.00001, 0.003, 0.0001, 1.0e+38]}}
  model.table: {{values: ["[{{flatten: }}]", "{IMPOSSIBLE}"]}}
keras_cnn: {{base: base.yaml}}
"""


def given(folder: Path, text: str, base: str = BASE) -> Path:
    (folder / "base.yaml").write_text(base)
    (folder / "s.yaml").write_text(text)
    return folder / "s.yaml"


# --- what is refused before anything is written ---


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("method: grid", "method: gird", "method: found 'gird'"),
        ("name: val_accuracy", "name: val_acc", r"metric\.name: 'val_acc'"),
        ("base: base.yaml", "base: bose.yaml", r"keras_cnn\.base: no file"),
        ("model.table", "model.tabel", "tabel: unknown field of model layers; did you mean table"),
    ],
)
def test_a_wrong_file_leaves_no_folder(tmp_path, old, new, said):
    path = given(tmp_path, SWEEP.replace(old, new))
    with pytest.raises(InputError, match=said):
        local.create(path, [], str, tmp_path / "runs")
    assert not list(tmp_path.glob("runs/*"))


def test_a_sweep_in_which_only_the_first_cell_is_impossible_is_run(tmp_path):
    path = given(tmp_path, SWEEP.replace("[0.00001,", "[-1,"))
    study = local.create(path, ["--train.batch_size", "20"], str, tmp_path / "runs")
    assert study.claim().trial.assignment["optim.learning_rate"] == -1
    assert "batch_size: 20" in (study.folder / "base.yaml").read_text()


def test_the_name_of_a_sweep_may_be_any_text(tmp_path):
    path = given(tmp_path, "name: 'Rate / batch: no. 1'\n" + SWEEP)
    folders = [local.create(path, [], str, tmp_path / "runs").folder.name for _ in range(2)]
    assert folders == ["Rate-batch-no.-1", "Rate-batch-no.-1-2"]


# --- workers ---


@pytest.mark.parametrize(
    ("cores", "workers", "shares"),
    [
        ({0, 1, 2, 3}, 2, [{0, 1}, {2, 3}]),
        ({1, 4, 5}, 2, [{1}, {4, 5}]),
        ({0, 7}, 3, [{0}, {7}, {0}]),
        ({0, 1}, 1, [{0, 1}]),
    ],
)
def test_cores_are_shared_out(monkeypatch, cores, workers, shares):
    monkeypatch.setattr(local.os, "sched_getaffinity", lambda process: cores)
    assert local._shared_out(workers) == shares


@pytest.mark.parametrize(
    ("gpus", "visible", "workers", "expected"),
    [
        (0, None, 2, [None, None]),
        (1, None, 1, [None]),
        (1, None, 2, ["0", "0"]),
        (2, "5,3", 3, ["5", "3", "5"]),
    ],
)
def test_gpus_are_shared_out(monkeypatch, gpus, visible, workers, expected):
    monkeypatch.setattr(local.tf.config, "list_physical_devices", lambda kind: ["GPU"] * gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [local._devices(number, workers) for number in range(1, workers + 1)]
    assert [f.get("CUDA_VISIBLE_DEVICES") for f in found] == expected
    assert [f.get("TF_FORCE_GPU_ALLOW_GROWTH") for f in found] == [gpu and "true" for gpu in expected]


# --- a whole sweep, for real ---


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> list[tuple[Path, subprocess.CompletedProcess]]:
    """The same sweep run two times, each in a folder of its own, with one worker."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]

    def run(folder: Path) -> subprocess.CompletedProcess:
        given(folder, SWEEP)
        command = [sys.executable, str(ROOT / "train.py"), "--sweep", "s.yaml"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        return list(zip(folders, pool.map(run, folders), strict=True))


def weights(run: Path) -> list[np.ndarray]:
    groups, _ = checkpoints.load(run / "checkpoint")
    return [array for name in sorted(groups) for array in groups[name]]


def assert_equal_weights(run: Path, other: Path) -> None:
    for one, two in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_impossible_and_diverging_trials_are_recorded_and_the_sweep_goes_on(twice):
    folder, done = twice[0]
    assert done.returncode == 0, done.stderr
    trials = Study(folder / "runs" / "s").trials()
    assert len(trials) == 8
    by = {(t.assignment["optim.learning_rate"], t.assignment["model.table"] == IMPOSSIBLE): t for t in trials}
    assert [by[rate, True].state for rate in (0.00001, 0.003, 0.0001, 1e38)] == ["failed"] * 4
    assert "pool" in by[0.003, True].reason
    assert by[1e38, False].state == "failed"
    assert "infinite or nan" in by[1e38, False].reason or "became" in by[1e38, False].reason
    assert by[0.003, False].state == "finished"
    said = done.stdout
    assert "sweep     runs/s   (grid, 8 trials, 1 worker)" in said
    assert f"best      trial {by[0.003, False].label}  val_accuracy" in said


def test_hyperband_acts_on_validation_at_its_rungs(twice):
    """eta 3: of 1 or 2 runs at the rung the best goes on; of these three the middle one comes last."""
    folder = twice[0][0] / "runs" / "s"
    trials = {t.assignment["optim.learning_rate"]: t for t in Study(folder).trials() if t.value is not None}
    runs = {rate: json.loads((folder / t.label / "metrics.json").read_text()) for rate, t in trials.items()}
    assert set(runs) == {0.00001, 0.003, 0.0001}
    assert [trials[rate].state for rate in (0.00001, 0.003, 0.0001)] == ["finished", "finished", "early"]
    assert trials[0.0001].reason == "stopped by hyperband after 1 of 2 epochs"
    assert all("test" not in metrics for metrics in runs.values())


def test_one_worker_is_reproducible_trial_for_trial(twice):
    first, second = (Study(folder / "runs" / "s") for folder, _ in twice)
    kept = [[(t.assignment, t.state, t.value, t.runs, t.reason) for t in study.trials()] for study in (first, second)]
    assert kept[0] == kept[1]
    for trial in first.trials():
        if trial.value is not None:
            assert_equal_weights(first.folder / trial.label, second.folder / trial.label)


def test_a_trial_is_the_run_that_train_would_make_and_the_best_one_is_tested_once(twice, train_several):
    folder = twice[0][0]
    best = Study(folder / "runs" / "s").best()
    config = folder / "runs" / "s" / best.label / "config.yaml"
    lines = {
        "alone": [config, "--run-dir", "alone"],
        "finish": ["--sweep", "--finish"],
        "again": ["--sweep", "--finish"],
        "report": ["--resume"],
    }
    answers = train_several(folder, lines)
    assert [answers[name]["status"] for name in lines] == [0, 0, 2, 2], answers
    for run in ("alone", "runs/s/best"):
        assert_equal_weights(folder / run, folder / "runs" / "s" / best.label)
    assert len((folder / "runs/s/best/test_readings.csv").read_text().splitlines()) == 2
    assert not list((folder / "runs" / "s").glob("0*/test_readings.csv"))
    assert answers["again"]["err"].endswith("best: trained and tested already; the test split is read once\n")
    assert "no unfinished run to resume" in answers["report"]["err"]


# --- options ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "--workers", "0"], "--workers 0: expected a number from 1"),
        (["--sweep", "--run-dir", "x"], "--run-dir does not fit a sweep"),
        (["--sweep", "--resume", "--finish"], "--resume and --finish: expected one of them"),
        (["--sweep", "--resume", "--seed", "3"], "--resume takes the sweep's own file and settings"),
        (["--sweep", "--resume"], "runs: no sweep there; name one: --resume FOLDER"),
        (["--join", "nowhere"], "nowhere: not a sweep's folder"),
        (["a.yaml", "--sweep"], "a sweep names its config as keras_cnn.base in its own file"),
    ],
)
def test_arguments_that_do_not_fit_a_sweep(monkeypatch, tmp_path, words, said):
    from keras_cnn.faces import train

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        train.main(words)


def test_the_default_sweep_starts(monkeypatch, tmp_path):
    from keras_cnn.faces import train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "run", lambda study, workers, say=print: started.append((study, workers)))
    started = []
    train.main(["--sweep", "--workers", "2"])
    ((study, workers),) = started
    assert (study.folder, workers, study.cap) == (Path("runs/cs6910"), 2, 20)
    assert len(study.claim().trial.assignment) == 11
    assert os.listdir("runs") == ["cs6910"]
