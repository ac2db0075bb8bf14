"""A sweep on this machine: its folder made, its workers started, watched, started again when killed, and stopped."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_cnn import config as config_module
from keras_cnn.command_line import DONE, STOPPED
from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.runs import RunFolder, python
from keras_cnn.sweeps import space
from keras_cnn.sweeps.study import Study
from keras_cnn.sweeps.worker import check_metric, outcome, settings, trial_config
from keras_cnn.training import experiment

Say = Callable[[str], None]
SECONDS = 0.5  # between two looks at the workers
DEATHS = 3  # of one worker without any trial ended in between: then it is not the trials


def create(path: Path, overrides: list[str], say: Say = print, parent: Path = Path("runs")) -> Study:
    """A sweep's folder below `parent` from a sweep file; `overrides` change the config that all trials start from.

    Raises InputError, in one line, for whatever W&B would refuse, and for a trial that the first cell shows impossible.
    """
    sweep = space.read_sweep(path)
    check_metric(sweep)
    for note in sweep.notes:
        say(f"note      {note}")
    base = config_module.load(sweep.base, overrides, BUILDERS)
    with RunFolder.create(sweep.name or path.stem, parent) as folder:
        study = Study.create(folder.path, sweep, config_module.dump(base), base.seed)
        trial_config(study, study.first())  # what no trial could mend is said before any worker starts
    return study


def run(study: Study, workers: int, say: Say = print) -> None:
    """Runs the sweep to its end with so many processes, the cores shared out between them; says each trial's end.

    Raises Interrupted on a signal, after all workers have stopped at a checkpoint, and Stopped where the workers
    stopped for another reason.
    """
    go_on = f"go on with: {_command('--resume', study)}"
    say(f"sweep     {study.folder}   ({study.sweep.method}, {_planned(study)}, {workers} workers)")
    say(f"join      {_command('--join', study)}   (a worker more, here or on a host that sees this folder)")
    crew = [_Worker(study.folder, number, cores) for number, cores in enumerate(_shared_out(workers), 1)]
    told = {trial.number for trial in study.trials() if trial.ended}
    try:
        with _all_stopped_in_the_end(crew):
            while any(worker.is_busy for worker in crew):
                time.sleep(SECONDS)
                ended = _tell(study, told, say)
                for worker in crew:
                    worker.look(study, ended, say)
            _tell(study, told, say)
    except KeyboardInterrupt:
        raise Interrupted(f"sweep stopped by a signal; every trial has its checkpoint; {go_on}") from None
    except Stopped as stop:
        raise Stopped(f"{stop}; {go_on}") from None
    _conclude(study, say)


def finish(study: Study, say: Say = print) -> dict:
    """Trains the best trial again, with its seed, and reads the test split, once; returns the numbers of the run.

    InputError if no trial has finished, or if that has been done before.
    """
    best = study.best()
    if best is None:
        raise InputError(f"{study.folder}: no trial has finished; nothing to choose from")
    path = study.folder / "best"
    if (path / "metrics.json").is_file():
        raise InputError(f"{path}: trained and tested already; the test split is read once")
    say(f"best      trial {best.label}  {settings(best.assignment)}  {outcome(study.sweep, best)}")
    with RunFolder.begun(path) as folder:
        return experiment.train(trial_config(study, best.assignment), folder, say)


class _Worker:
    """A worker process and its log; started again when it is killed."""

    def __init__(self, folder: Path, number: int, cores: set[int]):
        self._folder, self._number, self._cores = folder, number, cores
        self._log = folder / f"worker-{number}.log"
        self._deaths, self._ended = 0, 0
        self._start()

    def _start(self) -> None:
        everywhere = os.sched_getaffinity(0)
        command = [sys.executable, os.path.abspath(sys.argv[0]), "--join", str(self._folder)]
        os.sched_setaffinity(0, self._cores)  # inherited, and TensorFlow counts the cores that it may use
        try:
            with self._log.open("a") as log:
                # A session of its own: Ctrl-C reaches it through us, once.
                self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        finally:
            os.sched_setaffinity(0, everywhere)

    @property
    def is_busy(self) -> bool:
        return self._process.poll() is None

    def look(self, study: Study, ended: int, say: Say) -> None:
        """Starts it again if it was killed. Raises Stopped if it has ended otherwise than by having nothing to do."""
        code = self._process.poll()
        if code is None or code == DONE:
            return
        if code >= 0:
            reason = "" if code == STOPPED else f"worker {self._number} failed: "
            raise Stopped(f"{reason}{self._last_line()} (log: {self._log})")
        self._deaths, self._ended = (self._deaths + 1 if ended == self._ended else 1), ended
        name = signal.Signals(-code).name
        if self._deaths > DEATHS:
            raise Stopped(f"worker {self._number} was killed by {name} {DEATHS} times without ending a trial")
        if not study.ended():
            say(f"worker {self._number} was killed by {name}; started again")
            self._start()

    def stop(self) -> None:
        if self.is_busy:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        self._process.wait()

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no output")


@contextmanager
def _all_stopped_in_the_end(crew: list[_Worker]) -> Iterator[None]:
    try:
        yield
    finally:
        for worker in crew:
            worker.stop()
        for worker in crew:
            worker.wait()


def _shared_out(workers: int) -> list[set[int]]:
    """The cores of each worker: equal shares, and where there are fewer cores than workers, one core for several."""
    cores = sorted(os.sched_getaffinity(0))
    if workers >= len(cores):
        return [{cores[i % len(cores)]} for i in range(workers)]
    return [set(cores[i * len(cores) // workers : (i + 1) * len(cores) // workers]) for i in range(workers)]


def _tell(study: Study, told: set[int], say: Say) -> int:
    """Says the end of each trial that has ended since the last time; returns how many have ended in all."""
    trials = study.trials()
    for trial in trials:
        if trial.ended and trial.number not in told:
            told.add(trial.number)
            best = study.best()
            leader = f"   best {best.value:.4f} ({best.label})" if best else ""
            say(f"trial {trial.label}  {outcome(study.sweep, trial)}{leader}   {settings(trial.assignment)}")
    return len(told)


def _command(option: str, study: Study) -> str:
    return shlex.join([python(), "train.py", "--sweep", option, str(study.folder)])


def _planned(study: Study) -> str:
    return "no end" if study.cap is None else f"{study.cap} trials"


def _conclude(study: Study, say: Say) -> None:
    trials, best = study.trials(), study.best()
    counts = {state: sum(t.state == state for t in trials) for state in ("finished", "early", "failed")}
    words = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    say("")
    say(f"sweep     {study.folder}: {len(trials)} trials: {words}")
    if best:
        say(f"best      trial {best.label}  {outcome(study.sweep, best)}   {settings(best.assignment)}")
        say(f"next      {_command('--finish', study)}   (train it again, and read the test split once)")
        say(f"          {shlex.join([python(), 'report.py', str(study.folder)])}")
