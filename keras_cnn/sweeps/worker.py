"""One process of a sweep: takes trial after trial from the study, trains each, and records how it ended."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.records import read_record
from keras_cnn.runs import HISTORY_COLUMNS, RunFolder
from keras_cnn.sweeps import space
from keras_cnn.sweeps.hyperband import should_stop
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Claim, Study
from keras_cnn.training import experiment
from keras_cnn.training.parts import Shared

Say = Callable[[str], None]


def work(study: Study, say: Say = print) -> None:
    """Trains trials until none is left to start.

    Raises Interrupted on a signal, with the trial under way to be gone on with, and Stopped after too many failures in
    a row.
    """
    # A new network compiles anew, which TensorFlow takes for an oversight and says at every trial.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    shared = Shared()
    while (claim := study.claim()) is not None:
        _try(study, claim, shared, say)


def _try(study: Study, claim: Claim, shared: Shared, say: Say) -> None:
    trial = claim.trial
    say(f"trial {trial.label}  {settings(trial.assignment)}")
    names: list[str] = []
    try:
        value, early = _train(study, claim, shared, names, say)
    except Interrupted:
        study.stop(claim, tuple(names))
        raise
    except (InputError, Stopped) as error:
        ended = study.end(claim, state="failed", reason=str(error), runs=tuple(names))
    except (tf.errors.ResourceExhaustedError, MemoryError):
        ended = study.end(claim, state="failed", reason="out of memory", runs=tuple(names))
    else:
        state = "early" if early else "finished"
        ended = study.end(claim, state=state, value=value, reason=early, runs=tuple(names))
    finally:
        keras.backend.clear_session()  # the next trial's layers are named as in a run of its own
    say(f"trial {trial.label}  {outcome(study.sweep, ended)}")


def _train(study: Study, claim: Claim, shared: Shared, names: list[str], say: Say) -> tuple[float, str]:
    """The mean over the trial's seeds of the sweep's metric, and why it ended early if it did."""
    values, early = [], ""
    for repeat in range(study.sweep.repeats):
        config = trial_config(study, claim.trial.assignment, repeat)
        name = claim.trial.label if study.sweep.repeats == 1 else f"{claim.trial.label}-seed{config.seed}"
        names.append(name)
        with RunFolder.begun(study.folder / name) as folder:
            watch = Watch(study, name)
            experiment.train_trial(config, folder, shared, watch, say)
            values.append(metric_of(study.sweep, folder.path))
            early = early or watch.reason
    return sum(values) / len(values), early


def trial_config(study: Study, assignment: Mapping[str, Any], repeat: int = 0) -> Config:
    """The base with the trial's settings and the seed of its repeat. InputError where the base does not allow them."""
    base = study.folder / "base.yaml"
    overrides = space.overrides(study.sweep, assignment)
    config = config_module.load(base, overrides, BUILDERS)
    group = ["--tracking.group", study.folder.resolve().name] if config.tracking.group is None else []
    seed = ["--seed", str(config.seed + repeat)]
    return config_module.load(base, [*overrides, *group, *seed], BUILDERS)


class Watch:
    """Stops a run early where W&B's hyperband would, by the histories of the sweep's other runs.

    Of a repeated trial each seed is compared with the runs of all other trials.
    """

    def __init__(self, study: Study, name: str):
        self._study, self._name, self.reason = study, name, ""

    def __call__(self, history: list[dict]) -> bool:
        """Whether the run with this history, one row an epoch, is to stop."""
        hyperband, metric = self._study.sweep.early_terminate, self._study.sweep.metric
        if hyperband is None:
            return False
        own = [row[metric.name] for row in history]
        stops = should_stop(hyperband, metric.goal, own, self._others(metric.name))
        if stops:
            self.reason = f"stopped by hyperband after epoch {len(own)} at {metric.name} {own[-1]:.4f}"
        return stops

    def _others(self, metric: str) -> list[list[float]]:
        label = self._name[:4]
        folders = [run for t in self._study.trials() if t.label != label for run in self._study.run_folders(t)]
        return [[row[metric] for row in read_record(folder).history] for folder in folders]


def metric_of(sweep: Sweep, folder: Path) -> float:
    """The sweep's metric in the epoch that the run keeps as its best; without a metric, validation accuracy."""
    record = read_record(folder)
    name = sweep.metric.name if sweep.metric else "val_accuracy"
    return float(record.history[record.metrics["best_epoch"] - 1][name])


def check_metric(sweep: Sweep) -> None:
    """InputError if the sweep's metric is none that a run's history has."""
    numbers = [name for name in HISTORY_COLUMNS if name != "epoch"]
    if sweep.metric and sweep.metric.name not in numbers:
        raise InputError(f"{sweep.path}: metric.name: {sweep.metric.name!r}; expected one of {', '.join(numbers)}")


def settings(assignment: Mapping[str, Any]) -> str:
    """A trial's settings in one line."""
    return "  ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                     for name, value in assignment.items())  # fmt: skip


def outcome(sweep: Sweep, trial) -> str:
    """How a trial ended, in one line."""
    if trial.value is None:
        return f"{trial.state}: {trial.reason}"
    name = sweep.metric.name if sweep.metric else "val_accuracy"
    return f"{name} {trial.value:.4f}" + (f"  ({trial.reason})" if trial.reason else "")
