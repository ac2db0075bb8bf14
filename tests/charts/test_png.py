"""Charts drawn with matplotlib: the numbers stand where the data put them, and nothing is cut."""

import math

import numpy as np
import pytest

from keras_cnn.charts import (
    BarColumn,
    BarRows,
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
    png,
)

CAPTION = "mean over all epochs of all runs; overfit% = 100 (train - test accuracy), clipped: a row below 0 counts as 0"


def drawn(*drawings, title="T", caption=""):
    return png.figure(drawings, title, caption)


def texts(ax):
    return [text.get_text().strip() for text in ax.texts]


def points(ax, label):
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return line.get_xydata()


def test_times_stand_at_their_distance():
    times = ["2026-01-01 00:00:00", "2026-01-01 01:00:00", "2026-01-01 03:00:00"]
    runs = Series(times, [0.5, 0.3, 0.6], "run", marker="circle")
    figure = drawn(Plot(ChartAxis("created", "time"), ChartAxis("accuracy"), (runs,)))
    (ax,) = figure.axes
    assert points(ax, "run")[:, 1].tolist() == [0.5, 0.3, 0.6]
    assert (np.diff(points(ax, "run")[:, 0]) * 24).tolist() == pytest.approx([1, 2])


def test_parallel_coordinates_place_every_run_on_every_axis():
    axes = (
        ParallelAxis("rate", [-3, -1, -2], ((-3, "0.001"), (-1, "0.1")), -3, -1),
        ParallelAxis("kind", [1, 0, 1], ((0, "a"), (1, "b")), 0, 1),
        ParallelAxis("same", [3, 3, 3], ((3, "3"),), 2, 4),
        ParallelAxis("accuracy", [0.2, 0.8, 0.5], ((0.5, "0.5"),), 0.2, 0.8),
    )
    (ax,) = drawn(ParallelCoordinates(axes, best=1)).axes
    every, best = ax.collections
    fan = 0.05 * (np.array([0, 1, 0.5]) - 0.5)  # by the result, so that runs on one value lie apart
    expected = np.array([[0, 1, 0.5, 0], [1, 0, 0.5, 1], [0.5, 1, 0.5, 0.5]])
    expected[:, :3] += fan[:, None]
    places = np.array([segment[:, 1] for segment in every.get_segments()])
    np.testing.assert_allclose(places, expected[[0, 2, 1]], atol=1e-9)  # worst first, so that the best lies on top
    np.testing.assert_allclose(best.get_segments()[0][:, 1], expected[1], atol=1e-9)
    assert {"rate", "kind", "same", "accuracy", "a", "b", "0.001", "0.1", "3", "0.5"} <= set(texts(ax))


def test_bars_stand_side_by_side_with_their_intervals():
    columns = (
        BarColumn("importance", [0.7, 0.3], [0.5, 0.1], [0.8, 0.3]),
        BarColumn("correlation", [0.9, -0.4], [-0.5, -0.9], [-0.2, -0.7], limits=(-1, 1), signed=True),
    )
    figure = drawn(BarRows(("a", "b"), columns), caption=CAPTION)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [0.7, 0.3]
    assert [bar.get_width() for bar in right.patches] == [0.9, -0.4]
    assert right.patches[0].get_facecolor() != right.patches[1].get_facecolor()
    assert [segment[:, 0].tolist() for segment in left.collections[0].get_segments()] == [[0.5, 0.8], [0.1, 0.3]]
    low, high = left.get_ylim()
    assert low > high  # the first stands at the top
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b"]
    assert figure.get_supxlabel().replace("\n", " ") == CAPTION


def test_plots_stand_side_by_side_each_with_its_legend():
    levels = ChartAxis("kernel", "category", levels=("3", "5"))
    left = Plot(levels, ChartAxis("mean accuracy"), (Series(["3", "5"], [0.4, 0.45], "test", dash="solid"),))
    right = Plot(levels, ChartAxis("mean overfit%"), (Series(["5", "3"], [9, 15], "unclipped", dash="dashed"),))
    first, second = drawn(left, right).axes
    np.testing.assert_array_equal(points(first, "test"), [[0, 0.4], [1, 0.45]])
    np.testing.assert_array_equal(points(second, "unclipped"), [[1, 9], [0, 15]])
    assert [text.get_text() for text in first.get_xticklabels()] == ["3", "5"]
    assert first.get_xlim() == second.get_xlim() == (-0.5, 1.5)
    assert [ax.get_title("left") for ax in (first, second)] == ["mean accuracy", "mean overfit%"]
    assert [len(ax.get_legend().get_texts()) for ax in (first, second)] == [1, 1]


def test_plots_with_the_same_entries_share_one_legend():
    def plot(name):
        return Plot(ChartAxis(name), ChartAxis("y"), (Series([1], [2], "run", marker="circle"),))

    figure = drawn(plot("a"), plot("b"))
    assert [ax.get_legend() for ax in figure.axes] == [None, None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["run"]


def test_intervals_of_a_series_are_bars_or_a_band():
    bars = Series([1, 2], [5, 6], low=[4, 5], high=[7, 8], marker="circle")
    band = Series([1, 2], [5, 6], low=[4, 5], high=[7, 8], dash="solid", band=True)
    left, right = drawn(*(Plot(ChartAxis("x"), ChartAxis("y"), (series,)) for series in (bars, band))).axes
    assert [segment[:, 1].tolist() for segment in left.collections[0].get_segments()] == [[4, 7], [5, 8]]
    assert right.collections[0].get_datalim(right.transData).intervaly.tolist() == [4, 8]


def test_a_histogram_marks_and_a_span_stand_at_their_places():
    plot = Plot(
        ChartAxis("x"),
        ChartAxis("images"),
        histogram=Histogram([0, 1, 3], [4, 2]),
        verticals=((2, "best"),),
        shaded=(1, 3, "overfits"),
    )
    (ax,) = drawn(plot).axes
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in ax.patches[:2]] == [(0, 1, 4), (1, 2, 2)]
    assert points(ax, "best")[:, 0].tolist() == [2, 2]
    assert (ax.patches[2].get_x(), ax.patches[2].get_width()) == (1, 2)


def test_means_by_two_settings_are_printed_in_their_cells():
    means = np.array([[0.5, 0.25], [math.nan, 0.75]])
    printed = (("0.5", "0.25"), ("", "0.75"))
    ax = drawn(HeatMap(means, ("1", "2"), ("x", "y"), "a", "b", printed)).axes[0]
    assert {(text.get_position(), text.get_text()) for text in ax.texts} == {
        ((0, 0), "0.5"),
        ((1, 0), "0.25"),
        ((1, 1), "0.75"),
    }
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x", "y"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("a", "b")


def test_a_text_too_wide_for_its_cell_loses_digits():
    values = np.full((1, 12), 0.123456)
    ax = drawn(HeatMap(values, ("a",), tuple("abcdefghijkl"), texts=(("0.123456789",) * 12,))).axes[0]
    assert set(texts(ax)) == {"0.123"}


ROWS = (
    IntervalRow("1 → 2", -0.1, -0.12, -0.08, -0.05, "stride"),
    IntervalRow("8 → 16", 0.02, 0.01, 0.03, 0.08, "width"),
    IntervalRow("8 → 32", math.nan, math.nan, math.nan, 0.1, "width", "cannot be told apart from depth"),
)


def test_intervals_stand_below_each_other_by_group():
    (ax,) = drawn(IntervalRows(ROWS, "difference", True, "other settings held", "plain")).axes
    held = points(ax, "other settings held")
    np.testing.assert_array_equal(held[:, 0], [-0.1, 0.02, math.nan])
    assert held[1, 1] - held[0, 1] > held[2, 1] - held[1, 1] > 0  # a gap between groups
    np.testing.assert_array_equal(points(ax, "plain")[:, 0], [-0.05, 0.08, math.nan])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1 → 2", "8 → 16", "8 → 32"]
    assert texts(ax) == ["stride", "width", "cannot be told apart from depth"]
    assert [-0.12, -0.08] in [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert ax.get_xlim()[0] < -0.12
    assert ax.get_xlim()[1] > 0.08


def test_rows_of_one_group_are_brought_together():
    first, second, third = ROWS
    (ax,) = drawn(IntervalRows((second, first, third), "difference")).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["8 → 16", "8 → 32", "1 → 2"]
    ticks = ax.get_yticks()
    assert ticks[2] - ticks[1] > ticks[1] - ticks[0] > 0


def test_an_interval_of_almost_no_freedom_does_not_flatten_the_rest():
    rows = (IntervalRow("x", 0.5, -40, 41, group="a"), IntervalRow("y", 0.6, 0.55, 0.65, group="a"))
    low, high = drawn(IntervalRows(rows, "m")).axes[0].get_xlim()
    assert high - low < 2
    assert low < 0.5 < 0.6 < high


def test_a_logarithmic_axis_and_ticks_are_as_given():
    ticks = ((10.0, "ten"), (300.0, "many"))
    axis = ChartAxis("seconds", "logarithmic", ticks=ticks)
    other = ChartAxis("y", ticks=((1.5, "half"),), limits=(1, 3))
    (ax,) = drawn(Plot(axis, other, (Series([10, 300], [1, 2], "front", dash="solid", steps=True),))).axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_xticks().tolist() == [10, 300]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["ten", "many"]
    assert ax.get_yticks().tolist() == [1.5]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["half"]
    assert ax.get_ylim() == (1, 3)
    assert ax.get_lines()[0].get_drawstyle() == "steps-post"


def test_contours_are_of_two_quantities_with_the_runs_as_dots():
    x, y = np.geomspace(1e-4, 1, 25).tolist(), np.linspace(0, 1, 25).tolist()
    predicted = np.add.outer(np.arange(25.0), np.arange(25.0))
    axes = ChartAxis("x", "logarithmic"), ChartAxis("y")
    ax = drawn(Contours(*axes, (x, y), predicted, "m", ([0.01, 0.1], [0.5, 0.25])), caption=CAPTION).axes[0]
    assert ax.get_xscale() == "log"
    np.testing.assert_allclose(ax.get_lines()[0].get_xydata(), [[0.01, 0.5], [0.1, 0.25]])


def test_dots_stand_in_their_cells_beside_the_text():
    values = np.array([[0.0, 2, 4], [1, 3, 5]])
    printed = tuple(tuple(f"{value:g}" for value in row) for row in values)
    heat = HeatMap(values, ("a", "b"), ("8", "16", "32"), "k", "x", printed, quantity="m", rising=True, dots=([0], [2]))
    ax = drawn(heat).axes[0]
    low, high = ax.get_ylim()
    assert low < high  # the first row is at the bottom
    assert {text.get_text(): round(text.get_position()[0]) for text in ax.texts} == {
        **dict.fromkeys("01", 0),
        **dict.fromkeys("23", 1),
        **dict.fromkeys("45", 2),
    }
    np.testing.assert_allclose(ax.get_lines()[0].get_xydata(), [[2, 0]], atol=0.19)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "k")


def test_a_diverging_map_is_white_at_zero_and_dark_at_both_ends():
    image = drawn(HeatMap(np.array([[9.0, 0], [-9, -1]]), ("a", "b"), ("a", "b"), scale="diverging")).axes[0].images[0]
    red, _, blue = (image.cmap(image.norm(image.get_array()))[..., i] for i in range(3))
    assert np.sign(np.round(blue - red, 2)).tolist() == [[1, 0], [-1, -1]]


def test_only_one_chart_or_plots_alone_make_a_picture():
    bars = BarRows(("a",), (BarColumn("x", [1], [0], [2]),))
    with pytest.raises(ValueError, match="BarRows, Plot side by side; expected plots alone"):
        drawn(bars, Plot(ChartAxis(), ChartAxis()))


LONG = "a name that is far too long for the place that any figure has for it, 形状, $x_1$"


@pytest.mark.parametrize("count", [1, 10])
def test_nothing_is_cut_and_nothing_warns_with_few_or_many_long_names(count, check_nothing_cut):
    names = tuple(f"{i} {LONG}" for i in range(count))
    values = np.linspace(0.2, 0.7, count)
    rows = tuple(
        IntervalRow(name, v, v - 0.1, v + 0.1, v + 0.05, name, LONG * (i % 2))
        for i, (name, v) in enumerate(zip(names, values, strict=True))
    )
    square = np.outer(values, values)
    times = [f"2026-01-01 {i:02d}:00:00" for i in range(count)]
    ends = {"low": values - 0.1, "high": values + 0.1}
    level = ChartAxis(LONG, "category", levels=names)
    one = ParallelAxis(LONG, np.linspace(0, 1, 15), tuple((i / 14, name) for i, name in enumerate(names)), 0, 1)
    printed = tuple((LONG,) * count for _ in names)
    contour = Contours(ChartAxis(LONG), ChartAxis(LONG), ([1, 2], [1, 2]), np.eye(2), LONG, ([1.5], [1.5]))
    figures = [
        drawn(Plot(ChartAxis(LONG, "time"), ChartAxis(LONG), (Series(times, values, LONG, marker="circle"),))),
        drawn(ParallelCoordinates((one,) * 9, 0), title=LONG),
        drawn(BarRows(names, (BarColumn(LONG, values, **ends),) * 2), title=LONG, caption=LONG),
        drawn(*[Plot(level, ChartAxis(LONG), (Series(names, values, "a", dash="solid"),))] * 3, caption=LONG),
        drawn(*[Plot(level, ChartAxis(n), (Series(names, values, n, dash="solid"),)) for n in "ab"], title=LONG),
        drawn(Plot(level, ChartAxis(LONG), tuple(Series(names, values, n, marker="circle") for n in names))),
        drawn(IntervalRows(rows, LONG, True, "value", LONG), title=LONG, caption=LONG),
        drawn(HeatMap(square, names, names, LONG, LONG, printed), title=LONG, caption=LONG),
        drawn(HeatMap(square, names, names, LONG, LONG, printed, quantity=LONG, rising=True, dots=([0], [0]))),
        drawn(HeatMap(square, names, names, texts=printed, square=True), caption=LONG),
        drawn(contour, title=LONG, caption=LONG),
    ]
    for figure in figures:
        check_nothing_cut(figure)
