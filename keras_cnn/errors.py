"""The two ways a run ends early that are not bugs, and the exit statuses of all ends."""

DONE, BUG, WRONG_INPUT, STOPPED = 0, 1, 2, 3


class InputError(ValueError):
    """The user's input is wrong. One line: what was found, where, and what is expected. Exit status 2."""


class UsageError(InputError):
    """The command itself is wrong, whatever it is about."""


class Stopped(Exception):
    """A run stopped on purpose (signal, NaN, full disk). Says what was saved and how to go on. Exit status 3."""


class Interrupted(Stopped):
    """A run stopped by a signal: whoever sent it may want to go on with it."""


def require(condition: bool, where: str, found: str, expected: str) -> None:
    """Raises InputError "where: found, expected ..." unless `condition` holds."""
    if not condition:
        raise InputError(f"{where}: {found}, expected {expected}")
