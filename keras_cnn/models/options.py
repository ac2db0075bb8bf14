"""Options are checked against the signature that declares them: its names, its annotations, nothing written twice."""

import inspect
import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

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
        _require_fits(f"{where}: {name}", value, hints[name])
    parameters = inspect.signature(function).parameters
    for name in options:
        missing = name not in given and parameters[name].default is inspect.Parameter.empty
        require(not missing, f"{where}: {name}", "not given", _describe(hints[name]))


def keyword_options(function: Callable) -> list[str]:
    """Names of the keyword-only parameters of `function`."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def _instead(name: str, options: list[str]) -> str:
    if not options:
        return "expected none: it has no options"
    return f"did you mean {nearest(name, options)!r}? (valid: {', '.join(options)})"


def _require_fits(where: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is list and isinstance(value, list):
        for number, item in enumerate(value, start=1):
            _require_fits(f"{where} row {number}", item, get_args(hint)[0])
        return
    require(_fits(value, hint), where, f"found {value!r}", _describe(hint))


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(type(value) is type(a) and value == a for a in arguments)
    if origin in (Union, UnionType):
        return any(_fits(value, a) for a in arguments)
    if origin is tuple:  # YAML has lists only, so a list of the right length is a tuple
        same_length = isinstance(value, list | tuple) and len(value) == len(arguments)
        return same_length and all(_fits(v, a) for v, a in zip(value, arguments, strict=True))
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin in (Union, UnionType):
        return " or ".join(_describe(a) for a in arguments)
    if origin is list:
        return f"a list, each item {_describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: " + ", ".join(_describe(a) for a in arguments)
    words = {int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping", NoneType: "null"}
    return words.get(hint, f"a {getattr(hint, '__name__', hint)}")
