"""The checked, complete config of an experiment as frozen dataclasses, from a YAML file and `--a.b VALUE` overrides."""

from keras_cnn.config.fields import as_dict, differences, dump, flat, names, nearest_field, read_flat, without_effect
from keras_cnn.config.help import help_text
from keras_cnn.config.loader import load, published_name
from keras_cnn.config.overrides import pairs
from keras_cnn.config.schema import (
    ACTS_WITH,
    AT_LEAST_0,
    AT_LEAST_1,
    FILE_NAME,
    FRACTION,
    PER_CLASS,
    POSITIVE,
    PUBLISHED,
    SEED,
    Builders,
    Choice,
    Config,
    DataConfig,
    FinetuneConfig,
    OptimConfig,
    PublishedNumber,
    TrackingConfig,
    TrainConfig,
    unread_builder,
)
from keras_cnn.config.yaml_file import read_values

__all__ = [
    "ACTS_WITH",
    "AT_LEAST_0",
    "AT_LEAST_1",
    "FILE_NAME",
    "FRACTION",
    "PER_CLASS",
    "POSITIVE",
    "PUBLISHED",
    "SEED",
    "Builders",
    "Choice",
    "Config",
    "DataConfig",
    "FinetuneConfig",
    "OptimConfig",
    "PublishedNumber",
    "TrackingConfig",
    "TrainConfig",
    "as_dict",
    "differences",
    "dump",
    "flat",
    "help_text",
    "load",
    "names",
    "nearest_field",
    "pairs",
    "published_name",
    "read_flat",
    "read_values",
    "unread_builder",
    "without_effect",
]
