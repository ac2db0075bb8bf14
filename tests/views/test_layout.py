"""What stands where on the figures of the views: rows and columns, titles, captions, ticks; and defaults of options."""

import base64
import dataclasses
import importlib
import io
import pkgutil
from types import SimpleNamespace

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

from keras_cnn import views, visualization
from keras_cnn.errors import InputError
from keras_cnn.figures.panels import limits, value_range
from keras_cnn.figures.style import BROWN, GREEN, HEADER, INK, ORANGE, WIDTH
from keras_cnn.models.arithmetic import Axis, ReceptiveField
from keras_cnn.views import activation_maximization, activations, attribution, kernel_map_pairs, kernels
from keras_cnn.views import embedding as embedding_view
from keras_cnn.views import filters as filters_view
from keras_cnn.views import page as page_view
from keras_cnn.views import receptive_field as receptive_field_view
from keras_cnn.views import statistics as statistics_view
from keras_cnn.views.occlusion import occlusion_maps, occlusion_sizes
from keras_cnn.visualization.occlusion import Occlusion
from keras_cnn.visualization.receptive_field import Box, MeasuredField
from keras_cnn.visualization.sanity import Likeness, Verdict

RNG = np.random.default_rng(0)

DEFAULTS = {
    "architecture": {},
    "kernels": {"layer": (), "scale": "common", "inputs": (), "count": 64},
    "activations": {"layer": (), "channels": (), "count": 16, "scale": "layer", "percentile": 99, "part": "all"},
    "kernel-map-pairs": {"layer": (), "channels": (), "count": 8},
    "attribution": {"method": (), "neuron": (), "score_cam_channels": 64, "seed": 0}
    | dict.fromkeys(("target", "against", "box", "layer")),
    "page": {"layer": (), "count": 8},
    "occlusion": {"patch": (), "stride": None, "fill": "grey", "target": None},
    "ablation": {"filters": (), "silent": False, "controls": 5, "seed": 0, "split": "validation"}
    | dict.fromkeys(("most", "first")),
    "filters": {"layer": (), "filters": (0, 1), "top": 20, "split": "validation"},
    "receptive-field": {"layer": ()},
    "statistics": {"layer": (), "point": None, "reduction": "pooled", "most": 200, "split": "validation"}
    | dict.fromkeys(("against", "images_of"), ()),
    "activation-maximization": {"unit": "channel", "count": None, "steps": 96, "parametrisation": "fourier"}
    | {"most": 500, "split": "validation", "seed": 0}
    | dict.fromkeys(("layer", "channels", "target"), ()),
    "embedding": {"method": ("pca", "tsne"), "most": 1000, "split": "validation"}
    | dict.fromkeys(("layer", "perplexity")),
}


def test_each_view_has_these_options_and_defaults():
    found = {name: {option: default for option, (_, default, _) in view.options.items()}
             for name, view in views.VIEWS.items()}  # fmt: skip
    assert found == DEFAULTS
    assert {name: view.option_names for name, view in views.VIEWS.items()} == {
        n: list(each) for n, each in found.items()
    }
    assert views.VIEWS["ablation"].options_in_all == {"most": 2500}
    assert [name for name, view in views.VIEWS.items() if view.needs_classifier] == ["occlusion", "ablation"]


def inches(axes) -> list[float]:
    """Left, top, width and height of axes, from the upper left corner of the figure."""
    width, height = axes.figure.get_size_inches()
    place = axes.get_position()
    return [place.x0 * width, (1 - place.y1) * height, place.width * width, place.height * height]


def tops(figure) -> dict[str, tuple[float, float]]:
    """Text -> inches from the left and from the top of the figure."""
    width, height = figure.get_size_inches()
    return {t.get_text(): (t.get_position()[0] * width, (1 - t.get_position()[1]) * height) for t in figure.texts}


@pytest.fixture
def rows(monkeypatch) -> list:
    """The rows of the sheets that a test draws, which are not drawn; `sheets` has their other arguments."""
    kept: list = []
    for module in (kernels, activations, kernel_map_pairs, attribution, activation_maximization):
        monkeypatch.setattr(module, "sheet", lambda given, *more, **named: kept.append((given, more, named)))
    return kept


def line(height: float = 1.3) -> float:
    return height * 8 / 72


def test_maps_of_an_image_that_is_not_square_stand_in_rows_of_its_shape():
    places = np.array([0, 12]), np.array([0, 5, 10])
    maps = [Occlusion(size, "grey", *places, 0.9, np.array([[0.8, 0.7, 0.2], [0.6, 0.9, 0.9]])) for size in (12, 6)]
    figure = occlusion_maps(np.zeros((2, 24, 40, 3), np.uint8), [maps, maps], ["first", "second"], "title")
    assert figure.get_suptitle() == "title"
    images = [axes for axes in figure.axes if axes.get_xlim() == (-0.5, 39.5)]
    row = line() + 1.14 + 1.8 * line()  # inches: caption, panel of 1.9 × 24 / 40, numbers and a gap
    expected = [[0.1 + 2.02 * column, HEADER + number * row + 1.2 * line(), 1.9, 1.14]
                for number in range(2) for column in range(3)]  # fmt: skip
    np.testing.assert_allclose([inches(axes) for axes in images], expected, atol=1e-6)
    where = tops(figure)
    assert where["first"] == pytest.approx((0.1, HEADER))
    assert where["second"] == pytest.approx((0.1, HEADER + row))
    assert where["6 px: 0.20 to 0.90"] == pytest.approx((0.1 + 2 * 2.02, HEADER + row + 1.35 * line() + 1.14))
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 2 * row + 0.42)
    foot = [place for words, place in where.items() if words.startswith(("Confidence lost", "Colours of each map"))]
    np.testing.assert_allclose(foot, [(0.1, HEADER + 2 * row), (0.1, HEADER + 2 * row + line())])
    mesh = images[1].collections[0]
    assert mesh.get_clim() == pytest.approx((0, 0.7))
    # patches of 12 at 0 and 12 have their middles at 5.5 and 17.5; columns at 5.5, 10.5, 15.5
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], [-0.5, 11.5, 23.5])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [3, 8, 13, 18])
    assert images[1].patches[0].get_bbox().bounds == (9.5, -0.5, 12, 12)
    assert mesh.get_alpha()[0, 1] == pytest.approx(0.85 * np.sqrt(0.2 / 0.7))


def test_small_losses_do_not_fill_the_colours_and_gains_have_none():
    found = Occlusion(1, "grey", np.array([0, 1]), np.array([0]), 0.9, np.array([[0.89], [0.95]]))
    figure = occlusion_maps(np.zeros((1, 2, 1, 1), np.uint8), [[found]], ["a"], "t")
    mesh = figure.axes[-1].collections[0]
    assert mesh.get_clim() == pytest.approx((0, 0.05))
    np.testing.assert_allclose(mesh.get_array().ravel(), [0.01, 0], atol=1e-9)
    assert mesh.get_coordinates()[0, :, 0].tolist() == [-0.5, 0.5]


def test_the_curves_of_sum_and_mean():
    totals, means = np.array([[40.0, 20], [10, 5]]), np.array([[0.5, 0.25], [0.1, 0.05]])
    figure = occlusion_sizes([3, 5], totals, means, ["a", "b"], title="t", places=[1200, 7])
    left, right = figure.axes
    assert [axes.get_title("left").split(":")[0] for axes in figure.axes] == ["sum", "mean"]
    np.testing.assert_allclose([curve.get_xydata() for curve in right.lines], np.stack([[[3, 5]] * 2, means], axis=-1))
    np.testing.assert_allclose([left.get_ylim(), right.get_ylim()], [(0, 42), (0, 1.02)])
    assert [label.get_text() for label in left.get_xticklabels()] == ["3\n1,200", "5\n7"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("confidence", "")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert len({curve.get_marker() for curve in left.lines}) == 2
    assert figure.get_size_inches().tolist() == pytest.approx([WIDTH, 3.8])


def test_top_images_of_a_wide_image_with_their_patches_and_captions_below():
    images = np.zeros((2, 3, 10, 20, 3), np.uint8)
    boxes = np.tile([2, 5, 4, 8], (2, 3, 1))  # three rows, four columns
    patches = [[np.full((3, 4, 3), 9, np.uint8)] * 3] * 2
    captions = [["a", "b", "c"], ["d", "e", "f"]]
    figure = filters_view.top_images(images, boxes, patches, ["one", "two"], title="t", captions=captions)
    row = 1.4 * line() + 0.31 + 0.06 + 0.06 + 0.62 + 0.06 + line()  # heading, image, gaps, patch, caption
    expected = [[0.1 + 0.68 * k, HEADER + f * row + 1.4 * line(), 0.62, 0.31] for f in range(2) for k in range(3)]
    np.testing.assert_allclose([inches(axes) for axes in figure.axes], expected, atol=1e-6)
    for axes in figure.axes:
        assert {patch.get_bbox().bounds for patch in axes.patches} == {(3.5, 1.5, 4, 3)}
    where = tops(figure)
    assert (where["one"], where["two"]) == (pytest.approx((0.1, HEADER)), pytest.approx((0.1, HEADER + row)))
    below = HEADER + row + 1.4 * line() + 0.31 + 0.06 + 0.06 + 0.62 - 0.6 * 0.06
    assert where["f"] == pytest.approx((0.1 + 2 * 0.68, below))
    size = figure.get_size_inches()
    assert size[1] == pytest.approx(HEADER + 2 * row + 0.1)
    drawn = figure.artists[-1].get_window_extent()
    np.testing.assert_allclose(
        np.array([drawn.x0, figure.bbox.height - drawn.y1, drawn.width, drawn.height]) / figure.dpi,
        [0.1 + 2 * 0.68, HEADER + row + 1.4 * line() + 0.31 + 0.06, 0.62, 0.465],
        atol=1e-6,
    )


def test_the_table_of_classes_has_readable_numbers_and_not_too_many_names():
    counts = np.array([[0, 1, 9, 20], [11, 2, 0, 7]])
    figure = filters_view.class_table(counts, ["a", "b"], ["w", "x", "y", "z"], "t")
    (axes,) = figure.axes
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 0.44 + 0.95)
    assert [(t.get_position(), t.get_text(), t.get_color()) for t in axes.texts] == [
        *(((1, 0), "1", INK), ((2, 0), "9", INK), ((3, 0), "20", "white")),  # white above 0.55 × 20 = 11
        *(((0, 1), "11", INK), ((1, 1), "2", INK), ((3, 1), "7", INK)),
    ]
    assert axes.images[0].get_clim() == (0, 20)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["w", "x", "y", "z"]
    for count, texts, ticks, turned in (
        (8, 8, 8, 0),
        (9, 9, 9, 90),
        (30, 30, 30, 90),
        (31, 0, 31, 90),
        (41, 0, 21, 90),
    ):
        names = [str(i) for i in range(count)]
        (axes,) = filters_view.class_table.__wrapped__(np.ones((1, count), int), ["a"], names, "t").axes  # no layout
        labels = axes.get_xticklabels()
        assert (len(axes.texts), len(labels), labels[0].get_rotation()) == (texts, ticks, turned)
    (axes,) = filters_view.class_table(np.zeros((1, 2), int), ["a"], ["x", "y"], "t").axes
    assert axes.images[0].get_clim() == (0, 1)


def test_a_filter_is_dead_up_to_0_and_stands_in_the_row_of_its_layer():
    largest, means = [np.array([0.0, 1e-3]), np.array([4.0])], [np.array([-8.0, 5]), np.array([1.0])]
    figure = filters_view.filter_summary(["a", "b"], largest, means, "t")
    left, _ = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["a\n1 of 2 dead", "b\n0 of 1 dead"]
    assert left.get_ylim() == (1.6, -0.6)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "mean response over the images",
        "largest value before the activation",
    ]
    points = [part for part in left.lines if part.get_marker() == "o"]
    assert [part.get_xdata().tolist() for part in points] == [[5], [-8], [1], []]  # alive and dead, by layer
    assert [round(float(y)) for part in points for y in part.get_ydata()] == [0, 0, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a filter", "a dead filter: never above 0"]
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 0.52 + 1.4)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-3, 12), ["−2", "−1", "0", "1", "2", "5", "10"]),
        ((-1, 29.9), ["−1", "0", "1", "2", "5", "10", "20"]),
        ((-30, 1), ["−10", "−1", "0", "1"]),
        ((0, 2000), ["0", "1", "10", "100", "1,000"]),
        ((0, 2001), ["0", "1", "100"]),
        ((-1, 1.5e10), ["−1", "0", "1", "100", "10,000", "1 million", "100 million", "10 billion"]),
    ],
)
def test_ticks_of_the_summary_are_few_and_in_words(ends, expected):
    axes = matplotlib.figure.Figure().subplots()
    axes.set_xlim(ends)
    filters_view._thin_ticks(axes)
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def test_points_are_smaller_where_there_are_many_and_each_class_has_its_mark():
    for count, size in ((10, 30), (600, 10), (5000, 5)):
        labels = np.arange(count) % 2
        images = embedding_view.ClassifiedPoints(labels, labels == 1, ("ant", "bee"))
        figure = embedding_view.scatter(RNG.normal(size=(count, 2)), images, "t")
        *classes, wrong = figure.axes[0].collections
        assert [part.get_sizes()[0] for part in classes] == [size, size]
        assert wrong.get_sizes()[0] == pytest.approx(2.2 * size)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ant", "bee", "predicted wrong"]
        assert figure.get_size_inches()[1] == pytest.approx(HEADER + 5.2 + 0.2)
    labels = np.repeat(np.arange(22), [*[2] * 10, 1, 1, *[2] * 10])
    images = embedding_view.ClassifiedPoints(labels, labels < 0, [f"c{i}" for i in range(23)])
    figure = embedding_view.scatter(RNG.normal(size=(len(labels), 2)), images, "t", "note")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["other classes", *(f"c{i}" for i in range(22) if i not in (10, 11))]
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 5.2 + 0.2 * 5 + 0.2)
    assert figure.axes[0].get_xlabel() == "note"
    assert len({tuple(part.get_facecolors()[0]) for part in figure.axes[0].collections[1:]}) == 20
    first, second = (part.get_paths()[0].vertices.shape for part in figure.axes[0].collections[1:3])
    assert first != second  # a circle and a square
    np.testing.assert_array_equal(embedding_view.class_colours(10), matplotlib.colormaps["tab10"](range(10)))
    np.testing.assert_array_equal(embedding_view.class_colours(11), matplotlib.colormaps["tab20"](range(11)))


def test_images_of_the_page_are_small_and_stand_in_rows_of_forty():
    for shape, small in (((64, 50), (64, 50)), ((65, 32), (64, 32)), ((32, 128), (16, 64)), ((1, 640), (1, 64))):
        pixels = np.full((2, *shape, 3), 7, np.uint8)
        assert embedding_view._small(pixels).shape == (2, *small, 3)
    for count, size in ((40, (80, 3)), (41, (80, 6))):
        pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 1), np.uint8)
        sprite = embedding_view._sprite(pixels)
        assert sprite.size == size
        found = np.asarray(sprite)
        assert (found[:3, 78:] == 39).all()
        assert (found[3:, :2] == 40).all()
        assert (found[3:, 2:] == 0).all()


def test_a_point_has_the_caption_of_its_classes_as_far_as_they_are_known():
    classes = ("ant", "bee")
    captions = [embedding_view._caption("a.png", classes, *pair) for pair in ((0, 1), (-1, 0), (1, -1), (1, 2))]
    assert captions == [
        "a.png\ntrue: ant\npredicted: bee",
        "a.png\npredicted: ant",
        "a.png\ntrue: bee",
        "a.png\ntrue: bee",
    ]


def test_traces_of_the_page_have_rings_and_colours():
    labels, points = np.array([1, -1, 0, 1]), RNG.normal(size=(4, 2))
    images = embedding_view.ClassifiedPoints(labels, np.array([True, False, False, False]), ("ant", "<bee>"))
    traces = embedding_view._traces(points, images)
    assert [trace.name for trace in traces] == ["class not known", "ant", "&lt;bee&gt;"]
    assert [list(trace.customdata) for trace in traces] == [[1], [2], [0, 3]]
    assert list(traces[2].marker.line.width) == [1.5, 0]
    np.testing.assert_array_equal(np.stack([traces[2].x, traces[2].y], axis=1), points[[0, 3]])
    assert [trace.marker.color for trace in traces] == ["#5c6066", "#ff7f0e", "#2ca02c"]


def test_receptive_fields_stand_in_rows_of_five_with_their_sizes():
    layer = MeasuredField("conv", (1, 1), Box(0, 2, 1, 4), np.pad(np.ones((2, 3)), ((0, 4), (1, 2))), Box(0, 2, 1, 4))
    figure = receptive_field_view.draw_fields([layer] * 6, [f"c{i}\nx" for i in range(6)], "t")
    panels, bar = figure.axes[:-1], figure.axes[-1]
    assert [axes.get_xlabel() for axes in panels] == [*(f"c{i}\nx" for i in range(6)), *[""] * 4]
    assert [axes.axison for axes in panels] == [True] * 6 + [False] * 4
    lefts = np.array([inches(axes)[0] for axes in panels])
    np.testing.assert_allclose(lefts[:5], lefts[5:], atol=1e-6)
    assert (np.diff(lefts[:5]) > 1).all()
    assert (panels[0].get_xlim(), panels[0].get_ylim()) == ((-1, 6), (6, -1))
    assert panels[0].images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in bar.get_xticklabels()] == ["0", "0.25", "1"]
    assert bar.get_xticks().tolist() == [0, 0.5, 1]
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 2 * (1.3 + 0.32 + 0.15) + 0.55)
    alone = receptive_field_view.draw_fields([layer], ["one\ntwo\nthree"], "t")
    assert len(alone.axes) == 2
    assert alone.get_size_inches()[1] == pytest.approx(HEADER + 1.3 + 0.48 + 0.15 + 0.55)
    known = {
        "conv": ReceptiveField(Axis(3, 2, 0), Axis(5, 2, 0)),
        "square": ReceptiveField(Axis(3, 2, 0), Axis(3, 1, 0)),
    }
    assert receptive_field_view._caption(layer, known) == "conv\n3×5 px, stride 2\ngradient: exact"
    for reached, words in ((None, "within"), (Box(0, 2, 1, 3), "within"), (Box(0, 3, 1, 4), "goes beyond")):
        other = MeasuredField("square", (1, 1), layer.box, layer.strength, reached)
        assert receptive_field_view._caption(other, known) == f"square\n3 px, stride 2×1\ngradient: {words}"


def test_bars_of_two_sets_of_images_share_the_row_of_their_layer():
    values = np.array([[0.2, 0.1, 0.3], [1, 0.9, 1]])
    figure = statistics_view.sparsity(["a", "b"], {"one": values, "two": values / 2}, "t")
    (axes,) = figure.axes
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_height()) for bar in axes.patches]
    np.testing.assert_allclose(bars, [(-0.2, 0.36), (0.8, 0.36), (0.2, 0.36), (1.2, 0.36)])
    lines = [path.vertices for part in axes.collections for path in part.get_paths()]
    np.testing.assert_allclose(lines[:2], [[(10, -0.2), (30, -0.2)], [(90, 0.8), (100, 0.8)]])
    np.testing.assert_allclose([t.get_position() for t in axes.texts], [(31, -0.2), (101, 0.8), (16, 0.2), (51, 1.2)])
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 112), (1.6, -0.6))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xticks().tolist() == [0, 25, 50, 75, 100]
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 0.76 + 0.75 + 0.36)
    one = statistics_view.sparsity(["a", "b"], {"one": values}, "t")
    assert one.get_size_inches()[1] == pytest.approx(HEADER + 0.52 + 0.75 + 0.18)


def test_spectra_show_the_largest_eigenvalues_and_their_share():
    values = np.arange(120.0, 0, -1)
    band = np.stack([values - 0.5, values + 0.5])
    band[0, 1] = 0
    figure = statistics_view.spectra({"a": (values, band), "b": (np.zeros(2), np.zeros((2, 2)))}, "t")
    left, right = figure.axes
    assert left.lines[0].get_xdata().tolist() == right.lines[0].get_xdata().tolist() == list(range(1, 101))
    np.testing.assert_allclose(left.lines[0].get_ydata(), values[:100])
    np.testing.assert_allclose(right.lines[0].get_ydata(), 100 * np.cumsum(values)[:100] / values.sum())
    assert np.isnan(left.lines[1].get_ydata()).all()  # 0 has no place on a logarithmic axis
    assert right.lines[1].get_ydata().tolist() == [0, 0]
    drawn, nothing = left.collections
    corners = {tuple(corner) for path in drawn.get_paths() for corner in path.vertices.tolist()}
    assert corners >= {(1, 119.5), (1, 120.5), (3, 117.5), (3, 118.5), (100, 20.5), (100, 21.5)}
    assert 2 not in {place for place, _ in corners}  # nor has a band that reaches down to 0
    assert nothing.get_paths() == []
    assert [part.get_facecolor()[0, :3].tolist() for part in (drawn, nothing)] == [
        list(matplotlib.colors.to_rgb(curve.get_color())) for curve in left.lines
    ]
    assert [axes.get_xlim()[0] for axes in figure.axes] == [0, 0]
    assert right.get_ylim() == (0, 102)
    assert (left.get_title("left"), right.get_title("left")) == (
        "eigenvalue, 95 % bootstrap band",
        "share of the variance so far, in %",
    )
    assert figure.get_size_inches()[1] == pytest.approx(HEADER + 3.2 + 0.36)
    assert left.get_yscale() == "log"
    six = {str(i): (values[:3], band[:, :3]) for i in range(6)}
    assert len(statistics_view.spectra(six, "t").axes[0].lines) == 6
    with pytest.raises(ValueError, match="0 series; expected 1 to 6"):
        statistics_view.spectra({}, "t")


def test_the_shares_of_up_to_eight_layers_are_listed_else_the_smallest_and_the_largest():
    shares = [SimpleNamespace(layer=f"r{i}", share=(i * 5 % 9 + 1) / 10) for i in range(9)]  # 0.1 0.6 0.2 0.7 0.3 ...
    assert statistics_view._line("x", shares[:3]) == "x: r0 10.0 %, r1 60.0 %, r2 20.0 %"
    assert statistics_view._line("x", shares[:8]).count(",") == 7
    assert statistics_view._line("x", shares) == "x: r0 10.0 % to r7 90.0 %"


def test_kernels_stand_in_rows_of_eight_and_the_key_above_the_first(rows):
    weights = RNG.normal(size=(2, 3, 3, 17))
    captions = [f"{u}:" for u in range(17)]
    kernels.kernel_colours(weights, captions, False, "t")
    kernels.kernel_maps(weights[:, :, 0], captions, False, "t", "mean")
    kernels.kernel_maps(weights[:, :, 0], captions, True, "t", "mean")
    kernels.kernel_components(weights, range(17), False, "t")
    kernels.kernel_components(weights, range(17), True, "t")
    bound = np.abs(weights).max()
    for given, (title, note, columns), _ in rows[:3]:
        assert [len(row.panels) for row in given] == [8, 8, 1]
        assert [panel.caption for row in given for panel in row.panels] == captions
        assert (title, columns) == ("t", 8)
        assert note.endswith("elow each kernel: channel, norm (n) and bias (b).") or note.startswith("weights ")
    assert rows[0][1][1].startswith(f"weights {value_range(weights)}, one scale; grey is zero.")
    (_, shared, own, components, apart) = [given for given, _, _ in rows]
    low, high = shared[0].key
    assert -low == high == pytest.approx(np.abs(weights[:, :, 0]).max())
    assert [row.key for row in shared[1:]] == [None, None]
    assert {panel.limits for row in shared for panel in row.panels} == {(low, high)}
    assert [row.key for row in own] == [None] * 3
    for u, panel in enumerate(panel for row in own for panel in row.panels):
        assert panel.limits == limits(weights[:, :, 0, u])
    assert [row.heading for row in components] == [
        *(f"channels 0 to 15, {colour}" for colour in ("red", "green", "blue")),
        *(f"channels 16 to 16, {colour}" for colour in ("red", "green", "blue")),
    ]
    assert [len(row.panels) for row in components] == [16] * 3 + [1] * 3
    assert [row.key for row in components] == [(-bound, bound)] + [None] * 5
    assert [row.key for row in apart] == [None] * 6
    assert rows[3][1] == ("t", f"weights {value_range(weights)}, one scale; white is zero", 16)
    np.testing.assert_allclose([panel.limits[1] for panel in apart[1].panels], np.abs(weights).max(axis=(0, 1, 2))[:16])
    assert kernels.norm_and_bias(np.array([0.5, 2]), np.array([-1.0, 0.25])) == ["n 0.5\nb −1", "n 2\nb 0.25"]
    assert kernels.norm_and_bias(np.array([0.5]), None) == ["n 0.5"]
    assert (kernels.input_channels(1), kernels.input_channels(2)) == (
        "its one input channel",
        "mean over 2 input channels",
    )


def test_maps_stand_in_rows_of_eight_below_their_image(rows):
    maps = {"conv (c)": RNG.normal(size=(5, 4, 9)), "relu (r)": RNG.uniform(size=(5, 4, 9))}
    image, channels = np.zeros((5, 4, 3), np.uint8), list(range(20, 29))
    for colours in (activations.ColourScale(percentile=100), activations.ColourScale(True, 99.5)):
        activations.feature_maps(image, maps, channels, "t", "a photo", colours=colours)
    activations.feature_maps(image, {"conv": maps["conv (c)"]}, channels, "t", "a photo")
    (shared, told, named), (own, note, _), (single, _, _) = rows
    assert (told, named) == (("t", ""), {"columns": 8})
    assert note == ("t", "colours end at the 99.5th percentile of the values")
    for given in (shared, own):
        assert (given[0].heading, len(given[0].panels)) == ("a photo", 1)
        assert [len(row.panels) for row in given[1:]] == [8, 8, 1, 1]
        titles = [f"channel {channel}" for channel in channels]
        assert [list(row.titles) for row in given[1:]] == [titles[:8], [], titles[8:], []]
        drawn = [panel.picture for row in (given[1], given[3]) for panel in row.panels]
        np.testing.assert_array_equal(np.stack(drawn, axis=-1), maps["conv (c)"])
    assert [row.heading for row in shared[1:3]] == [f"{name}: {value_range(values)}" for name, values in maps.items()]
    assert [row.heading for row in own[1:3]] == [f"{name}: each map on its own scale" for name in maps]
    assert [row.key is None for row in shared] == [True, False, False, False, False]
    assert [row.key for row in own] == [None] * 5
    assert own[1].panels[0].caption == value_range(maps["conv (c)"][..., 0], 2)
    assert [(bool(row.heading), row.key is None) for row in single[1:]] == [(True, False), (False, True)]


@pytest.mark.parametrize(("units", "shape"), [(63, (1, 63)), (64, (1, 64)), (65, (2, 64)), (130, (3, 64))])
def test_a_vector_is_a_map_of_sixty_four_units_a_row(rows, units, shape):
    values = RNG.normal(size=(2, units))
    activations.feature_vectors(values, ["a", "b"], "t")
    ((given, (title, note, columns), _),) = rows
    assert (title, note, columns) == ("t", f"units in rows of {shape[1]}", 1)
    for row, name, vector in zip(given, ["a", "b"], values, strict=True):
        assert row.heading == f"{name}: {value_range(vector)}"
        (panel,) = row.panels
        assert panel.picture.shape == shape
        np.testing.assert_array_equal(panel.picture.ravel()[:units], vector)
        assert np.isnan(panel.picture.ravel()[units:]).all()
        assert row.key == panel.limits == (-np.abs(values).max(), np.abs(values).max())


@pytest.mark.parametrize(
    ("side", "count", "across", "columns"), [(96, 5, 4, 8), (97, 5, 2, 4), (96, 3, 3, 6), (97, 1, 1, 4)]
)
def test_pairs_of_pictures_stand_side_by_side(rows, side, count, across, columns):
    pictures = RNG.integers(0, 256, (2, count, 8, side, 3)).astype(np.uint8)
    names = [f"u{i}" for i in range(count)]
    below, real = [f"made {i}" for i in range(count)], [f"real {i}" for i in range(count)]
    activation_maximization.picture_pairs(*pictures, names, below, below_images=real, title="t", note="n")
    ((given, more, _),) = rows
    assert more == ("t", "n", columns)
    assert [list(row.titles) for row in given] == [names[start : start + across] for start in range(0, count, across)]
    assert {row.span for row in given} == {2}
    panels = [panel for row in given for panel in row.panels]
    assert [panel.caption for panel in panels] == [text for pair in zip(below, real, strict=True) for text in pair]
    np.testing.assert_array_equal(np.stack([panel.picture for panel in panels[::2]]), pictures[0])
    np.testing.assert_array_equal(np.stack([panel.picture for panel in panels[1::2]]), pictures[1])


def test_a_kernel_stands_before_the_maps_of_its_images(rows):
    images = RNG.integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    maps = [("conv", RNG.normal(size=(2, 3, 4, 3))), ("relu", RNG.uniform(0.1, 1, size=(2, 3, 4, 3)))]
    kernel = np.zeros((2, 2, 3, 3))
    kernel[0, 0, :, 0] = 1, -2, 0
    for shown in (slice(0, 2), slice(0, 1)):
        part = [(name, values[shown]) for name, values in maps]
        names = ["first", "second"][shown]
        kernel_map_pairs.kernel_and_maps(images[shown], names, kernel, part, channels=[4, 7, 9], title="t", note="n")
    (two, more, _), (one, few, _) = rows
    assert (more, few) == (("t", "n", 5), ("t", "n", 6))
    assert [panel is None for panel in two[0].panels] == [True, False, True, False, True]
    assert (list(two[0].titles), two[0].span, two[0].indent) == (["first", "second"], 2, 1)
    assert [list(row.titles) for row in two[1:]] == [[f"kernel {c}", "conv", "relu", "conv", "relu"] for c in (4, 7, 9)]
    np.testing.assert_array_equal(two[1].panels[0].picture[0, 0], [191, 0, 128])  # 1, −2 and 0 of 2
    assert [panel.caption for panel in two[1].panels] == [
        "±2",
        *(value_range(values[image, ..., 0], 2) for image in (0, 1) for _, values in maps),
    ]
    np.testing.assert_array_equal(two[2].panels[3].picture, maps[0][1][1, ..., 1])
    assert [len(row.panels) for row in one] == [3, 6, 3]
    assert one[1].titles[3] == "kernel 7"
    kernel_map_pairs.kernel_and_maps(images[:1], ["a"], 0 * kernel, maps[:1], channels=[0, 1, 2], title="t", note="n")
    assert (rows[-1][0][1].panels[0].picture == 128).all()


@pytest.mark.parametrize(
    ("half", "random", "blank", "start", "colour"),
    [
        (Likeness(0.1, 0.2), Likeness(-0.3, 0.05), 0, "✓ passes (likeness 0.20, same from 0.5)", GREEN),
        (Likeness(0.5, 0.2), Likeness(0, 0), 0, "✗ looks the same on a random network (likeness 0.50", ORANGE),
        (Likeness(-0.4, -0.2), Likeness(-0.1, -0.3), 1, "✓ passes, blank for 1 of 3 images (likeness −0.10", BROWN),
        (Likeness(0, 0), Likeness(0, 0), 3, "✗ says nothing: the maps are blank (likeness 0.00", ORANGE),
    ],
)
def test_a_badge_has_the_largest_likeness(half, random, blank, start, colour):
    found = Verdict((("last", half), ("first", random)), half, Likeness(0, 0.1), None, 3, blank)
    text, shown = attribution._badge(found)
    assert text.startswith(start)
    assert shown == colour


def test_a_gradient_is_shown_as_its_sum_and_its_largest_magnitude():
    values = np.array([[[1.0, -3, 1], [0, 2, 0]]])
    image, signed, magnitude = attribution._group(np.zeros((1, 2, 3), np.uint8), values)
    assert image.caption == ""
    assert (signed.picture.tolist(), signed.limits) == ([[-1, 2]], (-2, 2))
    assert (magnitude.picture.tolist(), magnitude.limits) == ([[3, 2]], (0, 3))
    assert [part.caption for part in (signed, magnitude)] == [
        "channel sum\n−1 to 2",
        "largest magnitude\n2 to 3",
    ]
    _, own, over = attribution._group(np.full((1, 2, 3), 5, np.uint8), np.array([[0.0, 4]]))
    assert [(part.caption, part.limits) for part in (own, over)] == [
        ("map\n0 to 4", (0, 4)),
        ("over the image", (0, 4)),
    ]
    assert (over.over == 5).all()


def test_the_pictures_of_the_page_have_a_palette_if_256_colours_suffice():
    colours = np.arange(257, dtype=np.uint32)
    pixels = np.stack([colours >> 8, colours & 255, colours % 7], axis=-1).astype(np.uint8)[None]
    for count, mode in ((256, "P"), (257, "RGB")):
        found = page_view._compact(pixels[:, :count])
        assert found.mode == mode
        np.testing.assert_array_equal(np.asarray(found.convert("RGB")), pixels[:, :count])


def test_two_networks_of_one_name_are_numbered():
    names = [SimpleNamespace(name=name) for name in ("a", "b", "a", "a", "b")]
    assert statistics_view._labels(names) == ["a", "b", "a #2", "a #3", "b #2"]


def test_names_of_files_come_without_their_folders():
    made = SimpleNamespace(best=SimpleNamespace(numbers=[1, 0]), stream=SimpleNamespace(ids=("x/a.png", "y/z/b.png")))
    assert activation_maximization._Comparison.files.fget(made) == ["b.png", "a.png"]


def test_the_records_of_views_and_measures_do_not_change():
    names = [
        f"{package.__name__}.{module.name}"
        for package in (views, visualization)
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    ]
    records = {
        kind
        for module in map(importlib.import_module, [views.__name__, *names])
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    }
    assert len(records) > 20
    assert [kind for kind in records if not kind.__dataclass_params__.frozen] == []


def test_every_figure_is_drawn_in_the_one_style():
    for draw in (
        *(occlusion_maps, occlusion_sizes, filters_view.top_images, filters_view.class_table),
        *(filters_view.filter_summary, embedding_view.scatter, receptive_field_view.draw_fields),
        *(statistics_view.sparsity, statistics_view.spectra),
    ):
        assert draw.__wrapped__, draw


def test_a_page_without_known_fields_says_why(monkeypatch):
    def unknown(model):
        raise InputError("m: no field")

    known, note = page_view._fields(
        SimpleNamespace(model=keras.Sequential([keras.Input((4, 4, 1)), keras.layers.ReLU()]))
    )
    assert len(known) >= 1
    monkeypatch.setattr(page_view, "receptive_fields", unknown)
    assert page_view._fields(SimpleNamespace(model=None)) == (
        {},
        f"{note} Without the pixels that units see: m: no field.",
    )


def test_a_patch_has_its_class_or_its_name_and_is_shown_small():
    opened = SimpleNamespace(class_name=lambda index: f"class {index}")
    images = SimpleNamespace(ids=("x/a.png", "x/b.png"), labels=np.array([3, -1]))
    pixels = np.zeros((256, 64, 3), np.uint8)
    known = page_view._patch(opened, images, 0, pixels, 1234.56)
    assert (known["title"], known["note"]) == ("class 3", "1235, a.png")
    unknown = page_view._patch(opened, images, 1, np.zeros((0, 3, 3), np.uint8), -0.5)
    assert (unknown["title"], unknown["note"]) == ("b.png", "−0.5")
    for part, size in ((known, (32, 128)), (unknown, (1, 1))):
        assert Image.open(io.BytesIO(base64.b64decode(part["src"].partition(",")[2]))).size == size
