"""The effect of a config field: finished runs on the same images, compared by the values in which they differ.

Two values are compared within blocks of runs that agree in all other fields, and in the seed if that leaves three
blocks. Without blocks, all runs with one value are compared with all runs with the other, and each field that is not
spread equally over the two sides is named. For a number with three or more values, adjacent values are compared and
the trend is tested. Fields that always change together cannot be told apart and are named together.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from keras_cnn.analysis.claims import LEVEL, Claim, Conclusion, Interval, excludes_zero, in_words, points
from keras_cnn.analysis.factors import Factor, factor_of
from keras_cnn.analysis.table import ABSENT, varying_fields
from keras_cnn.errors import InputError
from keras_cnn.evaluation.comparison import Comparison, compare
from keras_cnn.evaluation.intervals import mean_interval, welch_interval
from keras_cnn.evaluation.predictions import TABLES, find_predictions, read_predictions
from keras_cnn.evaluation.repeats import ENOUGH_PAIRS
from keras_cnn.run_folder.record import Record

_FEWEST = 3  # with two differences, Student's 95 % interval reaches 13 standard errors to each side and shows nothing

Level = Any  # a value of a config's field
Block = dict[Level, list[int]]  # runs that agree in all but one field, by its value
IntervalByLevel = Callable[[float], Interval]


@dataclass(frozen=True)
class FieldGroup:
    """Fields that change together among the runs; the first gives the name and the values."""

    fields: tuple[str, ...]
    factor: Factor

    @property
    def field(self) -> str:
        return self.fields[0]

    @property
    def companions(self) -> tuple[str, ...]:
        """The other fields, without the options of the choice that `field` makes."""
        choice = self.field.removesuffix("name")
        return tuple(f for f in self.fields[1:] if choice == self.field or not f.startswith(choice))

    @property
    def levels(self) -> list[Level]:
        return [level for level in self.factor.levels if level != ABSENT]

    @property
    def is_ordered(self) -> bool:
        """Whether it is a number with three or more values."""
        return len(self.levels) > 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.levels)


@dataclass(frozen=True)
class ComparedRuns:
    """N finished runs on the same images, scored by their accuracy on the test or the validation images."""

    runs: tuple[Record, ...]
    names: Mapping[int, str]  # by id(run)
    split: str = "test"  # or validation

    @cached_property
    def scores(self) -> np.ndarray:
        return np.array([accuracy_of(run, self.split) for run in self.runs], float)

    @cached_property
    def values(self) -> dict[str, Factor]:
        """The fields that differ, and the seed."""
        seeds = [run.config.get("seed", ABSENT) for run in self.runs]
        fields = varying_fields(self.runs) | {"seed": seeds}
        return {
            field: factor_of(field, [str(v) if v is None else v for v in values]) for field, values in fields.items()
        }

    @cached_property
    def groups(self) -> tuple[FieldGroup, ...]:
        """The fields that differ; fields that split the runs in the same way are one group."""
        partitions: dict[tuple, list[str]] = {}
        for field, factor in self.values.items():
            codes = factor.codes.tolist()
            if field != "seed" and len(factor.levels) > 1:
                partitions.setdefault(tuple(codes.index(code) for code in codes), []).append(field)
        ordered = (sorted(fields, key=lambda name: not name.endswith(".name")) for fields in partitions.values())
        return tuple(FieldGroup(tuple(fields), self.values[fields[0]]) for fields in ordered)

    def score(self, runs: Sequence[int]) -> float:
        return float(self.scores[list(runs)].mean())

    def key(self, field: str, run: int) -> int:
        """A number that is equal for runs with the same value of the field."""
        return int(self._codes[field][run])

    @cached_property
    def _codes(self) -> dict[str, np.ndarray]:
        return {field: factor.codes for field, factor in self.values.items()}

    def others(self, group: FieldGroup, sides: Sequence[Sequence[int]]) -> list[str]:
        """The first field of each other group, except those that one side lacks: options of another choice."""
        fields = [other.field for other in self.groups if other is not group]
        return [
            f for f in fields if not any(all(self.values[f].values[run] == ABSENT for run in side) for side in sides)
        ]

    def options(self, group: FieldGroup, sides: Sequence[Sequence[int]]) -> list[str]:
        """Fields that only one side has, with several values: the runs of this side are averaged over them."""
        alone = set(self.others(group, sides[:0])) - set(self.others(group, sides))
        return [f for f in sorted(alone) if any(len({self.key(f, run) for run in side}) > 1 for side in sides)]

    def blocks(self, group: FieldGroup, levels: Sequence[Level]) -> list[Block]:
        """Blocks that have every level: with equal seeds if enough exist, else with any seeds; [] if too few."""
        sides = [self.side(group, level) for level in levels]
        fields = self.others(group, sides)
        for context in ([*fields, "seed"], fields):
            blocks: dict[tuple, Block] = {}
            for level, side in zip(levels, sides, strict=True):
                for run in side:
                    agreed = tuple(self.key(field, run) for field in context)
                    blocks.setdefault(agreed, {}).setdefault(level, []).append(run)
            complete = [block for block in blocks.values() if len(block) == len(levels)]
            if len(complete) >= _FEWEST:
                return complete
        return []

    def side(self, group: FieldGroup, level: Level) -> list[int]:
        """The runs with this value."""
        return np.flatnonzero(group.factor.codes == group.factor.levels.index(level)).tolist()

    def confounders(self, group: FieldGroup, sides: Sequence[Sequence[int]]) -> list[str]:
        """Fields whose values do not have the same shares on both sides."""
        return [f for f in self.others(group, sides) if self._shares(sides[0], f) != self._shares(sides[1], f)]

    def _shares(self, side: Sequence[int], field: str) -> dict[int, float]:
        counts = Counter(self.key(field, run) for run in side)
        return {value: count / len(side) for value, count in counts.items()}

    def too_few(self, group: FieldGroup, sides: Sequence[Sequence[int]], repeats: int) -> str:
        """Why there are too few repeats, if only the seed was repeated; else ""."""
        fields = [f for f in self.others(group, sides) if len({self.key(f, run) for side in sides for run in side}) > 1]
        if fields or repeats >= ENOUGH_PAIRS:
            return ""
        return f"only the seed was repeated, {repeats} times of at least {ENOUGH_PAIRS}"

    def rows(self, runs: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.names[id(self.runs[run])] for run in runs)


def accuracy_of(run: Record, split: str) -> float | None:
    """The accuracy in metrics.json on the test or the validation images; None if there is none."""
    metrics = run.metrics if split == "test" else run.metrics.get(split)
    value = metrics.get("accuracy") if isinstance(metrics, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def between_runs(compared: ComparedRuns) -> tuple[list[Claim], list[Conclusion]]:
    """Claims about fields or, if there are none, claims about single runs, and conclusions on incomparable pairs.

    Only tested runs can be compared image by image, because the others have no predictions.
    """
    claims = [claim for group in compared.groups for claim in _effects(compared, group)]
    if claims or not compared.groups or compared.split != "test":
        return claims, []
    return _single_runs(compared)


def _effects(compared: ComparedRuns, group: FieldGroup) -> Iterator[Claim]:
    levels = group.levels
    for pair in itertools.pairwise(levels) if group.is_ordered else itertools.combinations(levels, 2):
        if claim := _matched(compared, group, *pair) or _unmatched(compared, group, *pair):
            yield claim
    if group.is_ordered and (blocks := compared.blocks(group, levels)):
        yield _trend(compared, group, blocks)


def _matched(compared: ComparedRuns, group: FieldGroup, a: Level, b: Level) -> Claim | None:
    blocks = compared.blocks(group, (a, b))
    if not blocks:
        return None
    differences = np.array([compared.score(block[a]) - compared.score(block[b]) for block in blocks])
    if differences.mean() < 0:
        (a, b), differences = (b, a), -differences
    sides = [[run for block in blocks for run in block[level]] for level in (a, b)]
    few = compared.too_few(group, sides, len(blocks))
    method = (
        f"{compared.split} accuracy, matched in all other fields that differ: Student's t over {len(blocks)} blocks"
    )
    size, interval = float(differences.mean()), _interval_by_level(differences)
    return _difference(compared, group, (a, b), sides, size=size, interval=interval, few=few, method=method)


def _unmatched(compared: ComparedRuns, group: FieldGroup, a: Level, b: Level) -> Claim | None:
    sides = [compared.side(group, level) for level in (a, b)]
    if min(map(len, sides)) < _FEWEST:
        return None
    if compared.score(sides[0]) < compared.score(sides[1]):
        (a, b), sides = (b, a), sides[::-1]
    scores = [compared.scores[side].tolist() for side in sides]
    spread = any(np.ptp(values) > 0 for values in scores)
    return _difference(
        compared,
        group,
        (a, b),
        sides,
        size=compared.score(sides[0]) - compared.score(sides[1]),
        interval=partial(welch_interval, *scores) if spread else None,
        few=compared.too_few(group, sides, min(map(len, sides))),
        method=f"{compared.split} accuracy, not matched: Welch's t",
        confounders=compared.confounders(group, sides),
    )


def _interval_by_level(values: Sequence[float] | np.ndarray) -> IntervalByLevel | None:
    """The interval of the mean by its level; None if all values are equal, which is chance and not certainty."""
    return partial(mean_interval, values) if np.ptp(values) > 0 else None


def _difference(
    compared: ComparedRuns,
    group: FieldGroup,
    levels: tuple[Level, Level],
    sides: Sequence[list[int]],
    *,
    size: float,
    interval: IntervalByLevel | None,
    few: str,
    method: str,
    confounders: Sequence[str] = (),
) -> Claim:
    """The claim that the first of two levels scores higher, by `size` >= 0."""
    better, worse = f"{group.field} {levels[0]}", str(levels[1])
    n = [len(side) for side in sides]
    counts = f"{n[0]} run{'s' if n[0] > 1 else ''} each" if n[0] == n[1] else f"{n[0]} and {n[1]} runs"
    measured = f"{points(size, interval(LEVEL) if interval else None)}, {counts}"
    if confounders:
        differ = f"{in_words(confounders)} {'differs' if len(confounders) == 1 else 'differ'} between them"
        sentence = f"runs with {better} beat those with {worse} by {measured}, but {differ} too"
    else:
        sentence = f"{better} beats {worse} by {measured}"
    if averaged := compared.options(group, sides):
        sentence += f", averaged over {in_words(averaged)}"
    if group.companions:
        change = "changes" if len(group.companions) == 1 else "change"
        sentence += f"; {in_words(group.companions)} {change} with it and cannot be told apart from it"
    claim = _claim(
        compared, group, [*sides[0], *sides[1]], sentence, size=size, interval=interval, few=few, method=method
    )
    return replace(claim, otherwise=f"between {better} and {worse} ({measured})")


def _claim(
    compared: ComparedRuns,
    group: FieldGroup,
    runs: Sequence[int],
    sentence: str,
    *,
    size: float,
    interval: IntervalByLevel | None,
    few: str,
    method: str,
) -> Claim:
    """The claim that the field has an effect of `size`, which is inconclusive if there are too `few` repeats."""
    return Claim(
        about=("field", group.field, id(compared)),
        rejects=lambda alpha: interval is not None and excludes_zero(interval(1 - alpha)),
        conclusion=Conclusion(
            f"inconclusive: {sentence}; {few}" if few else sentence,
            "inconclusive" if few else "higher" if size >= 0 else "lower",
            size,
            interval(LEVEL) if interval else None,
            compared.rows(runs),
            method,
        ),
    )


def _trend(compared: ComparedRuns, group: FieldGroup, blocks: Sequence[Block]) -> Claim:
    """The claim that the score rises or falls with a number, by one least-squares slope per block."""
    levels = group.levels
    logarithmic = factor_of(group.field, levels).logarithmic
    step = 1.0 if logarithmic else min(high - low for low, high in itertools.pairwise(levels))
    at = [math.log2(level) if logarithmic else level / step for level in levels]
    slopes = [float(np.polyfit(at, [compared.score(block[level]) for level in levels], 1)[0]) for block in blocks]
    size, interval = float(np.mean(slopes)), _interval_by_level(slopes)
    runs = [run for block in blocks for level in levels for run in block[level]]
    ends = interval(LEVEL) if interval else None
    shown = points(size, ends) if size >= 0 else points(-size, ends and (-ends[1], -ends[0]))
    per = "doubling" if logarithmic else f"{step:g} more"
    sentence = (
        f"{compared.split} accuracy {'rises' if size >= 0 else 'falls'} by {shown} with every {per} of"
        f" {group.field} from {levels[0]:g} to {levels[-1]:g}, {len(runs)} runs"
    )
    if group.companions:
        sentence += f"; {in_words(group.companions)} cannot be told apart from it"
    sides = [[run for block in blocks for run in block[level]] for level in levels]
    few = compared.too_few(group, sides, len(blocks))
    method = f"least squares in each of {len(blocks)} blocks matched in all other fields; Student's t over the slopes"
    return _claim(compared, group, runs, sentence, size=size, interval=interval, few=few, method=method)


def _single_runs(compared: ComparedRuns) -> tuple[list[Claim], list[Conclusion]]:
    """Compares the run with the best validation accuracy to each other run, image by image."""
    on_validation = [accuracy_of(run, "validation") for run in compared.runs]
    best = int(np.argmax([-1.0 if accuracy is None else accuracy for accuracy in on_validation]))
    claims, incomparable = [], []
    for other in range(len(compared.runs)):
        fields = [group.field for group in compared.groups]
        if other == best or all(compared.key(f, other) == compared.key(f, best) for f in fields):
            continue
        pair = compared.rows((best, other))
        try:
            folders = (compared.runs[i].path for i in (other, best))
            before, after = (read_predictions(find_predictions(folder) or folder / TABLES[0]) for folder in folders)
            comparison = compare(before, after)
        except InputError as error:
            text = f"{pair[0]} and {pair[1]} cannot be compared image by image: {error}"
            incomparable.append(Conclusion(text, "cannot be compared", None, None, pair, "paired by image"))
        else:
            claims.append(_image_by_image(pair, comparison))
    return claims, incomparable


def _image_by_image(pair: tuple[str, ...], comparison: Comparison) -> Claim:
    change, (best, other) = comparison.overall, pair
    size, interval, alone = change.difference or 0.0, change.difference_interval, (change.c, change.b)
    if size < 0:
        best, other, size, alone = other, best, -size, alone[::-1]
        interval = interval and (-interval[1], -interval[0])
    measured = f"{points(size, interval)}, {change.images:,} test images, one run each"
    sentence = (
        f"{best} beats {other} by {measured}: right alone on {alone[0]:,} of them against {alone[1]:,}"
        "; what another seed would give is not known"
    )
    method = "paired by image: exact McNemar test, percentile bootstrap of the difference"
    return Claim(
        about=("runs", *pair),
        rejects=lambda alpha: change.p is not None and change.p <= alpha,
        conclusion=Conclusion(sentence, "higher", size, interval, (best, other), method),
        otherwise=f"between {best} and {other} ({measured})",
    )
