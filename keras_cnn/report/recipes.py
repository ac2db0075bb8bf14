"""The comparison of recipes, on the page about a sweep that was begun as one (`finetune.py --compare`)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from keras_cnn.errors import InputError
from keras_cnn.report import published, sweep_charts
from keras_cnn.report.analysis import Part
from keras_cnn.report.sections.shapes import Chart, Table, plotted
from keras_cnn.report.sections.text import count, digits, percent_with_interval, with_interval
from keras_cnn.report.sweeps import RunTable, Swept
from keras_cnn.run_folder.record import read_record
from keras_cnn.sweeps import comparison
from keras_cnn.sweeps.table import words

_NAME, _TITLE, _SHORT = "recipes", "Recipes compared", "Recipes"
_PLACES = {"minutes": 2, "train_loss": 4, "validation_loss": 4, "best_epoch": 1, "epochs": 1, "seconds": 1}


def parts(table: RunTable | None) -> list[Part]:
    """The part on the comparison, first of the page; none for what is no comparison."""
    swept = table.swept if table else None
    if swept is None or not (swept.folder / comparison.FOLDER).is_dir():
        return []
    try:
        return [_part(swept, comparison.read(swept.folder, swept.sweep, swept.trials))]
    except InputError as error:
        return [Part(_NAME, _TITLE, _SHORT, warnings=(f"Not shown: {error}.",))]


def _part(swept: Swept, found: comparison.Compared) -> Part:
    cells = comparison.summary(found.runs, found.factors)
    reaching = comparison.epochs_to_accuracy(found.epochs, found.factors, comparison.shares_of_best(found.runs))
    grids = [("", _cells(cells))]
    printed = _published(swept, found.runs)
    if printed:
        grids.append(("Printed elsewhere, of the same images, backbone and weights", _beside(printed, cells)))
    needs = dict.fromkeys(figure.needs for *_, figures in printed for figure in figures if figure.needs)
    reached = ", ".join(f"{name} is {100 * a:.2f} %" for name, a in zip(*_names(reaching), strict=True))
    notes = [
        f"95 % intervals: {', '.join(dict.fromkeys(cells['interval']))}",
        *comparison.CONVENTIONS,
        f"shares are of the validation accuracy of the best recipe: {reached}",
        "differences: seeds paired, each tested by itself",
        *(f"a verdict on figures printed elsewhere would need {one}" for one in needs),
        *found.notes,
    ]
    return Part(
        _NAME,
        _TITLE,
        _SHORT,
        notes=tuple(note[:1].upper() + note[1:].rstrip(".") + "." for note in notes),
        charts=_charts(found),
        grids=(*grids, ("Epochs to a share of the best recipe's accuracy", _reaching(reaching, "epochs"))),
        folded=(
            ("Seconds to a share of the best recipe's accuracy", _reaching(reaching, "seconds")),
            ("Differences between recipes", _differences(comparison.all_differences(found))),
            ("Every seed", _seeds(found.runs)),
        ),
    )


def _charts(found: comparison.Compared) -> tuple[Chart, ...]:
    lines = comparison.lines(found)
    drawn = []
    for name, title, by_time in (("epochs", "by epoch", False), ("time", "by time", True)):
        x = [line.seconds.mean(axis=0) if by_time else range(1, line.accuracy.shape[1] + 1) for line in lines]
        rows = tuple(
            (line.label, digits(float(at), 1 if by_time else 0), f"{100 * values.mean():.2f} %", str(len(values)))
            for line, places in zip(lines, x, strict=True)
            for at, values in zip(places, line.accuracy.T, strict=True)
        )
        grid = Table(("recipe", "seconds" if by_time else "epoch", "validation accuracy", "seeds"), rows)
        figure = plotted(sweep_charts.convergence(lines, by_time))
        note = "Mean over the seeds; bars reach from the lowest to the highest."
        drawn.append(Chart(f"recipes-{name}", f"Validation accuracy {title}", figure, grid, note))
    return tuple(drawn)


def _cells(cells: pd.DataFrame) -> Table:
    measures = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "minutes", "best_epoch")
    rows = tuple(
        (row["recipe"], count(row["seeds"]), *(_text(row, m) for m in measures), count(row["trainable_parameters"]))
        for row in cells.to_dict("records")
    )
    return Table(("recipe", "seeds", *map(words, measures), "trainable parameters"), rows)


def _published(swept: Swept, runs: pd.DataFrame) -> list[tuple[str, str, tuple[published.PublishedFigure, ...]]]:
    """Recipe, REPORT/EXPERIMENT and figures of each print that is of a recipe here."""
    first = runs.drop_duplicates("recipe")
    return [
        (recipe, name, figures)
        for recipe, run in zip(first["recipe"], first["run"], strict=True)
        for name, figures in published.of_the_same_recipe(read_record(swept.folder / run)).items()
    ]


def _beside(printed: Sequence[tuple[str, str, tuple[published.PublishedFigure, ...]]], cells: pd.DataFrame) -> Table:
    measured = {cell["recipe"]: cell for cell in cells.to_dict("records")}
    rows = tuple(
        (recipe, name, figure.label, f"{figure.value:g}", _text(measured[recipe], figure.figure, plain=True))
        for recipe, name, figures in printed
        for figure in figures
        if figure.figure in comparison.MEASURES
    )
    return Table(("recipe", "experiment", "figure", "printed", "measured"), rows)


def _names(reaching: pd.DataFrame) -> tuple[list[str], list[float]]:
    once = reaching.drop_duplicates("reach")
    return once["reach"].tolist(), once["accuracy"].tolist()


def _reaching(reaching: pd.DataFrame, column: str) -> Table:
    names, _ = _names(reaching)
    rows = []
    for recipe, mine in reaching.groupby("recipe", sort=False):
        by_name = {row["reach"]: row for row in mine.to_dict("records")}
        rows.append((recipe, *(by_name[name]["note"] or _text(by_name[name], column) for name in names)))
    return Table(("recipe", *names), tuple(rows))


def _differences(table: pd.DataFrame) -> Table:
    rows = []
    for row in table.to_dict("records"):
        scale, unit = (100, "points") if row["measure"].endswith("accuracy") else (1, "minutes")
        ends = [scale * row[name] for name in ("difference", "low", "high")]
        size = "–" if math.isnan(ends[0]) else f"{ends[0]:+.2f} {unit}"
        size += "" if math.isnan(ends[1]) else f" [{ends[1]:+.2f}, {ends[2]:+.2f}]"
        p = "–" if math.isnan(row["p"]) else f"{row['p']:.2g}"
        rows.append((words(row["measure"]), f"{row['b']} - {row['a']}", row["held"], size, p, row["verdict"]))
    return Table(("measure", "recipes", "with", "difference", "sign-flip p", "verdict"), tuple(rows))


def _seeds(runs: pd.DataFrame) -> Table:
    measures = comparison.MEASURES
    rows = tuple(
        (row["recipe"], row["run"], str(row["seed"]), *(_text(row, measure) for measure in measures))
        for row in runs.to_dict("records")
    )
    return Table(("recipe", "run", "seed", *map(words, measures)), rows)


def _text(row: Mapping[str, Any], name: str, plain: bool = False) -> str:
    """A number with its interval if the row has one; accuracies in percent, or as the prints have them if `plain`."""
    ends: Sequence[float] = [row.get(f"{name}_{end}", math.nan) for end in ("low", "high")]
    known = None if math.isnan(ends[0]) else (ends[0], ends[1])
    if name.endswith("accuracy") and not plain:
        return percent_with_interval(row[name], known)
    return with_interval(row[name], known, _PLACES.get(name, 4))
