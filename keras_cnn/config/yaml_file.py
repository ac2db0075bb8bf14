"""Reads YAML strictly, with the place of each value, and writes YAML that reads back unchanged."""

import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from keras_cnn.checking import COMMAND_LINE, Value
from keras_cnn.errors import InputError

_DEEPEST = 20  # levels of nested lists and sections; a config needs 4

# YAML 1.1 reads 010 as 8 and 1:30 as 90. No user means that, so they stay text, which number fields reject.
_READ_OTHERWISE = re.compile(r"[-+]?(0[\d_]+|\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?)")


class _Loader(yaml.SafeLoader):
    """Reads plain YAML, with 1e-3 as a number as in YAML 1.2; PyYAML's own loader reads it as text.

    It rejects anchors and aliases, because nine lines of them can expand to a billion values, and deep nesting, which
    would overflow the stack.
    """

    _depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            problem = "an anchor (&name) or alias (*name) stands here; expected the value itself"
            raise ComposerError(None, None, problem, event.start_mark)
        if self._depth > _DEEPEST:
            problem = f"more than {_DEEPEST} lists and sections inside one another"
            raise ComposerError(None, None, problem, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Dumper(yaml.SafeDumper):
    """Writes YAML that `_Loader` reads back unchanged."""

    def ignore_aliases(self, data):
        return True


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def read_values(path: Path) -> Value:
    """Reads a YAML file with the place of each value. Raises a one-line InputError if unreadable or not plain YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        others = [p.name for p in path.parent.glob("*.yaml") if p.name != path.name]
        near = difflib.get_close_matches(path.name, others, 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise InputError(f"{path}: cannot read the config: {error.strerror}{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
        return Value({}, str(path)) if node is None else _plain(node, path)
    except InputError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _plain(node: yaml.Node, path: Path | None) -> Value:
    """A node as a `Value`; its place is a line of the file `path`, or the command line."""
    place = f"{path}:{node.start_mark.line + 1}" if path else COMMAND_LINE
    if isinstance(node, yaml.SequenceNode):
        return Value([_plain(item, path) for item in node.value], place)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Value] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in result:
                fault = "a key that is not a plain word" if name is None else f"{name} twice in one section"
                place = f"{path}:{key.start_mark.line + 1}" if path else COMMAND_LINE
                raise InputError(f"{place}: {fault}; expected each field once")
            result[name] = _plain(value, path)
        return Value(result, place)
    if node.tag.endswith((":int", ":float")) and _READ_OTHERWISE.fullmatch(node.value):
        return Value(node.value, place, node.value)
    loader = _Loader("")
    try:
        return Value(loader.construct_object(node), place, node.value)
    except ValueError:  # 2020-13-45 looks like a date but is not one
        return Value(node.value, place, node.value)
    finally:
        loader.dispose()


def parsed(text: str) -> Value:
    """A value from the command line, read as YAML or, if that fails, as plain text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = (text or None) if node is None else _plain(node, None).value  # a space may be meant
    except yaml.YAMLError:
        value = text
    return Value(value, COMMAND_LINE, text)


def dumped(value: Any) -> str:
    """YAML text of nested dicts, lists and scalars; it reads back unchanged."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
