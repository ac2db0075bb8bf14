"""The folder of a sweep: its file, its trials in an Optuna study, and the locks of the trials in progress.

    SWEEP/sweep.yaml base.yaml sweep.json   what is swept, over which config, with which seed
    SWEEP/study.journal                     the Optuna study, and in it each trial's settings, attempts and end
    SWEEP/trials.csv                        the same as a table, for people
    SWEEP/locks/0007                        held by the process that works on trial 7
    SWEEP/0007/ (or 0007-seed2/)            its run folder (one per seed)

Any process that sees the folder, on this host or another, may be a worker. The journal is the only record; lines are
added to it under one lock, each completely or not at all. The locks are kernel locks, so they end with the process that
holds them, however it ends. If the study says that a trial is running but its lock is free, its worker is dead, and the
next worker resumes the trial from its checkpoint.
"""

import datetime
import logging
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from keras_cnn.csv_tables import csv_text
from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import lock_file, try_lock_file
from keras_cnn.run_folder import naming_a_full_disk, read_json, write_json, write_text
from keras_cnn.sweeps import sweep_file
from keras_cnn.sweeps.sampler import Draw, Sampler
from keras_cnn.sweeps.space import Sweep

ATTEMPTS = 2  # a trial whose worker dies is tried once more
FAILURES_IN_A_ROW = 10
STUDY = "sweep"
RECORD = "trial"  # the attribute of Optuna's trial that holds our Trial

optuna.logging.set_verbosity(logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """One trial; `number` counts from 1."""

    number: int
    assignment: dict[str, Any]
    attempts: int = 1
    worker: str = ""  # process and host that work or worked on it
    state: str = "running"  # running, stopped (on purpose, to be resumed), finished, early (terminated), failed
    value: float | None = None  # of the sweep's metric; the mean over the seeds
    reason: str = ""  # of a failure or an early end
    runs: tuple[str, ...] = ()  # its run folders, one per seed
    started: str = ""
    ended: str = ""
    wandb_run: str = ""  # the run's id, where W&B's server has the sweep

    @property
    def label(self) -> str:
        return f"{self.number:04d}"


def best_of(sweep: Sweep, trials: Iterable[Trial]) -> Trial | None:
    """The ended trial with the best value, the earlier of equal ones; None if no trial has a value."""
    done = [(sweep.sign * trial.value, -trial.number, trial) for trial in trials if trial.value is not None]
    return max(done)[-1] if done else None


@dataclass
class TrialLease:
    """The right of this process to work on a trial, until `release`."""

    trial: Trial
    lock: int = field(repr=False)  # descriptor

    def release(self) -> None:
        os.close(self.lock)


class Study:
    """The trials of one sweep folder. Raises InputError if the folder holds no sweep."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            settings = read_json(folder / "sweep.json", {"seed": int, "wandb_sweep": str | None})
        except FileNotFoundError:
            raise InputError(f"{folder}: not a sweep's folder: it has no sweep.json") from None
        seed, self.wandb_sweep = settings["seed"], settings.get("wandb_sweep")
        self.sweep: Sweep = sweep_file.read_sweep(folder / "sweep.yaml")
        self._sampler = Sampler(self.sweep, seed)
        self.cap = self._sampler.cap
        try:
            self._storage = _storage(folder)
            self._id = self._storage.get_study_id_from_name(STUDY)
        except (KeyError, ValueError) as error:
            expected = "expected the study that the sweep began with"
            raise InputError(f"{folder / 'study.journal'}: missing or damaged ({error}); {expected}") from None
        self._ended_before = {trial.number for trial in self.trials() if trial.ended}

    @classmethod
    def create(cls, folder: Path, sweep: Sweep, base: str, seed: int, wandb_sweep: str | None = None) -> "Study":
        """A new sweep in `folder`; `base` is the YAML of the config that every trial changes.

        `wandb_sweep` is "entity/project/id" where W&B's server chooses the trials. A sweep that cannot be written
        leaves nothing behind.
        """
        try:
            with naming_a_full_disk(folder):
                (folder / "locks").mkdir()
                write_text(folder / "sweep.yaml", sweep_file.standalone(sweep))
                write_text(folder / "base.yaml", base)
                _storage(folder).create_new_study([StudyDirection[sweep.goal.upper()]], STUDY)
                write_json(folder / "sweep.json", {"seed": seed, "created": _now(), "wandb_sweep": wandb_sweep})
        except BaseException:
            for name in ("sweep.yaml", "base.yaml", "study.journal", "sweep.json"):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / "locks", ignore_errors=True)
            raise
        return cls(folder)

    # --- reading ---

    def trials(self) -> list[Trial]:
        """All trials by number."""
        return [_trial(frozen) for frozen in self._frozen()]

    def ended(self) -> bool:
        """Whether no trial is left to start or to resume; never true of an endless sweep and of W&B's sweeps."""
        trials = self.trials()
        return self._is_full(trials) and all(trial.ended for trial in trials)

    def best(self) -> Trial | None:
        """The ended trial with the best value, the earlier of equal ones; None if no trial has a value."""
        return best_of(self.sweep, self.trials())

    # --- working ---

    def lease(self) -> TrialLease | None:
        """The next trial to work on: an abandoned one, else a new one; None if there is nothing to do.

        Raises Stopped after ten failures in a row since this process opened the sweep.
        """
        with self._locked():
            if (abandoned := self._abandoned()) is not None:
                return abandoned
            trials = self.trials()
            self._check_failures(trials)
            if self._is_full(trials):
                return None
            number = len(trials) + 1
            return self._begin(number, self._sampler.draw(number, self._frozen()))

    def lease_abandoned(self) -> TrialLease | None:
        """A trial that was stopped, or whose worker died; None if there is none."""
        with self._locked():
            return self._abandoned()

    def begin(self, assignment: dict[str, Any], wandb_run: str) -> TrialLease:
        """A new trial with settings that W&B's server has drawn. Raises Stopped as `lease` does."""
        with self._locked():
            trials = self.trials()
            self._check_failures(trials)
            return self._begin(len(trials) + 1, Draw(assignment), wandb_run)

    def end(self, lease: TrialLease, **changes: Any) -> Trial:
        """Records how a trial ended (`state`, `value`, `reason`, `runs`) and releases it."""
        with self._locked():
            trial = self._end(replace(lease.trial, **changes))
        lease.release()
        return trial

    def stop(self, lease: TrialLease) -> None:
        """Releases a trial that was stopped on purpose, to be resumed later."""
        with self._locked():
            self._record(replace(lease.trial, state="stopped"))
        lease.release()

    def _abandoned(self) -> TrialLease | None:
        for frozen in self._frozen():
            trial = _trial(frozen)
            if trial.ended:
                if not frozen.state.is_finished():  # its worker died between the two lines of `_end`
                    self._tell(trial)
            elif (lock := self._try_lock(trial.number)) is not None:
                died = trial.state == "running"
                if died and trial.attempts >= ATTEMPTS:
                    reason = f"its worker died {ATTEMPTS} times, killed or out of memory"
                    runs = tuple(sorted(p.parent.name for p in self.folder.glob(f"{trial.label}*/config.yaml")))
                    self._end(replace(trial, state="failed", reason=reason, runs=runs))
                    os.close(lock)
                    continue
                again = replace(trial, state="running", attempts=trial.attempts + died, worker=_worker())
                return TrialLease(self._record(again), lock)
        return None

    def _begin(self, number: int, draw: Draw, wandb_run: str = "") -> TrialLease:
        """Adds a trial with all its data in one line of the journal: no kill can leave one without its settings."""
        lock = self._try_lock(number)
        if lock is None:
            raise Stopped(f"{self.folder / 'locks' / f'{number:04d}'}: held by another program, but the trial is new")
        trial = Trial(number, dict(draw.assignment), worker=_worker(), started=_now(), wandb_run=wandb_run)
        born = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(draw.params),
            distributions=dict(draw.distributions),
            user_attrs={RECORD: asdict(trial)},
        )
        self._storage.create_new_trial(self._id, born)
        return TrialLease(trial, lock)

    def _end(self, trial: Trial) -> Trial:
        trial = self._record(replace(trial, ended=_now()))
        self._tell(trial)
        write_text(self.folder / "trials.csv", self._table())
        return trial

    def _tell(self, trial: Trial) -> None:
        """Sets the state of an ended trial in Optuna, which samplers read."""
        state, values = (TrialState.FAIL, None) if trial.value is None else (TrialState.COMPLETE, [trial.value])
        self._storage.set_trial_state_values(self._trial_id(trial), state, values)

    def _record(self, trial: Trial) -> Trial:
        self._storage.set_trial_user_attr(self._trial_id(trial), RECORD, asdict(trial))
        return trial

    def _is_full(self, trials: list[Trial]) -> bool:
        metric = self.sweep.metric
        if metric and metric.target is not None:
            reached = [t for t in trials if t.value is not None and self.sweep.sign * (t.value - metric.target) >= 0]
            if reached:
                return True
        return self.wandb_sweep is None and self.cap is not None and len(trials) >= self.cap

    def _check_failures(self, trials: list[Trial]) -> None:
        since = sorted((t for t in trials if t.ended and t.number not in self._ended_before), key=lambda t: t.ended)
        last = since[-FAILURES_IN_A_ROW:]
        if len(last) == FAILURES_IN_A_ROW and all(t.state == "failed" for t in last):
            raise Stopped(f"{FAILURES_IN_A_ROW} trials in a row failed; the last, {last[-1].label}: {last[-1].reason}")

    # --- files ---

    def _frozen(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def _trial_id(self, trial: Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number - 1)

    def _table(self) -> str:
        """CSV text with a line per trial: its record, then its settings."""
        columns = [f.name for f in fields(Trial) if f.name not in ("assignment", "wandb_run")]
        rows = []
        for trial in self.trials():
            known = asdict(trial) | {"runs": " ".join(trial.runs)}
            rows.append([*(known[c] for c in columns), *(trial.assignment[p] for p in self.sweep.parameters)])
        return csv_text([*columns, *self.sweep.parameters], rows)

    def _try_lock(self, number: int) -> int | None:
        descriptor = os.open(self.folder / "locks" / f"{number:04d}", os.O_RDWR | os.O_CREAT, 0o644)
        if try_lock_file(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        journal = self.folder / "study.journal"
        with (self.folder / "locks" / "study").open("w") as file:
            lock_file(file)
            _cut_torn_line(journal)
            with naming_a_full_disk(journal):
                yield


class _NoLock:
    """Replaces Optuna's lock file, which outlives a killed process by half a minute: `Study._locked` is enough."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _storage(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder / "study.journal"), cast(Any, _NoLock())))


def _cut_torn_line(journal: Path) -> None:
    """Removes a last line that a full disk cut off: with another line after it, the journal could not be read."""
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _trial(frozen: FrozenTrial) -> Trial:
    known = frozen.user_attrs[RECORD]
    return Trial(**known | {"runs": tuple(known["runs"])})


def _worker() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
