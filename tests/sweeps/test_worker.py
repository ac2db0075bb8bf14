"""What a worker makes of a trial, however it ends. Training itself is a stand-in here; test_local.py trains."""

import json
import os
import re
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tensorflow as tf

from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.run_folder import HISTORY_COLUMNS, RunFolder
from keras_cnn.sweeps import sweep_file, worker
from keras_cnn.sweeps.space import Metric
from keras_cnn.training.loop import NotFinite

SWEEP = """
method: grid
metric: {name: val_accuracy, goal: maximize}
parameters: {optim.learning_rate: {values: [0.1, 0.2, 0.3]}}
"""


def row(epoch: int, accuracy: float) -> dict:
    return dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": epoch, "val_accuracy": accuracy}


def write_run(folder: RunFolder, accuracies: list[float]) -> None:
    """What training leaves that the sweep goes by."""
    (folder / "config.yaml").write_text("")
    folder.write_history([row(epoch, value) for epoch, value in enumerate(accuracies, 1)])
    best = accuracies.index(max(accuracies)) + 1
    (folder / "metrics.json").write_text(json.dumps({"best_epoch": best}))


class Training:
    """Stands in for experiment.train: `results` by learning rate are accuracies by epoch, or what is raised."""

    def __init__(self, results: dict[float, list[float] | BaseException]):
        self.results, self.configs = results, []

    def __call__(self, config, folder, prepare, watch) -> None:
        self.configs.append((folder.path.name, config))
        found = self.results[config.optim.learning_rate]
        if isinstance(found, BaseException):
            raise found
        kept = []
        for value in found:
            kept.append(value + config.seed / 1000)
            write_run(folder, kept)
            if watch([row(epoch, v) for epoch, v in enumerate(kept, 1)]):
                break


@pytest.fixture
def trained(monkeypatch):
    def replace(results) -> Training:
        training = Training(results)
        monkeypatch.setattr(worker.experiment, "train", training)
        return training

    return replace


def states(study) -> list[tuple[str, float | None, str]]:
    return [(t.state, t.value, t.reason) for t in study.trials()]


def test_each_trial_has_the_value_of_its_best_epoch_and_its_own_folder(sweep_of, trained, messages):
    study = sweep_of(SWEEP, base="train: {epochs: 3}\nseed: 4\n")
    training = trained({0.1: [0.2, 0.6, 0.4], 0.2: [0.1, 0.1, 0.1], 0.3: [0.3, 0.2, 0.1]})
    worker.work(study)
    assert [t.state for t in study.trials()] == ["finished"] * 3
    assert [t.value for t in study.trials()] == pytest.approx([0.604, 0.104, 0.304], abs=1e-12)
    assert [name for name, _ in training.configs] == ["0001", "0002", "0003"]
    assert {config.tracking.group for _, config in training.configs} == {"sweep"}
    assert messages[:2] == ["trial 0001  optim.learning_rate=0.1", "trial 0001  val_accuracy 0.6040"]


def test_another_metric_is_that_of_the_epoch_that_is_kept(sweep_of, trained):
    study = sweep_of(SWEEP.replace("name: val_accuracy, goal: maximize", "name: val_loss, goal: minimize"))
    trained({0.1: [0.2], 0.2: [0.2], 0.3: [0.2]})
    worker.work(study)
    assert [t.value for t in study.trials()] == [0.5, 0.5, 0.5]


def test_the_value_of_repeats_is_their_mean_and_every_run_is_kept(sweep_of, trained):
    study = sweep_of(SWEEP + "keras_cnn: {repeats: 3}\n", base="seed: 5\ntrain: {epochs: 1}\n")
    training = trained({0.1: [0.1], 0.2: [0.2], 0.3: [0.3]})
    worker.work(study)
    names = [f"000{number}-seed{seed}" for number in (1, 2, 3) for seed in (5, 6, 7)]
    assert [(name, config.seed) for name, config in training.configs] == [(n, int(n[-1])) for n in names]
    assert [name for trial in study.trials() for name in trial.runs] == names
    assert [t.value for t in study.trials()] == pytest.approx([0.106, 0.206, 0.306], abs=1e-12)


def test_a_repeat_that_is_finished_is_not_trained_again(sweep_of, trained):
    study = sweep_of(SWEEP + "keras_cnn: {repeats: 2}\n", base="train: {epochs: 1}\n")
    with RunFolder.open_or_create(study.folder / "0001-seed1") as folder:
        write_run(folder, [0.9])
    training = trained({0.1: [0.1], 0.2: [0.2], 0.3: [0.3]})
    worker.work(study)
    assert training.configs[0][0] == "0001-seed2"
    assert study.trials()[0].value == pytest.approx((0.9 + 0.102) / 2)


REMEDY = "lower train.batch_size or the size of the images, or start fewer processes"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFinite("the loss became nan at epoch 1, step 2"), "the loss became nan at epoch 1, step 2"),
        (InputError("net1: pool2: map of 1x1 is smaller"), "net1: pool2: map of 1x1 is smaller"),
        (tf.errors.ResourceExhaustedError(None, None, "{{node a/b}} OOM\nwhen"), f"out of memory: OOM when; {REMEDY}"),
        (MemoryError("9 GB"), f"out of memory: 9 GB; {REMEDY}"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_a_failed_trial_is_recorded_with_its_reason_and_the_sweep_goes_on(sweep_of, trained, capsys, error, reason):
    study = sweep_of(SWEEP, base="train: {epochs: 1}\n")
    trained({0.1: [0.1], 0.2: error, 0.3: [0.3]})
    worker.work(study)
    assert states(study) == [("finished", 0.101, ""), ("failed", None, reason), ("finished", 0.301, "")]
    assert study.trials()[1].runs == ("0002",)
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, ZeroDivisionError)


def test_settings_that_the_base_does_not_allow_fail_their_trial_alone(sweep_of, trained):
    study = sweep_of(SWEEP.replace("0.2", "-1"), base="train: {epochs: 1}\n")
    trained({0.1: [0.1], 0.3: [0.3]})
    worker.work(study)
    assert [t.state for t in study.trials()] == ["finished", "failed", "finished"]
    assert "optim.learning_rate" in study.trials()[1].reason


@pytest.mark.parametrize("error", [Stopped("the disk is full"), KeyboardInterrupt(), Interrupted("stopped by SIGTERM")])
def test_what_is_not_the_trials_fault_stops_the_worker_and_leaves_the_trial(sweep_of, trained, error):
    study = sweep_of(SWEEP, base="train: {epochs: 1}\n")
    trained({0.1: [0.1], 0.2: error})
    with pytest.raises(Stopped, match=re.escape(str(error) or "stopped by a signal")) as raised:
        worker.work(study)
    assert isinstance(raised.value, Interrupted) == (type(error) is not Stopped)
    assert states(study)[1:] == [("stopped", None, "")]
    training = trained({0.2: [0.2], 0.3: [0.3]})
    worker.work(study)
    assert [t.state for t in study.trials()] == ["finished"] * 3
    assert study.trials()[1].attempts == 1
    assert len(training.configs) == 2


def test_a_run_folder_that_somebody_trains_in_is_no_fault_of_the_trial(sweep_of, trained):
    study = sweep_of(SWEEP)
    trained({})
    with RunFolder.open_or_create(study.folder / "0001"), pytest.raises(Stopped, match="0001: in use by process"):
        worker.work(study)
    assert states(study) == [("stopped", None, "")]


@pytest.mark.parametrize("moment", ["lease", "end"])
def test_a_signal_between_two_trials_loses_none(sweep_of, trained, monkeypatch, moment):
    study = sweep_of(SWEEP, base="train: {epochs: 1}\n")
    training = trained({0.1: [0.1], 0.2: [0.2], 0.3: [0.3]})
    original = getattr(study, moment)

    def signalled(*arguments, **settings):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(study, moment, signalled)
        with pytest.raises(Interrupted, match=r"^stopped by SIGTERM$"):
            worker.work(study)
    assert [t.state for t in study.trials()] == ["stopped" if moment == "lease" else "finished"]
    worker.work(study)
    assert [(t.state, t.attempts) for t in study.trials()] == [("finished", 1)] * 3
    assert len(training.configs) == 3


def test_images_that_are_not_there_are_no_fault_of_the_trials(sweep_of, trained, tmp_path):
    base = f"data: {{source: 'folder:{tmp_path}/photos'}}\ntrain: {{epochs: 1}}\n"
    study = sweep_of(SWEEP, base=base)
    with pytest.raises(InputError, match="photos"):
        worker.work(study)
    assert study.trials() == []
    trained({0.1: [0.1], 0.2: [0.2], 0.3: [0.3]})
    sources = "parameters: {data.source: {values: [fashion-mini, 'folder:a']}, optim.learning_rate: {value: 0.1}}\n"
    swept = sweep_of(f"method: grid\n{sources}", folder=tmp_path / "swept", base=base)
    worker.work(swept)  # each trial finds out for itself
    assert [t.state for t in swept.trials()] == ["finished", "finished"]


# --- early termination ---


def test_hyperband_stops_at_its_rungs_by_the_other_runs(sweep_of, trained, messages):
    # rungs 1, 2, 4; eta 2: of n values the best floor(n / 2) + 1 go on
    study = sweep_of(
        SWEEP.replace("[0.1, 0.2, 0.3]", "[1, 2, 3, 4]") + "early_terminate: {type: hyperband, min_iter: 1, eta: 2}\n",
        base="train: {epochs: 5}\n",
    )
    planted = {
        1.0: [0.5, 0.6, 0.6, 0.6, 0.7],  # the first to reach any rung
        2.0: [0.4, 0.5, 0.9, 0.5, 0.9],  # of two the best two go on, so never stopped
        3.0: [0.6, 0.3, 0.9, 0.9, 0.9],  # at rung 2 of 0.6, 0.5, 0.3 the best two
        4.0: [0.3, 0.9, 0.9, 0.9, 0.9],  # at rung 1 of 0.6, 0.5, 0.4, 0.3 the best three
    }
    trained(planted)
    worker.work(study)
    epochs = [len(RunFolder(study.folder / f"000{number}").history()) for number in (1, 2, 3, 4)]
    assert epochs == [5, 5, 2, 1]
    assert [t.state for t in study.trials()] == ["finished", "finished", "early", "early"]
    assert study.trials()[2].reason == "stopped by hyperband after 2 of 5 epochs"
    assert study.trials()[2].value == pytest.approx(0.601)
    assert messages[5] == "trial 0003  val_accuracy 0.6010  (stopped by hyperband after 2 of 5 epochs)"


def test_the_seeds_of_one_trial_are_not_compared_with_each_other(sweep_of, trained):
    study = sweep_of(
        SWEEP.replace("[0.1, 0.2, 0.3]", "[1, 2]").replace("maximize", "minimize")
        + "early_terminate: {type: hyperband, min_iter: 1, eta: 100}\nkeras_cnn: {repeats: 3}\n",
        base="train: {epochs: 2}\n",
    )
    trained({1.0: [0.4, 0.4], 2.0: [0.5, 0.5]})  # of a few values only the lowest goes on, and later seeds are higher
    worker.work(study)
    ended = {p.parent.name: len(RunFolder(p.parent).history()) for p in study.folder.glob("0*/history.csv")}
    assert ended == {f"000{n}-seed{s}": 2 if n == 1 else 1 for n in (1, 2) for s in (1, 2, 3)}
    assert [t.state for t in study.trials()] == ["finished", "early"]


def test_a_run_that_stopped_by_its_own_patience_has_not_been_terminated(sweep_of, trained):
    study = sweep_of(SWEEP, base="train: {epochs: 9, early_stopping: 2}\n")
    trained({0.1: [0.5, 0.4, 0.3], 0.2: [0.5, 0.4], 0.3: [0.1] * 9})
    worker.work(study)
    assert [t.state for t in study.trials()] == ["finished", "early", "finished"]


# --- lines and checks ---


def test_a_metric_that_no_run_has_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(SWEEP.replace("val_accuracy", "test_accuracy"))
    with pytest.raises(InputError, match=r"metric\.name: 'test_accuracy'; expected one of loss, accuracy, val_loss"):
        worker.check_metric(sweep_file.read_sweep(path))


def test_a_metric_that_runs_on_these_images_do_not_have_is_refused(sweep_of):
    one, several = (SimpleNamespace(several_labels=several, source="folder:x") for several in (False, True))
    sweep = sweep_of(SWEEP).sweep
    worker.check_metric_of(sweep, one)
    message = "metric: val_accuracy, but images of folder:x may have several labels; expected {name: val_map, goal: max"
    with pytest.raises(InputError, match=re.escape(message)):
        worker.check_metric_of(sweep, several)
    sweep = replace(sweep, metric=Metric(name="val_map", goal="maximize"))
    worker.check_metric_of(sweep, several)
    message = "metric: val_map, but images of folder:x have one class each; expected val_accuracy or val_loss"
    with pytest.raises(InputError, match=re.escape(message)):
        worker.check_metric_of(sweep, one)


def test_settings_that_vary_are_one_line(sweep_of):
    many = "optim.learning_rate: {min: 0.0, max: 1.0}, train.epochs: {values: [3, 4]}, train.batch_size: {value: 50}"
    more = "optim.nesterov: {values: [true]}, optim.schedule: {values: [step]}"
    sweep = sweep_of(f"method: random\nparameters: {{{many}, {more}}}\n").sweep
    values = (0.000123456, True, "step", 50, 3)
    line = "optim.learning_rate=0.0001235  optim.nesterov=true  optim.schedule=step  train.epochs=3"
    assert worker.settings(sweep, dict(zip(sweep.parameters, values, strict=True))) == line
