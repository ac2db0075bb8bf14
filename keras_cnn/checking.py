"""Checks values from files and command lines against type hints, with a one-line error for a value that does not fit.

Hints come from `config/schema.py`, as `Annotated[type, "help", Limit, ...]`, and from the signatures of builders.
"""

import difflib
import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from keras_cnn.errors import InputError, require

COMMAND_LINE = "command line"  # `Value.place` of a value typed there


@dataclass(frozen=True)
class Limit:
    """A condition that a value must meet, such as a range, and its wording in error messages."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Value:
    """A YAML value with the place it came from, for error messages."""

    value: Any  # a scalar, a list of Value or a dict of str to Value
    place: str  # "file.yaml:12" or "command line"
    text: str | None = None  # a scalar, or a value of the command line, as it was typed


def placed(value: Any, place: str) -> Value:
    """A plain value, and every value nested in it, as a `Value` from `place`."""
    if isinstance(value, dict):
        return Value({str(k): placed(v, place) for k, v in value.items()}, place)
    if isinstance(value, list | tuple):
        return Value([placed(v, place) for v in value], place)
    return Value(value, place)


def check(given: Value, hint: Any, path: str) -> Any:
    """The value as the type `hint`. Raises a one-line InputError with place and path if it does not fit."""
    limits = (
        [extra for extra in get_args(hint)[1:] if isinstance(extra, Limit)] if get_origin(hint) is Annotated else []
    )
    hint = strip(hint)
    value = _convert(given, hint, path)
    if value is _NO:
        nearest = _nearest_choice(given.value, hint)
        raise InputError(f"{given.place}: {path}: found {bare(given)!r}, expected {describe(hint)}{nearest}")
    for limit in limits:
        if value is not None and not limit.holds(value):
            raise InputError(f"{given.place}: {path}: found {value!r}, expected {limit.words}")
    return value


_NO = object()


def _convert(given: Value, hint: Any, path: str) -> Any:
    """The value as the type `hint`, or _NO if it does not fit. Integers are accepted as floats, not the reverse."""
    value, origin, arguments = given.value, get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        results = [_convert(given, kind, path) for kind in arguments]
        exact = [r for r in results if r is not _NO and type(r) is type(value)]
        return (exact or [r for r in results if r is not _NO] or [_NO])[0]
    if origin is Literal:
        exact = [a for a in arguments if a == value and type(a) is type(value)]
        return next(iter(exact), given.text if given.text in arguments else _yes_no(value, arguments))
    if origin in (list, tuple):
        return _sequence(given, origin, arguments, path)
    if origin is dict:
        if not isinstance(value, dict):
            return _NO
        return {name: check(item, arguments[1], f"{path}.{name}") for name, item in value.items()}
    if hint is dict:
        return bare(given) if isinstance(value, dict) else _NO
    if hint is Any:
        return bare(given)
    if hint in (type(None), None):
        return None if value is None else _NO
    return _text(given) if hint is str else _scalar(value, hint)


def _text(given: Value) -> Any:
    """The text as it was typed: 1e3, 12:30 and no stay text where text is expected, however YAML reads them."""
    if given.value is not None and given.text is not None:
        return given.text
    if isinstance(given.value, int | float) and not isinstance(given.value, bool):
        return str(given.value)
    return given.value if isinstance(given.value, str) else _NO


def _scalar(value: Any, hint: type) -> Any:
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and math.isfinite(value) else _NO
    if hint is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else _NO
    return value if isinstance(value, hint) else _NO


def _yes_no(value: Any, arguments: tuple) -> Any:
    """The word in `arguments` for a boolean, or _NO: sweeps pass yes and no as YAML 1.1 booleans."""
    words = {True: ("yes", "on"), False: ("no", "off")}.get(value, ()) if isinstance(value, bool) else ()
    return next((word for word in words if word in arguments), _NO)


def _sequence(given: Value, origin: type, arguments: tuple, path: str) -> Any:
    if not isinstance(given.value, list):
        return _NO
    kinds = arguments
    if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        kinds = (arguments[0],) * len(given.value)
    if len(kinds) != len(given.value):
        return _NO
    items = [check(item, kind, f"{path}[{i}]") for i, (item, kind) in enumerate(zip(given.value, kinds, strict=True))]
    return origin(items)


def bare(given: Value) -> Any:
    if isinstance(given.value, dict):
        return {k: bare(v) for k, v in given.value.items()}
    if isinstance(given.value, list):
        return [bare(v) for v in given.value]
    return given.value


def _nearest_choice(value: Any, hint: Any) -> str:
    words = [str(a) for part in (get_args(hint) or ()) for a in (get_args(part) or (part,)) if isinstance(a, str)]
    near = difflib.get_close_matches(str(value), words, 1)
    return f"; did you mean {near[0]}?" if near else ""


def describe(hint: Any) -> str:
    """A type hint in words, for messages and --help."""
    hint = strip(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if origin is Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments))
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}: " + ", ".join(describe(a) for a in arguments)
    if origin in (list, tuple):
        return f"a list of {describe(arguments[0])}" if arguments else "a list"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, "a mapping" if hint is dict or origin is dict else getattr(hint, "__name__", str(hint)))


def strip(hint: Any) -> Any:
    """The type of an `Annotated` hint, or the hint itself."""
    return hint.__origin__ if get_origin(hint) is Annotated else hint


def check_names(
    section: Value,
    names: Collection[str],
    path: str,
    what: str = "",
    *,
    hint: Callable[[str, Collection[str]], str] | None = None,
) -> None:
    """Raises InputError if the section has a field that is not in `names`.

    The message names `what`, or else `path`, as the field's owner and ends with `hint`, by default `nearest`.
    """
    for name, value in section.value.items():
        if name not in names:
            inside = f" of {what or path}" if path else ""
            full = f"{path}.{name}" if path else name
            raise InputError(f"{value.place}: {full}: unknown field{inside}{(hint or nearest)(name, names)}")


def nearest(name: Any, names: Collection[str]) -> str:
    """The end of a message about an unknown name: the most similar valid name, or all of them."""
    near = difflib.get_close_matches(str(name), [n for n in names if n != name], 1, cutoff=0.5)
    return (
        f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(names)}" if names else "; none exist"
    )


def near_path(path: Path) -> Path | None:
    """The existing path beside `path` with the most similar name, if there is one."""
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1)
    return path.with_name(near[0]) if near else None


def check_options(where: str, function: Callable, given: Mapping[str, Any], options: Iterable[str]) -> None:
    """Rejects unknown and missing options, and values that do not fit the annotations of `function`.

    `options` are the parameters of `function` that may be given. Raises InputError with the nearest valid name.
    """
    options, hints = list(options), get_type_hints(unwrapped(function))
    for name, value in given.items():
        if name not in options:
            raise InputError(f"{where}: unknown option {name!r}{nearest(name, options)}")
        check(placed(value, where), hints[name], name)
    parameters = inspect.signature(function).parameters
    for name in options:
        missing = name not in given and parameters[name].default is inspect.Parameter.empty
        require(not missing, f"{where}: {name}", "not given", describe(hints[name]))


def keyword_options(function: Callable) -> list[str]:
    """Names of the keyword-only parameters of `function`."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def unwrapped(builder: Callable) -> Callable:
    """The function inside a `partial`."""
    return builder.func if isinstance(builder, functools.partial) else builder


def options_of(builder: Callable) -> dict[str, tuple[Any, Any, str]]:
    """Keyword-only parameters of a builder: name -> (type hint, default, help from the `Options:` of its docstring)."""
    target = unwrapped(builder)
    hints = get_type_hints(target, include_extras=True)
    notes = dict(re.findall(r"^\s+(\w+): (.+)$", inspect.getdoc(target) or "", re.MULTILINE))
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    own = [p for p in inspect.signature(builder).parameters.values() if p.kind is keyword_only]
    return {p.name: (hints[p.name], p.default, notes.get(p.name, "")) for p in own}
