"""Sections and texts of a page about one run: its curves as tables, its network, how it was made."""

from keras_cnn.analysis.sections import PageSection
from keras_cnn.charts import Plot, TextTable
from keras_cnn.charts.text import count, digits, with_interval
from keras_cnn.report.runs import ReportedRun
from keras_cnn.report.scores import number
from keras_cnn.report.sections.environment import environment, reproduction
from keras_cnn.report.sections.models import networks
from keras_cnn.run_folder.record import Record


def score(scores: dict, key: str) -> str:
    """A score of a mapping with its interval, or a dash; both may be damaged."""
    interval = scores.get(f"{key}_interval")
    ends = [end for value in interval if (end := number(value)) is not None] if isinstance(interval, list) else []
    return with_interval(number(scores.get(key)), (ends[0], ends[1]) if len(ends) == 2 else None)


def history_table(record: Record, plot: Plot) -> TextTable:
    """The values of the lines of a plot, a row for each epoch."""
    values = zip(*(line.y for line in plot.series), strict=True)
    rows = zip((str(row["epoch"]) for row in record.history), values, strict=True)
    head = ("epoch", *(line.label for line in plot.series))
    return TextTable(head, tuple((epoch, *(digits(number(value), 4) for value in row)) for epoch, row in rows))


def network(run: ReportedRun) -> list[PageSection]:
    """The layers of the network; nothing if they are not on record."""
    head = ("layer", "type", "output", "trainable", "other", "multiply_adds")
    return [
        PageSection(
            "network",
            f"Network: {of_run.name}",
            "Network",
            findings=(
                f"{count(of_run.totals['trainable'])} trainable parameters,"
                f" {count(of_run.totals['multiply_adds'])} multiply-adds per image.",
            ),
            folded=(
                ("Layers", TextTable(head, tuple(tuple(layer[name] for name in head) for layer in of_run.layers))),
            ),
        )
        for of_run in networks([run])
    ]


def environment_section(run: ReportedRun) -> PageSection:
    """The machine and the packages, the command and the config."""
    facts = [(fact.name, fact.texts[0]) for fact in environment([run])]
    reproduced = reproduction(run)
    code = [("Command", reproduced.command)] if reproduced.command else []
    code.append(("Complete configuration, config.yaml", reproduced.config))
    grids = (("", TextTable(("fact", "value"), tuple(facts))),)
    return PageSection("environment", "Environment", "Environment", tables=grids, code=tuple(code))
