"""An ablation beside the one that was published of the same network, with all that is not the same."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from keras_cnn import publications
from keras_cnn.evaluation.comparison import Change
from keras_cnn.publications import PublishedAblation as Table
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.visualization.ablation import Ablation, first_filters

ALL = "all images"
_COLUMNS = (
    *("class", "published_before", "published_after", "published_difference", "images"),
    *("before", "before_low", "before_high", "after", "after_low", "after_high"),
    *("difference", "difference_low", "difference_high", "mcnemar_p"),
)
_NONE = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Row:
    """One class, or all images: accuracies in [0, 1], before and after."""

    name: str
    published: tuple[float, float]
    decimals: int  # places of the published ones that are printed
    change: Change

    @property
    def measured(self) -> tuple[float, float]:
        return _NONE if self.change.before is None else (self.change.before, self.change.after)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the measured difference."""
        return self.change.difference_interval or _NONE


@dataclass(frozen=True)
class Beside:
    """The published table and the measured one."""

    table: Table
    rows: tuple[Row, ...]
    hindrances: tuple[str, ...]  # what is not the same

    def csv(self) -> str:
        """A row a class and one of all images, then a line for everything that is not the same."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            before, after = (f"{value:.{row.decimals}f}" for value in row.published)
            difference = f"{row.published[1] - row.published[0]:+.{row.decimals}f}"
            c = row.change
            measured = (c.before, *c.before_interval, c.after, *c.after_interval, c.difference, *row.interval, c.p)
            writer.writerow([row.name, before, after, difference, c.images, *measured])
        text.writelines(f"# not the same: {hindrance}\n" for hindrance in self.hindrances)
        text.writelines(f"# published: {caveat}\n" for caveat in self.table.caveats)
        text.write(f"# source: {self.table.source}\n")
        return text.getvalue()

    def lines(self) -> list[str]:
        """The table for the terminal."""
        width = max(len(row.name) for row in self.rows)
        head = f"{self.table.source} beside this run: accuracy in % before, after; difference in points"
        lines = [head, f"  {'':{width}}   {'published':<24}  measured, with 95 % interval of the difference"]
        for row in self.rows:
            places = max(0, row.decimals - 2)
            printed = _shown(row.published, places)
            measured = f"{_shown(row.measured, 2)}  [{100 * row.interval[0]:+.2f}, {100 * row.interval[1]:+.2f}]"
            lines.append(f"  {row.name:{width}}   {printed:<24}  {measured if row.change.images else 'no images'}")
        signs = [_sign(row.published) == _sign(row.measured) for row in self.rows[:-1] if row.change.images]
        lines.append(f"  the sign of the difference is the same for {sum(signs)} of {len(signs)} classes")
        return [*lines, *(f"  not the same: {hindrance}" for hindrance in self.hindrances)]

    def as_json(self) -> dict:
        rows = {row.name: dict(zip(("before", "after"), row.published, strict=True)) for row in self.rows}
        told = {"not_the_same": list(self.hindrances), "caveats": list(self.table.caveats)}
        return {"source": self.table.source, "accuracies": rows, **told}


def beside(subject: OpenedModel, found: Ablation, split: str) -> Beside | None:
    """The ablation that the run's config names, beside this one of its `split`.

    None where it names none, or one of other images.
    """
    name = None if subject.config is None else subject.config.published
    table = publications.ablation_of(name) if isinstance(name, str) else None
    if table is None or subject.run is None or subject.asked.images:
        return None
    record = read_record(subject.run.path)
    changes = {name.lower(): change for name, change in found.comparison.per_class.items()}
    if publications.other_images(record, table.dataset) or set(changes) != set(table.classes):
        return None
    rows = [Row(name, pair, table.decimals, changes[name]) for name, pair in table.classes.items()]
    rows.append(Row(ALL, table.overall, table.overall_decimals, found.comparison.overall))
    return Beside(table, tuple(rows), tuple(_hindrances(subject, record, found, table, split)))


def _hindrances(subject: OpenedModel, record: Record, found: Ablation, table: Table, split: str) -> Iterator[str]:
    if split != table.split:
        yield f"the {split} split here, the {table.split} split there"
    same = first_filters(subject.probe, convs=table.convolutions, filters=table.filters)
    if found.filters != same:
        yield f"other filters than the first {table.filters} of each of the first {table.convolutions} convolutions"
    if found.silent:
        yield "the batch norm behind each filter is silent too, and was not there"
    yield from publications.other_conditions(record, table.conditions)
    yield from publications.other_counts(record, table.dataset)
    yield from publications.parts_of_images(record, table.conditions)
    yield "another training: weights, order of the images and seed"


def _shown(pair: tuple[float, float], places: int) -> str:
    before, after = (100 * value for value in pair)
    return f"{before:6.{places}f} {after:6.{places}f} {after - before:+7.{places}f}"


def _sign(pair: tuple[float, float]) -> int:
    return (pair[1] > pair[0]) - (pair[1] < pair[0])
