"""Worker processes that import TensorFlow while the sweep is still being planned.

`python -m keras_cnn train --join -` imports what a worker needs, receives the sweep's folder as a line on standard
input, then works as `--join SWEEP` does. The import takes 4 s of a core, and the planning process needs it first.
"""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast

from keras_cnn.operating_system import cores, on_cores, own_group, package_environment, use_cores

PROGRAM = ("-P", "-m", "keras_cnn", "train")  # -P: no module of the working directory hides one of the packages
PLACEHOLDER = "-"  # stands for the sweep's folder until a worker receives it


class PrewarmedWorkers:
    """Processes that wait for a sweep's folder, each with its share of the cores.

    As a context manager it kills those that were not taken. All of them end with this process.
    """

    def __init__(self, count: int = 0):
        self._waiting = [_start(share) for share in shares(count)]

    def take(self, share: set[int]) -> subprocess.Popen:
        """A waiting process or, if there are no more, a new one."""
        return self._waiting.pop(0) if self._waiting else _start(share)

    def __enter__(self) -> "PrewarmedWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._waiting:
            process.kill()
        for process in self._waiting:
            process.communicate()
        self._waiting = []


@dataclass(frozen=True)
class Assignment:
    """What a waiting process receives: the sweep's folder, the file for its output, and its share of the machine."""

    folder: str
    log: str
    cores: list[int]
    environment: dict[str, str]


def assign(process: subprocess.Popen, assignment: Assignment) -> None:
    """Sends a waiting process its work."""
    Path(assignment.log).touch()
    # If the process has already ended, its exit status says why.
    with contextlib.suppress(BrokenPipeError), cast(IO[bytes], process.stdin) as pipe:
        pipe.write(json.dumps(asdict(assignment)).encode() + b"\n")


def receive_assignment() -> Path | None:
    """In a waiting process: waits for the assignment, applies it, and returns the folder, or None if none comes.

    This is in time because TensorFlow counts its cores and devices when it first computes, not when it is imported.
    """
    line = sys.stdin.readline()
    if not line:
        return None
    assignment = Assignment(**json.loads(line))
    os.environ.update(use_cores(assignment.cores) | assignment.environment)
    log = os.open(assignment.log, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    sys.argv[sys.argv.index(PLACEHOLDER)] = assignment.folder  # the command that its runs record
    return Path(assignment.folder)


def shares(workers: int) -> list[set[int]]:
    """The cores of each worker: equal shares or, with fewer cores than workers, one core for several workers."""
    own = cores()
    if workers >= len(own):
        return [{own[i % len(own)]} for i in range(workers)]
    return [set(own[i * len(own) // workers : (i + 1) * len(own) // workers]) for i in range(workers)]


def _start(share: set[int]) -> subprocess.Popen:
    command = [sys.executable, *PROGRAM, "--join", PLACEHOLDER]
    environment = package_environment() | {"PYTHONUNBUFFERED": "1"}  # unbuffered: a killed worker's log is whole
    with on_cores(share) as variables:  # from its start on: NumPy counts the cores that it may use at import
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment | variables, **own_group())
