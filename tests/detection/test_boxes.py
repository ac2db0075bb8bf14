"""Geometry and suppression by hand and by loops."""

import numpy as np
import pytest

from keras_cnn.detection.boxes import Detections, Letterbox, decode, iou, strongest_in_place, suppress
from keras_cnn.detection.heads import YoloHead
from keras_cnn.detection.yolo import letterbox


def test_iou_by_hand():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [4, 4, 4, 4]], np.float32)
    found = iou(boxes, boxes)
    np.testing.assert_allclose(found[0], [1, 1 / 7, 0, 0])
    np.testing.assert_allclose(found[3], 0)
    np.testing.assert_allclose(found, found.T)


def resized(image, height, width) -> np.ndarray:
    """Darknet's resize_image in float32, pixel by pixel."""
    one = np.float32
    old_height, old_width = image.shape[:2]
    wide, tall = one(old_width - 1) / one(width - 1), one(old_height - 1) / one(height - 1)
    part = np.zeros((old_height, width, 3), one)
    for column in range(width):
        at = one(column) * wide
        left = int(at)
        rest = at - one(left)
        if column == width - 1:
            part[:, column] = image[:, -1]
        else:
            part[:, column] = (1 - rest) * image[:, left] + rest * image[:, left + 1]
    out = np.zeros((height, width, 3), one)
    for row in range(height):
        at = one(row) * tall
        top = int(at)
        rest = at - one(top)
        out[row] = (1 - rest) * part[top]
        if row < height - 1:
            out[row] += rest * part[top + 1]
    return out


@pytest.mark.parametrize("shape", [(20, 31), (31, 20), (64, 64), (7, 100), (448, 352)])
def test_letterbox_is_darknets(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    box = Letterbox(shape, (64, 96))
    height, width = box.inner
    assert height == min(64, 96 * shape[0] // shape[1])
    assert width == (96 if height < 64 else shape[1] * 64 // shape[0])
    top, left = (64 - height) // 2, (96 - width) // 2
    expected = np.full((64, 96, 3), 127.5, np.float32)
    expected[top : top + height, left : left + width] = resized(image.astype(np.float32), height, width)
    numbers = [np.array(n, kind) for n, kind in ((box.inner, "i4"), (box.corner, "i4"), (box.last_row, "f4"))]
    np.testing.assert_allclose(letterbox(image, *numbers, (64, 96))[0], expected, atol=2e-3)


def test_the_lowest_row_is_lost_where_darknet_rounds_it_away():
    assert Letterbox((448, 352), (416, 416)).last_row < 1e-3  # 415 * float32(447 / 415) is a hair below 447
    assert Letterbox((576, 768), (416, 416)).last_row == 1


def test_boxes_come_back_to_the_image():
    box = Letterbox((100, 200), (64, 64))  # inside: 64 wide, 32 high, 16 rows below the top
    assert (box.inner, box.corner) == ((32, 64), (16, 0))
    centres = np.array([[0.5, 0.5, 1, 0.5], [0.25, 0.25, 0.25, 0.25]], np.float32)
    np.testing.assert_allclose(box.to_image(centres), [[0, 0, 200, 100], [25, -25, 75, 25]], atol=1e-4)


def test_decoding_by_hand():
    head = YoloHead(np.array([[10, 20], [30, 40]], np.float32), 2, 1.0)
    values = np.full((2, 3, 14), -20.0, np.float32)
    values[1, 2, 7:] = [0, np.log(3), 0, np.log(2), 20, 0, -20]  # the second anchor of row 1, column 2
    values[0, 0, 4] = 20  # an object of no class
    centres, probabilities = decode([values], [head], (64, 96), 0.25)
    assert len(centres) == 2
    np.testing.assert_allclose(centres[1], [2.5 / 3, 1.75 / 2, 30 / 96, 80 / 64], rtol=1e-5)
    np.testing.assert_allclose(probabilities, [[0, 0], [0.5, 0]], atol=1e-5)
    wide = YoloHead(head.anchors, 2, 1.2)  # sigmoid * 1.2 - 0.1: 0.5 stays, 0.75 becomes 0.8
    np.testing.assert_allclose(decode([values], [wide], (64, 96), 0.25)[0][1, :2], [2.5 / 3, 1.8 / 2], rtol=1e-5)


def test_a_network_gone_wild_gives_finite_boxes():
    centres, _ = decode(
        [np.full((1, 1, 6), 1e30, np.float32)], [YoloHead(np.ones((1, 2), np.float32), 1, 1.0)], (32, 32), 0.25
    )
    assert np.isfinite(centres).all()


def test_suppression_is_by_class_and_strongest_in_place_is_not():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]], np.float32)
    probabilities = np.array([[0.9, 0.3], [0.8, 0.6], [0.5, 0], [0.7, 0]], np.float32)
    found = suppress(boxes, probabilities, 0.45)
    # class 0: box 1 overlaps box 0 by 0.9 and box 3 by 0.5; class 1: box 0 overlaps box 1
    assert found.classes.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.confidences, [0.9, 0.6, 0.5])
    np.testing.assert_allclose(found.boxes, boxes[[0, 1, 2]])
    assert strongest_in_place(found, 0.45, 0.9).tolist() == [0, 2]
    nothing = suppress(np.zeros((0, 4), np.float32), np.zeros((0, 2)), 0.45)
    assert (len(nothing), nothing.boxes.shape) == (0, (0, 4))
    assert strongest_in_place(nothing, 0.45, 0.9).tolist() == []


def test_a_part_found_again_is_no_second_object_of_its_class():
    boxes = np.array([[0, 0, 10, 10], [2, 2, 6, 6], [2, 2, 6, 6], [7, 0, 11, 4]], np.float32)
    found = Detections(boxes, np.array([0, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.6], np.float32))
    # box 1 lies in box 0; box 2 too, but is of another class; of box 3's 16 pixels 12 lie in box 0
    assert strongest_in_place(found, 0.45, 0.9).tolist() == [0, 2, 3]
    assert strongest_in_place(found, 0.45, 0.7).tolist() == [0, 2]


def test_suppression_equals_a_plain_loop():
    random = np.random.default_rng(1)
    corners = random.uniform(0, 50, (60, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (60, 2))], axis=1).astype(np.float32)
    scores = random.uniform(0.3, 1, 60).astype(np.float32)
    left, kept = list(np.argsort(-scores)), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou(boxes[[best]], boxes[[i]])[0, 0] <= 0.45]
    found = suppress(boxes, scores[:, None], 0.45)
    np.testing.assert_array_equal(found.boxes, boxes[kept])
    assert isinstance(found, Detections)
