"""Several runs together, for the library: the mean of each recipe over its seeds, and how two recipes differ."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_cnn.api.calls import collected_lines, public
from keras_cnn.api.recorded_run import RecordedRun
from keras_cnn.api.settings import chosen_names
from keras_cnn.data.splits import NAMES
from keras_cnn.errors import InputError
from keras_cnn.evaluation.session import SummedRuns, show_runs
from keras_cnn.evaluation.target import EvaluateOptions


@dataclass(frozen=True, repr=False)
class SeedSummary:
    """Recipes, each with the accuracies of its seeds; it prints as `keras-cnn evaluate RUN RUN-2 RUN-3` does."""

    text: str
    _summed: SummedRuns

    @property
    def table(self) -> pd.DataFrame:
        """A row for each recipe: n runs, mean accuracy with its 95 % interval by Student's t, std, seeds and values."""
        rows = [
            {
                "recipe": group.label,
                "n": group.n,
                "mean": group.mean,
                "low": group.interval[0] if group.interval else None,
                "high": group.interval[1] if group.interval else None,
                "std": group.std,
                "seeds": list(group.seeds),
                "values": list(group.values),
            }
            for group in self._summed.groups
        ]
        return pd.DataFrame(rows).set_index("recipe") if rows else pd.DataFrame()

    @property
    def differences(self) -> pd.DataFrame:
        """A row for every two recipes that were tested on the same images: the mean difference of runs of equal seeds,
        its 95 % interval, p of the sign-flip test, and the verdict, which is inconclusive below six pairs.
        """
        rows = [
            {
                "recipe": pair.b,
                "against": pair.a,
                "pairs": len(pair.seeds),
                "mean": pair.mean,
                "low": pair.interval[0] if pair.interval else None,
                "high": pair.interval[1] if pair.interval else None,
                "p": pair.p,
                "verdict": pair.verdict,
            }
            for pair in self._summed.comparisons
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"{self.table.to_html(float_format='%.4f')}<pre>{html.escape(self.text)}</pre>"


@public
def evaluate_runs(
    runs: Sequence[str | Path | RecordedRun],
    *,
    split: str | int = "test",
    data: str | None = None,
    views: int | str | None = None,
    temperature: bool = False,
) -> SeedSummary:
    """Runs that differ only in their seed together: mean, spread and interval, and how two recipes differ.

    >>> summary = keras_cnn.evaluate_runs(["runs/photos", "runs/run"])
    >>> summary.table["n"].tolist(), summary.differences["pairs"].tolist()
    ([1, 1], [1])

    Train them with `seed=1`, `seed=2`, ... and with splits of your own, so that all are tested on the same images;
    `compare` trains and compares whole grids in this way. Numbers on record are used; runs without them are evaluated.

    Args:
        runs: runs or their folders.
        split: test, validation or train, or its number.
        data: a source of other images of the same classes, such as folder:new; all of them are measured.
        views, temperature: as for `Run.evaluate`.

    Raises InputError, with a line for each, for runs that cannot be evaluated.
    """
    if isinstance(runs, str | Path | RecordedRun) or not isinstance(runs, Sequence):
        raise InputError(f"runs: found a {type(runs).__name__}, expected a list of runs or their folders")
    paths = [Path(run.path if isinstance(run, RecordedRun) else run) for run in runs]
    chosen = None if data else chosen_names(split, NAMES, "split")
    options = EvaluateOptions(chosen, data, None if views is None else str(views), temperature)
    with collected_lines() as lines:
        summed = show_runs(paths, options)
    return SeedSummary("\n".join(lines), summed)
