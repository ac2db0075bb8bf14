"""The section about a comparison of recipes, and the files of the comparison."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_cnn.analysis.recipes import (
    CONVENTIONS,
    FOLDER,
    MEASURES,
    RecipeRuns,
    all_differences,
    epochs_to_accuracy,
    read_recipes,
    shares_of_best,
    summary,
)
from keras_cnn.analysis.sections import ChartFile, PageSection, sentences, write_section
from keras_cnn.analysis.table import groups, words
from keras_cnn.charts import PALETTE, Chart, ChartAxis, Dash, Plot, Series, TextTable
from keras_cnn.charts.text import count, digits, percent_with_interval, with_interval
from keras_cnn.messages import aligned, counted
from keras_cnn.run_folder import write_text
from keras_cnn.sweeps.study import Study

NAME, TITLE, SHORT = "recipes", "Recipes compared", "Recipes"
_DASHES: tuple[Dash, ...] = ("solid", "dashed", "dotted")
_EVERY_SEED = "Every seed"
_CONCLUSIONS = 6  # differences in the first sentence
_PLACES = {"minutes": 2, "train_loss": 4, "validation_loss": 4, "best_epoch": 1, "epochs": 1, "seconds": 1}
_IN_MINUTES = 600  # charts of a training this long (seconds) use minutes


def recipes_section(recipes: RecipeRuns, printed: TextTable | None = None, needs: Sequence[str] = ()) -> PageSection:
    """The section. `printed` has figures printed elsewhere for these recipes, `needs` what a verdict would need."""
    cells = summary(recipes.runs, recipes.factors)
    reaching = epochs_to_accuracy(recipes.epochs, recipes.factors, shares_of_best(recipes.runs))
    differences = all_differences(recipes)
    elsewhere = [("Printed elsewhere, of the same images, backbone and weights", printed)] if printed else []
    shares = reaching.drop_duplicates("reach")
    reached = ", ".join(f"{n} is {100 * a:.2f} %" for n, a in zip(shares["reach"], shares["accuracy"], strict=True))
    notes = [
        f"95 % intervals: {', '.join(dict.fromkeys(cells['interval']))}",
        *CONVENTIONS,
        f"shares are of the validation accuracy of the best recipe: {reached}",
        "differences: seeds paired, each tested by itself",
        *(f"a verdict on figures printed elsewhere would need {need}" for need in needs),
        *recipes.notes,
    ]
    charts = charts_of(recipes)
    seeds = len(set(recipes.runs["seed"]))
    title = f"{recipes.name}: {f'mean and range of {seeds} seeds' if seeds > 1 else 'one seed'}"
    return PageSection(
        NAME,
        TITLE,
        SHORT,
        findings=sentences(list(_conclusions(differences))),
        notes=sentences(notes),
        charts=charts,
        tables=(
            ("", _summary_table(cells)),
            *elsewhere,
            ("Epochs to a share of the best recipe's accuracy", _reaching_table(reaching, "epochs")),
        ),
        folded=(
            ("Seconds to a share of the best recipe's accuracy", _reaching_table(reaching, "seconds")),
            ("Differences between recipes", _difference_table(differences)),
            (_EVERY_SEED, _seed_table(recipes.runs)),
        ),
        frames={
            "comparison": cells,
            "seeds": recipes.runs,
            "differences": differences,
            "epochs_to_accuracy": reaching,
        },
        pictures=(ChartFile("convergence", charts, title),),
    )


def write_comparison(study: Study) -> tuple[PageSection, list]:
    """Writes tables, text and picture into the sweep's folder; returns the section and the files.

    Raises InputError as `read_recipes` does.
    """
    section = recipes_section(read_recipes(study.folder, study.sweep, study.trials()))
    folder = study.folder / FOLDER
    text = as_text(section)
    paths = write_section(folder, section)
    write_text(folder / "comparison.txt", text)
    return section, [*paths, folder / "comparison.txt"]


def _conclusions(differences: pd.DataFrame) -> Iterator[str]:
    """The differences in validation accuracy that are conclusive, and the number of the others."""
    rows = [row for row in differences.to_dict("records") if row["measure"] == "validation_accuracy"]
    shown = [
        f"{_pair(row)} {_difference(row)}, so {row['verdict']}" for row in rows if row["verdict"].endswith(" is higher")
    ]
    left = len(rows) - len(shown)
    others = counted(left, "other pair") if shown else f"{counted(left, 'pair')} of recipes"
    if shown:
        more = f"; {len(shown) - _CONCLUSIONS} more below" if len(shown) > _CONCLUSIONS else ""
        yield f"validation accuracy: {'; '.join(shown[:_CONCLUSIONS])}{more}"
    if left:
        yield f"for {others} no difference in validation accuracy is shown"


def brief(section: PageSection) -> list[str]:
    """The section in lines of 80 characters: each recipe's validation accuracy, and the differences between recipes."""
    cells = section.frames["comparison"].to_dict("records")
    rows = [("recipe", "seeds", "validation accuracy, 95 % interval", "minutes")]
    rows += [
        (row["recipe"], str(row["seeds"]), measure_text(row, "validation_accuracy"), f"{row['minutes']:.2f}")
        for row in cells
    ]
    table = section.frames["differences"].to_dict("records")
    found = [row for row in table if row["measure"] == "validation_accuracy"]
    rows_of_differences = [(_pair(row), _difference(row), row["verdict"]) for row in found]
    lines = aligned(rows)
    return [*lines, *(["", *aligned(rows_of_differences)] if rows_of_differences else [])]


def as_text(section: PageSection) -> str:
    """The section's tables for a terminal, without the one of single seeds, and its notes."""
    tables = [(caption, table) for caption, table in (*section.tables, *section.folded) if caption != _EVERY_SEED]
    blocks = ["\n".join([*filter(None, [caption]), *aligned([table.head, *table.rows])]) for caption, table in tables]
    return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in section.notes)]) + "\n"


def charts_of(recipes: RecipeRuns) -> tuple[Chart, ...]:
    """Validation accuracy by epoch and by time: means over the seeds, with the range of the seeds."""
    by_epoch, by_time, rows = [], [], []
    curves = _curves(recipes)
    last = max(curve["seconds"].mean(axis=0)[-1] for curve, _, _ in curves.values())
    scale, unit = (60, "minutes") if last >= _IN_MINUTES else (1, "seconds")
    for recipe, (curve, colour, dash) in curves.items():
        accuracy, seconds = 100 * curve["validation_accuracy"], curve["seconds"].mean(axis=0)
        epochs, means = list(range(1, len(seconds) + 1)), accuracy.mean(axis=0)
        look: dict[str, Any] = {"colour": colour, "dash": dash, "marker": "circle" if len(epochs) <= 12 else ""}
        if len(accuracy) > 1:
            look |= {"low": accuracy.min(axis=0), "high": accuracy.max(axis=0), "band": True}
        look["hover"] = [f"{recipe}, after epoch {epoch}" for epoch in epochs]
        by_epoch.append(Series(epochs, means, recipe, size=3, **look))
        by_time.append(Series(seconds / scale, means, recipe, size=3, **look))
        rows += [
            (recipe, str(e), digits(s, 1), f"{m:.2f} %", str(len(accuracy)))
            for e, s, m in zip(epochs, seconds, means, strict=True)
        ]
    y = ChartAxis("validation accuracy, %", number=".2f", unit=" %")
    note = "Mean over the seeds; bars reach from the lowest to the highest."
    head = ("recipe", "epoch", "seconds", "validation accuracy", "seeds")
    return tuple(
        Chart(
            f"recipes-{name}",
            f"Validation accuracy {title}",
            Plot(axis, y, tuple(series)),
            TextTable(
                tuple(h for h in head if h != left),
                tuple(tuple(c for c, h in zip(r, head, strict=True) if h != left) for r in rows),
            ),
            note,
        )
        for name, title, axis, series, left in (
            ("epochs", "by epoch", ChartAxis("epoch", "whole"), by_epoch, "seconds"),
            ("time", "by time", ChartAxis(f"{unit} of training"), by_time, "epoch"),
        )
    )


def _curves(recipes: RecipeRuns) -> dict[str, tuple[dict[str, np.ndarray], str, Dash]]:
    """Recipe -> (column -> (seeds, epochs), colour, dash), up to the last epoch that all its seeds have reached.

    With several factors, the last one with few enough values sets the dash, and the others the colour.
    """
    levels = {name: list(dict.fromkeys(recipes.runs[name])) for name in recipes.factors}
    dashed = [name for name in recipes.factors if len(levels[name]) <= len(_DASHES)][-1:]
    dashed = dashed if len(recipes.factors) > 1 else []
    colours: dict[tuple, str] = {}
    curves = {}
    for recipe, mine in groups(recipes.epochs, "recipe"):
        first = mine.iloc[0]
        coloured = tuple(first[name] for name in recipes.factors if name not in dashed)
        common = min(by_seed["epoch"].max() for _, by_seed in groups(mine, "seed"))
        table = mine[mine["epoch"] <= common].pivot(index="seed", columns="epoch")
        curves[str(recipe)] = (
            {column: table[column].to_numpy(float) for column in ("validation_accuracy", "seconds")},
            colours.setdefault(coloured, PALETTE[len(colours) % len(PALETTE)]),
            _DASHES[levels[dashed[0]].index(first[dashed[0]])] if dashed else "solid",
        )
    return curves


def _summary_table(cells: pd.DataFrame) -> TextTable:
    measures = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "minutes", "best_epoch")
    rows = tuple(
        (
            row["recipe"],
            count(row["seeds"]),
            *(measure_text(row, measure) for measure in measures),
            count(row["trainable_parameters"]),
        )
        for row in cells.to_dict("records")
    )
    return TextTable(("recipe", "seeds", *map(words, measures), "trainable parameters"), rows)


def _reaching_table(reaching: pd.DataFrame, column: str) -> TextTable:
    names = list(dict.fromkeys(reaching["reach"]))
    rows = []
    for recipe, mine in groups(reaching, "recipe"):
        by_name = {row["reach"]: row for row in mine.to_dict("records")}
        rows.append((str(recipe), *(by_name[n]["note"] or measure_text(by_name[n], column) for n in names)))
    return TextTable(("recipe", *names), tuple(rows))


def _difference_table(table: pd.DataFrame) -> TextTable:
    rows = []
    for row in table.to_dict("records"):
        size = _difference(row)
        p = "–" if math.isnan(row["p"]) else f"{row['p']:.2g}"
        rows.append((words(row["measure"]), f"{row['b']} - {row['a']}", row["held"], size, p, row["verdict"]))
    return TextTable(("measure", "recipes", "with", "difference", "sign-flip p", "verdict"), tuple(rows))


def _pair(row: Mapping[str, Any]) -> str:
    """The two recipes of a difference and what both have in common."""
    return " ".join(filter(None, [f"{row['b']} - {row['a']}", row["held"]]))


def _difference(row: Mapping[str, Any]) -> str:
    """The difference between two recipes with its interval, in points or minutes; a dash if there is no pair."""
    scale, unit = (100, "points") if row["measure"].endswith("accuracy") else (1, "minutes")
    ends = [scale * row[name] for name in ("difference", "low", "high")]
    size = "–" if math.isnan(ends[0]) else f"{ends[0]:+.2f} {unit}"
    return size if math.isnan(ends[1]) else f"{size} [{ends[1]:+.2f}, {ends[2]:+.2f}]"


def _seed_table(runs: pd.DataFrame) -> TextTable:
    rows = tuple(
        (row["recipe"], row["run"], str(row["seed"]), *(measure_text(row, measure) for measure in MEASURES))
        for row in runs.to_dict("records")
    )
    return TextTable(("recipe", "run", "seed", *map(words, MEASURES)), rows)


def measure_text(row: Mapping[str, Any], name: str, plain: bool = False) -> str:
    """A number with its interval if the row has one; accuracies are in percent, or in [0, 1] if `plain`."""
    low, high = (row.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
    known = None if math.isnan(low) else (low, high)
    if name.endswith("accuracy") and not plain:
        return percent_with_interval(row[name], known)
    return with_interval(row[name], known, _PLACES.get(name, 4))
