"""Sweeps from the library: the trials of a W&B sweep file, as `train.py --sweep` runs them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.data import load_data
from keras_cnn.api.run import Run, open_run
from keras_cnn.api.settings import Settings, dotted_settings, image_settings, overrides
from keras_cnn.config.shipped import find_config
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.sweeps import local, plan
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.sweeps.study import Study, Trial


class SweepResult:
    """The sweep in a folder, complete or not.

    >>> keras_cnn.SweepResult("runs/cs6910").trials

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
        return open_run(self.path / trial.runs[0])

    @property
    def best_settings(self) -> dict[str, Any]:
        """The settings of the best trial."""
        return dict(self._best_trial().assignment)

    @public
    def finish(self, *, verbose: bool = True) -> Run:
        """Trains the best trial again with its seed, and reads the test split, once."""
        with messages(verbose), own_settings():
            local.finish(self._study)
        return open_run(self.path / "best")

    def _best_trial(self) -> Trial:
        trial = self._study.best()
        if trial is None:
            raise InputError(f"{self.path}: no trial has finished; nothing to choose from")
        return trial

    def __repr__(self) -> str:
        trials, best = self._study.trials(), self._study.best()
        found = f"best {best.value:.4f} with {best.assignment}" if best else "none with a value"
        return f"<SweepResult {self.path}: {len(trials)} trials, {found}>"


@public
def sweep(
    file: str | Path,
    data: Any = None,
    *,
    workers: int = 1,
    run_cap: int | None = None,
    options: Mapping[str, Any] | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> SweepResult:
    """Runs a W&B sweep file to its end, on this machine, in processes of its own; the test split is not read.

    >>> keras_cnn.sweep("sweep.yaml", data=data, workers=2).best

    Args:
        file: a sweep file of W&B, or the name of one that comes with the package, such as cs6910.
        data: what `load_data` returns, or anything that it takes; by default the source of the sweep's base config.
        workers: number of processes, which share the cores.
        run_cap: number of trials, in place of the file's.
        options: options of every trial by dotted name; `settings` by their last names, as for `train`.

    Raises:
        InputError: for a file that W&B would refuse, and for wrong settings; no folder is left then.
        Stopped: on Ctrl-C or a fault of the machine; every trial has its checkpoint.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers: found {workers!r}, expected a whole number from 1")
    given = dotted_settings("sweep", settings, options)
    if data is not None:
        given = {**image_settings(data if isinstance(data, Dataset) else load_data(data)), **given}
    path = find_config(Path(file), "sweep")
    with messages(verbose), PrewarmedWorkers(workers) as ready:
        study = plan.create(path, overrides(given), run_cap=run_cap, accepted=True)
        local.run(study, workers, is_new=True, ready=ready)
    return SweepResult(study.folder)
