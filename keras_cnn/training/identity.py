"""Checks on resume that a checkpoint belongs to its run folder and network: run id, config, split, layers, history."""

import json
from typing import Any

from keras_cnn.config import differences, flat
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.models.layer_settings import changed_setting, layer_settings
from keras_cnn.run_folder import RunFolder
from keras_cnn.training.checkpoints import FILE
from keras_cnn.training.task import Task


def identity_of(folder: RunFolder, task: Task) -> dict[str, Any]:
    """The fields of a checkpoint that identify its run, JSON-able: run id, config, split and layers."""
    values = json.loads(json.dumps(flat(task.config)))  # as JSON returns them: lists for tuples
    values.pop("devices", None)  # a run may go on with others
    layers = json.loads(json.dumps(layer_settings(task.model)))
    run_id = folder.environment["run_id"]
    return {"run_id": run_id, "config": values, "split": task.split["sha256"], "layers": layers}


def require_same_run(folder: RunFolder, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raises InputError, in one line with file and field, unless a checkpoint's state belongs to this folder's run."""
    if state["run_id"] != identity["run_id"]:
        raise InputError(
            f"{folder / 'checkpoint' / FILE}: run_id: found {state['run_id']}, expected {identity['run_id']} as in"
            " environment.json: it is the checkpoint of another run"
        )
    known = {name: identity["config"].get(name) for name in state["config"]}  # options may have been added since
    if changed := differences(state["config"], known):
        raise InputError(f"{folder / 'config.yaml'}: changed since the last checkpoint: {'; '.join(changed)}")
    if state["split"] != identity["split"]:
        raise InputError(
            f"{folder / 'split.json'}: sha256: the images, their labels or their split have changed since the run began"
        )
    _require_same_network(folder, state.get("layers"), identity["layers"])
    _require_same_history(folder, state["position"].get("history"))


def _require_same_network(folder: RunFolder, begun: list[dict] | None, now: list[dict]) -> None:
    """Raises InputError if a network with the same weights would compute something else than when the run began."""
    path = folder / "checkpoint" / FILE
    if begun is None:
        logger.info(
            f"warning   {path}: layers: missing, as an older version wrote it; that its network is still built with the"
            " same settings is not checked"
        )
    elif changed := changed_setting(begun, now):
        raise InputError(
            f"{path}: the network has changed since the run began: {changed}; finish the run with the code that began"
            " it, or start the run anew"
        )


def _require_same_history(folder: RunFolder, rows: Any) -> None:
    """Raises InputError unless history.csv begins with the rows of the checkpoint.

    It may have one more row: the process may have died between writing the history and the checkpoint. A missing or
    damaged file is accepted, and written anew later.
    """
    path = folder / "history.csv"
    try:
        written = folder.history()
    except (OSError, ValueError, TypeError):
        return
    if not isinstance(rows, list):  # the session refuses such a checkpoint
        return
    if len(written) not in (len(rows), len(rows) + 1):
        raise InputError(f"{path}: found {len(written)} rows, expected {len(rows)} as in the checkpoint")
    for number, (found, expected) in enumerate(zip(written, rows, strict=False), 1):
        for name, value in expected.items():
            if found.get(name) != value:
                raise InputError(
                    f"{path}: row {number}: {name}: found {found.get(name)}, expected {value} as in the checkpoint"
                )
