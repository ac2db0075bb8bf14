"""The answers of the protocol audit's checks: severities, findings, and how their numbers are printed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keras_cnn.evaluation.facts import Protocol

INVALIDATES = "invalidates"  # the number does not measure what it is quoted as
WEAKENS = "weakens"  # the number is too high, too low or less certain than it appears
NOTE = "note"  # worth knowing; the number is valid
PASSED = "passed"
UNKNOWN = "unknown"
SEVERITIES = (INVALIDATES, WEAKENS, NOTE)  # of flaws, the worst first

# Severity, sentence (for UNKNOWN, what is not known) and further lines of evidence.
Verdict = tuple[str, str, *tuple[str, ...]]
Check = Callable[[Protocol], Iterator[Verdict]]


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    flaw: str  # the check's name, one of CHECK_NAMES
    severity: str  # one of SEVERITIES for a flaw, else PASSED or UNKNOWN
    sentence: str
    evidence: tuple[str, ...]  # facts, each with its file and field


def written(value: float) -> str:
    """A whole number in full, any other with six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with two decimals."""
    return f"{100 * share:.2f} %"
