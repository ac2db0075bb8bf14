"""A worker of a sweep: takes trial after trial from the study, trains it, and records how it ended."""

import gc
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import keras

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.config.batch_size import require_number, with_scaled_rate
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import BUG, InputError, Interrupted, Stopped, brief, explained
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import logger
from keras_cnn.run_folder import HISTORY_COLUMNS, MULTILABEL_COLUMNS, RunFolder, is_config_of_boxes, read_json
from keras_cnn.sweeps import space, wandb
from keras_cnn.sweeps.hyperband import should_stop
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Study, Trial, TrialLease
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.detection import task as detection_task
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.preparing import folds_of, trials_of
from keras_cnn.training import experiment
from keras_cnn.training.interrupt import Interrupt
from keras_cnn.training.loop import NotFinite
from keras_cnn.training.task import Prepare

History = list[dict[str, float]]


class Engine(Protocol):
    """Chooses the trials, and ends some of them early."""

    def lease(self, interrupted: Callable[[], bool]) -> TrialLease | None: ...

    def stops(self, trial: Trial, history: History) -> bool: ...


class LocalEngine:
    """Chooses trials by the study's own sampler, and ends them by W&B's hyperband on the runs in its folder."""

    def __init__(self, study: Study):
        self._study = study

    def lease(self, interrupted: Callable[[], bool]) -> TrialLease | None:
        return self._study.lease()

    def stops(self, trial: Trial, history: History) -> bool:
        """Compares a run with the runs of all other trials, never with other seeds of its own."""
        hyperband, metric = self._study.sweep.early_terminate, self._study.sweep.metric
        if hyperband is None or metric is None:
            return False
        own, *others = ([row[metric.name] for row in rows] for rows in (history, *self._others(trial)))
        return should_stop(hyperband, metric.goal, own, others)

    def _others(self, trial: Trial) -> list[History]:
        folders = [path.parent for path in self._study.folder.glob("[0-9]*/history.csv")]
        return [RunFolder(path).history() for path in folders if path.name.partition("-")[0] != trial.label]


def work(study: Study) -> None:
    """Trains trials until none is left to start.

    Raises Interrupted on a signal, and Stopped for a fault that is not the trial's (a full disk, a missing image,
    too many failures in a row); the current trial can then be resumed.
    """
    # Each new network compiles again, for which TensorFlow would log a warning at every trial.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # clear_session collects garbage: 0.7 s per trial in all that TensorFlow imported, almost nothing if frozen.
    gc.collect()
    gc.freeze()
    engine, shared = wandb.ServerEngine(study) if study.wandb_sweep else LocalEngine(study), SharedResources()
    _load_shared_images(study, shared)
    while True:
        with Interrupt() as interrupt:  # a signal waits until a trial is either taken or not
            lease = engine.lease(lambda: interrupt.name is not None)
        if lease is None:
            interrupt.check()
            logger.info(f"sweep     {study.folder}: nothing is left to begin")
            return
        trial = _try(study, lease, engine, shared, interrupt)
        logger.info(f"trial {trial.label}  {outcome(study.sweep, trial)}")


def _load_shared_images(study: Study, shared: SharedResources) -> None:
    """Reads the images if all trials train on the same ones, so that InputError comes before the first trial."""
    swept = {field for name in study.sweep.parameters for field in space.fields_of(study.sweep, name)}
    are_swept = any(field.startswith("data.") and not field.startswith("data.augment") for field in swept)
    if not are_swept and not study.ended():
        shared.dataset(config_module.load(study.folder / "base.yaml", [], BUILDERS))


def _try(study: Study, lease: TrialLease, engine: Engine, shared: SharedResources, before: Interrupt) -> Trial:
    logger.info(f"trial {lease.trial.label}  {settings(study.sweep, lease.trial.assignment)}")
    names: list[str] = []
    try:
        before.check()
        value, early = _train(study, lease.trial, engine, shared, names)
        end = {"state": "early" if early else "finished", "value": value, "reason": early}
    except Exception as error:  # any failure is recorded with its reason, and the sweep goes on
        if isinstance(error, Stopped) and not isinstance(error, NotFinite):
            _release(study, lease)
            raise
        end = {"state": "failed", "reason": _reason(error)}
    except KeyboardInterrupt:
        _release(study, lease)
        raise Interrupted("stopped by a signal") from None
    finally:
        keras.backend.clear_session()  # the next trial's layers are named as in a run of its own
    with Interrupt() as interrupt:
        trial = study.end(lease, runs=tuple(names), **end)
    interrupt.check()
    return trial


def _release(study: Study, lease: TrialLease) -> None:
    with Interrupt():
        study.stop(lease)


def _reason(error: Exception) -> str:
    """Why a trial failed, in one line. Logs the traceback if the cause is neither the input nor the machine."""
    lines, status = explained(error)
    if status != BUG:
        return "; ".join(lines).removeprefix("error: ")
    traceback.print_exception(error, file=sys.stderr)
    return f"{type(error).__name__}: {brief(error)}"


def _train(study: Study, trial: Trial, engine: Engine, shared: SharedResources, names: list[str]) -> tuple[float, str]:
    """The mean of the sweep's metric over the trial's seeds, and why the trial ended early or ""; fills `names`."""
    values, early, base = [], "", study.folder / "base.yaml"
    for repeat in range(study.sweep.repeats):
        config = trial_config(study.sweep, base, trial.assignment, study.folder.resolve().name, repeat)
        names.append(trial.label if study.sweep.repeats == 1 else f"{trial.label}-seed{config.seed}")
        with _begun(study.folder / names[-1]) as folder:
            if not folder.finished:
                experiment.train(
                    config, folder, _prepare(study.sweep, config, shared), watch=lambda rows: engine.stops(trial, rows)
                )
            values.append(metric_of(study.sweep, folder))
            early = early or early_end(config, folder)
    return sum(values) / len(values), early


def _prepare(sweep: Sweep, config: Config | BoxConfig, shared: SharedResources) -> Prepare:
    """What makes the task of a trial: one that does not read the test split or, of a fold, one that does."""
    if isinstance(config, BoxConfig):
        return cast(Prepare, detection_task.fold)
    return cast(Prepare, folds_of(shared) if sweep.folds else trials_of(shared))


def _begun(path: Path) -> RunFolder:
    try:
        return RunFolder.open_or_create(path)
    except InputError as error:  # another process trains in it: no fault of the settings
        raise Stopped(str(error)) from None


def trial_config(
    sweep: Sweep, base: Path, assignment: Mapping[str, Any], group: str | None = None, repeat: int = 0
) -> Config:
    """The base with the trial's settings, W&B's `group` if it has none, and the seed of its repeat.

    Raises InputError if the base does not allow the settings.
    """
    builders, kind = ({}, BoxConfig) if is_config_of_boxes(base) else (BUILDERS, Config)
    config = config_module.load(base, space.overrides(sweep, assignment), builders, kind)
    require_number(config, "the trials of a sweep differ in its parameters alone")
    config = with_scaled_rate(config)
    tracking = replace(config.tracking, group=config.tracking.group or group)
    return replace(config, seed=config.seed + repeat, tracking=tracking)


def metric_of(sweep: Sweep, folder: RunFolder) -> float:
    """The sweep's metric in the epoch that the run keeps as its best; of a fold, that of the held-out images."""
    if sweep.folds:
        return float(read_json(folder / "metrics.json", {sweep.metric_name: float})[sweep.metric_name])
    return float(folder.history()[_best_epoch(folder) - 1][sweep.metric_name])


def early_end(config: Config, folder: RunFolder) -> str:
    """Why a finished run has fewer epochs than its config asks for, if the sweep ended it; else "".

    This is read from the run's files and not from memory, so that nothing is lost if a worker dies.
    """
    epochs, patience = len(folder.history()), config.train.early_stopping
    by_itself = patience is not None and epochs - _best_epoch(folder) >= patience
    if epochs == config.train.epochs or by_itself:
        return ""
    return f"stopped by hyperband after {epochs} of {config.train.epochs} epochs"


def _best_epoch(folder: RunFolder) -> int:
    return read_json(folder / "metrics.json", {"best_epoch": int})["best_epoch"]


def check_metric(sweep: Sweep) -> None:
    """Raises InputError if the sweep's metric is no column of a run's history."""
    numbers = [name for name in dict.fromkeys((*HISTORY_COLUMNS, *MULTILABEL_COLUMNS)) if name != "epoch"]
    if sweep.metric and sweep.metric.name not in numbers:
        raise InputError(f"{sweep.path}: metric.name: {sweep.metric.name!r}; expected one of {', '.join(numbers)}")


def check_metric_of(sweep: Sweep, dataset: Dataset) -> None:
    """Raises InputError if runs on these images, of one class each or of several labels, do not have the metric."""
    columns = MULTILABEL_COLUMNS if dataset.several_labels else HISTORY_COLUMNS
    if sweep.metric_name not in columns:
        kind = "may have several labels" if dataset.several_labels else "have one class each"
        expected = "{name: val_map, goal: maximize}" if dataset.several_labels else "val_accuracy or val_loss"
        raise InputError(
            f"{sweep.path}: metric: {sweep.metric_name}, but images of {dataset.source} {kind}; expected {expected}"
        )


def settings(sweep: Sweep, assignment: Mapping[str, Any]) -> str:
    """A trial's settings in one line, without those that all trials share."""
    varied = {name: value for name, value in assignment.items() if sweep.parameters[name].kind != "constant"}
    return "  ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={space.typed(value)}"
        for name, value in varied.items()
    )


def outcome(sweep: Sweep, trial: Trial) -> str:
    """How a trial ended, in one line."""
    if trial.value is None:
        return f"{trial.state}: {trial.reason}"
    return f"{sweep.metric_name} {trial.value:.4f}" + (f"  ({trial.reason})" if trial.reason else "")
