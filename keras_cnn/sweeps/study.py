"""A sweep's folder: its file, its trials in an Optuna study, and which living process works on which of them.

    SWEEP/sweep.yaml base.yaml sweep.json   what is swept, over which config, with which seed and how many trials
    SWEEP/study.journal                     the Optuna study; any tool of Optuna's reads it
    SWEEP/trials/0007.json 0007.lock        a trial's settings, attempts and end; its lock is held while it is worked on
    SWEEP/0007/ (or 0007-seed2/)            its run folder (one a seed)

Every process, on this host or another, that sees the folder may work. What changes the study happens under one lock;
locks are the kernel's, so they end with the process that holds them, however it ends: a trial that runs in the study
and whose lock is free belongs to a dead worker, and the next worker goes on with it, from its checkpoint.
"""

import datetime
import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from keras_cnn.errors import InputError, Stopped
from keras_cnn.runs import write_json, write_text
from keras_cnn.sweeps import space
from keras_cnn.sweeps.distributions import Distribution
from keras_cnn.sweeps.space import Sweep

ATTEMPTS = 2  # a trial whose worker dies is tried once more
FAILURES_IN_A_ROW = 10
RANDOM_FIRST = 10  # trials drawn at random before the Bayesian sampler has something to learn from
STUDY = "sweep"

optuna.logging.set_verbosity(logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """One trial as its file tells it; `number` counts from 1."""

    number: int
    assignment: dict[str, Any]
    attempts: int = 1
    worker: str = ""  # process and host that work or worked on it
    state: str = "running"  # running, stopped (on purpose, to be resumed), finished, early (terminated), failed
    value: float | None = None
    reason: str = ""  # of a failure or an early end
    runs: tuple[str, ...] = ()  # its run folders, one a seed
    started: str = ""
    ended: str = ""

    @property
    def label(self) -> str:
        return f"{self.number:04d}"


@dataclass
class Claim:
    """A trial that this process works on until `release`."""

    trial: Trial
    lock: int = field(repr=False)  # descriptor

    def release(self) -> None:
        os.close(self.lock)


class Study:
    """The trials of one sweep folder. Raises InputError if the folder holds no sweep."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            settings = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: not a sweep's folder: sweep.json: {error}") from None
        self.seed: int = settings["seed"]
        self.sweep: Sweep = space.read_sweep(folder / "sweep.yaml")
        self.cells = space.cells(self.sweep) if self.sweep.method == "grid" else None
        limits = [n for n in (self.sweep.run_cap, self.cells and len(self.cells)) if n is not None]
        self.cap: int | None = min(limits) if limits else None

    @classmethod
    def create(cls, folder: Path, sweep: Sweep, base: str, seed: int) -> "Study":
        """A new sweep in `folder`; `base` is the YAML of the config that every trial changes."""
        (folder / "trials").mkdir()
        write_text(folder / "sweep.yaml", space.standalone(sweep))
        write_text(folder / "base.yaml", base)
        optuna.create_study(storage=_storage(folder), study_name=STUDY, direction=_direction(sweep))
        write_json(folder / "sweep.json", {"seed": seed, "created": _now()})
        return cls(folder)

    # --- reading ---

    def first(self) -> dict[str, Any]:
        """The settings of the first trial."""
        return self._draw(1)[2]

    def trials(self) -> list[Trial]:
        """All trials by number."""
        return [self._read(number) for number in range(1, len(self._frozen()) + 1)]

    def ended(self) -> bool:
        """Whether no trial is left to start or to go on with."""
        trials = self.trials()
        return self._is_full(trials) and all(t.state not in ("running", "stopped") for t in trials)

    def best(self) -> Trial | None:
        """The finished trial with the best value, the earlier one of equals; None if none has finished."""
        sign = 1 if self._maximizes else -1
        done = [t for t in self.trials() if t.value is not None and t.state in ("finished", "early")]
        return max(done, key=lambda t: (sign * t.value, -t.number), default=None)

    @property
    def _maximizes(self) -> bool:
        return _direction(self.sweep) == "maximize"

    def run_folders(self, trial: Trial) -> list[Path]:
        """The run folders of a trial that have been begun."""
        return sorted(p.parent for p in self.folder.glob(f"{trial.label}*/config.yaml"))

    # --- working ---

    def claim(self) -> Claim | None:
        """The next trial to work on: one that a dead worker left, else a new one; None if there is nothing to do.

        Raises Stopped after ten failures in a row.
        """
        with self._locked():
            trials = self.trials()
            for trial in trials:
                if trial.state in ("running", "stopped") and (lock := self._try_lock(trial)) is not None:
                    if trial.state == "running":
                        trial = replace(trial, attempts=trial.attempts + 1)
                    if trial.attempts > ATTEMPTS:
                        self._end(replace(trial, state="failed", reason=f"its worker died {ATTEMPTS} times"))
                        os.close(lock)
                        continue
                    return Claim(self._write(replace(trial, state="running", worker=_worker())), lock)
            trials = self.trials()
            self._heed_failures(trials)
            if self._is_full(trials):
                return None
            trial = self._new(len(trials) + 1)
            return Claim(self._write(trial), self._try_lock(trial))

    def end(self, claim: Claim, **changes: Any) -> Trial:
        """Records how a trial ended (`state`, `value`, `reason`, `runs`) and lets it go."""
        with self._locked():
            trial = self._end(replace(claim.trial, **changes))
        claim.release()
        return trial

    def stop(self, claim: Claim, runs: tuple[str, ...]) -> None:
        """Lets a trial go that was stopped on purpose, to be gone on with."""
        with self._locked():
            self._write(replace(claim.trial, state="stopped", runs=runs))
        claim.release()

    def _is_full(self, trials: list[Trial]) -> bool:
        metric = self.sweep.metric
        if metric and metric.target is not None:
            sign = 1 if self._maximizes else -1
            if any(t.value is not None and sign * t.value >= sign * metric.target for t in trials):
                return True
        return self.cap is not None and len(trials) >= self.cap

    def _heed_failures(self, trials: list[Trial]) -> None:
        ended = sorted((t for t in trials if t.ended), key=lambda t: t.ended)[-FAILURES_IN_A_ROW:]
        if len(ended) == FAILURES_IN_A_ROW and all(t.state == "failed" for t in ended):
            raise Stopped(
                f"{self.folder}: {FAILURES_IN_A_ROW} trials in a row failed; the last, {ended[-1].label}:"
                f" {ended[-1].reason}"
            )

    def _new(self, number: int) -> Trial:
        """A trial is born whole, in one record of the journal: no kill can leave one without its settings."""
        params, distributions, assignment = self._draw(number)
        frozen = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={"assignment": json.dumps(assignment)},
        )
        frozen.datetime_complete = None
        self._study().add_trial(frozen)
        return Trial(number, assignment, worker=_worker(), started=_now())

    def _draw(self, number: int) -> tuple[dict, dict, dict[str, Any]]:
        """Optuna's parameters and distributions, and the assignment, of trial `number`.

        What is drawn depends on the sweep's seed, the number and, for Bayes, the trials told before, not on the
        worker: no two workers draw from one stream, and a resumed sweep does not begin its stream anew.
        """
        generator = np.random.default_rng([self.seed, number])
        if self.cells is not None:
            return {}, {}, self.cells[self._cell(number - 1)]
        if self.sweep.method == "random" or number <= RANDOM_FIRST:
            units = {name: float(generator.random()) for name in self.sweep.parameters}
            values = {n: d.from_unit(units[n]) for n, d in self.sweep.parameters.items()}
            if self.sweep.method == "random":
                return {}, {}, values
            found = {n: _param(d, values[n], units[n]) for n, d in self.sweep.parameters.items() if _optuna(d)}
            return found, {n: _optuna(self.sweep.parameters[n]) for n in found}, values
        sampler = optuna.samplers.TPESampler(
            seed=int(generator.integers(2**32)), n_startup_trials=0, multivariate=True, warn_independent_sampling=False
        )
        copy = optuna.create_study(direction=_direction(self.sweep), sampler=sampler)
        copy.add_trials(self._frozen())
        distributions = {n: found for n, d in self.sweep.parameters.items() if (found := _optuna(d))}
        params = copy.ask(distributions).params
        values = {n: _value(d, params.get(n)) for n, d in self.sweep.parameters.items()}
        return params, distributions, values

    def _cell(self, index: int) -> int:
        if self.sweep.order == "given":
            return index
        return int(np.random.default_rng([self.seed, 0]).permutation(len(self.cells))[index])

    # --- files ---

    def _end(self, trial: Trial) -> Trial:
        state = TrialState.FAIL if trial.value is None else TrialState.COMPLETE
        study = self._study()
        if study.get_trials(deepcopy=False)[trial.number - 1].state == TrialState.RUNNING:
            study.tell(trial.number - 1, trial.value, state=state)
        return self._write(replace(trial, ended=_now()))

    def _write(self, trial: Trial) -> Trial:
        write_json(self.folder / "trials" / f"{trial.label}.json", asdict(trial))
        return trial

    def _read(self, number: int) -> Trial:
        """From its file; the study's record is written first, so a kill between the two leaves the study ahead."""
        frozen = self._frozen()[number - 1]
        path = self.folder / "trials" / f"{number:04d}.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            trial = Trial(**found | {"runs": tuple(found["runs"])})
        else:
            trial = Trial(number, json.loads(frozen.user_attrs["assignment"]), attempts=0)
        if trial.state == "running" and frozen.state.is_finished():
            state = "finished" if frozen.state == TrialState.COMPLETE else "failed"
            trial = replace(trial, state=state, value=frozen.value, ended=frozen.datetime_complete.isoformat())
        return trial

    def _study(self) -> optuna.Study:
        return optuna.load_study(storage=_storage(self.folder), study_name=STUDY)

    def _frozen(self) -> list[FrozenTrial]:
        return self._study().get_trials(deepcopy=False)

    def _try_lock(self, trial: Trial) -> int | None:
        descriptor = os.open(self.folder / "trials" / f"{trial.label}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "sweep.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _JournalLock:
    """The kernel's lock instead of Optuna's lock file, which outlives a killed process by half a minute."""

    def __init__(self, path: Path):
        self._path, self._file = path, None

    def acquire(self) -> bool:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        self._file.close()


def _storage(folder: Path) -> optuna.storages.JournalStorage:
    path = folder / "study.journal"
    return optuna.storages.JournalStorage(JournalFileBackend(str(path), _JournalLock(folder / "journal.lock")))


def _direction(sweep: Sweep) -> str:
    return sweep.metric.goal if sweep.metric else "maximize"


def _optuna(distribution: Distribution) -> optuna.distributions.BaseDistribution | None:
    """What Optuna is to choose: a value's index, a whole number, or the quantile of any other distribution."""
    if distribution.kind == "constant":
        return None
    if (values := distribution.values()) is not None and distribution.kind != "int_uniform":
        return CategoricalDistribution(range(len(values)))
    if distribution.kind == "int_uniform":
        return IntDistribution(distribution.settings["min"], distribution.settings["max"])
    return FloatDistribution(0.0, 1.0)


def _value(distribution: Distribution, chosen: Any) -> Any:
    if distribution.kind == "constant":
        return distribution.settings["value"]
    if distribution.kind == "int_uniform":
        return chosen
    if (values := distribution.values()) is not None:
        return values[chosen]
    return distribution.from_unit(min(chosen, float(np.nextafter(1.0, 0.0))))


def _param(distribution: Distribution, value: Any, unit: float) -> Any:
    if distribution.kind == "int_uniform":
        return value
    if (values := distribution.values()) is not None:
        return values.index(value)
    return unit


def _worker() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
