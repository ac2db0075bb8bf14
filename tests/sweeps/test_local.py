"""A sweep from its file to its best trial, as `python train.py --sweep` runs it."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from keras_cnn.errors import InputError, Stopped
from keras_cnn.sweeps import local, plan, prewarmed_workers, worker_pool
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
HUGE = "[{conv: 64, kernel: 3}, {flatten: }, {dense: 2000000000}]"  # 401 TB: more than a process can address
SWEEP = f"""
method: grid
metric: {{name: val_accuracy, goal: maximize}}
early_terminate: {{type: hyperband, min_iter: 1, eta: 3}}
parameters:
  optim.learning_rate: {{values: [0.00001, 0.003, 0.0001, 1.0e+38]}}
  model.table: {{values: ["[{{flatten: }}]", "{IMPOSSIBLE}", "{HUGE}"]}}
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
        plan.create(path, [], tmp_path / "runs")
    assert not list(tmp_path.glob("runs/*"))


def test_a_sweep_in_which_only_the_first_cell_is_impossible_is_run(tmp_path):
    path = given(tmp_path, SWEEP.replace("[0.00001,", "[-1,"))
    study = plan.create(path, ["--train.batch_size", "20"], tmp_path / "runs", accepted=True)
    assert study.lease().trial.assignment["optim.learning_rate"] == -1
    assert "batch_size: 20" in (study.folder / "base.yaml").read_text()


def test_the_name_of_a_sweep_may_be_any_text(tmp_path):
    path = given(tmp_path, "name: 'Rate / batch: no. 1'\n" + SWEEP)
    folders = [plan.create(path, [], tmp_path / "runs", accepted=True).folder.name for _ in range(2)]
    assert folders == ["Rate-batch-no.-1", "Rate-batch-no.-1-2"]
    assert plan.create(path, ["--name", "mine"], tmp_path / "runs", accepted=True).folder.name == "mine"


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
    monkeypatch.setattr(prewarmed_workers, "cores", lambda: sorted(cores))
    assert prewarmed_workers.shares(workers) == shares


@pytest.mark.parametrize(
    ("gpus", "visible", "workers", "expected"),
    [
        (0, None, 2, [None, None]),
        (1, None, 1, [None]),
        (1, None, 2, ["0", "0"]),
        (2, "5,3", 3, ["5", "3", "5"]),
        (2, "GPU-8932f937, GPU-1a2b3c4d", 2, ["GPU-8932f937", "GPU-1a2b3c4d"]),
        (4, None, 4, ["0", "1", "2", "3"]),
    ],
)
def test_gpus_are_shared_out(monkeypatch, gpus, visible, workers, expected):
    monkeypatch.setattr(worker_pool.tf.config, "list_physical_devices", lambda kind: ["GPU"] * gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [worker_pool._devices(number, workers) for number in range(1, workers + 1)]
    assert [f.get("CUDA_VISIBLE_DEVICES") for f in found] == expected


def test_a_worker_that_was_killed_starts_again_on_its_gpu(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(worker_pool, "assign", lambda process, assignment: given.append(assignment.environment))
    killed = SimpleNamespace(poll=lambda: -signal.SIGKILL)
    ready = SimpleNamespace(take=lambda cores: killed)
    worker = worker_pool.Worker(tmp_path, 2, {0}, {"CUDA_VISIBLE_DEVICES": "1"}, ready)
    worker.revive(SimpleNamespace(ended=lambda: False), 0)
    assert given == [{"CUDA_VISIBLE_DEVICES": "1"}] * 2


# --- a whole sweep, for real ---


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> list[tuple[Path, subprocess.CompletedProcess]]:
    """The same sweep run two times, each in a folder of its own, with one worker."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]

    def run(folder: Path) -> subprocess.CompletedProcess:
        given(folder, SWEEP)
        command = [sys.executable, str(ROOT / "train.py"), "--sweep", "s.yaml", "--yes"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        return list(zip(folders, pool.map(run, folders), strict=True))


def weights(run: Path) -> list[np.ndarray]:
    groups = checkpoints.load(run / "checkpoint").groups
    return [array for name in sorted(groups) for array in groups[name]]


def assert_equal_weights(run: Path, other: Path) -> None:
    for one, two in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_impossible_and_diverging_trials_are_recorded_and_the_sweep_goes_on(twice):
    folder, done = twice[0]
    assert done.returncode == 0, done.stderr
    trials = Study(folder / "runs" / "s").trials()
    assert len(trials) == 12
    by = {(t.assignment["optim.learning_rate"], t.assignment["model.table"]): t for t in trials}
    rates, learnable = (0.00001, 0.003, 0.0001, 1e38), "[{flatten: }]"
    assert {by[rate, table].state for rate in rates for table in (IMPOSSIBLE, HUGE)} == {"failed"}
    assert "pool" in by[0.003, IMPOSSIBLE].reason
    assert by[0.003, HUGE].reason.startswith("out of memory: OOM when allocating tensor with shape[50176,2000000000]")
    assert by[1e38, learnable].state == "failed"
    assert "infinite or nan" in by[1e38, learnable].reason or "became" in by[1e38, learnable].reason
    assert by[0.003, learnable].state == "finished"
    said = done.stdout
    assert "sweep     runs/s   (grid, 12 trials, 1 worker)" in said
    assert "trial 0001  model.table=[{flatten: }]  optim.learning_rate=1e-05\ntrial 0001  val_accuracy 0." in said
    assert said.count("   best so far\n") >= 1
    assert f"best      trial {by[0.003, learnable].label}  val_accuracy" in said


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
        (["--workers", "2"], "--workers is for sweeps; expected --sweep with it"),
        (["--run-cap", "2"], "--run-cap is for sweeps"),
        (["--sweep", "--run-cap", "0"], "command line: run_cap: found 0, expected a number of at least 1"),
        (
            ["--sweep", "--resume", "x", "--run-cap", "3"],
            r"--resume goes by the folder's sweep\.yaml; change run_cap",
        ),
        (["--sweep", "--epochs", "3"], "--train.epochs: the parameter train.epochs of .* sets it in every trial"),
        (["--sweep", "cs6910", "--lr", "3"], "--optim.learning_rate: the parameter lr of .* sets it in every trial"),
        (["--yes"], "--yes is for sweeps; expected --sweep with it"),
        (["--sweep", "cs6910"], r"the largest cell is above 1e\+14 multiply-adds or 50% .* expected --yes"),
        (["--join", "x", "--workers", "2"], "--workers does not fit --join"),
        (["--sweep", "--resume", "x", "--dry-run"], "--dry-run does not fit --resume"),
        (["--sweep", "begun"], "begun: a sweep that was begun; expected a file, or: --resume begun"),
        (["--resume", "begun/0001"], "begun/0001: a trial of begun; expected the sweep itself: --resume begun"),
        (["--resume", "begun"], r"begun/sweep\.yaml: cannot read the config"),
        (["--sweep", "--resume", "x", "--run-dir", "y"], "--run-dir is for a new sweep; --resume goes on with one"),
        (["--sweep", "--resume", "--finish"], "--resume and --finish: expected one of them"),
        (["--sweep", "--resume", "--seed", "3"], "--resume takes the sweep's own file and settings"),
        (["--sweep", "--resume"], "runs: no sweep there; name one: --resume FOLDER"),
        (["--join", "nowhere"], "nowhere: not a sweep's folder"),
        (["a.yaml", "--sweep"], "a sweep names its config as keras_cnn.base in its own file"),
    ],
)
def test_arguments_that_do_not_fit_a_sweep(monkeypatch, tmp_path, words, said):
    from keras_cnn.cli import train

    monkeypatch.chdir(tmp_path)
    Path("begun").mkdir()
    Path("begun/sweep.json").touch()
    with pytest.raises(InputError, match=said):
        train.main(words)


def test_the_default_sweep_starts(monkeypatch, tmp_path):
    from keras_cnn.cli import sweep, train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prewarmed_workers, "_start", _Process.started)  # nobody is to work here
    monkeypatch.setattr(local, "run", lambda study, workers, **_: started.append((study, workers)))
    started = []
    monkeypatch.setattr(sweep, "_write_page", lambda folder: None)
    train.main(["--sweep", "--workers", "2"])
    train.main(["--sweep", "cs6910", "--run-cap", "12", "--yes", "--run-dir", "mine"])
    (study, workers), (named, _) = started
    assert (study.folder, workers, study.cap) == (Path("runs/quick"), 2, 16)
    assert (named.folder, named.cap, len(named.lease().trial.assignment)) == (Path("mine"), 12, 11)
    assert os.listdir("runs") == ["quick"]
    monkeypatch.setattr(local, "resume", lambda study, workers, ready: started.append((study, workers)))
    train.main(["--resume", "runs/quick"])
    assert (started[-1][0].folder, started[-1][1]) == (study.folder, 1)
    assert _Process.log == [
        "start",
        "start",
        "kill",
        "kill",
        "end",
        "end",
        "start",
        "kill",
        "end",
        "start",
        "kill",
        "end",
    ]


class _Process:
    """In the place of a process that stands by."""

    log: ClassVar[list[str]] = []

    @classmethod
    def started(cls, cores: set[int]) -> "_Process":
        cls.log.append("start")
        return cls()

    def kill(self) -> None:
        self.log.append("kill")

    def communicate(self) -> None:
        self.log.append("end")


# --- how it ends ---


class _NoWorkers:
    """In place of the worker processes: what they would have left in the study is written by the test."""

    def __enter__(self):
        return []

    def __exit__(self, *_):
        return None


def run_ended(study: Study, *reasons: str | None) -> None:
    """Runs a sweep whose trials have ended, failed for the reason given or, for None, with a value."""
    for reason in reasons:
        found = {"state": "failed", "reason": reason} if reason else {"state": "finished", "value": 0.5}
        study.end(study.lease(), **found)
    local.run(study, 1)


def test_a_sweep_of_which_nothing_came_is_no_success(sweep_of, monkeypatch):
    monkeypatch.setattr(local, "worker_pool", lambda *_: _NoWorkers())
    text = "method: grid\nparameters: {seed: {values: [1, 2]}}\n"
    with pytest.raises(Stopped, match=r"no trial came to a value; the last, 0002: NaN$"):
        run_ended(sweep_of(text), "out of memory", "NaN")


def test_the_messages_at_the_end_of_a_sweep(sweep_of, tmp_path, monkeypatch, messages):
    monkeypatch.setattr(local, "worker_pool", lambda *_: _NoWorkers())
    study = sweep_of("method: grid\nparameters: {seed: {values: [1, 2, 3, 4]}}\n")
    with pytest.raises(InputError, match="sweep: no trial has finished; nothing to choose from"):
        local.finish(study)
    stopped, running = study.lease(), study.lease()
    study.stop(stopped)
    study.end(running, state="early", value=0.25, reason="stopped by hyperband")
    again = study.lease()
    run_ended(study, "NaN", None)
    end = messages[messages.index("") + 1 :]
    assert end[0].endswith("4 trials: 1 finished, 1 early, 1 failed")
    assert end[1] == f"          all of them: {tmp_path}/sweep/trials.csv"
    assert end[2] == f"          trial 0001 is running, {again.trial.worker}"
    assert end[3] == "best      trial 0004  val_accuracy 0.5000   seed=4"
    assert end[4].startswith(f"next      keras-cnn train --sweep --finish {tmp_path}/sweep")


def test_each_trial_is_said_when_it_begins_and_when_it_ends(sweep_of, messages):
    study = sweep_of("method: grid\nparameters: {seed: {values: [1, 2, 3, 4]}}\n")
    study.end(study.lease(), state="failed", reason="NaN")  # before the reporter
    reporter = local._TrialReporter(study)
    first, second = study.lease(), study.lease()
    reporter.report()
    assert reporter.ended == 1
    study.end(first, state="finished", value=0.5)
    study.end(second, state="finished", value=0.25)
    study.end(study.lease(), state="finished", value=0.75)
    reporter.report()
    reporter.report()
    assert reporter.ended == 4
    assert messages == [
        "trial 0002  seed=2",
        "trial 0003  seed=3",
        "trial 0002  val_accuracy 0.5000   best 0.7500 (0004)",
        "trial 0003  val_accuracy 0.2500   best 0.7500 (0004)",
        "trial 0004  seed=4",
        "trial 0004  val_accuracy 0.7500   best so far",
    ]


@pytest.mark.parametrize(
    ("workers", "ended", "log", "count"),
    [
        (1, 0, "worker-1", "1 worker"),
        (2, 0, "worker-N", "2 workers"),
        (5, 0, "worker-N", "3 workers"),
        (2, 2, "worker-1", "1 worker"),  # for the trial that is left
    ],
)
def test_the_logs_of_all_workers_are_named_at_the_beginning(
    sweep_of, monkeypatch, messages, workers, ended, log, count
):
    monkeypatch.setattr(local, "worker_pool", lambda *_: _NoWorkers())
    study = sweep_of("method: grid\nparameters: {seed: {values: [1, 2, 3]}}\n")
    for _ in range(ended):
        study.end(study.lease(), state="finished", value=0.5)
    local.run(study, workers)
    assert messages[0] == f"sweep     {study.folder}   (grid, 3 trials, {count})"
    assert messages[1] == f"epochs    in {study.folder}/{log}.log"


@pytest.mark.parametrize(
    ("code", "log", "raised"),
    [
        (
            2,
            "error: photos: no such folder\n",
            (InputError, r"^photos: no such folder; once that is mended go on"),
        ),
        (3, "the disk is full\n\n", (Stopped, r"sweep: the disk is full \(log: .*worker-1\.log\); go on with: ")),
        (1, "Traceback\nKeyError: 'x'\n", (Stopped, r"worker 1 failed: KeyError: 'x' \(log: ")),
    ],
)
def test_why_a_worker_gave_up_is_said(sweep_of, monkeypatch, tmp_path, code, log, raised):
    program = tmp_path / "train.py"
    imported = "from keras_cnn.sweeps.prewarmed_workers import receive_assignment"
    taken = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {imported}; receive_assignment()"
    program.write_text(f"{taken}; print({log!r}, end=''); sys.exit({code})")
    monkeypatch.setattr(prewarmed_workers, "PROGRAM", (str(program),))
    study = sweep_of("method: grid\nparameters: {seed: {values: [1, 2]}}\n")
    with pytest.raises(raised[0], match=raised[1]):
        local.run(study, 1)
    assert study.folder.is_dir()
    with pytest.raises(raised[0], match=log.split("\n")[-3 if code == 3 else -2].removeprefix("error: ")):
        local.run(study, 1, is_new=True)
    assert study.folder.is_dir() == (code != 2)


# --- joining ---


def test_the_printed_command_joins_from_anywhere(tmp_path, monkeypatch, messages):
    """Also where the config names its images relative to the folder in which the sweep was begun."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    arrays = {"x": generator.integers(0, 256, (60, 8, 8, 1), np.uint8), "y": np.arange(60) % 2}
    np.savez("images.npz", **{f"{name}_{part}": a for name, a in arrays.items() for part in ("train", "test")})
    base = "data: {source: 'npz:images.npz'}\nmodel: {name: layers, table: [{flatten: }]}\ntracking: {wandb: off}\n"
    text = "method: grid\nparameters: {train.epochs: {value: 1}}\nkeras_cnn: {base: base.yaml}\n"
    study = plan.create(given(tmp_path, text, base), [])
    monkeypatch.setattr(local, "worker_pool", lambda *_: _NoWorkers())
    local.run(study, 1)
    (command,) = (line.removeprefix("join").partition("   (")[0] for line in messages if line.startswith("join"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # as if it were installed
    done = subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("sweep     runs/s: nothing is left to begin\n")
    assert [(t.state, t.runs) for t in study.trials()] == [("finished", ("0001",))]
