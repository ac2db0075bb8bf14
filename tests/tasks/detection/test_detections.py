"""Splits with boxes: their record, which detections count, how they travel between processes and are shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.detection.annotations.dataset import AnnotatedImage, BoxDataset
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.heads import YoloHead
from keras_cnn.tasks.detection import results, validation
from keras_cnn.tasks.detection.setup import box_sizes, split_record

HEAD = YoloHead(np.array([[8.0, 8.0]], np.float32), 1, 1.0)


def logit(share):
    return np.log(share / (1 - share))


def picture(height: int, width: int) -> AnnotatedImage:
    none = np.zeros(0, bool)
    return AnnotatedImage("a.png", None, (height, width), np.zeros((0, 4)), np.zeros(0, int), none, none)


def found_in(objectness: np.ndarray, height: int = 640, width: int = 640) -> Detections:
    """What is found where every cell of 32 pixels proposes a box of 8x8 in its middle."""
    rows, columns = objectness.shape
    values = np.zeros((rows, columns, 6), np.float32)
    values[..., 4], values[..., 5] = logit(objectness), 50.0
    return validation.detections_in([values], [HEAD], picture(height, width), 32 * rows)


def test_the_300_most_confident_count_and_none_below_half_a_percent():
    share = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 400)).reshape(20, 20)
    found = found_in(share)
    np.testing.assert_allclose(found.confidences, np.sort(share.ravel())[::-1][:300], rtol=1e-5)
    row, column = np.unravel_index(share.argmax(), share.shape)
    x, y = 32 * column + 16, 32 * row + 16
    np.testing.assert_allclose(found.boxes[0], [x - 4, y - 4, x + 4, y + 4], atol=1e-3)
    few = np.full((20, 20), 1e-4)
    few[3, 4], few[5, 6] = 0.0049, 0.0051
    np.testing.assert_allclose(found_in(few).confidences, [0.0051], rtol=1e-4)


def test_a_detection_is_cut_at_the_picture_and_left_out_beyond_it():
    """A picture of 640x64 in the middle of 640x640: its rows are those of the cells 9 and 10 of 20."""
    share = np.full((20, 20), 1e-4)
    share[9, 0], share[3, 3] = 0.9, 0.8  # the second lies in the grey above the picture
    found = found_in(share, height=64)
    np.testing.assert_allclose(found.boxes, [[12, 12, 20, 20]], atol=1e-3)
    share = np.full((20, 20), 1e-4)
    share[5, 9], share[6, 10] = 0.9, 0.8  # at 300 to 308 and 332 to 340 of 640, the picture being at 303 to 337
    found = found_in(share, width=34)
    np.testing.assert_allclose(found.boxes, [[0, 172, 5, 180], [29, 204, 34, 212]], atol=1e-3)


def test_detections_travel_as_rows():
    first = Detections(np.array([[1, 2, 3, 4], [5, 6, 7, 8.5]], np.float32), np.array([2, 0]), np.float32([0.75, 0.5]))
    none = first[np.zeros(2, bool)]
    rows = validation.as_rows([first, none, first[[1]]], 1)
    assert rows.tolist() == [[1, 1, 2, 3, 4, 2, 0.75], [1, 5, 6, 7, 8.5, 0, 0.5], [3, 5, 6, 7, 8.5, 0, 0.5]]
    assert validation.as_rows([], 0).shape == (0, 7)
    back = validation.from_rows(rows, 4)
    assert [len(each) for each in back] == [0, 2, 0, 1]
    np.testing.assert_array_equal(back[1].boxes, first.boxes)
    assert back[1].classes.tolist() == [2, 0]
    assert back[1].confidences.tolist() == [0.75, 0.5]


@pytest.mark.parametrize(("copies", "disjoint"), [(("a", "b"), True), (("a", "c"), False), ((), True)])
def test_the_record_of_the_split_says_whether_copies_are_across_splits(copies, disjoint):
    def annotated_image(name: str, classes: list[int], ignored: list[bool]) -> AnnotatedImage:
        count = len(classes)
        boxes = np.tile([1.0, 1, 3, 4], (count, 1))
        return AnnotatedImage(
            name, Path(name), (8, 8), boxes, np.array(classes), np.zeros(count, bool), np.array(ignored)
        )

    one, two = annotated_image("a", [0, 1, 1], [False, False, True]), annotated_image("b", [1], [False])
    three, four = annotated_image("c", [1], [False]), annotated_image("d", [0, 0], [False, False])
    splits = {"train": (one, two), "validation": (three,), "test": (four,)}
    dataset = BoxDataset("made", ("cat", "dog"), splits, ("train", "test"), duplicates=(copies,) if copies else ())
    found = split_record(dataset)
    assert found["disjoint_by_bytes"] == disjoint
    assert found["counts"] == {"train": 2, "validation": 1, "test": 1}
    assert found["boxes"]["train"] == {"cat": 1, "dog": 2}  # the ignored one is left out
    assert found["boxes"]["test"] == {"cat": 2, "dog": 0}
    assert (found["own_splits"], found["ids"]["train"]) == (["train", "test"], ["a", "b"])
    assert found["duplicates"] == [list(copies)] * bool(copies)
    assert box_sizes(dataset, 32).tolist() == [[8, 12]] * 3  # of the training boxes, in an image four times as large


@pytest.mark.parametrize(("size", "shown"), [((140, 70), (280, 140)), ((560, 1120), (140, 280))])
def test_a_picture_on_a_sheet_is_280_pixels_long_with_its_boxes(size, shown):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    box = {"track": None, "class": "cat", "confidence": 0.5, "box": [10.0, 20, 40, 60]}
    resized = np.asarray(Image.fromarray(image).resize(shown[::-1], Image.Resampling.BILINEAR))
    factor = 280 / max(size)
    moved = box | {"box": [factor * edge for edge in box["box"]]}
    np.testing.assert_array_equal(results.drawn(image, [box], ["cat"]), annotated(resized, [moved], ["cat"]))
