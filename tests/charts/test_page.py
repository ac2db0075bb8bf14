"""Charts as Plotly figures: the numbers, plain and rounded, and texts that cannot do anything."""

import math

import numpy as np
import pytest

from keras_cnn.charts import (
    MUTED,
    BarColumn,
    BarRows,
    Chart,
    ChartAxis,
    Contours,
    HeatMap,
    Histogram,
    IntervalRow,
    IntervalRows,
    ParallelAxis,
    ParallelCoordinates,
    Plot,
    Series,
    page,
)
from keras_cnn.charts.page import base

NASTY = '<img src=x onerror="window.hacked=1">'


def traces(drawing):
    return page.figure(Chart("c", "T", drawing))["data"]


def layout(drawing):
    return page.figure(Chart("c", "T", drawing))["layout"]


def test_a_series_is_a_trace_with_its_label_run_and_hover():
    series = Series([1, 2], [0.5, math.nan], "a", MUTED, "dotted", steps=True, marker="square", hollow=True, run=3)
    (trace,) = traces(Plot(ChartAxis("x", "whole"), ChartAxis("y", unit=" %"), (series,)))
    assert (trace["x"], trace["y"], trace["mode"]) == ([1, 2], [0.5, None], "lines+markers")
    assert (trace["meta"], trace["name"], trace["marker"]["symbol"]) == ({"run": 3}, "a", "square-open")
    assert (trace["line"]["shape"], trace["line"]["dash"]) == ("hv", "2px,2px")
    assert trace["hovertemplate"] == "%{y:.4~g} %"
    (silent,) = traces(Plot(ChartAxis("x"), ChartAxis("y"), (Series([1], [2], dash="solid"),)))
    assert silent["hoverinfo"] == "skip"
    (said,) = traces(Plot(ChartAxis("x"), ChartAxis("y"), (Series([1], [2], marker="circle", hover=["r1"]),)))
    assert (said["text"], said["hovertemplate"]) == (["r1"], "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>")


def test_intervals_are_error_bars_to_each_side():
    (trace,) = traces(Plot(ChartAxis(), ChartAxis(), (Series([1], [5], low=[4.5], high=[7], marker="circle"),)))
    assert (trace["error_y"]["array"], trace["error_y"]["arrayminus"]) == ([2], [0.5])


@pytest.mark.parametrize(
    ("epochs", "step"), [([1, 3], 1), ([1, 11], 1), ([1, 12], 2), ([1, 30], 5), ([0, 60], 10), ([], None)]
)
def test_whole_ticks_are_ten_at_most(epochs, step):
    assert base.whole_ticks(epochs).get("dtick") == step


def test_axes_have_their_scale_levels_and_ticks():
    x = ChartAxis("rate", "logarithmic", ticks=((0.01, "0.01"),), limits=(0.01, 1))
    found = layout(Plot(x, ChartAxis("y", "category", levels=("a", "b"))))
    assert found["xaxis"]["type"] == "log"
    assert (found["xaxis"]["tickvals"], found["xaxis"]["ticktext"]) == ([0.01], ["0.01"])
    assert found["xaxis"]["range"] == [-2, 0]
    assert found["yaxis"]["categoryarray"] == ["a", "b"]


def test_a_histogram_stands_between_its_edges():
    (bars,) = traces(Plot(ChartAxis(), ChartAxis(), histogram=Histogram([0, 1, 3], [4, 2])))
    assert (bars["x"], bars["width"], bars["y"]) == ([0.5, 2], [1, 2], [4, 2])


def test_bars_share_their_rows():
    columns = (BarColumn("a", [0.7, math.nan], [0.5, 0], [0.8, 0]), BarColumn("b", [-1, 1], [-2, 0], [0, 2]))
    first, second = traces(BarRows(("p", "q"), columns))
    assert (first["x"], first["y"], first["text"]) == ([0.7], [0], ["p"])
    assert (second["xaxis"], second["x"]) == ("x2", [-1, 1])
    assert first["error_x"]["arrayminus"] == [0.2]
    found = layout(BarRows(("p", "q"), columns))
    assert (found["xaxis"]["domain"], found["xaxis2"]["domain"]) == ([0, 0.47], [0.53, 1])


def test_intervals_name_their_rows_by_group():
    rows = (IntervalRow("1 → 2", -0.1, -0.2, 0.1, -0.05, "stride", hover="h"), IntervalRow("x", math.nan))
    other, value = traces(IntervalRows(rows, "points", zero=True))
    assert (other["x"], value["x"], value["text"]) == ([-0.05], [-0.1], ["h"])
    axis = layout(IntervalRows(rows, "points", zero=True))["yaxis"]
    assert axis["ticktext"] == ["stride: 1 → 2", "x"]


def test_a_map_prints_few_cells_and_shades_many():
    values = np.array([[4.0, -9], [0, math.nan]])
    few = HeatMap(values, ("a", "b"), ("c", "d"), texts=(("4", "−9"), ("0", "")), scale="diverging")
    (cells,) = traces(few)
    assert cells["z"] == [[2, -3], [0, None]]  # by the root
    assert cells["customdata"] == [[4, -9], [0, None]]
    assert (cells["x"], cells["y"]) == (["c", "d"], ["a", "b"])
    assert (cells["zmin"], cells["zmax"], cells["texttemplate"]) == (-3, 3, "%{text}")
    names = tuple(map(str, range(13)))
    (cells,) = traces(HeatMap(np.ones((13, 13)), names, names, texts=(("1",) * 13,) * 13, square=True))
    assert "texttemplate" not in cells
    assert page.shape(Chart("c", "T", HeatMap(np.ones((13, 13)), names, names, square=True))) == "large square"


def test_contours_and_parallel_coordinates_keep_their_numbers():
    contour, dots = traces(Contours(ChartAxis(), ChartAxis(), ([1, 2, 3], [4, 5]), np.arange(6).reshape(3, 2), "m"))
    assert (contour["x"], contour["y"], contour["z"]) == ([1, 2, 3], [4, 5], [[0, 2, 4], [1, 3, 5]])
    assert dots["x"] == []
    axes = (ParallelAxis("rate", [-3, -1], ((-3, "0.001"),), -3, -1), ParallelAxis("m", [0.2, 0.8], (), 0.2, 0.8))
    (trace,) = traces(ParallelCoordinates(axes, best=1))
    assert trace["dimensions"][0]["values"] == [-3, -1]
    assert trace["dimensions"][0]["ticktext"] == ["0.001"]
    assert (trace["line"]["color"], trace["line"]["cmin"]) == ([0.2, 0.8], 0.2)


def test_texts_that_attack_are_escaped_everywhere():
    level = ChartAxis(NASTY, "category", levels=(NASTY,))
    axis = ParallelAxis(NASTY, [0, 1], ((0, NASTY),), 0, 1)
    for drawing in (
        Plot(level, ChartAxis(NASTY), (Series([NASTY], [1], NASTY, hover=[NASTY], marker="circle"),)),
        BarRows((NASTY,), (BarColumn(NASTY, [1], [0], [2]),)),
        IntervalRows((IntervalRow(NASTY, 1, group=NASTY, hover=NASTY),), NASTY),
        HeatMap(np.ones((1, 1)), (NASTY,), (NASTY,), NASTY, NASTY, quantity="m"),
        Contours(ChartAxis(NASTY), ChartAxis(NASTY), ([1], [1]), np.ones((1, 1)), NASTY),
        ParallelCoordinates((axis, axis), 0),
    ):
        assert "<img" not in repr(page.figure(Chart("c", "T", drawing)))


def test_both_names_of_a_pair_are_shortened():
    assert base.short(["birch robin no. 0 → birch robin no. 4: 14"], 42) == [
        "birch robin no. 0 → birch robin no. 4: 14"
    ]
    long = "a rather long name of a class → another rather long name: 3"
    assert base.short([long], 42) == ["a rather l…of a class → another ra…ng name: 3"]
