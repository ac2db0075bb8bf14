"""What a field of the config does: finished runs of the same images compared by the values they differ in.

Two values are compared within blocks of runs that agree in everything else, seed included where that leaves three
blocks; without blocks, all runs of the one value against all of the other, and every field that is not spread alike
over the two sides is named. Of a number with three or more values, neighbours are compared, and its trend. Fields that
always change together cannot be told apart and are named together.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_cnn.errors import InputError
from keras_cnn.evaluation.comparison import Comparison, compare
from keras_cnn.evaluation.intervals import mean_interval, welch_interval
from keras_cnn.evaluation.predictions import read_predictions
from keras_cnn.evaluation.repeats import ENOUGH_PAIRS
from keras_cnn.report.claims import LEVEL, Claim, Inference, Interval, excludes_zero, listed, points
from keras_cnn.report.scores import number
from keras_cnn.run_folder.record import Record

_FEWEST = 3  # of two differences, Student's 95 % interval reaches 13 standard errors to each side: it shows nothing
_DOUBLINGS = 4  # values of a number that lie this many times apart are taken by their logarithm
_WITHOUT_EFFECT = ("name", "seed", "data.cache", "data.cache_dir", "train.checkpoint_minutes")
_ABSENT = "absent"

Level = Any  # a value of a config's field
Block = dict[Level, list[Record]]  # runs that agree in all but one factor, by its value


@dataclass(frozen=True)
class Factor:
    """Fields that change together among the runs; the first gives the name."""

    fields: tuple[str, ...]

    @property
    def field(self) -> str:
        return self.fields[0]

    @property
    def companions(self) -> tuple[str, ...]:
        """The other fields, but for the options that a choice brings with it."""
        choice = self.field.removesuffix("name")
        return tuple(f for f in self.fields[1:] if choice == self.field or not f.startswith(choice))


@dataclass(frozen=True)
class Study:
    """Finished runs of the same images; the score is their accuracy on the test images, or on the validation images."""

    runs: tuple[Record, ...]
    names: Mapping[int, str]  # by id(run)
    split: str = "test"  # or validation

    def value(self, run: Record, field: str) -> Level:
        value = run.config.get(field, _ABSENT)
        return repr(value) if isinstance(value, list | dict) else value

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """The fields that differ; those that part the runs alike are one factor."""
        partitions: dict[tuple, list[str]] = {}
        for field in dict.fromkeys(field for run in self.runs for field in run.config):
            if field in _WITHOUT_EFFECT or field.startswith(("tracking.", "published")):
                continue
            values = [repr(self.value(run, field)) for run in self.runs]
            partition = tuple(values.index(value) for value in values)
            if any(partition):
                partitions.setdefault(partition, []).append(field)
        return tuple(Factor(tuple(sorted(f, key=lambda n: not n.endswith(".name")))) for f in partitions.values())

    def levels(self, factor: Factor) -> list[Level]:
        found = {repr(v): v for run in self.runs if (v := self.value(run, factor.field)) != _ABSENT}
        return sorted(found.values(), key=lambda v: (not _is_number(v), v if _is_number(v) else str(v)))

    def of(self, factor: Factor, level: Level) -> list[Record]:
        return [run for run in self.runs if repr(self.value(run, factor.field)) == repr(level)]

    def score(self, runs: Sequence[Record]) -> float:
        return float(np.mean(self.scores(runs)))

    def scores(self, runs: Sequence[Record]) -> list[float]:
        return [accuracy_of(run, self.split) for run in runs]

    def others(self, factor: Factor, sides: Sequence[Sequence[Record]]) -> list[str]:
        """Fields of the other factors, without those that one side does not have: options of another choice."""
        fields = [other.field for other in self.factors if other is not factor]
        return [f for f in fields if not any(all(self.value(r, f) == _ABSENT for r in side) for side in sides)]

    def options(self, factor: Factor, sides: Sequence[Sequence[Record]]) -> list[str]:
        """Fields that only one side has, and there with several values: its runs are averaged over them."""
        alone = set(self.others(factor, sides[:0])) - set(self.others(factor, sides))
        return [f for f in sorted(alone) if any(len({repr(self.value(r, f)) for r in side}) > 1 for side in sides)]

    def blocks(self, factor: Factor, levels: Sequence[Level]) -> list[Block]:
        """Blocks with every level; of equal seeds if there are enough such, else of any seeds; [] if too few."""
        sides = [self.of(factor, level) for level in levels]
        fields = self.others(factor, sides)
        for context in ([*fields, "seed"], fields):
            blocks: dict[tuple, Block] = {}
            for level, side in zip(levels, sides, strict=True):
                for run in side:
                    key = tuple(repr(self.value(run, field)) for field in context)
                    blocks.setdefault(key, {}).setdefault(level, []).append(run)
            complete = [block for block in blocks.values() if len(block) == len(levels)]
            if len(complete) >= _FEWEST:
                return complete
        return []

    def confounders(self, factor: Factor, sides: Sequence[Sequence[Record]]) -> list[str]:
        """Fields whose values are not spread over the sides in equal shares."""
        return [f for f in self.others(factor, sides) if self._shares(sides[0], f) != self._shares(sides[1], f)]

    def _shares(self, side: Sequence[Record], field: str) -> dict[str, float]:
        counts = Counter(repr(self.value(run, field)) for run in side)
        return {value: count / len(side) for value, count in counts.items()}

    def too_few(self, factor: Factor, sides: Sequence[Sequence[Record]], repeats: int) -> str | None:
        """Why repeats are too few, where nothing but the seed sets them apart."""
        fields = [f for f in self.others(factor, sides) if len({repr(self.value(r, f)) for s in sides for r in s}) > 1]
        if fields or repeats >= ENOUGH_PAIRS:
            return None
        return f"only the seed was repeated, {repeats} times of at least {ENOUGH_PAIRS}"

    def rows(self, runs: Sequence[Record]) -> tuple[str, ...]:
        return tuple(self.names[id(run)] for run in runs)


def accuracy_of(run: Record, split: str) -> float | None:
    """The accuracy in metrics.json on the test or the validation images; None where it has none."""
    metrics = run.metrics if split == "test" else run.metrics.get(split)
    return number(metrics.get("accuracy")) if isinstance(metrics, dict) else None


def between_runs(study: Study) -> tuple[list[Claim], list[Inference]]:
    """Claims about factors; where none is repeated, claims about the runs one by one, and what cannot be compared.

    Image by image only tested runs can be compared: no others have predictions.
    """
    claims = [claim for factor in study.factors for claim in _effects(study, factor)]
    return (claims, []) if claims or not study.factors or study.split != "test" else _single_runs(study)


def _effects(study: Study, factor: Factor) -> Iterator[Claim]:
    levels = study.levels(factor)
    ordered = len(levels) > 2 and all(map(_is_number, levels))
    for pair in itertools.pairwise(levels) if ordered else itertools.combinations(levels, 2):
        if claim := _matched(study, factor, *pair) or _unmatched(study, factor, *pair):
            yield claim
    if ordered and (blocks := study.blocks(factor, levels)):
        yield _trend(study, factor, levels, blocks)


def _matched(study: Study, factor: Factor, a: Level, b: Level) -> Claim | None:
    blocks = study.blocks(factor, (a, b))
    if not blocks:
        return None
    differences = np.array([study.score(block[a]) - study.score(block[b]) for block in blocks])
    if differences.mean() < 0:
        (a, b), differences = (b, a), -differences
    sides = [[run for block in blocks for run in block[level]] for level in (a, b)]
    few = study.too_few(factor, sides, len(blocks))
    method = f"{study.split} accuracy, matched in all other fields that differ: Student's t over {len(blocks)} blocks"
    return _difference(study, factor, (a, b), sides, float(differences.mean()), _t(differences), few, method)


def _unmatched(study: Study, factor: Factor, a: Level, b: Level) -> Claim | None:
    sides = [study.of(factor, level) for level in (a, b)]
    if min(map(len, sides)) < _FEWEST:
        return None
    if study.score(sides[0]) < study.score(sides[1]):
        (a, b), sides = (b, a), sides[::-1]
    scores = [study.scores(side) for side in sides]
    spread = any(np.ptp(values) > 0 for values in scores)
    interval = (lambda level: welch_interval(*scores, level)) if spread else None
    size = study.score(sides[0]) - study.score(sides[1])
    few = study.too_few(factor, sides, min(map(len, sides)))
    return _difference(
        study,
        factor,
        (a, b),
        sides,
        size,
        interval,
        few,
        f"{study.split} accuracy, not matched: Welch's t",
        study.confounders(factor, sides),
    )


def _t(values: Sequence[float]) -> Callable[[float], Interval] | None:
    """The interval of the mean by its level; None where all values are equal, which is chance and no certainty."""
    return (lambda level: mean_interval(values, level)) if np.ptp(values) > 0 else None


def _difference(
    study: Study,
    factor: Factor,
    levels: tuple[Level, Level],
    sides: Sequence[Sequence[Record]],
    size: float,
    interval: Callable[[float], Interval] | None,
    few: str | None,
    method: str,
    confounders: Sequence[str] = (),
) -> Claim:
    """That the first of two levels scores higher, by `size` of at least 0."""
    at_95 = interval(LEVEL) if interval else None
    better, worse = f"{factor.field} {levels[0]}", str(levels[1])
    n = [len(side) for side in sides]
    counts = f"{n[0]} run{'s' if n[0] > 1 else ''} each" if n[0] == n[1] else f"{n[0]} and {n[1]} runs"
    found = f"{points(size, at_95)}, {counts}"
    if confounders:
        sentence = f"runs with {better} beat those with {worse} by {found}, but {_are_different(confounders)} too"
    else:
        sentence = f"{better} beats {worse} by {found}"
    if averaged := study.options(factor, sides):
        sentence += f", averaged over {listed(averaged)}"
    if factor.companions:
        change = "changes" if len(factor.companions) == 1 else "change"
        sentence += f"; {listed(factor.companions)} {change} with it and cannot be told apart from it"
    if few:
        sentence = f"inconclusive: {sentence}; {few}"
    rows = study.rows([run for side in sides for run in side])
    return Claim(
        about=("field", factor.field, id(study)),
        rejects=lambda alpha: interval is not None and excludes_zero(interval(1 - alpha)),
        inference=Inference(sentence, "inconclusive" if few else "higher", size, at_95, rows, method),
        otherwise=f"between {better} and {worse} ({found})",
    )


def _are_different(fields: Sequence[str]) -> str:
    return f"{listed(fields)} {'differs' if len(fields) == 1 else 'differ'} between them"


def _trend(study: Study, factor: Factor, levels: Sequence[float], blocks: Sequence[Block]) -> Claim:
    """That the score rises or falls with a number: its slope by least squares, one a block."""
    logarithmic = min(levels) > 0 and max(levels) >= _DOUBLINGS * min(levels)
    step = 1.0 if logarithmic else min(high - low for low, high in itertools.pairwise(levels))
    at = [math.log2(level) if logarithmic else level / step for level in levels]
    slopes = [float(np.polyfit(at, [study.score(block[level]) for level in levels], 1)[0]) for block in blocks]
    sign = 1 if np.mean(slopes) >= 0 else -1
    interval = _t([sign * slope for slope in slopes])
    size, at_95 = abs(float(np.mean(slopes))), interval(LEVEL) if interval else None
    runs = [run for block in blocks for level in levels for run in block[level]]
    per = "doubling" if logarithmic else f"{step:g} more"
    sentence = (
        f"{study.split} accuracy {'rises' if sign > 0 else 'falls'} by {points(size, at_95)} with every {per} of"
        f" {factor.field} from {levels[0]:g} to {levels[-1]:g}, {len(runs)} runs"
    )
    if factor.companions:
        sentence += f"; {listed(factor.companions)} cannot be told apart from it"
    if few := study.too_few(factor, [[r for k in blocks for r in k[level]] for level in levels], len(blocks)):
        sentence = f"inconclusive: {sentence}; {few}"
    direction = "inconclusive" if few else "higher" if sign > 0 else "lower"
    signed = at_95 if at_95 is None or sign > 0 else (-at_95[1], -at_95[0])
    method = f"least squares in each of {len(blocks)} blocks matched in all other fields; Student's t over the slopes"
    return Claim(
        about=("field", factor.field, id(study)),
        rejects=lambda alpha: interval is not None and excludes_zero(interval(1 - alpha)),
        inference=Inference(sentence, direction, sign * size, signed, study.rows(runs), method),
    )


def _single_runs(study: Study) -> tuple[list[Claim], list[Inference]]:
    """The run that is best on validation against each of the others, image by image."""
    best = max(study.runs, key=lambda run: -1.0 if (found := accuracy_of(run, "validation")) is None else found)
    claims, incomparable = [], []
    for other in study.runs:
        if other is best or not any(study.value(other, f.field) != study.value(best, f.field) for f in study.factors):
            continue
        pair = study.rows((best, other))
        try:
            found = compare(*(read_predictions(run.path / "predictions.csv") for run in (other, best)))
        except InputError as error:
            text = f"{pair[0]} and {pair[1]} cannot be compared image by image: {error}"
            incomparable.append(Inference(text, "cannot be compared", None, None, pair, "paired by image"))
        else:
            claims.append(_image_by_image(pair, found))
    return claims, incomparable


def _image_by_image(pair: tuple[str, str], found: Comparison) -> Claim:
    change, (best, other) = found.overall, pair
    size, interval, alone = change.difference, change.difference_interval, (change.c, change.b)
    if size < 0:
        best, other, size, interval, alone = other, best, -size, (-interval[1], -interval[0]), alone[::-1]
    measured = f"{points(size, interval)}, {change.images:,} test images, one run each"
    sentence = (
        f"{best} beats {other} by {measured}: right alone on {alone[0]:,} of them against {alone[1]:,}"
        "; what another seed would give is not known"
    )
    method = "paired by image: exact McNemar test, percentile bootstrap of the difference"
    return Claim(
        about=("runs", *pair),
        rejects=lambda alpha: change.p <= alpha,
        inference=Inference(sentence, "higher", size, interval, (best, other), method),
        otherwise=f"between {best} and {other} ({measured})",
    )


def _is_number(value: Level) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
