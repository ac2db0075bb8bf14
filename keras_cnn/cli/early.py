"""Checks of a command that need no TensorFlow, whose import takes seconds: a wrong command is answered at once."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_cnn import config as config_module
from keras_cnn import networks
from keras_cnn.checking import near_path
from keras_cnn.config import Config
from keras_cnn.errors import InputError
from keras_cnn.run_folder import newest_runs

FOLDER = "folder:"
SHARDS = "shards:"
PHOTOS = (FOLDER, "csv:", "parquet:", SHARDS)  # how a source of photos begins
TABLES = {".csv": "csv:", ".parquet": "parquet:"}  # suffix of a table of labels -> its kind of source


def check_config(path: Path, overrides: Sequence[str], kind: type = Config) -> None:
    """Raises InputError if a field of the config is unknown or has a wrong value, or if the network is unknown.

    What needs the builders (options of networks and of augmentation recipes) is left to the complete check.
    """
    if "keras_cnn.loading" in sys.modules:  # the complete check costs nothing more, and knows added networks
        return
    known = {"model": dict.fromkeys(networks.names(), config_module.unread_builder)} if kind is Config else {}
    config = config_module.load(path, overrides, known, kind)
    if kind is Config:
        _check_weights(config)


def _check_weights(config: Config) -> None:
    """Raises InputError if the network needs published weights that Keras cannot download and nobody has brought."""
    network = networks.find(config.model.name)
    if network is None or config.model.options.get("weights", "imagenet") != "imagenet":
        return
    if network.family == networks.SHIPPED_FAMILY:
        raise InputError(
            f"model.weights: found imagenet, but {network.name} has none; expected --model.weights fashion (from the"
            " package), none (untrained) or a file"
        )
    if not network.downloads and not network.weights_path.is_file():
        raise InputError(
            f"model.weights: found imagenet, but {network.name} has no weights to download, and"
            f" {network.weights_path} does not exist; expected that file, or a path, or --model.weights none"
            " (untrained)"
        )


def as_source(text: str) -> str:
    """The data source that a text means: an existing folder or table by its path alone; anything else stays.

    In a URL of shards, a path has made one slash of two.
    """
    if text.startswith(SHARDS):
        return re.sub(r"^(shards:[a-z0-9]+):/(?!/)", r"\1://", text)
    path = Path(text).expanduser()
    if path.is_file() and path.suffix.lower() in TABLES:
        return f"{TABLES[path.suffix.lower()]}{text}"
    if not path.is_dir():
        return text
    return f"{SHARDS}{text}" if (path / "manifest.json").is_file() and any(path.glob("*.tar")) else f"{FOLDER}{text}"


def with_sources(overrides: Sequence[str]) -> list[str]:
    """The overrides with `data.source PATH` of an existing folder as `data.source folder:PATH`."""
    changed, is_source = [], False
    for word in overrides:
        name, equals, value = word.partition("=")
        changed.append(f"{name}={as_source(value)}" if name == "--data.source" and equals else word)
        if is_source:
            changed[-1] = as_source(word)
        is_source = word == "--data.source"
    return changed


def check_exists(path: Path) -> None:
    """Raises InputError, with the nearest name, for a path that does not exist."""
    if not path.exists():
        raise InputError(f"{path}: no such folder; expected a run folder, such as runs/fashion{_existing(path)}")


def check_run(path: Path) -> None:
    """Raises InputError unless the path is a run folder."""
    check_exists(path)
    if not (path / "config.yaml").is_file():
        raise InputError(f"{path}: not a run folder: it has no config.yaml")


def _existing(path: Path) -> str:
    """The folder beside `path` with the most similar name, or else the newest run there, for a message."""
    if near := near_path(path):
        return f"; did you mean {near}?"
    runs = newest_runs(path.parent if path.parent != Path() else Path("runs"))
    return f"; the newest here is {runs[0]}" if runs else ""
