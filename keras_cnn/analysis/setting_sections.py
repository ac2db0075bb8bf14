"""Sections about the settings: their effects, and the balance of the grid."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.balance import balance, pair_counts
from keras_cnn.analysis.effects import marginal_differences, marginal_means
from keras_cnn.analysis.factors import show, varied
from keras_cnn.analysis.sections import (
    AnalysedRuns,
    ChartFile,
    PageSection,
    ends_text,
    sentences,
    signed,
)
from keras_cnn.analysis.table import ACCURACIES
from keras_cnn.charts import (
    Chart,
    HeatMap,
    IntervalRow,
    IntervalRows,
    TextTable,
)
from keras_cnn.charts.text import count

_MOST_ROWS = 60  # in a table of cells


# --- effects ----------------------------------------------------------------------------------------------------------


def effects_section(view: AnalysedRuns) -> PageSection:
    differences = marginal_differences(view.runs, view.metric)
    means = marginal_means(view.runs, view.metric)
    unit = "points" if view.metric in ACCURACIES else view.word
    chart = Chart(
        "study-effects",
        f"What a setting changes in {view.word}",
        IntervalRows(
            _interval_rows(view, differences, "difference", "naive"),
            f"difference, {unit}",
            zero=True,
            value_name="other settings held",
            other_name="difference of plain means",
        ),
        _difference_table(view, differences, unit),
        "Filled: with the other settings held, 95 % intervals, each by itself. Hollow: difference of plain means.",
    )
    levels = _level_table(view, means)
    ends = "95 % intervals, each by itself" if differences.attrs["freedom"] else "no error to estimate, so no intervals"
    caption = f"{differences.attrs['method']}; {ends}"
    pictures = [ChartFile("marginal_differences", (chart,), f"Effects on {view.word}", caption)]
    if len(means):
        rows = _interval_rows(view, means, "marginal_mean", "mean")
        drawing = IntervalRows(rows, view.axis, value_name="other settings held", other_name="plain mean")
        by_value = Chart("study-marginal-means", f"Mean {view.word} by value", drawing, levels)
        pictures.append(ChartFile("marginal_means", (by_value,), caption=caption))
    return PageSection(
        notes=sentences([differences.attrs["method"], *differences.attrs["notes"]]),
        charts=(chart,),
        folded=(("Marginal means by value", levels),) if levels.rows else (),
        frames={"marginal_means": means, "marginal_differences": differences},
        pictures=tuple(pictures),
    )


def _in_order(view: AnalysedRuns, table: pd.DataFrame) -> list[dict[str, Any]]:
    rank = {name: i for i, name in enumerate(view.order)}
    return sorted(table.to_dict("records"), key=lambda row: rank.get(row["factor"], len(rank)))


def _interval_rows(view: AnalysedRuns, table: pd.DataFrame, value: str, other: str) -> tuple[IntervalRow, ...]:
    return tuple(
        IntervalRow(
            row.get("change") or show(row["level"]),
            *(view.scale * row[name] for name in (value, "low", "high", other)),
            group=view.label(row["factor"]),
            remark=f"cannot be told apart from {confounders}" if (confounders := _confounders(view, row)) else "",
            hover=f"{view.label(row['factor'])}: {row.get('change')}: {signed(view.scale * row[value])} "
            f"{ends_text(view.scale * row['low'], view.scale * row['high'])}; plain {signed(view.scale * row[other])}",
        )
        for row in _in_order(view, table)
    )


def _confounders(view: AnalysedRuns, row: Mapping[str, Any]) -> str:
    return ", ".join(map(view.label, row["confounded_with"].split(", "))) if row["confounded_with"] else ""


def _difference_table(view: AnalysedRuns, differences: pd.DataFrame, unit: str) -> TextTable:
    rows = tuple(
        (
            view.label(row["factor"]),
            row["change"],
            signed(view.scale * row["difference"]),
            ends_text(view.scale * row["low"], view.scale * row["high"]),
            signed(view.scale * row["naive"]),
            _confounders(view, row),
        )
        for row in _in_order(view, differences)
    )
    names = ("95 % interval", "plain difference", "cannot be told apart from")
    return TextTable(("setting", "change", f"difference, {unit}", *names), rows)


def _level_table(view: AnalysedRuns, means: pd.DataFrame) -> TextTable:
    rows = tuple(
        (
            view.label(row["factor"]),
            show(row["level"]),
            count(row["runs"]),
            view.text(row["mean"]),
            view.text(row["marginal_mean"]),
            ends_text(view.scale * row["low"], view.scale * row["high"]),
        )
        for row in means.to_dict("records")
    )
    return TextTable(("setting", "value", "runs", "plain mean", "marginal mean", "95 % interval"), rows)


# --- balance ----------------------------------------------------------------------------------------------------------


def balance_section(view: AnalysedRuns) -> PageSection:
    table = balance(view.runs)
    warning, pairs = table.attrs["warning"], table.attrs["uneven_pairs"]
    even = "" if warning or not len(table) else f"{len(table):,} cells of {table['expected'].iloc[0]} each"
    notes = [f"the grid is balanced: {even}"] if even else []
    notes += table.attrs["notes"]
    if pairs:
        listed = ", ".join(f"{view.label(a)} and {view.label(b)}" for a, b in pairs)
        notes.append(f"not spread alike over each other's values: {listed}")
    return PageSection(
        warnings=sentences([warning]),
        notes=sentences(notes),
        folded=(_cell_table(view, table),) if len(table) else (),
        frames={"balance": table},
        pictures=_pair_picture(view, table, warning or f"the grid is balanced: {even}"),
    )


def _cell_table(view: AnalysedRuns, table: pd.DataFrame) -> tuple[str, TextTable]:
    """The cells that are not even, or all; at most _MOST_ROWS."""
    odd = table[table["state"] != "even"]
    shown = pd.DataFrame(odd if len(odd) else table)
    names = [name for name in table if name not in ("runs", "expected", "state")]
    rows = tuple(
        (*(show(row[n]) for n in names), count(row["runs"]), count(row["expected"]), row["state"])
        for row in shown.head(_MOST_ROWS).to_dict("records")
    )
    which = f"{len(shown):,} cells{' that are not even' if len(odd) else ''}"
    title = which if len(rows) == len(shown) else f"{len(rows)} of {which}"
    return title, TextTable((*map(view.label, names), "runs", "expected", "state"), rows)


def _pair_picture(view: AnalysedRuns, table: pd.DataFrame, caption: str) -> tuple[ChartFile, ...]:
    """The number of runs with each pair of levels. Cells within a setting stay empty: a run has one level of each."""
    grid = [setting for setting in varied(view.runs) if setting.name in table]
    if len(grid) < 2:
        return ()
    counts = pair_counts(grid)
    owners = [name for name, _ in counts.index]
    values = counts.to_numpy().astype(float)
    values[[[a == b for b in owners] for a in owners]] = np.nan
    names = tuple(f"{view.label(name)} {level}" for name, level in counts.index)
    texts = tuple(tuple(f"{value:.0f}" for value in row) for row in values)
    drawing = HeatMap(
        values,
        names,
        names,
        texts=texts,
        limits=(0, max(1.0, float(np.nanmax(values)))),
        square=True,
        breaks=tuple(i for i in range(1, len(owners)) if owners[i] != owners[i - 1]),
        flagged=values == 0,
    )
    chart = Chart("study-balance", "How many runs have each pair of values", drawing)
    return (ChartFile("balance", (chart,), caption=caption),)
