"""SIGTERM and Ctrl-C as a request that the training loop honours between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from keras_cnn.errors import Interrupted
from keras_cnn.operating_system import STOP_SIGNALS


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Delays SIGTERM and Ctrl-C until the block ends: if they interrupt a Keras save, it raises another error."""
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: received.append(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)


class Interrupt:
    """`with Interrupt() as interrupt:` sets `interrupt.name` on the first signal; a second one has its usual effect."""

    name: str | None = None

    def __enter__(self) -> "Interrupt":
        self._handlers_outside = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        return self

    def check(self) -> None:
        """Raises Interrupted after a signal."""
        if self.name:
            raise Interrupted(f"stopped by {self.name}")

    def __exit__(self, *_: object) -> None:
        self._restore_handlers()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers_outside.items():
            signal.signal(number, handler)
