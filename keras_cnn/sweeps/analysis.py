"""A sweep's analysis, data frames in and data frames out, and all of it written as CSV and PNG.

runs, epochs = runs_table(records), epochs_table(records)
importance(runs, "validation_accuracy")
write_analysis(Path("analysis"), runs, epochs)
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_cnn.errors import InputError
from keras_cnn.figures import style
from keras_cnn.figures import sweep as figures
from keras_cnn.run_folder import replacing, write_text
from keras_cnn.sweeps.balance import balance, pair_counts
from keras_cnn.sweeps.effects import marginal_differences, marginal_means
from keras_cnn.sweeps.factors import factor, short_names, show, usable, varied
from keras_cnn.sweeps.grouped import CONVENTIONS, best_row, grouped_means
from keras_cnn.sweeps.importance import importance, ranked
from keras_cnn.sweeps.landscape import pareto, progress, slices, surface
from keras_cnn.sweeps.table import (
    ACCURACIES,
    chooser,
    epochs_table,
    factors_of,
    listed,
    read_table,
    runs_of_epochs,
    runs_table,
    words,
)

__all__ = [
    "balance",
    "best_row",
    "epochs_table",
    "grouped_means",
    "importance",
    "marginal_differences",
    "marginal_means",
    "pareto",
    "progress",
    "read_table",
    "runs_of_epochs",
    "runs_table",
    "slices",
    "surface",
    "write_analysis",
]

_PAIRED = 4  # factors, the most important ones, whose pairs have tables of means: six tables
_PARALLEL = 7  # settings in the picture of parallel coordinates, the most important ones
_COSTS = ("seconds", "parameters")


def write_analysis(
    folder: Path, runs: pd.DataFrame, epochs: pd.DataFrame | None = None, metric: str | None = None
) -> list[Path]:
    """Writes every table as CSV and every figure as PNG into `folder`, and returns their paths.

    `metric` is what is explained; without it validation accuracy, or what the table has instead. `notes.txt` has the
    conventions, the warnings, and for each part that these runs do not allow the reason. It is always written, and is
    the last of the paths.

    Raises InputError for a table without rows, or without a metric.
    """
    if not len(runs):
        raise InputError("the table of runs has no rows; expected at least one run")
    metric = metric or chooser(runs)[0]
    usable(runs, metric)
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder, runs, epochs if epochs is not None and len(epochs) else None, metric)
    writer.note("", [f"explained: {words(metric)}", *runs.attrs.get("notes", ())])
    if epochs is not None:
        writer.note("epochs", [n for n in epochs.attrs.get("notes", ()) if n not in runs.attrs.get("notes", ())])
    for part in _PARTS:
        writer.attempt(part)
    write_text(folder / "notes.txt", "\n".join(dict.fromkeys(writer.notes)) + "\n")
    return [*writer.paths, folder / "notes.txt"]


class _Writer:
    """What the parts of one analysis share: the tables, where files go, and what is to be said."""

    def __init__(self, folder: Path, runs: pd.DataFrame, epochs: pd.DataFrame | None, metric: str):
        self.folder, self.runs, self.epochs, self.metric = folder, runs, epochs, metric
        self.paths: list[Path] = []
        self.notes: list[str] = []
        self.short = short_names(factors_of(runs))
        self.order = [one.name for one in varied(runs)]  # the most important first, once that is known

    def attempt(self, part: Callable[["_Writer"], None]) -> None:
        """A part that the runs do not allow leaves its reason instead of files."""
        try:
            part(self)
        except InputError as error:
            self.note(part.__name__.lstrip("_").replace("_", " "), [f"not written: {error}"])

    def note(self, part: str, lines: Sequence[str]) -> None:
        self.notes += [f"{part}: {line}" if part else line for line in lines]

    def table(self, name: str, table: pd.DataFrame) -> None:
        path = self.folder / f"{name}.csv"
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False)
        self.paths.append(path)

    def figure(self, name: str, figure: Figure) -> None:
        path = self.folder / f"{name}.png"
        style.save(figure, path)
        self.paths.append(path)


def _tables(writer: _Writer) -> None:
    writer.table("runs", writer.runs)
    if writer.epochs is not None:
        writer.table("epochs", writer.epochs)


def _best_run(writer: _Writer) -> None:
    best = best_row(writer.runs)
    writer.table("best_run", best)
    writer.note("best run", [f"{best['run'].iloc[0]}, {best.attrs['convention']}"])


def _progress(writer: _Writer) -> None:
    table = progress(writer.runs, writer.metric)
    writer.note("progress", table.attrs["notes"])
    writer.table("progress", table)
    times = table["created"].dt.tz_localize(None).to_numpy()
    title = f"{_capital(writer.metric)} of {len(table)} runs against their time of creation"
    writer.figure(
        "progress", figures.progress(times, table[writer.metric], table["best_so_far"], words(writer.metric), title)
    )


def _importance(writer: _Writer) -> None:
    table = importance(writer.runs, writer.metric)
    writer.order = ranked(table)
    writer.note("importance", [table.attrs["method"], *table.attrs["notes"]])
    writer.table("importance", table)
    names = [_shortened(name, writer.short) for name in table["input"]]
    ends = [table[[f"{n}_low", f"{n}_high"]].to_numpy().T for n in ("importance", "correlation")]
    warning = "".join(f". {note}" for note in table.attrs["notes"] if "noise" in note)
    writer.figure(
        "importance",
        figures.importances(
            names,
            table["importance"].tolist(),
            ends[0],
            table["correlation"].tolist(),
            ends[1],
            f"What {words(writer.metric)} depends on",
            table.attrs["method"] + warning,
        ),
    )


def _parallel_coordinates(writer: _Writer) -> None:
    kept, notes = usable(writer.runs, writer.metric)
    names = [name for name in writer.order if len(factor(kept, name).levels) > 1]
    if not names:
        raise InputError(f"no setting differs among {len(kept)} runs")
    writer.table("parallel_coordinates", kept[["run", *names, writer.metric]])
    if len(names) > _PARALLEL:
        notes = [*notes, f"the picture has the {_PARALLEL} most important of {len(names)} settings"]
    writer.note("parallel coordinates", notes)
    columns = {writer.short[name]: factor(kept, name).values.tolist() for name in names[:_PARALLEL]}
    title = f"{len(kept)} runs: their settings and their {words(writer.metric)}"
    writer.figure(
        "parallel_coordinates",
        figures.parallel_coordinates(columns, kept[writer.metric].tolist(), words(writer.metric), title),
    )


def _balance(writer: _Writer) -> None:
    table = balance(writer.runs)
    pairs = [f"{writer.short[a]} and {writer.short[b]}" for a, b in table.attrs["uneven_pairs"]]
    uneven = [f"not spread alike over each other's values: {listed(pairs)}"] if pairs else []
    writer.note("balance", [*filter(None, [table.attrs["warning"]]), *table.attrs["notes"], *uneven])
    writer.table("balance", table)
    grid = [one for one in varied(writer.runs) if one.name in table]
    if len(grid) < 2:
        return
    counts = pair_counts(grid)
    labels = counts.index.to_list()
    caption = table.attrs["warning"] or f"the grid is balanced: {len(table)} cells of {table['expected'].iloc[0]} each"
    writer.figure(
        "balance",
        figures.pair_counts(
            [writer.short[name] for name, _ in labels],
            [level for _, level in labels],
            counts.to_numpy(),
            "How many runs have each pair of values",
            caption,
        ),
    )


def _file_name(column: str) -> str:
    return column.replace("/", "_")


def _grouped_means(writer: _Writer) -> None:
    repeated = [name for name in writer.order if factor(writer.runs, name).repeated]
    if not repeated:
        raise InputError("no setting has values that several runs share")
    if left := [name for name in writer.order if name not in repeated]:
        writer.note("grouped means", [f"none by {', '.join(left)}: hardly a value is shared by two runs"])
    (writer.folder / "means").mkdir(exist_ok=True)
    for name in repeated:
        tables = _by_convention(writer, [name])
        writer.table(f"means/{_file_name(name)}", _stacked(tables))
        for convention, table in tables.items():
            writer.figure(f"means/{_file_name(name)}_{convention}", _level_figure(writer, name, table))
    if len(repeated) > _PAIRED:
        writer.note("grouped means", [f"pairs are of the {_PAIRED} most important settings"])
    for a, b in itertools.combinations(repeated[:_PAIRED], 2):
        tables = _by_convention(writer, [a, b])
        writer.table(f"means/{_file_name(a)}+{_file_name(b)}", _stacked(tables))
        for convention, table in tables.items():
            writer.figure(f"means/{a}+{b}_{convention}", _cell_figure(writer, (a, b), table))


def _epoch_means(writer: _Writer) -> None:
    if writer.epochs is None:
        raise InputError("no table by epoch")
    table = grouped_means(writer.epochs, ["epoch"])
    writer.table("means_by_epoch", table)
    splits = ("train", "validation", "test")
    columns = {"train": "loss", "validation": "validation_loss", "test": "test_loss"}
    fewest, most = table["runs"].min(), table["runs"].max()
    caption = f"{table.attrs['convention']}; {fewest if fewest == most else f'{fewest} to {most}'} runs an epoch"
    writer.figure(
        "means_by_epoch",
        figures.epoch_means(
            table["epoch"].tolist(),
            {s: table[columns[s]].tolist() for s in splits if columns[s] in table},
            {s: table[f"{s}_accuracy"].tolist() for s in splits if f"{s}_accuracy" in table},
            _overfit_lines(table),
            f"Means of {writer.epochs['run'].nunique()} runs by epoch",
            caption,
        ),
    )


def _marginal_effects(writer: _Writer) -> None:
    means = marginal_means(writer.runs, writer.metric)
    differences = marginal_differences(writer.runs, writer.metric)
    writer.note("marginal effects", [differences.attrs["method"], *differences.attrs["notes"]])
    ends = "95 % intervals, each by itself" if differences.attrs["freedom"] else "no error to estimate, so no intervals"
    caption = f"{differences.attrs['method']}; {ends}"
    scale, unit = (100, " (points)") if writer.metric in ACCURACIES else (1, "")
    writer.table("marginal_means", means)
    writer.table("marginal_differences", differences)
    if len(means):
        writer.figure(
            "marginal_means",
            figures.intervals(
                _interval_rows(writer, means, "marginal_mean", "mean", 1),
                words(writer.metric),
                f"Mean {words(writer.metric)} by value",
                caption,
                other="plain mean",
            ),
        )
    writer.figure(
        "marginal_differences",
        figures.intervals(
            _interval_rows(writer, differences, "difference", "naive", scale),
            f"difference in {words(writer.metric)}{unit}",
            f"Effects on {words(writer.metric)}",
            caption,
            zero=True,
            other="difference of plain means",
        ),
    )


def _pareto(writer: _Writer) -> None:
    panels = []
    for cost in _COSTS:
        if cost not in writer.runs or writer.runs[cost].isna().all():
            writer.note("pareto", [f"no {cost} in the table"])
            continue
        table = pareto(writer.runs, writer.metric, cost)
        writer.note("pareto", table.attrs["notes"])
        writer.table(f"pareto_{cost}", table)
        panels.append(
            figures.Panel(
                cost,
                table[cost].tolist(),
                table[writer.metric].tolist(),
                table["on_front"].tolist(),
                logarithmic=bool(table[cost].min() > 0 and table[cost].max() >= 4 * table[cost].min()),
            )
        )
    if panels:
        title = f"{_capital(writer.metric)} against what a run costs"
        writer.figure("pareto", figures.fronts(panels, words(writer.metric), title))


def _slices(writer: _Writer) -> None:
    names = [name for name in writer.order if len(factor(writer.runs, name).levels) > 1][:2]
    if not names:
        raise InputError("no setting differs among the runs")
    table = slices(writer.runs, writer.metric, names)
    writer.table("slices", table)
    panels = []
    for name in names:
        mine = table[table["factor"] == name].reset_index(drop=True)
        one = factor(mine, "value")
        panels.append(
            figures.Panel(
                writer.short[name],
                one.values.tolist(),
                mine[writer.metric].tolist(),
                [False] * len(mine),
                logarithmic=one.logarithmic,
            )
        )
    title = f"{_capital(writer.metric)} by the most important settings"
    writer.figure("slices", figures.slices(panels, words(writer.metric), title))


def _surface(writer: _Writer) -> None:
    if len(writer.order) < 2:
        raise InputError(f"{len(writer.order)} setting differs; expected two")
    a, b = writer.order[:2]
    table = surface(writer.runs, writer.metric, a, b)
    writer.table("surface", table)
    kept, _ = usable(writer.runs, writer.metric)
    values = tuple(list(dict.fromkeys(table[name])) for name in (a, b))
    writer.figure(
        "surface",
        figures.surface(
            (writer.short[a], writer.short[b]),
            values,
            table["predicted"].to_numpy().reshape(len(values[0]), len(values[1])),
            tuple(factor(kept, name).values.tolist() for name in (a, b)),
            words(writer.metric),
            f"{_capital(writer.metric)} over the two most important settings",
            f"{table.attrs['method']}; dots are runs",
        ),
    )


_PARTS = (
    _tables,
    _best_run,
    _progress,
    _importance,
    _parallel_coordinates,
    _balance,
    _grouped_means,
    _epoch_means,
    _marginal_effects,
    _pareto,
    _slices,
    _surface,
)


def _by_convention(writer: _Writer, by: list[str]) -> dict[str, pd.DataFrame]:
    """Convention -> grouped means; "runs" is of the table of runs, the others of that by epoch."""
    tables = {"runs": grouped_means(writer.runs, by)}
    if writer.epochs is not None:
        tables |= {f"{epochs}_epochs": grouped_means(writer.epochs, by, epochs) for epochs in CONVENTIONS}
    for table in tables.values():
        writer.note("grouped means", table.attrs["notes"])
    return tables


def _stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables below each other, the convention spelt out in every row so that it cannot be lost."""
    spelt = [table.assign(convention=table.attrs["convention"]) for table in tables.values()]
    return pd.concat(spelt, ignore_index=True)


def _level_figure(writer: _Writer, name: str, table: pd.DataFrame) -> Figure:
    splits = [s for s in ("train", "validation", "test") if f"{s}_accuracy" in table]
    return figures.level_means(
        writer.short[name],
        [show(level) for level in table[name]],
        {split: table[f"{split}_accuracy"].tolist() for split in splits},
        _overfit_lines(table),
        f"Means by {writer.short[name]}",
        table.attrs["convention"],
    )


def _cell_figure(writer: _Writer, names: tuple[str, str], table: pd.DataFrame) -> Figure:
    column = next((n for n in (*_heat_order(writer.metric),) if n in table), None)
    if column is None:
        raise InputError(f"no metric to draw by {' and '.join(names)}")
    ones = [factor(table, name) for name in names]
    means = np.full([len(one.levels) for one in ones], np.nan)
    means[tuple(one.codes for one in ones)] = table[column]
    return figures.cell_means(
        (writer.short[names[0]], writer.short[names[1]]),
        (ones[0].texts(), ones[1].texts()),
        means,
        f"Mean {words(column)} by {writer.short[names[0]]} and {writer.short[names[1]]}",
        table.attrs["taken"],
    )


def _heat_order(metric: str) -> tuple[str, ...]:
    return metric, "test_accuracy", "validation_accuracy", "train_accuracy", "loss"


def _overfit_lines(table: pd.DataFrame) -> dict[str, list[float]]:
    columns = {"clipped": "overfit_percent", "unclipped": "overfit_percent_unclipped"}
    return {kind: table[column].tolist() for kind, column in columns.items() if column in table}


def _interval_rows(writer: _Writer, table: pd.DataFrame, value: str, other: str, scale: float) -> list[figures.Row]:
    order = {name: i for i, name in enumerate(writer.order)}
    rows = sorted(table.to_dict("records"), key=lambda row: order.get(row["factor"], len(order)))
    return [
        figures.Row(
            writer.short[row["factor"]],
            row.get("change") or show(row["level"]),
            scale * row[value],
            scale * row["low"],
            scale * row["high"],
            scale * row[other],
            f"cannot be told apart from {_short_list(row['confounded_with'], writer)}"
            if row["confounded_with"]
            else "",
        )
        for row in rows
    ]


def _capital(metric: str) -> str:
    return words(metric)[:1].upper() + words(metric)[1:]


def _short_list(names: str, writer: _Writer) -> str:
    return listed([writer.short[name] for name in names.split(", ")])


def _shortened(name: str, short: dict[str, str]) -> str:
    field, equals, level = name.partition("=")
    return short.get(field, field) + equals + level
