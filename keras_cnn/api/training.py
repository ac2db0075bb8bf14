"""Training from the library: the same config, run folder and steps as `train.py` and `finetune.py`."""

import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, cast

import keras

from keras_cnn import config as config_module
from keras_cnn import data as data_module
from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.data import load_data
from keras_cnn.api.detectors import DetectorRun, resume_detector
from keras_cnn.api.models import named_network, require_graph, save_copy
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.api.run import Run
from keras_cnn.api.settings import Settings, dotted_settings, training_config, with_devices
from keras_cnn.checking import nearest
from keras_cnn.config import Config, memorising
from keras_cnn.config.shipped import find_config
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import logger
from keras_cnn.models import backbones, custom
from keras_cnn.run_folder import RunFolder, is_detection_run
from keras_cnn.tasks.classification.setup import SharedResources
from keras_cnn.tasks.classification.task import ClassificationTask
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import experiment
from keras_cnn.training.session import Watch
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

    >>> model = keras_cnn.build_model("lenet", input_shape=(32, 32, 3), classes=2)
    >>> trained = keras_cnn.train(model, data, epochs=1, optimizer="adamw", learning_rate=3e-3, verbose=False)
    >>> trained.metrics["accuracy"] <= 1.0, trained.path.as_posix()
    (True, 'runs/run')

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
    with messages(verbose), own_settings():
        return _train(model, data, config, given, path)


@public
def find_learning_rate(
    model: str | keras.Model | None = None,
    data: Any = None,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> float:
    """A learning rate at which the loss still falls, by the range test of Smith (2017), as `--find-learning-rate`.

    >>> rate = keras_cnn.find_learning_rate("lenet", data, verbose=False)
    >>> 1e-7 < rate < 10
    True

    The arguments are those of `train`. The run folder has the figure `figures/learning_rates.png`, and nothing is
    trained to keep. Raises InputError for wrong input; no run folder is left then.
    """
    given = dotted_settings("find_learning_rate", settings, options)
    with messages(verbose), own_settings(), _begun(model, data, config, given, path) as (chosen, folder, task):
        return experiment.find_learning_rate(chosen, folder, cast(Prepare, lambda config, precision: task))


@public
def overfit_batch(
    model: str | keras.Model | None = None,
    data: Any = None,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> Run:
    """Trains on one batch alone until it is memorised, as `--overfit-batch`: a network that can learn does it.

    >>> memorised = keras_cnn.overfit_batch("lenet", data, learning_rate=3e-3, verbose=False)
    >>> memorised.metrics["accuracy"], len(memorised.history) < 300
    (1.0, True)

    The arguments are those of `train`. There is no dropout, augmentation or weight decay; `epochs` is the largest
    number of steps, by default 300. The test split is not read: the accuracy is that of the batch. Raises InputError
    for wrong input; no run folder is left then.
    """
    given = {**memorising.SETTINGS, **dotted_settings("overfit_batch", settings, options)}
    with messages(verbose), own_settings():
        return _train(model, data, config, given, path)


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

    >>> tuned = keras_cnn.finetune("resnet8", data, weights="fashion", freeze_upto="all", epochs=1, verbose=False)
    >>> tuned.config["finetune.freeze_upto"]
    'all'

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
    given = finetune_settings(backbone, weights, config, settings, options)
    with messages(verbose), own_settings():
        return _train(backbone, data, config, given, path)


@public
def resume(
    path: str | Path | Run | DetectorRun, *, devices: int | str | None = None, verbose: bool = True
) -> Run | DetectorRun:
    """Goes on with an unfinished run; it ends as the run that was not interrupted.

    >>> keras_cnn.resume("runs/stopped", verbose=False).finished
    True

    Args:
        path: a run or its folder.
        devices: others than before: "auto", a number of GPUs, "cpu", "cpu:2", ...; another number of them changes the
            last bits of the result. By default those of the run.
        verbose: whether a summary, a line for each epoch and notes are printed.

    Raises InputError for a run that is complete or in use, if its images are no longer the same, and if the machine
    has another number of devices than before and `devices` does not say which to use.
    """
    folder = RunFolder.open(_path_of(path))
    if folder.finished:
        raise InputError(f"{folder.path}: this run is complete; to train longer, start a new one with more epochs")
    with messages(verbose), own_settings(), folder.lock():
        if is_detection_run(folder.path):
            return resume_detector(folder, devices)
        config: Config = with_devices(folder.config(BUILDERS), devices)
        own = cast(Prepare, functools.partial(prepare, run=folder.path))
        experiment.train(config, folder, own, watch=_watch(config), other_devices=devices is not None)
    return Run(folder.path)


def finetune_settings(
    backbone: str,
    weights: str,
    config: str | Path | Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The options of a fine-tuning by dotted name. InputError for an unknown backbone or option."""
    if backbone not in backbones.names():
        raise InputError(f"finetune: {backbone!r} is no backbone{nearest(backbone, backbones.names())}")
    given = dotted_settings("finetune", settings, options)
    return {**({} if config else _shipped_settings()), "model.weights": weights, **given}


def _shipped_settings() -> dict[str, Any]:
    """The settings of the package's config for fine-tuning, without its images and its network."""
    fields = config_module.read_flat(find_config(Path("finetune")))
    return {name: value for name, value in fields.items() if not name.startswith(("data.", "model."))}


def _path_of(run: str | Path | RecordedRun) -> Path:
    return run.path if isinstance(run, RecordedRun) else Path(run)


def _train(
    model: str | keras.Model | None,
    data: Any,
    config: str | Path | Mapping[str, Any] | None,
    given: dict[str, Any],
    path: str | Path | None,
) -> Run:
    with _begun(model, data, config, given, path) as (chosen, folder, task):
        experiment.train(chosen, folder, cast(Prepare, lambda config, precision: task), watch=_watch(chosen))
    return Run(folder.path)


def _watch(config: Config) -> Watch | None:
    """What ends a training early."""
    return memorising.is_memorised if config.train.memorise else None


def dry_run_training(
    model: str | keras.Model | None,
    data: Any,
    config: str | Path | Mapping[str, Any] | None,
    given: dict[str, Any],
) -> experiment.TrainingCost:
    """Logs what `_train` would do, and returns the cost. InputError as there."""
    with tempfile.TemporaryDirectory() as temporary:
        chosen, task = _prepared(model, data, config, given, Path(temporary))
        return experiment.dry_run(chosen, cast(Prepare, lambda config, precision: task))


@contextmanager
def _begun(
    model: str | keras.Model | None,
    data: Any,
    config: str | Path | Mapping[str, Any] | None,
    given: dict[str, Any],
    path: str | Path | None,
) -> Iterator[tuple[Config, RunFolder, ClassificationTask]]:
    """Prepares everything, then makes the run folder: the config, the locked folder and the task."""
    with tempfile.TemporaryDirectory() as temporary:
        chosen, task = _prepared(model, data, config, given, Path(temporary))
        with RunFolder.create(chosen.name, path=None if path is None else Path(path)) as folder:
            initial = Path(temporary, custom.INITIAL)
            if chosen.model.name == custom.NAME and initial.is_file():
                shutil.copyfile(initial, folder / custom.INITIAL)
            yield chosen, folder, task


def _prepared(
    model: str | keras.Model | None,
    data: Any,
    config: str | Path | Mapping[str, Any] | None,
    given: dict[str, Any],
    temporary: Path,
) -> tuple[Config, ClassificationTask]:
    """The config and the task; a model of the user's own is saved in the folder `temporary`."""
    own = model if isinstance(model, keras.Model) and named_network(model) is None else None
    if own is not None:
        require_graph(own)
    dataset = None if data is None else data if isinstance(data, Dataset) else load_data(data)
    if own is not None and own.built and dataset is not None:
        custom.require_fits(own, dataset.image_shape, len(dataset.classes))
    given = network_settings(model, temporary) | given
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
    return chosen, _task(chosen, dataset, temporary)


def network_settings(model: str | keras.Model | None, temporary: Path) -> dict[str, Any]:
    """The fields of a config for a network; a model of the user's own is saved in the folder `temporary`.

    Raises InputError for anything else, and for a model that no file can hold.
    """
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
