"""Options are checked against the signature that declares them: its names, its annotations, nothing written twice."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, get_type_hints

from keras_cnn.checking import check, describe, placed
from keras_cnn.errors import InputError


def nearest(name: Any, valid: Iterable[str]) -> str:
    """The valid name most like `name`."""
    return get_close_matches(str(name), list(valid), n=1, cutoff=0.0)[0]


def require(condition: bool, where: str, found: str, expected: str) -> None:
    """Raise InputError "where: found, expected ..." unless `condition` holds."""
    if not condition:
        raise InputError(f"{where}: {found}, expected {expected}")


def check_options(where: str, function: Callable, given: dict[str, Any], options: Iterable[str]) -> None:
    """Refuse unknown and missing names and values that the annotations of `function` exclude.

    `options` are the parameters of `function` that may be given. Raises InputError with the nearest valid name.
    """
    options = list(options)
    hints = get_type_hints(function)
    for name, value in given.items():
        if name not in options:
            raise InputError(f"{where}: unknown option {name!r}, {_instead(name, options)}")
        check(placed(value, where), hints[name], name)
    parameters = inspect.signature(function).parameters
    for name in options:
        missing = name not in given and parameters[name].default is inspect.Parameter.empty
        require(not missing, f"{where}: {name}", "not given", describe(hints[name]))


def keyword_options(function: Callable) -> list[str]:
    """Names of the keyword-only parameters of `function`."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def _instead(name: str, options: list[str]) -> str:
    if not options:
        return "expected none: it has no options"
    return f"did you mean {nearest(name, options)!r}? (valid: {', '.join(options)})"
