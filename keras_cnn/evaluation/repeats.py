"""Runs of one recipe with several seeds: their common score, and whether another recipe scores better.

A seed determines the initial weights, the order of the images, their augmentation and, where the source has no test
split of its own, also the split. The spread over seeds then includes the randomness of both training and split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.facts import Protocol, combined, facts_of
from keras_cnn.evaluation.intervals import Interval, mean_interval, sign_flip
from keras_cnn.run_folder.record import Record, changes_numbers

ENOUGH_PAIRS = 6  # fewer cannot reach p = 0.05 in a sign-flip test: 2 / 2^5 is 0.0625
SIGNIFICANCE = 0.05
_ABSENT = "-"


@dataclass(frozen=True)
class SeedGroup:
    """n finished runs that differ only in their seed, in the order of their seeds."""

    records: tuple[Record, ...]
    label: str  # how the recipe differs from the recipes of the other groups
    seeds: tuple[int, ...]
    values: tuple[float, ...]  # accuracies in [0, 1]
    split: str = "test"  # the measured split; "validation" for trials of a sweep, which are not tested

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def std(self) -> float | None:
        """Standard deviation of the values, with n - 1; None for a single run."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def interval(self) -> Interval | None:
        """Interval of the mean by Student's t at 95 %; None for a single run."""
        return mean_interval(self.values) if self.n > 1 else None


@dataclass(frozen=True)
class RecipeComparison:
    """Comparison of recipe `b` with recipe `a`; runs of equal seeds are paired."""

    a: str  # labels of the groups
    b: str
    seeds: tuple[int, ...]  # of both groups, rising
    unmatched: tuple[str, ...]  # runs without a partner, as "seed 4 of LABEL"
    differences: tuple[float, ...]  # accuracy of b minus accuracy of a, by seed
    mean: float | None  # None without pairs
    interval: Interval | None  # of the mean by Student's t at 95 %; None for fewer than two pairs
    p: float | None  # of the sign-flip test; None without pairs
    verdict: str  # one sentence, which contains "inconclusive" for fewer than six pairs


def sum_up(records: Sequence[Record]) -> list[SeedGroup]:
    """Groups of finished runs that differ only in `seed`, in the order of their first run.

    Trials of a sweep, which end without reading the test images, are grouped by their validation accuracy.

    The name, tracking, the cache of decoded images and the interval of checkpoints are ignored. `left_out` lists the
    runs that are in no group, with the reasons.
    """
    recipes: dict[tuple, list[Record]] = {}
    for record in _usable(records)[0]:
        recipes.setdefault((_split(record), _key(record)), []).append(record)
    groups = [sorted(runs, key=lambda record: record.config["seed"]) for runs in recipes.values()]
    return [
        SeedGroup(
            records=tuple(runs),
            label=label,
            seeds=tuple(run.config["seed"] for run in runs),
            values=tuple(float(_accuracy(run)) for run in runs),
            split=_split(runs[0]),
        )
        for runs, label in zip(groups, _labels(groups), strict=True)
    ]


def facts_of_runs(records: Sequence[Record], groups: Sequence[SeedGroup]) -> list[Protocol]:
    """The facts of each record, with the seeds of its repeats in `groups` and its rank among the other groups."""
    grouped = {
        record.path: combined(facts_of(record, group.seeds), ranks)
        for group, ranks in zip(groups, rank_groups(groups), strict=True)
        for record in group.records
    }
    return [grouped.get(record.path) or facts_of(record) for record in records]


def rank_groups(groups: Sequence[SeedGroup]) -> list[Protocol]:
    """For each group, the number of groups measured on the same test images, and whether it is the best of them.

    Repeats of one recipe are one configuration, whose score is their mean. Nothing is known about a single group, an
    untested group, or a group whose test images are not on record.
    """
    if len(groups) == 1:
        return [Protocol()]
    images = [_test_images(group) for group in groups]
    validation = [_validation(group) for group in groups]
    return [
        Protocol()
        if own is None
        else _rank(index, groups, validation, [i for i, others in enumerate(images) if others == own])
        for index, own in enumerate(images)
    ]


def _rank(index: int, groups: Sequence[SeedGroup], validation: Sequence[float | None], rivals: list[int]) -> Protocol:
    known = [accuracy for i in rivals if (accuracy := validation[i]) is not None]
    own = validation[index]
    listed = "; ".join(
        f"{groups[i].label} {groups[i].mean:.4f} ("
        + ("not known)" if validation[i] is None else f"{validation[i]:.4f})")
        for i in rivals
    )
    return Protocol(
        tested=len(rivals),
        highest_on_test=groups[index].mean >= max(groups[i].mean for i in rivals),
        highest_on_validation=None if own is None or len(known) < len(rivals) else own >= max(known),
        sources={"tested": f"test accuracy, and in brackets validation accuracy: {listed}"},
    )


def _test_images(group: SeedGroup) -> frozenset[str] | None:
    """Ids of the test images if all runs of the group have the same; None if they differ or are not on record."""
    images = {frozenset(record.ids_of("test") or ()) for record in group.records}
    return next(iter(images)) or None if group.split == "test" and len(images) == 1 else None


def _validation(group: SeedGroup) -> float | None:
    known = [accuracy for record in group.records if (accuracy := _validation_accuracy(record)) is not None]
    return float(np.mean(known)) if len(known) == len(group.records) else None


def _validation_accuracy(record: Record) -> float | None:
    validation = record.metrics.get("validation")
    accuracy = validation.get("accuracy") if isinstance(validation, dict) else None
    return accuracy if isinstance(accuracy, int | float) and 0 <= accuracy <= 1 else None


def left_out(records: Sequence[Record]) -> tuple[str, ...]:
    """A line for each run that `sum_up` leaves out: an unfinished run, one without a seed, or a repeated seed."""
    return _usable(records)[1]


def compare_recipes(a: SeedGroup, b: SeedGroup) -> RecipeComparison:
    """Pairs the runs of equal seeds and tests whether the accuracies of recipes `a` and `b` differ.

    The runs of a pair share the split, the order of images and, where the networks are the same, the initial weights,
    so their difference is less noisy than between two random runs.

    Raises InputError where a pair was tested on different images, or one recipe on test images and the other on
    validation images.
    """
    if a.split != b.split:
        raise InputError(f"cannot pair {a.label} ({a.split} images) and {b.label} ({b.split} images)")
    in_a, in_b = ({seed: i for i, seed in enumerate(group.seeds)} for group in (a, b))
    seeds = tuple(sorted(in_a.keys() & in_b.keys()))
    for seed in seeds:
        _need_same_images(a.records[in_a[seed]], b.records[in_b[seed]], a.split)
    lone = [(group.label, seed) for group in (a, b) for seed in group.seeds if seed not in seeds]
    differences = tuple(b.values[in_b[seed]] - a.values[in_a[seed]] for seed in seeds)
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
        verdict=_verdict(a.label, b.label, pairs=len(seeds), mean=mean, interval=interval, p=p),
    )


def _verdict(a: str, b: str, *, pairs: int, mean: float | None, interval: Interval | None, p: float | None) -> str:
    if mean is None or p is None:
        return f"inconclusive: {b} and {a} have no seed in common; expected at least {ENOUGH_PAIRS} pairs"
    size = f"{100 * mean:+.1f} points"
    if interval:
        size += f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
    result = f"{b} against {a}: {size}, {pairs} paired {'seed' if pairs == 1 else 'seeds'}, sign-flip p = {p:.2g}"
    if pairs < ENOUGH_PAIRS:
        return f"inconclusive: {result}; expected at least {ENOUGH_PAIRS} pairs"
    if p > SIGNIFICANCE:
        return f"no difference shown: {result}"
    return f"{b if mean > 0 else a} is better: {result}"


def _need_same_images(a: Record, b: Record, split: str) -> None:
    ids = [record.ids_of(split) for record in (a, b)]
    known = [set(images) for images in ids if images is not None]
    if len(known) < 2 or known[0] == known[1]:
        return
    alone = len(known[0] ^ known[1])
    raise InputError(
        f"cannot pair {a.path} and {b.path} (seed {a.config['seed']}): {alone} {split} images are in one of them only; "
        f"expected the same {split} images"
    )


def _usable(records: Sequence[Record]) -> tuple[list[Record], tuple[str, ...]]:
    usable, reasons, first = [], [], {}
    for record in records:
        if reason := _why_unusable(record):
            reasons.append(f"{record.path}: {reason}")
            continue
        key = (_split(record), _key(record), record.config["seed"])
        if key in first:
            reasons.append(f"{record.path}: the same recipe and seed as {first[key]}, so not a repeat")
            continue
        first[key] = record.path
        usable.append(record)
    return usable, tuple(reasons)


def _why_unusable(record: Record) -> str | None:
    if not isinstance(record.config.get("seed"), int):
        return "its config has no seed"
    if not record.finished:
        return "not finished, so it has no test accuracy"
    accuracy = _accuracy(record)
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:  # NaN is in no range
        return f"accuracy in its metrics.json is {accuracy}; expected a number from 0 to 1"
    return None


def _split(record: Record) -> str:
    """Split of the run's result: trials of a sweep are measured on the validation images only."""
    validation = record.metrics.get("validation")
    return "validation" if "accuracy" not in record.metrics and isinstance(validation, dict) else "test"


def _accuracy(record: Record) -> Any:
    return (record.metrics if _split(record) == "test" else record.metrics["validation"]).get("accuracy")


def _recipe(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.config.items() if changes_numbers(k)}


def _key(record: Record) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in _recipe(record).items()))


def _labels(groups: list[list[Record]]) -> list[str]:
    """The name of the config where it distinguishes the groups, otherwise the settings in which they differ."""
    names = [{str(run.config.get("name", run.name)) for run in runs} for runs in groups]
    plain = [next(iter(group)) for group in names if len(group) == 1]
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
