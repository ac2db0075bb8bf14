"""The complete training state in one file, replaced atomically, readable without running any code.

Keras's BackupAndRestore loses the seed generators, the order of the data and the callbacks' state; this holds every
variable of model, optimizer and weight average, and a JSON object with everything else.
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.run_folder import replacing

FILE = "state.npz"
VERSION = 3


def save(folder: Path, groups: dict[str, list], state: dict) -> None:
    """Writes variables by group name (each a list of Keras variables or arrays) and the JSON-able `state`."""
    folder.mkdir(exist_ok=True)
    arrays = {f"{group}/{i:05d}": np.asarray(v) for group, values in groups.items() for i, v in enumerate(values)}
    text = json.dumps({"version": VERSION, "state": state})
    with replacing(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays, json=np.frombuffer(text.encode(), np.uint8))


def load(folder: Path) -> tuple[dict[str, list[np.ndarray]], dict] | None:
    """What `save` wrote, or None if nothing was saved yet. A damaged file raises InputError naming it."""
    path = folder / FILE
    if not path.exists():
        return None
    groups: dict[str, list[np.ndarray]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            content = json.loads(archive["json"].tobytes())
            for name in sorted(n for n in archive.files if n != "json"):
                groups.setdefault(name.rpartition("/")[0], []).append(archive[name])
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"{path}: damaged checkpoint ({error}); expected one written by this program") from None
    if content["version"] != VERSION:
        raise InputError(f"{path}: checkpoint of version {content['version']}, expected {VERSION}")
    return groups, content["state"]


def assign(variables: list, arrays: list[np.ndarray], path: Path) -> None:
    """Puts the arrays into the variables, in order, after checking every shape."""
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
