"""Background threads: one that prepares items before they are needed, one that processes items afterwards."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

DEPTH = 4  # items in a queue: a few frames, so that memory does not grow with the length of a video
_END = object()


def prefetched(items: Iterable, *, skip: bool = False) -> Generator:
    """Yields the items, which a thread makes up to DEPTH ahead. An error of the thread is raised here.

    With `skip`, an item is dropped if the queue is full: a camera does not wait.
    """
    ready: queue.Queue = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                if skip and item[0] is not _END:
                    return

    def work() -> None:
        iterator: Any = iter(items)
        try:
            for item in iterator:
                put((item, None))
                if stopped.is_set():
                    break
        except BaseException as error:  # raised again in the thread that iterates
            put((_END, error))
        else:
            put((_END, None))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (got := ready.get())[0] is not _END:
            yield got[0]
        if got[1] is not None:
            raise got[1]
    finally:
        stopped.set()
        thread.join(timeout=10)  # a driver may hang; a daemon thread dies with the process


class BackgroundWorker:
    """Calls `work(item)` in one thread for every item that is put, in order; leaving `with` waits for the last item.

    An error of `work` is raised by the next `put`, or at the end.
    """

    def __init__(self, work: Callable[[Any], None]):
        self._work = work
        self._error: BaseException | None = None
        self._items: queue.Queue = queue.Queue(DEPTH)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "BackgroundWorker":
        self._thread.start()
        return self

    def put(self, item: Any) -> None:
        if self._error:
            raise self._error
        self._items.put(item)

    def __exit__(self, kind, *_: object) -> None:
        self._items.put(_END)
        self._thread.join()
        if self._error and kind is None:
            raise self._error

    def _run(self) -> None:
        while (item := self._items.get()) is not _END:
            if self._error is None:  # after an error, items are taken and dropped, so that `put` never blocks
                try:
                    self._work(item)
                except BaseException as error:  # raised in the thread that puts
                    self._error = error
