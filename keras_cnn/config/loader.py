"""Loads a checked and complete config from a YAML file and overrides."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_type_hints

from keras_cnn.checking import COMMAND_LINE, Value, bare, check, check_names, nearest, options_of, placed, strip
from keras_cnn.config.fields import nearest_field, options
from keras_cnn.config.overrides import override, pairs
from keras_cnn.config.schema import PER_CLASS, PUBLISHED, Builders, Choice, Config, PublishedNumber, unread_builder
from keras_cnn.config.yaml_file import read_values
from keras_cnn.errors import InputError


def load(
    path: str | Path | Mapping[str, Any] | None,
    overrides: Sequence[str] = (),
    builders: Builders = types.MappingProxyType({}),
    kind: type = Config,
) -> Any:
    """Reads a YAML file (None: all defaults), applies `--a.b VALUE` overrides and returns the complete config.

    `path` may also be the content of such a file as nested mappings.

    `kind` is the dataclass of the whole config; its field `optim` is an OptimConfig.

    Raises a one-line InputError with place, field, found value, expected value and the nearest valid name.
    """
    if path is None or isinstance(path, Mapping):
        root = placed(path or {}, COMMAND_LINE if path is None else "config")
    else:
        root = read_values(Path(path))
    named_first = sorted(pairs(overrides), key=lambda pair: pair[0].removesuffix(".name") not in builders)
    for name, text in named_first:  # a new name drops the old options, so it is applied before new ones
        root = override(root, name.split("."), text, builders)
    config = _dataclass(root, kind, "", builders, [name for name, *_ in options(kind)])
    if config.optim.nesterov and config.optim.optimizer == "sgd" and not config.optim.momentum:
        place = root.value["optim"].value["nesterov"].place
        raise InputError(f"{place}: optim.nesterov: found true with optim.momentum 0, expected a momentum above 0")
    return config


def _dataclass(section: Value, kind: type, path: str, builders: Builders, every: Collection[str] = ()) -> Any:
    """The section as the dataclass `kind`; `every` lists the dotted names of all fields, for messages."""
    _need_mapping(section, path or "the config")
    hints = get_type_hints(kind, include_extras=True)
    check_names(section, hints, path, hint=functools.partial(nearest_field, fields=every))
    changed = {}
    for name, value in section.value.items():
        below = f"{path}.{name}" if path else name
        hint = strip(hints[name])
        if below == "published":
            changed[name] = _published(value, below)
        elif dataclasses.is_dataclass(hint) and hint is not Choice:
            changed[name] = _dataclass(value, cast(type, hint), below, builders, every)
        elif hint is not Choice:
            changed[name] = check(value, hints[name], below)
    for name, hint in hints.items():
        if strip(hint) is Choice:
            below = f"{path}.{name}" if path else name
            default = next(f.default for f in dataclasses.fields(kind) if f.name == name)
            given = section.value.get(name, Value(default.name, COMMAND_LINE))
            changed[name] = _choice(given, below, default.name, builders.get(below))
        elif name not in changed and dataclasses.is_dataclass(hint):
            changed[name] = _dataclass(Value({}, COMMAND_LINE), cast(type, hint), name, builders, every)
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    if missing := [name for name in required if name not in changed]:
        raise InputError(f"{section.place}: {path}: needs {', '.join(missing)}")
    return kind(**changed)


def _published(value: Value, path: str) -> str | tuple[PublishedNumber, ...] | None:
    if isinstance(value.value, list):
        return tuple(_published_number(item, f"{path}[{i}]") for i, item in enumerate(value.value))
    if value.value is None:
        return None
    if not isinstance(value.value, str):
        expected = "REPORT/EXPERIMENT such as cs7015/net1, a list of figures, or null"
        raise InputError(f"{value.place}: {path}: found {bare(value)!r}, expected {expected}")
    return published_name(value.value, f"{value.place}: {path}")


def _published_number(section: Value, path: str) -> PublishedNumber:
    number = _dataclass(section, PublishedNumber, path, {})
    if (number.class_name is None) is (number.figure in PER_CLASS):
        wanted = "a class_name" if number.figure in PER_CLASS else f"none: it is for {', '.join(PER_CLASS)}"
        raise InputError(f"{section.place}: {path}.class_name: found {number.class_name!r}, expected {wanted}")
    fields = [name for name, *_ in options(Config)]
    for name in number.conditions or {}:
        if name not in fields and not name.startswith(("model.", "data.augment.")):
            raise InputError(f"{section.place}: {path}.conditions: {name!r} is no field{nearest(name, fields)}")
    return number


def published_name(name: str, place: str) -> str:
    """Returns `name`, a REPORT/EXPERIMENT. Raises InputError if the package has no published figures for it."""
    experiments = {file.stem: read_values(file).value["experiments"] for file in sorted(PUBLISHED.glob("*.yaml"))}
    names = [f"{report}/{experiment}" for report, section in experiments.items() for experiment in section.value]
    if name not in names:
        raise InputError(f"{place}: {name!r} is unknown{nearest(name, names)}")
    return name


def _choice(section: Value, path: str, default: str, builders: Mapping[str, Callable] | None) -> Choice:
    if not isinstance(section.value, dict):
        section = Value({"name": section}, section.place)
    name = check(section.value.get("name", Value(default, section.place)), str, f"{path}.name")
    given = {k: v for k, v in section.value.items() if k != "name"}
    if builders is None:  # the caller does not build this section, e.g. a test of config alone
        return Choice(name, {k: bare(v) for k, v in given.items()})
    if name not in builders:
        place = section.value["name"].place
        raise InputError(f"{place}: {path}.name: {name!r} is unknown{nearest(name, builders)}")
    if builders[name] is unread_builder:  # only the names are known: the options are checked where the builders are
        return Choice(name, {k: bare(v) for k, v in given.items()})
    parameters = options_of(builders[name])
    check_names(Value(given, section.place), parameters, path, f"{path} {name}")
    options = {key: default for key, (_, default, _) in parameters.items()}
    options |= {key: check(value, parameters[key][0], f"{path}.{key}") for key, value in given.items()}
    missing = [key for key, value in options.items() if value is inspect.Parameter.empty]
    if missing:
        raise InputError(f"{section.place}: {path}: {name} needs {', '.join(missing)}")
    return Choice(name, options)


def _need_mapping(value: Value, path: str) -> None:
    if not isinstance(value.value, dict):
        raise InputError(f"{value.place}: {path}: found {value.value!r}, expected a section with fields")
