"""Comparison of recipes: the tables that a report prints of a grid trained to its end, in which a cell is a recipe.

For each recipe they show its cost, its results and its speed over its seeds; for each two recipes that differ in only
one setting, the difference seed by seed. The best epoch of a run is the one that its config's train.monitor chooses on
the validation images. Validation losses and accuracies are those of the model saved at that epoch. Training losses and
accuracies are the running means of that epoch, measured during training: on augmented images, with dropout on, with
weights that change from step to step. No test image is used.
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.table import groups
from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import mean_interval, sign_flip, wilson
from keras_cnn.evaluation.repeats import ENOUGH_PAIRS, SIGNIFICANCE
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.sweeps import space
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Trial

FOLDER = "comparison"  # subfolder of a sweep for these files
MEASURES = ("minutes", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "best_epoch")
COLUMNS = ("recipe", "run", "seed", "seeds", *MEASURES, "trainable_parameters", "validation_images", "images", "epochs")
_BY_EPOCH = {"epoch": "epoch", "seconds": "run_seconds", "validation_accuracy": "val_accuracy"}  # ours: the history's
_COUNTED_FROM_1 = ("best_epoch", "epochs")
SHARES = (0.5, 0.9, 0.95, 0.99)  # of the accuracy of the best recipe
CONVENTIONS = (
    "best epoch: the one that the config's train.monitor chooses on the validation images; that choice makes its"
    " validation accuracy a little too good",
    "train loss and accuracy: running means of that epoch, on augmented images with dropout on",
    "minutes: from the start of the training to its last epoch, with compiling, the features of a frozen part and"
    " validation",
    "none of these numbers is of test images",
)


@dataclass(frozen=True)
class RecipeRuns:
    """The runs of a comparison.

    `runs` has one row per run: recipe, the `factors` (the parameters that vary), run, seed, the MEASURES,
    trainable_parameters, validation_images (their number), images (a hash of their ids) and epochs. `epochs` has one
    row per run and epoch: recipe, the factors, seed, epoch, seconds since the start, validation_accuracy.
    """

    name: str  # of the comparison's folder
    runs: pd.DataFrame
    epochs: pd.DataFrame
    factors: tuple[str, ...]
    notes: tuple[str, ...]  # a line for each thing that a reader should know


# --- what may be compared ---------------------------------------------------------------------------------------------


def check(sweep: Sweep) -> None:
    """Raises InputError unless the sweep is a grid of two or more cells, each trained to its end."""
    metric = sweep.metric
    for field, value, expected in (
        ("method", sweep.method if sweep.method != "grid" else None, "grid"),
        ("early_terminate", sweep.early_terminate and "one", "none"),
        ("run_cap", sweep.run_cap, "none"),
        ("metric.target", None if metric is None else metric.target, "none"),
    ):
        if value is not None:
            why = "a comparison trains every cell of a grid to its end"
            raise InputError(f"{sweep.path}: {field}: found {value}, expected {expected}: {why}")
    if not _varied(sweep):
        raise InputError(f"{sweep.path}: parameters: none has two values; expected at least two recipes to compare")


def _varied(sweep: Sweep) -> dict[str, str]:
    """Parameter with several values -> its column."""
    several = [n for n, values in sweep.parameters.items() if len({space.typed(v) for v in values.grid()}) > 1]
    return {name: name if name not in COLUMNS else f"{name}_setting" for name in several}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_recipes(folder: Path, sweep: Sweep, trials: Sequence[Trial]) -> RecipeRuns:
    """The runs of all trials that ended with a value. Raises InputError if there is none, or as `check` does."""
    check(sweep)
    columns = _varied(sweep)
    runs, epochs, records, notes = [], [], [], []
    for trial in trials:
        settings = {column: space.typed(trial.assignment[name]) for name, column in columns.items()}
        recipe = " ".join(settings.values())
        if trial.state != "finished":
            notes.append(f"left out: trial {trial.label} ({recipe}) {trial.state}: {trial.reason or 'not ended'}")
            continue
        for record in (read_record(folder / name) for name in trial.runs):
            known = {"recipe": recipe, **settings, "run": record.name, "seed": record.config["seed"]}
            records.append(record)
            runs.append(known | _measured(record))
            epochs += [known | {ours: row[theirs] for ours, theirs in _BY_EPOCH.items()} for row in record.history]
    if not runs:
        raise InputError(f"{folder}: no trial has ended with a value; nothing to compare")
    notes += _timing(trials, records)
    name = folder.resolve().name
    return RecipeRuns(name, pd.DataFrame(runs), pd.DataFrame(epochs), tuple(columns.values()), tuple(notes))


def _measured(record: Record) -> dict[str, Any]:
    """The numbers of a run. Raises InputError if one is missing, from a damaged folder."""
    try:
        best = next(row for row in record.history if row["epoch"] == record.metrics["best_epoch"])
        validation = record.metrics["validation"]
        return {
            "minutes": record.history[-1]["run_seconds"] / 60,
            "train_loss": best["loss"],
            "train_accuracy": best["accuracy"],
            "validation_loss": validation["loss"],
            "validation_accuracy": validation["accuracy"],
            "best_epoch": best["epoch"],
            "trainable_parameters": record.model["totals"]["trainable"],
            "validation_images": validation["images"],
            "images": _hash(_required(record.ids_of("validation"))),
            "epochs": len(record.history),
        }
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        problem = "; ".join(record.problems) or f"{type(error).__name__} {error}"
        raise InputError(f"{record.path}: cannot be compared: {problem}") from None


def _required(ids: Sequence[str] | None) -> Sequence[str]:
    if ids is None:
        raise KeyError("split.json: ids.validation")
    return ids


def _hash(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:12]


def _timing(trials: Sequence[Trial], records: Sequence[Record]) -> list[str]:
    """Why the times may differ from those of each recipe by itself on one machine."""
    notes = []
    machines = {repr(sorted(record.environment.get("hardware", {}).items())) for record in records}
    if len(machines) > 1:
        notes.append(f"minutes and seconds are of {len(machines)} machines or number formats: not to be compared")
    if _overlap(trials):
        notes.append("minutes and seconds are of workers that ran side by side, each on its share of the machine")
    return notes


def _overlap(trials: Sequence[Trial]) -> bool:
    """Whether any two of the ended trials ran at the same time."""
    spans = sorted((trial.started, trial.ended) for trial in trials if trial.ended)
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


# --- tables -----------------------------------------------------------------------------------------------------------


def summary(runs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """One row per recipe, in grid order: the mean of each measure over its seeds, with 95 % intervals.

    MEASURE_low and MEASURE_high are Student's t interval of the mean over seeds, clipped to the range of the measure.
    With a single seed only validation accuracy has an interval, Wilson's over the images. `interval` names the method.
    The training accuracy of one seed has no interval because it is a mean over weights that change.
    """
    rows = []
    for recipe, mine in groups(runs, "recipe"):
        row = {"recipe": recipe, **{name: mine[name].iloc[0] for name in factors}, "seeds": len(mine)}
        for measure in MEASURES:
            row |= _with_interval(measure, mine[measure].to_numpy(float))
        if len(mine) == 1:
            accuracy, images = row["validation_accuracy"], int(mine["validation_images"].iloc[0])
            low, high = wilson(round(accuracy * images), images)
            row |= {"validation_accuracy_low": low, "validation_accuracy_high": high}
        row["interval"] = "Student's t over seeds" if len(mine) > 1 else "Wilson's over images"
        rows.append(row | {"trainable_parameters": int(mine["trainable_parameters"].iloc[0])})
    return pd.DataFrame(rows)


def _with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    ends = mean_interval(values) if len(values) > 1 else (math.nan, math.nan)
    low, high = np.clip(
        ends, 1 if name in _COUNTED_FROM_1 else 0, 1 if name.endswith("accuracy") else math.inf
    ).tolist()
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def differences(runs: pd.DataFrame, factors: Sequence[str], measure: str = "validation_accuracy") -> pd.DataFrame:
    """One row per pair of recipes that differ in one factor: the mean of b - a over the seeds that both have.

    Columns: factor, held (the other factors' values), a, b, pairs, difference with low and high (Student's t at 95 %,
    NaN below two pairs), p (sign-flip test, NaN without pairs) and verdict: "inconclusive" below six pairs, which this
    test can never call significant, else "no difference shown", or which of the two is higher. Each row is tested by
    itself. Runs with the same seed and the same validation images are paired.
    """
    rows = []
    for factor in factors:
        others = [name for name in factors if name != factor]
        for held, alike in groups(runs, others) if others else [((), runs)]:
            for a, b in itertools.combinations(dict.fromkeys(alike[factor]), 2):
                pair = [alike[alike[factor] == value].set_index(["seed", "images"])[measure] for value in (a, b)]
                changes = (pair[1] - pair[0]).dropna().to_numpy(float)
                rows.append({"factor": factor, "held": " ".join(held), "a": a, "b": b} | _tested(changes, a, b))
    return pd.DataFrame(rows)


def _tested(changes: np.ndarray, a: str, b: str) -> dict[str, Any]:
    pairs = len(changes)
    row = {"pairs": pairs, "difference": math.nan, "low": math.nan, "high": math.nan, "p": math.nan}
    if pairs:
        row |= {"difference": float(changes.mean()), "p": sign_flip(changes)}
    if pairs > 1:
        row["low"], row["high"] = mean_interval(changes)
    if pairs < ENOUGH_PAIRS:
        verdict = f"inconclusive: {pairs} of {ENOUGH_PAIRS} pairs"
    elif row["p"] > SIGNIFICANCE:
        verdict = "no difference shown"
    else:
        verdict = f"{b if row['difference'] > 0 else a} is higher"
    return row | {"verdict": verdict}


def shares_of_best(runs: pd.DataFrame) -> dict[str, float]:
    """Accuracies to reach: "90 %" (of the best recipe's mean validation accuracy), ... -> accuracy."""
    best = max(float(np.mean(mine["validation_accuracy"])) for _, mine in groups(runs, "recipe"))
    return {f"{100 * share:g} %": float(share * best) for share in SHARES}


def epochs_to_accuracy(epochs: pd.DataFrame, factors: Sequence[str], wanted: Mapping[str, float]) -> pd.DataFrame:
    """One row per recipe and accuracy in `wanted` (name -> accuracy in [0, 1]): when validation reaches it.

    Columns: recipe, factors, reach (the name), accuracy, seeds, reached (the number of seeds that reach it), epochs
    (the first epoch that reaches it, counted from 1) and seconds (to its end), as means over the seeds with Student's t
    intervals; by_seed, each seed's epoch; and note. If a seed does not reach it, the means are NaN, as they would leave
    out the slowest seed, and the note says "not reached" or how many seeds reached it.
    """
    rows = []
    for recipe, mine in groups(epochs, "recipe"):
        for name, accuracy in wanted.items():
            reached = mine[mine["validation_accuracy"] >= accuracy]
            there = pd.DataFrame(reached.groupby("seed")[["epoch", "seconds"]].min())
            seeds = list(dict.fromkeys(mine["seed"]))
            all_there = len(there) == len(seeds)
            first = there if all_there else there.iloc[:0]
            row = {"recipe": recipe, **{f: mine[f].iloc[0] for f in factors}, "reach": name, "accuracy": accuracy}
            row |= {"seeds": len(seeds), "reached": len(there)}
            for column, values in (("epochs", first["epoch"]), ("seconds", first["seconds"])):
                row |= _with_interval(column, np.array(values, float) if all_there else np.array([math.nan]))
            by_seed = (
                f"{seed}: {int(there.at[seed, 'epoch']) if seed in there.index else 'not reached'}" for seed in seeds
            )
            note = "" if all_there else f"reached by {len(there)} of {len(seeds)}" if len(there) else "not reached"
            rows.append(row | {"by_seed": ", ".join(by_seed), "note": note})
    return pd.DataFrame(rows)


def all_differences(compared: RecipeRuns) -> pd.DataFrame:
    """The differences in validation accuracy, followed by those in minutes; the column `measure` says which."""
    each = {m: differences(compared.runs, compared.factors, m) for m in ("validation_accuracy", "minutes")}
    return pd.concat([table.assign(measure=m) for m, table in each.items()], ignore_index=True)
