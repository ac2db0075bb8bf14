from itertools import pairwise

import numpy as np
import pytest

from keras_cnn.figures.reliability import reliability


def bins(counts, confidence, accuracy) -> dict[str, np.ndarray]:
    counts, accuracy = np.array(counts), np.array(accuracy, float)
    interval = np.stack([accuracy - 0.1, accuracy + 0.05], axis=1)
    edges = np.linspace(0, 1, len(counts) + 1)
    return {"edges": edges, "counts": counts, "confidence": np.array(confidence), "accuracy": accuracy,
            "interval": interval}  # fmt: skip


FOUR = bins([0, 3, 7, 90], [np.nan, 0.4, 0.7, 0.95], [np.nan, 0.5, 0.6, 0.9])


def points(ax) -> np.ndarray:
    (found,) = (line for line in ax.get_lines() if line.get_marker() == "o")
    return found.get_xydata()


def segments(ax, number: int) -> list[np.ndarray]:
    return [path.vertices for path in ax.collections[number].get_paths()]


def test_every_bin_with_images_has_its_point_its_gap_and_its_interval():
    figure = reliability({"as predicted": FOUR}, "Reliability")
    upper, _ = figure.axes
    np.testing.assert_allclose(points(upper), [[0.4, 0.5], [0.7, 0.6], [0.95, 0.9]])
    gaps, intervals = segments(upper, 0), segments(upper, 1)
    np.testing.assert_allclose([gap[:, 1] for gap in gaps], [[0.5, 0.4], [0.6, 0.7], [0.9, 0.95]])
    np.testing.assert_allclose([i[:, 1] for i in intervals], [[0.4, 0.55], [0.5, 0.65], [0.8, 0.95]])
    assert upper.get_title("left") == "as predicted"


def test_the_images_of_every_bin_are_counted():
    _, lower = reliability({"as predicted": FOUR}, "Reliability").axes
    assert [bar.get_height() for bar in lower.patches] == [0, 3, 7, 90]
    assert [text.get_text() for text in lower.texts] == ["0", "3", "7", "90"]
    assert [bar.get_x() for bar in lower.patches] == pytest.approx([0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("names", [("as predicted",), ("as predicted: ECE 0.1234", "at temperature 1.234: ECE 0.0123")])
def test_nothing_is_cut_and_no_two_counts_overlap(names, check_nothing_cut):
    counts = [0, 10, 12345, 99999, 54321] * 3
    many = bins(counts, np.linspace(0.03, 0.97, 15), np.linspace(0.1, 0.9, 15))
    figure = reliability(dict.fromkeys(names, many), "A title that says of which run and which images this is " * 3)
    check_nothing_cut(figure)
    for lower in figure.axes[1::2]:
        boxes = [text.get_window_extent() for text in lower.texts]
        assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
        assert all(box.y1 <= lower.get_window_extent().y1 for box in boxes)


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="no reliability diagram"):
        reliability({}, "Nothing")
    with pytest.raises(ValueError, match=r"test: confidence of shape \(3,\) for 4 bins"):
        reliability({"test": FOUR | {"confidence": np.zeros(3)}}, "Wrong")
