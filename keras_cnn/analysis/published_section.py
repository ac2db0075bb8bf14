"""The section with grouped means beside published ones."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from keras_cnn.analysis.factors import short_names, show
from keras_cnn.analysis.published_means import (
    HELD_OUT,
    MeansComparison,
    MeansTable,
    accurate_sentence,
    measured_name,
    order_sentence,
)
from keras_cnn.analysis.sections import AnalysedRuns, ChartFile, PageSection, sentences
from keras_cnn.analysis.table import ACCURACIES, groups, words
from keras_cnn.charts import Chart, IntervalRow, IntervalRows, TextTable
from keras_cnn.charts.text import count, digits

_CONVENTION = (
    "every mean is over all epochs of all runs of its group; accuracies in percent, their differences in points,"
    " measured minus published"
)
_OVERFIT = "overfit% = 100 (train - held-out accuracy), where an epoch below 0 counts as 0"
_ORDER = (
    "pairs: of two groups, those in the same order on both sides; p: of Kendall's tau, two-sided, exact without ties,"
    " at best 0.083 for 4 groups and 0.0028 for 6; the tables are of the same runs, so their p are not independent"
)


def published_section(view: AnalysedRuns) -> PageSection | None:
    means = view.table.published_means
    if means is None:
        return None
    short = short_names(list(dict.fromkeys(name for table in means.tables for name in table.by)))
    tables = [(f"By {_by(table, short)}", _means_table(table, short, means.held_out)) for table in means.tables]
    rows = [_interval_rows(table) for table in means.tables]
    drawing = IntervalRows((), f"{words(means.held_out)}, %", value_name="measured", other_name="published")
    note = f"Filled: measured {words(means.held_out)}. Hollow: published test accuracy, the highest on top."
    charts = [
        Chart(f"study-beside-{i}", caption, replace(drawing, rows=mine), table, note)
        for i, ((caption, table), mine) in enumerate(zip(tables, rows, strict=True))
        if mine
    ]
    every = tuple(replace(row, group=caption) for (caption, _), mine in zip(tables, rows, strict=True) for row in mine)
    axis = f"mean {words(means.held_out)} beside the published test accuracy, %"
    together = Chart(
        "study-beside", f"Grouped means beside those of {means.name}", replace(drawing, rows=every, axis=axis)
    )
    caption = "; ".join(["means over all epochs of all runs", *means.hindrances])
    orders = _orders(means, short)
    findings = [order_sentence(table, short, means.held_out) for table in means.tables]
    findings += [accurate_sentence(each, means.held_out) for each in means.accurate_epochs]
    if means.hindrances:
        findings.append(f"What differs: {'; '.join(means.hindrances)}")
    return PageSection(
        findings=sentences(findings),
        notes=sentences(_notes(means)),
        charts=tuple(charts),
        tables=tuple(tables),
        folded=(("Order of the groups, mean by mean", orders),) if orders.rows else (),
        frames={"published_means": means.frame()},
        pictures=(ChartFile("published_means", (together,), caption=caption),) if every else (),
    )


def _notes(means: MeansComparison) -> list[str]:
    """How the numbers on both sides were computed."""
    overfit = [_OVERFIT] if any("overfit_percent" in table.means for table in means.tables) else []
    explained = [_ORDER] if any(table.orders for table in means.tables) else []
    sources = [*(table.source for table in means.tables), *(each.printed.source for each in means.accurate_epochs)]
    source = f"source: {'; '.join(sources)}"
    return [_CONVENTION, *overfit, *explained, *(f"of the publication: {text}" for text in means.caveats), source]


def _orders(means: MeansComparison, short: Mapping[str, str]) -> TextTable:
    """How well the groups of each table keep the published order, one row per mean."""
    rows = (
        (
            _by(table, short),
            _name(measured_name(mean, means.held_out)),
            count(order.groups),
            f"{order.same} of {order.pairs}",
            digits(order.spearman, 2),
            digits(order.kendall, 2),
            f"{order.p:.2g}",
        )
        for table in means.tables
        for mean, order in table.orders.items()
    )
    head = ("groups by", "mean", "groups", "pairs in the published order", "Spearman's rho", "Kendall's tau", "p")
    return TextTable(head, tuple(rows))


def _by(table: MeansTable, short: Mapping[str, str]) -> str:
    return " and ".join(short[name] for name in table.by)


def _interval_rows(table: MeansTable) -> tuple[IntervalRow, ...]:
    """The measured and published accuracies of groups that have both, in percent, highest published first."""
    kept = pd.DataFrame(table.rows[(table.rows["mean"] == HELD_OUT) & table.rows["measured"].notna()])
    rows = []
    for row in kept.sort_values(by="published", ascending=False, kind="stable").to_dict("records"):
        label = " × ".join(show(row[name]) for name in table.by)
        measured, published = 100 * row["measured"], 100 * row["published"]
        hover = f"{label}: measured {measured:.2f} %, published {published:.2f} %"
        rows.append(IntervalRow(label, measured, other=published, hover=hover))
    return tuple(rows)


def _means_table(table: MeansTable, short: Mapping[str, str], held_out: str) -> TextTable:
    """The published mean of each group, the measured one and their difference."""
    head = [*(short[name] for name in table.by), "cells"]
    for mean in table.means:
        measured = measured_name(mean, held_out)
        names = (_name(mean), _name(measured)) if measured != mean else (_name(mean),) * 2
        head += [f"{names[0]}, published", f"{names[1]}, measured", "difference"]
    rows = []
    for levels, group in groups(table.rows, table.by):
        first = group.iloc[0]
        cells = [*map(show, levels), f"{first['cells']} of {first['published_cells']}"]
        for row in group.to_dict("records"):
            cells += [_number(row["mean"], row["published"]), _number(row["mean"], row["measured"])]
            cells.append(_number(row["mean"], row["difference"], sign="+"))
        rows.append(tuple(cells))
    return TextTable(tuple(head), tuple(rows))


def _name(mean: str) -> str:
    return "overfit%" if mean == "overfit_percent" else words(mean)


def _number(mean: str, value: float, sign: str = "") -> str:
    """A mean or a difference in percent, as a count, or unscaled; a dash if it is unknown."""
    if not math.isfinite(value):
        return "–"
    scale, places = (100, 2) if mean in ACCURACIES else (1, {"parameters": 0, "overfit_percent": 2}.get(mean, 4))
    return f"{scale * value:{sign},.{places}f}".replace("-", "−")
