"""The protocol audit: whether a result is valid, from facts about how it was obtained.

A `Protocol` holds facts read from a run folder (`facts_of`), measured on a model (`model_checks.model_facts`) or taken
from a published report. An unknown fact is None and never counts in favour of a result: every check of `FLAWS` appears
in `audit` (a flaw), in `passed` or in `unknown`.
"""

from dataclasses import dataclass

from keras_cnn.evaluation.facts import ClassAccuracies, Protocol, Quoted, combined, facts_of, known
from keras_cnn.evaluation.protocol_checks import (
    CHECKS,
    FLAWS,
    INVALIDATES,
    NOTE,
    PASSED,
    SEVERITIES,
    UNKNOWN,
    WEAKENS,
)

__all__ = [
    "FLAWS",
    "INVALIDATES",
    "NOTE",
    "PASSED",
    "SEVERITIES",
    "UNKNOWN",
    "WEAKENS",
    "ClassAccuracies",
    "Finding",
    "Protocol",
    "Quoted",
    "audit",
    "combined",
    "facts_of",
    "known",
    "passed",
    "unknown",
]


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    flaw: str  # the check's key, one of FLAWS
    severity: str  # one of SEVERITIES for a flaw, else PASSED or UNKNOWN
    sentence: str
    evidence: tuple[str, ...]  # facts, each with its file and field


def audit(facts: Protocol) -> list[Finding]:
    """The flaws, the worst first. Checks of unknown facts neither pass nor fail: see `unknown`."""
    flaws = [finding for finding in _checked(facts) if finding.severity in SEVERITIES]
    return sorted(flaws, key=lambda finding: SEVERITIES.index(finding.severity))


def passed(facts: Protocol) -> list[Finding]:
    """The checks that passed, with their evidence."""
    return [finding for finding in _checked(facts) if finding.severity == PASSED]


def unknown(facts: Protocol) -> list[Finding]:
    """The checks that could not be made because facts are unknown."""
    return [finding for finding in _checked(facts) if finding.severity == UNKNOWN]


def _checked(facts: Protocol) -> list[Finding]:
    return [Finding(flaw, *verdict) for flaw, check in CHECKS.items() for verdict in check(facts)]
