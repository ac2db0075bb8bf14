"""Figures of the views over data: they show what they are given, nothing is cut, wrong shapes are refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_cnn.charts import png
from keras_cnn.figures.style import MARGIN, WIDTH
from keras_cnn.views import activations, attribution, kernel_map_pairs, kernels
from keras_cnn.views.ablation import against_random
from keras_cnn.views.activation_maximization import picture_pairs
from keras_cnn.views.embedding import ClassifiedPoints, scatter
from keras_cnn.views.filters import class_table, filter_summary, top_images
from keras_cnn.views.occlusion import occlusion_maps, occlusion_sizes
from keras_cnn.views.receptive_field import draw_fields
from keras_cnn.views.statistics import sparsity, spectra
from keras_cnn.views.support.published_ablation import AblationBesidePublished, AblationRow, class_accuracies
from keras_cnn.visualization.occlusion import Occlusion
from keras_cnn.visualization.receptive_field import Box, MeasuredField

LONG = "a title that is much longer than the page is wide, as names of runs and of classes may well be " * 2
RNG = np.random.default_rng(0)


def occlusion_map(size: int, side: int = 32, stride: int = 1) -> Occlusion:
    places = np.unique(np.append(np.arange(0, side - size + 1, stride), side - size))
    confidence = np.full((len(places), len(places)), 0.75)
    confidence[1, 2] = 0.25
    return Occlusion(size, "grey", places, places, 0.9, confidence)


@pytest.mark.parametrize(("side", "sizes", "channels"), [(32, (4, 8, 12, 16), 3), (299, (37, 149), 3), (28, (28,), 1)])
def test_occlusion_maps(check_nothing_cut, side, sizes, channels):
    images = RNG.integers(0, 256, (2, side, side, channels)).astype(np.uint8)
    if sizes == (28,):
        maps = [[Occlusion(28, "grey", np.array([0]), np.array([0]), 0.9, np.array([[0.5]]))] for _ in images]
    else:
        maps = [[occlusion_map(size, side, max(1, side // 32)) for size in sizes] for _ in images]
    figure = occlusion_maps(images, maps, [LONG, "b"], LONG)
    check_nothing_cut(figure)
    if len(sizes) == 4:  # the panels of a row take the whole width
        ends = [axes.get_position().x1 for axes in figure.axes if axes.get_xlim() == (-0.5, side - 0.5)]
        assert max(ends) * WIDTH == pytest.approx(WIDTH - MARGIN)


def test_an_occlusion_map_lies_on_the_pixels_of_its_image():
    figure = occlusion_maps(np.zeros((1, 32, 32, 3), np.uint8), [[occlusion_map(8)]], ["a"], "t")
    _, _, ax = figure.axes
    mesh, frame = ax.collections[0], ax.patches[0]
    # Patch 0 covers pixels 0 to 7, which imshow draws from -0.5 to 7.5: its middle is 3.5, its cell 3 to 4.
    assert mesh.get_coordinates()[0, 0].tolist() == [3.0, 3.0]
    assert mesh.get_coordinates()[-1, -1].tolist() == [28.0, 28.0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 31.5), (31.5, -0.5))
    assert frame.get_bbox().bounds == (1.5, 0.5, 8, 8)  # the least confidence: row 1, column 2
    assert mesh.get_clim() == pytest.approx((0, 0.65))  # 0.9 with nothing hidden, 0.25 behind the worst patch
    loss = np.asarray(mesh.get_array())
    assert (loss[1, 2], loss[0, 0]) == pytest.approx((0.65, 0.15))
    assert mesh.get_alpha()[1, 2] == 0.85 > mesh.get_alpha()[0, 0]  # the image shows where little is lost


def test_occlusion_sizes(check_nothing_cut):
    totals = np.array([[800.0, 500, 200], [700, 650, 600]])
    figure = occlusion_sizes((4, 8, 12), totals, totals / 1000, ["a", LONG], title=LONG, places=(841, 625, 441))
    check_nothing_cut(figure)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["4\n841", "8\n625", "12\n441"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == totals.tolist()
    with pytest.raises(ValueError, match="for 1 images and 3 sizes"):
        occlusion_sizes((4, 8, 12), totals, totals, ["a"], title="t", places=(841, 625, 441))
    with pytest.raises(ValueError, match="expected equal numbers"):
        occlusion_maps(np.zeros((1, 8, 8, 3), np.uint8), [], [], "t")


@pytest.mark.parametrize(("shape", "count"), [((32, 32, 3), 10), ((40, 60, 1), 3)])
def test_top_images(check_nothing_cut, rendered, shape, count):
    images = np.zeros((2, count, *shape), np.uint8)
    boxes = np.tile([-2, 5, shape[1] - 4, shape[1] + 8], (2, count, 1))  # beyond the upper right corner
    inside = (5, 4, shape[-1])
    patches = [[np.full(inside, 200, np.uint8)] * count] * 2
    figure = top_images(images, boxes, patches, ["filter 0", LONG], title=LONG)
    check_nothing_cut(figure)
    check_nothing_cut(top_images(images, boxes, patches, ["filter 0", "b"], title="t", captions=[[LONG] * count] * 2))
    assert len(figure.axes) == 4 * count  # the image, and what is hatched beyond its border
    assert len(figure.artists) == 2 * count  # the patch
    whole, patch = figure.axes[1].get_window_extent(), figure.artists[0].get_window_extent()
    assert patch.height / whole.height == pytest.approx(5 / 7)  # two rows lie above the image
    assert patch.width / whole.width == pytest.approx(4 / 12)
    assert (patch.x0, patch.y0) == pytest.approx((whole.x0, whole.y0))  # and eight columns right of it
    assert figure.axes[0].get_xlim() == (-0.5, shape[1] - 0.5)  # the frame does not move the picture
    pixels = rendered(figure)
    scale = pixels.shape[1] / figure.bbox.width
    seen = scale**2 * sum(artist.get_window_extent().width * artist.get_window_extent().height
                          for artist in figure.artists)  # fmt: skip
    assert (pixels == 200).all(axis=-1).sum() == pytest.approx(seen, rel=0.1)  # no hatching lies over the patches
    with pytest.raises(ValueError, match="headings"):
        top_images(images, boxes, patches, ["filter 0"], title="t")


def test_patches_that_are_whole_images_are_not_drawn_twice():
    images = np.zeros((2, 3, 7, 7, 3), np.uint8)
    whole, part = np.tile([0, 7, 0, 7], (2, 3, 1)), np.tile([1, 6, 0, 7], (2, 3, 1))
    texts = ["filter 0", "filter 1"]
    without = top_images(images, whole, list(images), texts, title="t")
    assert (len(without.axes), len(without.artists)) == (0, 6)
    both = top_images(images, part, list(images[:, :, 1:6]), texts, title="t")
    assert (len(both.axes), len(both.artists)) == (6, 6)  # with its frame, the image has axes
    assert both.get_size_inches()[1] > without.get_size_inches()[1]


def test_class_table(check_nothing_cut):
    counts = np.array([[3, 3, 0], [0, 1, 5]])
    figure = class_table(counts, ["conv1 filter 0", LONG], ["ant", "bee", LONG], LONG)
    check_nothing_cut(figure)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == ["3", "3", "1", "5"]
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, -0.5), (1.5, 0.5)]  # of a tie the first
    check_nothing_cut(
        class_table(RNG.integers(0, 3, (10, 200)), [f"f{i}" for i in range(10)], [str(i) for i in range(200)], "t")
    )
    with pytest.raises(ValueError, match="2 filters and 2 classes"):
        class_table(counts, ["a", "b"], ["ant", "bee"], "t")


def test_filter_summary_has_dead_filters_apart(check_nothing_cut):
    largest = [np.array([3.0, 0, -1]), np.array([500.0, 2])]
    figure = filter_summary(["conv1", LONG], largest, [np.array([-5.0, -2000, -1]), np.array([3e5, 0.5])], LONG)
    check_nothing_cut(figure)
    left, right = figure.axes
    assert [label.get_text().split("\n")[1] for label in left.get_yticklabels()] == ["2 of 3 dead", "0 of 2 dead"]
    drawn = [
        sorted(line.get_xdata().tolist()) for line in right.lines if len(line.get_xdata()) and line.get_marker() == "o"
    ]
    assert drawn == [[3.0], [-1.0, 0.0], [2.0, 500.0]]


def test_receptive_fields(check_nothing_cut):
    strength = np.zeros((20, 30))
    strength[4:9, 6:12] = 4.0
    strength[4, 6] = 1.0
    layer = MeasuredField("conv1", (5, 8), Box(4, 9, 6, 12), strength, None)
    figure = draw_fields([layer] * 7, [f"conv1\n5 px\n{LONG}"] * 7, LONG)
    check_nothing_cut(figure)
    ax = figure.axes[0]
    values = ax.images[0].get_array()
    assert values.mask.sum() == 600 - 30  # grey where no gradient is
    assert (values.max(), values[4, 6]) == (1, 0.5)  # the root of a quarter
    assert ax.patches[0].get_bbox().bounds == (5.5, 3.5, 6, 5)
    with pytest.raises(ValueError, match="no receptive field"):
        draw_fields([], [], "t")


def test_sparsity_and_spectra(check_nothing_cut):
    values = np.array([[0.2, 0.1, 0.3], [0.5, 0.45, 0.55]])
    figure = sparsity(["relu1", LONG], {"net3 on a": values, LONG: values / 2}, LONG)
    check_nothing_cut(figure)
    np.testing.assert_allclose([bar.get_width() for bar in figure.axes[0].patches], [20, 50, 10, 25])
    assert [text.get_text() for text in figure.axes[0].texts] == ["20.0 %", "50.0 %", "10.0 %", "25.0 %"]
    eigenvalues = np.array([8.0, 1.5, 0.5, 0.0])
    figure = spectra(
        {"a": (eigenvalues, np.stack([eigenvalues / 2, eigenvalues * 2])), LONG: (eigenvalues[:2], np.ones((2, 2)))},
        LONG,
    )
    check_nothing_cut(figure)
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [80, 95, 100, 100])
    assert "$" not in "".join(label.get_text() for label in figure.axes[0].get_yticklabels())
    for draw, wrong in ((sparsity, (["a"], {"s": values})), (spectra, ({"s": (eigenvalues, np.ones((2, 3)))},))):
        with pytest.raises(ValueError, match="s: "):
            draw(*wrong, "t")
    with pytest.raises(ValueError, match="7 series"):
        spectra({str(i): (eigenvalues, np.ones((2, 4))) for i in range(7)}, "t")


def test_eigenvalues_of_less_than_a_decade_have_several_numbers_at_their_axis():
    eigenvalues = np.linspace(3.0, 0.9, 20)
    figure = spectra({"s": (eigenvalues, np.stack([0.9 * eigenvalues, 1.1 * eigenvalues]))}, "t")
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert sum(low <= place <= high for place in figure.axes[0].get_yticks()) >= 2


@pytest.mark.parametrize("classes", [3, 10, 40])
def test_scatter(check_nothing_cut, classes):
    labels = np.concatenate([np.arange(classes), [0, 0, -1]])
    points, wrong = RNG.normal(size=(len(labels), 2)), np.arange(len(labels)) % 3 == 0
    images = ClassifiedPoints(labels, wrong, [f"{LONG}{i}" for i in range(classes)])
    figure = scatter(points, images, LONG, "what the axes mean")
    check_nothing_cut(figure)
    drawn = sum(len(part.get_offsets()) for part in figure.axes[0].collections)
    assert drawn == len(labels) + wrong.sum()
    assert len(figure.axes[0].collections[-1].get_offsets()) == wrong.sum()
    unlabelled = ClassifiedPoints(np.full(len(points), -1), np.zeros(len(points), bool), [])
    unknown = scatter(points, unlabelled, "t")
    assert [text.get_text() for text in unknown.legends[0].get_texts()] == ["class not known"]
    with pytest.raises(ValueError, match="expected one an image"):
        scatter(points[1:], images, "t")


def test_against_random(check_nothing_cut):
    plot = against_random(-0.03, (-0.04, -0.02), [-0.01, 0.0], [(-0.02, 0.0), (-0.01, 0.01)])
    figure = png.figure([plot], LONG)
    check_nothing_cut(figure)
    points = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(np.concatenate(points), [-3, -1, 0])
    ends = [path.vertices[:, 0] for bars in figure.axes[0].collections for path in bars.get_paths()]
    np.testing.assert_allclose(ends, [[-4, -2], [-2, 0], [-1, 1]])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["chosen", "random 1", "random 2"]


@pytest.mark.parametrize(("shape", "count"), [((32, 32, 3), 10), ((299, 299, 3), 3), ((28, 28, 1), 1)])
def test_picture_pairs(check_nothing_cut, shape, count):
    pictures = RNG.integers(0, 256, (count, *shape)).astype(np.uint8)
    below = ["made: −0.00123\nnoise: −0.00456\nnever above 0"] * count
    figure = picture_pairs(
        pictures,
        pictures[::-1],
        [LONG] * count,
        below,
        below_images=[f"real: 12\n{LONG}"] * count,
        title=LONG,
        note=LONG,
    )
    check_nothing_cut(figure)
    with pytest.raises(ValueError, match="expected the same shape, both uint8"):
        picture_pairs(pictures, pictures[:, 1:], [""] * count, below, below_images=below, title="t", note="n")
    with pytest.raises(ValueError, match="expected one each"):
        picture_pairs(pictures, pictures, [""] * (count + 1), below, below_images=below, title="t", note="n")


def test_an_ablation_beside_the_published_one(check_nothing_cut):
    published, measured = np.array([[0.86, 0.82], [0.7, 0.82], [0.9, 0.87]]), np.array([[0.8, 0.79], [1, 1], [0.5, 0]])
    intervals = np.array([[-0.05, 0.03], [0, 0], [-0.6, -0.4]])
    plots = class_accuracies([LONG, "cat", "all images"], published, measured, intervals)
    figure = png.figure(plots, LONG, f"{LONG}; {LONG}")
    check_nothing_cut(figure)
    left, right = figure.axes
    before, _, _, after = (line.get_xdata() for line in left.lines)
    np.testing.assert_allclose([before, after], [[86, 70, 90], [79, 100, 0]])
    differences = [line.get_xdata() for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(differences, [[-4, 12, -3], [-1, 0, -50]], atol=1e-9)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 4
    others = (figure._supxlabel, left.xaxis.label)
    assert not any(legend.get_window_extent().overlaps(text.get_window_extent()) for text in others)


def _images(count: int, side: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, side, side, 3)).astype(np.uint8)


SHEETS = {
    "kernel colours": lambda: kernels.kernel_colours(
        RNG.normal(size=(5, 5, 3, 10)), ["0: n 1\nb 2"] * 10, True, "net: conv1"
    ),
    "kernel components": lambda: kernels.kernel_components(RNG.normal(size=(3, 3, 3, 20)), range(20), False, "t"),
    "kernel means": lambda: kernels.kernel_maps(RNG.normal(size=(3, 3, 9)), ["0: n"] * 9, False, "t", "mean"),
    "feature maps": lambda: activations.feature_maps(
        _images(1, 32)[0], {"conv": RNG.normal(size=(13, 13, 12))}, range(12), "t", "an image"
    ),
    "feature vectors": lambda: activations.feature_vectors(RNG.normal(size=(3, 100)), ["a", "b", "c"], "t"),
    "pairs": lambda: kernel_map_pairs.kernel_and_maps(
        _images(2, 299),
        ["a\ntrue b", "c"],
        RNG.normal(size=(3, 3, 3, 4)),
        [("conv", RNG.normal(size=(2, 147, 147, 4))), ("relu", RNG.uniform(size=(2, 147, 147, 4)))],
        channels=[3, 5, 8, 9],
        title="t",
        note="note",
    ),
    "attribution, small": lambda: attribution.attribution_sheet(
        _images(3, 32), RNG.normal(size=(3, 32, 32, 3)), ["a\nb"] * 3, "t", "note\nnote"
    ),
    "attribution, large": lambda: attribution.attribution_sheet(
        _images(2, 299), RNG.uniform(size=(2, 299, 299)), ["a"] * 2, "t" * 200, ""
    ),
    "attribution, grey": lambda: attribution.attribution_sheet(
        _images(1, 28)[..., :1], np.zeros((1, 28, 28, 1)), ["a"], "t", ""
    ),
}


@pytest.mark.parametrize("name", SHEETS)
def test_nothing_is_cut_off(name, check_nothing_cut):
    check_nothing_cut(SHEETS[name]())


def test_kernels_are_grey_where_they_are_zero_and_share_a_scale(monkeypatch):
    shown = []
    monkeypatch.setattr(kernels, "sheet", lambda rows, *_: shown.extend(panel for row in rows for panel in row.panels))
    weights = np.zeros((1, 2, 3, 2))
    weights[0, 0, 0, 0], weights[0, 1, 2, 1] = 2.0, -1.0
    kernels.kernel_colours(weights, ["4: ", "7: "], False, "t")
    np.testing.assert_array_equal(shown[0].picture, [[[255, 128, 128], [128, 128, 128]]])
    np.testing.assert_array_equal(shown[1].picture, [[[128, 128, 128], [128, 128, 64]]])
    shown.clear()
    kernels.kernel_colours(weights, ["4: ", "7: "], True, "t")
    np.testing.assert_array_equal(shown[1].picture, [[[128, 128, 128], [128, 128, 0]]])
    assert [panel.caption for panel in shown] == ["4: ", "7: "]


def test_every_kernel_has_its_weights_for_red_green_and_blue(monkeypatch):
    rows = []
    monkeypatch.setattr(kernels, "sheet", lambda given, *_: rows.extend(given))
    weights = RNG.normal(size=(2, 2, 3, 70))
    kernels.kernel_components(weights, np.arange(100, 170), False, "t")
    assert rows[0].heading.startswith("channels 100 to ")
    assert rows[-1].heading.endswith("to 169, blue")
    for colour in range(3):
        drawn = [panel.picture for row in rows[colour::3] for panel in row.panels]
        np.testing.assert_array_equal(np.stack(drawn, axis=-1), weights[:, :, colour])


@pytest.mark.parametrize(("side", "across"), [(96, 2), (97, 1)])
def test_every_image_stands_beside_its_map(monkeypatch, side, across):
    rows = []
    monkeypatch.setattr(attribution, "sheet", lambda given, *_, **__: rows.extend(given))
    images = RNG.integers(0, 256, (3, side, side, 3)).astype(np.uint8)
    maps = RNG.normal(size=(3, side, side))
    attribution.attribution_sheet(images, maps, ["a", "b", "c"], "t", "n")
    assert [list(row.titles) for row in rows] == ([["a", "b"], ["c"]] if across == 2 else [["a"], ["b"], ["c"]])
    panels = [panel for row in rows for panel in row.panels]
    np.testing.assert_array_equal(np.stack([panel.picture for panel in panels[::3]]), images)
    np.testing.assert_array_equal(np.stack([panel.picture for panel in panels[1::3]]), maps)


def test_signs_are_those_of_classes_that_rise_fall_or_stay():
    """The published one falls where the measured stays; the class without images and the row of all do not count."""
    pairs = [((0.5, 0.4), (0.5, 0.5)), ((0.5, 0.4), (0.3, 0.2)), ((0.1, 0.2), (0.3, 0.4)), ((0.5, 0.5), (0.2, 0.2))]
    pairs += [((0.5, 0.4), (0.5, 0.5)), ((0.9, 0.1), (0.1, 0.9))]
    rows = [
        AblationRow(f"c{n}", published, 2, SimpleNamespace(before=b, after=a, images=n != 4, difference_interval=None))
        for n, (published, (b, a)) in enumerate(pairs)
    ]
    lines = AblationBesidePublished(SimpleNamespace(source="A book"), tuple(rows), ("seed",)).lines()
    assert lines[-2:] == ["  the sign of the difference is the same for 3 of 4 classes", "  differs: seed"]
    assert lines[2].split()[:7] == ["c0", "50", "40", "-10", "50.00", "50.00", "+0.00"]


def test_maps_below_a_heading_with_both_signs_are_symmetric_about_zero(monkeypatch):
    shown = []
    monkeypatch.setattr(kernel_map_pairs, "sheet", lambda rows, *_: shown.extend(rows))
    values = np.array([[[[0.5, -3]], [[2, 1]]]])  # (1, 2, 1, 2): channels of 0.5 to 2 and of -3 to 1
    maps = [("conv", values), ("relu", np.maximum(values, 0))]
    kernel_map_pairs.kernel_and_maps(
        np.zeros((1, 8, 8, 1), np.uint8), ["a"], np.array([[[2.0, -4]]]), maps, channels=[5, 7], title="t", note="n"
    )
    _, pairs = shown  # two channels of one image stand in a row
    assert [panel.limits for panel in pairs.panels] == [(-4, 4), (-2, 2), (0, 2), (-4, 4), (-3, 3), (0, 1)]
    assert [panel.caption for panel in pairs.panels[::3]] == ["±2", "±4"]
    assert pairs.titles == ["kernel 5", "conv", "relu", "kernel 7", "conv", "relu"]


def test_one_extreme_value_leaves_the_other_maps_their_colours():
    maps = np.linspace(0.01, 1, 200).reshape(10, 10, 2)
    maps[0, 0] = 0  # what is 0 does not count: most values behind a ReLU are
    maps[9, 9, 1] = 50
    assert activations.ColourScale(percentile=100).limits(maps) == (0, 50)
    assert activations.ColourScale().limits(maps) == pytest.approx((0, 1), abs=0.02)
    own = activations.feature_maps(
        np.zeros((10, 10, 1), np.uint8), {"a": maps}, [0, 1], "t", "c", colours=activations.ColourScale(True, 100)
    )
    assert [axes.images[0].get_clim() for axes in own.axes[1:]] == [(0, pytest.approx(maps[..., 0].max())), (0, 50)]
    told = activations.feature_maps(
        np.zeros((10, 10, 1), np.uint8), {"a": maps}, [0, 1], "t", "c", colours=activations.ColourScale(percentile=99)
    )
    page = activations.feature_maps(
        np.zeros((10, 10, 1), np.uint8), {"a": RNG.normal(size=(4, 4, 64))}, range(64), "t", "c"
    )
    assert len(page.axes) == 1 + 64 + 1  # the image, 8×8 maps and one key to their colours
    assert sum(text.get_text().startswith("a: ") for text in page.texts) == 1
    notes = [" ".join(text.get_text() for text in figure.texts) for figure in (own, told)]
    assert ["colours end at the 99th percentile" in note for note in notes] == [False, True]
    assert "percentile" not in notes[0]


def test_a_verdict_is_a_badge(check_nothing_cut):
    image, values = np.zeros((1, 8, 8, 1), np.uint8), np.ones((1, 8, 8))
    figure = attribution.attribution_sheet(image, values, ["a"], LONG, LONG, badge=(f"✓ {LONG}", "#007a5a"))
    check_nothing_cut(figure)
    (badge,) = [text for text in figure.texts if text.get_text().startswith("✓")]
    assert badge.get_bbox_patch().get_facecolor()[:3] == pytest.approx((0, 0x7A / 255, 0x5A / 255))
