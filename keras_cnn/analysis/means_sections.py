"""Sections of plain means: by setting, by two settings, and by epoch."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.factors import MOST_LEVELS, factor, show
from keras_cnn.analysis.grouped import CONVENTIONS, grouped_means
from keras_cnn.analysis.sections import (
    AnalysedRuns,
    ChartFile,
    PageSection,
    axis_title,
    printed,
    scale_of,
    sentences,
    slug,
)
from keras_cnn.analysis.table import ACCURACIES, LOSSES, words
from keras_cnn.charts import (
    MUTED,
    Chart,
    ChartAxis,
    Dash,
    HeatMap,
    Marker,
    Plot,
    Series,
    TextTable,
)
from keras_cnn.errors import InputError
from keras_cnn.figures.style import BLUE, GREEN, ORANGE

MEANS = 8  # settings with tables of means on the page
DRAWN = 4  # the most important settings, whose means are drawn and whose pairs have tables: six tables
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
