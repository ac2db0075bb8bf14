"""Cross-validation: the scores of the held-out folds, their mean with a corrected interval, and the pooled predictions.

The training images of two folds overlap, so that their scores are no independent sample. The interval of the mean is
that of the corrected resampled t-test, see `intervals.corrected_interval`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.csv_tables import csv_rows, csv_text
from keras_cnn.errors import InputError
from keras_cnn.evaluation import metrics
from keras_cnn.evaluation.intervals import Interval, corrected_interval
from keras_cnn.evaluation.predictions import Predictions, find_predictions, read_predictions, write_predictions
from keras_cnn.run_folder import is_detection_run, write_json, write_text
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.sweeps.space import FOLD, Sweep
from keras_cnn.sweeps.study import Trial

FOLDER = "out_of_fold"  # of a cross-validation: pooled predictions and their numbers
MEASURES = {  # column -> its place in metrics.json
    "accuracy": ("accuracy",),
    "macro_f1": ("macro", "f1"),
    "loss": ("loss",),
}
BOX_MEASURES = {"map50": ("map50",), "map": ("map",)}
LEAST = 2  # folds of which a mean has an interval


@dataclass(frozen=True)
class FoldRuns:
    """The finished runs of a cross-validation.

    `runs` has one row per fold: fold, run, images (held out), trained_on (all others: training and validation),
    best_epoch, the measures, and low and high of the first measure's own interval over the fold's images.
    """

    name: str
    folds: int  # that were planned
    runs: pd.DataFrame
    measures: tuple[str, ...]
    pooled: Predictions | None  # of a classifier: each image predicted by the run that has not seen it
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Images held out to images trained on, the mean over the folds."""
        return float(np.mean(self.runs["images"].to_numpy(float) / self.runs["trained_on"].to_numpy(float)))

    def mean(self, measure: str) -> float:
        """The mean of a measure over the folds."""
        return float(np.mean(self.runs[measure].to_numpy(float)))

    def interval(self, measure: str) -> Interval | None:
        """Its corrected 95 % interval, a share within [0, 1] and a loss not below 0; None for fewer than two folds."""
        values = self.runs[measure].to_numpy(float)
        if len(values) < LEAST:
            return None
        low, high = corrected_interval(values, self.ratio)
        return max(0.0, low), high if measure == "loss" else min(1.0, high)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each measure: folds, mean, low and high of its corrected interval, and the folds' std."""
        rows = []
        for measure in self.measures:
            low, high = self.interval(measure) or (np.nan, np.nan)
            spread = float(np.std(self.runs[measure].to_numpy(float), ddof=1)) if len(self.runs) >= LEAST else np.nan
            row = {"measure": measure, "folds": len(self.runs), "mean": self.mean(measure), "low": low, "high": high}
            rows.append(row | {"std": spread})
        return pd.DataFrame(rows)


def read_folds(folder: Path, sweep: Sweep, trials: Sequence[Trial]) -> FoldRuns:
    """The finished folds of a sweep's folder. Raises InputError if none is finished, or for a damaged folder."""
    rows, records, notes = [], [], []
    begun = {trial.assignment[FOLD]: trial for trial in trials}
    for fold in sweep.parameters[FOLD].values() or ():
        trial = begun.get(fold)
        if trial is None or trial.state != "finished":
            state = "not begun" if trial is None else f"{trial.state}: {trial.reason}" if trial.reason else trial.state
            notes.append(f"left out: fold {fold} ({state}), so that its images have no prediction")
            continue
        record = read_record(folder / trial.runs[0])
        records.append(record)
        rows.append({"fold": fold, "run": record.name} | _scores(record))
    if not rows:
        raise InputError(f"{folder}: no fold has finished; nothing to sum up")
    is_boxes = is_detection_run(records[0].path)
    measures = tuple(BOX_MEASURES if is_boxes else MEASURES)
    pooled = None if is_boxes else _pooled([record.path for record in records])
    return FoldRuns(folder.resolve().name, sweep.folds, pd.DataFrame(rows), measures, pooled, tuple(notes))


def _scores(record: Record) -> dict[str, Any]:
    places = BOX_MEASURES if is_detection_run(record.path) else MEASURES
    first = next(iter(places))
    try:
        counts = record.split["counts"]
        low, high = record.metrics[f"{first}_interval"]
        return {
            "images": counts["test"],
            "trained_on": counts["train"] + counts["validation"],
            "best_epoch": record.metrics["best_epoch"],
            **{name: _at(record.metrics, place) for name, place in places.items()},
            "low": low,
            "high": high,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{record.path}: metrics.json or split.json is damaged ({error}); expected a finished fold"
        ) from None


def _at(values: Any, place: Sequence[str]) -> float:
    for key in place:
        values = values[key]
    return float(values)


def _pooled(runs: Sequence[Path]) -> Predictions:
    """The predictions of all runs one after the other. Raises InputError if classes differ or an image is in two."""
    read = []
    for run in runs:
        table = find_predictions(run)
        if table is None:
            raise InputError(f"{run}: no predictions; expected those of the held-out images")
        read.append(read_predictions(table))
        if read[-1].classes != read[0].classes:
            raise InputError(f"{table}: classes other than in {runs[0]}; expected folds of the same images")
    ids = [image for each in read for image in each.ids]
    if len(set(ids)) < len(ids):
        raise InputError(f"{runs[0].parent}: an image is held out in two folds; expected each in one")
    return Predictions(
        tuple(ids),
        tuple(path for each in read for path in each.paths),
        read[0].classes,
        np.concatenate([each.labels for each in read]),
        np.concatenate([each.probabilities for each in read]),
    )


def write_pooled(folder: Path, folds: FoldRuns) -> list[Path]:
    """Writes out_of_fold/predictions.csv and, of a classifier, the numbers of all of them; returns the files."""
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    if folds.pooled is None:
        tables = [_rows_of(folder / run / "predictions.csv") for run in folds.runs["run"]]
        rows = [row for table in tables for row in table[1:]]
        write_text(place / "predictions.csv", csv_text(tables[0][0], rows))
        return [place / "predictions.csv"]
    pooled = folds.pooled
    table = write_predictions(
        place / "predictions.csv", pooled.ids, pooled.paths, pooled.labels, pooled.probabilities, classes=pooled.classes
    )
    write_json(place / "metrics.json", pooled_metrics(pooled))
    return [table, place / "metrics.json"]


def _rows_of(table: Path) -> list[list[str]]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return list(csv_rows(file))
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: cannot read the detections: {error}") from None


def pooled_metrics(pooled: Predictions) -> dict:
    """The numbers of the pooled predictions, as in a run's metrics.json; intervals over images, as of one network."""
    smallest = np.finfo(np.float32).tiny  # probabilities are of float32: none below is known
    logits = np.log(np.maximum(np.asarray(pooled.probabilities, np.float64), smallest))
    return {"split": "out of fold"} | metrics.summary(pooled.labels, logits, pooled.classes)
