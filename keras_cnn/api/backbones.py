"""Backbones ranked for some images, for the library: `finetune.py --probe`."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from keras_cnn import data as data_module
from keras_cnn.api.calls import messages, own_settings, public
from keras_cnn.api.data import load_data
from keras_cnn.api.settings import Settings, dotted_settings, training_config
from keras_cnn.config import Config
from keras_cnn.data.dataset import Dataset
from keras_cnn.models import backbones as networks
from keras_cnn.report import backbones as report
from keras_cnn.run_folder import RunFolder
from keras_cnn.tasks.classification.backbone_ranking import candidates, rank


@dataclass(frozen=True, repr=False)
class BackboneRanking:
    """Backbones, the best first by a linear probe of their frozen features on the validation images."""

    path: Path  #: the folder with backbones.json, backbones.csv and backbones.png; `report` makes a page of it
    table: pd.DataFrame  #: a row for each backbone, see `tasks.classification.backbone_ranking.table`

    @property
    def best(self) -> str:
        """The name of the first backbone, for `finetune`; the column `weights` of `table` has its weights."""
        return str(self.table["backbone"].iloc[0])

    def __repr__(self) -> str:
        return "\n".join(report.as_text(report.read(self.path)))

    def _repr_html_(self) -> str:
        return f"{self.table.to_html(float_format='%.4f')}<p>{html.escape(repr(self).splitlines()[-1])}</p>"


@public
def rank_backbones(
    data: Any,
    backbones: Sequence[str] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> BackboneRanking:
    """Which backbone suits the images: a linear probe and k-NN on frozen features, as `finetune.py --probe`.

    >>> ranking = keras_cnn.rank_backbones(data, ["resnet8=fashion", "resnet8=none"], verbose=False)
    >>> ranking.best, len(ranking.table)
    ('resnet8', 2)

    Nothing is trained but the two classifiers, on the training images. The accuracies are those on the validation
    images. The test images are not read.

    Args:
        data: what `load_data` returns, or anything that it takes.
        backbones: names, or `NAME=WEIGHTS` with weights as for `finetune`; by default all whose weights are at hand.
        options: options by their dotted names, such as `{"data.cache_dir": "features"}`.
        path: the folder of the result, new or empty; by default `runs/run-probe`, `runs/run-probe-2`, ...
        verbose: whether a line for each backbone is printed.
        settings: options by their last names, such as seed and precision.

    Raises InputError for wrong input; no folder is left then.
    """
    given = dotted_settings("rank_backbones", settings, options)
    with messages(verbose), own_settings():
        dataset = data if isinstance(data, Dataset) else load_data(data)
        config = training_config(None, given, dataset)
        side = dataset.settings["image_size"]
        chosen = candidates(backbones, side)

        def load(config: Config) -> Dataset:
            if side is not None:
                return dataset
            changed: dict[str, Any] = {**dataset.settings, "image_size": networks.default_side(config.model.name)}
            return data_module.load(**changed)

        with RunFolder.create(f"{config.name}-probe", path=None if path is None else Path(path)) as folder:
            ranking = rank(config, chosen, load)
            report.write(folder.path, ranking.as_json())
            report.write_files(folder.path)
    return BackboneRanking(folder.path, ranking.table)
