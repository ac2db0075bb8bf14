"""A printed number, what was measured or computed for it, and whether the two agree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Verdict = Literal["agrees", "differs", "cannot be compared", "waits"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "differs", "cannot be compared", "waits")

How = Literal["run", "computed", "recomputed"]
HOW = {
    "run": "measured by runs",
    "computed": "computed without training",
    "recomputed": "recomputed from its other numbers",
}


@dataclass(frozen=True)
class Measured:
    """Our number. Without an interval it has to agree within the rounding of the print and `slack`."""

    value: float
    how: How
    low: float = math.nan  # 95 %: another run (or group of runs) of ours prints a number in here
    high: float = math.nan
    seeds: int = 0
    epochs: int = 0
    slack: float = 0.0  # by how much roundings of the numbers that it was computed from can change it
    note: str = ""


@dataclass(frozen=True)
class NotMeasured:
    """Why there is no number of ours: because an experiment waits, or because it cannot be compared at all."""

    reason: str
    waits: bool = False


@dataclass(frozen=True)
class Printed:
    """One printed number, or several of one kind with one reason."""

    report: str
    place: str
    what: str
    text: str  # as printed, without its unit
    epochs: int = 0  # of the run that it was measured on; 0 where there was none, or none is printed
    unit: str = ""
    count: int = 1  # how many numbers are printed there, where they share a verdict
    rounded: bool = False  # a whole number that is a rounded one, and no count
    formula: bool = False  # the value of a printed formula, not a printed number

    @property
    def value(self) -> float:
        return float(self.text.replace(",", ""))

    @property
    def margin(self) -> float:
        """Half a unit of the last printed decimal place; 0 for counts."""
        exponent = Decimal(self.text.replace(",", "")).as_tuple().exponent
        assert isinstance(exponent, int)
        return 0.5 * 10.0**exponent if exponent < 0 or self.rounded else 0.0


@dataclass(frozen=True)
class Row:
    """A printed number with its verdict and the reason for it."""

    printed: Printed
    measured: Measured | None
    verdict: Verdict
    reason: str


def judged(printed: Printed, measured: Measured | NotMeasured) -> Row:
    """The verdict on a printed number.

    With an interval: the print, give or take its rounding, lies in the interval or it does not. Without one, numbers
    that need no training must be equal within the rounding; a number of one run, of which no other run says how much
    another seed would change it, cannot be compared.
    """
    if isinstance(measured, NotMeasured):
        return Row(printed, None, "waits" if measured.waits else "cannot be compared", measured.reason)
    difference = measured.value - printed.value
    margin = printed.margin + measured.slack + 1e-9 * max(1.0, abs(printed.value))
    if math.isnan(measured.low):
        if measured.how == "run":
            return Row(printed, measured, "waits", _with("one seed, without an interval", measured.note))
        agrees = abs(difference) <= margin
        rounding = (
            "its rounding" if abs(difference) <= margin - measured.slack else "the rounding of what it comes from"
        )
        found = "equal" if abs(difference) <= 1e-9 else f"{difference:+.4g}, within {rounding}"
        return _row(printed, measured, agrees, found if agrees else f"differs by {difference:+.4g}")
    agrees = measured.low - margin <= printed.value <= measured.high + margin
    place = "in the interval" if agrees else f"{difference:+.4g}, outside the interval"
    return _row(printed, measured, agrees, place)


def _row(printed: Printed, measured: Measured, agrees: bool, found: str) -> Row:
    return Row(printed, measured, "agrees" if agrees else "differs", _with(found, measured.note))


def _with(found: str, note: str) -> str:
    return f"{found}; {note}" if note else found


def counts(rows: Sequence[Row]) -> dict[Verdict, int]:
    """How many printed numbers have each verdict."""
    return {verdict: sum(row.printed.count for row in rows if row.verdict == verdict) for verdict in VERDICTS}
