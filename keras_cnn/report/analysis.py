"""What the page says about a sweep or a table of runs: parts with sentences, charts and tables, in the page's order.

The numbers are those of `keras_cnn.sweeps`; a part that these runs do not allow has the reason in its place.
"""

import itertools
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from keras_cnn.errors import InputError
from keras_cnn.report import sweep_charts as charts
from keras_cnn.report import sweeps
from keras_cnn.report.sections import means as published_means
from keras_cnn.report.sections.shapes import Chart, Table
from keras_cnn.report.sections.text import count, digits, duration, percent
from keras_cnn.report.sweeps import RunTable, Swept
from keras_cnn.sweeps import analysis, comparison
from keras_cnn.sweeps.distributions import Distribution
from keras_cnn.sweeps.factors import factor, short_names, show, usable, varied
from keras_cnn.sweeps.grouped import CONVENTIONS
from keras_cnn.sweeps.importance import ranked
from keras_cnn.sweeps.table import ACCURACIES, LOSSES, factors_of, is_better_higher, words

AXES = 8  # settings among the parallel coordinates, the most important ones
MEANS = 8  # settings with tables of means
DRAWN = 4  # settings whose means are drawn, and whose pairs have tables
_CONVENTION_NAMES = {
    "best": "best epoch of each run",
    "last": "last epoch of each run",
    "all": "all epochs",
    "runs": "runs, one row each",
}
_MOST_ROWS = 60  # of a table of cells


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    name: str  # its id
    title: str
    short: str  # in the page's bar
    warnings: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()  # sentences with the answer, before everything else
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    grids: tuple[tuple[str, Table], ...] = ()  # captions with tables, in sight
    folded: tuple[tuple[str, Table], ...] = ()
    code: tuple[tuple[str, str], ...] = ()  # captions with text to copy, the first in sight


def parts(table: RunTable, again: dict[str, float] | None = None) -> list[Part]:
    """The parts for a sweep or a table of runs.

    `again` has the numbers of the best trial trained again, if that has been done.
    """
    found = [_swept(table.swept)] if table.swept else []
    if not len(table.runs):
        reason = "no trial has ended with a number" if table.swept else "the table has no rows"
        warning = f"There is nothing to analyse yet: {reason}."
        return [*found, Part("analysis", "Analysis", "Analysis", warnings=(warning,))]
    view = _View(table, again)
    return found + [part for make in _PARTS if (part := _attempt(view, make)) is not None]


class _View:
    """What the parts share: the tables, the order of the settings, and how the metric is printed."""

    def __init__(self, table: RunTable, again: dict[str, float] | None):
        self.table, self.runs, self.epochs, self.metric, self.again = (
            table,
            table.runs,
            table.epochs,
            table.metric,
            again,
        )
        self.kept, self.left_out = usable(table.runs, table.metric)
        self.short = short_names(factors_of(table.runs))
        self.order = [one.name for one in varied(self.kept)]
        self.importance: pd.DataFrame | InputError
        try:
            self.importance = analysis.importance(table.runs, table.metric)
            self.order = ranked(self.importance)
        except InputError as error:
            self.importance = error

    @property
    def axis(self) -> str:
        return words(self.metric) + (", %" if self.metric in ACCURACIES else "")

    @property
    def scale(self) -> float:
        return 100 if self.metric in ACCURACIES else 1

    def values(self, series: pd.Series) -> list[float]:
        """Of the metric, as the charts have them."""
        return [self.scale * float(value) for value in series]

    def text(self, value: float) -> str:
        return _number(self.metric, value)

    def label(self, name: str) -> str:
        return self.short.get(name, name)


def _attempt(view: _View, make: Callable[[_View], Part | None]) -> Part | None:
    """The part, or the reason why it is not shown; None where there is no such thing."""
    try:
        return make(view)
    except InputError as error:
        name, title, short = _TITLES[make]
        return Part(name, title, short, warnings=(f"Not shown: {error}.",))


# --- what was swept ---------------------------------------------------------------------------------------------------


def _swept(swept: Swept) -> Part:
    sweep = swept.sweep
    counts = swept.counts
    facts = [
        ("method", sweep.method),
        ("metric", f"{swept.metric}, to {'minimize' if swept.minimizes else 'maximize'}"),
        ("trials", ", ".join(f"{n:,} {_STATES.get(state, state)}" for state, n in counts.items()) or "none yet"),
    ]
    if sweep.run_cap is not None:
        facts.append(("trials at most", count(sweep.run_cap)))
    if sweep.repeats > 1:
        facts.append(("seeds a trial", f"{sweep.repeats}; every run is kept, the trial's value is their mean"))
    if sweep.early_terminate is not None:
        stop = sweep.early_terminate
        given = {name: value for name, value in vars(stop).items() if value is not None and name != "type"}
        facts.append(("ended early by", "hyperband: " + ", ".join(f"{name} {value}" for name, value in given.items())))
    if sweep.description:
        facts.append(("description", sweep.description))
    rows = tuple(
        (name, _fields(sweep.names.get(name, name)), distribution.kind, _settings(distribution))
        for name, distribution in sweep.parameters.items()
    )
    failed = [trial for trial in swept.trials if trial.state == "failed"]
    early = [trial for trial in swept.trials if trial.state == "early"]
    head = ("parameter", "field", "distribution", "values")
    grids = [("", Table(("what", "as"), tuple(facts))), ("Parameters", Table(head, rows))]
    if failed:
        grids.append(("Failed trials", _ends(failed)))
    folded = [(f"{len(early)} trials ended early", _ends(early))] if early else []
    program = "finetune.py --compare" if (swept.folder / comparison.FOLDER).is_dir() else "train.py --sweep"
    command = f"python {program} {shlex.quote(str(swept.folder / 'sweep.yaml'))}"
    files = [(f"{name} of the sweep", _text_of(swept.folder / name)) for name in ("sweep.yaml", "base.yaml")]
    return Part(
        "sweep",
        "What was swept",
        "Sweep",
        notes=tuple(sweep.notes),
        grids=tuple(grids),
        folded=tuple(folded),
        code=(("The command that makes it again", command), *((name, text) for name, text in files if text)),
    )


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace") if path.is_file() else ""


_STATES = {"early": "ended early"}


def _ends(trials: Sequence[Any]) -> Table:
    rows = ((t.label, ", ".join(f"{n} {show(v)}" for n, v in t.assignment.items()), t.reason) for t in trials)
    return Table(("trial", "settings", "reason"), tuple(rows))


def _fields(target: Any) -> str:
    """The field, or the fields that the parameter's values set."""
    return target if isinstance(target, str) else ", ".join(dict.fromkeys(f for row in target.values() for f in row))


def _settings(distribution: Distribution) -> str:
    found = distribution.settings
    listed = found.get("values") or ([found["value"]] if "value" in found else None)
    if listed is None:
        return ", ".join(f"{name} {show(value)}" for name, value in found.items())
    texts = [json.dumps(v) if isinstance(v, list | dict | bool) or v is None else show(v) for v in listed]
    chances = found.get("probabilities")
    if chances:
        texts = [f"{text} ({chance:g})" for text, chance in zip(texts, chances, strict=True)]
    return ", ".join(texts)


# --- the runs ---------------------------------------------------------------------------------------------------------


def _best(view: _View) -> Part:
    best = analysis.best_row(view.runs)
    row = best.iloc[0]
    names = [n for n in factors_of(view.runs) if n in view.order]
    again, swept = view.again or {}, view.table.swept
    numbers = [n for n in _NUMBERS if (n in best and _is_known(row[n])) or _is_known(again.get(n))]
    head = ("run", *(view.label(n) for n in names), *(words(n) for n in numbers))
    rows = [(str(row["run"]), *(show(row[n]) for n in names), *(_number(n, row.get(n)) for n in numbers))]
    convention = best.attrs["convention"]
    notes = [convention if "overfit_percent" in numbers else convention.partition(";")[0]]
    if swept and swept.best and swept.sweep.repeats > 1:
        notes.append(f"the sweep goes by the mean over seeds: trial {swept.best.label}, {view.text(swept.best.value)}")
    if again:
        parameters = {column: parameter for parameter, column in sweeps.factor_names(swept.sweep).items()}
        settings = [show(swept.best.assignment[parameters[n]]) for n in names]
        rows.append((sweeps.BEST, *settings, *(_number(n, again.get(n)) for n in numbers)))
        notes.append(
            f"{sweeps.BEST} is trial {swept.best.label} trained again and tested once; it was chosen on the validation"
            " images, so its test accuracy is not too good for having been chosen"
        )
    elif swept:
        notes.append("the test images have not been looked at")
    return Part("best", "Best run", "Best", notes=_sentences(notes), grids=(("", Table(head, tuple(rows))),))


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


def _progress(view: _View) -> Part:
    found = analysis.progress(view.runs, view.metric)
    times = [time.strftime("%Y-%m-%d %H:%M:%S") for time in found["created"].dt.tz_convert(None)]
    runs = found["run"].astype(str).tolist()
    figure = charts.progress(times, view.values(found[view.metric]), view.values(found["best_so_far"]), runs, view.axis)
    rows = zip(runs, times, map(view.text, found[view.metric]), map(view.text, found["best_so_far"]), strict=True)
    grid = Table(("run", "created (UTC)", words(view.metric), "best so far"), tuple(rows))
    chart = _chart("progress", f"{_capital(view.metric)} by time of creation", figure, grid, "Line: the best so far.")
    return Part("progress", "Progress", "Progress", charts=(chart,), notes=_sentences(found.attrs["notes"]))


def _coordinates(view: _View) -> Part:
    names = [name for name in view.order if len(factor(view.kept, name).levels) > 1]
    if not names:
        raise InputError(f"no setting differs among {len(view.kept)} runs")
    shown = names[:AXES]
    values = view.values(view.kept[view.metric])
    figure = charts.parallel([(view.label(n), factor(view.kept, n)) for n in shown], values, view.axis)
    best_first = view.kept.sort_values(view.metric, ascending=not is_better_higher(view.metric), kind="stable")
    rows = tuple(
        (str(row["run"]), *(show(row[n]) for n in names), view.text(row[view.metric]))
        for row in best_first.to_dict("records")
    )
    grid = Table(("run", *(view.label(n) for n in names), words(view.metric)), rows)
    notes = [*view.left_out]
    if len(names) > AXES:
        notes.append(f"the chart has the {AXES} most important of {len(names)} settings, the table all")
    how = "Drag along an axis to keep the runs in a range, drag an axis to move it, click an axis to let go."
    chart = _chart("coordinates", "Settings and result of every run", figure, grid, how, "scrolling")
    return Part("coordinates", "Parallel coordinates", "Coordinates", charts=(chart,), notes=_sentences(notes))


def _importance(view: _View) -> Part:
    table = view.importance
    if isinstance(table, InputError):
        raise table
    inputs = [_input(view, name) for name in table["input"]]
    ends = {n: table[[f"{n}_low", f"{n}_high"]].to_numpy().tolist() for n in ("importance", "correlation")}
    values = {n: table[n].tolist() for n in ends}
    figure = charts.importances(
        inputs, values["importance"], ends["importance"], values["correlation"], ends["correlation"]
    )
    rows = tuple(
        (name, *(text for n in ends for text in (digits(_finite(values[n][i]), 2), _ends_text(ends[n][i], 2))))
        for i, name in enumerate(inputs)
    )
    grid = Table(("setting", "importance", "95 % interval", "correlation", "95 % interval"), rows)
    chart = _chart("importance", f"What {words(view.metric)} depends on", figure, grid, "", "tall")
    noise = [note for note in table.attrs["notes"] if "noise" in note]
    notes = [table.attrs["method"], *(note for note in table.attrs["notes"] if note not in noise)]
    return Part(
        "importance",
        "Importance and correlation",
        "Importance",
        warnings=_sentences(noise),
        notes=_sentences(notes),
        charts=(chart,),
    )


def _input(view: _View, name: str) -> str:
    field, equals, level = name.partition("=")
    return view.label(field) + equals + level


# --- means and effects ------------------------------------------------------------------------------------------------


def _means(view: _View) -> Part:
    repeated = [name for name in view.order if factor(view.runs, name).repeated]
    if not repeated:
        raise InputError("no setting has values that several runs share")
    notes = [f"none by {view.label(n)}: hardly a value is shared by two runs" for n in view.order if n not in repeated]
    grids, folded, drawn, conventions = [], [], [], []
    for name in repeated[:MEANS]:
        (convention, first), *others = _by_convention(view, [name]).items()
        conventions.append(first.attrs["convention"])
        notes += first.attrs["notes"]
        grids.append((f"By {view.label(name)}, {_CONVENTION_NAMES[convention]}", _means_grid(view, [name], first)))
        if others:
            folded.append((f"By {view.label(name)}, other epochs", _stacked(view, name, others)))
        if name in repeated[:DRAWN]:
            drawn.append(_level_chart(view, name, first))
    for a, b in itertools.combinations(repeated[:DRAWN], 2):
        convention, table = next(iter(_by_convention(view, [a, b]).items()))
        title = f"By {view.label(a)} and {view.label(b)}, {_CONVENTION_NAMES[convention]}"
        folded.append((title, _means_grid(view, [a, b], table)))
    if len(repeated) > MEANS:
        notes.append(f"tables of the {MEANS} most important of {len(repeated)} settings")
    if view.epochs is not None:
        notes += view.epochs.attrs.get("notes", ())
    return Part(
        "means",
        "Grouped means",
        "Means",
        notes=_sentences([*conventions, *notes]),
        charts=tuple(chart for chart in drawn if chart),
        grids=tuple(grids),
        folded=tuple(folded),
    )


def _by_convention(view: _View, by: list[str]) -> dict[str, pd.DataFrame]:
    """Convention -> grouped means, the one that is in sight first."""
    found = {}
    if view.epochs is not None:
        found = {e: analysis.grouped_means(view.epochs, by, e) for e in sorted(CONVENTIONS, key=_ORDER.index)}
    return found | {"runs": analysis.grouped_means(view.runs, by)}


_ORDER = ("best", "last", "all")


def _means_grid(view: _View, by: Sequence[str], table: pd.DataFrame) -> Table:
    names = [name for name in table if name not in by]
    head = (*(view.label(name) for name in by), *(_MEAN_NAMES.get(name, words(name)) for name in names))
    rows = tuple(
        (*(show(row[name]) for name in by), *(_number(name, row[name]) for name in names))
        for row in table.to_dict("records")
    )
    return Table(head, rows)


_MEAN_NAMES = {"overfit_percent": "overfit%, clipped", "overfit_percent_unclipped": "overfit%"}


def _stacked(view: _View, name: str, tables: Sequence[tuple[str, pd.DataFrame]]) -> Table:
    """Means by one setting under several conventions, which stand in the first column."""
    named = [table.assign(**{"mean over": _CONVENTION_NAMES[convention]}) for convention, table in tables]
    return _means_grid(view, ["mean over", name], pd.concat(named, ignore_index=True)[["mean over", *_order(named)]])


def _order(tables: Sequence[pd.DataFrame]) -> list[str]:
    return [n for n in dict.fromkeys(n for table in tables for n in table) if n != "mean over"]


def _level_chart(view: _View, name: str, table: pd.DataFrame) -> Chart | None:
    means = {s: (100 * table[f"{s}_accuracy"]).tolist() for s in charts.SPLITS if f"{s}_accuracy" in table}
    if not means:
        return None
    figure = charts.level_means(list(map(show, table[name])), means, view.label(name), "mean accuracy, %")
    taken = table.attrs["taken"]
    return _chart(f"means-{_slug(name)}", f"By {view.label(name)}", figure, _means_grid(view, [name], table), taken)


def _published_means(view: _View) -> Part | None:
    found = view.table.means_beside
    if found is None:
        return None
    orders = published_means.orders(found)
    return Part(
        "published-means",
        "Grouped means beside published",
        "Means published",
        findings=_sentences(
            [*published_means.order_sentences(found), *filter(None, [published_means.hindered(found)])]
        ),
        notes=_sentences(published_means.notes(found)),
        charts=tuple(published_means.drawn(found)),
        grids=tuple(published_means.grids(found)),
        folded=(("Order of the groups, mean by mean", orders),) if orders.rows else (),
    )


def _epochs(view: _View) -> Part | None:
    if view.epochs is None:
        return None
    table = analysis.grouped_means(view.epochs, ["epoch"])
    grid = _means_grid(view, ["epoch"], table)
    epochs = [int(epoch) for epoch in table["epoch"]]
    drawn = []
    for word, scale, columns in (
        ("loss", 1, dict(zip(charts.SPLITS, LOSSES, strict=True))),
        ("accuracy", 100, dict(zip(charts.SPLITS, ACCURACIES, strict=True))),
    ):
        means = {s: (scale * table[c]).tolist() for s, c in columns.items() if c in table}
        if means:
            figure = charts.by_epoch(epochs, means, "mean accuracy, %" if scale == 100 else "mean loss")
            drawn.append(_chart(f"epochs-{word}", f"Mean {word} by epoch", figure, grid))
    fewest, most = int(table["runs"].min()), int(table["runs"].max())
    runs = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    notes = (f"{table.attrs['convention']}; {runs} runs an epoch",)
    return Part("epoch-means", "Means by epoch", "By epoch", charts=tuple(drawn), notes=_sentences(notes))


def _effects(view: _View) -> Part:
    differences = analysis.marginal_differences(view.runs, view.metric)
    means = analysis.marginal_means(view.runs, view.metric)
    unit = "points" if view.metric in ACCURACIES else words(view.metric)
    rank = {name: i for i, name in enumerate(view.order)}
    rows = sorted(differences.to_dict("records"), key=lambda row: rank.get(row["factor"], len(rank)))
    drawn = [
        charts.Row(
            label=f"{view.label(row['factor'])}: {row['change']}",
            value=view.scale * row["difference"],
            low=view.scale * row["low"],
            high=view.scale * row["high"],
            other=view.scale * row["naive"],
            hover=f"{view.label(row['factor'])}: {row['change']}: {_signed(view.scale * row['difference'])} "
            f"{_ends_text((view.scale * row['low'], view.scale * row['high']), 2)}; plain "
            f"{_signed(view.scale * row['naive'])}",
        )
        for row in rows
    ]
    grid = Table(
        ("setting", "change", f"difference, {unit}", "95 % interval", "plain difference", "cannot be told apart from"),
        tuple(
            (
                view.label(row["factor"]),
                row["change"],
                _signed(view.scale * row["difference"]),
                _ends_text((view.scale * row["low"], view.scale * row["high"]), 2),
                _signed(view.scale * row["naive"]),
                ", ".join(map(view.label, row["confounded_with"].split(", "))) if row["confounded_with"] else "",
            )
            for row in rows
        ),
    )
    figure = charts.intervals(drawn, f"difference, {unit}", zero=True)
    note = "Filled: with the other settings held, 95 % intervals, each by itself. Hollow: difference of plain means."
    chart = _chart("effects", f"What a setting changes in {words(view.metric)}", figure, grid, note, "tall")
    levels = Table(
        ("setting", "value", "runs", "plain mean", "marginal mean", "95 % interval"),
        tuple(
            (
                view.label(row["factor"]),
                show(row["level"]),
                count(row["runs"]),
                view.text(row["mean"]),
                view.text(row["marginal_mean"]),
                _ends_text((view.scale * row["low"], view.scale * row["high"]), 2),
            )
            for row in means.to_dict("records")
        ),
    )
    return Part(
        "effects",
        "Marginal effects",
        "Effects",
        notes=_sentences([differences.attrs["method"], *differences.attrs["notes"]]),
        charts=(chart,),
        folded=(("Marginal means by value", levels),) if levels.rows else (),
    )


def _balance(view: _View) -> Part:
    table = analysis.balance(view.runs)
    warning, pairs = table.attrs["warning"], table.attrs["uneven_pairs"]
    notes = [*table.attrs["notes"]]
    if pairs:
        notes.append("not spread alike over each other's values: "
                     + ", ".join(f"{view.label(a)} and {view.label(b)}" for a, b in pairs))  # fmt: skip
    if not warning and len(table):
        notes.insert(0, f"the grid is balanced: {len(table):,} cells of {table['expected'].iloc[0]} each")
    folded = []
    if len(table):
        odd = table[table["state"] != "even"]
        shown = (odd if len(odd) else table).head(_MOST_ROWS)
        names = [name for name in table if name not in ("runs", "expected", "state")]
        rows = tuple(
            (*(show(row[n]) for n in names), count(row["runs"]), count(row["expected"]), row["state"])
            for row in shown.to_dict("records")
        )
        which = "cells that are not even" if len(odd) else "cells"
        total = len(odd) if len(odd) else len(table)
        title = f"{len(rows)} of {total:,} {which}" if total > len(rows) else f"{total:,} {which}"
        folded.append((title, Table((*map(view.label, names), "runs", "expected", "state"), rows)))
    warnings = _sentences([warning] if warning else [])
    return Part("balance", "Balance", "Balance", warnings=warnings, notes=_sentences(notes), folded=tuple(folded))


# --- cost and landscape -----------------------------------------------------------------------------------------------


def _costs(view: _View) -> Part:
    drawn, notes = [], []
    for cost, title in (("seconds", "training time, minutes"), ("parameters", "trainable parameters")):
        if cost not in view.runs or view.runs[cost].isna().all():
            notes.append(f"no {cost} in the table")
            continue
        table = analysis.pareto(view.runs, view.metric, cost)
        notes += table.attrs["notes"]
        runs = table["run"].astype(str).tolist()
        costs = [float(value) / (60 if cost == "seconds" else 1) for value in table[cost]]
        on = table["on_front"].tolist()
        figure = charts.front(costs, view.values(table[view.metric]), on, runs, title, view.axis)
        rows = tuple(
            (run, _number(cost, row[cost]), view.text(row[view.metric]), "yes" if row["on_front"] else "no")
            for run, row in zip(runs, table.to_dict("records"), strict=True)
        )
        grid = Table(("run", title.partition(",")[0], words(view.metric), "on the Pareto front"), rows)
        drawn.append(_chart(f"pareto-{cost}", f"{_capital(view.metric)} over {title.partition(',')[0]}", figure, grid))
    if not drawn:
        raise InputError("; ".join(notes))
    note = "Filled marks lie on the Pareto front: no other run is as cheap and better, or cheaper and as good"
    return Part("pareto", "Result and its cost", "Cost", charts=tuple(drawn), notes=_sentences([note, *notes]))


def _landscape(view: _View) -> Part:
    names = [name for name in view.order if len(factor(view.kept, name).levels) > 1][:2]
    if not names:
        raise InputError("no setting differs among the runs")
    values, runs = view.values(view.kept[view.metric]), view.kept["run"].astype(str).tolist()
    drawn, notes = [], []
    for name in names:
        one = factor(view.kept, name)
        rows = tuple(zip(runs, map(show, one.values), map(view.text, view.kept[view.metric]), strict=True))
        grid = Table(("run", view.label(name), words(view.metric)), rows)
        figure = charts.slice_of(view.label(name), one, values, runs, view.axis)
        drawn.append(_chart(f"slice-{_slug(name)}", f"{_capital(view.metric)} by {view.label(name)}", figure, grid))
    if len(names) == 2:
        try:
            drawn.append(_surface(view, *names))
        except InputError as error:
            notes.append(f"no surface: {error}")
    return Part("landscape", "Slices and surface", "Landscape", charts=tuple(drawn), notes=_sentences(notes))


def _surface(view: _View, a: str, b: str) -> Chart:
    table = analysis.surface(view.runs, view.metric, a, b)
    at = tuple(list(dict.fromkeys(table[name])) for name in (a, b))
    predicted = (view.scale * table["predicted"].to_numpy()).reshape(len(at[0]), len(at[1])).tolist()
    axes = (factor(view.kept, a), factor(view.kept, b))
    figure = charts.surface((view.label(a), view.label(b)), axes, at, predicted, words(view.metric))
    head = (f"{view.label(a)} \\ {view.label(b)}", *map(_short, at[1]))
    rows = tuple((_short(x), *(f"{value:.4g}" for value in row)) for x, row in zip(at[0], predicted, strict=True))
    title = f"{_capital(view.metric)} over {view.label(a)} and {view.label(b)}"
    note = table.attrs["method"] + ("; dots are runs" if figure.data[0].type == "contour" else "")
    return _chart("surface", title, figure, Table(head, rows), note)


_TITLES = {
    _best: ("best", "Best run", "Best"),
    _progress: ("progress", "Progress", "Progress"),
    _coordinates: ("coordinates", "Parallel coordinates", "Coordinates"),
    _importance: ("importance", "Importance and correlation", "Importance"),
    _effects: ("effects", "Marginal effects", "Effects"),
    _balance: ("balance", "Balance", "Balance"),
    _means: ("means", "Grouped means", "Means"),
    _published_means: ("published-means", "Grouped means beside published", "Means published"),
    _epochs: ("epoch-means", "Means by epoch", "By epoch"),
    _costs: ("pareto", "Result and its cost", "Cost"),
    _landscape: ("landscape", "Slices and surface", "Landscape"),
}
_PARTS = tuple(_TITLES)


# --- texts ------------------------------------------------------------------------------------------------------------


def _chart(name: str, title: str, figure: Any, grid: Table, note: str = "", shape: str = "wide") -> Chart:
    return Chart(f"study-{name}", title, figure.to_plotly_json(), grid, note, shape)


def _number(name: str, value: Any) -> str:
    """A number of this column as the page prints it."""
    if not _is_known(value):
        return "–"
    if name in ACCURACIES:
        return percent(float(value))
    if name == "seconds":
        return duration(float(value))
    if name in ("parameters", "multiply_adds", "runs", "rows", "best_epoch"):
        return count(float(value))
    if name.startswith("overfit_percent"):
        return f"{value:.2f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _signed(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else "–"


def _ends_text(ends: Sequence[float], places: int) -> str:
    low, high = ends
    return f"[{low:.{places}f}, {high:.{places}f}]" if math.isfinite(low + high) else "–"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else show(value)


def _capital(metric: str) -> str:
    return words(metric)[:1].upper() + words(metric)[1:]


def _sentences(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_sentence(line) for line in lines))


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:].rstrip(".") + "."


def _slug(name: str) -> str:
    """Letters, digits and dashes for an element's id; names of a file's columns may hold anything."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in name)
