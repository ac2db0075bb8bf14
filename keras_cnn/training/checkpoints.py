"""The complete training state in one file, replaced atomically, readable without running any code.

Keras's BackupAndRestore loses the seed generators, the order of the data and the callbacks' state; this file holds
every variable of model, optimizer and weight average, and a JSON object with everything else.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.data.arrays import read_arrays
from keras_cnn.errors import InputError
from keras_cnn.run_folder.files import replacing
from keras_cnn.run_folder.json_files import checked_fields

FILE = "state.npz"
VERSION = 4


@dataclass(frozen=True)
class Checkpoint:
    """Variables by group name, and the JSON-able rest."""

    groups: dict[str, list[np.ndarray]]
    state: dict[str, Any]


def save(folder: Path, groups: Mapping[str, Iterable], state: dict) -> None:
    """Writes variables (Keras variables or arrays) and the JSON-able `state`; replaces an older checkpoint."""
    folder.mkdir(exist_ok=True)
    with replacing(folder / FILE) as temporary:
        write(temporary, groups, state)


def load(folder: Path, fields: Mapping[str, Any] | None = None) -> Checkpoint | None:
    """What `save` wrote, or None if nothing was saved yet. Raises InputError, naming the file, if it is damaged.

    `fields` are type hints of the state's fields; see `run_folder.json_files.read_json`.
    """
    path = folder / FILE
    if not path.exists():
        return None
    checkpoint = read(path)
    checked_fields(checkpoint.state, path, fields or {})
    return checkpoint


def write(path: Path, groups: Mapping[str, Iterable], state: dict) -> None:
    text = json.dumps({"version": VERSION, "state": state})
    arrays: dict[str, Any] = {"json": np.frombuffer(text.encode(), np.uint8)}
    for group, values in groups.items():
        arrays |= {f"{group}/{i:05d}": np.asarray(value) for i, value in enumerate(values)}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read(path: Path) -> Checkpoint:
    groups: dict[str, list[np.ndarray]] = {}
    try:
        arrays = read_arrays(path)
        content = json.loads(arrays.pop("json").tobytes())
    except (ValueError, KeyError, RecursionError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: damaged checkpoint ({reason}); expected one written by this program") from None
    for name in sorted(arrays):
        groups.setdefault(name.rpartition("/")[0], []).append(arrays[name])
    content = checked_fields(content, path, {"version": int, "state": dict})
    if (version := content["version"]) != VERSION:
        other = f"checkpoint of format {version}, expected {VERSION}"
        raise InputError(f"{path}: {other}: another version of this program wrote it; finish the run with that version")
    return Checkpoint(groups, content["state"])


def assign(variables: Sequence, arrays: Sequence[np.ndarray], path: Path) -> None:
    """Assigns the arrays to the variables, in order, after checking every shape."""
    found, expected = [a.shape for a in arrays], [tuple(v.shape) for v in variables]
    if found != expected:
        first = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
        detail = (
            f"{len(found)} arrays, expected {len(expected)}"
            if first is None
            else (f"array {first} has shape {found[first]}, expected {expected[first]} for {variables[first].path}")
        )
        raise InputError(f"{path}: does not fit this model: {detail}")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
