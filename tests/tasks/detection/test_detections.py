"""Splits with boxes: their record, which detections count, how they travel between processes and are shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_cnn.config import load
from keras_cnn.detection.annotations.dataset import AnnotatedImage, BoxDataset
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.drawing import annotated
from keras_cnn.detection.heads import YoloHead
from keras_cnn.errors import InputError
from keras_cnn.tasks.detection import results, setup, validation
from keras_cnn.tasks.detection.images import BoxImages
from keras_cnn.tasks.detection.settings import BoxConfig
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


def test_detections_are_written_with_all_their_digits_and_precision_with_five(tmp_path):
    image = replace(picture(10, 10), boxes=np.array([[0.0, 0, 5, 5]] * 3), classes=np.zeros(3, int))
    image = replace(image, path=tmp_path / "a.png", crowd=np.zeros(3, bool), ignored=np.zeros(3, bool))
    boxes = np.array([[0, 0, 5, 5], [1 / 3, 0, 2, 100 / 3]], np.float32)
    found = Detections(boxes, np.array([0, 1]), np.array([0.9, 0.1], np.float32))
    results.write_detections(tmp_path, [image], [found], ["cat", "dog"])
    assert (tmp_path / "predictions.csv").read_text().split() == [
        "image,path,class,confidence,x0,y0,x1,y1",
        f"a.png,{tmp_path}/a.png,cat,0.899999976,0,0,5,5",
        f"a.png,{tmp_path}/a.png,dog,0.100000001,0.333333343,0,2,33.3333321",
    ]
    other = Detections(
        np.array([[7.0, 7, 9, 9], [0, 0, 5, 5], [0, 0, 5, 4]]), np.zeros(3, int), np.array([0.9, 0.8, 0.7])
    )
    summary = results.summary([image], validation.score([image], [other], 2), ["cat", "dog"])
    assert (summary["images"], summary["boxes"], summary["per_class"]["cat"]["boxes"]) == (1, 3, 3)
    assert summary["precision50"] == {"cat": [0.66667] * 67 + [0.0] * 34}


def test_true_boxes_and_those_above_the_threshold_of_a_picture_are_shown(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "a.png")
    image = replace(picture(20, 40), id="deep/a.png", path=tmp_path / "a.png", boxes=np.array([[1.0, 2, 3, 4]]),
                    classes=np.array([1]))  # fmt: skip
    boxes = np.array([[5, 6, 7, 8], [1, 1, 9, 9], [2, 2, 3, 3]], np.float32)
    found = Detections(boxes, np.array([0, 1, 1]), np.array([0.75, 0.25, 0.26], np.float32))
    monkeypatch.setattr(results, "drawn", lambda image, boxes, classes: (image.shape, boxes, classes))
    left, right, name = results._truth_and_detections(image, found, ["cat", "dog"])
    assert left == (
        (20, 40, 3),
        [{"track": None, "class": "dog", "confidence": None, "box": [1, 2, 3, 4]}],
        ["cat", "dog"],
    )
    assert [box["box"] for box in right[1]] == [[5, 6, 7, 8], [2, 2, 3, 3]]
    assert [box["confidence"] for box in right[1]] == pytest.approx([0.75, 0.26])
    assert name == "a.png"


@pytest.mark.parametrize(
    ("count", "end"), [(1, "a 2 to train on"), (8, "h 2 to train on"), (10, "h 2 and 2 more classes to train on")]
)
def test_eight_classes_are_listed_with_their_boxes(count, end):
    listed = setup._listed({letter: 1000 if letter == "b" else 2 for letter in "abcdefghij"[:count]})
    assert listed.endswith(end)
    assert listed.startswith("a 2, b 1,000, c 2, " if count > 1 else "a 2")


def test_a_picture_that_is_not_square_lies_in_the_middle_of_grey(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 100, (20, 40, 3)).astype(np.uint8)
    for name, image in (("wide", pixels), ("high", pixels.transpose(1, 0, 2))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    wide = replace(picture(20, 40), id="wide", path=tmp_path / "wide.png", boxes=np.array([[4.0, 2, 8, 20]]),
                   classes=np.array([3]), ignored=np.array([True]))  # fmt: skip
    high = replace(wide, id="high", path=tmp_path / "high.png", size=(40, 20), boxes=np.array([[2.0, 4, 20, 8]]),
                   ignored=np.array([False]))  # fmt: skip
    images = BoxImages([wide, high], 40, "none")
    canvas, boxes = images.letterboxed(0)
    np.testing.assert_array_equal(canvas[10:30], pixels)
    assert (canvas[:10] == 128).all()
    assert (canvas[30:] == 128).all()
    assert boxes.tolist() == [[4, 12, 8, 30]]
    canvas, boxes = images.letterboxed(1)
    np.testing.assert_array_equal(canvas[:, 10:30], pixels.transpose(1, 0, 2))
    assert boxes.tolist() == [[12, 4, 30, 8]]
    assert [images.classes(i).tolist() for i in range(2)] == [[-1], [3]]
    assert BoxImages([wide], 80, "none").boxes(0).tolist() == [[8, 4, 16, 40]]


@pytest.mark.parametrize(("cache", "fits", "kept"), [("memory", False, True), ("none", True, False)] + [
    ("auto", fits, fits) for fits in (True, False)
])  # fmt: skip
def test_decoded_pictures_are_kept_where_they_fit(cache, fits, kept, tmp_path, monkeypatch):
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "a.png")
    asked = []
    monkeypatch.setattr("keras_cnn.tasks.detection.images.bytes_fit", lambda need: asked.append(need) or fits)
    images = BoxImages([replace(picture(20, 40), path=tmp_path / "a.png")] * 2, 64, cache)
    assert asked == ([2 * 3 * 32 * 64] if cache == "auto" else [])
    assert (images.pixels(1) is images.pixels(1)) == kept


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("data.image_size", (32, 64), (0, 16, 48)),
        ("augment.mosaic", (0, 1), (-0.01, 1.01)),
        ("augment.flip", (0, 1), (-0.01, 1.01)),
        ("augment.hue", (0, 0.5), (-0.01, 0.51)),
        ("augment.scale", (0, 0.99), (-0.01, 1.0)),
        ("augment.saturation", (1, 9), (0.99,)),
        ("augment.exposure", (1, 9), (0.99,)),
        ("train.ignore_threshold", (0, 1), (-0.01, 1.01)),
        ("train.epochs", (1,), (0,)),
        ("train.checkpoint_minutes", (0.01,), (0.0,)),
        ("data.validation", (0.01, 1), (0,)),
    ],
)
def test_fields_of_a_training_on_boxes_have_limits(field, right, wrong):
    for value in right:
        load(None, [f"--{field}", str(value)], kind=BoxConfig)
    for value in wrong:
        with pytest.raises(InputError, match=f"{field}: found {value}, expected"):
            load(None, [f"--{field}", str(value)], kind=BoxConfig)


def test_the_defaults_of_a_training_on_boxes():
    config = BoxConfig()
    data, augment, train = config.data, config.augment, config.train
    assert (config.name, config.seed, config.deterministic, config.devices) == ("boxes", 1, "auto", "auto")
    assert (data.image_size, data.validation, data.test, data.bad_boxes, data.cache) == (416, 0.1, 0.1, "fail", "auto")
    assert (config.model.cfg, config.model.weights, config.model.anchors) == ("yolov3-tiny", "none", "kmeans")
    assert (augment.mosaic, augment.flip, augment.scale, augment.aspect, augment.hue) == (0.5, 0.5, 0.3, 0.1, 0.1)
    assert (augment.saturation, augment.exposure) == (1.5, 1.5)
    assert (train.epochs, train.batch_size, train.ignore_threshold, train.monitor) == (50, 16, 0.7, "val_map")
    assert (train.ema, train.early_stopping, train.checkpoint_minutes) == (None, None, 10)
    assert (config.optim.learning_rate, config.optim.warmup_epochs, config.optim.clip_norm) == (1e-3, 1, 10)
