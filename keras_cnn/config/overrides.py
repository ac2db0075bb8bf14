"""Parses overrides on the command line, `--a.b VALUE` or `--a.b=VALUE`, and applies them."""

from collections.abc import Iterator, Sequence

from keras_cnn.checking import COMMAND_LINE, Value
from keras_cnn.config.schema import Builders
from keras_cnn.config.yaml_file import parsed
from keras_cnn.errors import InputError


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`["--a.b", "1", "--c=2"]` -> ("a.b", "1"), ("c", "2")."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise InputError(
                f"{COMMAND_LINE}: {word!r} is neither an option nor the value of one; expected --a.b VALUE"
            )
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{COMMAND_LINE}: --{name} has no value; expected --{name} VALUE")
            text = rest.pop(0)
        yield name, text


def override(root: Value, path: list[str], text: str, builders: Builders, done: tuple[str, ...] = ()) -> Value:
    """The values of `root` with the field at `path` replaced.

    A new name for a choice, such as a model, drops the options of the old choice.
    """
    section = dict(root.value) if isinstance(root.value, dict) else {"name": root}
    head, *tail = path
    if tail:
        below = section.get(head, Value({}, COMMAND_LINE))
        section[head] = override(below, tail, text, builders, (*done, head))
    elif head == "name" and ".".join(done) in builders:
        old = section.get("name")
        section = section if old is not None and old.value == text else {}
        section["name"] = Value(text, COMMAND_LINE)
    else:
        section[head] = parsed(text)
    return Value(section, root.place)
