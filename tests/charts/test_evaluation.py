from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_cnn.charts import png
from keras_cnn.charts.evaluation import (
    calibration_points,
    class_differences,
    precision_over_recall,
    reliability_of_one,
)
from keras_cnn.figures.style import BLUE, ORANGE


def bins(counts, confidence, accuracy):
    edges = np.linspace(0, 1, len(counts) + 1)
    accuracy = np.array(accuracy, float)
    interval = np.stack([accuracy - 0.1, accuracy + 0.05], axis=1)
    found = SimpleNamespace(edges=edges, counts=np.array(counts), confidence=np.array(confidence), accuracy=accuracy)
    return found, interval


def reliability(diagrams, title="Reliability"):
    above, below = zip(*(reliability_of_one(*found, name) for name, found in diagrams.items()), strict=True)
    return png.figure(above, title, below=below)


FOUR = bins([0, 3, 7, 90], [np.nan, 0.4, 0.7, 0.95], [np.nan, 0.5, 0.6, 0.9])


def marks(ax, label: str) -> np.ndarray:
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return line.get_xydata()


def segments(ax, number: int) -> list[np.ndarray]:
    return [path.vertices for path in ax.collections[number].get_paths()]


def test_every_bin_with_images_has_its_point_its_gap_and_its_interval():
    figure = reliability({"as predicted": FOUR})
    upper, _ = figure.axes
    np.testing.assert_allclose(marks(upper, "a bin, 95 % interval"), [[40, 50], [70, 60], [95, 90]])
    gaps, intervals = segments(upper, 0), segments(upper, 1)
    np.testing.assert_allclose([gap[:, 1] for gap in gaps], [[40, 50], [60, 70], [90, 95]])
    np.testing.assert_allclose([i[:, 1] for i in intervals], [[40, 55], [50, 65], [80, 95]])
    assert upper.get_title("right") == "as predicted"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["perfect calibration", "difference", "a bin, 95 % interval"]


def test_the_images_of_every_bin_are_counted():
    _, lower = reliability({"as predicted": FOUR}).axes
    assert [bar.get_height() for bar in lower.patches] == [0, 3, 7, 90]
    assert [text.get_text() for text in lower.texts] == ["0", "3", "7", "90"]
    assert [bar.get_x() for bar in lower.patches] == pytest.approx([0, 25, 50, 75])
    assert calibration_points(*FOUR, "run").hover == ["run: 3 images", "run: 7 images", "run: 90 images"]


@pytest.mark.parametrize("names", [("as predicted",), ("as predicted: ECE 0.1234", "at temperature 1.234: ECE 0.0123")])
def test_no_diagram_is_cut_and_no_two_counts_overlap(names, check_nothing_cut):
    counts = [0, 10, 12345, 99999, 54321] * 3
    found = bins(counts, np.linspace(0.03, 0.97, 15), np.linspace(0.1, 0.9, 15))
    figure = reliability(dict.fromkeys(names, found), "A title that says of which run and which images this is " * 3)
    check_nothing_cut(figure)
    assert [ax.get_title("right") for ax in figure.axes[: len(names)]] == list(names)
    for lower in figure.axes[len(names) :]:
        boxes = [text.get_window_extent() for text in lower.texts]
        assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
        assert all(box.y1 <= lower.get_window_extent().y1 for box in boxes)


def change(before, after, interval):
    return SimpleNamespace(before=before, after=after, difference_interval=interval)


CHANGES = {"cat": change(0.5, 0.7, (0.1, 0.3)), "dog": change(0.8, 0.75, (-0.1, 0.01)), "owl": change(None, None, None)}


def test_every_class_has_its_two_accuracies_and_its_difference():
    left, right = png.figure(class_differences(CHANGES), "After against before").axes
    assert [text.get_text() for text in left.get_yticklabels()] == list(CHANGES)
    np.testing.assert_allclose(marks(left, "before"), [[50, 0], [80, 1], [np.nan, 2]])
    np.testing.assert_allclose(marks(left, "after"), [[70, 0], [75, 1], [np.nan, 2]])
    assert [line.tolist() for line in segments(left, 0)[:2]] == [[[50, 0], [70, 0]], [[75, 1], [80, 1]]]
    np.testing.assert_allclose(marks(right, "better"), [[20, 0]])
    np.testing.assert_allclose(marks(right, "hollow: the interval includes 0"), [[-5, 1]])
    assert [segments(right, i)[0][:, 0].tolist() for i in (0, 1)] == [pytest.approx([10, 30]), pytest.approx([-10, 1])]
    assert left.yaxis_inverted()  # the first class is on top


def test_colours_are_the_direction_and_filled_marks_exclude_zero():
    figure = png.figure(class_differences(CHANGES), "After against before")
    sure, unsure = (line for line in figure.axes[1].get_lines() if line.get_marker() == "o")
    assert [to_hex(line.get_color()) for line in (sure, unsure)] == [BLUE, ORANGE]
    assert [to_hex(line.get_markerfacecolor()) for line in (sure, unsure)] == [BLUE, "#ffffff"]
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {"before", "after", "better", "hollow: the interval includes 0"}


def test_of_many_classes_those_that_changed_most_are_shown_in_their_order():
    before, after = np.random.default_rng(0).uniform(0, 1, (2, 100))
    pairs = enumerate(zip(before, after, strict=True))
    left, right = class_differences({f"c{i}": change(x, y, (y - x - 0.1, y - x + 0.1)) for i, (x, y) in pairs})
    expected = tuple(f"c{i}" for i in np.sort(np.argsort(-np.abs(after - before))[:40]))
    assert left.rows == right.rows == expected
    assert left.remark == "the 40 of 100 classes that changed most"


@pytest.mark.parametrize("n", [1, 2, 10, 40, 41])
def test_no_class_is_cut_and_no_two_names_overlap(n, check_nothing_cut):
    shares = np.linspace(0, 1, n)
    changes = {
        f"{i} is the number of a class with a long name": change(x, 1 - x, (-x - 0.1, 1 - x))
        for i, x in enumerate(shares)
    }
    figure = png.figure(class_differences(changes), "One network against another one " * 4)
    check_nothing_cut(figure)
    rows = sorted((t.get_window_extent() for t in figure.axes[0].get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(rows))


def test_precisions_are_drawn_over_the_recalls(check_nothing_cut):
    curves = {f"class {i}": list(np.linspace(1, i / 20, 101)) for i in range(14)}
    labels = [f"{name}: AP 0.5" if i < 12 else "" for i, name in enumerate(curves)]
    figure = png.figure([precision_over_recall(curves, labels)], "Precision and recall")
    (ax,) = figure.axes
    np.testing.assert_allclose(marks(ax, "class 3: AP 0.5"), np.c_[np.arange(101) / 100, curves["class 3"]])
    assert len(ax.get_lines()) == 14
    assert len(figure.legends[0].get_texts()) == 12
    check_nothing_cut(figure)
