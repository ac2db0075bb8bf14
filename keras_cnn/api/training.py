"""Training from the library: the same config, run folder and steps as `train.py` and `finetune.py`."""

import functools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, cast

import keras

from keras_cnn import config as config_module
from keras_cnn import data as data_module
from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.data import load_data
from keras_cnn.api.models import named_network, save_copy
from keras_cnn.api.run import Run, open_run
from keras_cnn.api.settings import Settings, dotted_settings, training_config
from keras_cnn.checking import nearest
from keras_cnn.config import Config
from keras_cnn.config.shipped import find_config
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import logger
from keras_cnn.models import backbones, custom
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.classification.task import ClassificationTask, prepare
from keras_cnn.training import experiment
from keras_cnn.training.task import Prepare


@public
def train(
    model: str | keras.Model | None = None,
    data: Any = None,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> Run:
    """Trains a network and measures it on all splits, as `train.py` does. Nothing that is passed in is changed.

    >>> data = keras_cnn.load_data("fashion-mini", subset=20)
    >>> run = keras_cnn.train("lenet", data, epochs=1, optimizer="adamw", learning_rate=3e-3)
    >>> run.metrics["accuracy"], run.path

    Args:
        model: a name, a model of `build_model`, or any Keras model that is a graph of layers; it gets images of 0 to
            255 and has one output a class. A copy is trained, from the weights that the model has. A final softmax is
            left out. By default the network of the config.
        data: what `load_data` returns, or anything that it takes; by default the source of the config.
        config: a YAML file, the name of one that comes with the package, or its content as nested dicts; by default the
            default of every option.
        options: options by their dotted names: `{"optim.weight_decay": 1e-4, "model.dropout": 0.3}`.
        path: the run folder, new or empty; by default `runs/NAME`, `runs/NAME-2`, ...
        verbose: whether a summary, a line for each epoch and notes are printed.
        settings: options by their last names: epochs, batch_size, optimizer, learning_rate, seed, precision, ...

    Raises:
        InputError: for wrong input; no run folder is left then.
        Stopped: on Ctrl-C or a full disk; `resume` goes on.
    """
    given = dotted_settings("train", settings, options)
    with messages(verbose), own_settings(), tempfile.TemporaryDirectory() as temporary:
        return _train(model, data, config, given, (Path(temporary), path))


@public
def finetune(
    backbone: str,
    data: Any,
    *,
    weights: str = "imagenet",
    config: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> Run:
    """Trains a pretrained network further, as `finetune.py` does; by default only its head.

    >>> data = keras_cnn.load_data("folder:photos", image_size=128)
    >>> run = keras_cnn.finetune("mobilenetv2", data, freeze_upto="all")

    Images get the size of the published weights, unless `load_data` was given another `image_size`.

    Args:
        backbone: a network of keras.applications in lower case, or alexnet, resnet18, ...
        data: what `load_data` returns, or anything that it takes.
        weights: "imagenet", "none", or a file (.keras, .h5, .safetensors, .pth).
        settings: as for `train`; `freeze_upto` is a stage, a layer, a number of layers, or "all" (the default).

    Raises:
        InputError: for wrong input; no run folder is left then.
        Stopped: on Ctrl-C or a full disk; `resume` goes on.
    """
    if backbone not in backbones.names():
        raise InputError(f"finetune: {backbone!r} is no backbone{nearest(backbone, backbones.names())}")
    given = dotted_settings("finetune", settings, options)
    given = {**({} if config else _shipped_settings()), "model.weights": weights, **given}
    with messages(verbose), own_settings(), tempfile.TemporaryDirectory() as temporary:
        return _train(backbone, data, config, given, (Path(temporary), path))


@public
def resume(path: str | Path | Run, *, verbose: bool = True) -> Run:
    """Goes on with an unfinished run; it ends as the run that was not interrupted.

    >>> run = keras_cnn.resume("runs/fashion")

    Raises InputError for a run that is complete or in use, and if its images are no longer the same.
    """
    folder = RunFolder.open(_path_of(path))
    if folder.finished:
        raise InputError(f"{folder.path}: this run is complete; to train longer, start a new one with more epochs")
    with messages(verbose), own_settings(), folder.lock():
        config: Config = folder.config(BUILDERS)
        experiment.train(config, folder, cast(Prepare, functools.partial(prepare, run=folder.path)))
    return open_run(folder.path)


def _shipped_settings() -> dict[str, Any]:
    """The settings of the package's config for fine-tuning, without its images and its network."""
    fields = config_module.read_flat(find_config(Path("finetune")))
    return {name: value for name, value in fields.items() if not name.startswith(("data.", "model."))}


def _path_of(run: str | Path | Run) -> Path:
    return run.path if isinstance(run, Run) else Path(run)


def _train(
    model: str | keras.Model | None,
    data: Any,
    config: str | Path | Mapping[str, Any] | None,
    given: dict[str, Any],
    places: tuple[Path, str | Path | None],
) -> Run:
    """Prepares everything, then makes the run folder and trains in it; `places`: a temporary folder, and the run's."""
    temporary, path = places
    dataset = None if data is None else data if isinstance(data, Dataset) else load_data(data)
    given = _network_settings(model, temporary) | given
    chosen = training_config(config, given, dataset)
    if dataset is not None and _wants_own_size(chosen, dataset):
        side = backbones.default_side(chosen.model.name)
        logger.info(
            f"note      {chosen.model.name}: images get the {side} pixels of its weights; image_size sets others"
        )
        dataset = _loaded_again(dataset, side)
        chosen = training_config(config, given, dataset)
    dataset = dataset or load_dataset(chosen)
    if isinstance(model, keras.Model) and model.built:
        custom.require_fits(model, dataset.image_shape, len(dataset.classes))
    task = _task(chosen, dataset, temporary)
    with RunFolder.create(chosen.name, path=None if path is None else Path(path)) as folder:
        if chosen.model.name == custom.NAME and (temporary / custom.INITIAL).is_file():
            shutil.copyfile(temporary / custom.INITIAL, folder / custom.INITIAL)
        experiment.train(chosen, folder, cast(Prepare, lambda config, precision: task))
    return open_run(folder.path)


def _network_settings(model: str | keras.Model | None, temporary: Path) -> dict[str, Any]:
    """The fields of a config for a network; a model of the user's own is saved in the temporary folder."""
    if model is None:
        return {}
    if isinstance(model, str):
        return {"model.name": model}
    if not isinstance(model, keras.Model):
        raise InputError(f"model: found {type(model).__name__}, expected a name or a Keras model")
    if network := named_network(model):
        return {"model.name": network.name} | {f"model.{name}": value for name, value in network.options.items()}
    save_copy(model, temporary / custom.INITIAL)
    return {"model.name": custom.NAME, "model.file": custom.INITIAL}


def _wants_own_size(config: Config, dataset: Dataset) -> bool:
    is_backbone = config.model.name in backbones.names()
    return is_backbone and dataset.settings["image_size"] is None


def _loaded_again(dataset: Dataset, side: int) -> Dataset:
    """The same images at another size; a run that is resumed reads them in this way."""
    settings: dict[str, Any] = {**dataset.settings, "image_size": side}
    return data_module.load(**settings)


def _task(config: Config, dataset: Dataset, run: Path) -> ClassificationTask:
    shared = SharedResources()
    shared.keep(dataset, config)
    task = prepare(config, shared=shared, run=run)
    task.setup = replace(task.setup, shared=None)  # decoded images are released with the run
    return task
