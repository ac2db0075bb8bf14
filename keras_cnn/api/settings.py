"""The config of a training from the keywords of the library: each option under its own name or its dotted name."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from keras_cnn import config as config_module
from keras_cnn.checking import COMMAND_LINE, check, nearest, placed
from keras_cnn.config import Config
from keras_cnn.config.fields import options as options_of_config
from keras_cnn.config.shipped import find_config
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS

IMAGES = (
    "source",
    "image_size",
    "channels",
    "fit",
    "group",
    "fold",
    "train",
    "validation",
    "test",
    "per_class",
    "subset",
    "corrupt",
    "verify",
)
_GIVEN_OTHERWISE = {"model", "published", *(f"data.{name}" for name in IMAGES)}


class Settings(TypedDict, total=False):
    """The options of a training by their last names; `python train.py --options` explains each of them."""

    name: str
    seed: int
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    deterministic: Literal["auto", "yes", "no"]
    devices: int | str
    cache: Literal["auto", "none", "memory", "disk"]
    cache_dir: str | None
    augment: str | dict[str, Any]
    optimizer: Literal["sgd", "adam", "adamw", "adagrad", "rmsprop"]
    learning_rate: float
    learning_rate_batch: int | None
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"]
    warmup_epochs: float
    step_epochs: int
    gamma: float
    plateau_patience: int
    clip_norm: float | None
    epochs: int
    batch_size: int | Literal["auto"]
    steps_per_call: int | Literal["auto"]
    on_device: Literal["auto", "yes", "no"]
    xla: bool
    loss: Literal["cross_entropy", "focal"]
    focal_gamma: float
    label_smoothing: float
    class_weights: Literal["none", "balanced"]
    logit_adjustment: float
    ema: float | None
    early_stopping: int | None
    monitor: Literal["auto", "val_accuracy", "val_map", "val_loss"]
    overfit_batch: bool
    memorise: bool
    checkpoint_minutes: float
    freeze_upto: int | str
    strategy: Literal["fixed", "staged", "gradual"]
    head_epochs: int
    unfreeze_epochs: int
    stage_decay: float
    features: Literal["auto", "none", "memory", "disk"]
    features_dtype: Literal["auto", "bfloat16"]
    augment_views: int
    wandb: Literal["auto", "online", "offline", "off"]
    tensorboard: bool
    project: str
    entity: str | None
    group: str | None


class BoxSettings(TypedDict, total=False):
    """The options of a training on boxes by their last names; `keras-cnn detect --options` explains each of them."""

    name: str
    seed: int
    fold: str | None
    precision: Literal["auto", "float32", "mixed_bfloat16"]
    deterministic: Literal["auto", "yes", "no"]
    devices: int | str
    image_size: int
    classes: Sequence[str] | None
    validation: float
    test: float
    bad_boxes: Literal["fail", "skip"]
    cache: Literal["auto", "none", "memory"]
    cfg: str
    weights: str
    anchors: Literal["kmeans", "cfg"]
    mosaic: float
    flip: float
    scale: float
    aspect: float
    hue: float
    saturation: float
    exposure: float
    optimizer: Literal["sgd", "adam", "adamw", "adagrad", "rmsprop"]
    learning_rate: float
    learning_rate_batch: int | None
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"]
    warmup_epochs: float
    step_epochs: int
    gamma: float
    plateau_patience: int
    clip_norm: float | None
    epochs: int
    batch_size: int | Literal["auto"]
    ignore_threshold: float
    ema: float | None
    early_stopping: int | None
    monitor: Literal["val_map", "val_map50", "val_loss"]
    checkpoint_minutes: float
    wandb: Literal["auto", "online", "offline", "off"]
    tensorboard: bool
    project: str
    entity: str | None
    group: str | None


def short_names(kind: type = Config) -> dict[str, str]:
    """Last name -> dotted name of each option that a training takes as a keyword; `kind` is that of its config."""
    every = [name for name, *_ in options_of_config(kind) if not name.startswith("data.table.")]
    otherwise = _GIVEN_OTHERWISE if kind is Config else {"data.source"}
    dotted = [name for name in every if name not in otherwise]
    return {name.rpartition(".")[2]: name for name in dotted}


def dotted_settings(
    call: str, settings: Mapping[str, Any], options: Mapping[str, Any] | None, kind: type = Config
) -> dict[str, Any]:
    """The keywords of `call` and its `options` by dotted name. InputError, with the nearest name, if one is unknown."""
    names, given = short_names(kind), dict(options or {})
    for name, value in settings.items():
        if name not in names:
            raise InputError(f"{call}: unknown keyword {name!r}{config_module.nearest_field(name, names, names)}")
        if names[name] in given:
            raise InputError(f"{call}: {name} and options[{names[name]!r}]: expected one of the two")
        given[names[name]] = value
    return given


def overrides(given: Mapping[str, Any]) -> list[str]:
    """Values by dotted name as the command line would have them."""
    return [f"--{name}={_as_text(name, value)}" for name, value in given.items()]


def _as_text(name: str, value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise InputError(f"{name}: found {value!r}, expected a number, text, or a list or dict of them") from None


def image_settings(dataset: Dataset) -> dict[str, Any]:
    """The fields of a config that load this dataset again. InputError for one that `load_data` has not made."""
    made = dataset.settings
    if not made:
        raise InputError(f"{dataset!r}: not made by load_data, so that no run could read it again")
    if not isinstance(made["image_size"], int | None):
        raise InputError(f"image_size: found {made['image_size']}, expected one side for a training")
    fields = {f"data.{name}": made[name] for name in IMAGES}
    if made["table"] is not None:
        fields |= {f"data.table.{name}": value for name, value in config_module.as_dict(made["table"]).items()}
    if made["cache_dir"] is not None:
        fields["data.cache_dir"] = str(made["cache_dir"])
    return fields | {"seed": made["seed"]}


def training_config(
    config: str | Path | Mapping[str, Any] | None, given: Mapping[str, Any], dataset: Dataset | None
) -> Config:
    """The config of a training: a file or mapping, the values `given` by dotted name, and the settings of the data.

    Raises InputError for a field of the images or splits that differs from those of the data.
    """
    config = find_config(Path(config)) if isinstance(config, str | Path) else config
    chosen: Config = config_module.load(config, overrides(given), BUILDERS)
    if dataset is None:
        return chosen
    of_data, defaults = image_settings(dataset), config_module.flat(Config())
    for name, value in config_module.flat(chosen).items():
        if name in of_data and value not in (of_data[name], defaults[name]):
            remedy = f"load_data(..., {name.removeprefix('data.')}={value!r})"
            raise InputError(f"{name}: found {value!r}, but the data was loaded with {of_data[name]!r}; see {remedy}")
    return config_module.load(config, overrides({**given, **of_data}), BUILDERS)


def with_devices(config: Any, devices: int | str | None) -> Any:
    """The config of a run with other devices; None leaves it as it is. InputError for what names no devices."""
    if devices is None:
        return config
    return replace(config, devices=check(placed(devices, COMMAND_LINE), int | str, "devices"))


def chosen_names(value: Any, names: Sequence[str], what: str) -> str:
    """The one of `names` that a name or a whole number means. InputError, with the nearest name, if there is none."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and -len(names) <= value < len(names):
        return names[int(value)]
    if isinstance(value, str) and value in names:
        return value
    raise InputError(
        f"{what}: found {value!r}, expected a name or a number up to {len(names) - 1}{nearest(value, names)}"
    )
