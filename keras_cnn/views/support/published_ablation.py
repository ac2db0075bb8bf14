"""A measured ablation beside the published ablation of the same network, with all differences between the two."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from keras_cnn import publications
from keras_cnn.evaluation.comparison import Change
from keras_cnn.figures import style
from keras_cnn.figures.panels import broken
from keras_cnn.figures.style import BLUE, GREY, HEADER, MARGIN, SMALL_SIZE, WIDTH, fit, new_figure, styled
from keras_cnn.messages import csv_text
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
_LEGEND = 0.25  # inches


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
    differs = f"Not the same: {'; '.join(published.differences)}."
    note = f"{differs}\nPublished: {'; '.join(table.caveats)}."
    figure = class_accuracies(names, *columns.values(), title=title, note=note)
    first, *table = published.lines()
    saved = save_figure(out, "ablation-published", figure, {"names": names, **columns}, first)
    return replace(saved, table=tuple(table))


@styled
def class_accuracies(
    names: Sequence[str], published: ArrayLike, measured: ArrayLike, intervals: ArrayLike, *, title: str, note: str
) -> Figure:
    """Published and measured accuracies of each class, before and after the ablation, and their differences.

    `published` and `measured` (R, 2) are shares in [0, 1], before and after, or NaN; `intervals` (R, 2) belong to
    the measured difference. The lines of the `note` stand below. Raises ValueError for other lengths.
    """
    published, measured, intervals = (np.asarray(values, np.float64) for values in (published, measured, intervals))
    if not published.shape == measured.shape == intervals.shape == (len(names), 2):
        raise ValueError(f"{published.shape}, {measured.shape} and {intervals.shape} for {len(names)} rows")
    note = broken(note, WIDTH - 2 * MARGIN)
    below = 1.4 * SMALL_SIZE * style.POINT * (note.count("\n") + 1) + 2 * MARGIN
    height = HEADER + _LEGEND + 0.3 * len(names) + 0.6 + below
    figure = new_figure(WIDTH, height, title, layout=None)
    figure.set_layout_engine("constrained", rect=(0, below / height, 1, 1 - (below + HEADER + _LEGEND) / height))
    place = {"x": MARGIN / WIDTH, "y": MARGIN / height, "va": "bottom"}
    figure.text(s=note, **place, fontsize=SMALL_SIZE, color=GREY, linespacing=1.3)
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(names))
    for values, colour, shift, name in ((published, GREY, -0.17, "published"), (measured, BLUE, 0.17, "measured")):
        before, after = 100 * values.T
        left.hlines(rows + shift, before, after, color=colour, linewidth=1)
        look = {"color": colour, "markersize": 4.5, "linestyle": ""}
        left.plot(before, rows + shift, "o", **look | {"markerfacecolor": "white"}, label=f"{name}, before")
        left.plot(after, rows + shift, "o", **look, label=f"{name}, after")
        right.plot(after - before, rows + shift, "o", **look)
    right.hlines(rows + 0.17, *(100 * intervals.T), color=BLUE, linewidth=1.2)
    right.axvline(0, color=GREY, linewidth=0.8)
    left.set_yticks(rows, [fit(name, SMALL_SIZE, 1.6) for name in names])
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_title("accuracy in %")
    right.set_title("difference in points, 95 % interval")
    for axes in (left, right):
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    figure.legend(*left.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0, 1 - HEADER / height), ncols=4)
    return figure
