"""The protocol audit of each run."""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_cnn.analysis.run_tables import Swept
from keras_cnn.charts import TextTable
from keras_cnn.charts.text import count
from keras_cnn.evaluation import protocol, repeats, verdicts
from keras_cnn.evaluation.facts import Protocol, combined
from keras_cnn.report.runs import ReportedRun

VERDICTS = {
    verdicts.INVALIDATES: "invalidates",
    verdicts.WEAKENS: "weakens",
    verdicts.NOTE: "note",
    verdicts.PASSED: "passed",
    verdicts.UNKNOWN: "not checked",
}


@dataclass(frozen=True)
class Audit:
    """The protocol audit of one run."""

    run: ReportedRun
    flaws: tuple[verdicts.Finding, ...]
    passed: tuple[verdicts.Finding, ...]
    unknown: tuple[verdicts.Finding, ...]

    def worst(self, flaw: str) -> str:
        """The severity of the worst finding of a check; passed or unknown without a flaw."""
        for findings in (self.flaws, self.unknown, self.passed):
            if severities := [finding.severity for finding in findings if finding.flaw == flaw]:
                return severities[0]
        return verdicts.UNKNOWN


def audits(runs: Sequence[ReportedRun], groups: Sequence[repeats.SeedGroup], swept: Swept | None = None) -> list[Audit]:
    """The protocol audit of each run, including the seeds of its repeats and the number of trials of its sweep.

    `groups` are groups of runs that differ only in their seed, including groups of one run.
    """
    choice = Protocol()
    if swept and swept.trials and not swept.sweep.folds:  # no fold is chosen
        split = "validation" if swept.metric.startswith("val_") else "train"
        choice = Protocol(
            configurations=len(swept.trials),
            configuration_chosen_on=split,
            sources={
                "configurations": "trials of the sweep",
                "configuration_chosen_on": f"metric of the sweep: {swept.metric}",
            },
        )
    audited = []
    for run, facts in zip(runs, repeats.facts_of_runs([run.record for run in runs], groups), strict=True):
        facts = combined(facts, choice)
        audited.append(
            Audit(run, tuple(protocol.audit(facts)), tuple(protocol.passed(facts)), tuple(protocol.unknown(facts)))
        )
    return audited


def checks(audits: Sequence[Audit]) -> TextTable:
    """The number of runs with each verdict, with a row for each check."""
    present = {audit.worst(flaw) for audit in audits for flaw in protocol.CHECK_NAMES}
    verdicts = [verdict for verdict in VERDICTS if verdict in present]
    rows = tuple(
        (flaw.replace("-", " "), *(count(sum(a.worst(flaw) == verdict for a in audits)) for verdict in verdicts))
        for flaw in protocol.CHECK_NAMES
    )
    return TextTable(("check", *(VERDICTS[verdict] for verdict in verdicts)), rows)
