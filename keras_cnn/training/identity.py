"""Whether the files of a run folder belong to one run: what a checkpoint binds, compared when a run is resumed."""

import json
from typing import Any

from keras_cnn import config as config_module
from keras_cnn.errors import InputError
from keras_cnn.run_folder import RunFolder
from keras_cnn.training.checkpoints import FILE


def identity_of(folder: RunFolder, config: Any, split_sha256: str) -> dict[str, Any]:
    """What binds a checkpoint to its run: JSON-able."""
    flat = json.loads(json.dumps(config_module.flat(config)))  # as it comes back: lists for tuples
    return {"run_id": folder.environment.get("run_id"), "config": flat, "split": split_sha256}


def require_same_run(folder: RunFolder, checkpoint: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises InputError, naming file and field, unless a checkpoint's identity is that of the folder now."""
    if checkpoint["run_id"] != now["run_id"]:
        raise InputError(
            f"{folder / 'checkpoint' / FILE}: the checkpoint of another run: run_id {checkpoint['run_id']}, expected"
            f" {now['run_id']} as in environment.json"
        )
    stored, current = checkpoint["config"], now["config"]
    changed = [f"{name}: {value} -> {current.get(name, '-')}" for name, value in stored.items()
               if current.get(name, "-") != value]  # fmt: skip
    if changed:
        raise InputError(f"{folder / 'config.yaml'}: changed since the checkpoint: {'; '.join(changed)}")
    if checkpoint["split"] != now["split"]:
        raise InputError(
            f"{folder / 'split.json'}: sha256: the images, their labels or their split have changed since the run began"
        )


def require_same_history(folder: RunFolder, rows: list[dict]) -> None:
    """Raises InputError unless history.csv, where it is there, begins with the rows of the checkpoint.

    It may have one more: the process may have died between the history and the checkpoint.
    """
    path = folder / "history.csv"
    if not path.exists():
        return
    try:
        written = folder.history()
    except (OSError, ValueError, TypeError, KeyError):
        return  # damaged: it is written anew from the checkpoint
    if len(written) not in (len(rows), len(rows) + 1):
        raise InputError(f"{path}: {len(written)} rows, expected {len(rows)} as in the checkpoint")
    for number, (found, expected) in enumerate(zip(written, rows, strict=False), 1):
        for name, value in expected.items():
            if found.get(name) != value:
                raise InputError(
                    f"{path}: row {number}: {name}: found {found.get(name)}, expected {value} as in the checkpoint"
                )
