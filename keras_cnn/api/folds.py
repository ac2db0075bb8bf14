"""Cross-validation from the library: one training for each fold, and what they say together."""

import html
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np
import pandas as pd

from keras_cnn.analysis.folds import FoldRuns, read_folds, write_pooled
from keras_cnn.analysis.folds_section import folds_lead
from keras_cnn.analysis.run_tables import Swept
from keras_cnn.api.calls import messages, public
from keras_cnn.api.data import load_data
from keras_cnn.api.models import named_network, require_graph
from keras_cnn.api.settings import BoxSettings, Settings, dotted_settings, overrides
from keras_cnn.api.sweeps import checked_workers, given_settings
from keras_cnn.api.training import network_settings
from keras_cnn.config import Config
from keras_cnn.config.shipped import find_config
from keras_cnn.data.dataset import Dataset
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.models import custom
from keras_cnn.sweeps import folds as fold_sweeps
from keras_cnn.sweeps import local
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.sweeps.study import Study
from keras_cnn.tasks.detection.settings import BoxConfig


class FoldsResult:
    """The cross-validation in a folder, complete or not.

    >>> keras_cnn.FoldsResult("runs/run-folds").folds["images"].tolist()
    [40, 40]

    Raises InputError for a folder that is not that of a cross-validation.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._study = Study(self.path)
        if not self._study.sweep.folds:
            raise InputError(f"{self.path}: a sweep; expected a cross-validation: of cross_validate or --folds")

    @cached_property
    def _read(self) -> FoldRuns:
        return read_folds(self.path, self._study.sweep, self._study.trials())

    @property
    def table(self) -> pd.DataFrame:
        """A row for each measure: its mean over the folds, the corrected 95 % interval, and its std."""
        return self._read.table

    @property
    def folds(self) -> pd.DataFrame:
        """A row for each finished fold: its run, images held out and trained on, best epoch, and the measures."""
        return self._read.runs

    @property
    def predictions(self) -> pd.DataFrame:
        """A row for each held-out image, by its id: true and predicted class, and the probabilities, in p_CLASS.

        Raises InputError for a cross-validation of detectors, whose detections are in out_of_fold/predictions.csv.
        """
        pooled = self._read.pooled
        if pooled is None:
            raise InputError(f"{self.path}: of detectors; their detections are in out_of_fold/predictions.csv")
        names = np.array(pooled.classes)
        head = {"id": pooled.ids, "true": names[pooled.labels], "predicted": names[pooled.predicted]}
        columns = {f"p_{name}": pooled.probabilities[:, c] for c, name in enumerate(pooled.classes)}
        return pd.DataFrame(head | columns).set_index("id")

    def label_errors(self) -> pd.DataFrame:
        """The labels of all images that are probably wrong, see `Run.label_errors`; from out-of-fold predictions.

        >>> keras_cnn.FoldsResult("runs/run-folds").label_errors().index.name
        'rank'
        """
        from keras_cnn.evaluation.label_error_files import list_label_errors

        return list_label_errors(self.path).table

    @public
    def resume(self, workers: int = 1, *, verbose: bool = True) -> None:
        """Goes on with a cross-validation that was stopped. InputError if it is complete.

        >>> keras_cnn.FoldsResult("runs/run-folds").resume()
        Traceback (most recent call last):
        keras_cnn.errors.InputError: runs/run-folds: this sweep is complete; next: ...
        """
        with messages(verbose), PrewarmedWorkers(checked_workers(workers)) as ready:
            local.resume(self._study, workers, ready, may_join=False)
        self.__dict__.pop("_read", None)
        write_pooled(self.path, self._read)

    def __repr__(self) -> str:
        try:
            return f"<FoldsResult {self.path}: {folds_lead(Swept.of(self._study))}>"
        except InputError as error:
            return f"<FoldsResult {error}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.table.to_html(float_format='%.4f', index=False)}"


@public
def cross_validate(
    model: str | keras.Model | None = None,
    data: Any = None,
    *,
    folds: int = 5,
    config: str | Path | Mapping[str, Any] | None = None,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[Settings],
) -> FoldsResult:
    """Trains a network once for each fold and tests it on the images that are held out, as `--folds` does.

    >>> result = keras_cnn.cross_validate("lenet", data, folds=2, epochs=1, verbose=False)
    >>> len(result.predictions), result.table["measure"].tolist()
    (80, ['accuracy', 'macro_f1', 'loss'])

    The folds are stratified, and images of one group, and those with the same pixels, are in one fold. Each run cuts
    its validation images from the other folds, and chooses its epoch on them.

    Args:
        model: as for `train`; every fold starts from the weights that a model of your own has.
        data: what `load_data` returns, or anything that it takes; by default the source of the config. A test split of
            its own is left out.
        folds: their number, at least 2.
        config: a YAML file, the name of one that comes with the package, or its content as nested dicts.
        workers: number of processes, which share the cores.
        options, path, verbose, settings: as for `train`; `path` is the folder of all runs, by default runs/NAME-folds.

    Raises:
        InputError: for wrong input and for too few images; no folder is left then.
        Stopped: on Ctrl-C or a fault of the machine; `FoldsResult.resume` goes on.
    """
    data = data if isinstance(data, Dataset | None) else load_data(data)
    given = given_settings("cross_validate", data, settings, options)
    if isinstance(model, keras.Model) and named_network(model) is None:
        require_graph(model)
    if isinstance(model, keras.Model) and model.built and data is not None:
        custom.require_fits(model, data.image_shape, len(data.classes))
    with tempfile.TemporaryDirectory() as temporary:
        network = network_settings(model, Path(temporary))
        if network.get("model.file") == custom.INITIAL:
            network["model.file"] = str(Path(temporary, custom.INITIAL))
        given = network | given
        return _cross_validated(config, given, folds, Config, workers=workers, path=path, verbose=verbose)


@public
def cross_validate_detector(
    source: str | None = None,
    *,
    folds: int = 5,
    config: str | Path | Mapping[str, Any] = "boxes",
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    verbose: bool = True,
    **settings: Unpack[BoxSettings],
) -> FoldsResult:
    """Trains a YOLO network once for each fold of images with boxes, as `keras-cnn detect --train --folds` does.

    >>> result = keras_cnn.cross_validate_detector("yolo:boxes", folds=5)  # doctest: +SKIP

    The arguments are those of `train_detector` and `cross_validate`; an image counts for the rarest of its classes.
    """
    given = dotted_settings("cross_validate_detector", settings, options, BoxConfig)
    given = given if source is None else {"data.source": source} | given
    return _cross_validated(config, given, folds, BoxConfig, workers=workers, path=path, verbose=verbose)


def _cross_validated(
    config: str | Path | Mapping[str, Any] | None,
    given: Mapping[str, Any],
    folds: int,
    kind: type,
    *,
    workers: int,
    path: str | Path | None,
    verbose: bool,
) -> FoldsResult:
    file = find_config(Path(config)) if isinstance(config, str | Path) else config
    with messages(verbose), PrewarmedWorkers(checked_workers(workers)) as ready:
        study = fold_sweeps.create(file, overrides(given), folds, kind, run_dir=None if path is None else Path(path))
        local.run(study, workers, is_new=True, ready=ready, may_join=False)
        result = FoldsResult(study.folder)
        write_pooled(study.folder, result._read)
        logger.info(repr(result))
    return result
