"""The loss and the assignment of boxes on a grid of 2x2 cells, by hand; its gradient, Darknet's deltas."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_cnn.detection.heads import YoloHead
from keras_cnn.detection.loss import YoloLoss

SIZE, CLASSES = 64, 2
COARSE = YoloHead(np.array([[32.0, 32.0], [16.0, 48.0]], np.float32), CLASSES, 1.0)
FINE = YoloHead(np.array([[8.0, 8.0]], np.float32), CLASSES, 1.0)
SHAPES = [(2, 2), (4, 4)]


def labels(*boxes, rows: int = 1) -> np.ndarray:
    """Each box is centre x and y, width and height in pixels, and class."""
    found = np.array(boxes, np.float32).reshape(rows, -1, 5)
    found[..., :4] /= SIZE
    return found


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_a_box_goes_to_the_anchor_of_its_shape_in_the_cell_of_its_centre():
    loss = YoloLoss([COARSE, FINE], SIZE, 0.5)
    wide, high, small = (48, 16, 32, 32, 0), (8, 40, 14, 40, 1), (37, 11, 9, 9, 0)
    place, wanted, real = loss.assignment(tf.constant(labels(wide, high, small)), SHAPES)
    # Two anchors a cell in the coarse head: column 1, row 0, anchor 0; column 0, row 1, anchor 1. Then one a cell in
    # the fine head, behind the 8 of the coarse one: column 2, row 0.
    assert place.numpy().tolist() == [[2 * 1 + 0, 2 * 2 + 1, 8 + 2]]
    assert real.numpy().all()
    expected = [[0.5, 0.5, 0, 0], [0.25, 0.25, math.log(14 / 16), math.log(40 / 48)]]
    expected.append([37 / 16 - 2, 11 / 16, math.log(9 / 8), math.log(9 / 8)])
    np.testing.assert_allclose(wanted.numpy()[0], expected, atol=1e-6)


def test_of_two_boxes_at_one_place_the_later_counts_and_others_count_not_at_all():
    loss = YoloLoss([COARSE, FINE], SIZE, 0.5)
    box, again, ignored, filling = (16, 16, 32, 32, 0), (18, 14, 30, 30, 1), (16, 16, 32, 32, -1), (0, 0, 0, 0, -2)
    _, _, real = loss.assignment(tf.constant(labels(box, again, ignored, filling)), SHAPES)
    assert real.numpy().tolist() == [[False, True, False, False]]
    _, _, real = loss.assignment(tf.constant(labels(again, ignored, box, filling)), SHAPES)
    assert real.numpy().tolist() == [[False, False, True, False]]


def test_a_centre_on_the_lower_edge_stays_in_the_last_cell():
    loss = YoloLoss([COARSE, FINE], SIZE, 0.5)
    place, wanted, _ = loss.assignment(tf.constant(labels((64, 64, 32, 32, 0))), SHAPES)
    assert place.numpy().tolist() == [[2 * 3]]
    assert wanted.numpy()[0, 0, :2].tolist() == [1, 1]


def one_map(value: float = 0.0) -> np.ndarray:
    return np.full((1, 2, 2, 2 * (5 + CLASSES)), value, np.float32)


def test_the_loss_by_hand_of_one_box_and_a_network_that_says_nothing():
    """All raw numbers 0: logistic 0.5, boxes as large as their anchors, in the middle of their cells."""
    loss = YoloLoss([COARSE], SIZE, 0.5)
    total, sums = loss([tf.constant(one_map())], tf.constant(labels((40, 20, 16, 32, 1))))
    # The shapes' IoU with 32x32 is 512 / 1024, with 16x48 512 / 768: anchor 1, in column 1, row 0.
    share = 16 * 32 / SIZE**2
    # A cross-entropy with 0.5 is log 2 whatever is wanted: 0.25 of the cell to the right, and 0.625 down.
    entropies = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (0.25, 0.625)]
    place = 2 * math.log(2) - sum(entropies)
    sides = (math.log(16 / 16) ** 2 + math.log(32 / 48) ** 2) / 2
    box = (place + sides) * (2 - share)
    # Boxes of the predictions, 8 of them. Only the one of the same cell and anchor 0, 32x32 at 48, 16, could overlap
    # by more than a half: x from 32 to 48 and y from 4 to 32 are shared, 16 * 28 of 1024 + 512 - 448. It does not.
    objects = 8 * math.log(2)
    kinds = 2 * math.log(2)
    np.testing.assert_allclose([float(s) for s in sums], [box + objects + kinds, box, objects, kinds], rtol=1e-5)
    assert float(total) == pytest.approx(float(sums[0]))


def test_a_prediction_that_overlaps_a_box_by_more_than_the_threshold_is_no_mistake():
    box = labels((48, 16, 30, 30, 0))  # of anchor 0; anchor 1 of that cell, 16x48, shares 16 * 30: IoU 480 / 1188
    for ignore, counted in ((0.41, 8), (0.40, 7)):
        sums = YoloLoss([COARSE], SIZE, ignore)([tf.constant(one_map())], tf.constant(box))[1]
        assert float(sums[2]) == pytest.approx(counted * math.log(2), rel=1e-5)


def test_a_prediction_inside_an_ignored_box_is_no_mistake_and_the_box_costs_nothing():
    raw = one_map().reshape(1, 2, 2, 2, 7)
    raw[..., 4] = 1.0  # where an object costs softplus(-1), and none softplus(1)
    raw[:, :, 1, :, 4] = 3.0  # the right half: both anchors of both cells lie in it with all of 32x32, 16x40 of 16x48
    maps = [tf.constant(raw.reshape(1, 2, 2, 14))]
    sums = YoloLoss([COARSE], SIZE, 0.5)(maps, tf.constant(labels((48, 32, 32, 64, -1))))[1]
    np.testing.assert_allclose([float(s) for s in sums], [4 * softplus(1), 0, 4 * softplus(1), 0], rtol=1e-5)


def test_the_gradient_is_darknets_delta():
    """Darknet goes along truth - logistic for x, y, objectness and class, and truth - output for width and height."""
    rng = np.random.default_rng(3)
    raw = rng.normal(0, 1, (1, 2, 2, 14)).astype(np.float32)
    loss = YoloLoss([COARSE], SIZE, 1.0)
    box = labels((40, 20, 16, 32, 1))
    maps = tf.Variable(raw)
    with tf.GradientTape() as tape:
        total, _ = loss([maps], tf.constant(box))
    found = tape.gradient(total, maps).numpy().reshape(2, 2, 2, 7)
    cells = raw.reshape(2, 2, 2, 7).astype(float)
    expected = np.zeros_like(cells)
    expected[..., 4] = sigmoid(cells[..., 4])
    scale = 2 - 16 * 32 / SIZE**2
    mine = cells[0, 1, 1]
    expected[0, 1, 1, :2] = (sigmoid(mine[:2]) - (40 / 32 - 1, 20 / 32)) * scale
    expected[0, 1, 1, 2:4] = (mine[2:4] - np.log([16 / 16, 32 / 48])) * scale
    expected[0, 1, 1, 4] = sigmoid(mine[4]) - 1
    expected[0, 1, 1, 5:] = sigmoid(mine[5:]) - (0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_numbers_beyond_all_reason_keep_loss_and_gradient_finite():
    for value in (-500.0, 500.0):
        maps = tf.Variable(one_map(value))
        with tf.GradientTape() as tape:
            total, _ = YoloLoss([COARSE], SIZE, 0.5)([maps], tf.constant(labels((40, 20, 16, 32, 1))))
        assert math.isfinite(float(total))
        assert np.isfinite(tape.gradient(total, maps).numpy()).all()


def test_the_mean_of_a_batch_is_of_its_images():
    loss = YoloLoss([COARSE], SIZE, 0.5)
    some, other = (40, 20, 16, 32, 1), (10, 50, 30, 30, 0)
    maps = np.random.default_rng(0).normal(0, 1, (2, 2, 2, 14)).astype(np.float32)
    both, sums = loss([tf.constant(maps)], tf.constant(labels(some, other, rows=2)))
    parts = zip(np.split(maps, 2), (some, other), strict=True)
    alone = [float(loss([tf.constant(part)], tf.constant(labels(box)))[0]) for part, box in parts]
    assert float(both) == pytest.approx(np.mean(alone), rel=1e-5)
    assert float(sums[0]) == pytest.approx(sum(alone), rel=1e-5)


def test_a_network_that_says_the_truth_is_decoded_to_it_and_costs_next_to_nothing():
    """What the loss asks for is what `boxes.decode` reads."""
    from keras_cnn.detection.boxes import decode

    loss = YoloLoss([COARSE, FINE], SIZE, 0.7)
    boxes = [(48.5, 16.25, 30, 33, 0), (8, 40, 14, 40, 1), (37, 11, 9, 9, 0)]
    place, wanted, _ = loss.assignment(tf.constant(labels(*boxes)), SHAPES)
    flat = np.full((8 + 16, 7), -20.0, np.float32)
    flat[:, 2:4] = 0
    for index, want, box in zip(place.numpy()[0], wanted.numpy()[0], boxes, strict=True):
        flat[index, :2] = np.log(want[:2] / (1 - want[:2]))
        flat[index, 2:4], flat[index, 4], flat[index, 5 + box[4]] = want[2:], 20, 20
    maps = [flat[:8].reshape(2, 2, 14), flat[8:].reshape(4, 4, 7)]
    centres, probabilities = decode(maps, [COARSE, FINE], (SIZE, SIZE), 0.5)
    order = np.argsort(-centres[:, 2])
    np.testing.assert_allclose(centres[order] * SIZE, [b[:4] for b in boxes], atol=1e-4)
    assert probabilities[order].argmax(axis=1).tolist() == [0, 1, 0]
    _, sums = loss([tf.constant(m[None]) for m in maps], tf.constant(labels(*boxes)))
    np.testing.assert_allclose([float(s) for s in sums], 0, atol=1e-5)
