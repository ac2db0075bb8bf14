"""Sweeps and comparisons from the library: grids and searches over settings, each trial a run of its own."""

import contextlib
import html
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from keras_cnn.analysis.recipes import check as check_comparison
from keras_cnn.analysis.recipes_section import brief, write_comparison
from keras_cnn.analysis.sections import PageSection
from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.data import load_data
from keras_cnn.api.run import Run
from keras_cnn.api.settings import Settings, dotted_settings, image_settings, overrides
from keras_cnn.config.shipped import Kind, find_config
from keras_cnn.config.yaml_file import dumped
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.run_folder import shell_command
from keras_cnn.sweeps import local, plan, sweep_file, worker
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.sweeps.study import Study, Trial
from keras_cnn.training.experiment import TrainingCost


class SweepResult:
    """The sweep in a folder, complete or not.

    >>> keras_cnn.SweepResult("runs/sweep").trials["state"].tolist()
    ['finished']

    Raises InputError for a folder that is not that of a sweep.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._study = Study(self.path)

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial by its number: state, value of the sweep's metric, and settings."""
        rows = [{"trial": t.number, "state": t.state, "value": t.value, **t.assignment} for t in self._study.trials()]
        return pd.DataFrame(rows).set_index("trial") if rows else pd.DataFrame()

    @property
    def best(self) -> Run:
        """The run of the best trial, chosen on the validation split. InputError if no trial has a value."""
        trial = self._best_trial()
        return Run(self.path / trial.runs[0])

    @property
    def best_settings(self) -> dict[str, Any]:
        """The settings of the best trial."""
        return dict(self._best_trial().assignment)

    @public
    def resume(self, workers: int = 1, *, verbose: bool = True) -> None:
        """Goes on with a sweep that was stopped. InputError if it is complete.

        >>> keras_cnn.SweepResult("runs/sweep").resume()
        Traceback (most recent call last):
        keras_cnn.errors.InputError: runs/sweep: this sweep is complete; next: ...
        """
        with messages(verbose), PrewarmedWorkers(checked_workers(workers)) as ready:
            local.resume(self._study, workers, ready, may_join=False)

    @public
    def join(self, *, verbose: bool = True) -> None:
        """Trains trials of the sweep in this process until none is left, as one more worker of its folder.

        >>> keras_cnn.SweepResult("runs/sweep").join(verbose=False)

        Other processes and hosts that see the folder may work on it at the same time.
        """
        with messages(verbose), own_settings():
            worker.work(self._study)

    @public
    def finish(self, *, verbose: bool = True) -> Run:
        """Trains the best trial again with its seed, and reads the test split, once."""
        with messages(verbose), own_settings():
            local.finish(self._study)
        return Run(self.path / "best")

    def _best_trial(self) -> Trial:
        trial = self._study.best()
        if trial is None:
            raise InputError(f"{self.path}: no trial has finished; nothing to choose from")
        return trial

    def __repr__(self) -> str:
        trials, best = self._study.trials(), self._study.best()
        found = f"best {best.value:.4f} with {best.assignment}" if best else "none with a value"
        return f"<SweepResult {self.path}: {len(trials)} trials, {found}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.trials.to_html(float_format='%.4g')}"


class ComparisonResult(SweepResult):
    """The comparison of recipes in a folder: a grid in which each cell is trained to its end, with several seeds.

    >>> keras_cnn.ComparisonResult("runs/comparison").table["recipe"].tolist()
    ['lenet', 'model2']

    Raises InputError for a folder that is not that of a comparison.
    """

    @cached_property
    def _section(self) -> PageSection:
        return write_comparison(self._study)[0]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each recipe: time, losses and accuracies with Student's intervals over the seeds."""
        return self._section.frames["comparison"]

    @property
    def differences(self) -> pd.DataFrame:
        """A row for each measure of two recipes that differ in one setting: the mean difference of paired seeds, its
        95 % interval and a verdict, which is inconclusive below six pairs.
        """
        return self._section.frames["differences"]

    @property
    def seeds(self) -> pd.DataFrame:
        """A row for each run."""
        return self._section.frames["seeds"]

    def __repr__(self) -> str:
        return "\n".join([f"<ComparisonResult {self.path}>", *brief(self._section)])

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format="%.4f", index=False)


@public
def sweep(
    file: str | Path | Mapping[str, Any],
    data: Any = None,
    *,
    workers: int = 1,
    run_cap: int | None = None,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> SweepResult:
    """Runs a W&B sweep file to its end, on this machine, in processes of its own; the test split is not read.

    >>> parameters = {"optim.learning_rate": {"values": [0.01]}}
    >>> asked = {"method": "grid", "metric": {"name": "val_loss", "goal": "minimize"}, "parameters": parameters}
    >>> result = keras_cnn.sweep(asked, data, epochs=1, options={"model.name": "lenet"}, verbose=False)
    >>> result.best_settings
    {'optim.learning_rate': 0.01}

    Args:
        file: a sweep file of W&B, its content as nested dicts, or the name of one that comes with the package, such as
            cs6910.
        data: what `load_data` returns, or anything that it takes; by default the source of the sweep's base config.
        workers: number of processes, which share the cores.
        run_cap: number of trials, in place of the file's.
        options: options of every trial by dotted name; `settings` by their last names, as for `train`.
        path: the folder of the sweep, new or empty; by default `runs/NAME`, `runs/NAME-2`, ...
        verbose: whether each trial is printed; a notebook has one bar.

    Raises:
        InputError: for a file that W&B would refuse, and for wrong settings; no folder is left then.
        Stopped: on Ctrl-C or a fault of the machine; every trial has its checkpoint.
    """
    given = given_settings("sweep", data, settings, options)
    with messages(verbose), PrewarmedWorkers(checked_workers(workers)) as ready, _file(file, "sweep") as read:
        study = plan.create(read, overrides(given), run_cap=run_cap, run_dir=_folder(path), accepted=True)
        local.run(study, workers, is_new=True, ready=ready, may_join=False)
    return SweepResult(study.folder)


@public
def compare(
    file: str | Path | Mapping[str, Any],
    data: Any = None,
    *,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> ComparisonResult:
    """Trains every recipe of a grid to its end, each with the same seeds, and compares them, as `--compare` does.

    >>> recipes = {"method": "grid", "parameters": {"model.name": {"values": ["lenet", "model2"]}}}
    >>> result = keras_cnn.compare(recipes, data, epochs=1, verbose=False)
    >>> len(result.table)
    2

    Args:
        file: a file such as those in configs/comparisons, its content as nested dicts, or the name of one of these.
        data, workers, options, path, verbose, settings: as for `sweep`.

    Raises:
        InputError: for a file that is no grid, and for wrong settings; no folder is left then.
        Stopped: on Ctrl-C or a fault of the machine; every run has its checkpoint.
    """
    given = given_settings("compare", data, settings, options)
    with messages(verbose), PrewarmedWorkers(checked_workers(workers)) as ready, _file(file, "comparison") as read:
        check_comparison(sweep_file.read_sweep(read))
        study = plan.create(read, overrides(given), run_dir=_folder(path), accepted=True)
        going_on = shell_command("finetune", "--resume", study.folder)
        local.run(study, workers, is_new=True, resume=going_on, ready=ready, may_join=False)
        result = ComparisonResult(study.folder)
        for line in brief(result._section):
            logger.info(line)
    return result


def dry_run_sweep(
    file: str | Path | Mapping[str, Any],
    data: Any,
    run_cap: int | None,
    settings: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> tuple[int | None, TrainingCost]:
    """Logs what `sweep` would do. Returns the number of trials, None without end, and the cost of the first one."""
    given = given_settings("sweep", data, settings, options)
    with _file(file, "sweep") as read:
        return plan.dry_run(read, overrides(given), run_cap)


def dry_run_comparison(
    file: str | Path | Mapping[str, Any], data: Any, settings: Mapping[str, Any], options: Mapping[str, Any] | None
) -> tuple[int | None, TrainingCost]:
    """Logs what `compare` would do. Returns the number of recipes and the cost of the first one."""
    given = given_settings("compare", data, settings, options)
    with _file(file, "comparison") as read:
        check_comparison(sweep_file.read_sweep(read))
        return plan.dry_run(read, overrides(given), None)


def checked_workers(workers: int) -> int:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers: found {workers!r}, expected a whole number from 1")
    return workers


def given_settings(
    call: str, data: Any, settings: Mapping[str, Any], options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The options of all trials by dotted name, with those of the data."""
    given = dotted_settings(call, settings, options)
    if data is None:
        return given
    return {**image_settings(data if isinstance(data, Dataset) else load_data(data)), **given}


@contextlib.contextmanager
def _file(given: str | Path | Mapping[str, Any], kind: Kind) -> Iterator[Path]:
    """The file of a sweep; its content becomes one."""
    if not isinstance(given, Mapping):
        yield find_config(Path(given), kind)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{kind}.yaml"
        file.write_text(dumped(dict(given)), encoding="utf-8")
        yield file


def _folder(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
