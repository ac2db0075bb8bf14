"""Opens the dataset of a config for training, evaluation and views; lists the builders that a config can name."""

import functools
from dataclasses import asdict

from keras_cnn import data, models
from keras_cnn.checking import nearest
from keras_cnn.config import Config
from keras_cnn.data import augment
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.models import backbones

BUILDERS = {
    "model": models.BUILDERS,
    "data.augment": {n: functools.partial(augment.Augmentation, **asdict(r)) for n, r in augment.RECIPES.items()},
}


def load_dataset(config: Config, source: str | None = None) -> Dataset:
    """The dataset of the config, or of `source`, if given, with the same settings.

    For a backbone, images have the size that its published weights were trained with, unless the config sets one.
    """
    options, network = config.data, config.model.name
    own_size = backbones.default_side(network) if network in backbones.names() else None
    return data.load(
        source or options.source,
        image_size=options.image_size or own_size,
        channels=options.channels,
        fit=options.fit,
        train=options.train,
        validation=options.validation,
        test=options.test,
        per_class=options.per_class,
        subset=options.subset,
        seed=config.seed,
        group=options.group,
        fold=options.fold,
        corrupt=options.corrupt,
        verify=options.verify,
        cache_dir=options.cache_dir,
        table=options.table,
    )


def require_backbone(config: Config) -> None:
    """Raises InputError, with the nearest name, unless the network is a backbone."""
    name, names = config.model.name, backbones.names()
    if name not in names:
        raise InputError(f"model.name: {name} is no backbone, and train.py trains it{nearest(name, names)}")
