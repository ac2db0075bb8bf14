"""Work in threads on either side of the main one: decoding ahead of it, encoding behind it."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

DEPTH = 4  # items in a queue: a few frames, so that memory does not grow with a video
_END = object()


def ahead(items: Iterable, *, skip: bool = False) -> Iterator:
    """The items, made in a thread of their own up to DEPTH before they are asked for. Its errors are raised here.

    With `skip` an item for which there is no place is dropped: a camera does not wait.
    """
    made: queue.Queue = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                made.put(item, timeout=0.1)
                return
            except queue.Full:
                if skip and item[0] is not _END:
                    return

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put((item, None))
                if stopped.is_set():
                    break
        except BaseException as error:  # handed over, whatever it is
            put((_END, error))
        else:
            put((_END, None))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (got := made.get())[0] is not _END:
            yield got[0]
        if got[1] is not None:
            raise got[1]
    finally:
        stopped.set()
        thread.join(timeout=10)  # a camera or stream may hang in its driver; a daemon thread dies with the process


class Behind:
    """Calls `work(item)` for every item that is put, in their order and in one thread; `with` waits for the last.

    An error of `work` is raised by the next `put`, or at the end.
    """

    def __init__(self, work: Callable[[Any], None]):
        self._work, self._error = work, None
        self._items: queue.Queue = queue.Queue(DEPTH)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Behind":
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
            if self._error is None:  # after an error items are taken and dropped, so that `put` never blocks
                try:
                    self._work(item)
                except BaseException as error:  # raised in the thread that puts
                    self._error = error
