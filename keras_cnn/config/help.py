"""The help text of a config: every option with its type, its default and its meaning."""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping

from keras_cnn.checking import describe, options_of
from keras_cnn.config.fields import options, shown
from keras_cnn.config.schema import Builders, Config


def help_text(builders: Builders = types.MappingProxyType({}), kind: type = Config) -> str:
    """Every option with its type, default and meaning, as `--options` shows it."""
    lines = []
    for name, hint, default, note in options(kind):
        if name in builders:
            count = len(builders[name])
            lines.append(f"  --{name}.name NAME   {note}; one of the {count} below (default {default.name})")
            lines += _builders_help(name, builders[name])
        else:
            lines.append(f"  --{name}   {note}: {describe(hint)} (default {shown(default)})")
    return "\n".join(lines)


def _builders_help(path: str, builders: Mapping[str, Callable]) -> Iterator[str]:
    """Help on the builders' options. Builders with the same options share lines; differing defaults are listed."""
    alike: dict[tuple, dict[str, dict]] = {}
    for name, builder in builders.items():
        declared = options_of(builder)
        key = tuple((option, note) for option, (_, _, note) in declared.items())
        alike.setdefault(key, {})[name] = declared
    for members in alike.values():
        yield f"    {', '.join(members)}{'' if any(members.values()) else ': no options'}"
        first, *_ = members.values()
        for option, (hint, default, note) in first.items():
            needed = "required" if default is inspect.Parameter.empty else f"default {shown(default)}"
            defaults = {name: theirs[option][1] for name, theirs in members.items()}
            others = ", ".join(f"{name} {shown(value)}" for name, value in defaults.items() if value != default)
            yield f"      --{path}.{option}   {note}: {describe(hint)} ({needed}{'; ' if others else ''}{others})"
