"""A process that has imported TensorFlow once and forks a new process for each program that a test runs.

A test that kills a program needs a process of its own for it, and the import takes most of a tiny program's time.
The server imports and computes nothing, so that its children start as a new interpreter does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Reads a job a line. A child waits for the program, its own child, and writes the program's status into the job's pipe.
SERVER = """
import atexit, json, os, signal, sys, traceback
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow(counts_devices=False)
import keras
from keras_cnn.training import experiment

def run(job):
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    for number, place in enumerate(job["streams"]):
        stream = os.open(place, os.O_RDWR)
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = ["-c", *job["arguments"]]
    status = 0
    try:
        exec(job["code"], {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while line := sys.stdin.readline():
    if os.fork():
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    job = json.loads(line)
    program = os.fork()
    if not program:
        sys.stdin = open(0, closefd=False)
        run(job)
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with open(job["answer"], "w") as answer:
        answer.write(str(status))
    os._exit(0)
"""


class ForkServer:
    """Runs programs in processes of their own, several at a time where several threads ask."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SERVER]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True)

    def run(
        self, code: str, *arguments: object, folder: Path = ROOT, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The end of a program, given as code, with these arguments, working folder and standard input."""
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            streams = [place / stream for stream in ("stdin", "stdout", "stderr")]
            for stream in streams:
                stream.write_text(given if stream.name == "stdin" else "")
            os.mkfifo(place / "answer")
            job = {
                "code": code,
                "arguments": [str(argument) for argument in arguments],
                "folder": str(folder),
                "environment": os.environ | {"PYTHONPATH": str(ROOT)},
                "streams": [str(stream) for stream in streams],
                "answer": str(place / "answer"),
            }
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            status = int((place / "answer").read_text())
            return subprocess.CompletedProcess(job["arguments"], status, *(s.read_text() for s in streams[1:]))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
