"""What every call of the library has in common: its errors, its messages, and what it leaves as it was."""

import functools
import inspect
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np

from keras_cnn.checking import COMMAND_LINE, nearest
from keras_cnn.errors import InputError
from keras_cnn.messages import are_shown, logger, show_messages

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def public(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function of the library: its InputError is the program's line, without the words and dashes of a command line.

    An unknown keyword raises InputError with the nearest one, unless the function takes any keywords; so does a missing
    argument.
    """

    @functools.wraps(function)
    def call(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        bound(function, arguments, keywords)
        try:
            return function(*arguments, **keywords)
        except InputError as error:
            error.args = tuple(str(line).removeprefix(f"{COMMAND_LINE}: ").removeprefix("--") for line in error.args)
            raise

    return call


def bound(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The arguments of a call by the names of its parameters. InputError for what the function does not take."""
    signature = inspect.signature(function)
    parameters, name = signature.parameters, function.__name__
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [keyword for keyword in keywords if keyword not in parameters and not takes_any]
    if unknown:
        names = [parameter for parameter in parameters if parameter != "self"]
        raise InputError(f"{name}: unknown keyword {unknown[0]!r}{nearest(unknown[0], names)}")
    try:
        return signature.bind(*arguments, **keywords)
    except TypeError as error:
        raise InputError(f"{name}: {error}; expected {name}{signature}") from None


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def collected_lines() -> Iterator[list[str]]:
    """Collects the package's messages inside the block instead of showing them."""
    collector = _Collector()
    before = (logger.level, logger.propagate, logger.handlers)
    logger.handlers, logger.propagate = [collector], False
    logger.setLevel(logging.INFO)
    try:
        yield collector.lines
    finally:
        level, logger.propagate, logger.handlers = before
        logger.setLevel(level)


@contextmanager
def messages(shown: bool) -> Iterator[None]:
    """Shows the package's messages on standard output inside the block, unless the program shows them already."""
    if not shown or are_shown():
        yield
        return
    before = (logger.level, logger.propagate, list(logger.handlers))
    show_messages()
    try:
        yield
    finally:
        level, logger.propagate, logger.handlers = before
        logger.setLevel(level or logging.NOTSET)


@contextmanager
def own_settings() -> Iterator[None]:
    """Restores the caller's number format and random generators after a block that sets them for a training."""
    import keras

    policy, python, numpy = keras.config.dtype_policy(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(python)
        np.random.set_state(numpy)
