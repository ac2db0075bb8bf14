"""A measured ablation beside the published ablation of the same network, with all differences between the two."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_cnn import publications
from keras_cnn.charts import MUTED, ChartAxis, Plot, Series, png
from keras_cnn.csv_tables import csv_text
from keras_cnn.evaluation.comparison import Change
from keras_cnn.figures.style import BLUE
from keras_cnn.publications import PublishedAblation
from keras_cnn.run_folder import write_text
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.views.support.opened_model import OpenedModel
from keras_cnn.views.support.saving import SavedFigure, save_figure
from keras_cnn.visualization.ablation import Ablation, first_filters

ALL = "all images"
_COLUMNS = (
    *("class", "published_before", "published_after", "published_difference", "images"),
    *("before", "before_low", "before_high", "after", "after_low", "after_high"),
    *("difference", "difference_low", "difference_high", "mcnemar_p"),
)
_UNKNOWN = (float("nan"), float("nan"))


@dataclass(frozen=True)
class AblationRow:
    """The accuracies in [0, 1], before and after, of one class or of all images."""

    name: str
    published: tuple[float, float]
    decimals: int  # decimal places of the published numbers
    change: Change

    @property
    def measured(self) -> tuple[float, float]:
        if self.change.before is None or self.change.after is None:
            return _UNKNOWN
        return self.change.before, self.change.after

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the measured difference."""
        return self.change.difference_interval or _UNKNOWN


@dataclass(frozen=True)
class AblationBesidePublished:
    """The published table with the measured numbers beside it."""

    table: PublishedAblation
    rows: tuple[AblationRow, ...]
    differences: tuple[str, ...]  # between the two experiments

    def csv(self) -> str:
        """A row for each class and one for all images, then a comment line for each difference of the experiments."""
        rows = []
        for row in self.rows:
            before, after = (f"{value:.{row.decimals}f}" for value in row.published)
            difference = f"{row.published[1] - row.published[0]:+.{row.decimals}f}"
            c = row.change
            measured = (c.before, *c.before_interval, c.after, *c.after_interval, c.difference, *row.interval, c.p)
            rows.append((row.name, before, after, difference, c.images, *measured))
        comments = [f"# differs: {difference}\n" for difference in self.differences]
        comments += [f"# published: {caveat}\n" for caveat in self.table.caveats]
        return "".join([csv_text(_COLUMNS, rows), *comments, f"# source: {self.table.source}\n"])

    def lines(self) -> list[str]:
        """The table for the terminal."""
        width = max(len(row.name) for row in self.rows)
        head = f"{self.table.source} beside this run: accuracy in % before, after; difference in points"
        lines = [head, f"  {'':{width}}   {'published':<24}  measured, with 95 % interval of the difference"]
        for row in self.rows:
            printed = _in_percent(row.published, max(0, row.decimals - 2))
            measured = f"{_in_percent(row.measured, 2)}  [{100 * row.interval[0]:+.2f}, {100 * row.interval[1]:+.2f}]"
            lines.append(f"  {row.name:{width}}   {printed:<24}  {measured if row.change.images else 'no images'}")
        signs = [_sign(row.published) == _sign(row.measured) for row in self.rows[:-1] if row.change.images]
        lines.append(f"  the sign of the difference is the same for {sum(signs)} of {len(signs)} classes")
        return [*lines, *(f"  differs: {difference}" for difference in self.differences)]

    def as_json(self) -> dict:
        rows = {row.name: dict(zip(("before", "after"), row.published, strict=True)) for row in self.rows}
        differences = {"differences": list(self.differences), "caveats": list(self.table.caveats)}
        return {"source": self.table.source, "accuracies": rows, **differences}


def beside_published(opened: OpenedModel, ablation: Ablation, split: str) -> AblationBesidePublished | None:
    """An ablation on the images of `split` beside the published ablation that the config of the run names.

    None if the config names no published ablation, or one on other images.
    """
    name = None if opened.config is None else opened.config.published
    table = publications.ablation_of(name) if isinstance(name, str) else None
    if table is None or opened.run is None or opened.options.images:
        return None
    record = read_record(opened.run.path)
    changes = {name.lower(): change for name, change in ablation.comparison.per_class.items()}
    if publications.other_images(record, table.dataset) or set(changes) != set(table.classes):
        return None
    rows = [AblationRow(name, pair, table.decimals, changes[name]) for name, pair in table.classes.items()]
    rows.append(AblationRow(ALL, table.overall, table.overall_decimals, ablation.comparison.overall))
    return AblationBesidePublished(table, tuple(rows), tuple(_differences(opened, record, ablation, table, split)))


def _differences(
    opened: OpenedModel, record: Record, ablation: Ablation, table: PublishedAblation, split: str
) -> Iterator[str]:
    if split != table.split:
        yield f"the {split} split here, the {table.split} split there"
    images, whole = ablation.comparison.overall.images, publications.images_in(record, split)
    if whole and images != whole:
        yield f"{images:,} of the {whole:,} {split} images here"
    same = first_filters(opened.probe, convs=table.convolutions, filters=table.filters)
    if ablation.filters != same:
        yield f"other filters than the first {table.filters} of each of the first {table.convolutions} convolutions"
    if ablation.silent:
        yield "the batch norm behind each filter is silent too, and was not there"
    yield from publications.other_conditions(record, table.conditions)
    yield from publications.other_counts(record, table.dataset)
    yield from publications.parts_of_images(record, table.conditions)
    yield "another training: weights, order of the images and seed"


def _in_percent(pair: tuple[float, float], decimals: int) -> str:
    before, after = (100 * value for value in pair)
    return f"{before:6.{decimals}f} {after:6.{decimals}f} {after - before:+7.{decimals}f}"


def _sign(pair: tuple[float, float]) -> int:
    return (pair[1] > pair[0]) - (pair[1] < pair[0])


def draw_beside_published(published: AblationBesidePublished, out: Path, name: str) -> SavedFigure:
    """The two tables as a figure and as CSV; `name` says which network and images were measured."""
    write_text(out / "ablation-published.csv", published.csv())
    rows, table = published.rows, published.table
    names = [row.name for row in rows]
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in ("published", "measured", "interval")}
    title = f"{name}: the ablation beside that of {table.source}"
    caption = f"Differs: {'; '.join(published.differences)}. Published: {'; '.join(table.caveats)}."
    figure = png.figure(class_accuracies(names, *columns.values()), title, caption)
    first, *table = published.lines()
    saved = save_figure(out, "ablation-published", figure, {"names": names, **columns}, first)
    return replace(saved, table=tuple(table))


def class_accuracies(
    names: Sequence[str], published: np.ndarray, measured: np.ndarray, intervals: np.ndarray
) -> tuple[Plot, Plot]:
    """Published and measured accuracies of each class, before and after the ablation, and their differences.

    `published` and `measured` (R, 2) are shares in [0, 1], before and after, or NaN; `intervals` (R, 2) belong to
    the measured difference.
    """
    rows, accuracies, differences = np.arange(len(names)), [], []
    for values, colour, shift, name in ((published, MUTED, -0.17, "published"), (measured, BLUE, 0.17, "measured")):
        before, after = 100 * values.T
        look: dict[str, Any] = {"y": rows + shift, "colour": colour, "size": 4.5}
        ends = {"low": np.minimum(before, after), "high": np.maximum(before, after), "across": True}
        accuracies += [
            Series(before, **look, width=1, **ends),
            Series(before, **look, label=f"{name}, before", marker="circle", hollow=True),
            Series(after, **look, label=f"{name}, after", marker="circle"),
        ]
        low, high = 100 * intervals.T if name == "measured" else ((), ())
        differences.append(Series(after - before, **look, marker="circle", low=low, high=high, across=True))
    kind: dict[str, Any] = {"rows": tuple(names), "row_height": 36}
    return (
        Plot(ChartAxis("accuracy, %"), ChartAxis(), tuple(accuracies), **kind),
        Plot(
            ChartAxis("difference in points, 95 % interval"),
            ChartAxis(),
            tuple(differences),
            verticals=((0, ""),),
            **kind,
        ),
    )
