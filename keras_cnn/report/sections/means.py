"""Grouped means beside published ones: as tables and charts of the page, and as the files of a sweep's analysis."""

import math
from collections.abc import Mapping
from pathlib import Path

from keras_cnn.figures import style
from keras_cnn.figures import sweep as figures
from keras_cnn.report import sweep_charts as charts
from keras_cnn.report.published_means import HELD_OUT, MeansBeside, TableBeside, measured_name, order_sentence
from keras_cnn.report.sections.shapes import Chart, Table, plotted
from keras_cnn.report.sections.text import count, digits
from keras_cnn.run_folder import replacing
from keras_cnn.sweeps.factors import short_names, show
from keras_cnn.sweeps.table import ACCURACIES, words

_CONVENTION = (
    "every mean is over all epochs of all runs of its group; accuracies in percent, their differences in points,"
    " measured minus published"
)
_OVERFIT = "overfit% = 100 (train - held-out accuracy), where an epoch below 0 counts as 0"
_ORDER = (
    "pairs: of two groups, those in the same order on both sides; p: of Kendall's tau, two-sided, exact without ties,"
    " at best 0.083 for 4 groups and 0.0028 for 6; the tables are of the same runs, so their p are not independent"
)


def grids(found: MeansBeside) -> list[tuple[str, Table]]:
    """A table a published table, with the published mean, the measured one and their difference."""
    short = names_of(found)
    return [(f"By {_by(table, short)}", _grid(table, short, found.held_out)) for table in found.tables]


def orders(found: MeansBeside) -> Table:
    """How far the groups of each table stand in the published order, a row a mean."""
    short = names_of(found)
    rows = (
        (
            _by(table, short),
            _name(measured_name(mean, found.held_out)),
            count(order.groups),
            f"{order.same} of {order.pairs}",
            digits(order.spearman, 2),
            digits(order.kendall, 2),
            f"{order.p:.2g}",
        )
        for table in found.tables
        for mean, order in table.orders.items()
    )
    head = ("groups by", "mean", "groups", "pairs in the published order", "Spearman's rho", "Kendall's tau", "p")
    return Table(head, tuple(rows))


def order_sentences(found: MeansBeside) -> list[str]:
    """A sentence a table on the order of its groups in held-out accuracy."""
    short = names_of(found)
    return [text for table in found.tables if (text := order_sentence(table, short, found.held_out))]


def hindered(found: MeansBeside) -> str:
    """What hinders the comparison, as one sentence."""
    return f"What is not the same: {'; '.join(found.hindrances)}" if found.hindrances else ""


def notes(found: MeansBeside) -> list[str]:
    """How the numbers were made, on both sides."""
    overfit = [_OVERFIT] if any("overfit_percent" in table.means for table in found.tables) else []
    explained = [_ORDER] if any(table.orders for table in found.tables) else []
    source = f"source: {'; '.join(table.source for table in found.tables)}"
    return [_CONVENTION, *overfit, *explained, *(f"of the publication: {text}" for text in found.caveats), source]


def drawn(found: MeansBeside) -> list[Chart]:
    """The held-out accuracy of each group, published and measured, a chart a table."""
    short = names_of(found)
    note = f"Filled: measured {words(found.held_out)}. Hollow: published test accuracy, the highest on top."
    made = []
    for table, (_, grid) in zip(found.tables, grids(found), strict=True):
        rows = [charts.Row(label, *numbers, hover=hover) for label, numbers, hover in _marks(table)]
        if not rows:
            continue
        figure = charts.intervals(rows, f"{words(found.held_out)}, %", zero=False)
        name = f"study-beside-{len(made)}"
        made.append(Chart(name, f"By {_by(table, short)}", plotted(figure), grid, note, "tall"))
    return made


def names_of(found: MeansBeside) -> dict[str, str]:
    """Field -> its short name among those of the grid."""
    return short_names(list(dict.fromkeys(name for table in found.tables for name in table.by)))


def write(found: MeansBeside, folder: Path) -> list[Path]:
    """Writes published_means.csv, and published_means.png where there are groups to draw; gives their paths."""
    place = folder / "published_means.csv"
    with replacing(place) as temporary:
        found.frame().to_csv(temporary, index=False)
    short = names_of(found)
    rows = [
        figures.Row(f"By {_by(table, short)}", label, *numbers)
        for table in found.tables
        for label, numbers, _ in _marks(table)
    ]
    if not rows:
        return [place]
    figure = figures.intervals(
        rows,
        f"mean {words(found.held_out)} beside the published test accuracy, %",
        f"Grouped means beside those of {found.name}",
        "; ".join(["means over all epochs of all runs", *found.hindrances]),
        other="published",
        value_name="measured",
    )
    picture = folder / "published_means.png"
    style.save(figure, picture)
    return [place, picture]


def _by(table: TableBeside, short: Mapping[str, str]) -> str:
    return " and ".join(short[name] for name in table.by)


def _marks(table: TableBeside) -> list[tuple[str, tuple[float, float, float, float], str]]:
    """(label, (measured, no interval, published), hover) of each group that has both, in percent; the best first."""
    kept = table.rows[(table.rows["mean"] == HELD_OUT) & table.rows["measured"].notna()]
    made = []
    for row in kept.sort_values("published", ascending=False, kind="stable").to_dict("records"):
        label = " × ".join(show(row[name]) for name in table.by)
        measured, published = 100 * row["measured"], 100 * row["published"]
        hover = f"{label}: measured {measured:.2f} %, published {published:.2f} %"
        made.append((label, (measured, math.nan, math.nan, published), hover))
    return made


def _grid(table: TableBeside, short: Mapping[str, str], held_out: str) -> Table:
    head = [*(short[name] for name in table.by), "cells"]
    for mean in table.means:
        measured = measured_name(mean, held_out)
        names = (_name(mean), _name(measured)) if measured != mean else (_name(mean),) * 2
        head += [f"{names[0]}, published", f"{names[1]}, measured", "difference"]
    rows = []
    for levels, group in table.rows.groupby(list(table.by), sort=False):
        first = group.iloc[0]
        cells = [*map(show, levels), f"{first['cells']} of {first['published_cells']}"]
        for row in group.to_dict("records"):
            cells += [_number(row["mean"], row["published"]), _number(row["mean"], row["measured"])]
            cells.append(_number(row["mean"], row["difference"], sign="+"))
        rows.append(tuple(cells))
    return Table(tuple(head), tuple(rows))


def _name(mean: str) -> str:
    return "overfit%" if mean == "overfit_percent" else words(mean)


def _number(mean: str, value: float, sign: str = "") -> str:
    """In percent, in percent points, as a count, or as it is; a dash for what is not known."""
    if not math.isfinite(value):
        return "–"
    scale, places = (100, 2) if mean in ACCURACIES else (1, {"parameters": 0, "overfit_percent": 2}.get(mean, 4))
    return f"{scale * value:{sign},.{places}f}".replace("-", "−")
