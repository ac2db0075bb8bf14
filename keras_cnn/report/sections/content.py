"""What the page says, section by section: runs in, plain rows and charts out; the templates only set them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from keras_cnn.analysis.claims import Conclusion
from keras_cnn.analysis.run_tables import RETRAINED, RunTable, Swept
from keras_cnn.errors import InputError
from keras_cnn.evaluation import repeats
from keras_cnn.report import published
from keras_cnn.report.comparisons import read_comparisons
from keras_cnn.report.findings import findings
from keras_cnn.report.runs import Run
from keras_cnn.report.sections.audits import Audit, audits, checks
from keras_cnn.report.sections.classes import calibration, classes, confusions, ranking
from keras_cnn.report.sections.comparisons import Compared, compared
from keras_cnn.report.sections.configuration import differences
from keras_cnn.report.sections.curves import costs, curves
from keras_cnn.report.sections.environment import Fact, Repro, environment, repro
from keras_cnn.report.sections.evaluations import evaluations
from keras_cnn.report.sections.models import Model, models
from keras_cnn.report.sections.runs import Columns, lead, table_of_runs
from keras_cnn.report.sections.shapes import FEW, Cell, Chart, Table

SHOWN = 6  # of more, the best ones have them
MATRICES = 2  # of more, the best ones have their confusion matrices


@dataclass(frozen=True)
class Publication:
    """The published figures beside a run's own."""

    run: Run
    caveats: tuple[str, ...]  # of all rows that have any
    rows: tuple[published.Beside, ...]  # with the caveats of their own alone


@dataclass
class Content:
    """All of a page but its pictures."""

    title: str
    runs: list[Run]
    shown: list[Run]  # those with lines, columns and tables of their own: all of few, the best of many
    lead: str
    columns: Columns
    rows: tuple[tuple[Cell, ...], ...]
    findings: list[Conclusion]
    published: list[tuple[Run, list[published.Beside]]]
    unpublished: str  # which runs of a sweep have no place there, and why; "" where all have one
    groups: list[repeats.Group]
    evaluations: Table
    differences: Table
    curves: list[Chart]
    costs: list[Chart]
    classes: list[Chart]
    confusions: list[Chart]  # one a run
    more_confusions: list[Chart]  # of further evaluations
    ranking: Table
    calibration: list[Chart]
    comparisons: list[Compared]
    models: list[Model]
    audits: list[Audit]
    environment: list[Fact]
    reproduce: list[Repro]
    checks: Table | None = None  # of many runs, how many have which verdict
    problems: list[str] = field(default_factory=list)

    @property
    def publications(self) -> list[Publication]:
        return [_publication(run, rows) for run, rows in self.published]


def collect(runs: list[Run], table: RunTable | None = None) -> Content:
    """Everything that the page says about `runs`, of a sweep or a file with `table` too.

    Of more than FEW runs the SHOWN best by validation accuracy are shown one by one, before them the sweep's `best`;
    all are in the table of runs, in the curves, among the repeats and behind the findings.
    """
    swept = table.swept if table else None
    runs, shown = _ranked(runs, swept)
    groups = repeats.sum_up([run.record for run in _trials(runs, swept)])
    beside, left_out, problems = _published(runs if swept else shown, swept is not None)
    columns, rows = table_of_runs(runs, swept)
    every = audits(runs, groups, swept)
    comparisons, damaged = _comparisons(shown)
    matrices = confusions(shown if len(shown) == len(runs) else shown[:MATRICES])
    return Content(
        title=table.name if table else runs[0].label if len(runs) == 1 else f"{len(runs)} runs",
        runs=runs,
        shown=shown,
        lead=lead(runs, table),
        columns=columns,
        rows=rows,
        findings=_findings(runs, shown, swept),
        published=beside,
        unpublished=left_out,
        groups=[group for group in groups if group.n > 1],
        evaluations=evaluations(shown),
        differences=differences(runs, swept),
        curves=curves([run for run in runs if run.record.history], shown),
        costs=[] if table else costs(runs),
        classes=classes(shown),
        confusions=[chart for chart, further in matrices if not further],
        more_confusions=[chart for chart, further in matrices if further],
        ranking=ranking(shown),
        calibration=calibration(shown),
        comparisons=comparisons,
        models=models(shown),
        audits=[audit for audit in every if audit.run in shown],
        environment=environment(runs),
        reproduce=[repro(run) for run in shown],
        checks=checks(every) if len(shown) < len(runs) else None,
        problems=[*problems, *damaged],
    )


def _ranked(runs: list[Run], swept: Swept | None) -> tuple[list[Run], list[Run]]:
    """The runs with their numbers, and those that are shown; of many, the shown ones have the first numbers."""
    if len(runs) <= FEW:
        return runs, runs
    best = sorted(runs, key=lambda run: (not swept or run.label != RETRAINED, -(run.validation.accuracy or 0)))
    numbers = {run.label: i for i, run in enumerate(best)}
    runs = [replace(run, number=numbers[run.label]) for run in runs]
    return runs, sorted((run for run in runs if run.number < SHOWN), key=lambda run: run.number)


def _trials(runs: Sequence[Run], swept: Swept | None) -> list[Run]:
    """Without the sweep's best trained again, which is one of its trials a second time."""
    return [run for run in runs if not swept or run.label != RETRAINED]


def _findings(runs: Sequence[Run], shown: Sequence[Run], swept: Swept | None) -> list[Conclusion]:
    """The findings about the runs; of many runs, those about a single one are kept of the shown ones alone."""
    trials = _trials(runs, swept)
    others = [run.record for run in runs if run not in trials]
    conclusions = [*findings([run.record for run in trials]), *(findings(others) if others else [])]
    names = {run.record.name for run in shown}
    return [conclusion for conclusion in conclusions if len(conclusion.rows) > 1 or set(conclusion.rows) <= names]


def _publication(run: Run, rows: Sequence[published.Beside]) -> Publication:
    """What all rows whose verdict a caveat can weaken have in common stands once."""
    weak = [row.caveats for row in rows if row.caveats]
    common = tuple(caveat for caveat in weak[0] if all(caveat in row for row in weak)) if len(weak) > 1 else ()
    own = (replace(row, caveats=tuple(caveat for caveat in row.caveats if caveat not in common)) for row in rows)
    return Publication(run, common, tuple(own))


def _published(runs: Sequence[Run], is_sweep: bool) -> tuple[list[tuple[Run, list[published.Beside]]], str, list[str]]:
    """The published figures beside those of each run that names some, and what is wrong with a reference.

    Of a sweep only the runs with figures that can be compared, the best SHOWN of them, or else the closest run; the
    sentence between says how many others are left out, and why.
    """
    rows, problems = [], []
    for run in runs:
        try:
            found = published.beside(run.record, published.figures_of(run.record))
        except InputError as error:
            problems.append(str(error))
            continue
        if found:
            rows.append((run, found))
    problems = list(dict.fromkeys(problems))
    if not is_sweep or not rows:
        return rows, "", problems
    rows.sort(key=lambda row: row[0].number)
    kept = [row for row in rows if any(not one.obstacles for one in row[1])][:SHOWN]
    kept = kept or [min(rows, key=lambda row: sum(len(one.obstacles) for one in row[1]))]
    left = [row for row in rows if row not in kept]
    return kept, _left_out(kept, left), problems


def _left_out(
    kept: Sequence[tuple[Run, list[published.Beside]]], left: Sequence[tuple[Run, list[published.Beside]]]
) -> str:
    """How many runs are left out, with the obstacles that the kept runs do not have."""
    if not left:
        return ""
    common = {text for _, rows in kept for row in rows for text in row.obstacles}
    found = Counter(text for _, rows in left for text in {t for row in rows for t in row.obstacles} - common)
    reasons = [f"{text} ({n} {'run' if n == 1 else 'runs'})" for text, n in sorted(found.items())]
    others = "1 other run is" if len(left) == 1 else f"{len(left)} other runs are"
    why = "; ".join(reasons) or "they compare no more figures, and are not among the best"
    return f"{others} left out: {why}."


def _comparisons(runs: Sequence[Run]) -> tuple[list[Compared], list[str]]:
    read = [read_comparisons(run) for run in runs]
    found = [comparison for comparisons, _ in read for comparison in comparisons]
    return [compared(one, i) for i, one in enumerate(found)], [problem for _, problems in read for problem in problems]
