"""Several runs as one classifier, for the library: an ensemble or a soup, beside the best single run."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from keras_cnn.api.calls import collected_lines, public
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.api.settings import chosen_names
from keras_cnn.data.splits import NAMES
from keras_cnn.errors import InputError
from keras_cnn.evaluation.comparison import Comparison
from keras_cnn.evaluation.ensemble_session import SOUP, MeasuredEnsemble
from keras_cnn.evaluation.ensemble_session import evaluate_ensemble as measure
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.target import EvaluateOptions


@dataclass(frozen=True, repr=False)
class EnsembleResult:
    """An ensemble or a soup of runs, measured; it prints as `keras-cnn evaluate RUN RUN-2 --ensemble` does."""

    text: str
    _measured: MeasuredEnsemble

    @property
    def evaluation(self) -> Evaluation:
        """The metrics and predictions of the average."""
        return self._measured.ensemble.evaluation

    @property
    def comparison(self) -> Comparison:
        """What changes from the best single run, which validation chooses, to the average, on the same images."""
        return self._measured.ensemble.comparison

    @property
    def best(self) -> Path:
        """The folder of the best single run."""
        return self._measured.ensemble.best.path

    @property
    def table(self) -> pd.DataFrame:
        """A row for each run: its folder, its accuracies, 0 to 1, and whether the average has it."""
        rows = self._measured.ensemble.as_json()["runs"]
        return pd.DataFrame(rows).set_index("name")

    @property
    def path(self) -> Path:
        """The folder of the results; a soup's network is `soup.keras` in it."""
        return self._measured.folder

    @property
    def model(self) -> Path | None:
        """The file of a soup's network; None for an ensemble, which has the networks of its runs."""
        return self.path / SOUP if self._measured.ensemble.kind == "soup" else None

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"{self.table.to_html(float_format='%.4f')}<pre>{html.escape(self.text)}</pre>"


@public
def evaluate_ensemble(
    runs: Sequence[str | Path | RecordedRun],
    *,
    average: Literal["probabilities", "weights"] = "probabilities",
    split: str | int = "test",
    data: str | None = None,
    views: int | str | None = None,
    temperature: bool = False,
) -> EnsembleResult:
    """The mean of several runs' probabilities, or of their weights, beside the best single run on the same images.

    >>> ensemble = keras_cnn.evaluate_ensemble(["runs/photos", "runs/run"])
    >>> ensemble.evaluation.accuracy >= 0, ensemble.comparison.overall.difference_interval is not None
    (True, True)
    >>> ensemble.table["averaged"].tolist()
    [True, True]

    The best single run is the one of the highest validation accuracy. Every run reads the images once more, which is
    counted. The mean of weights is a soup: one network, of runs that start from the same weights, each added if the
    average is then at least as accurate on the validation images.

    Args:
        runs: two or more runs or their folders, of the same classes; the results are written into the first one.
        average: what is averaged.
        split: test, validation or train, or its number.
        data: a source of other images of the same classes, such as folder:new; all of them are measured.
        views, temperature: as for `Run.evaluate`.

    Raises InputError for runs of other classes or images, and for a soup of runs that start from other weights.
    """
    if isinstance(runs, str | Path | RecordedRun) or not isinstance(runs, Sequence):
        raise InputError(f"runs: found a {type(runs).__name__}, expected a list of runs or their folders")
    if average not in ("probabilities", "weights"):
        raise InputError(f"average: found {average!r}, expected 'probabilities' or 'weights'")
    paths = [Path(run.path if isinstance(run, RecordedRun) else run) for run in runs]
    chosen = None if data else chosen_names(split, NAMES, "split")
    options = EvaluateOptions(chosen, data, None if views is None else str(views), temperature)
    with collected_lines() as lines:
        measured = measure(paths, options, "soup" if average == "weights" else "ensemble")
    return EnsembleResult("\n".join(lines), measured)
