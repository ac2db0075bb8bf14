"""Grouped means beside published ones: the tables that a report printed for a grid, and the same means of other runs.

An experiment of `published/*.yaml` may have `means`: the `grid` with its levels, and `tables`, each with the fields
that it groups by (or `epoch`), the names of its means, and one row per group. Every mean is over all epochs of all runs
of the group, the default of `grouped_means`; the runs' own means cover the same cells and are computed the same way.
`accurate_epochs` are means over those epochs alone whose held-out accuracy is above a limit.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from keras_cnn import publications
from keras_cnn.analysis.factors import show
from keras_cnn.analysis.grouped import grouped_means
from keras_cnn.analysis.table import groups, listed, words
from keras_cnn.errors import InputError
from keras_cnn.messages import counted
from keras_cnn.publications import PublishedDataset
from keras_cnn.run_folder.record import Record

EPOCH = "epoch"
HELD_OUT = "test_accuracy"  # the mean whose order is reported
_SWAPPED = 4  # swapped pairs that a sentence names


@dataclass(frozen=True)
class PublishedTable:
    """One printed table of means."""

    by: tuple[str, ...]  # fields of a config, or epoch
    means: tuple[str, ...]  # loss, train_accuracy, test_accuracy, overfit_percent, parameters
    rows: tuple[tuple[tuple[Any, ...], tuple[float, ...]], ...]  # (levels, means) of each group
    source: str


@dataclass(frozen=True)
class AccurateEpochs:
    """A printed mean over the epochs, of all runs of the grid, with a test accuracy above a limit."""

    above: float  # of the accuracy, in [0, 1]
    mean: str  # such as overfit_percent
    published: float
    source: str


@dataclass(frozen=True)
class PublishedGrid:
    """The grid of runs behind the tables."""

    name: str  # REPORT/EXPERIMENT
    levels: Mapping[str, tuple[Any, ...]]
    conditions: Mapping[str, Any]  # fields that all its runs share
    dataset: PublishedDataset
    caveats: tuple[str, ...]
    tables: tuple[PublishedTable, ...]
    accurate_epochs: tuple[AccurateEpochs, ...] = ()

    @property
    def cells(self) -> list[tuple[Any, ...]]:
        return list(itertools.product(*self.levels.values()))


@dataclass(frozen=True)
class Order:
    """How well two lists of numbers agree on the order of the same groups."""

    groups: int
    same: int  # pairs of groups in the same order in both
    swapped: tuple[tuple[int, int], ...]  # pairs in the opposite order, by index
    spearman: float
    kendall: float  # tau-b
    p: float  # of Kendall's tau, two-sided; exact without ties

    @property
    def pairs(self) -> int:
        return self.groups * (self.groups - 1) // 2


@dataclass(frozen=True)
class MeansTable:
    """One printed table with the runs' own means."""

    by: tuple[str, ...]
    means: tuple[str, ...]  # as published
    # One row per group and mean: the levels, then mean, published, measured (NaN without runs), difference, runs,
    # rows, cells (those of the grid with runs) and published_cells.
    rows: pd.DataFrame
    orders: Mapping[str, Order]  # by mean, where two groups or more can be compared
    source: str


@dataclass(frozen=True)
class AccurateEpochsMean:
    """A mean of `AccurateEpochs` beside that of the runs' own epochs above the limit."""

    printed: AccurateEpochs
    measured: float  # NaN without such epochs
    runs: int  # with such epochs
    rows: int  # epochs
    cells: int  # of the grid, with such epochs
    published_cells: int


@dataclass(frozen=True)
class MeansComparison:
    """All tables of a grid, and what hinders the comparison, in words."""

    name: str
    held_out: str  # the column that stands beside the published test accuracy
    hindrances: tuple[str, ...]
    caveats: tuple[str, ...]  # of the publication
    tables: tuple[MeansTable, ...]
    accurate_epochs: tuple[AccurateEpochsMean, ...] = ()

    def frame(self) -> pd.DataFrame:
        """Every mean in one table: `by` and `group` as text, the columns of `MeansTable.rows`, and `source`."""
        parts = []
        for table in self.tables:
            groups = [", ".join(map(show, levels)) for levels in table.rows[list(table.by)].itertuples(index=False)]
            described = {"by": ", ".join(table.by), "group": groups}
            measured_as = [measured_name(mean, self.held_out) for mean in table.rows["mean"]]
            plain = table.rows.drop(columns=list(table.by))
            parts.append(plain.assign(**described, measured_as=measured_as, source=table.source))
        parts += [pd.DataFrame([_accurate_row(each, self.held_out)]) for each in self.accurate_epochs]
        first = ["by", "group", "mean", "measured_as"]
        joined = pd.concat(parts, ignore_index=True)
        return pd.DataFrame(joined[[*first, *(name for name in joined if name not in first)]])


def _accurate_row(each: AccurateEpochsMean, held_out: str) -> dict[str, Any]:
    """The row of `MeansComparison.frame` for a mean over accurate epochs."""
    printed = each.printed
    return {
        "by": "epochs by held-out accuracy",
        "group": f"above {show(printed.above)}",
        "mean": printed.mean,
        "measured_as": measured_name(printed.mean, held_out),
        "published": printed.published,
        "measured": each.measured,
        "difference": each.measured - printed.published,
        "runs": each.runs,
        "rows": each.rows,
        "cells": each.cells,
        "published_cells": each.published_cells,
        "source": printed.source,
    }


def measured_name(mean: str, held_out: str) -> str:
    """The measured column for a published mean: `held_out` for test accuracy, else the same name."""
    return held_out if mean == HELD_OUT else mean


def read_grid(name: str) -> PublishedGrid | None:
    """The tables of means of an experiment such as "cs7015/net1"; None if it has none.

    Raises InputError, with the nearest name, for an unknown experiment.
    """
    report, publication, experiment = publications.experiment(name)
    if "means" not in experiment:
        return None
    means = experiment["means"]
    levels = {field: tuple(values) for field, values in means["grid"].items()}
    tables = tuple(
        PublishedTable(
            by=tuple(table["by"]),
            means=tuple(table["means"]),
            rows=tuple((tuple(row[: len(table["by"])]), tuple(row[len(table["by"]) :])) for row in table["rows"]),
            source=f"{report.upper()}, {table['source']}",
        )
        for table in means["tables"]
    )
    conditions = {field: value for field, value in experiment.get("conditions", {}).items() if field not in levels}
    caveats = (*experiment.get("caveats", ()), *means.get("caveats", ()))
    accurate = tuple(
        AccurateEpochs(**entry | {"source": f"{report.upper()}, {entry['source']}"})
        for entry in means.get("accurate_epochs", ())
    )
    return PublishedGrid(name, levels, conditions, publications.dataset_of(publication), caveats, tables, accurate)


def compare_means(
    epochs: pd.DataFrame, columns: Mapping[str, str], record: Record, grid: PublishedGrid
) -> MeansComparison:
    """The means of these runs beside the published ones.

    `epochs` has one row per run and epoch, `columns` has the column of each field that varies among the runs, and
    `record` is one of the runs, for the fields that they share. Only runs in a cell of the published grid are used.

    Raises InputError if no run lies in the grid, or if the runs are of another model or other images.
    """
    model, own = grid.conditions.get("model.name"), record.config.get("model.name")
    if model != own:
        raise InputError(f"the runs are of {own}, the means of {grid.name} are of {model}")
    if other := publications.other_images(record, grid.dataset):
        raise InputError(f"the means of {grid.name}: {other}")
    table, outside = _inside(_with_fields(epochs, columns, record, grid), grid)
    held_out = HELD_OUT if _has_all(table, HELD_OUT) else "validation_accuracy"
    tables, notes = [], []
    for printed in grid.tables:
        measured = grouped_means(table, printed.by)
        notes += measured.attrs["notes"]
        tables.append(_measured_table(printed, measured, table, grid, held_out))
    accurate = tuple(_over_accurate_epochs(each, table, grid, held_out) for each in grid.accurate_epochs)
    hindrances = [
        *_other_conditions(table, columns, record, grid),
        *_held_out(held_out, record),
        *publications.other_counts(record, grid.dataset),
        *publications.parts_of_images(record, grid.conditions),
        *_cells(table, grid, outside),
        *notes,
    ]
    said = tuple(dict.fromkeys(hindrances))
    return MeansComparison(grid.name, held_out, said, grid.caveats, tuple(tables), accurate)


def order(published_means: Sequence[float], measured_means: Sequence[float]) -> Order | None:
    """How well two lists agree on the order; None for fewer than two groups, or if a list is constant."""
    a, b = np.asarray(published_means, float), np.asarray(measured_means, float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    signs = {(i, j): np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in itertools.combinations(range(len(a)), 2)}
    tau, p = np.array(stats.kendalltau(a, b), float).tolist()
    return Order(
        groups=len(a),
        same=sum(1 for sign in signs.values() if sign > 0),
        swapped=tuple(pair for pair, sign in signs.items() if sign < 0),
        spearman=float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]),
        kendall=tau,
        p=p,
    )


def accurate_sentence(each: AccurateEpochsMean, held_out: str) -> str:
    """The published mean over accurate epochs and the measured one."""
    printed, limit = each.printed, f"{100 * each.printed.above:g} %"
    name = "overfit%" if printed.mean == "overfit_percent" else words(printed.mean)
    text = f"Over all epochs with a test accuracy above {limit} the published mean {name} is {printed.published:g}"
    if not each.rows:
        return f"{text}; here no epoch has a {words(held_out)} above {limit}"
    of = f"{counted(each.rows, 'epoch')} of {counted(each.runs, 'run')} with a {words(held_out)} above {limit}"
    return f"{text}; here it is {each.measured:.2f} over {of}"


def order_sentence(table: MeansTable, short: Mapping[str, str], held_out: str) -> str:
    """Whether the published order of the groups holds in held-out accuracy, with the statistics; "" if unknown."""
    agreement = table.orders.get(HELD_OUT)
    if agreement is None:
        return ""
    by = " and ".join(short.get(name, name) for name in table.by)
    same, pairs = agreement.same, agreement.pairs
    kept = "holds" if same == pairs else "does not hold" if not same else "holds in part"
    text = f"By {by} the published order of the {agreement.groups} groups {kept} in {words(held_out)}: {same} of "
    text += f"{pairs} pairs" if pairs > 1 else "1 pair"
    if agreement.groups > 2:
        tau = f"Kendall's tau {agreement.kendall:.2f} (p {agreement.p:.2g})"
        text += f", Spearman's rho {agreement.spearman:.2f}, {tau}"
    if agreement.swapped and agreement.groups > 2:
        groups = list(_known(table.rows, HELD_OUT)[list(table.by)].itertuples(index=False, name=None))
        swapped = [f"{_group(groups[i])} and {_group(groups[j])}" for i, j in agreement.swapped]
        text += f"; the other way round: {listed(swapped, _SWAPPED)}"
    return text


# --- the runs' side ---------------------------------------------------------------------------------------------------


def _with_fields(epochs: pd.DataFrame, columns: Mapping[str, str], record: Record, grid: PublishedGrid) -> pd.DataFrame:
    """The table with a column for every field of the grid: its own column if it varies, else the common value."""
    fields = {}
    for field in grid.levels:
        if field in columns:
            fields[field] = epochs[columns[field]]
        elif record.config.get(field) is not None:
            fields[field] = record.config[field]
        else:
            raise InputError(f"the runs have no {field}, by which the means of {grid.name} are grouped")
    return epochs.drop(columns=[name for name in fields if name in epochs]).assign(**fields)


def _inside(table: pd.DataFrame, grid: PublishedGrid) -> tuple[pd.DataFrame, list[str]]:
    """The rows in a cell of the grid, and the names of the other runs."""
    cells = set(grid.cells)
    inside = np.array([cell in cells for cell in _cells_of(table, grid)], dtype=bool)
    if not inside.any():
        wanted = "; ".join(f"{field} {', '.join(map(show, levels))}" for field, levels in grid.levels.items())
        raise InputError(f"no run lies in the grid of {grid.name}: {wanted}")
    kept = pd.DataFrame(table[inside].reset_index(drop=True))
    return kept, sorted(set(table["run"].astype(str)) - set(kept["run"].astype(str)))


def _cells_of(table: pd.DataFrame, grid: PublishedGrid) -> list[tuple[Any, ...]]:
    return list(table[list(grid.levels)].itertuples(index=False, name=None))


def _has_all(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(np.all(table[column].notna()))


def _measured_table(
    printed: PublishedTable, means: pd.DataFrame, table: pd.DataFrame, grid: PublishedGrid, held_out: str
) -> MeansTable:
    own = {tuple(row[name] for name in printed.by): row for row in means.to_dict("records")}
    there = set(_cells_of(table, grid))
    rows = []
    for levels, values in printed.rows:
        at = dict(zip(printed.by, levels, strict=True))
        cells = [cell for cell in grid.cells if _agrees(dict(zip(grid.levels, cell, strict=True)), at)]
        row = own.get(levels, {})
        counts = {
            "runs": int(row.get("runs", 0)),
            "rows": int(row.get("rows", 0)),
            "cells": sum(cell in there for cell in cells) if row else 0,
            "published_cells": len(cells),
        }
        for mean, value in zip(printed.means, values, strict=True):
            measured = float(row.get(measured_name(mean, held_out), math.nan))
            numbers = {"published": float(value), "measured": measured, "difference": measured - value}
            rows.append(at | {"mean": mean} | numbers | counts)
    frame = pd.DataFrame(rows)
    known = {mean: _known(frame, mean) for mean in printed.means}
    orders = {mean: order(list(rows["published"]), list(rows["measured"])) for mean, rows in known.items()}
    return MeansTable(
        printed.by, printed.means, frame, {mean: each for mean, each in orders.items() if each}, printed.source
    )


def _over_accurate_epochs(
    printed: AccurateEpochs, table: pd.DataFrame, grid: PublishedGrid, held_out: str
) -> AccurateEpochsMean:
    accurate = pd.DataFrame(table[table[held_out] > printed.above]).assign(every="epoch")
    if not len(accurate):
        return AccurateEpochsMean(printed, math.nan, 0, 0, 0, len(grid.cells))
    (row,) = grouped_means(accurate, ["every"]).to_dict("records")
    value = float(row.get(measured_name(printed.mean, held_out), math.nan))
    there = set(_cells_of(accurate, grid))
    return AccurateEpochsMean(printed, value, int(row["runs"]), int(row["rows"]), len(there), len(grid.cells))


def _agrees(cell: Mapping[str, Any], at: Mapping[str, Any]) -> bool:
    return all(cell[name] == level for name, level in at.items() if name != EPOCH)


def _known(rows: pd.DataFrame, mean: str) -> pd.DataFrame:
    """The rows of the groups that have this mean on both sides."""
    return pd.DataFrame(rows[(rows["mean"] == mean) & rows["measured"].notna()])


def _group(levels: Sequence[Any]) -> str:
    return " × ".join(map(show, levels))


# --- what hinders -----------------------------------------------------------------------------------------------------


def _other_conditions(
    table: pd.DataFrame, columns: Mapping[str, str], record: Record, grid: PublishedGrid
) -> Iterator[str]:
    several = {
        field: " or ".join(map(show, sorted(set(table[column]), key=str)))
        for field, column in columns.items()
        if field in grid.conditions and column in table and len(set(table[column])) > 1
    }
    for text in publications.other_conditions(replace(record, config=record.config | several), grid.conditions):
        short_runs = text.startswith("train.epochs is ")
        yield text + ("; means over all epochs hold the first ones, whose accuracy is low" if short_runs else "")


def _held_out(held_out: str, record: Record) -> Iterator[str]:
    if held_out == HELD_OUT:
        return
    counts = record.split.get("counts")
    images = counts.get("validation") if isinstance(counts, dict) else None
    some = f"{images:,} validation" if isinstance(images, int) else "the validation"
    yield f"measured on {some} images, not on the test images, which these runs read at no epoch"


def _cells(table: pd.DataFrame, grid: PublishedGrid, outside: Sequence[str]) -> Iterator[str]:
    there = set(_cells_of(table, grid))
    if missing := [cell for cell in grid.cells if cell not in there]:
        names = listed([_group(cell) for cell in missing])
        fields = " × ".join(grid.levels)
        verb = "has" if len(missing) == 1 else "have"
        yield f"of the {len(grid.cells)} cells of the grid {len(missing)} {verb} no run ({fields}): {names}"
    if outside:
        yield f"left out, for they lie outside the published grid: {listed(outside)}"
    if all(len(set(cell["run"])) == 1 for _, cell in groups(table, list(grid.levels))):
        yield "one seed a cell, here and there, so that no mean has an interval"
