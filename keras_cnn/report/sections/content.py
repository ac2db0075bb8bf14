"""The contents of the page by section, as rows, sentences and charts; the templates only lay them out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from keras_cnn.analysis.claims import Conclusion
from keras_cnn.analysis.run_tables import RETRAINED, RunTable, Swept
from keras_cnn.charts import Chart, HeatMap, TextTable
from keras_cnn.errors import InputError
from keras_cnn.evaluation import repeats
from keras_cnn.report import published
from keras_cnn.report.comparisons import read_comparisons
from keras_cnn.report.findings import findings
from keras_cnn.report.runs import FEW, ReportedRun
from keras_cnn.report.sections.audits import Audit, audits, checks
from keras_cnn.report.sections.classes import calibration, classes, confusions, ranking
from keras_cnn.report.sections.comparisons import ComparisonSection, comparison_section
from keras_cnn.report.sections.configuration import differences, layer_tables
from keras_cnn.report.sections.corruptions import corruptions
from keras_cnn.report.sections.curves import costs, curves
from keras_cnn.report.sections.ensembles import ensembles
from keras_cnn.report.sections.environment import Fact, Reproduction, environment, reproduction
from keras_cnn.report.sections.evaluations import evaluations
from keras_cnn.report.sections.exports import exports
from keras_cnn.report.sections.models import NetworkTable, networks
from keras_cnn.report.sections.outliers import outliers
from keras_cnn.report.sections.prediction_sets import prediction_sets
from keras_cnn.report.sections.runs import Cell, Columns, lead, table_of_runs

SHOWN = 6  # number of the best runs that are shown individually where there are many
MATRICES = 2  # number of the best runs whose confusion matrices are shown where there are many


@dataclass(frozen=True)
class PublishedResults:
    """A run's results compared with published ones."""

    run: ReportedRun
    caveats: tuple[str, ...]  # common to all rows with caveats
    rows: tuple[published.PublishedComparison, ...]  # each with its other caveats


@dataclass
class Content:
    """The contents of a page, without its pictures."""

    title: str
    runs: list[ReportedRun]
    shown: list[ReportedRun]  # runs that are shown individually: all if few, the best of many
    lead: str
    columns: Columns
    rows: tuple[tuple[Cell, ...], ...]
    findings: list[Conclusion]
    published: list[tuple[ReportedRun, list[published.PublishedComparison]]]
    unpublished: str  # the runs of a sweep that are left out of `published`, with the reasons; "" for none
    groups: list[repeats.SeedGroup]
    evaluations: TextTable
    ensembles: TextTable
    differences: TextTable
    layer_tables: list[tuple[str, TextTable]]  # the different model.table, with their runs
    curves: list[Chart]
    costs: list[Chart]
    classes: list[Chart]
    confusions: list[Chart]  # of the runs' results
    more_confusions: list[Chart]  # of further evaluations
    ranking: TextTable
    calibration: list[Chart]
    prediction_sets: TextTable
    outliers: TextTable
    outlier_charts: list[Chart]
    corruptions: list[Chart]
    exports: TextTable
    comparisons: list[ComparisonSection]
    models: list[NetworkTable]
    audits: list[Audit]
    environment: list[Fact]
    reproduce: list[Reproduction]
    checks: TextTable | None = None  # number of runs with each verdict, where there are many
    problems: list[str] = field(default_factory=list)

    @property
    def has_matrices(self) -> bool:
        """Whether confusions are shown as matrices and not, of many classes, as their most frequent mistakes."""
        return any(isinstance(chart.drawing, HeatMap) for chart in (*self.confusions, *self.more_confusions))

    @property
    def publications(self) -> list[PublishedResults]:
        return [_publication(run, rows) for run, rows in self.published]


def collect(runs: list[ReportedRun], table: RunTable | None = None) -> Content:
    """The contents of the page about `runs`; `table` is the table of a sweep or a CSV file.

    Of more than FEW runs, SHOWN are shown individually: a sweep's `best` and the best by validation accuracy.
    All runs are in the table of runs, the curves, the repeats and the findings.
    """
    swept = table.swept if table else None
    runs, shown = _ranked(runs, swept)
    groups = repeats.sum_up([run.record for run in _trials(runs, swept)])
    compared, left_out, problems = _published(runs if swept else shown, swept is not None)
    columns, rows = table_of_runs(runs, swept)
    every = audits(runs, groups, swept)
    comparisons, damaged = _comparisons(shown)
    unknown, unknown_charts, unreadable = outliers(shown)
    corrupted, unread = corruptions(shown)
    exported, unlisted = exports(shown)
    averages, spoilt = ensembles(shown)
    matrices = confusions(shown if len(shown) == len(runs) else shown[:MATRICES])
    return Content(
        title=table.name if table else runs[0].label if len(runs) == 1 else f"{len(runs)} runs",
        runs=runs,
        shown=shown,
        lead=lead(runs, table),
        columns=columns,
        rows=rows,
        findings=_findings(runs, shown, swept),
        published=compared,
        unpublished=left_out,
        groups=[group for group in groups if group.n > 1],
        evaluations=evaluations(shown),
        ensembles=averages,
        differences=differences(runs, swept),
        layer_tables=layer_tables(shown),
        curves=curves([run for run in runs if run.record.history], shown),
        costs=[] if table else costs(runs),
        classes=classes(shown),
        confusions=[chart for chart, further in matrices if not further],
        more_confusions=[chart for chart, further in matrices if further],
        ranking=ranking(shown),
        calibration=calibration(shown),
        prediction_sets=prediction_sets(shown),
        outliers=unknown,
        outlier_charts=unknown_charts,
        corruptions=corrupted,
        exports=exported,
        comparisons=comparisons,
        models=networks(shown),
        audits=[audit for audit in every if audit.run in shown],
        environment=environment(runs),
        reproduce=[reproduction(run) for run in shown],
        checks=checks(every) if len(shown) < len(runs) else None,
        problems=[*problems, *damaged, *unreadable, *unread, *unlisted, *spoilt],
    )


def _ranked(runs: list[ReportedRun], swept: Swept | None) -> tuple[list[ReportedRun], list[ReportedRun]]:
    """All runs, and the runs that are shown; if there are many, the shown runs get the first numbers."""
    if len(runs) <= FEW:
        return runs, runs
    best = sorted(runs, key=lambda run: (not swept or run.label != RETRAINED, -(run.validation.accuracy or 0)))
    numbers = {run.label: i for i, run in enumerate(best)}
    runs = [replace(run, number=numbers[run.label]) for run in runs]
    return runs, sorted((run for run in runs if run.number < SHOWN), key=lambda run: run.number)


def _trials(runs: Sequence[ReportedRun], swept: Swept | None) -> list[ReportedRun]:
    """The runs without the retrained best trial of a sweep, which repeats a trial."""
    return [run for run in runs if not swept or run.label != RETRAINED]


def _findings(runs: Sequence[ReportedRun], shown: Sequence[ReportedRun], swept: Swept | None) -> list[Conclusion]:
    """The findings about the runs; findings about a single run are only kept if that run is shown."""
    trials = _trials(runs, swept)
    others = [run.record for run in runs if run not in trials]
    conclusions = [*findings([run.record for run in trials]), *(findings(others) if others else [])]
    names = {run.record.name for run in shown}
    if swept and swept.sweep.folds:  # one recipe: its folds are not compared with each other
        conclusions = [conclusion for conclusion in conclusions if len(conclusion.rows) == 1]
    return [conclusion for conclusion in conclusions if len(conclusion.rows) > 1 or set(conclusion.rows) <= names]


def _publication(run: ReportedRun, rows: Sequence[published.PublishedComparison]) -> PublishedResults:
    """The results of a run; caveats that all rows with caveats share are listed once."""
    weak = [row.caveats for row in rows if row.caveats]
    common = tuple(caveat for caveat in weak[0] if all(caveat in row for row in weak)) if len(weak) > 1 else ()
    own = (replace(row, caveats=tuple(caveat for caveat in row.caveats if caveat not in common)) for row in rows)
    return PublishedResults(run, common, tuple(own))


def _published(
    runs: Sequence[ReportedRun], is_sweep: bool
) -> tuple[list[tuple[ReportedRun, list[published.PublishedComparison]]], str, list[str]]:
    """The comparisons of runs with published results, a sentence on omitted runs, and the invalid references.

    For a sweep, these are the SHOWN best runs with comparable results, or the run that comes closest.
    """
    rows, problems = [], []
    for run in runs:
        try:
            compared = published.compare_with_published(run.record, published.figures_of(run.record))
        except InputError as error:
            problems.append(str(error))
            continue
        if compared:
            rows.append((run, compared))
    problems = list(dict.fromkeys(problems))
    if not is_sweep or not rows:
        return rows, "", problems
    rows.sort(key=lambda row: row[0].number)
    kept = [row for row in rows if any(not comparison.obstacles for comparison in row[1])][:SHOWN]
    kept = kept or [min(rows, key=lambda row: sum(len(comparison.obstacles) for comparison in row[1]))]
    left = [row for row in rows if row not in kept]
    return kept, _left_out(kept, left), problems


def _left_out(
    kept: Sequence[tuple[ReportedRun, list[published.PublishedComparison]]],
    left: Sequence[tuple[ReportedRun, list[published.PublishedComparison]]],
) -> str:
    """A sentence with the number of omitted runs and the obstacles that the kept runs do not have."""
    if not left:
        return ""
    common = {text for _, rows in kept for row in rows for text in row.obstacles}
    counts = Counter(text for _, rows in left for text in {t for row in rows for t in row.obstacles} - common)
    reasons = [f"{text} ({n} {'run' if n == 1 else 'runs'})" for text, n in sorted(counts.items())]
    others = "1 other run is" if len(left) == 1 else f"{len(left)} other runs are"
    why = "; ".join(reasons) or "they have no further comparable results and are not among the best"
    return f"{others} left out: {why}."


def _comparisons(runs: Sequence[ReportedRun]) -> tuple[list[ComparisonSection], list[str]]:
    read = [read_comparisons(run) for run in runs]
    stored = [comparison for comparisons, _ in read for comparison in comparisons]
    sections = [comparison_section(comparison, i) for i, comparison in enumerate(stored)]
    return sections, [problem for _, problems in read for problem in problems]
