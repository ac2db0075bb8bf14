"""Checks of published numbers against their own data: class accuracies against the overall one, and quoted numbers."""

import math
from collections.abc import Iterator

from keras_cnn.evaluation.facts import ClassAccuracies, Protocol, Quoted
from keras_cnn.evaluation.verdicts import INVALIDATES, PASSED, UNKNOWN, WEAKENS, Verdict, percent, written
from keras_cnn.messages import capitalised, counted

_EXACT = 1e-9  # rounding error of float64 sums of the same numbers in another order


def class_average(facts: Protocol) -> Iterator[Verdict]:
    """The mean class accuracy, weighted by images, must equal the overall accuracy, up to rounding in print.

    A common rounding error of all class accuracies shifts their weighted mean by the same amount, so the tolerance does
    not depend on the number of classes.
    """
    tables = facts.class_accuracies or ()
    weighed = [table for table in tables if table.images is not None]
    fitting = [table for table in weighed if _agree(table)]
    for table in weighed:
        if table not in fitting:
            balanced = "every class has the same number of images"
            why = balanced if _balanced(table) else "weighted by the images of each class"
            yield (
                INVALIDATES,
                f"{table.name}: the class accuracies average {percent(_mean(table))}, the overall accuracy is given"
                f" as {percent(table.overall)}; they must agree ({why}), so at least one of them is wrong.",
                _averaged(table),
            )
    if fitting:
        yield PASSED, "The mean of the class accuracies is the overall accuracy.", *map(_averaged, fitting)
    for table in tables:
        if table.images is None:
            yield UNKNOWN, f"{table.name}: the number of images of each class is not known"
    if not tables:
        yield UNKNOWN, "no class accuracies are known"


def _slack(unit: float, subtracted_unit: float) -> tuple[float, float]:
    """The range of the difference between two printed forms of one number: the first minus the second.

    The true value of a printed number is up to half a unit less (rounded up) or up to a unit more (truncated, as `%d`
    does). A unit is the value of the last digit, 0 for an unrounded number.
    """
    return -(unit + subtracted_unit / 2) - _EXACT, unit / 2 + subtracted_unit + _EXACT


def _agree(table: ClassAccuracies) -> bool:
    low, high = _slack(table.overall_unit, table.unit)
    return low <= table.overall - _mean(table) <= high


def _mean(table: ClassAccuracies) -> float:
    images = table.images or ()
    return math.fsum(a * n for a, n in zip(table.accuracies, images, strict=True)) / sum(images)


def _balanced(table: ClassAccuracies) -> bool:
    return len(set(table.images or ())) == 1


def _averaged(table: ClassAccuracies) -> str:
    counts = f"{(table.images or (0,))[0]:,} images each" if _balanced(table) else "weighted by their images"
    low, high = _slack(table.overall_unit, table.unit)
    return (
        f"{table.name}: {len(table.accuracies)} class accuracies, {counts}, average {percent(_mean(table))}; overall"
        f" {percent(table.overall)}, {100 * (table.overall - _mean(table)):+.2f} points; rounding in print explains"
        f" {100 * low:+.3f} to {100 * high:+.3f}"
    )


def contradicted(facts: Protocol) -> Iterator[Verdict]:
    """A quoted number must follow from its own data, up to rounding in print."""
    numbers = facts.quoted or ()
    following = [number for number in numbers if _is_consistent(number)]
    for number in numbers:
        if number not in following:
            what = capitalised(number.what)
            reason = f" ({number.because})" if number.because else ""
            yield (
                WEAKENS,
                f"{what} is quoted as {written(number.quoted)}, but its own data give"
                f" {written(number.recomputed)}{reason}.",
                _recomputed(number),
            )
    if following:
        count = counted(len(following), "quoted number")
        yield PASSED, f"Recomputed from their own data: {count}, none contradicted.", *map(_recomputed, following)
    if not numbers:
        yield UNKNOWN, "no quoted number was recomputed"


def _is_consistent(number: Quoted) -> bool:
    low, high = _slack(0.0, number.unit)
    return low <= number.recomputed - number.quoted <= high


def _recomputed(number: Quoted) -> str:
    return f"{number.what}: quoted {written(number.quoted)}, recomputed {written(number.recomputed)}"
