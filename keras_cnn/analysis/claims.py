"""Claims about runs: the evidence for each, and which of them hold when all are tested together."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

ALPHA = 0.05
LEVEL = 1 - ALPHA

Interval = tuple[float, float]


@dataclass(frozen=True)
class Conclusion:
    """One sentence, whose numbers can all be recomputed from the runs in `rows`."""

    sentence: str
    # The sign of `size`, or why there is none. "none": no difference could be shown; "inconclusive": too few repeats;
    # "description": nothing is claimed; "cannot be compared": the runs were tested on different images.
    direction: Literal["higher", "lower", "none", "inconclusive", "description", "cannot be compared"]
    size: float | None  # a difference of shares (0.029 is 2.9 points); for a trend, per step; for an onset, its epoch
    interval: Interval | None  # of `size`, at 95 %
    rows: tuple[str, ...]  # names of the runs; paths where two runs have the same name
    method: str


@dataclass(frozen=True)
class Claim:
    """A conclusion, and the test that must reject at the level that Holm's procedure sets for it."""

    about: tuple  # claims about the same thing share one sentence when none of them holds
    rejects: Callable[[float], bool]  # takes a significance level
    conclusion: Conclusion  # what it concludes if it is upheld
    otherwise: str | None = None  # what was compared, to follow "no difference could be shown"; None: say nothing


def uphold(claims: Sequence[Claim]) -> list[bool]:
    """Which claims Holm's step-down procedure upholds at family-wise error rate ALPHA.

    Each step upholds all claims whose tests reject at ALPHA / (number of claims not yet upheld). This is the textbook
    procedure on sorted p-values, for tests that answer only yes or no.
    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian J. of Statistics 6 (1979).
    """
    upheld = [False] * len(claims)
    while not all(upheld):
        level = ALPHA / upheld.count(False)
        now = [was or claim.rejects(level) for was, claim in zip(upheld, claims, strict=True)]
        if now == upheld:
            break
        upheld = now
    return upheld


def conclusions(claims: Sequence[Claim]) -> list[Conclusion]:
    """The claims that hold, then one sentence for each subject about which no claim holds."""
    upheld = uphold(claims)
    family = f"Holm's correction over {len(claims)} comparison{'s' if len(claims) > 1 else ''} at {100 * ALPHA:.0f} %"
    shown = [claim.conclusion for claim, holds in zip(claims, upheld, strict=True) if holds]
    silent = list(_not_shown(claims, {claim.about for claim, holds in zip(claims, upheld, strict=True) if holds}))
    return [dataclasses.replace(each, method=f"{each.method}; {family}") for each in (*shown, *silent)]


def _not_shown(claims: Sequence[Claim], settled: set[tuple]) -> Iterator[Conclusion]:
    """One sentence on the largest difference for each subject about which no claim holds."""
    groups: dict[tuple, list[Claim]] = {}
    for claim in claims:
        if claim.otherwise and claim.about not in settled:
            groups.setdefault(claim.about, []).append(claim)
    for group in groups.values():
        widest = max(group, key=lambda claim: claim.conclusion.size or 0.0)
        among = f", the largest of {len(group)}" if len(group) > 1 else ""
        sentence = f"no difference could be shown {widest.otherwise}{among}"
        yield dataclasses.replace(widest.conclusion, sentence=sentence, direction="none")


def points(size: float, interval: Interval | None) -> str:
    """ "2.9 points [1.1, 4.6]", with enough decimal places that no number other than 0 is printed as 0."""
    ends = interval or ()
    places = next((p for p in (1, 2, 3) if all(round(100 * v, p) for v in (size, *ends) if v)), 4)
    span = f"[{', '.join(f'{100 * end:.{places}f}' for end in ends)}]" if interval else "(no interval can be had)"
    return f"{100 * size:.{places}f} points {span}"


def percent(share: float, interval: Interval) -> str:
    """ "40.3 % [37.3, 43.4]"."""
    return f"{100 * share:.1f} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def in_words(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def excludes_zero(interval: Interval) -> bool:
    return interval[0] > 0 or interval[1] < 0
