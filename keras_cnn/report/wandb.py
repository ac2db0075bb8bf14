"""The contents of the page as a W&B Report. It is built without a network or a key; saving it needs both.

The report contains the numbers, tables and sentences. Curves, run comparison and pictures are W&B panels over the W&B
runs of the run folders, found by the ids in their `wandb/` folders; offline runs appear in them once they are synced.
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_cnn.charts import Chart
from keras_cnn.charts.text import digits, interval, percent
from keras_cnn.errors import InputError
from keras_cnn.report.runs import ReportedRun, find_runs
from keras_cnn.report.sections.audits import VERDICTS
from keras_cnn.report.sections.content import Content, collect
from keras_cnn.report.sections.runs import Cell

Report = Any  # of wandb_workspaces.reports.v2, whose import takes half a second

SECONDS = 5  # limit for reaching W&B; its own limit is 19 s per request, with retries
_TITLE = 128  # limit of W&B in characters
_PICTURES = ("curves", "confusion_validation", "mistakes", "augmentation")


def build(paths: list[Path]) -> Report:
    """The report about the runs at `paths` as objects; nothing is sent.

    Raises InputError, in one line, for a path that is not a run.
    """
    runs, problems = find_runs(paths)
    content = collect(runs)
    wr = _reports()
    entity, project = next(iter(_homes(runs)), ("", "keras_cnn"))
    title = f"{len(runs)} runs: " if len(runs) > 1 else ""
    return wr.Report(
        project=project,
        entity=entity,
        title=(title + ", ".join(run.label for run in runs))[:_TITLE],
        description=content.lead,
        blocks=list(_blocks(wr, content, [*problems, *(p for run in runs for p in run.problems), *content.problems])),
        width="fluid",
    )


def save(report: Report) -> str:
    """Saves the report to W&B and returns its address; without an entity it goes to the entity of the account.

    Never prompts and never waits long. Raises InputError, in one line, without a key and for all errors of W&B.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    try:
        if not wandb.login(prompt=False, timeout=SECONDS):
            raise InputError("W&B: no key, so the report is not saved; expected WANDB_API_KEY or `wandb login`")
        entity = report.entity or wandb.Api(timeout=SECONDS).default_entity
        report.entity = entity
        for grid in [block for block in report.blocks if isinstance(block, _reports().PanelGrid)]:
            for runset in grid.runsets:
                runset.entity = runset.entity or entity
        report.save()
    except InputError:
        raise
    except Exception as error:  # wandb's, pydantic's or a plain Exception
        raise InputError(
            f"W&B: the report is not saved: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error
    return report.url


def _reports() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package uses pydantic's old validators
        import wandb_workspaces.reports.v2 as wr
    return wr


# --- W&B's runs -------------------------------------------------------------------------------------------------------


def mirrors(run: ReportedRun) -> list[str]:
    """The ids of the W&B runs of a run folder: several if it was resumed elsewhere or was offline for a time."""
    names = [path.name for path in (run.record.path / "wandb").glob("*run-*") if path.is_dir()]
    matches = [re.fullmatch(r"(?:offline-)?run-\d{8}_\d{6}-(.+)", name) for name in sorted(names)]
    return list(dict.fromkeys(match[1] for match in matches if match))


def _homes(runs: Sequence[ReportedRun]) -> dict[tuple[str, str], list[ReportedRun]]:
    """The runs that have a W&B run, by entity ("" for the default of the account) and project."""
    homes: dict[tuple[str, str], list[ReportedRun]] = {}
    for run in runs:
        if mirrors(run):
            config = run.record.config
            key = (config.get("tracking.entity") or "", config.get("tracking.project") or "keras_cnn")
            homes.setdefault(key, []).append(run)
    return homes


def _runsets(wr: ModuleType, runs: Sequence[ReportedRun]) -> list:
    from wandb_workspaces import expr

    return [
        wr.Runset(
            entity=entity,
            project=project,
            name=", ".join(run.label for run in members),
            filters=expr.And(expr.Metric("ID").isin([identity for run in members for identity in mirrors(run)])),
        )
        for (entity, project), members in _homes(runs).items()
    ]


# --- blocks -----------------------------------------------------------------------------------------------------------


def _blocks(wr: ModuleType, content: Content, problems: list[str]) -> Iterator:
    yield wr.TableOfContents()
    yield wr.H2("Runs")
    yield _table(wr, [heading for heading, _ in content.columns], [[_cell(c) for c in row] for row in content.rows])
    yield from _findings(wr, content)
    yield from _comparisons(wr, content)
    yield from _published(wr, content)
    yield from _panels(wr, content)
    if content.differences.rows:
        yield wr.H2("Configuration differences")
        yield _table(wr, content.differences.head, content.differences.rows)
    if content.groups:
        yield wr.H2("Repeats")
        yield _table(wr, ("recipe", "n", "mean", "std", "95 % interval", "values by seed"), _groups(content))
    confusions = [*content.confusions, *content.more_confusions]
    charts = {"Cost": content.costs, "Classes": content.classes, "Confusions": confusions}
    for title, drawn in (charts | {"Calibration": content.calibration}).items():
        if drawn:
            yield wr.H2(title)
            yield from _charts(wr, drawn)
    yield from _audits(wr, content)
    yield from _models(wr, content)
    if content.environment:
        yield wr.H2("Environment")
        head = ("", *(run.label for run in content.runs))
        yield _table(wr, head, [(fact.name, *fact.texts) for fact in content.environment])
    yield from _reproduce(wr, content)
    if problems:
        yield wr.H2("Problems found")
        yield _list(wr, problems)


def _cell(cell: Cell) -> str:
    return f"{cell.text} {interval(cell.interval)}".strip()


def _findings(wr: ModuleType, content: Content) -> Iterator:
    if content.findings:
        yield wr.H2("Findings")
        yield _list(wr, [f"**{item.sentence}** ({item.method}; {', '.join(item.rows)})" for item in content.findings])


def _comparisons(wr: ModuleType, content: Content) -> Iterator:
    if content.comparisons:
        yield wr.H2("Comparisons on the same images")
    for item in content.comparisons:
        yield wr.H3(f"{item.stored.run.label} against {item.stored.other}, {item.stored.images} images")
        yield wr.P(item.sentence)
        yield _table(wr, item.table.head, item.table.rows)
        yield wr.P(item.note)
        yield from _charts(wr, item.charts)


def _published(wr: ModuleType, content: Content) -> Iterator:
    if content.published:
        yield wr.H2("Comparison with published results")
    for run, rows in content.published:
        yield wr.H3(run.label)
        head = ("figure", "published", "measured", "95 % interval", "verdict", "why", "source")
        yield _table(
            wr,
            head,
            [
                (
                    row.figure,
                    digits(row.published, row.decimals),
                    digits(row.measured, row.decimals),
                    f"[{', '.join(digits(end, row.decimals) for end in row.interval)}]" if row.interval else "",
                    f"**{row.verdict}**",
                    row.reason,
                    row.source,
                )
                for row in rows
            ],
        )


def _panels(wr: ModuleType, content: Content) -> Iterator:
    """Curves, comparison and pictures of the runs with a W&B run; the curves of the others as tables."""
    yield wr.H2("Curves")
    missing = [run.label for run in content.runs if not mirrors(run)]
    if len(missing) < len(content.runs):
        plots = [
            wr.LinePlot(title="Loss by epoch", x="epoch", y=["loss", "val_loss"], log_y=False),
            wr.LinePlot(title="Accuracy by epoch", x="epoch", y=["accuracy", "val_accuracy"]),
            wr.LinePlot(title="Learning rate by epoch", x="epoch", y=["learning_rate"]),
            wr.BarPlot(title="Test accuracy", metrics=["test/accuracy"]),
            wr.RunComparer(diff_only="split"),
            wr.MediaBrowser(media_keys=[f"figures/{name}" for name in _PICTURES]),
        ]
        yield wr.PanelGrid(runsets=_runsets(wr, content.runs), panels=plots)
        yield wr.P("Offline runs appear in the panels after `wandb sync RUN/wandb/offline-run-*`.")
    if missing:
        yield wr.P(f"Not in the panels, because they have no W&B run: {', '.join(missing)}.")
        yield from _charts(wr, content.curves)


def _charts(wr: ModuleType, charts: Sequence[Chart]) -> Iterator:
    for chart in charts:
        yield wr.H3(chart.title)
        if chart.table is not None:
            yield _table(wr, chart.table.head, chart.table.rows)
        if chart.note:
            yield wr.P(chart.note)


def _groups(content: Content) -> list[tuple[str, ...]]:
    return [
        (
            group.label,
            str(group.n),
            percent(group.mean),
            percent(group.std),
            interval(group.interval),
            ", ".join(f"{seed}: {percent(v)}" for seed, v in zip(group.seeds, group.values, strict=True)),
        )
        for group in content.groups
    ]


def _audits(wr: ModuleType, content: Content) -> Iterator:
    yield wr.H2("Protocol audit")
    for audit in content.audits:
        yield wr.H3(audit.run.label)
        findings = (*audit.flaws, *audit.unknown, *audit.passed)
        yield _table(
            wr,
            ("verdict", "finding", "evidence"),
            [(VERDICTS[f.severity], f.sentence, "; ".join(f.evidence)) for f in findings],
        )


def _models(wr: ModuleType, content: Content) -> Iterator:
    if content.models:
        yield wr.H2("Networks")
    for model in content.models:
        yield wr.H3(f"{model.name}: {', '.join(run.label for run in model.runs)}")
        head = tuple(model.layers[0])
        yield _table(wr, head, [tuple(layer[name] for name in head) for layer in model.layers])


def _reproduce(wr: ModuleType, content: Content) -> Iterator:
    yield wr.H2("How to reproduce")
    for reproduction in content.reproduce:
        yield wr.H3(reproduction.run.label)
        commit = f"# commit {reproduction.commit}\n" if reproduction.commit else ""
        yield wr.CodeBlock(f"{commit}{reproduction.command or '# command not recorded'}", language="python")
        yield wr.CodeBlock(reproduction.config, language="yaml")


def _table(wr: ModuleType, head: Sequence[str], rows: Sequence[Sequence[str]]):
    lines = [head, ["---"] * len(head), *rows]
    return wr.MarkdownBlock("\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines))


def _list(wr: ModuleType, lines: Sequence[str]):
    return wr.MarkdownBlock("\n".join(f"- {_text(line)}" for line in lines))


def _text(cell: str) -> str:
    """The text as a line of Markdown in which |, < and line breaks have no special meaning."""
    return " ".join(str(cell).split()).replace("|", "\\|").replace("<", "&lt;")
