from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from keras_cnn.charts import png
from keras_cnn.charts.evaluation import CHANGE_NOTE, confusion_change
from keras_cnn.charts.evaluation import confusion_pair as pair_of_maps

MATRIX = np.array([[8, 2, 0], [0, 1000, 1], [0, 0, 0]])
NAMES = ("cat", "dog", "owl")


def confusion(matrix, names, title, normalise=False):
    return png.figure([pair_of_maps(np.array(matrix), names)[normalise]], title)


def confusion_pair(matrix, names, title):
    return png.figure(pair_of_maps(matrix, names), title)


def confusion_difference(matrix, names, title):
    return png.figure([confusion_change(matrix, names)], title, CHANGE_NOTE)


def cells(ax) -> dict[tuple[int, int], str]:
    """Annotation of every annotated cell by (true, predicted)."""
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in ax.texts}


def tick_texts(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def luminance(colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def boxes(texts) -> list:
    return [text.get_window_extent() for text in texts if text.get_text()]


def many(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 50, (n, n)) + np.diag(np.full(n, 5000)), [f"a species of bird, number {i}" for i in range(n)]


def test_counts_stand_in_their_cells_and_zeros_stay_empty():
    (ax,) = confusion(MATRIX, NAMES, "Validation set").axes
    assert cells(ax) == {(0, 0): "8", (0, 1): "2", (1, 1): "1000", (1, 2): "1"}
    assert (ax.get_title("left"), ax.get_ylabel(), ax.get_xlabel()) == ("images", "true class", "predicted class")
    assert tick_texts(ax.xaxis) == tick_texts(ax.yaxis) == list(NAMES)
    np.testing.assert_array_equal(ax.images[0].get_array(), MATRIX)
    assert ax.yaxis_inverted()  # the first class is on top


def test_rows_in_percent_never_round_to_nothing_or_to_all():
    (ax,) = confusion(MATRIX, NAMES, "Validation set", normalise=True).axes
    assert cells(ax) == {(0, 0): "80", (0, 1): "20", (1, 1): ">99", (1, 2): "<1"}
    assert ax.get_title("left") == "% of the true class"
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=1), [100, 100, 0])


def test_halves_of_a_percent_are_rounded_up():
    """Every one of these shares is a half exactly; in floats 0.575 * 100 is below it."""
    counts = [745, 795, 575, 25, 145, 985]
    for hits in counts:
        (ax,) = confusion([[hits, 1000 - hits], [0, 1]], ("cat", "dog"), "Halves", normalise=True).axes
        assert cells(ax)[0, 0] == str((hits + 5) // 10)
        assert cells(ax)[0, 1] == str((1000 - hits + 5) // 10)


def test_all_of_a_class_is_one_hundred():
    (ax,) = confusion(np.diag([3, 7]), ("cat", "dog"), "Perfect", normalise=True).axes
    assert cells(ax) == {(0, 0): "100", (1, 1): "100"}


def test_every_number_is_readable_on_its_colour():
    matrix = np.arange(400).reshape(20, 20)
    figure = confusion(matrix, [str(i) for i in range(20)], "All shades")
    (ax,) = figure.axes
    image = ax.images[0]
    colours = image.cmap(image.norm(matrix))
    assert len(ax.texts) == 399
    for text in ax.texts:
        column, row = text.get_position()
        pair = sorted([luminance(colours[row, column]), luminance(to_rgb(text.get_color()))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_a_single_mistake_has_another_colour_than_none():
    (ax,) = confusion(MATRIX, NAMES, "Validation set").axes
    none, one = (ax.images[0].cmap(ax.images[0].norm(value)) for value in (0, 1))
    assert np.abs(np.subtract(none, one)).max() > 0.02


def test_the_pair_shows_counts_beside_percentages():
    figure = confusion_pair(MATRIX, NAMES, "Both")
    counts, shares = figure.axes
    assert cells(counts)[0, 1] == "2"
    assert cells(shares)[0, 1] == "20"
    assert counts.get_position().x1 < shares.get_position().x0
    assert counts.get_position().y0 == shares.get_position().y0
    assert not any(label.get_visible() for label in shares.get_yticklabels())


def test_the_pair_of_many_classes_stands_one_above_the_other():
    counts, shares = confusion_pair(*many(11), "Both").axes
    assert counts.get_position().y0 > shares.get_position().y1
    assert tick_texts(shares.yaxis) == tick_texts(counts.yaxis)


@pytest.mark.parametrize("n", [1, 2, 10, 20, 21, 50, 200])
@pytest.mark.parametrize("draw", [confusion, confusion_pair])
def test_nothing_is_cut_and_no_two_names_overlap(n, draw, check_nothing_cut):
    figure = draw(*many(n), "A title that says what the matrix shows, and of which images of which run it is")
    assert figure.get_size_inches()[0] <= 7.2
    check_nothing_cut(figure)
    for ax in (ax for ax in figure.axes if ax.images):
        rows = sorted(boxes(ax.get_yticklabels()), key=lambda box: box.y0)
        assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(rows))
        width = ax.get_window_extent().width
        assert width == pytest.approx(ax.get_window_extent().height, abs=1)  # cells are square
        assert all(text.get_window_extent().width <= width / n for text in ax.texts)
        assert bool(ax.texts) == (n <= 20)
        assert ax._left_title.get_window_extent().y1 <= figure._suptitle.get_window_extent().y0


@pytest.mark.parametrize(("n", "step"), [(21, 1), (50, 2), (100, 3), (200, 5)])
def test_many_classes_have_sparse_ticks_at_the_right_places_and_a_colour_bar(n, step):
    matrix, names = many(n)
    names = [f"c{i}" for i in range(n)]
    ax = confusion(matrix, names, "Many").axes[0]
    expected = list(range(0, n, step))
    assert ax.get_xticks().tolist() == ax.get_yticks().tolist() == expected
    assert tick_texts(ax.xaxis) == [f"c{i}" for i in expected]
    assert len(ax.child_axes) == 1


def test_names_lie_flat_where_they_fit_and_long_ones_are_shortened():
    (ax,) = confusion(MATRIX, NAMES, "Short names").axes
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}
    long = [f"{name} of the northern highlands and islands" for name in NAMES]
    (ax,) = confusion(MATRIX, long, "Long names").axes
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {45}
    assert all(text.startswith(name) and "…" in text for text, name in zip(tick_texts(ax.xaxis), NAMES, strict=True))


def test_a_matrix_that_does_not_fit_its_classes_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for 2 class names"):
        confusion(MATRIX, NAMES[:2], "Wrong")


def test_a_difference_is_signed_and_empty_where_nothing_changed(check_nothing_cut):
    difference = np.array([[12, -12, 0], [-3, 3, 0], [0, 1, -1]])
    figure = confusion_difference(difference, NAMES, "After minus before")
    (ax,) = figure.axes
    signed = {(0, 0): "+12", (0, 1): "−12", (1, 0): "−3", (1, 1): "+3", (2, 1): "+1", (2, 2): "−1"}
    assert cells(ax) == signed
    image = ax.images[0]
    colours = image.cmap(image.norm(image.get_array()))
    blue, orange = (colours[..., 2] > colours[..., 0]), (colours[..., 0] > colours[..., 2] + 0.02)
    # Better are more on the diagonal and fewer beside it, worse the opposite.
    np.testing.assert_array_equal(blue, [[True, True, False], [True, True, False], [False, False, False]])
    np.testing.assert_array_equal(orange, [[False, False, False], [False, False, False], [False, True, True]])
    assert image.norm(12) == pytest.approx(1)
    assert image.norm(3) == pytest.approx(0.75)  # a quarter of the largest is half way by its root
    assert "Blue is better" in figure.get_supxlabel().replace("\n", " ")
    assert not figure._supxlabel.get_window_extent().overlaps(ax.xaxis.label.get_window_extent())
    check_nothing_cut(figure)


def test_a_difference_of_many_classes_has_a_colour_bar_and_one_of_nothing_is_drawn(check_nothing_cut):
    matrix, names = many(50)
    figure = confusion_difference(matrix - matrix.T, names, "Many")
    assert len(figure.axes[0].child_axes) == 1
    check_nothing_cut(figure)
    (ax,) = confusion_difference(np.zeros((3, 3), int), NAMES, "Nothing changed").axes
    assert not ax.texts
