"""Exceptions that end a program early, and the exit statuses of all programs."""

import errno
import re
import sys

DONE, BUG, WRONG_INPUT, STOPPED = 0, 1, 2, 3

# Faults of the machine, not of the input: saved files are intact, and the run can be resumed later.
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_MACHINE = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPIPE, errno.ENODEV)


class InputError(ValueError):
    """The user's input is wrong. Each line is one fault: where it is, what was found, what is expected.

    Exit status 2.
    """

    on_all_ranks = False  #: every process of a run on several hosts raises it at the same point

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class UsageError(InputError):
    """The command itself is wrong, regardless of the run or file that it names."""


class Stopped(Exception):
    """A run stopped on purpose (signal, NaN, full disk). Says what was saved and how to continue. Exit status 3."""

    on_all_ranks = False  #: every process of a run on several hosts raises it at the same point


class Interrupted(Stopped):
    """A run stopped by a signal; the user may want to resume it."""


def require(condition: bool, where: str, found: str, expected: str) -> None:
    """Raises InputError "where: found, expected ..." unless `condition` holds."""
    if not condition:
        raise InputError(f"{where}: {found}, expected {expected}")


def explained(error: BaseException) -> tuple[list[str], int]:
    """The lines that describe an error to the user, usually one, and the exit status of the program.

    Notes of the exception (`add_note`) are appended to the last line; they say how to continue.
    """
    if isinstance(error, InputError):
        first, *more = map(str, error.args or ("wrong input",))
        lines, status = [f"error: {first}", *more], WRONG_INPUT
    else:
        line, status = _explained(error)
        lines = [line]
    lines[-1] = "; ".join([lines[-1], *getattr(error, "__notes__", ())])
    return lines, status


def _explained(error: BaseException) -> tuple[str, int]:
    if isinstance(error, Stopped):
        return str(error), STOPPED
    if isinstance(error, KeyboardInterrupt):
        return "stopped by a signal", STOPPED
    text = brief(error)
    if is_out_of_memory(error):
        if "No space left" in text:  # TensorFlow has one error for memory and disk
            return f"the disk is full: {text}", STOPPED
        remedy = "lower train.batch_size or the size of the images, or start fewer processes"
        return f"out of memory: {text or 'no size is known'}; {remedy}", STOPPED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        reason = error.strerror or text
        if error.errno in _FULL_DISK:
            return f"{where}the disk is full ({reason})", STOPPED
        if error.errno in _MACHINE:
            return f"stopped: {where}{reason}", STOPPED
        return f"error: {where}{reason} (--debug shows where in the program)", WRONG_INPUT
    if isinstance(error, UnicodeError):
        return f"error: text or a name is not valid UTF-8: {text} (--debug shows where in the program)", WRONG_INPUT
    return f"this is a bug of keras_cnn, not of its input: {type(error).__name__}: {text}", BUG


def brief(error: BaseException) -> str:
    """The text of an error in one line of at most 200 characters, without TensorFlow's node names."""
    return " ".join(re.sub(r"\{\{.*?\}\}", "", str(error)).split())[:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or TensorFlow failed to allocate memory."""
    tensorflow = sys.modules.get("tensorflow")
    exhausted = tensorflow.errors.ResourceExhaustedError if tensorflow else MemoryError
    return isinstance(error, MemoryError | exhausted)
