import numpy as np
import pytest

from keras_cnn.tasks.detection.anchors import kmeans, shape_iou

rng = np.random.default_rng(0)
SHAPES = np.array([[10, 10], [20, 60], [100, 30]])
SIZES = np.concatenate([shape * rng.uniform(0.95, 1.05, (40, 2)) for shape in SHAPES])


def test_shape_iou_by_hand():
    found = shape_iou(np.array([[10.0, 20.0]]), np.array([[10.0, 20.0], [20.0, 10.0], [5.0, 5.0]]))
    np.testing.assert_allclose(found, [[1, 100 / 300, 25 / 200]])


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_found_smallest_first(seed):
    anchors, fit = kmeans(SIZES, 3, seed)
    order = [0, 1, 2]  # 100, 1200 and 3000 pixels
    np.testing.assert_allclose(anchors, [SIZES[40 * i : 40 * i + 40].mean(axis=0) for i in order], rtol=1e-12)
    assert fit == pytest.approx(shape_iou(SIZES, anchors).max(axis=1).mean())
    assert fit > 0.9


def test_the_seed_decides_and_more_anchors_fit_better():
    sizes = rng.uniform(5, 200, (300, 2))
    one, two = kmeans(sizes, 6, 1)[0], kmeans(sizes, 6, 1)[0]
    np.testing.assert_array_equal(one, two)
    fits = [kmeans(sizes, count, 1)[1] for count in (1, 3, 9)]
    assert fits == sorted(fits)


def test_fewer_boxes_than_anchors_repeat():
    anchors, fit = kmeans(np.array([[10.0, 20.0], [30.0, 30.0]]), 6, 1)
    assert {tuple(anchor) for anchor in anchors} == {(10, 20), (30, 30)}
    assert fit == 1
