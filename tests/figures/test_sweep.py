import math

import numpy as np
import pytest

from keras_cnn.figures import sweep
from keras_cnn.figures.sweep import Panel, Row

CAPTION = "mean over all epochs of all runs; overfit% = 100 (train - test accuracy), clipped: a row below 0 counts as 0"


def texts(ax):
    return [text.get_text().strip() for text in ax.texts]


def points(ax, label):
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return line.get_xydata()


def test_progress_has_a_point_a_run_and_the_best_so_far():
    times = np.array(["2026-01-01T00:00", "2026-01-01T01:00", "2026-01-01T03:00"], "datetime64[m]")
    figure = sweep.progress(times, [0.5, 0.3, 0.6], [0.5, 0.5, 0.6], "test accuracy", "T")
    (ax,) = figure.axes
    assert points(ax, "run")[:, 1].tolist() == [0.5, 0.3, 0.6]
    assert points(ax, "best so far")[:, 1].tolist() == [0.5, 0.5, 0.6]
    hours = np.diff(points(ax, "run")[:, 0]) * 24
    assert hours.tolist() == pytest.approx([1, 2])


def test_parallel_coordinates_place_every_run_on_every_axis():
    columns = {"rate": [0.001, 0.1, 0.01], "kind": ["b", "a", "b"], "same": [3, 3, 3]}
    figure = sweep.parallel_coordinates(columns, [0.2, 0.8, 0.5], "accuracy", "T")
    (ax,) = figure.axes
    every, best = ax.collections
    fan = 0.05 * (np.array([0, 1, 0.5]) - 0.5)  # by the metric, so that runs on one value lie apart
    expected = np.array([[0, 1, 0.5, 0], [1, 0, 0.5, 1], [0.5, 1, 0.5, 0.5]])
    expected[:, :3] += fan[:, None]
    drawn = np.array([segment[:, 1] for segment in every.get_segments()])
    np.testing.assert_allclose(drawn, expected[[0, 2, 1]], atol=1e-9)  # worst first, so that the best lies on top
    np.testing.assert_allclose(best.get_segments()[0][:, 1], expected[1], atol=1e-9)
    shown = texts(ax)
    assert {"rate", "kind", "same", "accuracy", "a", "b", "0.001", "0.01", "0.1", "3"} <= set(shown)


def test_axes_of_many_numbers_have_round_ticks():
    values, rates = np.linspace(0.123, 0.987, 30).tolist(), np.geomspace(1e-4, 1, 30).tolist()
    ax = sweep.parallel_coordinates({"rate": rates}, values, "m", "T").axes[0]
    assert {"0.2", "0.4", "0.6", "0.8"} <= set(texts(ax))  # the metric is never on a logarithmic scale
    assert {"0.0001", "0.001", "0.01", "0.1", "1"} <= set(texts(ax))


def test_importances_and_correlations_stand_side_by_side():
    ends = np.array([[0.5, 0.1], [0.8, 0.3]])
    figure = sweep.importances(["a", "b"], [0.7, 0.3], ends, [0.9, -0.4], ends - 1, "T", CAPTION)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [0.7, 0.3]
    assert [bar.get_width() for bar in right.patches] == [0.9, -0.4]
    assert right.patches[0].get_facecolor() != right.patches[1].get_facecolor()
    drawn = [segment[:, 0].tolist() for segment in left.collections[0].get_segments()]
    assert drawn == [[0.5, 0.8], [0.1, 0.3]]
    low, high = left.get_ylim()
    assert low > high  # the first stands at the top
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b"]
    assert figure.get_supxlabel().replace("\n", " ") == CAPTION


def test_means_by_level_show_splits_and_both_kinds_of_overfit():
    accuracies = {"train": [0.5, 0.6], "test": [0.4, 0.45]}
    figure = sweep.level_means(
        "kernel", ["3", "5"], accuracies, {"clipped": [10, 15], "unclipped": [9, 15]}, "T", CAPTION
    )
    left, right = figure.axes
    assert points(left, "train")[:, 1].tolist() == [0.5, 0.6]
    assert points(left, "test")[:, 1].tolist() == [0.4, 0.45]
    assert points(right, "unclipped")[:, 1].tolist() == [9, 15]
    assert [text.get_text() for text in left.get_xticklabels()] == ["3", "5"]
    assert len(sweep.level_means("k", ["3"], {"test": [0.4]}, {}, "T", "").axes) == 1


def test_means_by_two_factors_are_printed_in_their_cells():
    means = np.array([[0.5, 0.25], [math.nan, 0.75]])
    ax = sweep.cell_means(("a", "b"), (["1", "2"], ["x", "y"]), means, "T", CAPTION).axes[0]
    assert {(text.get_position(), text.get_text()) for text in ax.texts} == {
        ((0, 0), "0.5"),
        ((1, 0), "0.25"),
        ((1, 1), "0.75"),
    }
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x", "y"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("a", "b")


def test_means_by_epoch_have_a_panel_for_what_there_is():
    figure = sweep.epoch_means([1, 2], {"train": [2, 1]}, {"train": [0.1, 0.4], "test": [0.2, 0.3]}, {}, "T", CAPTION)
    assert [ax.get_title("left") for ax in figure.axes] == ["mean loss", "mean accuracy"]
    np.testing.assert_array_equal(points(figure.axes[1], "test"), [[1, 0.2], [2, 0.3]])


ROWS = [
    Row("stride", "1 → 2", -0.1, -0.12, -0.08, -0.05),
    Row("width", "8 → 16", 0.02, 0.01, 0.03, 0.08),
    Row("width", "8 → 32", math.nan, math.nan, math.nan, 0.1, "cannot be told apart from depth"),
]


def test_intervals_stand_below_each_other_by_group():
    figure = sweep.intervals(ROWS, "difference", "T", CAPTION, zero=True, other="plain")
    (ax,) = figure.axes
    held = points(ax, "other settings held")
    np.testing.assert_array_equal(held[:, 0], [-0.1, 0.02, math.nan])
    assert held[1, 1] - held[0, 1] > held[2, 1] - held[1, 1] > 0  # a gap between groups
    np.testing.assert_array_equal(points(ax, "plain")[:, 0], [-0.05, 0.08, math.nan])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1 → 2", "8 → 16", "8 → 32"]
    assert texts(ax) == ["stride", "width", "cannot be told apart from depth"]
    segments = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert [-0.12, -0.08] in segments
    assert ax.get_xlim()[0] < -0.12
    assert ax.get_xlim()[1] > 0.08


def test_an_interval_of_almost_no_freedom_does_not_flatten_the_rest():
    rows = [Row("a", "x", 0.5, -40, 41), Row("a", "y", 0.6, 0.55, 0.65)]
    low, high = sweep.intervals(rows, "m", "T", "").axes[0].get_xlim()
    assert high - low < 2
    assert low < 0.5 < 0.6 < high


def test_fronts_join_the_runs_on_the_front_by_rising_cost():
    panel = Panel("seconds", [300, 10, 100, 50], [0.7, 0.4, 0.5, 0.6], [True, True, False, True], logarithmic=True)
    (ax,) = sweep.fronts([panel], "accuracy", "T").axes
    np.testing.assert_array_equal(points(ax, "Pareto front"), [[10, 0.4], [50, 0.6], [300, 0.7]])
    assert ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), [[100, 0.5]])


def test_slices_join_the_means_of_repeated_values():
    none = [False] * 4
    figure = sweep.slices(
        [Panel("k", [3, 3, 5, 5], [1, 2, 3, 5], none), Panel("t", list("bbaa"), [1, 2, 3, 5], none)], "m", "T"
    )
    first, second = figure.axes
    np.testing.assert_array_equal(points(first, "mean"), [[3, 1.5], [5, 4]])
    np.testing.assert_array_equal(points(second, "mean"), [[0, 4], [1, 1.5]])
    assert [text.get_text() for text in second.get_xticklabels()] == ["a", "b"]
    assert first.get_xticks().tolist() == [3, 5]


def test_a_surface_is_of_contours_for_quantities_and_of_cells_else():
    x, y = np.geomspace(1e-4, 1, 25).tolist(), np.linspace(0, 1, 25).tolist()
    predicted = np.add.outer(np.arange(25.0), np.arange(25.0))
    figure = sweep.surface(("x", "y"), (x, y), predicted, ([0.01, 0.1], [0.5, 0.25]), "m", "T", CAPTION)
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    np.testing.assert_allclose(ax.get_lines()[0].get_xydata(), [[0.01, 0.5], [0.1, 0.25]])
    cells = sweep.surface(
        ("x", "k"), ([8, 16, 32], ["a", "b"]), np.arange(6.0).reshape(3, 2), ([16], ["b"]), "m", "T", ""
    )
    ax = cells.axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 2, 4], [1, 3, 5]])
    assert {text.get_text(): round(text.get_position()[0]) for text in ax.texts} == {
        **dict.fromkeys("01", 0),
        **dict.fromkeys("23", 1),
        **dict.fromkeys("45", 2),
    }
    np.testing.assert_allclose(ax.get_lines()[0].get_xydata(), [[1, 1]], atol=0.19)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "k")


def test_pairs_of_levels_of_one_factor_are_left_out():
    counts = np.array([[3, 0, 2, 1], [0, 2, 0, 2], [2, 0, 2, 0], [1, 2, 0, 3]])
    ax = sweep.pair_counts(["a", "a", "b", "b"], ["1", "2", "x", "y"], counts, "T", CAPTION).axes[0]
    empty = np.isnan(np.ma.filled(ax.images[0].get_array(), math.nan))
    np.testing.assert_array_equal(empty, np.kron(np.eye(2), np.ones((2, 2))))
    drawn = {text.get_position(): text.get_text() for text in ax.texts}
    assert drawn == {
        (2, 0): "2",
        (3, 0): "1",
        (2, 1): "0",
        (3, 1): "2",
        (0, 2): "2",
        (1, 2): "0",
        (0, 3): "1",
        (1, 3): "2",
    }


LONG = "a name that is far too long for the place that any figure has for it, 形状, $x_1$"


@pytest.mark.parametrize("count", [1, 14])
def test_nothing_is_cut_and_nothing_warns_with_few_or_many_long_names(count, check_nothing_cut):
    names = [f"{i} {LONG}" for i in range(count)]
    values = np.linspace(0.2, 0.7, count)
    ends = np.stack([values - 0.1, values + 0.1])
    rows = [
        Row(name, name, v, v - 0.1, v + 0.1, v + 0.05, LONG * (i % 2))
        for i, (name, v) in enumerate(zip(names, values, strict=True))
    ]
    long = {"splits": {"train": values, "test": values}, "overfit": {"clipped": values, "unclipped": values}}
    square = np.outer(values, values)
    figures = [
        sweep.progress(np.arange(count).astype("datetime64[h]"), values, values, LONG, LONG),
        sweep.parallel_coordinates({name: [*names, "x"] for name in names[:8]}, [*values, 0.1], LONG, LONG),
        sweep.importances(names, values, ends, values - 0.5, ends - 0.5, LONG, LONG),
        sweep.level_means(LONG, names, long["splits"], long["overfit"], LONG, LONG),
        sweep.cell_means((LONG, LONG), (names, names), square, LONG, LONG),
        sweep.epoch_means(range(count), {"train": values}, long["splits"], long["overfit"], LONG, LONG),
        sweep.intervals(rows, "difference", LONG, LONG, zero=True, other="plain"),
        sweep.fronts([Panel(LONG, values, values, [True] * count)] * 2, LONG, LONG),
        sweep.slices([Panel(LONG, names, values, [False] * count)] * 2, LONG, LONG),
        sweep.surface((LONG, LONG), (names, names), square, (names, names), LONG, LONG, LONG),
        sweep.pair_counts([*names, "b"], [*names, "b"], np.ones((count + 1, count + 1)), LONG, LONG),
    ]
    for figure in figures:
        check_nothing_cut(figure)
