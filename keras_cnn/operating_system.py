"""What differs between Linux, macOS and Windows: cores, memory, file locks, stop signals and child processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Ctrl-Break is how one process of Windows asks another to stop; SIGTERM ends it at once there.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name))
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


# --- cores and memory -------------------------------------------------------------------------------------------------


def cores() -> list[int]:
    """The numbers of the cores that this process may use.

    macOS cannot tie a process to cores; there, OMP_NUM_THREADS limits their number.
    """
    import psutil  # here, as --help does not need it

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return sorted(process.cpu_affinity() or [0])
    count, share = os.cpu_count() or 1, os.environ.get(_THREADS[0], "")
    return list(range(min(count, int(share)) if share.isdecimal() and share != "0" else count))


def use_cores(numbers: Collection[int]) -> dict[str, str]:
    """Ties this process, and those that it starts, to some cores.

    Returns environment variables that have the same effect on a new process where a process cannot be tied to cores;
    otherwise none.
    """
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity(sorted(numbers))
        return {}
    return dict.fromkeys(_THREADS, str(len(numbers)))


@contextlib.contextmanager
def on_cores(numbers: Collection[int]) -> Iterator[dict[str, str]]:
    """Ties the processes that are started in the block to some cores; yields environment variables for them."""
    before = cores()
    variables = use_cores(numbers)
    try:
        yield variables
    finally:
        use_cores(before)


def available_memory() -> int:
    """Bytes available to this process: the smaller of the system's estimate and the container's limit."""
    import psutil

    available = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no cgroup, or "max"
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        available = min(available, limit - int((group / "memory.current").read_text()))
    return max(0, available)


def memory_growth(work: Callable[[], object]) -> int:
    """The bytes by which this process grows while it works, at its largest, looked at every 5 ms."""
    import psutil

    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    sizes = [before]

    def watch() -> None:
        while not ended.wait(0.005):
            sizes.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return max(sizes) - before


# --- waiting for files ------------------------------------------------------------------------------------------------


def map_files(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each item, in order, in this thread; in 32 threads if the first one waited more than it computed.

    Threads help where a network file system answers after milliseconds, and hinder where the disk is local: for
    200,000 `stat` calls one thread took 0.6 s, two 1.0 s and eight 1.7 s.
    """
    if not items:
        return []
    began, computed = time.perf_counter(), time.thread_time()
    first = function(items[0])
    computed, took = time.thread_time() - computed, time.perf_counter() - began
    if took < max(2 * computed, 0.001):
        return [first, *map(function, items[1:])]
    with ThreadPoolExecutor(32) as pool:
        return [first, *pool.map(function, items[1:])]


# --- file locks -------------------------------------------------------------------------------------------------------


def lock_file(file: IO[Any] | int) -> None:
    """Waits for the exclusive lock of an open file. The system releases it when the file is closed, also by a kill."""
    _lock(file)


def try_lock_file(file: IO[Any] | int) -> bool:
    """Takes the lock of an open file as `lock_file` does, or returns False if another process or object has it."""
    return _lock(file, waits=False)


def _lock(file: IO[Any] | int, waits: bool = True) -> bool:
    import portalocker

    try:
        portalocker.lock(file, portalocker.LOCK_EX if waits else portalocker.LOCK_EX | portalocker.LOCK_NB)
        return True
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:  # a file system without locks, for example
        raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from error


# --- child processes and shells ---------------------------------------------------------------------------------------


def package_environment() -> dict[str, str]:
    """The environment in which `python -P -m keras_cnn...` finds this package from any folder, also uninstalled."""
    package = str(Path(__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


def own_group() -> dict[str, Any]:
    """Settings of `subprocess.Popen` for a child that does not receive the Ctrl-C of this process's terminal."""
    if hasattr(subprocess, "CREATE_NEW_PROCESS_GROUP"):  # Windows
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def ask_to_stop(process: subprocess.Popen) -> None:
    """Sends a child in its own group the signal that asks it to stop at a checkpoint."""
    process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


def is_windows() -> bool:
    return sys.platform == "win32"
