"""A report's conclusion in words, beside our difference with its interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from keras_cnn.errors import InputError
from keras_cnn.evaluation.intervals import mean_interval, student_t, welch_interval
from keras_cnn.messages import counted
from reproduction.evidence import Quantity, Runs
from reproduction.experiments import Experiment, values_of

ClaimVerdict = Literal["holds", "does not hold", "undecided", "cannot be tested", "waits"]
CLAIM_VERDICTS: tuple[ClaimVerdict, ...] = ("holds", "does not hold", "undecided", "cannot be tested", "waits")
Basis = Literal["runs", "stand-in", "its own numbers", "computed"]
BASES: dict[Basis, str] = {
    "runs": "Runs of the experiment",
    "stand-in": "Stand-ins",
    "its own numbers": "The report's own numbers",
    "computed": "Computed or counted",
}
OWN: Basis = "its own numbers"
FEWEST = 3  # pairs of cells
SIMILAR = 0.02  # two accuracies are similar if the whole interval of their difference is within ± this


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval; nan where none can be had."""

    size: float
    low: float = math.nan
    high: float = math.nan
    what: str = ""  # what was subtracted from what, and how many pairs or seeds there were
    basis: Basis = "runs"
    contested: bool = False  # the printed numbers say the opposite of the stand-in

    @property
    def leaves_out_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def text(self, unit: str) -> str:
        """Size and interval; `unit` points are hundredths."""
        scale = 100 if unit == "points" else 1
        value = f"{scale * self.size:+.3g}"
        if not math.isnan(self.low):
            value += f" [{scale * self.low:.3g}, {scale * self.high:.3g}]"
        return f"{value} {unit}".strip()


@dataclass(frozen=True)
class Claim:
    """One conclusion of a report, in its words, with our verdict."""

    report: str
    place: str
    words: str
    verdict: ClaimVerdict
    finding: str
    difference: Difference | None = None
    unit: str = "points"  # of the difference: points are hundredths
    similarity: bool = False  # it says that the difference is small, not which way it goes
    counted_in: Basis = "computed"  # what the verdict rests on where there is no difference

    @property
    def basis(self) -> Basis:
        return self.difference.basis if self.difference else self.counted_in

    @property
    def leaves_out_zero(self) -> bool:
        """The verdict is on a direction, and the interval of the difference has one."""
        return self.difference is not None and not self.similarity and self.difference.leaves_out_zero


def larger(difference: Difference | None) -> tuple[ClaimVerdict, str]:
    """The verdict on "the difference is above 0"."""
    if difference is None:
        return "waits", "its runs have not been done"
    if math.isnan(difference.low):
        return "undecided", f"{difference.what}; without an interval"
    verdict = "holds" if difference.low > 0 else "does not hold" if difference.high < 0 else "undecided"
    return "undecided" if difference.contested else verdict, difference.what


def similar(difference: Difference | None, limit: str = f"{100 * SIMILAR:.0f} points") -> tuple[ClaimVerdict, str]:
    """The verdict on "the two are similar"; `limit` is SIMILAR in the unit of the difference."""
    if difference is None:
        return "waits", "its runs have not been done"
    if math.isnan(difference.low):
        return "undecided", f"{difference.what}; without an interval"
    inside = difference.low > -SIMILAR and difference.high < SIMILAR
    outside = difference.low > SIMILAR or (difference.high < -SIMILAR and not difference.contested)
    verdict = "holds" if inside else "does not hold" if outside else "undecided"
    return verdict, f"{difference.what}; similar if the whole interval lies within ±{limit}"


def paired(
    runs: Runs,
    cells: Sequence[Experiment],
    field: str,
    levels: tuple[float, float],
    quantity: Quantity,
    where: Mapping[str, Any] | None = None,
) -> Difference | None:
    """The mean of quantity(first level) - quantity(second) over pairs of cells that are equal otherwise.

    The interval is Student's over the pairs whose two cells have run; None with fewer than FEWEST of them.
    """
    where = where or {}
    kept = [each for each in cells if all(values_of(each)[name] == value for name, value in where.items())]
    groups: dict[tuple, dict[float, str]] = {}
    for each in kept:
        values = values_of(each)
        others = tuple(sorted((n, v) for n, v in values.items() if n != field))
        groups.setdefault(others, {})[values[field]] = each.name
    differences = []
    for group in groups.values():
        found = [runs.of(group[level])[:1] for level in levels]
        if all(found):
            differences.append(quantity(found[0][0]) - quantity(found[1][0]))
    if len(differences) < min(FEWEST, len(groups)):
        return None
    name, pairs = field.rpartition(".")[2], len(differences)
    some = f"{pairs} of {len(groups)}" if pairs < len(groups) else f"{pairs}"
    what = f"{quantity.name}: {name} {levels[0]:g} minus {levels[1]:g}, {some} pairs of cells"
    return _of_pairs(differences, what)


def between(runs: Runs, first: str, second: str, quantity: Quantity) -> Difference | None:
    """The difference of two experiments' means over seeds, with Welch's interval."""
    a, b = ([quantity(result) for result in runs.of(name)] for name in (first, second))
    if not a or not b:
        return None
    what = f"{quantity.name}: {first} minus {second}, {len(a)} and {len(b)} seeds"
    if min(len(a), len(b)) < 2:
        return Difference(float(np.mean(a) - np.mean(b)), what=what)
    return Difference(float(np.mean(a) - np.mean(b)), *welch_interval(a, b), what)


def best_against_next(runs: Runs, prefix: str, best: str, quantity: Quantity) -> Difference | None:
    """One experiment of a grid minus the best of the others; s over seeds is pooled over the grid.

    The interval is Bonferroni's for the differences from all others, for the best of them was not known beforehand.
    """
    cells, known = runs.cells(prefix), runs.spread(f"{prefix}.", quantity)
    if best not in cells or len(cells) < 2 or known is None:
        return None
    means = {name: float(np.mean([quantity(result) for result in runs.of(name)])) for name in cells}
    other = max((name for name in means if name != best), key=means.__getitem__)
    size = means[best] - means[other]
    others = len(means) - 1
    half = student_t(1 - 0.05 / others, known[1]) * known[0]
    half *= math.sqrt(1 / len(runs.of(best)) + 1 / len(runs.of(other)))
    what = f"{quantity.name}: minus {other.removeprefix(f'{prefix}.')}, the best of {others} others (Bonferroni)"
    return Difference(size, size - half, size + half, what)


def over_cells(runs: Runs, cells: Sequence[Experiment], quantity: Quantity, what: str) -> Difference | None:
    """The mean over all cells of a quantity that is itself a difference."""
    found = [runs.of(each.name)[:1] for each in cells]
    if not all(found):
        return None
    return _of_pairs([quantity(each[0]) for each in found], f"{what}, {len(found)} cells")


def over_seeds(runs: Runs, name: str, quantity: Quantity, what: str) -> Difference | None:
    """The mean over the seeds of an experiment of a quantity that is itself a difference."""
    found = runs.of(name)
    return _of_pairs([quantity(each) for each in found], f"{what}, {counted(len(found), 'seed')}") if found else None


def by_seed(runs: Runs, first: str, second: str, quantity: Quantity, what: str = "") -> Difference | None:
    """The mean of quantity(first) - quantity(second) over the seeds that both have, for a seed decides the images."""
    ours, others = ({result["seed"]: quantity(result) for result in runs.of(name)} for name in (first, second))
    seeds = sorted(ours.keys() & others.keys())
    if not seeds:
        return None
    words = what or f"{first} minus {second}"
    shared = counted(len(seeds), "seed")
    return _of_pairs([ours[seed] - others[seed] for seed in seeds], f"{words}, {shared} on the same images")


def shift(first: Sequence[float], second: Sequence[float], what: str) -> Difference:
    """The median of all differences of two groups of printed numbers, with the exact interval of Mann and Whitney.

    Outliers hardly change it. The groups have few ties, which the interval does not regard.
    """
    differences = np.sort(np.subtract.outer(np.asarray(first, float), np.asarray(second, float)), axis=None)
    orders = np.cumsum(_orders(len(first), len(second)))
    rare = int((orders / orders[-1] < 0.025).sum())  # numbers of wins that are too few for groups that are alike
    low, high = (differences[rare - 1], differences[-rare]) if rare else (math.nan, math.nan)
    return Difference(float(np.median(differences)), float(low), float(high), what, OWN)


def _orders(m: int, n: int) -> np.ndarray:
    """(m n + 1,) the number of orders of m and n numbers in which one of the m lies above one of the n so often."""
    before = [np.ones(1)] * (n + 1)  # with none of the m
    for i in range(1, m + 1):
        found = [np.ones(1)]
        for j in range(1, n + 1):  # the largest number is one of the m, above all j, or one of the n
            counts = np.zeros(i * j + 1)
            counts[j:] += before[j]
            counts[: len(found[-1])] += found[-1]
            found.append(counts)
        before = found
    return before[n]


def of_numbers(numbers: Sequence[float], what: str) -> Difference:
    """A difference that a look keeps as [size, low, high]."""
    size, low, high = numbers
    return Difference(size, low, high, what, "stand-in")


def of_print(first: float, second: float, images: int, what: str) -> Difference:
    """The difference of two printed accuracies of one run each, with the interval of independent samples of images."""
    half = student_t(0.95, 2 * images - 2) * math.sqrt((first * (1 - first) + second * (1 - second)) / images)
    size = first - second
    return Difference(size, size - half, size + half, f"{what}, over {images:,} images", OWN)


def trend(x: ArrayLike, y: ArrayLike, what: str) -> Difference:
    """The change of y from the first x to the last along the least-squares line, with Student's interval."""
    places, values = np.asarray(x, float), np.asarray(y, float)
    span = places[-1] - places[0]
    slope, constant = np.polyfit(places, values, 1)
    residuals, freedom = values - slope * places - constant, len(values) - 2
    error = math.sqrt(float(residuals @ residuals) / freedom / float(((places - places.mean()) ** 2).sum()))
    half = student_t(0.95, freedom) * error * span
    size = float(slope * span)
    return Difference(
        size, size - half, size + half, f"{what}, along a line fitted to {len(values)} printed values", OWN
    )


def beyond(x: ArrayLike, y: ArrayLike, at: float, level: float, what: str) -> Difference:
    """What the least-squares line predicts at a later x, minus a level, with the interval of one more value."""
    places, values = np.asarray(x, float), np.asarray(y, float)
    slope, constant = np.polyfit(places, values, 1)
    residuals, freedom = values - slope * places - constant, len(values) - 2
    distance = (at - places.mean()) ** 2 / float(((places - places.mean()) ** 2).sum())
    half = student_t(0.95, freedom) * math.sqrt(
        float(residuals @ residuals) / freedom * (1 + 1 / len(values) + distance)
    )
    size = float(slope * at + constant - level)
    return Difference(size, size - half, size + half, f"{what}, on a line fitted to {len(values)} printed values", OWN)


def on_stand_in(difference: Difference | None, which: str) -> Difference | None:
    """The same difference, marked as that of a stand-in."""
    if difference is None:
        return None
    return replace(difference, what=f"{difference.what}; stand-in: {which}", basis="stand-in")


def deciding(found: Difference | None, printed: Difference, unit: str = "points") -> Difference:
    """Our difference, or the printed one if ours has no interval or is a stand-in's around zero; the other beside it.

    A stand-in that says the opposite of the printed numbers decides nothing.
    """
    if found is None:
        return printed
    if found.basis != "stand-in" and not math.isnan(found.low):
        return found
    if not found.leaves_out_zero:
        return replace(printed, what=f"{printed.what}; beside it {found.text(unit)}: {found.what}")
    contested = printed.leaves_out_zero and (found.low > 0) != (printed.low > 0)
    beside = "against it" if contested else "beside it"
    what = f"{found.what}; {beside} {printed.text(unit)}: {printed.what}"
    return replace(found, what=what, contested=contested)


def counts(claims: Sequence[Claim]) -> dict[ClaimVerdict, int]:
    return {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in CLAIM_VERDICTS}


def _of_pairs(differences: Sequence[float], what: str) -> Difference:
    try:
        low, high = mean_interval(differences)
    except InputError:  # fewer than two
        low = high = math.nan
    return Difference(float(np.mean(differences)), low, high, what)
