"""Reads the JSON files of runs and sweeps and checks their fields; all readers of these files use it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_cnn.checking import check, placed
from keras_cnn.errors import InputError


def read_json(path: Path, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The mapping in a JSON file.

    `fields` are the type hints of required fields; a field that may be None may also be missing. Raises InputError, one
    line with the file, the field and what was found. FileNotFoundError is left to the caller.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read ({reason}); expected what a run writes") from None
    return checked_fields(value, path, fields or {})


def checked_fields(value: Any, path: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping `value`, which was read from `path`, with its `fields` checked as `read_json` does."""
    if not isinstance(value, dict):
        raise InputError(f"{path}: found {type(value).__name__}, expected a mapping")
    for name, hint in fields.items():
        checked = check(placed(value.get(name), str(path)), hint, name)
        if name in value:
            value[name] = checked
    return value
