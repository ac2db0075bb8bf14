"""Processes that work on images side by side: Pillow holds Python's lock for much of its work.

They are started as programs, not by `multiprocessing`, which would run the user's script or notebook again in each.
"""

import contextlib
import importlib
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar, cast

from keras_cnn.errors import InputError, Stopped
from keras_cnn.operating_system import own_group, package_environment

Answer = TypeVar("Answer")
_PROGRAM = "from keras_cnn.data.worker_processes import main; main()"
_AHEAD = 4  # requests a process that may wait for their answers to be taken


def answers(function: Callable[..., Answer], requests: Iterable[tuple], processes: int) -> Iterator[Answer]:
    """`function(*request)` of each request, in order, by that many processes; `function` is one of a module.

    Raises the function's InputError or Stopped, and Stopped if a process is ended from outside.
    """
    pending: queue.SimpleQueue = queue.SimpleQueue()
    workers = [_Worker(function, pending) for _ in range(processes)]
    try:
        waiting: list[queue.SimpleQueue] = []
        for request in requests:
            waiting.append(answer := queue.SimpleQueue())
            pending.put((request, answer))
            if len(waiting) > _AHEAD * processes:
                yield _result(waiting.pop(0))
        for answer in waiting:
            yield _result(answer)
    finally:
        for worker in workers:
            worker.kill()
            pending.put(None)
        for worker in workers:
            worker.close()


def _result(answer: queue.SimpleQueue) -> Any:
    result = answer.get()
    if isinstance(result, BaseException):
        raise result
    return result


class _Worker:
    """A process, and the thread that hands it requests."""

    def __init__(self, function: Callable, pending: queue.SimpleQueue):
        place, pipe = (function.__module__, function.__name__), subprocess.PIPE
        command = [sys.executable, "-P", "-c", _PROGRAM, *place]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=package_environment(), **own_group())
        self._thread = threading.Thread(target=self._serve, args=(pending,), daemon=True)
        self._thread.start()

    def _serve(self, pending: queue.SimpleQueue) -> None:
        requests, results = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        while (task := pending.get()) is not None:
            request, answer = task
            try:
                pickle.dump(request, requests)
                requests.flush()
                answer.put(pickle.load(results))
            except (OSError, EOFError, ValueError):
                status = self._process.wait()
                answer.put(
                    Stopped(
                        f"a process that read images was ended (status {status}), perhaps for want of memory;"
                        " what was done is kept: run the command again"
                    )
                )

    def kill(self) -> None:
        """Ends the process; the thread then serves what is pending with an error, until it takes a None."""
        self._process.kill()

    def close(self) -> None:
        """Waits for the thread and closes the pipes."""
        self._thread.join()
        with contextlib.suppress(BrokenPipeError), self._process:  # what could not be sent to it any more
            pass


def main() -> None:
    """Answers the requests on standard input until it ends, by the function that the command line names."""
    function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            result = function(*request)
        except InputError as error:
            result = InputError(*error.args)  # a subclass with other arguments cannot be pickled
        except Stopped as error:
            result = Stopped(*error.args)
        pickle.dump(result, sys.stdout.buffer)
        sys.stdout.buffer.flush()
