"""A sweep on this machine: its folder made, its workers started, watched, started again when killed, and stopped."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_cnn import config as config_module
from keras_cnn.command_line import DONE, STOPPED
from keras_cnn.config import Config
from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.runs import RunFolder, python
from keras_cnn.sweeps import space, wandb
from keras_cnn.sweeps.sampler import Sampler
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import FAILURES_IN_A_ROW, Study
from keras_cnn.sweeps.worker import check_metric, outcome, settings, trial_config
from keras_cnn.training import experiment

Say = Callable[[str], None]
PROGRAM = Path(__file__).resolve().parents[2] / "train.py"
SECONDS = 0.5  # between two looks at the workers
DEATHS = 3  # of one worker without any trial ended in between: then it is not the trials


def create(path: Path, overrides: list[str], say: Say = print, parent: Path = Path("runs")) -> Study:
    """A sweep's folder below `parent` from a sweep file; `overrides` change the config that all trials start from.

    Raises InputError, in one line and before anything is written, for whatever W&B would refuse, and where the base
    allows none of the first ten trials.
    """
    sweep = space.read_sweep(path)
    check_metric(sweep)
    base = config_module.load(sweep.base, overrides, BUILDERS)
    _check_trials(sweep, base)
    for note in sweep.notes:
        say(f"note      {note}")
    name = re.sub(r"[^\w.-]+", "-", sweep.name or path.stem)  # W&B allows any text
    with RunFolder.create(name, parent) as folder:
        on_server = wandb.create(sweep, base.tracking, say)
        return Study.create(folder.path, sweep, config_module.dump(base), base.seed, on_server)


def _check_trials(sweep: Sweep, base: Config) -> None:
    sampler, wrong = Sampler(sweep, base.seed), None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "base.yaml"
        file.write_text(config_module.dump(base), encoding="utf-8")
        for number in range(1, min(FAILURES_IN_A_ROW, sampler.cap or FAILURES_IN_A_ROW) + 1):
            try:
                trial_config(sweep, file, sampler.draw(number, []).assignment)
                return
            except InputError as error:
                wrong = wrong or error
    raise wrong


def resume(study: Study, workers: int, say: Say = print) -> None:
    """Goes on with a sweep. InputError if it is complete."""
    if study.ended():
        raise InputError(f"{study.folder}: this sweep is complete; next: {_command('--finish', study)}")
    run(study, workers, say)


def run(study: Study, workers: int, say: Say = print) -> None:
    """Runs the sweep to its end with so many processes, the cores shared out between them; says each trial's end.

    Raises Interrupted on a signal, after all workers have stopped at a checkpoint, and Stopped where the workers
    stopped for another reason.
    """
    go_on = f"go on with: {_command('--resume', study)}"
    told = {trial.number for trial in study.trials() if trial.ended}
    if study.cap is not None:
        workers = max(1, min(workers, study.cap - len(told)))
    say(f"sweep     {study.folder}   ({study.sweep.method}, {_planned(study)}, {_count(workers, 'worker')})")
    say(f"join      {_join(study)}   (a worker more, here or on a host that sees this folder)")
    crew: list[_Worker] = []
    try:
        with _all_stopped_in_the_end(crew):
            for number, cores in enumerate(_shared_out(workers), 1):
                crew.append(_Worker(study.folder, number, cores, _devices(number, workers)))
            while any(worker.is_busy for worker in crew):
                time.sleep(SECONDS)
                ended = _tell(study, told, say)
                for worker in crew:
                    worker.look(study, ended, say)
            _tell(study, told, say)
    except KeyboardInterrupt:
        raise Interrupted(f"sweep stopped by a signal; every trial has its checkpoint; {go_on}") from None
    except Stopped as stop:
        raise Stopped(f"{study.folder}: {stop}; {go_on}") from None
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
    config = trial_config(study.sweep, study.folder / "base.yaml", best.assignment, study.folder.resolve().name)
    say(f"best      trial {best.label}  {settings(best.assignment)}  {outcome(study.sweep, best)}")
    with RunFolder.begun(path) as folder:
        if (folder / "config.yaml").is_file() and config_module.differences(folder.config(BUILDERS), config):
            raise InputError(f"{path}: begun with a trial that is no longer the best; expected it finished or removed")
        return experiment.train(config, folder, say)


class _Worker:
    """A worker process and its log; started again when it is killed."""

    def __init__(self, folder: Path, number: int, cores: set[int], devices: dict[str, str]):
        self._folder, self._number, self._cores, self._devices = folder, number, cores, devices
        self._log = folder / f"worker-{number}.log"
        self._deaths, self._ended = 0, 0
        self._start()

    def _start(self) -> None:
        everywhere = os.sched_getaffinity(0)
        command = [sys.executable, str(PROGRAM), "--join", str(self._folder)]
        environment = os.environ | self._devices | {"PYTHONUNBUFFERED": "1"}  # a killed worker's log is whole
        os.sched_setaffinity(0, self._cores)  # inherited, and TensorFlow counts the cores that it may use
        try:
            with self._log.open("a") as log:
                # A session of its own: Ctrl-C reaches it through us, once.
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, env=environment, start_new_session=True
                )
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
        if code > 0:
            reason = "" if code == STOPPED else f"worker {self._number} failed: "
            raise Stopped(f"{reason}{self._last_line()} (log: {self._log})")
        self._deaths, self._ended = (self._deaths + 1 if ended == self._ended else 1), ended
        name = signal.Signals(-code).name
        if self._deaths > DEATHS:
            raise Stopped(f"worker {self._number} was killed by {name} {self._deaths} times without ending a trial")
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


def _devices(number: int, workers: int) -> dict[str, str]:
    """Environment that gives a worker one of the GPUs and, where it shares it, no more of its memory than it needs."""
    count = len(tf.config.list_physical_devices("GPU"))
    if not count or workers == 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return {
        "CUDA_VISIBLE_DEVICES": visible.split(",")[(number - 1) % count],
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def _tell(study: Study, told: set[int], say: Say) -> int:
    """Says the end of each trial that has ended since the last time; returns how many have ended in all."""
    for trial in study.trials():
        if trial.ended and trial.number not in told:
            told.add(trial.number)
            best = study.best()
            leader = f"   best {best.value:.4f} ({best.label})" if best else ""
            say(f"trial {trial.label}  {outcome(study.sweep, trial)}{leader}   {settings(trial.assignment)}")
    return len(told)


def _command(option: str, study: Study) -> str:
    return shlex.join([python(), "train.py", "--sweep", option, str(study.folder)])


def _join(study: Study) -> str:
    """The command that joins from any folder of any host that has these paths."""
    return shlex.join([os.path.abspath(sys.executable), str(PROGRAM), "--join", str(study.folder.resolve())])


def _planned(study: Study) -> str:
    if study.wandb_sweep:
        return f"by W&B's server, {study.wandb_sweep}"
    return "no end" if study.cap is None else _count(study.cap, "trial")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + "s" * (number != 1)


def _conclude(study: Study, say: Say) -> None:
    trials, best = study.trials(), study.best()
    counts = {state: sum(t.state == state for t in trials) for state in ("finished", "early", "failed")}
    words = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    say("")
    table = study.folder / "trials.csv"
    say(f"sweep     {study.folder}: {_count(len(trials), 'trial')}: {words}   (all of them: {table})")
    for trial in trials:
        if not trial.ended:
            say(f"          trial {trial.label} is {trial.state}, {trial.worker}")
    if best:
        say(f"best      trial {best.label}  {outcome(study.sweep, best)}   {settings(best.assignment)}")
        say(f"next      {_command('--finish', study)}   (train it again, and read the test split once)")
        say(f"          {shlex.join([python(), 'report.py', str(study.folder)])}")
