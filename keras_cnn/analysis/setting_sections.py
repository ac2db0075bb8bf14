"""Sections about the settings: their effects, the balance of the grid, and plain means by setting and by epoch."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.balance import balance, pair_counts
from keras_cnn.analysis.effects import marginal_differences, marginal_means
from keras_cnn.analysis.factors import MOST_LEVELS, factor, show, varied
from keras_cnn.analysis.grouped import CONVENTIONS, grouped_means
from keras_cnn.analysis.sections import (
    AnalysedRuns,
    ChartFile,
    PageSection,
    axis_title,
    ends_text,
    printed,
    scale_of,
    sentences,
    signed,
    slug,
)
from keras_cnn.analysis.table import ACCURACIES, LOSSES, words
from keras_cnn.charts import (
    MUTED,
    Chart,
    ChartAxis,
    Dash,
    HeatMap,
    IntervalRow,
    IntervalRows,
    Marker,
    Plot,
    Series,
    TextTable,
)
from keras_cnn.charts.text import count
from keras_cnn.errors import InputError
from keras_cnn.figures.style import BLUE, GREEN, ORANGE

MEANS = 8  # settings with tables of means on the page
DRAWN = 4  # the most important settings, whose means are drawn and whose pairs have tables: six tables
_MOST_ROWS = 60  # in a table of cells
_MARKED = 12  # a line with more points has no markers
_SPLITS: dict[str, tuple[str, Dash, Marker]] = {
    "train": (MUTED, "dashed", "square"),
    "validation": (BLUE, "solid", "circle"),
    "test": (ORANGE, "solid", "diamond"),
}
_CONVENTION_NAMES = {
    "best_epochs": "best epoch of each run",
    "last_epochs": "last epoch of each run",
    "all_epochs": "all epochs",
    "runs": "runs, one row each",
}
_OVERFIT: tuple[tuple[str, str, Dash, bool], ...] = (
    ("overfit_percent", "clipped", "solid", False),
    ("overfit_percent_unclipped", "unclipped", "dashed", True),
)
_MEAN_NAMES = {"overfit_percent": "overfit%, clipped", "overfit_percent_unclipped": "overfit%"}


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


# --- means ------------------------------------------------------------------------------------------------------------


def means_section(view: AnalysedRuns) -> PageSection:
    repeated = [name for name in view.order if factor(view.runs, name).repeated] or _of_few_levels(view)
    if not repeated:
        raise InputError("no setting has values that several runs share")
    notes = [f"none by {view.label(n)}: hardly a value is shared by two runs" for n in view.order if n not in repeated]
    charts, tables, folded, conventions, pictures = [], [], [], [], []
    frames = {}
    for name in repeated:
        means = _by_convention(view, [name])
        frames[f"means/{_file_name([name])}"] = _stacked(means)
        pictures += _level_pictures(view, name, means)
        if name not in repeated[:MEANS]:
            continue
        convention, first = next(iter(means.items()))
        conventions.append(first.attrs["convention"])
        notes += first.attrs["notes"]
        tables.append((f"By {view.label(name)}, {_CONVENTION_NAMES[convention]}", _means_table(view, [name], first)))
        if len(means) > 1:
            folded.append((f"By {view.label(name)}, other epochs", _other_epochs(view, name, means)))
        if name in repeated[:DRAWN]:
            charts += _level_charts(view, name, first)[:1]
    for pair in itertools.combinations(repeated[:DRAWN], 2):
        means = _by_convention(view, pair)
        frames[f"means/{_file_name(pair)}"] = _stacked(means)
        pictures += _pair_pictures(view, pair, means)
        convention, first = next(iter(means.items()))
        title = f"By {' and '.join(map(view.label, pair))}, {_CONVENTION_NAMES[convention]}"
        folded.append((title, _means_table(view, pair, first)))
    if len(repeated) > MEANS:
        notes.append(f"tables of the {MEANS} most important of {len(repeated)} settings")
    if len(repeated) > DRAWN:
        notes.append(f"pairs are of the {DRAWN} most important settings")
    if view.epochs is not None:
        notes += view.epochs.attrs.get("notes", ())
    return PageSection(
        notes=sentences([*conventions, *notes]),
        charts=tuple(charts),
        tables=tuple(tables),
        folded=tuple(folded),
        frames=frames,
        pictures=tuple(pictures),
    )


def _of_few_levels(view: AnalysedRuns) -> list[str]:
    """The settings with few values, if the runs have several epochs to average over."""
    if view.epochs is None or len(view.epochs) < 2 * len(view.runs):
        return []
    return [name for name in view.order if len(factor(view.runs, name).levels) <= MOST_LEVELS]


def _by_convention(view: AnalysedRuns, by: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Convention -> grouped means, the one shown on the page first; "runs" is of the table of runs.

    If few values are shared by two runs, the means over all epochs come first: those over the best have one row.
    """
    epochs = view.epochs
    if epochs is None:
        return {"runs": grouped_means(view.runs, by)}
    few = not all(factor(view.runs, name).repeated for name in by)
    means = {f"{e}_epochs": grouped_means(epochs, by, e) for e in (CONVENTIONS if few else reversed(CONVENTIONS))}
    return means | {"runs": grouped_means(view.runs, by)}


def _stacked(means: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables below each other, that of the runs first, with the convention in every row."""
    spelt = [table.assign(convention=table.attrs["convention"]) for table in reversed(list(means.values()))]
    return pd.concat(spelt, ignore_index=True)


def _file_name(names: Sequence[str]) -> str:
    return "+".join(name.replace("/", "_") for name in names)


def _means_table(view: AnalysedRuns, by: Sequence[str], table: pd.DataFrame) -> TextTable:
    names = [name for name in table if name not in by]
    head = (*map(view.label, by), *(_MEAN_NAMES.get(name, words(name)) for name in names))
    rows = tuple(
        (*(show(row[name]) for name in by), *(printed(name, row[name]) for name in names))
        for row in table.to_dict("records")
    )
    return TextTable(head, rows)


def _other_epochs(view: AnalysedRuns, name: str, means: Mapping[str, pd.DataFrame]) -> TextTable:
    """Means under the other conventions, which the first column names."""
    named = [table.assign(**{"mean over": _CONVENTION_NAMES[key]}) for key, table in list(means.items())[1:]]
    stacked = pd.concat(named, ignore_index=True)
    columns = ["mean over", *(column for column in stacked if column != "mean over")]
    return _means_table(view, ["mean over", name], pd.DataFrame(stacked[columns]))


def _level_charts(view: AnalysedRuns, name: str, table: pd.DataFrame) -> list[Chart]:
    """Mean accuracies by the values of a setting, and overfit% of both kinds."""
    axis = ChartAxis(view.label(name), "category", levels=tuple(map(show, table[name])))
    numbers, note = _means_table(view, [name], table), table.attrs["taken"]
    title = f"By {view.label(name)}"
    drawn = [("", "mean accuracy, %", _split_series(axis.levels, table, ACCURACIES))]
    drawn.append(("overfit-", "mean overfit%", _overfit_series(axis.levels, table)))
    return [
        Chart(f"study-means-{kind}{slug(name)}", title, Plot(axis, ChartAxis(y), series, unified=True), numbers, note)
        for kind, y, series in drawn
        if series
    ]


def _split_series(x: Sequence[Any], table: pd.DataFrame, columns: Sequence[str]) -> tuple[Series, ...]:
    """One line per split whose column exists, with markers if the points are few."""
    marked = len(x) <= _MARKED
    return tuple(
        Series(x, (scale_of(column) * table[column]).tolist(), split, colour, dash, marker=marker if marked else "")
        for (split, (colour, dash, marker)), column in zip(_SPLITS.items(), columns, strict=True)
        if column in table
    )


def _overfit_series(x: Sequence[Any], table: pd.DataFrame) -> tuple[Series, ...]:
    marker = "circle" if len(x) <= _MARKED else ""
    return tuple(
        Series(x, table[column].tolist(), label, GREEN, dash, marker=marker, hollow=hollow)
        for column, label, dash, hollow in _OVERFIT
        if column in table
    )


def _level_pictures(view: AnalysedRuns, name: str, means: Mapping[str, pd.DataFrame]) -> list[ChartFile]:
    file, title = f"means/{_file_name([name])}", f"Means by {view.label(name)}"
    drawn = {key: tuple(_level_charts(view, name, table)) for key, table in means.items()}
    return [
        ChartFile(f"{file}_{key}", charts, title, means[key].attrs["convention"])
        for key, charts in drawn.items()
        if charts
    ]


def _pair_pictures(view: AnalysedRuns, pair: Sequence[str], means: Mapping[str, pd.DataFrame]) -> list[ChartFile]:
    """A mean for each pair of values of two settings, printed in its cell."""
    pictures = []
    for key, table in means.items():
        column = next((n for n in (view.metric, *reversed(ACCURACIES), "loss") if n in table), None)
        if column is None:
            raise InputError(f"no metric to draw by {' and '.join(pair)}")
        settings = [factor(table, name) for name in pair]
        cells = np.full([len(setting.levels) for setting in settings], np.nan)
        cells[tuple(setting.codes for setting in settings)] = scale_of(column) * table[column]
        names = [tuple(setting.texts()) for setting in settings]
        texts = tuple(tuple(f"{value:.4g}" for value in row) for row in cells)
        labels = [view.label(name) for name in pair]
        title = f"Mean {axis_title(column)}, by {' and '.join(labels)}"
        chart = Chart(
            f"study-means-{slug('+'.join(pair))}",
            title,
            HeatMap(cells, names[0], names[1], labels[0], labels[1], texts),
        )
        pictures.append(ChartFile(f"means/{_file_name(pair)}_{key}", (chart,), caption=table.attrs["taken"]))
    return pictures


def epochs_section(view: AnalysedRuns) -> PageSection | None:
    if view.epochs is None:
        return None
    table = grouped_means(view.epochs, ["epoch"])
    epochs, numbers = [int(epoch) for epoch in table["epoch"]], _means_table(view, ["epoch"], table)
    axis = ChartAxis("epoch", "whole")
    drawn = [
        ("loss", "mean loss", _split_series(epochs, table, LOSSES)),
        ("accuracy", "mean accuracy, %", _split_series(epochs, table, ACCURACIES)),
        ("overfit%", "mean overfit%", _overfit_series(epochs, table)),
    ]
    charts = [
        Chart(
            f"study-epochs-{slug(word)}",
            f"Mean {word} by epoch",
            Plot(axis, ChartAxis(y), series, unified=True),
            numbers,
        )
        for word, y, series in drawn
        if series
    ]
    fewest, most = min(table["runs"]), max(table["runs"])
    note = f"{table.attrs['convention']}; {fewest if fewest == most else f'{fewest} to {most}'} runs an epoch"
    title = f"Means of {view.epochs['run'].nunique()} runs by epoch"
    return PageSection(
        charts=tuple(chart for chart in charts if "overfit" not in chart.name),
        notes=sentences([note]),
        frames={"means_by_epoch": table},
        pictures=(ChartFile("means_by_epoch", tuple(charts), title, note),),
    )
