from itertools import pairwise

import numpy as np
import pytest

from keras_cnn.figures import style
from keras_cnn.figures.comparison import class_differences

NAMES = ("cat", "dog", "owl")
BEFORE, AFTER = np.array([0.5, 0.8, np.nan]), np.array([0.7, 0.75, np.nan])
INTERVALS = np.array([[0.1, 0.3], [-0.1, 0.01], [np.nan, np.nan]])


def marks(ax, label: str) -> np.ndarray:
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return line.get_xydata()


def test_every_class_has_its_two_accuracies_and_its_difference():
    figure = class_differences(NAMES, BEFORE, AFTER, INTERVALS, "After against before")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == list(NAMES)
    np.testing.assert_allclose(marks(left, "before"), [[50, 0], [80, 1], [np.nan, 2]])
    np.testing.assert_allclose(marks(left, "after"), [[70, 0], [75, 1], [np.nan, 2]])
    spans = [line for line in right.get_lines() if line.get_marker() == "None"][1:]  # the first is zero
    np.testing.assert_allclose([line.get_xdata() for line in spans[:2]], [[10, 30], [-10, 1]])
    points = [float(line.get_xdata()[0]) for line in right.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [20, -5, np.nan])
    assert left.yaxis_inverted()  # the first class is on top


def test_only_an_interval_without_zero_is_dark():
    right = class_differences(NAMES, BEFORE, AFTER, INTERVALS, "After against before").axes[1]
    points = [line for line in right.get_lines() if line.get_marker() == "o"]
    assert [line.get_color() for line in points] == [style.INK, style.GREY, style.GREY]
    assert [line.get_markerfacecolor() for line in points] == [style.INK, "white", "white"]
    (legend,) = right.figure.legends
    looks = {
        text.get_text(): (line.get_color(), line.get_markerfacecolor())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    assert looks["interval leaves out 0"] == (style.INK, style.INK)
    assert looks["interval includes 0: the change may be chance"] == (style.GREY, "white")
    assert {"before", "after"} < set(looks)


def test_of_many_classes_those_that_changed_most_are_shown_in_their_order():
    rng = np.random.default_rng(0)
    before, after = rng.uniform(0, 1, (2, 100))
    difference = after - before
    intervals = np.stack([difference - 0.1, difference + 0.1], axis=1)
    figure = class_differences([f"c{i}" for i in range(100)], before, after, intervals, "Many")
    expected = [f"c{i}" for i in np.sort(np.argsort(-np.abs(difference))[:40])]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == expected
    assert figure.get_suptitle() == "Many: the 40 of 100 classes that changed most"


@pytest.mark.parametrize("n", [1, 2, 10, 40, 41])
def test_nothing_is_cut_and_no_two_names_overlap(n, check_nothing_cut):
    before = np.linspace(0, 1, n)
    intervals = np.stack([-before - 0.1, 1 - before], axis=1)
    names = [f"{i} is the number of a class with a long name" for i in range(n)]
    figure = class_differences(names, before, before[::-1], intervals, "One network against another one " * 4)
    check_nothing_cut(figure)
    rows = sorted((t.get_window_extent() for t in figure.axes[0].get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(rows))


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="for 3 classes; expected a row for each class"):
        class_differences(NAMES, BEFORE[:2], AFTER, INTERVALS, "Wrong")
