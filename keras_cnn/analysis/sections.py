"""Sections as data: what the page shows of an analysis, and what its folder of files holds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from keras_cnn.analysis.factors import short_names, show, usable, varied
from keras_cnn.analysis.importance import importance, ranked
from keras_cnn.analysis.run_tables import RunTable
from keras_cnn.analysis.table import ACCURACIES, factors_of, words
from keras_cnn.charts import Chart, TextTable, png
from keras_cnn.charts.text import count, duration, percent
from keras_cnn.csv_tables import csv_cell
from keras_cnn.errors import InputError
from keras_cnn.messages import capitalised
from keras_cnn.run_folder import replacing

Tables = tuple[tuple[str, TextTable], ...]  # captions with tables


@dataclass(frozen=True)
class ChartFile:
    """A picture in the folder: charts side by side under one title."""

    file: str  # path below the folder, without suffix
    charts: tuple[Chart, ...]
    title: str = ""  # if empty, the chart's own
    caption: str = ""


@dataclass(frozen=True)
class PageSection:
    """One section of the page, and the files with the same content."""

    name: str = ""  # its id on the page
    title: str = ""
    short: str = ""  # in the page's bar
    warnings: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()  # sentences with the answer, before everything else
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: Tables = ()  # always shown
    folded: Tables = ()
    code: tuple[tuple[str, str], ...] = ()  # captions and texts to copy; the first is always shown
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # file below the folder, without suffix -> table
    pictures: tuple[ChartFile, ...] = ()


def write_section(folder: Path, section: PageSection) -> list[Path]:
    """Writes the section's tables as CSV and its pictures as PNG into `folder`, and returns their paths."""
    paths = [write_frame(folder / f"{name}.csv", frame) for name, frame in section.frames.items()]
    for picture in section.pictures:
        path = folder / f"{picture.file}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        png.write(picture.charts, path, picture.title, picture.caption)
        paths.append(path)
    return paths


def write_frame(path: Path, frame: pd.DataFrame) -> Path:
    """Writes a table as CSV, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        cells = frame.apply(lambda column: column.map(csv_cell) if column.dtype.kind == "O" else column)
        cells.columns = [csv_cell(name) for name in cells.columns]
        cells.to_csv(temporary, index=False)
    return path


class AnalysedRuns:
    """What the sections share: the tables, the order of the settings, and how the metric is printed."""

    def __init__(self, table: RunTable):
        self.table, self.runs, self.epochs, self.metric = table, table.runs, table.epochs, table.metric
        self.kept, self.left_out = usable(table.runs, table.metric)
        self.short = short_names(factors_of(table.runs))
        self.order = [factor.name for factor in varied(self.kept)]  # the most important first, once that is known
        self.importance: pd.DataFrame | InputError
        try:
            self.importance = importance(table.runs, table.metric)
            self.order = ranked(self.importance)
        except InputError as error:
            self.importance = error

    @property
    def word(self) -> str:
        """The metric's name in a sentence."""
        return words(self.metric)

    @property
    def capital(self) -> str:
        """The metric's name at the beginning of a sentence."""
        return capitalised(self.word)

    @property
    def axis(self) -> str:
        return axis_title(self.metric)

    @property
    def scale(self) -> float:
        return scale_of(self.metric)

    def values(self, series: Iterable[Any]) -> list[float]:
        """Values of the metric as the charts show them."""
        return [self.scale * float(value) for value in series]

    def text(self, value: float) -> str:
        """A value of the metric as the page prints it."""
        return printed(self.metric, value)

    def label(self, name: str) -> str:
        """The short name of a setting, or of one of its values: NAME=VALUE."""
        setting, equals, level = name.partition("=")
        return self.short.get(setting, setting) + equals + level


def scale_of(column: str) -> float:
    """100 for accuracies, which charts show in percent; 1 for all other columns."""
    return 100 if column in ACCURACIES else 1


def axis_title(column: str) -> str:
    """The title of an axis of this column, with its unit."""
    return words(column) + (", %" if column in ACCURACIES else "")


def printed(column: str, value: Any) -> str:
    """A number of this column as the page prints it."""
    if not is_known(value):
        return "–"
    if column in ACCURACIES:
        return percent(float(value))
    if column == "seconds":
        return duration(float(value))
    if column in ("parameters", "multiply_adds", "runs", "rows", "best_epoch"):
        return count(float(value))
    if column.startswith("overfit_percent"):
        return f"{value:.2f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.2f}" if math.isfinite(value) else "–"


def ends_text(low: float, high: float) -> str:
    """An interval."""
    return f"[{low:.2f}, {high:.2f}]" if math.isfinite(low + high) else "–"


def level_text(value: Any) -> str:
    """A value of a setting; a float with three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else show(value)


def sentences(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines as sentences, without duplicates."""
    return tuple(dict.fromkeys(capitalised(line).rstrip(".") + "." for line in lines if line))


def slug(name: str) -> str:
    """An element's id of letters, digits and dashes; a file's column names may hold any character."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in name)
