"""The options of a training as a table, for the library."""

import inspect
from collections.abc import Iterator
from typing import Any, Literal

import pandas as pd

from keras_cnn.api.calls import public
from keras_cnn.api.settings import chosen_names
from keras_cnn.checking import describe, options_of
from keras_cnn.config import Choice, Config
from keras_cnn.config.fields import options
from keras_cnn.loading import BUILDERS
from keras_cnn.tasks.detection.settings import BoxConfig

_KINDS = {"classifier": Config, "detector": BoxConfig}


@public
def list_options(of: Literal["classifier", "detector"] = "classifier") -> pd.DataFrame:
    """The options of `train` and `finetune`, or of `train_detector`, by dotted name, as `--options` lists them.

    >>> keras_cnn.list_options().loc["optim.learning_rate", ["values", "default"]].tolist()
    ['a number', 0.001]

    Columns: meaning, values (in words), default (None also where there is none), and only_for: the network or the
    augmentation recipe that has the option, empty for options of every training. Raises InputError for another kind.
    """
    kind = _KINDS[chosen_names(of, tuple(_KINDS), "of")]
    rows = [*_fields(kind), *(_of_builders() if kind is Config else ())]
    return pd.DataFrame(rows, columns=["name", "meaning", "values", "default", "only_for"]).set_index("name")


def _fields(kind: type) -> Iterator[tuple[str, str, str, Any, str]]:
    for name, hint, default, meaning in options(kind):
        if isinstance(default, Choice):
            yield f"{name}.name", meaning, f"one of {', '.join(BUILDERS[name])}", default.name, ""
        else:
            yield name, meaning, describe(hint), default, ""


def _of_builders() -> Iterator[tuple[str, str, str, Any, str]]:
    for path, builders in BUILDERS.items():
        for builder_name, builder in builders.items():
            for option, (hint, default, meaning) in options_of(builder).items():
                value = None if default is inspect.Parameter.empty else default
                yield f"{path}.{option}", meaning, describe(hint), value, builder_name
