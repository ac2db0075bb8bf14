"""The record of a sweep: what is drawn, who works on what, and that it survives whatever happens to a process."""

import csv
import datetime
import json
import os
import platform

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from keras_cnn.errors import InputError, Stopped
from keras_cnn.sweeps import gaussian
from keras_cnn.sweeps.study import Study

GRID = """
method: grid
metric: {name: val_accuracy, goal: maximize}
parameters: {train.epochs: {values: [1, 2, 3]}, train.batch_size: {values: [10, 20]}}
"""
RANDOM = """
method: random
run_cap: 4
metric: {name: val_loss, goal: minimize}
parameters: {optim.learning_rate: {min: 0.5, max: 2.5}, train.ema: {values: [0.1, 0.2, 0.3, 0.4]}}
"""
BAYES = RANDOM.replace("random", "bayes").replace("run_cap: 4", "run_cap: 30")


def run_all(study: Study, value=lambda assignment: 0.5) -> list[dict]:
    """Ends every trial with the value of its settings; returns the settings."""
    while (lease := study.lease()) is not None:
        study.end(lease, state="finished", value=value(lease.trial.assignment))
    return [trial.assignment for trial in study.trials()]


def die(lease) -> None:
    """What a kill -9 does to a lease: the kernel lets go of its lock, and nothing is recorded."""
    lease.release()


def fail(study: Study, times: int, state: str = "failed") -> None:
    for _ in range(times):
        value = 0.5 if state == "finished" else None
        study.end(study.lease(), state=state, value=value, reason="NaN")


def in_optuna(study: Study) -> list[optuna.trial.FrozenTrial]:
    """The trials as a program that knows nothing of ours reads them."""
    storage = JournalStorage(JournalFileBackend(str(study.folder / "study.journal")))
    return optuna.load_study(study_name="sweep", storage=storage).trials


# --- what is drawn ---


def test_a_grid_is_tried_cell_by_cell_and_ends(sweep_of):
    study = sweep_of(GRID)
    cells = [(t["train.batch_size"], t["train.epochs"]) for t in run_all(study)]
    assert cells == [(10, 1), (10, 2), (10, 3), (20, 1), (20, 2), (20, 3)]
    assert study.lease() is None
    assert study.ended()


def test_a_grid_in_random_order_has_every_cell_once_in_an_order_of_its_seed(sweep_of, tmp_path):
    text = GRID + "keras_cnn: {order: random}\n"
    orders = [
        [tuple(t.values()) for t in run_all(sweep_of(text, seed, tmp_path / f"{i}"))]
        for i, seed in enumerate((1, 1, 2))
    ]
    given = [(size, epochs) for size in (10, 20) for epochs in (1, 2, 3)]
    assert sorted(orders[0]) == given != orders[0]
    assert orders[0] == orders[1] != orders[2]


def test_a_random_draw_depends_on_the_seed_and_the_trials_number_alone(sweep_of):
    found = run_all(sweep_of(RANDOM, seed=7))
    for number, assignment in enumerate(found, 1):
        first, second = np.random.default_rng([7, number]).random(2)
        assert assignment == {
            "optim.learning_rate": 0.5 + 2 * first,
            "train.ema": [0.1, 0.2, 0.3, 0.4][int(4 * second)],
        }


def test_bayes_is_reproducible_and_learns_from_what_it_is_told(sweep_of, tmp_path):
    def distance(assignment):
        return abs(assignment["optim.learning_rate"] - 1.2) + 5 * abs(assignment["train.ema"] - 0.3)

    first, again = (run_all(sweep_of(BAYES, folder=tmp_path / name), distance) for name in "ab")
    other = run_all(sweep_of(BAYES, folder=tmp_path / "c"), lambda assignment: -distance(assignment))
    assert first == again
    assert first[:10] == other[:10]  # drawn at random
    assert first[10:] != other[10:]
    at_random, near, far = (np.mean([distance(a) for a in some]) for some in (first[:10], first[10:], other[10:]))
    assert near < at_random < far


def test_a_failed_trial_counts_as_the_worst_and_a_running_one_is_not_known(sweep_of, monkeypatch):
    told, propose = [], gaussian.propose
    monkeypatch.setattr(gaussian, "propose", lambda *given: told.append(given[2].tolist()) or propose(*given))
    study = sweep_of(BAYES)
    losses = [0.5, 0.9, 0.2, 0.4, 0.8, 0.3, 0.6, 0.7, 0.1]
    for loss in losses:
        study.end(study.lease(), state="finished", value=loss)
    fail(study, 1)
    study.lease(), study.lease()
    goals = [-loss for loss in losses]  # minimised
    assert told[0] == [*goals, -0.9]
    np.testing.assert_array_equal(told[1], [*goals, -0.9, np.nan])


def test_values_that_python_takes_for_equal_are_told_apart(sweep_of):
    text = "method: bayes\nrun_cap: 40\nmetric: {name: val_accuracy}\nparameters: {train.ema: {values: [1, true, 0.5]}}"
    study = sweep_of(text)
    run_all(study)
    values = [1, True, 0.5]
    for trial, frozen in zip(study.trials(), in_optuna(study), strict=True):
        assert json.dumps(values[frozen.params["train.ema"]]) == json.dumps(trial.assignment["train.ema"])
    assert {json.dumps(t.assignment["train.ema"]) for t in study.trials()} == {"1", "true", "0.5"}


def test_no_trial_starts_once_one_has_reached_the_target(sweep_of):
    study = sweep_of(RANDOM.replace("goal: minimize", "goal: minimize, target: 0.3"))
    fail(study, 1, "finished")  # at 0.5
    running, best = study.lease(), study.lease()
    study.end(best, state="finished", value=0.3)
    assert study.lease() is None
    assert not study.ended()
    study.end(running, state="finished", value=0.3)
    assert study.ended()
    assert study.best().number == running.trial.number == 2  # the earlier of equal ones


def test_a_complete_sweep_goes_on_once_its_file_has_a_larger_run_cap(sweep_of):
    study = sweep_of(RANDOM)
    first = run_all(study)
    file = study.folder / "sweep.yaml"
    file.write_text(file.read_text().replace("run_cap: 4", "run_cap: 6"))
    again = Study(study.folder)
    assert study.ended()
    assert not again.ended()
    assert run_all(again)[:4] == first
    assert len(again.trials()) == 6


# --- who works on what ---


def test_two_workers_never_have_the_same_trial(sweep_of):
    study = sweep_of(RANDOM)
    other = Study(study.folder)
    assert [who.lease().trial.number for who in (study, other, other, study)] == [1, 2, 3, 4]
    assert study.lease() is other.lease() is None
    assert not study.ended()


def test_a_dead_workers_trial_is_tried_once_more_and_then_fails(sweep_of):
    study = sweep_of(RANDOM)
    first = study.lease()
    die(first)
    second = Study(study.folder).lease()
    assert (second.trial.number, second.trial.attempts) == (1, 2)
    assert second.trial.assignment == first.trial.assignment
    die(second)
    for name in ("0001-seed3", "0001-seed1", "0001-seed4", "0001-seed2", "0002"):
        (study.folder / name).mkdir()
        (study.folder / name / "config.yaml").touch()
    assert study.lease().trial.number == 2
    dead = study.trials()[0]
    assert (dead.state, dead.value, dead.runs) == ("failed", None, tuple(f"0001-seed{n}" for n in (1, 2, 3, 4)))
    assert dead.reason == "its worker died 2 times, killed or out of memory"
    assert [t.state for t in in_optuna(study)] == [TrialState.FAIL, TrialState.RUNNING]


def test_a_trial_stopped_on_purpose_is_gone_on_with_and_that_is_no_attempt(sweep_of):
    study = sweep_of(RANDOM)
    for _ in range(3):
        study.stop(study.lease())
    lease = study.lease()
    assert (lease.trial.number, lease.trial.attempts, lease.trial.state) == (1, 1, "running")
    study.end(lease, state="finished", value=0.1)
    assert len(run_all(study)) == 4


def test_ten_failures_in_a_row_stop_a_sweep_until_it_is_resumed(sweep_of):
    study = sweep_of(RANDOM.replace("run_cap: 4", "run_cap: 40"))
    fail(study, 9)
    fail(study, 1, "finished")
    fail(study, 10)
    with pytest.raises(Stopped, match=r"^10 trials in a row failed; the last, 0020: NaN$"):
        study.lease()
    resumed = Study(study.folder)
    fail(resumed, 10)
    with pytest.raises(Stopped, match="the last, 0030: NaN"):
        resumed.lease()


# --- what is on disk ---


def test_the_journal_is_a_study_that_optuna_reads(sweep_of):
    study = sweep_of(RANDOM)
    study.end(study.lease(), state="finished", value=0.25)
    study.end(study.lease(), state="failed", reason="out of memory")
    study.lease()
    trials = in_optuna(study)
    assert [(t.state.name, t.value) for t in trials] == [("COMPLETE", 0.25), ("FAIL", None), ("RUNNING", None)]
    for ours, theirs in zip(study.trials(), trials, strict=True):
        assert ours.assignment["optim.learning_rate"] == 0.5 + 2 * theirs.params["optim.learning_rate"]
        assert ours.assignment["train.ema"] == [0.1, 0.2, 0.3, 0.4][theirs.params["train.ema"]]


@pytest.mark.parametrize("torn", ["{", '{"op_code":4,"worker_id":"x","study_id":0,"datetime_st', "\x00\x00"])
def test_a_line_that_a_full_disk_cut_off_is_cut_out(sweep_of, torn):
    study = sweep_of(RANDOM)
    fail(study, 1)
    with (study.folder / "study.journal").open("a") as journal:
        journal.write(torn)
    for who in (study, Study(study.folder)):  # one that had read the journal before, one that had not
        fail(who, 1, "finished")
    assert [t.state for t in Study(study.folder).trials()] == ["failed", "finished", "finished"]
    assert len(in_optuna(study)) == 3


def test_a_trial_whose_worker_died_while_recording_its_end_has_ended(sweep_of, monkeypatch):
    study = sweep_of(RANDOM)
    lease = study.lease()
    with monkeypatch.context() as patch:
        patch.setattr(study, "_tell", lambda trial: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            study.end(lease, state="finished", value=0.125)
    die(lease)
    assert in_optuna(study)[0].state == TrialState.RUNNING
    other = Study(study.folder)
    assert other.lease().trial.number == 2
    assert (other.trials()[0].state, other.trials()[0].value, other.trials()[0].attempts) == ("finished", 0.125, 1)
    assert (in_optuna(study)[0].state, in_optuna(study)[0].value) == (TrialState.COMPLETE, 0.125)


def test_the_table_has_a_line_a_trial(sweep_of):
    study = sweep_of(RANDOM)
    study.end(study.lease(), state="finished", value=0.25, runs=("0001-seed1", "0001-seed2"))
    study.end(study.lease(), state="failed", reason='pool, "2" of 1')
    rows = list(csv.DictReader((study.folder / "trials.csv").read_text().splitlines()))
    assert [(r["number"], r["state"], r["value"], r["runs"]) for r in rows] == [
        ("1", "finished", "0.25", "0001-seed1 0001-seed2"),
        ("2", "failed", "", ""),
    ]
    assert rows[1]["reason"] == 'pool, "2" of 1'
    assert float(rows[0]["optim.learning_rate"]) == study.trials()[0].assignment["optim.learning_rate"]


def test_a_trial_says_who_works_on_it_and_when(sweep_of):
    study = sweep_of(RANDOM)
    before = datetime.datetime.now(datetime.UTC)
    lease = study.lease()
    assert lease.trial == study.trials()[0]
    assert (lease.trial.worker, lease.trial.ended) == (f"process {os.getpid()} on {platform.node()}", "")
    ended = study.end(lease, state="finished", value=0.5)
    times = [datetime.datetime.fromisoformat(text) for text in (ended.started, ended.ended)]
    assert before <= times[0] <= times[1] <= datetime.datetime.now(datetime.UTC)
    assert (study.folder / "locks" / "0001").exists()
    assert (study.best(), study.ended()) == (ended, False)


@pytest.mark.parametrize("damage", [lambda lines: [], lambda lines: ["{", *lines]])
def test_a_journal_that_is_gone_or_damaged_is_named(sweep_of, damage):
    journal = sweep_of(RANDOM).folder / "study.journal"
    journal.write_text("\n".join(damage(journal.read_text().splitlines())))
    with pytest.raises(InputError, match=r"study\.journal: missing or damaged"):
        Study(journal.parent)


@pytest.mark.parametrize("content", [None, "", "[]x", "[]", '{"seed": "1"}'])
def test_a_folder_without_a_sweep_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(InputError, match=r"sweep\.json(: |$)"):
        Study(tmp_path)
