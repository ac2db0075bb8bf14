"""The entry point of every program: prepares the streams and turns exceptions into a message and an exit status."""

import contextlib
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TextIO

from keras_cnn.errors import BUG, DONE, STOPPED, InputError, Stopped, explained
from keras_cnn.messages import printable, show_messages
from keras_cnn.operating_system import STOP_SIGNALS


def run(program: str | Callable[[list[str]], None], arguments: list[str]) -> int:
    """Runs `keras_cnn.cli.PROGRAM`, or a function, and returns the exit status.

    An exception, even one raised by the program's import, becomes a line on standard error. The traceback is shown for
    a bug, and with --debug for every error.
    """
    debug = "--debug" in arguments
    with _stopping_signals() as signals:
        try:
            _prepare_streams()
            show_messages()
            main = importlib.import_module(f"keras_cnn.cli.{program}").main if isinstance(program, str) else program
            main([a for a in arguments if a != "--debug"])
            sys.stdout.flush()
        except SystemExit:  # --help
            with _without_output():
                sys.stdout.flush()
            raise
        except (InputError, Stopped) as error:
            return _report(error, debug)
        except BaseException as error:  # an import interrupted by a signal can fail in any way
            return _report(KeyboardInterrupt() if signals else error, debug)
    return DONE


@contextlib.contextmanager
def _stopping_signals() -> Iterator[list[int]]:
    """Makes SIGTERM act like Ctrl-C; yields the list of the signals received so far."""
    signals = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    wanted = [number for number in STOP_SIGNALS if number != signal.SIGINT]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a background job, which ignores it
        wanted.append(signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(error: BaseException, debug: bool) -> int:
    lines, status = explained(error)
    if isinstance(error, OSError) and error.filename is None and _is_lost(sys.stdout):
        lines, status = [f"stopped: standard output: {error.strerror}"], STOPPED
    with _without_output():
        if debug or status == BUG:
            traceback.print_exception(error)
        print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)
    return status


def _prepare_streams() -> None:
    """Makes sure that the standard streams exist and can write any text.

    If one was closed, the next file opened would get its descriptor, and receive what is written to the stream.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # ASCII alone, or a file name that is not UTF-8


def _is_lost(stream: TextIO) -> bool:
    """Whether the stream can no longer be written; if so, discards it, so that Python's final flush does not fail."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        _discard(stream)
        return True
    return False


@contextlib.contextmanager
def _without_output() -> Iterator[None]:
    """Ignores a failure to write to a standard stream inside the block."""
    try:
        yield
    except OSError:
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Redirects a stream and its buffered text to the null device, so that Python's final flush does not fail."""
    with contextlib.suppress(OSError, ValueError):  # a test's stream has no descriptor
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
