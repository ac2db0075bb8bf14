"""The worker processes of one machine: each has its share of the machine, is watched, and is restarted when killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_cnn.errors import DONE, STOPPED, WRONG_INPUT, InputError, Stopped
from keras_cnn.messages import logger
from keras_cnn.operating_system import ask_to_stop
from keras_cnn.sweeps.prewarmed_workers import Assignment, PrewarmedWorkers, assign, shares
from keras_cnn.sweeps.study import Study

DEATHS = 3  # of one worker with no trial ended in between; more are not the trials' fault


class Worker:
    """A worker process of a sweep's folder, and its log."""

    def __init__(self, folder: Path, number: int, cores: set[int], devices: dict[str, str], ready: PrewarmedWorkers):
        self._number, self._cores, self._ready = number, cores, ready
        self._log = folder / f"worker-{number}.log"
        self._assignment = Assignment(str(folder), str(self._log), sorted(cores), devices)
        self._deaths, self._ended = 0, 0
        self._start()

    def _start(self) -> None:
        self._process = self._ready.take(self._cores)
        assign(self._process, self._assignment)

    @property
    def is_busy(self) -> bool:
        return self._process.poll() is None

    def revive(self, study: Study, ended: int) -> None:
        """Restarts the process if it was killed; `ended` is the number of trials that have ended.

        Raises InputError if the images or the folder are wrong, and Stopped if the process gave up for any reason
        other than having no trial left.
        """
        code = self._process.poll()
        if code is None or code == DONE:
            return
        if code == WRONG_INPUT:
            raise InputError(self._last_line().removeprefix("error: "))
        if code > 0:
            reason = "" if code == STOPPED else f"worker {self._number} failed: "
            raise Stopped(f"{reason}{self._last_line()} (log: {self._log})")
        self._deaths, self._ended = (self._deaths + 1 if ended == self._ended else 1), ended
        name = signal.Signals(-code).name
        if self._deaths > DEATHS:
            raise Stopped(f"worker {self._number} was killed by {name} {self._deaths} times without ending a trial")
        if not study.ended():
            logger.info(f"worker {self._number} was killed by {name}; started again")
            self._start()

    def stop(self) -> None:
        if self.is_busy:
            ask_to_stop(self._process)

    def wait(self) -> None:
        self._process.wait()

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no output")


@contextmanager
def worker_pool(folder: Path, workers: int, ready: PrewarmedWorkers) -> Iterator[list[Worker]]:
    """Workers of a sweep's folder, taken from `ready`; at the end of the block all have stopped at a checkpoint."""
    started: list[Worker] = []
    try:
        for number, cores in enumerate(shares(workers), 1):
            started.append(Worker(folder, number, cores, _devices(number, workers), ready))
        yield started
    finally:
        for worker in started:
            worker.stop()
        for worker in started:
            worker.wait()


def _devices(number: int, workers: int) -> dict[str, str]:
    """Environment variables that give a worker one GPU; a single worker keeps all."""
    count = len(tf.config.list_physical_devices("GPU"))
    if not count or workers == 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[(number - 1) % count].strip()}
