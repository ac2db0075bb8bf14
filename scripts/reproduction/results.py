"""What is kept of a finished run: a JSON file of a few kilobytes, in the repository, without weights."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn.checking import bare
from keras_cnn.config import pairs
from keras_cnn.config.yaml_file import parsed
from keras_cnn.errors import InputError
from keras_cnn.run_folder import write_text
from keras_cnn.run_folder.json_files import read_json
from keras_cnn.run_folder.record import Record, read_record
from reproduction.compact import dumped
from reproduction.experiments import Experiment, Look, Planned
from reproduction.training import read_curve

VERSION = 1
FIELDS = {
    "version": int,
    "experiment": str,
    "seed": int,
    "config": dict,
    "parameters": int,
    "images": dict,
    "epochs": dict,
    "chosen": dict,
    "seconds": float,
    "environment": dict,
}
LOOK_FIELDS = {  # of a file about networks that were looked at
    "version": int,
    "experiment": str,
    "networks": dict,
    "findings": dict,
    "seconds": float,
    "environment": dict,
}
PACKAGES = ("keras", "tensorflow", "numpy")
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "epoch_seconds")
_NOT_KEPT = ("data.source", "name", "published", "seed", "tracking.wandb")


def path_of(folder: Path, experiment: Planned) -> Path:
    return folder / "results" / f"{experiment.key}.json"


def summarised(experiment: Experiment, run: Path) -> dict[str, Any]:
    """What is kept of a finished run folder. InputError if a part of it is missing."""
    record, curve = read_record(run), read_curve(run)
    if record.problems:
        raise InputError(record.problems[0])
    if [row["epoch"] for row in curve] != [row["epoch"] for row in record.history]:
        raise InputError(f"{run}: test_curve.csv has {len(curve)} epochs, history.csv {len(record.history)}")
    rows = [before | after for before, after in zip(record.history, curve, strict=True)]
    environment = record.environment
    return {
        "version": VERSION,
        "experiment": experiment.name,
        "seed": experiment.seed,
        "config": _changes(record),
        "parameters": record.model["totals"]["trainable"],
        "images": record.split["counts"],
        "epochs": {name: [_rounded(row[name]) for row in rows] for name in COLUMNS},
        "chosen": _chosen(record.metrics),
        "seconds": float(round(record.history[-1]["run_seconds"], 1)),
        "environment": {
            "packages": {name: environment["packages"].get(name) for name in PACKAGES},
            "computed_in": record.metrics["computed_in"],
            "cpu": environment["hardware"].get("cpu"),
        },
    }


def write(folder: Path, experiment: Experiment, run: Path) -> dict[str, Any]:
    """Writes the results of a finished run into the folder of results, and returns them."""
    result, path = summarised(experiment, run), path_of(folder, experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, dumped(result))
    return result


def write_look(
    folder: Path, look: Look, networks: Mapping[str, Any], findings: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """Writes what a look at networks found, and returns it."""
    environment = {"packages": {name: metadata.version(name) for name in PACKAGES}}
    result, path = (
        {
            "version": VERSION,
            "experiment": look.name,
            "networks": dict(networks),
            "findings": dict(findings),
            "seconds": float(round(seconds, 1)),
            "environment": environment,
        },
        path_of(folder, look),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, dumped(result))
    return result


def read(path: Path, experiment: Planned) -> dict[str, Any]:
    """The results in a file. InputError, one line, if it is damaged, of another version or of other settings."""
    result = read_json(path, LOOK_FIELDS if isinstance(experiment, Look) else FIELDS)
    if result["version"] != VERSION:
        raise InputError(f"{path}: version: found {result['version']}, expected {VERSION}; run the experiment again")
    if isinstance(experiment, Look):
        return result
    lengths = {name: len(values) for name, values in result["epochs"].items()}
    if set(lengths) != set(COLUMNS) or len(set(lengths.values())) != 1:
        raise InputError(f"{path}: epochs: found columns {lengths}, expected {', '.join(COLUMNS)} of one length")
    _require_settings(path, result, experiment)
    return result


def read_all(folder: Path, experiments: Sequence[Planned]) -> dict[str, dict[str, Any]]:
    """The results that are there, by `Experiment.key`, in the order of the plan.

    InputError for a file of no experiment: it would be left out in silence.
    """
    known = {path_of(folder, each): each for each in experiments}
    for path in sorted((folder / "results").glob("*.json")):
        if path not in known:
            raise InputError(f"{path}: of no experiment of the plan; expected a name that --list prints")
    return {each.key: read(path, each) for path, each in known.items() if path.is_file()}


def _require_settings(path: Path, result: Mapping[str, Any], experiment: Experiment) -> None:
    """InputError if the run had another length, or other values of the options that the experiment sets now."""
    config = result["config"]
    options = dict(pairs(experiment.options))  # the last of two counts, as on the command line
    settings = [(field, config[field], bare(parsed(text))) for field, text in options.items() if field in config]
    for field, found, expected in [("epochs", len(result["epochs"]["loss"]), experiment.epochs), *settings]:
        if found != expected:
            raise InputError(
                f"{path}: {field}: found {found}, expected {expected}; remove the file to run the experiment again"
            )


def _changes(record: Record) -> dict[str, Any]:
    """The fields of the config that differ from their defaults, and the options of the model."""
    changed = {line.split(":")[0] for line in record.changes}
    kept = {name for name in record.config if name in changed or name.startswith("model.")}
    return {name: record.config[name] for name in sorted(kept) if name not in _NOT_KEPT}


def _chosen(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of the epoch that validation chose, all measured in inference mode."""
    return {
        "by": metrics["chosen_by"],
        "epoch": metrics["best_epoch"],
        "test_accuracy": metrics["accuracy"],
        "test_loss": _rounded(metrics["loss"]),
        "validation_accuracy": metrics["validation"]["accuracy"],
        "validation_loss": _rounded(metrics["validation"]["loss"]),
        "train_accuracy": _rounded(metrics["train"]["accuracy"]),
        "train_loss": _rounded(metrics["train"]["loss"]),
        "confusion": np.asarray(metrics["confusion"]).tolist(),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
