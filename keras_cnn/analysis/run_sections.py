"""Sections about the runs: the best one, progress, coordinates, importance, cost, and the metric over the settings."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from keras_cnn.analysis.factors import MOST_LEVELS, Factor, factor, show
from keras_cnn.analysis.grouped import best_row
from keras_cnn.analysis.landscape import pareto, progress, slices, surface
from keras_cnn.analysis.run_tables import RETRAINED, factor_names
from keras_cnn.analysis.sections import (
    AnalysedRuns,
    ChartFile,
    PageSection,
    ends_text,
    is_known,
    level_text,
    printed,
    sentences,
    slug,
)
from keras_cnn.analysis.table import LOSSES, factors_of, has_numbers, is_better_higher, words
from keras_cnn.charts import (
    FAINT,
    FEW,
    BarColumn,
    BarRows,
    Chart,
    ChartAxis,
    Contours,
    HeatMap,
    ParallelAxis,
    ParallelCoordinates,
    Plot,
    Series,
    TextTable,
    as_number,
    is_logarithmic,
)
from keras_cnn.charts.text import digits
from keras_cnn.errors import InputError
from keras_cnn.figures.style import ORANGE

AXES = 8  # axes of settings in the parallel coordinates: the most important settings
_MOST_PRINTED = 40  # a surface with more cells does not print its predictions
_NUMBERS = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    *LOSSES,
    "overfit_percent",
    "overfit_percent_unclipped",
    "best_epoch",
    "parameters",
    "seconds",
)
_COSTS = {"seconds": "training time, minutes", "parameters": "trainable parameters"}


def best_section(view: AnalysedRuns) -> PageSection:
    best = best_row(view.runs)
    row = best.iloc[0]
    names = [n for n in factors_of(view.runs) if n in view.order]
    again, swept = view.table.retrained, view.table.swept
    numbers = [n for n in _NUMBERS if (n in best and is_known(row[n])) or is_known(again.get(n))]
    head = ("run", *map(view.label, names), *map(words, numbers))
    rows = [(str(row["run"]), *(show(row[n]) for n in names), *(printed(n, row.get(n)) for n in numbers))]
    convention = best.attrs["convention"]
    notes = [convention if "overfit_percent" in numbers else convention.partition(";")[0]]
    if swept and swept.best and swept.sweep.repeats > 1:
        notes.append(
            f"the sweep goes by the mean over seeds: trial {swept.best.label}, {printed(view.metric, swept.best.value)}"
        )
    if swept and swept.best and again:
        parameters = {column: parameter for parameter, column in factor_names(swept.sweep).items()}
        settings = [show(swept.best.assignment[parameters[n]]) for n in names]
        rows.append((RETRAINED, *settings, *(printed(n, again.get(n)) for n in numbers)))
        notes.append(
            f"{RETRAINED} is trial {swept.best.label} trained again and tested once; it was chosen on the validation"
            " images, so its test accuracy is not too good for having been chosen"
        )
    elif swept:
        notes.append("the test images have not been read")
    return PageSection(
        notes=sentences(notes),
        tables=(("", TextTable(head, tuple(rows))),),
        frames={"best_run": best},
    )


def progress_section(view: AnalysedRuns) -> PageSection:
    table = progress(view.runs, view.metric)
    times = [time.strftime("%Y-%m-%d %H:%M:%S") for time in table["created"].dt.tz_convert(None)]
    runs = table["run"].astype(str).tolist()
    rows = zip(runs, times, map(view.text, table[view.metric]), map(view.text, table["best_so_far"]), strict=True)
    best = Series(times, view.values(table["best_so_far"]), "best so far", ORANGE, "solid", width=1.2, steps=True)
    each = Series(times, view.values(table[view.metric]), "run", marker="circle", size=4, hover=runs)
    chart = Chart(
        "study-progress",
        f"{view.capital} by time of creation",
        Plot(ChartAxis("created (UTC)", "time"), ChartAxis(view.axis), (best, each)),
        TextTable(("run", "created (UTC)", view.word, "best so far"), tuple(rows)),
    )
    title = f"{view.capital} of {len(table)} runs against their time of creation"
    return PageSection(
        notes=sentences(table.attrs["notes"]),
        charts=(chart,),
        frames={"progress": table},
        pictures=(ChartFile("progress", (chart,), title),),
    )


def coordinates_section(view: AnalysedRuns) -> PageSection:
    names = [name for name in view.order if len(factor(view.kept, name).levels) > 1]
    if not names:
        raise InputError(f"no setting differs among {len(view.kept)} runs")
    is_higher = is_better_higher(view.metric)
    values = view.values(view.kept[view.metric])
    axes = [_parallel_axis(view.label(name), factor(view.kept, name)) for name in names[:AXES]]
    best = int(np.argmax(values) if is_higher else np.argmin(values))
    best_first = view.kept.sort_values(view.metric, ascending=not is_higher, kind="stable")
    rows = tuple(
        (str(row["run"]), *(show(row[n]) for n in names), view.text(row[view.metric]))
        for row in best_first.to_dict("records")
    )
    notes = [*view.left_out]
    if len(names) > AXES:
        notes.append(f"the chart has the {AXES} most important of {len(names)} settings, the table all")
    chart = Chart(
        "study-coordinates",
        "Settings and result of every run",
        ParallelCoordinates((*axes, _result_axis(view.axis, values)), best),
        TextTable(("run", *map(view.label, names), view.word), rows),
        "Drag along an axis to keep the runs in a range, drag an axis to move it, click an axis to let go.",
    )
    title = f"{len(view.kept)} runs: their settings and their {view.word}"
    return PageSection(
        notes=sentences(notes),
        charts=(chart,),
        frames={"parallel_coordinates": pd.DataFrame(view.kept[["run", *names, view.metric]])},
        pictures=(ChartFile("parallel_coordinates", (chart,), title),),
    )


def _parallel_axis(name: str, setting: Factor) -> ParallelAxis:
    """Numbers are placed by their value or its logarithm; strings and booleans are evenly spaced."""
    if not setting.numeric:
        last = len(setting.levels) - 1
        return ParallelAxis(name, setting.codes.tolist(), tuple(enumerate(setting.texts())), *_extent(0, last))
    scale = math.log10 if setting.logarithmic else float
    ticks = [(scale(level), show(level)) for level in setting.levels]
    low, high = ticks[0][0], ticks[-1][0]
    if len(ticks) > FEW and setting.logarithmic:
        marks = [float(f"{mark:.2g}") for mark in np.geomspace(setting.levels[0], setting.levels[-1], 5)]
        ticks = [(min(max(scale(mark), low), high), as_number(mark)) for mark in marks]
    elif len(ticks) > FEW:
        ticks = _round_ticks(low, high)
    places = [scale(float(value)) for value in setting.values]
    return ParallelAxis(name, places, tuple(ticks), *_extent(low, high))


def _result_axis(name: str, values: Sequence[float]) -> ParallelAxis:
    low, high = min(values), max(values)
    ticks = _round_ticks(low, high) if high > low else [(low, as_number(low))]
    return ParallelAxis(name, values, tuple(ticks), *_extent(low, high))


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    return [(float(m), as_number(m)) for m in MaxNLocator(5).tick_values(low, high) if low <= m <= high]


def _extent(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis; a single value is placed in the middle of its axis."""
    return (low, high) if high > low else (low - 1, high + 1)


def importance_section(view: AnalysedRuns) -> PageSection:
    table = view.importance
    if isinstance(table, InputError):
        raise table
    inputs = tuple(map(view.label, table["input"]))
    ends = {n: table[[f"{n}_low", f"{n}_high"]].to_numpy().tolist() for n in ("importance", "correlation")}
    values = {n: table[n].tolist() for n in ends}
    rows = tuple(
        (name, *(text for n in ends for text in (_share(values[n][i]), ends_text(*ends[n][i]))))
        for i, name in enumerate(inputs)
    )
    low, high = ({n: [pair[i] for pair in ends[n]] for n in ends} for i in (0, 1))
    shares = BarColumn("importance", values["importance"], low["importance"], high["importance"])
    correlations = BarColumn(
        "correlation", values["correlation"], low["correlation"], high["correlation"], (-1.02, 1.02), signed=True
    )
    chart = Chart(
        "study-importance",
        f"What {view.word} depends on",
        BarRows(inputs, (shares, correlations)),
        TextTable(("setting", "importance", "95 % interval", "correlation", "95 % interval"), rows),
    )
    noise = [note for note in table.attrs["notes"] if "noise" in note]
    others = [note for note in table.attrs["notes"] if note not in noise]
    caption = ". ".join([table.attrs["method"], *noise])
    return PageSection(
        warnings=sentences(noise),
        notes=sentences([table.attrs["method"], *others]),
        charts=(chart,),
        frames={"importance": table},
        pictures=(ChartFile("importance", (chart,), caption=caption),),
    )


def _share(value: float) -> str:
    return digits(value if math.isfinite(value) else None, 2)


def cost_section(view: AnalysedRuns) -> PageSection:
    charts, notes, frames = [], [], {}
    for cost, title in _COSTS.items():
        if not has_numbers(view.runs, cost):
            notes.append(f"no {cost} in the table")
            continue
        table = pareto(view.runs, view.metric, cost)
        notes += table.attrs["notes"]
        frames[f"pareto_{cost}"] = table
        charts.append(_cost_chart(view, table, cost, title))
    if not charts:
        raise InputError("; ".join(notes))
    note = "on the Pareto front no other run is as cheap and better, or cheaper and as good"
    return PageSection(
        charts=tuple(charts),
        notes=sentences([note, *notes]),
        frames=frames,
        pictures=(ChartFile("pareto", tuple(charts), f"{view.capital} against what a run costs"),),
    )


def _cost_chart(view: AnalysedRuns, table: pd.DataFrame, cost: str, title: str) -> Chart:
    word = title.partition(",")[0]
    is_on = table["on_front"].to_numpy(bool)
    runs = np.array(table["run"].astype(str))
    costs = table[cost].to_numpy(float) / (60 if cost == "seconds" else 1)
    values = np.array(view.values(table[view.metric]))
    others = Series(
        costs[~is_on], values[~is_on], "other runs", marker="circle", hollow=True, hover=runs[~is_on].tolist()
    )
    front = Series(
        costs[is_on],
        values[is_on],
        "Pareto front",
        ORANGE,
        "dotted",
        width=1.1,
        steps=True,
        marker="circle",
        hover=runs[is_on].tolist(),
    )
    rows = tuple(
        (run, printed(cost, row[cost]), view.text(row[view.metric]), "yes" if row["on_front"] else "no")
        for run, row in zip(runs, table.to_dict("records"), strict=True)
    )
    scale = "logarithmic" if is_logarithmic(costs.tolist()) else "linear"
    return Chart(
        f"study-pareto-{cost}",
        f"{view.capital} over {word}",
        Plot(ChartAxis(title, scale), ChartAxis(view.axis), (others, front) if len(others.x) else (front,)),
        TextTable(("run", word, view.word, "on the Pareto front"), rows),
    )


def landscape_section(view: AnalysedRuns) -> PageSection:
    names = [name for name in view.order if len(factor(view.kept, name).levels) > 1][:2]
    if not names:
        raise InputError("no setting differs among the runs")
    charts = [_slice_chart(view, name) for name in names]
    frames: dict[str, pd.DataFrame] = {"slices": slices(view.runs, view.metric, names)}
    pictures = [ChartFile("slices", tuple(charts), f"{view.capital} by the most important settings")]
    notes = []
    try:
        if len(names) < 2:
            raise InputError(f"{len(names)} setting differs; expected two")
        table = surface(view.runs, view.metric, names[0], names[1])
        chart = _surface_chart(view, table, names[0], names[1])
        charts.append(chart)
        frames["surface"] = table
        title = f"{view.capital} over the two most important settings"
        pictures.append(ChartFile("surface", (chart,), title, f"{table.attrs['method']}; dots are runs"))
    except InputError as error:
        notes.append(f"no surface: {error}")
    return PageSection(
        charts=tuple(charts),
        notes=sentences(notes),
        frames=frames,
        pictures=tuple(pictures),
    )


def _slice_chart(view: AnalysedRuns, name: str) -> Chart:
    """The metric of every run by one setting; a line joins the means of values that several runs share."""
    setting, label = factor(view.kept, name), view.label(name)
    values, runs = np.array(view.values(view.kept[view.metric])), view.kept["run"].astype(str).tolist()
    axis = setting_axis(label, setting)
    texts = list(map(show, setting.values))
    series = [Series(_along(setting, setting.values), values, marker="circle", size=4.5, hover=runs)]
    if 2 * len(setting.levels) <= len(values):
        means = [float(values[setting.codes == code].mean()) for code in range(len(setting.levels))]
        at = _along(setting, setting.levels)
        series.append(Series(at, means, "mean", FAINT, "solid", width=1, marker="dash", size=9))
    return Chart(
        f"study-slice-{slug(name)}",
        f"{view.capital} by {label}",
        Plot(axis, ChartAxis(view.axis), tuple(series)),
        TextTable(
            ("run", label, view.word), tuple(zip(runs, texts, map(view.text, view.kept[view.metric]), strict=True))
        ),
    )


def setting_axis(title: str, setting: Factor) -> ChartAxis:
    """The axis of a setting: continuous for a number, with a tick at each value if they are few."""
    if not setting.numeric:
        return ChartAxis(title, "category", levels=tuple(setting.texts()))
    few = len(setting.levels) <= FEW
    ticks = tuple((float(level), as_number(level)) for level in setting.levels) if few else ()
    return ChartAxis(title, "logarithmic" if setting.logarithmic else "linear", ticks)


def _along(setting: Factor, values: Iterable[Any]) -> list[Any]:
    """Values of a setting as positions on its axis."""
    return [float(value) if setting.numeric else show(value) for value in values]


def _surface_chart(view: AnalysedRuns, table: pd.DataFrame, a: str, b: str) -> Chart:
    """Contours if both settings are quantities, else a cell for each pair of values; runs are dots."""
    at = [list(dict.fromkeys(table[name])) for name in (a, b)]
    settings = [factor(view.kept, name) for name in (a, b)]
    predicted = view.scale * table["predicted"].to_numpy().reshape(len(at[0]), len(at[1]))
    is_quantity = [s.numeric and len(values) > MOST_LEVELS for s, values in zip(settings, at, strict=True)]
    labels = (view.label(a), view.label(b))
    head = (f"{labels[0]} \\ {labels[1]}", *map(level_text, at[1]))
    rows = tuple((level_text(x), *(f"{value:.4g}" for value in row)) for x, row in zip(at[0], predicted, strict=True))
    note = table.attrs["method"]
    drawing: Contours | HeatMap
    if all(is_quantity):
        x, y = ([float(value) for value in s.values] for s in settings)
        axes = [setting_axis(label, s) for label, s in zip(labels, settings, strict=True)]
        drawing = Contours(axes[0], axes[1], (at[0], at[1]), predicted, view.axis, (x, y))
        note += "; dots are runs"
    else:
        texts = tuple(tuple(f"{value:.4g}" for value in row) for row in predicted.T)
        places = [_nearest_places(values, s.values) for values, s in zip(at, settings, strict=True)]
        drawing = HeatMap(
            predicted.T,
            tuple(map(level_text, at[1])),
            tuple(map(level_text, at[0])),
            labels[1],
            labels[0],
            texts if predicted.size <= _MOST_PRINTED else (),
            quantity=view.axis,
            rising=True,
            dots=(places[1], places[0]),
            hover=f"{{column}}, {{row}}<br>{view.word} {{value}}",
        )
    title = f"{view.capital} over {labels[0]} and {labels[1]}"
    return Chart("study-surface", title, drawing, TextTable(head, rows), note)


def _nearest_places(levels: Sequence[Any], values: Iterable[Any]) -> list[int]:
    """The index of each value among the levels; for a quantity, the index of the nearest level."""
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return [int(np.argmin(np.abs(np.asarray(levels, float) - float(value)))) for value in values]
    texts = list(map(show, levels))
    return [texts.index(show(value)) for value in values]
