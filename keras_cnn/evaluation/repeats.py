"""Runs of one recipe with several seeds: what they scored together, and whether another recipe scores better.

A seed decides the initial weights, the order of the images, their augmentation and also the split, wherever the source
has no test split of its own. So the spread over seeds has both in it: the training's luck and the split's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.facts import Protocol, combined, facts_of
from keras_cnn.evaluation.intervals import mean_interval, sign_flip
from keras_cnn.run_folder.record import Record

ENOUGH_PAIRS = 6  # fewer cannot reach p = 0.05 in a sign-flip test: 2 / 2^5 is 0.0625
SIGNIFICANCE = 0.05
# What does not change the numbers that a run finds.
_ASIDE = ("name", "seed", "data.cache", "data.cache_dir", "train.checkpoint_minutes")
_ABSENT = "-"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Group:
    """Finished runs that differ only in their seed, n of them, by seed."""

    records: tuple[Record, ...]
    label: str  # what sets the recipe apart from the other groups
    seeds: tuple[int, ...]
    values: tuple[float, ...]  # accuracies in [0, 1]
    split: str = "test"  # of the images they were measured on; validation for trials of a sweep, which are not tested

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def std(self) -> float | None:
        """Of the values, with n - 1; None for a single run."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def interval(self) -> Interval | None:
        """Of the mean, Student's t at 95 %; None for a single run."""
        return mean_interval(self.values) if self.n > 1 else None


@dataclass(frozen=True)
class RecipeComparison:
    """Recipe `b` against recipe `a`, the runs of equal seeds paired."""

    a: str  # labels of the groups
    b: str
    seeds: tuple[int, ...]  # in both, rising
    unmatched: tuple[str, ...]  # "seed 4 of LABEL", without a partner
    differences: tuple[float, ...]  # accuracy of b - a, by seed
    mean: float | None  # None without pairs
    interval: Interval | None  # of the mean, Student's t at 95 %; None for fewer than two pairs
    p: float | None  # sign-flip test; None without pairs
    verdict: str  # one sentence; contains "inconclusive" for fewer than six pairs


def sum_up(records: Sequence[Record]) -> list[Group]:
    """The finished runs in groups that differ only in `seed`, in the order of their first run.

    Trials of a sweep, which end without a look at the test images, are summed up by their validation accuracy.

    Set aside are the name, tracking, where decoded images are kept and how often a checkpoint is written. What is left
    out, and why, is told by `left_out`.
    """
    recipes: dict[tuple, list[Record]] = {}
    for record in _usable(records)[0]:
        recipes.setdefault((_split(record), _key(record)), []).append(record)
    groups = [sorted(runs, key=lambda record: record.config["seed"]) for runs in recipes.values()]
    return [
        Group(
            records=tuple(runs),
            label=label,
            seeds=tuple(run.config["seed"] for run in runs),
            values=tuple(float(_accuracy(run)) for run in runs),
            split=_split(runs[0]),
        )
        for runs, label in zip(groups, _labels(groups), strict=True)
    ]


def facts_of_runs(records: Sequence[Record], groups: Sequence[Group]) -> list[Protocol]:
    """The facts of each record, with the seeds of its repeats in `groups` and what stands beside it there."""
    found = {
        record.path: combined(facts_of(record, group.seeds), beside)
        for group, beside in zip(groups, side_by_side(groups), strict=True)
        for record in group.records
    }
    return [found.get(record.path) or facts_of(record) for record in records]


def side_by_side(groups: Sequence[Group]) -> list[Protocol]:
    """For each group how many of them were measured on the same test images, and where it stands among these.

    Repeats of one recipe are one configuration, however many seeds it has; each stands with its mean. Nothing is known
    of a group alone, of one that was not tested, and of one whose test images are not on record.
    """
    if len(groups) == 1:
        return [Protocol()]
    images = [_test_images(group) for group in groups]
    validation = [_validation(group) for group in groups]
    return [
        Protocol()
        if own is None
        else _among(place, groups, validation, [i for i, one in enumerate(images) if one == own])
        for place, own in enumerate(images)
    ]


def _among(place: int, groups: Sequence[Group], validation: Sequence[float | None], rivals: list[int]) -> Protocol:
    known = [validation[i] for i in rivals]
    listed = "; ".join(
        f"{groups[i].label} {groups[i].mean:.4f} ("
        + ("not known)" if validation[i] is None else f"{validation[i]:.4f})")
        for i in rivals
    )
    return Protocol(
        tested=len(rivals),
        highest_on_test=groups[place].mean >= max(groups[i].mean for i in rivals),
        highest_on_validation=None if None in known else validation[place] >= max(known),
        sources={"tested": f"test accuracy, and in brackets that on validation: {listed}"},
    )


def _test_images(group: Group) -> frozenset[str] | None:
    """Their ids, the same for all runs of the group; else, or where they are not known, None."""
    found = {frozenset(record.split.get("ids", {}).get("test") or ()) for record in group.records}
    return next(iter(found)) or None if group.split == "test" and len(found) == 1 else None


def _validation(group: Group) -> float | None:
    values = [(record.metrics.get("validation") or {}).get("accuracy") for record in group.records]
    return None if None in values else float(np.mean(values))


def left_out(records: Sequence[Record]) -> tuple[str, ...]:
    """One line for each run that `sum_up` leaves out: unfinished, without seed, or the same recipe and seed again."""
    return _usable(records)[1]


def compare_recipes(a: Group, b: Group) -> RecipeComparison:
    """Pairs the runs of equal seeds and tests whether recipe `b` scores otherwise than recipe `a`.

    A pair shares the split and the order of images, and where the networks agree the initial weights, so its
    difference is less noisy than that of two runs at random.

    Raises InputError where a pair was tested on different images, or one recipe on test images and one on validation
    images.
    """
    if a.split != b.split:
        raise InputError(f"cannot pair {a.label} ({a.split} images) and {b.label} ({b.split} images)")
    of_a, of_b = ({seed: i for i, seed in enumerate(group.seeds)} for group in (a, b))
    seeds = tuple(sorted(of_a.keys() & of_b.keys()))
    for seed in seeds:
        _need_same_images(a.records[of_a[seed]], b.records[of_b[seed]], a.split)
    lone = [(group.label, seed) for group in (a, b) for seed in group.seeds if seed not in seeds]
    differences = tuple(b.values[of_b[seed]] - a.values[of_a[seed]] for seed in seeds)
    mean = float(np.mean(differences)) if seeds else None
    interval = mean_interval(differences) if len(seeds) > 1 else None
    p = sign_flip(differences) if seeds else None
    return RecipeComparison(
        a=a.label,
        b=b.label,
        seeds=seeds,
        unmatched=tuple(f"seed {seed} of {label}" for label, seed in lone),
        differences=differences,
        mean=mean,
        interval=interval,
        p=p,
        verdict=_verdict(a.label, b.label, len(seeds), mean, interval, p),
    )


def _verdict(a: str, b: str, pairs: int, mean: float | None, interval: Interval | None, p: float | None) -> str:
    if not pairs:
        return f"inconclusive: {b} and {a} have no seed in common; expected at least {ENOUGH_PAIRS} pairs"
    size = f"{100 * mean:+.1f} points"
    if interval:
        size += f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
    found = f"{b} against {a}: {size}, {pairs} paired {'seed' if pairs == 1 else 'seeds'}, sign-flip p = {p:.2g}"
    if pairs < ENOUGH_PAIRS:
        return f"inconclusive: {found}; expected at least {ENOUGH_PAIRS} pairs"
    if p > SIGNIFICANCE:
        return f"no difference shown: {found}"
    return f"{b if mean > 0 else a} is better: {found}"


def _need_same_images(a: Record, b: Record, split: str) -> None:
    ids = [record.split.get("ids", {}).get(split) for record in (a, b)]
    if None in ids or set(ids[0]) == set(ids[1]):
        return
    alone = len(set(ids[0]) ^ set(ids[1]))
    raise InputError(
        f"cannot pair {a.path} and {b.path} (seed {a.config['seed']}): {alone} {split} images are in one alone; "
        f"expected the same {split} images"
    )


def _usable(records: Sequence[Record]) -> tuple[list[Record], tuple[str, ...]]:
    usable, reasons, first = [], [], {}
    for record in records:
        if reason := _flaw(record):
            reasons.append(f"{record.path}: {reason}")
            continue
        key = (_split(record), _key(record), record.config["seed"])
        if key in first:
            reasons.append(f"{record.path}: the same recipe and seed as {first[key]}, no repeat of its own")
            continue
        first[key] = record.path
        usable.append(record)
    return usable, tuple(reasons)


def _flaw(record: Record) -> str | None:
    if not isinstance(record.config.get("seed"), int):
        return "its config has no seed"
    if not record.finished:
        return "not finished, so without a test accuracy"
    accuracy = _accuracy(record)
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:  # nan is in no range
        return f"accuracy in its metrics.json is {accuracy}; expected a number from 0 to 1"
    return None


def _split(record: Record) -> str:
    """The images of the run's result: a trial of a sweep has no numbers of the test images, only of validation."""
    validation = record.metrics.get("validation")
    return "validation" if "accuracy" not in record.metrics and isinstance(validation, dict) else "test"


def _accuracy(record: Record) -> Any:
    return (record.metrics if _split(record) == "test" else record.metrics["validation"]).get("accuracy")


def _recipe(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.config.items() if k not in _ASIDE and not k.startswith("tracking.")}


def _key(record: Record) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in _recipe(record).items()))


def _labels(groups: list[list[Record]]) -> list[str]:
    """The config's name where it tells the groups apart, else the settings in which they differ."""
    names = [{str(run.config.get("name", run.name)) for run in runs} for runs in groups]
    plain = [next(iter(found)) for found in names if len(found) == 1]
    if len(set(plain)) == len(groups):
        return plain
    if len(groups) == 1:
        return [groups[0][0].name]
    recipes = [_recipe(runs[0]) for runs in groups]
    fields = [
        name
        for name in dict.fromkeys(name for recipe in recipes for name in recipe)
        if len({repr(recipe.get(name, _ABSENT)) for recipe in recipes}) > 1
    ]
    return [", ".join(f"{name} {recipe.get(name, _ABSENT)}" for name in fields) for recipe in recipes]
