"""What the sections are made of: tables, charts and cells, as the templates set them."""

from dataclasses import dataclass

import plotly.graph_objects as go

from keras_cnn.charts import TextTable as Table
from keras_cnn.report.runs import Run

FEW = 12  # runs up to which each has its own lines, columns and tables


@dataclass(frozen=True)
class Chart:
    """A plotly figure and the same numbers as a table."""

    name: str  # unique on the page
    title: str
    figure: dict  # as plotly.js takes it
    table: Table
    note: str = ""
    shape: str = "wide"  # or square, or large square, or tall: as high as its layout says
    run: Run | None = None  # whose chart it is, where it is one's alone


@dataclass(frozen=True)
class Cell:
    """A number with what it is sorted by."""

    text: str
    value: float | str | None
    interval: tuple[float, float] | None = None
    bar: tuple[float, float, float] | None = None  # low, value and high in percent of the column's range


def plotted(figure: go.Figure) -> dict:
    """The figure as plotly.js takes it."""
    return figure.to_plotly_json()
