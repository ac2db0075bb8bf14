"""Mean average precision, equal to pycocotools' on random cases; its bootstrap, equal to counting copies of images."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_cnn.detection import scoring
from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.scoring import TrueBoxes

CLASSES = 3


def cocoeval(truths, found, classes=CLASSES):
    """COCOeval's twelve numbers, and its precision (IoU, recall, class) for all areas and 100 detections.

    An ignored box that is no crowd has an area beyond COCO's range, which it ignores as well.
    """
    categories = [{"id": number + 1, "name": str(number)} for number in range(classes)]
    annotations, results = [], []
    for image, (truth, guess) in enumerate(zip(truths, found, strict=True), 1):
        for box, number, crowd, ignored in zip(truth.boxes, truth.classes, truth.crowd, truth.ignored, strict=True):
            sides = box[2:] - box[:2]
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": int(number) + 1}
            area = 1e11 if ignored and not crowd else float(sides.prod())
            annotations.append(entry | {"bbox": [*box[:2], *sides], "area": area, "iscrowd": int(crowd)})
        for box, number, score in zip(guess.boxes, guess.classes, guess.confidences, strict=True):
            entry = {"image_id": image, "category_id": int(number) + 1, "score": float(score)}
            results.append(entry | {"bbox": [*box[:2], *(box[2:] - box[:2])]})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        images = [{"id": image + 1} for image in range(len(truths))]
        truth.dataset = {"images": images, "categories": categories, "annotations": annotations}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval["precision"][:, :, :, 0, 2]


def random_case(seed: int, images: int = 15, most: int = 12):
    """True boxes, some crowds and some ignored; detections near them, some of another class, some scores equal."""
    rng = np.random.default_rng(seed)
    whole = seed % 2 == 0  # pixels, so that overlaps are equal too
    truths, found = [], []
    for _ in range(images):
        count = rng.integers(0, 8)
        low = rng.uniform(0, 100, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(1, 60, (count, 2))], axis=1)
        classes = rng.integers(0, CLASSES, count)
        crowd = rng.random(count) < 0.1
        number = rng.integers(0, most)
        near = rng.integers(0, max(count, 1), number)
        guesses = boxes[near] if count else np.tile([0.0, 0, 10, 10], (number, 1))
        guesses = guesses + rng.normal(0, rng.choice([0.5, 3, 10]), (number, 4))
        named = classes[near] if count else np.zeros(number, int)
        named = np.where(rng.random(number) < 0.2, rng.integers(0, CLASSES, number), named)
        if whole:
            boxes, guesses = np.round(boxes), np.round(guesses)
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        guesses[:, 2:] = np.maximum(guesses[:, 2:], guesses[:, :2] + 1)
        truths.append(TrueBoxes(boxes, classes, crowd, crowd | (rng.random(count) < 0.1)))
        found.append(Detections(guesses, named, np.round(rng.random(number), 1 if seed % 3 == 0 else 8)))
    return truths, found


@pytest.mark.parametrize("seed", range(12))
def test_equals_cocoeval_on_random_cases(seed):
    truths, found = random_case(seed, most=160 if seed == 5 else 12)
    expected, precision = cocoeval(truths, found)
    scores = scoring.score(truths, found, CLASSES)
    assert 0.02 < scores.map < 0.5
    assert (scores.map, scores.map50, scores.map75) == pytest.approx(tuple(expected[:3]), abs=1e-9)
    ours = np.moveaxis(np.nan_to_num(scores.precisions, nan=-1), 0, 2)
    np.testing.assert_allclose(ours, precision, atol=1e-9)


def test_a_class_without_a_true_box_is_left_out_of_the_mean():
    truths, found = random_case(1)
    scores = scoring.score(truths, found, CLASSES + 1)
    assert np.isnan(scores.average_precisions[CLASSES]).all()
    expected, _ = cocoeval(truths, found, CLASSES + 1)
    assert scores.map == pytest.approx(expected[0], abs=1e-9)


def test_by_hand():
    """Two boxes; the best guess is right, the second wrong, the third right: precision 1 up to recall .5, then 2/3."""
    truth = TrueBoxes(
        np.array([[0, 0, 10, 10], [20, 0, 30, 10]]), np.zeros(2, int), np.zeros(2, bool), np.zeros(2, bool)
    )
    guesses = np.array([[0, 0, 10, 10], [50, 0, 60, 10], [20, 0, 30, 8]])
    scores = scoring.score([truth], [Detections(guesses, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))], 1)
    assert scores.map50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert scores.average_precisions[0, 6] == pytest.approx((51 + 50 * 2 / 3) / 101)  # IoU 0.8 of 0.8
    assert scores.average_precisions[0, 7] == pytest.approx(51 / 101)


def test_a_hundred_detections_of_an_image_and_class_count():
    """The only right detection is the 100th or the 101st by confidence; another class's do not take its place."""
    truth = TrueBoxes(np.array([[0, 0, 10, 10]]), np.zeros(1, int), np.zeros(1, bool), np.zeros(1, bool))
    for place, expected in ((99, 1 / 100), (100, 0.0)):
        boxes = np.tile([50.0, 50, 60, 60], (150, 1))
        boxes[place] = [0, 0, 10, 10]
        boxes = np.concatenate([boxes, boxes])
        classes = np.repeat([0, 1], 150)
        guess = Detections(boxes, classes, np.tile(np.linspace(0.9, 0.1, 150), 2))
        scores = scoring.score([truth], [guess], 2)
        assert len(scores.classes[0].confidences) == len(scores.classes[1].confidences) == 100
        assert scores.map50 == pytest.approx(expected)


def test_of_equally_overlapped_boxes_the_last_is_matched_as_in_cocoeval():
    """A detection overlaps both boxes alike; the next fits only the first: both are right where the last was taken."""
    boxes = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10]])
    truth = TrueBoxes(boxes, np.zeros(2, int), np.zeros(2, bool), np.zeros(2, bool))
    guess = Detections(np.array([[2.0, 0, 12, 10], [0, 0, 10, 10]]), np.zeros(2, int), np.array([0.9, 0.8]))
    scores = scoring.score([truth], [guess], 1)
    assert scores.classes[0].right[0].tolist() == [True, True]
    assert scores.map50 == pytest.approx(cocoeval([truth], [guess], 1)[0][1])


def test_nothing_found_and_nothing_to_find():
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    truth = TrueBoxes(np.array([[0, 0, 10, 10]]), np.zeros(1, int), np.zeros(1, bool), np.zeros(1, bool))
    empty = TrueBoxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, bool))
    assert scoring.score([truth], [nothing], 1).map == 0
    assert np.isnan(scoring.score([empty], [nothing], 1).map)


def test_resampled_precisions_are_those_of_images_copied_as_often():
    truths, found = random_case(7, images=8)
    scores = scoring.score(truths, found, CLASSES)
    rng = np.random.default_rng(0)
    counts = np.stack([np.bincount(rng.integers(0, 8, 8), minlength=8) for _ in range(6)]).astype(float)
    resampled = scores._resampled(counts)
    for row, times in zip(resampled, counts.astype(int), strict=True):
        copies = [image for image, count in enumerate(times) for _ in range(count)]
        again = scoring.score([truths[i] for i in copies], [found[i] for i in copies], CLASSES)
        np.testing.assert_allclose(row, again.average_precisions, atol=1e-12)


def test_intervals_hold_what_was_found_and_are_the_same_again():
    truths, found = random_case(9, images=30)
    scores = scoring.score(truths, found, CLASSES)
    intervals = scores.intervals()
    low, high = intervals["map50"]
    assert low < scores.map50 < high
    assert len(intervals["classes_map"]) == CLASSES
    assert scoring.score(truths, found, CLASSES).intervals() == intervals
