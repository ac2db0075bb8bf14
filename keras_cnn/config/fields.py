"""The fields of a config: as dicts, as YAML, flat by dotted name, compared with another config."""

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from keras_cnn.checking import bare, nearest, strip
from keras_cnn.config.schema import ACTS_WITH, Choice, Config
from keras_cnn.config.yaml_file import dumped, read_values


def as_dict(config: Any) -> Any:
    """The config as plain nested dicts, lists and scalars, in the form that `load` reads."""
    if isinstance(config, Choice):
        return {"name": config.name} | {k: _listed(v) for k, v in config.options.items()}
    if isinstance(config, tuple):
        return [as_dict(item) for item in config]
    if dataclasses.is_dataclass(config):
        return {f.name: as_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return config


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple | list) else value


def dump(config: Any) -> str:
    """YAML text that loads to an equal config."""
    return dumped(as_dict(config))


def flat(config: Any) -> dict[str, Any]:
    """`{"optim.learning_rate": 0.001, ...}`: one entry per field, in declaration order."""
    return dict(_walk(as_dict(config), ""))


def read_flat(path: Path) -> dict[str, Any]:
    """A config file in the form of `flat`. It may have any fields, also old ones. InputError if not YAML."""
    return dict(_walk(bare(read_values(path)), ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(below, f"{path}.{name}" if path else name)
    else:
        yield path, value


def differences(old: Any, new: Any) -> list[str]:
    """One line per differing field: `optim.learning_rate: 0.001 -> 0.01`; a side without the field shows `-`."""
    before, after = flat(old), flat(new)
    names = list(dict.fromkeys([*before, *after]))
    absent = "-"
    return [
        f"{n}: {before.get(n, absent)} -> {after.get(n, absent)}"
        for n in names
        if before.get(n, absent) != after.get(n, absent)
    ]


def without_effect(config: Config, own_splits: Iterable[str]) -> list[str]:
    """One line per field that differs from its default but has no effect; `own_splits`: splits in the source."""
    given, defaults = flat(config), flat(Config())
    states = given | {"data.source": config.data.source.partition(":")[0]}
    states["the source's own splits"] = ", ".join(own_splits)
    return [
        f"{name} {shown(given[name])} has no effect with {other} {shown(states[other])}"
        for name, (other, values) in ACTS_WITH.items()
        if given[name] != defaults[name] and states[other] not in values
    ]


_SHORT = {"lr": "learning_rate", "wd": "weight_decay", "bs": "batch_size", "batch": "batch_size", "epoch": "epochs"}


def nearest_field(name: str, beside: Collection[str], fields: Collection[str]) -> str:
    """The end of a message about an unknown field: the field probably meant, or the names `beside` it.

    `fields` are the dotted names of all fields. A field with the same last name in another section is preferred.
    """
    last = name.rpartition(".")[2]
    endings = {field.rpartition(".")[2]: field for field in fields if field != name}
    if _SHORT.get(last, last) in endings:
        return f"; did you mean {endings[_SHORT.get(last, last)]}?"
    close = nearest(name, beside)
    alike = difflib.get_close_matches(last, list(endings), 1, cutoff=0.7)
    return f"; did you mean {endings[alike[0]]}?" if alike and "did you mean" not in close else close


def shown(value: Any) -> str:
    """A value as a user would type it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def names(kind: type = Config) -> list[str]:
    """The dotted names of all fields of a config class."""
    return [name for name, *_ in options(kind)]


def options(kind: type, path: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Every option of a config class: dotted name, type hint, default, help."""
    hints = get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        hint, name = hints[item.name], f"{path}{item.name}"
        if dataclasses.is_dataclass(strip(hint)) and strip(hint) is not Choice:
            yield from options(strip(hint), f"{name}.")
        else:
            yield name, hint, item.default, next(a for a in get_args(hint)[1:] if isinstance(a, str))
