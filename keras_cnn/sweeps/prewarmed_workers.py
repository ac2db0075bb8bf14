"""Worker processes that are started before there is a sweep: they import TensorFlow while it is still being planned.

`python train.py --join -` imports what a worker needs, takes its order from a line on standard input, and goes on as
`--join SWEEP`. Importing takes 4 s of a core, and the process that plans must import first too.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "train.py"
ORDERED = "-"  # in the place of the sweep's folder


class Standby:
    """Processes that wait for their order, each with its share of the cores if they are so many."""

    def __init__(self, count: int = 0):
        self._waiting = [_start(cores) for cores in shares(count)]

    def take(self, cores: set[int]) -> subprocess.Popen:
        """One of them or, if there are no more, a new one."""
        return self._waiting.pop(0) if self._waiting else _start(cores)

    def dismiss(self) -> None:
        """Ends those that nobody has taken."""
        for process in self._waiting:
            process.kill()
        for process in self._waiting:
            process.communicate()
        self._waiting = []


@contextlib.contextmanager
def standing_by(count: int) -> Iterator[Standby]:
    """So many processes; those that are not taken end with the block, as all of them do with this process."""
    standby = Standby(count)
    try:
        yield standby
    finally:
        standby.dismiss()


def order(process: subprocess.Popen, folder: Path, log: Path, cores: set[int], environment: Mapping[str, str]) -> None:
    """Sends a waiting process to work on a sweep's folder: what it prints goes to the end of `log`."""
    log.touch()
    words = {"folder": str(folder), "log": str(log), "cores": sorted(cores), "environment": dict(environment)}
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # ended already: its exit status says why
        pipe.write(json.dumps(words).encode() + b"\n")


def take_order() -> Path | None:
    """In such a process: waits for the order and does what it says; the sweep's folder, or None if no order comes.

    The number of cores and the devices that TensorFlow has are counted when it first computes, not when it is imported.
    """
    line = sys.stdin.readline()
    if not line:
        return None
    words = json.loads(line)
    os.sched_setaffinity(0, words["cores"])
    os.environ.update(words["environment"])
    log = os.open(words["log"], os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    sys.argv[sys.argv.index(ORDERED)] = words["folder"]  # the command that its runs record
    return Path(words["folder"])


def shares(workers: int) -> list[set[int]]:
    """The cores of each worker: equal shares, and where there are fewer cores than workers, one core for several."""
    cores = sorted(os.sched_getaffinity(0))
    if workers >= len(cores):
        return [{cores[i % len(cores)]} for i in range(workers)]
    return [set(cores[i * len(cores) // workers : (i + 1) * len(cores) // workers]) for i in range(workers)]


def _start(cores: set[int]) -> subprocess.Popen:
    command = [sys.executable, str(PROGRAM), "--join", ORDERED]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # a killed worker's log is whole
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited, and NumPy counts the cores that it may use when it is imported
    try:
        # A session of its own: Ctrl-C reaches it through us, once.
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    finally:
        os.sched_setaffinity(0, everywhere)
