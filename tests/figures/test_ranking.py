import numpy as np
import pytest
from matplotlib.colors import to_rgb

from keras_cnn.figures.ranking import ClassCurve, precision_recall_curves, roc_curves

STEPS = ClassCurve(np.array([0, 0, 0.5, 1]), np.array([0, 0.5, 1, 1]), 0.875)


def curve(area: float, points: int = 50) -> ClassCurve:
    x = np.linspace(0, 1, points)
    return ClassCurve(x, x ** ((1 - area) / area), area, chance=0.1)  # the area under x^k is 1 / (k + 1)


def blue(ax) -> np.ndarray:
    (line,) = (line for line in ax.get_lines() if line.get_linestyle() == "-")
    return line.get_xydata()


def test_every_class_has_its_curve_before_the_others_and_its_area():
    figure = roc_curves({"cat": STEPS, "dog": curve(0.7), "owl": curve(0.6)}, "ROC")
    assert [ax.get_title("left") for ax in figure.axes] == ["cat", "dog", "owl"]
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["area 0.875", "area 0.700", "area 0.600"]
    np.testing.assert_array_equal(blue(figure.axes[0]), np.c_[STEPS.x, STEPS.y])
    assert [len(ax.collections[0].get_paths()) for ax in figure.axes] == [2, 2, 2]


def test_a_class_without_images_has_no_curve():
    nothing = ClassCurve(np.array([0, 1]), np.full(2, np.nan), None)
    figure = precision_recall_curves({"cat": curve(0.8), "dog": nothing, "owl": curve(0.6)}, "Precision and recall")
    ax = figure.axes[1]
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["AP 0.800", "no images", "AP 0.600"]
    assert not [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    assert len(ax.collections[0].get_paths()) == 2


@pytest.mark.parametrize(
    ("draw", "guessing", "x", "y"),
    [
        (roc_curves, "guessing: area 0.5", "false-positive rate", "true-positive rate"),
        (precision_recall_curves, "guessing: the class's share of the images", "recall", "precision"),
    ],
)
def test_a_legend_explains_every_line_and_the_outer_axes_are_named(draw, guessing, x, y):
    figure = draw({f"class {i}": curve(0.6 + i / 20) for i in range(6)}, "Six")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["the class named", "the other classes", guessing]
    sample, others, dashes = legend.get_lines()
    (drawn,) = (line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-")
    assert sample.get_color() == drawn.get_color() == figure.axes[0].texts[0].get_color()
    assert to_rgb(others.get_color()) == tuple(figure.axes[0].collections[0].get_colors()[0][:3])
    assert dashes.get_linestyle() == "--"
    assert [ax.get_xlabel() for ax in figure.axes] == ["", *5 * [x]]
    assert [ax.get_ylabel() for ax in figure.axes] == [y, *4 * [""], y]


def test_the_precision_of_guessing_is_drawn():
    (ax,) = precision_recall_curves({"cat": curve(0.8)}, "Precision and recall").axes
    (dashed,) = (line for line in ax.get_lines() if line.get_linestyle() != "-")
    assert list(dashed.get_ydata()) == [0.1, 0.1]


def test_of_many_classes_those_of_the_smallest_area_are_shown_in_their_order():
    areas = np.random.default_rng(0).permutation(np.linspace(0.5, 0.99, 100))
    figure = roc_curves({f"class {i}": curve(area) for i, area in enumerate(areas)}, "ROC")
    expected = [f"class {i}" for i in np.sort(np.argsort(areas)[:10])]
    assert [ax.get_title("left") for ax in figure.axes] == expected
    assert figure.get_suptitle() == "ROC: the 10 lowest of 100"
    assert all(len(ax.collections[0].get_paths()) == 99 for ax in figure.axes)


def test_a_long_curve_is_thinned_to_what_can_be_seen():
    x = np.linspace(0, 1, 20_001)
    y = np.minimum(1, x * 50)  # nearly all of the rise is in the first 2 % of the points
    (ax,) = roc_curves({"cat": ClassCurve(x, y, 0.99)}, "ROC").axes
    drawn = blue(ax)
    assert len(drawn) <= 300
    np.testing.assert_array_equal(drawn[[0, -1]], [[0, 0], [1, 1]])
    np.testing.assert_allclose(np.interp(x, *drawn.T), y, atol=0.02)


@pytest.mark.parametrize("draw", [roc_curves, precision_recall_curves])
@pytest.mark.parametrize("n", [1, 3, 5, 7, 100])
def test_nothing_is_cut_and_no_two_titles_overlap(draw, n, check_nothing_cut):
    curves = {f"{i} a rather long name of a class": curve(0.5 + 0.4 * i / n) for i in range(n)}
    figure = draw(curves, "A title that says of which run and which images this is " * 2)
    assert figure.get_size_inches()[0] <= 7.2
    check_nothing_cut(figure)
    assert len(figure.axes) == min(n, 10)
    rows = {round(ax.get_window_extent().y1) for ax in figure.axes}
    labels = [t for ax in figure.axes for t in (ax._left_title, ax.texts[0], ax.xaxis.label, ax.yaxis.label)]
    boxes = [t.get_window_extent() for t in (*labels, *figure.legends, figure._suptitle)]
    boxes = [box for box in boxes if box.width]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
    assert len(rows) == -(-len(figure.axes) // 5)


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="no class to draw"):
        roc_curves({}, "Nothing")
