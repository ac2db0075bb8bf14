"""kill -9 of any process of a sweep, at any moment: no trial is lost, counted twice, or worked on by two."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.sweeps.study import Study
from keras_cnn.training import checkpoints

ROOT = Path(__file__).resolve().parents[2]

TABLE = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 4}, {flatten: }, {dropout: 0.3}]"
BASE = f"""
data: {{source: fashion-mini, train: 300, augment: {{name: fashion}}}}
model: {{name: layers, table: {TABLE}}}
optim: {{optimizer: adam}}
train: {{epochs: 3, batch_size: 64}}
tracking: {{wandb: off}}
"""
STEPS = 5  # an epoch
SWEEP = """
method: random
run_cap: 2
metric: {name: val_accuracy, goal: maximize}
parameters: {optim.learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1e-2}}
"""

# Works on a sweep's folder in a process that kills itself after the `count`-th call of a function.
DYING = """
import importlib, os, signal, sys
from pathlib import Path
where, name, count, what, folder = sys.argv[1:]
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
from keras_cnn.sweeps.study import Study
if what == "train":
    from keras_cnn.sweeps.worker import work
    work(Study(Path(folder)))
else:
    study = Study(Path(folder))
    while (lease := study.lease()) is not None:
        study.end(lease, state="finished", value=lease.trial.number / 8)
"""
STUDY = "keras_cnn.sweeps.study:Study"
STORAGE = "optuna.storages:JournalStorage"
IN_THE_STUDY = {  # moment -> the trial under way has ended, by its only record
    "a trial is born, its worker not yet told": ((STORAGE, "create_new_trial", 3), False),
    "claimed": ((STUDY, "lease", 3), False),
    "its end is recorded, Optuna not yet told": ((STUDY, "_record", 3), True),
    "Optuna is told, the table not yet written": ((STUDY, "_tell", 3), True),
    "the table is written": ((STUDY, "_end", 3), True),
}


@pytest.fixture
def work(fork_server) -> Callable[..., subprocess.CompletedProcess]:
    def run(folder: Path, what: str = "train", moment: tuple = ("os", "getcwd", 0)) -> subprocess.CompletedProcess:
        return fork_server.run(DYING, *moment, what, folder)

    return run


def weights(run: Path) -> list[np.ndarray]:
    groups = checkpoints.load(run / "checkpoint").groups
    return [array for name in sorted(groups) for array in groups[name]]


def history(run: Path) -> list[dict]:
    rows = csv.DictReader((run / "history.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


@pytest.mark.parametrize("moment", IN_THE_STUDY)
def test_a_worker_killed_while_it_writes(sweep_of, work, moment):
    study = sweep_of(SWEEP.replace("run_cap: 2", "run_cap: 5"))
    where, has_ended = IN_THE_STUDY[moment]
    assert work(study.folder, "record", where).returncode == -signal.SIGKILL
    trials = Study(study.folder).trials()
    assert [t.state for t in trials] == ["finished", "finished", "finished" if has_ended else "running"]
    assert work(study.folder, "record").returncode == 0
    trials = study.trials()
    assert [(t.number, t.state, t.value) for t in trials] == [(n, "finished", n / 8) for n in range(1, 6)]
    assert [t.attempts for t in trials] == [1, 1, 1 if has_ended else 2, 1, 1]
    assert len({t.assignment["optim.learning_rate"] for t in trials}) == 5


def test_many_workers_and_every_trial_once(sweep_of, work):
    study = sweep_of(SWEEP.replace("run_cap: 2", "run_cap: 60"))
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: work(study.folder, "record"), range(3)))
    assert [d.returncode for d in done] == [0, 0, 0], done[0].stderr
    trials = study.trials()
    assert [(t.number, t.state, t.attempts) for t in trials] == [(n, "finished", 1) for n in range(1, 61)]
    assert len({t.assignment["optim.learning_rate"] for t in trials}) == 60
    lines = (study.folder / "study.journal").read_text().splitlines()
    assert Counter(re.search(r'"op_code":(\d+)', line)[1] for line in lines) == {"0": 1, "4": 60, "8": 60, "6": 60}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("undisturbed"))


def make(folder: Path) -> Path:
    """A sweep of two small trials, made as the face makes it."""
    (folder / "base.yaml").write_text(BASE)
    (folder / "s.yaml").write_text(SWEEP + "keras_cnn: {base: base.yaml}\n")
    from keras_cnn.sweeps import plan

    return plan.create(folder / "s.yaml", [], folder).folder


def test_a_worker_killed_while_it_trains(undisturbed, work, tmp_path):
    folder = make(tmp_path)
    mid_epoch = ("keras_cnn.training.state:TrainingState", "add", STEPS + 2)  # of the second epoch
    with ThreadPoolExecutor(2) as pool:
        straight, killed = pool.map(work, (undisturbed, folder), ("train",) * 2, (("os", "getcwd", 0), mid_epoch))
    assert (straight.returncode, killed.returncode) == (0, -signal.SIGKILL), straight.stderr
    assert [(t.state, t.attempts) for t in Study(folder).trials()] == [("running", 1)]
    assert len(history(folder / "0001")) == 1

    done = work(folder)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/3" not in done.stdout.partition("trial 0002")[0]  # from its checkpoint
    expected = Study(undisturbed).trials()
    found = Study(folder).trials()
    assert [(t.state, t.attempts) for t in found] == [("finished", 2), ("finished", 1)]
    assert [(t.assignment, t.value, t.runs) for t in found] == [(t.assignment, t.value, t.runs) for t in expected]
    for run in ("0001", "0002"):
        assert history(folder / run) == history(undisturbed / run)
        for ours, theirs in zip(weights(folder / run), weights(undisturbed / run), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def started():
    """Starts train.py in a folder; in the end whatever still runs of it is stopped."""
    processes = []

    def start(folder: Path, *words: str) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / "train.py"), *words]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def wait_for(condition, process: subprocess.Popen | None = None, seconds: float = 60) -> None:
    """Until the condition holds; fails at once if the process that is to bring it about has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def process_of(trial) -> int:
    return int(re.match(r"process (\d+) ", trial.worker)[1])


def test_workers_and_their_parent_killed(started, tmp_path):
    """One worker killed twice in one trial; then the parent, whose worker goes on; then --resume beside it."""
    (tmp_path / "base.yaml").write_text(BASE.replace("epochs: 3", "epochs: 40"))
    (tmp_path / "s.yaml").write_text(SWEEP.replace("run_cap: 2", "run_cap: 3") + "keras_cnn: {base: base.yaml}\n")
    parent = started(tmp_path, "--sweep", "s.yaml")
    folder = tmp_path / "runs" / "s"
    wait_for((folder / "sweep.json").exists, parent)
    study = Study(folder)
    for attempt in (1, 2):
        wait_for(lambda a=attempt: study.trials() and study.trials()[0].attempts == a, parent)
        wait_for((folder / "0001" / "history.csv").exists, parent)
        assert study.trials()[0].state == "running"
        os.kill(process_of(study.trials()[0]), signal.SIGKILL)
    wait_for(lambda: len(study.trials()) == 2 and (folder / "0002" / "history.csv").exists(), parent)
    assert study.trials()[0].reason == "its worker died 2 times, killed or out of memory"
    parent.kill()
    said = parent.communicate()[0]
    assert said.count("worker 1 was killed by SIGKILL; started again") == 2
    assert "trial 0001  failed: its worker died 2 times" in said

    orphan = process_of(study.trials()[1])
    os.kill(orphan, signal.SIGSTOP)  # goes on, but not to the end of the sweep before there is help
    resumed = started(tmp_path, "--sweep", "--resume")
    wait_for(lambda: len(study.trials()) == 3, resumed)
    os.kill(orphan, signal.SIGCONT)
    said = resumed.communicate()[0]
    assert resumed.returncode == 0, said
    wait_for(study.ended)
    trials = study.trials()
    assert [(t.state, t.attempts) for t in trials] == [("failed", 2), ("finished", 1), ("finished", 1)]
    assert process_of(trials[1]) == orphan
    assert len(history(folder / "0002")) == len(history(folder / "0003")) == 40
    again = started(tmp_path, "--sweep", "--resume", str(folder))
    said = again.communicate()[0]
    assert again.returncode == 2
    assert said.startswith(f"error: {folder}: this sweep is complete; next: ")


def test_an_endless_sweep_ends_on_a_signal_and_goes_on(started, tmp_path):
    (tmp_path / "base.yaml").write_text(BASE.replace("epochs: 3", "epochs: 400"))
    (tmp_path / "s.yaml").write_text(SWEEP.replace("run_cap: 2", "") + "keras_cnn: {base: base.yaml}\n")
    parent = started(tmp_path, "--sweep", "s.yaml")
    folder = tmp_path / "runs" / "s"
    wait_for((folder / "0001" / "history.csv").exists, parent)
    parent.send_signal(signal.SIGTERM)
    said = parent.communicate()[0]
    assert parent.returncode == 3
    assert "(random, no end, 1 worker)" in said
    assert said.rstrip().endswith(f"go on with: python {ROOT}/train.py --sweep --resume runs/s")
    (trial,) = Study(folder).trials()
    assert (trial.state, trial.attempts) == ("stopped", 1)
    with pytest.raises(ProcessLookupError):
        os.kill(process_of(trial), 0)
    plain = started(tmp_path, "--resume")  # is for runs, not for the trials of a sweep
    assert plain.communicate()[0] == "error: runs: no unfinished run to resume; name one: --resume RUN\n"
    assert plain.returncode == 2
